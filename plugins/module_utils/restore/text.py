# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore in words."""

from __future__ import annotations

import shlex
from typing import Any, Dict, List, Mapping

from ..core import job
from ..core.job import NOTHING, ROLLBACK
from ..core.text import duration, table
from ..host.settings.edits import parked_manifest
from ..snapshot.order import clock_of
from ..snapshot.verify import DATABASE
from .plan import RESTORE, RESUME

HEADINGS = {
    RESTORE: "Restore of cluster {cluster} from a snapshot",
    RESUME: "Completion of the interrupted restore {restore_id} of cluster {cluster}",
    ROLLBACK: "Rollback of the restore {restore_id} of cluster {cluster}: the old data is put back",
    NOTHING: "Cluster {cluster}: nothing to do",
}


def plan_in_words(plan: Mapping[str, Any]) -> List[str]:
    """The whole plan as lines for a terminal: per cluster what and from what, per host every command, move and setting."""
    return job.plan_in_words(plan, _cluster, _host)


def _cluster(cluster: Mapping[str, Any]) -> List[str]:
    heading = HEADINGS[cluster["mode"]].format(**{"restore_id": "", **cluster})
    return [heading, *(_in_full(cluster) if cluster.get("cluster_id") else [])]


def _in_full(cluster: Mapping[str, Any]) -> List[str]:
    if cluster["mode"] == ROLLBACK:
        return table(_taken_back(cluster))
    snapshot = cluster["snapshot"]
    on = snapshot.get("on")
    rows = [
        ["snapshot", f"{snapshot['path']} ({'on ' + on if on else 'on the controller'})"],
        ["", f"taken {snapshot['taken_at']}{clock_of(snapshot)}, {int(snapshot['size']):,} bytes"],
        ["", f"SHA-256 {snapshot['sha256']}, {_vouched(snapshot)}"],
    ]
    if snapshot.get("encryption_keys"):
        rows.append(
            ["needs keys", ", ".join(snapshot["encryption_keys"]) + " of the API server's encryption configuration"]
        )
    spool = cluster.get("spool") or {}
    if spool.get("path"):
        what = f"unpacked ({snapshot['compression']}) on" if spool["unpacks"] else "brought by way of"
        rows.append(["", f"{what} the controller, in {spool['path']}: needs {spool['need']:,} bytes for that time"])
    before: Dict[str, Any] = cluster.get("before") or {}
    if before:
        rows.append(["will be lost", _loss(cluster["loss"], clock_of(snapshot))])
        rows.append(["now running", _running(before, int(snapshot["size"]))])
    rows += [
        [
            "cluster ID",
            f"{before.get('cluster_id') or cluster.get('before_id') or 'unknown'} -> {cluster['cluster_id']}",
        ],
        ["token", cluster["token"]],
        ["revision", _revision(cluster)],
        ["members", cluster["initial_cluster"]],
    ]
    return table(rows)


def _taken_back(cluster: Mapping[str, Any]) -> List[List[str]]:
    """The way of a rollback: from what was restored to what was before."""
    return [
        ["taken back", f"what was restored from {cluster['snapshot']['path']}; it is kept beside the old data"],
        ["cluster ID", f"{cluster['cluster_id']} -> {cluster.get('before_id') or 'unknown'}"],
        ["revision", f"back from {cluster['revision']} and what was written since, to that of the old data"],
    ]


def _vouched(snapshot: Mapping[str, Any]) -> str:
    return "of a copied database: nothing vouches for its content" if snapshot["kind"] == DATABASE else "verified"


def _loss(loss: Mapping[str, Any], clock: str) -> str:
    seconds, revisions = loss["seconds"], loss["revisions"]
    age = "everything written since the snapshot was taken"
    age += f" ({duration(seconds)} ago{clock})" if seconds is not None else ""
    if revisions is None:
        why = loss.get("unknown") or "no member can tell"  # the plan of an earlier version gives no reason
        return f"{age}; how many revisions that is, {why}"
    if revisions < 0:
        return f"nothing: the members are {-revisions:,} revisions behind the snapshot"
    return f"{age}: {revisions:,} revisions"


def _running(before: Mapping[str, Any], size: int) -> str:
    running = ", ".join(before.get("running") or [])
    if not running:
        return "no member"
    if before.get("quorum_unknown"):
        return f"{running} (give no answer, so that nothing is known of a quorum); they will be stopped"
    if not before.get("has_quorum"):
        return f"{running} (WITHOUT quorum); they will be stopped"
    return f"{running} (with quorum); no writes from their stop until etcd has started anew and read {size:,} bytes"


def _revision(cluster: Mapping[str, Any]) -> str:
    from_snapshot = int(cluster["snapshot"]["revision"])
    if not cluster["bump"]:
        return f"{from_snapshot}"
    return f"{from_snapshot} in the snapshot, raised by {cluster['bump']:,} to {cluster['revision']}"


def _host(host: str, own: Mapping[str, Any]) -> List[str]:
    rows = _rollback_rows(own) if own["mode"] == ROLLBACK else _restore_rows(own)
    return [f"  {host} (member {own['member']['name']})", *table(rows, "    ")]


def _restore_rows(own: Mapping[str, Any]) -> List[List[str]]:
    snapshot = own["snapshot"]
    rows = []
    if snapshot["transfer"]:
        rows.append(["copy", f"the snapshot to {snapshot['path']}"])
    if not own["slow"]:
        rows.append(["stage", shlex.join(own["restore"]["argv"])])
    rows += [["", _disk(disk)] for disk in own["disk"]]
    rows += [
        ["pause", _by_the_kubelet(pod["manifest"], pod["parked"], pod["name"])] for pod in own.get("controllers") or ()
    ]
    last = ", after all others, since it leads" if own["leads"] else ""
    rows.append(["stop", (_service(own, "stop") if own["was_to_run"] else "(it does not run)") + last])
    for edit in own["config"]:
        for setting, value in edit["after"].items():
            before = edit["before"].get(setting) or "(unset)"
            if before != value:
                rows.append(["set", f"{setting} in {edit['path']}: {before} -> {value}"])
    for swap in own["swaps"]:
        if swap["existed"]:
            rows.append(_move(swap, swap["live"], swap["aside"]))
    if own["slow"]:
        rows.append(["restore", shlex.join(own["restore"]["argv"])])
        rows.append(["", _cost(own)])
    for swap in own["swaps"]:
        rows.append(_move(swap, swap["staged"], swap["live"]))
    rows.append(["start", _service(own, "start")])
    if any(edit["after"].get("initial-cluster-state") == "new" for edit in own["config"]):
        rows.append(["then", "when proven: initial-cluster-state new -> existing"])
    return rows + _resumed(own)


def _rollback_rows(own: Mapping[str, Any]) -> List[List[str]]:
    rows = [["stop", _service(own, "stop")]]
    for swap in own["swaps"]:
        rows.append(_move(swap, swap["live"], swap["aside"].replace(".before-", ".rolled-back-")))
        if swap["existed"]:
            rows.append(_move(swap, swap["aside"], swap["live"]))
    rows += [["put back", f"{edit['path']} as it was before the restore"] for edit in own["config"]]
    rows.append(["start", _service(own, "start") if own["was_to_run"] else "(it did not run before the restore)"])
    return rows + _resumed(own)


def _resumed(own: Mapping[str, Any]) -> List[List[str]]:
    """What a restore has paused; the journal of an earlier version names none."""
    return [
        ["resume", _by_the_kubelet(pod["parked"], pod["manifest"], pod["name"])] for pod in own.get("controllers") or ()
    ]


def _by_the_kubelet(source: str, to: str, name: str = "") -> str:
    return f"{name + ' ' if name else ''}by the kubelet: {source} -> {to}"


def _disk(disk: Mapping[str, Any]) -> str:
    freed = f", and {disk['freed']:,} that the old data leaves" if disk["freed"] else ""
    return f"needs {disk['need']:,} of {disk['free']:,} free bytes at {disk['path']}{freed}"


def _cost(own: Mapping[str, Any]) -> str:
    """What the slow way costs, in the only words that are true everywhere: how much is moved while nothing serves."""
    old = sum(swap["size"] for swap in own["swaps"])
    return (
        f"the slow way, for want of room: the cluster is down while {old:,} bytes are copied to another file system and"
        f" {int(own['snapshot']['size']):,} bytes are restored, instead of seconds"
    )


def _move(swap: Mapping[str, Any], source: str, to: str) -> List[str]:
    return ["move", f"{'the contents of ' if swap['kind'] == 'contents' else ''}{source} -> {to}"]


def _service(own: Mapping[str, Any], action: str) -> str:
    service = own["member"]["service"]
    if service["manager"] == "static_pod":
        manifest, parked = service["manifest"], parked_manifest(service["manifest"], own["member"]["state_dir"])
        return _by_the_kubelet(manifest, parked) if action == "stop" else _by_the_kubelet(parked, manifest)
    return f"systemctl {action} {service['name']}" if service["manager"] == "systemd" else service[f"{action}_command"]
