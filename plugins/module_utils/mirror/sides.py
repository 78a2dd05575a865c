# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two sides of a mirror, as its engine's host reaches them: from what the hosts of their groups tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..core.errors import EtcdError
from ..core.text import listed
from ..core.values import TEXT

TLS = ("cacert", "cert", "key")


@dataclass(frozen=True)
class Told:
    """What a host tells of its member: ``endpoints`` by which it is reached, and files that a client on it uses.

    ``texts`` are the contents of these, by their names in ``TLS``, where they were read. ``running`` is false for a member that
    is down, whose endpoints count all the same.
    """

    host: str
    running: bool
    endpoints: Sequence[str]
    version: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict, metadata=TEXT)
    user: str = ""
    password: str = field(default="", metadata=TEXT)


@dataclass(frozen=True)
class Reached:
    """A side: files that are on the engine's host by their path, and others as ``texts`` that are to be brought there."""

    group: str
    endpoints: List[str]
    versions: List[str]
    paths: Dict[str, str]
    texts: Dict[str, str] = field(metadata=TEXT)
    user: str
    password: str = field(metadata=TEXT)


def reached(what: str, group: str, told: Sequence[Told], here: str, given: Mapping[str, Any]) -> Reached:
    """``what`` is ``source`` or ``destination``; ``here`` the engine's host; ``given`` what the operator says, which goes first.

    EtcdError where no member was seen, or a certificate can be found nowhere.
    """
    endpoints = list(given.get("endpoints") or dict.fromkeys(one for host in told for one in host.endpoints))
    if not endpoints:
        variable = "target" if what == "source" else "etcd_mirror_destination"
        raise EtcdError(
            f"no member of the {what} was seen on the hosts of the group {group}.",
            f"start its members, or say which group it is (-e {variable}=GROUP).",
        )
    running = [host for host in told if host.running] or list(told)
    own = next((host for host in running if host.host == here), None)
    paths: Dict[str, str] = {name: str(given[name]) for name in TLS if given.get(name)}
    texts: Dict[str, str] = {}
    if not paths and own:
        paths = {name: path for name, path in own.paths.items() if path}
    elif not paths:
        texts = _brought(what, group, running)
    user = str(given.get("user") or next((host.user for host in running if host.user), ""))
    password = str(given.get("password") or next((host.password for host in running if host.user == user), ""))
    versions = sorted({host.version for host in told if host.version})
    return Reached(group, endpoints, versions, paths, texts, user, password)


def _brought(what: str, group: str, told: Sequence[Told]) -> Dict[str, str]:
    """The certificates of the first host that was read, where clients need any."""
    needed = [host for host in told if any(host.paths.values())]
    read: Optional[Told] = next((host for host in needed if host.texts), None)
    if needed and read is None:
        where = listed([host.host for host in needed])
        raise EtcdError(
            f"the certificates of the {what} could not be read on {where}, of the group {group}.",
            f"put them on the engine's host, and name them with etcd_mirror_{what}_cacert, _cert and _key.",
        )
    return dict(read.texts) if read else {}
