# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a new member: every setting under the name by which its version of etcd knows it.

A key of the YAML file that a version does not know is passed over without a word, so none may be there (``asked.py`` asks
etcd itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List

from ...etcd.versions import Version
from ..settings.formats import edit
from .wanted import Server

HEADER = """\
# etcd's settings on this host. Written by quorum.etcd's install.yml, which changes nothing here once there is a member.
"""
# Settings that go before what an operator sets. 3.4 forgets its own defaults of some when it reads a file.
DEFAULTS = {
    # With 10,000, the default from 3.6, a member that was away for 5,000 writes may need a whole snapshot to catch up.
    "snapshot-count": "100000",
    "quota-backend-bytes": "2147483648",
    "auto-compaction-mode": "periodic",
    "auto-compaction-retention": "8h",
    "heartbeat-interval": "100",
    "election-timeout": "1000",
    "strict-reconfig-check": "true",
    "pre-vote": "true",
    "enable-grpc-gateway": "true",
    "log-level": "info",
}
GATES = "feature-gates"
# From these versions on: https://github.com/etcd-io/etcd/blob/main/CHANGELOG/CHANGELOG-3.5.md and -3.6.md
COMPACT_HASH_CHECK, FEATURE_GATES = Version(3, 5, 5), Version(3, 6, 0)


@dataclass(frozen=True)
class Bootstrap:
    """How a member without data finds its cluster. ``state`` is ``new`` or ``existing``, ``cluster`` etcd's initial-cluster."""

    cluster: str
    state: str = "existing"
    token: str = ""


def alone(server: Server) -> Bootstrap:
    """Of a host that is prepared and no more: started by mistake it finds no cluster, and founds none."""
    return Bootstrap(",".join(f"{server.name}={url}" for url in server.peer_urls))


def settings_of(server: Server, version: Version, bootstrap: Bootstrap) -> Dict[str, str]:
    """All settings, by the names of etcd's flags in this version, in the order of the file."""
    found = {
        "name": server.name,
        "data-dir": server.data_dir,
        **({"wal-dir": server.wal_dir} if server.wal_dir else {}),
        "listen-peer-urls": ",".join(server.listen_peer_urls),
        "listen-client-urls": ",".join(server.listen_client_urls),
        "initial-advertise-peer-urls": ",".join(server.peer_urls),
        "advertise-client-urls": ",".join(server.client_urls),
        "initial-cluster": bootstrap.cluster,
        "initial-cluster-state": bootstrap.state,
        "initial-cluster-token": bootstrap.token or "etcd-cluster",
        **DEFAULTS,
        **_checks(version),
        **({"logger": "zap"} if version < Version(3, 5, 0) else {}),
        **server.settings,
        **_tls(server),
    }
    own_gates = server.settings.get(GATES)
    if own_gates is not None and version >= FEATURE_GATES:
        found[GATES] = _together(_checks(version)[GATES], own_gates)
    return found


def text_of(settings: Dict[str, str]) -> str:
    """The configuration file."""
    return edit("yaml", HEADER, settings)


def _checks(version: Version) -> Dict[str, str]:
    """A member compares its data with the others' before it serves, and from 3.5.5 with each compaction."""
    if version >= FEATURE_GATES:
        return {GATES: "InitialCorruptCheck=true,CompactHashCheck=true"}
    found = {"experimental-initial-corrupt-check": "true"}
    if version >= COMPACT_HASH_CHECK:
        found["experimental-compact-hash-check-enabled"] = "true"
    return found


def _together(ours: str, theirs: str) -> str:
    """Gates of both; the operator's go before ours."""
    gates = dict(one.split("=", 1) for one in [*ours.split(","), *theirs.split(",")] if "=" in one)
    return ",".join(f"{gate}={value}" for gate, value in gates.items())


def _tls(server: Server) -> Dict[str, str]:
    found: Dict[str, str] = {}
    paths = server.tls
    for prefix, ca, cert, key in (
        ("", paths.ca, paths.cert, paths.key),
        ("peer-", paths.peer_ca, paths.peer_cert, paths.peer_key),
    ):
        if cert:
            found[f"{prefix}trusted-ca-file"] = ca
            found[f"{prefix}cert-file"] = cert
            found[f"{prefix}key-file"] = key
            found[f"{prefix}client-cert-auth"] = server.settings.get(f"{prefix}client-cert-auth", "true")
    return found


def differences(now: Dict[str, str], wanted: Dict[str, str]) -> List[str]:
    """Settings of a member that is there, and that are not as they are wanted: in words, a setting each."""
    return [
        f"{name}: {now.get(name, '') or '(unset)'}, wanted is {value}"
        for name, value in wanted.items()
        if now.get(name) != value and not name.startswith("initial-cluster")
    ]
