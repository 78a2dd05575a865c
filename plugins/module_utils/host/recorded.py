# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is worth recording of a host's member beside each backup: which files make it what it is, and what they say.

It is a part of ``discover``, without what costs time or changes by itself: sizes, disks, tools and who runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional

from ..core.values import TEXT
from ..etcd.commands import Run
from .facts import Setting, Tls
from .kubernetes import kubernetes_facts
from .options import options_of
from .processes import Host
from .running import Running
from .written import Written


@dataclass(frozen=True)
class OwnMember:
    """A host's member as its files make it: ``files`` are units, drop-ins, environment files, YAML and manifests.

    ``encryption_keys`` are the names in a Kubernetes API server's encryption configuration, None where there is none.
    """

    name: str
    peer_urls: List[str]
    client_urls: List[str]
    data_dir: str
    wal_dir: str
    manager: str
    unit: str
    image: str
    tls: Tls
    files: List[str] = field(metadata=TEXT)
    settings: Dict[str, Setting]
    encryption_keys: Optional[List[str]]


def own_member(params: Mapping[str, Any], run: Run, root: str = "/") -> OwnMember:
    """``params`` are a module's, as of ``discover``. EtcdError where nothing tells which of several members is meant."""
    host = Host(root)
    running = Running(options_of(params), run, host)
    written, options, unit = Written(running), running.options, running.unit
    return OwnMember(
        name=options.name or written.value("name", "default" if running.process or unit.exists else ""),
        peer_urls=options.peer_urls or written.urls("initial-advertise-peer-urls"),
        client_urls=options.client_urls or written.urls("advertise-client-urls"),
        data_dir=options.data_dir or written.path("data-dir"),
        wal_dir=options.wal_dir or written.path("wal-dir"),
        manager=running.manager,
        unit=unit.name if unit.exists else "",
        image=running.sources.image,
        tls=Tls(written.tls(""), written.tls("peer-")),
        files=_files(running),
        settings=written.settings(),
        encryption_keys=kubernetes_facts(host, options.manifest, options.state_dir).keys,
    )


def _files(running: Running) -> List[str]:
    sources, unit = running.sources, running.unit
    manifest = sources.manifest_path if running.manager == "static_pod" else ""
    named = [
        *unit.files,
        unit.made_from,
        *sources.environment_files,
        sources.yaml_path,
        manifest,
        running.options.config_file,
    ]
    return [path for path in dict.fromkeys(named) if running.host.exists(path)]
