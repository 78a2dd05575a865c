# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of a restore: the plan of a cluster and that of each of its hosts.

A host keeps its plan as ``plan.json``, and goes by it for as long as the restore is not done, also when the collection has
been updated since: a field that came later has a default, which says what was so before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..core.claim import Claim
from ..core.values import SPARSE, TEXT, from_plain, to_plain
from ..etcd.commands import Command
from ..etcd.view import MemberView
from ..host.aside import Owner
from ..host.facts import ConnectionFacts, Pod, Service, ToolFacts
from ..host.settings.edits import Edit
from ..snapshot.entry import Snapshot


@dataclass(frozen=True)
class ChosenSnapshot(Snapshot):
    """The snapshot that is restored. ``on`` is the host that has it, empty for the controller."""

    on: str = ""


@dataclass(frozen=True)
class Loss:
    """What the restore gives up: seconds since the snapshot, and revisions where they can be counted, else why not."""

    seconds: Optional[int] = None
    revisions: Optional[int] = None
    unknown: str = field(default="", metadata=TEXT)


@dataclass(frozen=True)
class ClusterPlan:
    """What all hosts of a cluster have in common in a restore: ``of`` in each host's plan.

    ``members``: predicted member IDs to names. ``seen``: the highest revision on record before; ``bump``: by how many the
    restored store is raised, to ``revision``; ``own_revisions``: how many the proof writes. ``old_endpoints``: client URLs of
    members that the restored cluster has not, and that must not answer. ``without``: names that were left out of a run that
    goes on, None in a plan that is none of such a run.
    """

    cluster: str
    restore_id: str
    hosts: List[str]
    token: str
    initial_cluster: str
    cluster_id: str
    members: Dict[str, str]
    endpoints: List[str]
    snapshot: ChosenSnapshot
    bump: int
    revision: int
    loss: Loss
    before_id: str
    seen: int = 0
    old_endpoints: List[str] = field(default_factory=list)
    own_revisions: int = 0
    user_keys: Optional[int] = None
    without: Optional[List[str]] = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class PlannedMember:
    """What a host's plan keeps of its member."""

    name: str
    peer_urls: List[str]
    tools: ToolFacts
    service: Service
    state_dir: str
    connection: ConnectionFacts
    data_dir: str = ""


@dataclass(frozen=True)
class SnapshotOnHost:
    """Where a host reads the snapshot, and which part it has in the bringing of it.

    ``transfer``: it is brought to ``path``. ``fetch_from`` is fetched to ``fetch_to`` on the controller (plain, where
    ``fetch_unpacked`` says how it is compressed), ``unpack_from``
    unpacked to ``spool`` there, and ``copy_from`` copied to the host; each is empty where this host has no part in it.
    """

    path: str
    source_path: str
    sha256: str
    size: int
    transfer: bool
    revision: int = 0
    kind: str = ""
    trailer: str = ""
    fetch_from: str = ""
    fetch_to: str = ""
    fetch_size: int = 0
    unpack_from: str = ""
    spool: str = ""
    copy_from: str = ""
    fetch_unpacked: str = ""


@dataclass(frozen=True)
class Swap:
    """One folder that changes places: ``live`` goes to ``near``, and on to ``aside``, and ``staged`` takes its place.

    ``kind``: ``directory`` is renamed, of a mount point only the ``contents`` can be. ``existed``: whether there was old
    data, of ``size`` bytes.
    """

    kind: str
    live: str
    staged: str
    near: str
    aside: str
    existed: bool
    size: int


@dataclass(frozen=True)
class DiskNeed:
    """Bytes on the file system of ``path``: ``freed`` are those that the old data leaves in the course of it."""

    path: str
    need: int
    free: int
    freed: int


@dataclass(frozen=True)
class HostPlan:
    """What a restore, or its rollback, does on one host.

    ``reports``: this host compares the data and tells the end for all. ``was_to_run``: it ran, or its manager would have
    started it. ``slow``: for want of room the old data is moved to another file system while the cluster is down.
    ``others``: the peer URLs of the other members. ``settled``: an earlier run has proven the cluster; None in the plan of a
    new restore. ``claim`` is that of the run that follows the plan now. ``sequence`` counts the restores of the host, and is
    given when the plan is kept.
    """

    mode: str
    host: str
    reports: bool
    restore_id: str
    of: ClusterPlan
    member: PlannedMember
    was_running: bool
    was_to_run: bool
    slow: bool
    leads: bool
    others: List[str]
    snapshot: SnapshotOnHost
    restore: Command
    swaps: List[Swap]
    owner: Owner
    config: List[Edit]
    disk: List[DiskNeed]
    controllers: List[Pod] = field(default_factory=list)
    claim: Optional[Claim] = field(default=None, metadata=SPARSE)
    settled: Optional[bool] = field(default=None, metadata=SPARSE)
    sequence: Optional[int] = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class Before:
    """The old cluster as all hosts together saw it; ``running`` are the hosts on which a member ran."""

    cluster_id: str
    cluster_ids: Sequence[str]
    members: Sequence[MemberView]
    leader: str
    leader_name: str
    has_quorum: bool
    quorum_unknown: bool
    revision: int
    running: List[str]


@dataclass(frozen=True)
class Spool:
    """The folder on the controller that a snapshot goes by way of, and the bytes that it needs; empty where there is none."""

    path: str
    need: int
    unpacks: bool


@dataclass(frozen=True)
class PlannedCluster:
    """What is to be done with a cluster: ``of``, None where something stands against it that leaves nothing to plan."""

    cluster: str
    mode: str
    of: Optional[ClusterPlan] = field(default=None, metadata=SPARSE)
    before: Optional[Before] = field(default=None, metadata=SPARSE)
    snapshot: Optional[ChosenSnapshot] = field(default=None, metadata=SPARSE)
    spool: Optional[Spool] = field(default=None, metadata=SPARSE)

    def as_plain(self) -> Dict[str, Any]:
        """As it stands in the plan: the fields of ``of`` among its own."""
        return {**(to_plain(self.of) if self.of else {}), **to_plain(replace(self, of=None))}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> PlannedCluster:
        found = from_plain(cls, plain)
        return replace(found, of=from_plain(ClusterPlan, plain)) if plain.get("cluster_id") else found
