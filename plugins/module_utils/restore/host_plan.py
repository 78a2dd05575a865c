# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore on one host: what is restored where by which command, what changes places, and whose it will be."""

from __future__ import annotations

import os
from typing import List, Sequence

from ..core.trees import is_inside
from ..etcd import commands
from ..host.aside import beside_of, live, owner_of
from ..host.facts import Folder, MemberFacts, Service
from ..host.settings import edits as settings
from ..host.tools import kept_tools
from ..snapshot.verify import DATABASE
from .answers import Host
from .terms import RESTORE, Options
from .values import Before, ChosenSnapshot, ClusterPlan, HostPlan, PlannedMember, SnapshotOnHost, Swap


def plan_host(host: str, facts: Host, of: ClusterPlan, before: Before, options: Options) -> HostPlan:
    """One host's part in a new restore, without the room that it needs, and who brings the snapshot (``transfer``).

    EtcdError where it cannot be done, such as for want of a file that a setting could be written to.
    """
    member = facts.member
    swaps = _swaps(member, of.restore_id)
    snapshot = _snapshot_on_host(facts, of.snapshot, swaps)
    wanted = {
        "initial-cluster": of.initial_cluster,
        "initial-cluster-token": of.token,
        "initial-cluster-state": _first_state(member.service),
    }
    return HostPlan(
        mode=RESTORE,
        host=host,
        reports=host == min(of.hosts),
        restore_id=of.restore_id,
        of=of,
        member=PlannedMember(
            name=member.name,
            peer_urls=member.peer_urls,
            tools=member.tools,
            service=member.service,
            state_dir=member.state_dir,
            connection=member.connection,
            data_dir=member.data_dir,
        ),
        was_running=member.running,
        was_to_run=member.running or _is_kept_running(member.service),
        slow=bool(member.aside_dir),
        leads=before.leader_name == member.name,
        others=_peers_of(member.name, of.initial_cluster),
        snapshot=snapshot,
        restore=commands.snapshot_restore(
            kept_tools(facts.tools, member.state_dir),
            snapshot.path,
            name=member.name,
            initial_cluster=of.initial_cluster,
            token=of.token,
            peer_urls=member.peer_urls,
            data_dir=swaps[0].staged,
            wal_dir=_staged_wal(member, swaps),
            bump_revision=of.bump,
            skip_hash_check=options.skip_hash_check and of.snapshot.kind == DATABASE,
        ),
        swaps=swaps,
        controllers=member.kubernetes.pods,
        owner=owner_of(member),
        config=settings.plan_edits(member, wanted),
        disk=[],
    )


def _first_state(service: Service) -> str:
    """The ``initial-cluster-state`` of the first start. With restored data etcd does not look at it.

    ``new`` until the cluster has proven itself, but not in a static pod: the kubelet restarts it at each change of its
    manifest, so that a later one would be a second outage.
    """
    return "existing" if service.manager == "static_pod" else "new"


def _is_kept_running(service: Service) -> bool:
    """Whether a kubelet, or a systemd that waits between two tries, goes on starting it, although it does not run now."""
    by_kubelet = service.manager == "static_pod" and service.state in ("running", "failed")
    return by_kubelet or service.restarting


def _swaps(member: MemberFacts, restore_id: str) -> List[Swap]:
    """Which directories change places: the data directory, and the WAL where it is a directory of its own.

    A directory is renamed as a whole; of a mount point only the contents can be, so their new and old places lie inside.
    The old data stays ``near``, unless the operator named ``aside_dir`` on another file system: then it goes on to there.
    """
    swaps = [_swap(live(member.data, member.data_dir), member.data, restore_id, member.aside_dir)]
    if member.wal_dir and not is_inside(member.wal_dir, member.data_dir):
        swaps.append(_swap(live(member.wal, member.wal_dir), member.wal, restore_id, member.aside_dir))
    return swaps


def _swap(live: str, folder: Folder, restore_id: str, aside_dir: str) -> Swap:
    live = live.rstrip("/")
    beside = beside_of(live, folder)
    near = f"{beside}before-{restore_id}"
    # The whole path in its name: a data and a WAL directory may have the same last part.
    elsewhere = os.path.join(aside_dir, f"{live.strip('/').replace('/', '-')}.before-{restore_id}")
    return Swap(
        kind="contents" if folder.is_mount else "directory",
        live=live,
        staged=f"{beside}restore-{restore_id}",
        near=near,
        aside=elsewhere if aside_dir else near,
        existed=folder.exists,
        size=folder.size,
    )


def _staged_wal(member: MemberFacts, swaps: Sequence[Swap]) -> str:
    """Where the restore writes the WAL: only named where it is not the data directory's own ``member/wal``."""
    wal, data = member.wal_dir, member.data_dir.rstrip("/")
    if len(swaps) > 1:
        return swaps[1].staged
    if not wal or os.path.normpath(wal) == os.path.join(data, "member", "wal"):
        return ""
    return os.path.join(swaps[0].staged, os.path.relpath(wal, data))


def _snapshot_on_host(facts: Host, snapshot: ChosenSnapshot, swaps: Sequence[Swap]) -> SnapshotOnHost:
    """Where this host reads the snapshot: its own copy when it has the very bytes, else one that is brought to it."""
    member = facts.member
    moved = [swap.live for swap in swaps] if member.aside_dir else []  # away before it is restored
    own = ""
    for entry in facts.snapshots:
        read = entry.verified or entry.kind == DATABASE
        same = entry.ok and read and entry.sha256 == snapshot.sha256 and not entry.compression
        if same and not own and not any(is_inside(entry.real_path, folder) for folder in moved):
            own = entry.path
    folder = member.aside_dir or member.state_dir  # the one that has room
    return SnapshotOnHost(
        path=own or os.path.join(folder, "snapshots", snapshot.sha256[:16] + ".db"),
        source_path=snapshot.path,
        sha256=snapshot.sha256,
        size=snapshot.size,
        transfer=not own,
        revision=snapshot.revision,
        kind=snapshot.kind,
        trailer=snapshot.trailer,
    )


def _peers_of(name: str, initial_cluster: str) -> List[str]:
    return [entry.partition("=")[2] for entry in initial_cluster.split(",") if entry.partition("=")[0] != name]
