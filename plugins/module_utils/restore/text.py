# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore in words."""

from __future__ import annotations

import shlex
from typing import Any, List, Mapping

from ..core import job
from ..core.job import NOTHING, ROLLBACK
from ..core.text import duration, table
from ..core.values import from_plain
from ..host.service import by_the_kubelet, in_words
from ..host.settings import edits
from ..snapshot.entry import Snapshot
from ..snapshot.order import clock_of
from ..snapshot.verify import DATABASE
from .old_members import kit_rows
from .terms import RESTORE, RESUME
from .values import Before, ClusterPlan, DiskNeed, HostPlan, Loss, PlannedCluster, Swap

HEADINGS = {
    RESTORE: "Restore of cluster {cluster} from a snapshot",
    RESUME: "Completion of the interrupted restore {restore_id} of cluster {cluster}",
    ROLLBACK: "Rollback of the restore {restore_id} of cluster {cluster}: the old data is put back",
    NOTHING: "Cluster {cluster}: nothing to do",
}


def plan_in_words(plan: Mapping[str, Any]) -> List[str]:
    """The whole plan as lines for a terminal: per cluster what and from what, per host every command, move and setting."""
    return job.plan_in_words(plan, _cluster, _host)


def _cluster(plain: Mapping[str, Any]) -> List[str]:
    cluster = PlannedCluster.of_plain(plain)
    restore_id = cluster.of.restore_id if cluster.of else ""
    heading = HEADINGS[cluster.mode].format(cluster=cluster.cluster, restore_id=restore_id)
    return [heading, *(_in_full(cluster, cluster.of) if cluster.of else [])]


def _in_full(cluster: PlannedCluster, of: ClusterPlan) -> List[str]:
    if cluster.mode == ROLLBACK:
        return table(_taken_back(of))
    snapshot, spool, before = of.snapshot, cluster.spool, cluster.before
    clock = clock_of(snapshot)
    rows = [
        ["snapshot", f"{snapshot.path} ({'on ' + snapshot.on if snapshot.on else 'on the controller'})"],
        ["", f"taken {snapshot.taken_at}{clock}, {snapshot.size:,} bytes"],
        ["", f"SHA-256 {snapshot.sha256}, {_vouched(snapshot)}"],
    ]
    if snapshot.encryption_keys:
        rows.append(
            ["needs keys", ", ".join(snapshot.encryption_keys) + " of the API server's encryption configuration"]
        )
    if snapshot.kit and before and not before.running:
        rows += kit_rows(snapshot.kit)
    if spool and spool.path:
        what = f"unpacked ({snapshot.compression}) on" if spool.unpacks else "brought by way of"
        rows.append(["", f"{what} the controller, in {spool.path}: needs {spool.need:,} bytes for that time"])
    if before:
        rows.append(["will be lost", _loss(of.loss, clock)])
        rows.append(["now running", _running(before, snapshot.size)])
    rows += [
        ["cluster ID", f"{(before and before.cluster_id) or of.before_id or 'unknown'} -> {of.cluster_id}"],
        ["token", of.token],
        ["revision", _revision(of)],
        ["members", of.initial_cluster],
    ]
    return table(rows)


def _taken_back(of: ClusterPlan) -> List[List[str]]:
    """The way of a rollback: from what was restored to what was before."""
    return [
        ["taken back", f"what was restored from {of.snapshot.path}; it is kept beside the old data"],
        ["cluster ID", f"{of.cluster_id} -> {of.before_id or 'unknown'}"],
        ["revision", f"back from {of.revision} and what was written since, to that of the old data"],
    ]


def _vouched(snapshot: Snapshot) -> str:
    if snapshot.kind == DATABASE:
        return "of a copied database: nothing vouches for its content"
    return f"verified, signed by {snapshot.signed_by}" if snapshot.signed_by else "verified"


def _loss(loss: Loss, clock: str) -> str:
    age = "everything written since the snapshot was taken"
    age += f" ({duration(loss.seconds)} ago{clock})" if loss.seconds is not None else ""
    if loss.revisions is None:
        why = loss.unknown or "no member can tell"  # the plan of an earlier version gives no reason
        return f"{age}; how many revisions that is, {why}"
    if loss.revisions < 0:
        return f"nothing: the members are {-loss.revisions:,} revisions behind the snapshot"
    return f"{age}: {loss.revisions:,} revisions"


def _running(before: Before, size: int) -> str:
    running = ", ".join(before.running)
    if not running:
        return "no member"
    if before.quorum_unknown:
        return f"{running} (give no answer, so that nothing is known of a quorum); they will be stopped"
    if not before.has_quorum:
        return f"{running} (WITHOUT quorum); they will be stopped"
    return f"{running} (with quorum); no writes from their stop until etcd has started anew and read {size:,} bytes"


def _revision(of: ClusterPlan) -> str:
    if not of.bump:
        return f"{of.snapshot.revision}"
    return f"{of.snapshot.revision} in the snapshot, raised by {of.bump:,} to {of.revision}"


def _host(host: str, plain: Mapping[str, Any]) -> List[str]:
    own = from_plain(HostPlan, plain)
    rows = _rollback_rows(own) if own.mode == ROLLBACK else _restore_rows(own)
    return [f"  {host} (member {own.member.name})", *table(rows, "    ")]


def _restore_rows(own: HostPlan) -> List[List[str]]:
    rows = []
    if own.snapshot.transfer:
        rows.append(["copy", f"the snapshot to {own.snapshot.path}"])
    if not own.slow:
        rows.append(["stage", shlex.join(own.restore.argv)])
    rows += [["", _disk(disk)] for disk in own.disk]
    rows += [["pause", by_the_kubelet(pod.manifest, pod.parked, pod.name)] for pod in own.controllers]
    last = ", after all others, since it leads" if own.leads else ""
    rows.append(["stop", (_called(own, "stop") if own.was_to_run else "(it does not run)") + last])
    rows += [["set", words] for words in edits.in_words(own.config)]
    for swap in own.swaps:
        if swap.existed:
            rows.append(_move(swap, swap.live, swap.aside))
    if own.slow:
        rows.append(["restore", shlex.join(own.restore.argv)])
        rows.append(["", _cost(own)])
    for swap in own.swaps:
        rows.append(_move(swap, swap.staged, swap.live))
    rows.append(["start", _called(own, "start")])
    if any(edit.after.get("initial-cluster-state") == "new" for edit in own.config):
        rows.append(["then", "when proven: initial-cluster-state new -> existing"])
    return rows + _resumed(own)


def _rollback_rows(own: HostPlan) -> List[List[str]]:
    rows = [["stop", _called(own, "stop")]]
    for swap in own.swaps:
        rows.append(_move(swap, swap.live, swap.aside.replace(".before-", ".rolled-back-")))
        if swap.existed:
            rows.append(_move(swap, swap.aside, swap.live))
    rows += [["put back", f"{edit.path} as it was before the restore"] for edit in own.config]
    rows.append(
        [
            "start",
            _called(own, "start") if own.was_to_run else "(it did not run before the restore)",
        ]
    )
    return rows + _resumed(own)


def _resumed(own: HostPlan) -> List[List[str]]:
    """What a restore has paused."""
    return [["resume", by_the_kubelet(pod.parked, pod.manifest, pod.name)] for pod in own.controllers]


def _disk(disk: DiskNeed) -> str:
    freed = f", and {disk.freed:,} that the old data leaves" if disk.freed else ""
    return f"needs {disk.need:,} of {disk.free:,} free bytes at {disk.path}{freed}"


def _cost(own: HostPlan) -> str:
    """What the slow way costs, in the only words that are true everywhere: how much is moved while nothing serves."""
    old = sum(swap.size for swap in own.swaps)
    return (
        f"the slow way, for want of room: the cluster is down while {old:,} bytes are copied to another file system and"
        f" {own.snapshot.size:,} bytes are restored, instead of seconds"
    )


def _move(swap: Swap, source: str, to: str) -> List[str]:
    return ["move", f"{'the contents of ' if swap.kind == 'contents' else ''}{source} -> {to}"]


def _called(own: HostPlan, action: str) -> str:
    return in_words(own.member.service, own.member.state_dir, action)
