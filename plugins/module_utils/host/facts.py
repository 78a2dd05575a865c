# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host tells of its member: the values that ``discover`` finds, and that a job's plan reads.

A service, tools, a connection and pods are also kept in the plan of a restore: a field of theirs that came later has a
default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Union

from ..core.journals import Elsewhere, Newest
from ..core.values import SPARSE, TEXT


@dataclass(frozen=True)
class Owner:
    """Who looks after a process: ``kind`` is a key of ``owners.KINDS``, or '' where nothing tells; ``name`` says which one."""

    kind: str = ""
    name: str = ""


@dataclass(frozen=True)
class Service:
    """What starts and stops the member.

    ``manager`` is ``systemd``, ``static_pod`` or ``command``; ``name`` the unit's, ``named`` whether the operator gave it.
    ``owner``: who looks after the process that runs. ``restarting``: systemd waits between two tries. ``halted``: the process
    is held still. ``kubelet``: whether it runs, None where no static pod needs it. ``start_timeout`` in seconds, None for no
    limit. ``obscure``: why what starts etcd could not be read. ``dropin`` is the path of the unit's drop-in that is ours,
    and ``exec_start`` the command that it overrides; ``made_from`` the file that a generator has made the unit from.
    """

    manager: str
    name: str
    manifest: str
    state: str
    start_command: str = field(metadata=TEXT)
    stop_command: str = field(metadata=TEXT)
    status_command: str = field(metadata=TEXT)
    named: bool = False
    owner: Owner = field(default_factory=Owner)
    masked: bool = False
    transient: bool = False
    restarting: bool = False
    halted: bool = False
    image: str = ""
    kubelet: Optional[bool] = None
    enabled: Union[bool, str, None] = None
    user: str = ""
    group: str = ""
    dynamic_user: bool = False
    notifies: bool = False
    start_timeout: Optional[float] = None
    obscure: str = field(default="", metadata=TEXT)
    dropin: str = field(default="", metadata=TEXT)
    exec_start: str = field(default="", metadata=TEXT)
    made_from: str = field(default="", metadata=TEXT)


@dataclass(frozen=True)
class Folder:
    """A folder, and whose it is; ``device`` is None where there is no path, ``size`` the bytes of the files in it."""

    exists: bool
    real_path: str
    is_mount: bool
    owner: Optional[int]
    group: Optional[int]
    mode: str
    size: int
    device: Optional[int]


@dataclass(frozen=True)
class DataFacts(Folder):
    """The data directory. ``foreign``: what is not etcd's in it. ``contained``: its path in a container that keeps it.

    ``parent_owner``: user and group of the folder above. ``revision`` and ``member_ids`` are of the database of a member
    that is stopped.
    """

    empty: bool
    is_etcd: bool
    has_member: bool
    entries: List[str] = field(metadata=TEXT)
    foreign: List[str] = field(metadata=TEXT)
    parent_owner: Optional[List[int]]
    owner_name: str
    group_name: str
    inner_mounts: List[str]
    db_size: int
    parent_is_writable: bool
    revision: int
    member_ids: List[str]
    contained: str


@dataclass(frozen=True)
class DiskFacts:
    """The file system that ``path`` is on, or will be, in bytes."""

    path: str
    noexec: bool
    device: int
    free: int
    total: int


@dataclass(frozen=True)
class ToolFact:
    path: str
    version: str


@dataclass(frozen=True)
class ToolFacts:
    """The executables of etcd that the host has; None where it has not."""

    etcd: Optional[ToolFact]
    etcdctl: Optional[ToolFact]
    etcdutl: Optional[ToolFact]


@dataclass(frozen=True)
class ConnectionFacts:
    """How a client on the host reaches the member."""

    endpoints: List[str]
    cacert: str
    cert: str
    key: str
    bin_dir: str = ""


@dataclass(frozen=True)
class Pod:
    """A static pod with a controller of Kubernetes: its manifest, and where that lies while the pod is stopped."""

    name: str
    manifest: str
    parked: str


@dataclass(frozen=True)
class KubernetesFacts:
    """The control plane on the host: controllers in static pods, controllers that run, and names of encryption keys."""

    pods: List[Pod]
    kubelet: bool
    running: List[str]
    keys: Optional[List[str]]


@dataclass(frozen=True)
class TlsFiles:
    cacert: str = field(metadata=TEXT)
    cert: str = field(metadata=TEXT)
    key: str = field(metadata=TEXT)
    client_cert_auth: bool


@dataclass(frozen=True)
class Tls:
    client: TlsFiles
    peer: TlsFiles

    def by_setting(self) -> Dict[str, str]:
        """The files, by the settings that name them."""
        named = {}
        for prefix, files in (("", self.client), ("peer-", self.peer)):
            named[f"{prefix}trusted-ca-file"] = files.cacert
            named[f"{prefix}cert-file"] = files.cert
            named[f"{prefix}key-file"] = files.key
        return {setting: path for setting, path in named.items() if path}


@dataclass(frozen=True)
class ConfigFile:
    """The file where a setting that is nowhere yet belongs; both empty where none is known."""

    format: str
    path: str


@dataclass(frozen=True)
class Setting:
    """A setting, and where it is written; ``within`` is the variable that holds it, where that is none of etcd's own."""

    value: str = field(metadata=TEXT)
    kind: str
    format: str
    path: str = field(metadata=TEXT)
    within: Optional[str] = field(default=None, metadata={**TEXT, **SPARSE})


@dataclass(frozen=True)
class Shadowed:
    """Where a setting is set as a flag and as a variable."""

    flag: str = field(metadata=TEXT)
    variable: str = field(metadata=TEXT)


@dataclass(frozen=True)
class Unsettable:
    """Why settings cannot be set where they are written."""

    cause: str = field(metadata=TEXT)
    next_step: str = field(metadata=TEXT)


@dataclass(frozen=True)
class MemberFacts:
    """A host's member. What is not known is empty or None.

    ``missing_files`` are certificates and keys that the settings of a member which does not run name, by these, and that are
    not there.

    ``packet_filter`` is the tool that the host has to cut a member off its network. ``systemd``: whether it runs there.

    ``journal`` is what a job's journals tell, in its plain form: the plan in it is of any version. It and
    ``interrupted_elsewhere`` are added at the door, where it is known which job's they are, and so is ``newest_job``.
    """

    found: bool
    running: bool
    pid: Optional[int]
    service: Service
    name: str
    peer_urls: List[str]
    client_urls: List[str]
    listen_peer_urls: List[str]
    listen_client_urls: List[str]
    data_dir: str
    wal_dir: str
    data: DataFacts
    wal: Folder
    disk: List[DiskFacts]
    initial_cluster: str = field(metadata=TEXT)
    initial_cluster_state: str = field(metadata=TEXT)
    initial_cluster_token: str = field(metadata=TEXT)
    snapshot_count: str
    quota_backend_bytes: str
    tls: Tls
    tools: ToolFacts
    tools_missing: Dict[str, str] = field(metadata=TEXT)
    kubernetes: KubernetesFacts
    config: ConfigFile
    settings: Dict[str, Setting]
    state_dir: str
    aside_dir: str
    log: str = field(metadata=TEXT)
    connection: ConnectionFacts
    shadowed: Dict[str, Shadowed]
    strangers: str = field(metadata=TEXT)
    unsettable: List[Unsettable]
    missing_files: Dict[str, str] = field(default_factory=dict, metadata=TEXT)
    packet_filter: str = ""
    systemd: bool = False
    interrupted_elsewhere: List[Elsewhere] = field(default_factory=list)
    newest_job: Optional[Newest] = None
    journal: Dict[str, Any] = field(default_factory=dict)
