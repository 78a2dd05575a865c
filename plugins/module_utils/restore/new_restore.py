# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a new restore: which snapshot, as which cluster, at which revision, and what is lost by it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Dict, Mapping, Optional, Tuple

from ..core.errors import EtcdError
from ..core.job import NOTHING, Findings, run_id
from ..core.text import in_mib, instant
from ..etcd import commands
from ..etcd.database import HIGHEST_REVISION
from ..etcd.identity import cluster_id, format_initial_cluster, hex_id, member_id
from ..host.configuration import check_start
from .answers import Host, HostAnswer
from .checks import check_cluster, check_disk, check_hosts, check_kubernetes, old_endpoints
from .choice import choose_snapshot
from .going_on import already_restored, lasts_of
from .host_plan import plan_host
from .old_members import check_files, check_kit
from .terms import RESTORE, Options, said_of
from .transfer import plan_transfer
from .values import Before, ChosenSnapshot, ClusterPlan, HostPlan, Loss, PlannedCluster, Spool

# etcd's disaster recovery guide bumps by this many revisions: a week of 1,500 writes a second.
BUMP_MARGIN = 1_000_000_000
# What the proof writes and deletes; no client has written that.
OWN_REVISIONS = 2

Planned = Tuple[PlannedCluster, Dict[str, HostPlan]]


def plan_restore(
    name: str,
    hosts: Mapping[str, Host],
    left_out: Mapping[str, HostAnswer],
    options: Options,
    findings: Findings,
    complete: bool,
) -> Planned:
    """A new restore of a cluster to ``hosts``; ``complete`` says whether these are all that it is to have."""
    before = _merged(hosts)
    refused = PlannedCluster(name, RESTORE, before=before)
    check_hosts(hosts, findings)
    if not complete:
        # Nothing else can be judged rightly: a member that is missing here would pass for a stranger, and so would its backup.
        return refused, {}
    check_cluster(hosts, left_out, before, options, findings)
    snapshot = choose_snapshot(name, hosts, options, findings)
    if snapshot is None or findings.refusals:
        return replace(refused, snapshot=snapshot), {}
    check_kubernetes(hosts, snapshot, findings)
    check_files(hosts, findings)
    check_kit(hosts, snapshot, findings)
    done = already_restored(hosts, snapshot.sha256, before, options)
    if done:
        ahead = _written_since(done, before)
        findings.warn(
            f"this snapshot was already restored ({done.restore_id}), and the cluster has gone on by {ahead} revisions"
            " since; to restore it once more, and lose those, set etcd_restore_again=true."
        )
        return PlannedCluster(name, NOTHING, done, before), {}
    of = _plan_cluster(name, hosts, left_out, before, snapshot, options, findings)
    per_host = _plan_hosts(of, hosts, before, options, findings)
    on_hosts, spool = plan_transfer(
        snapshot, {host: plan.snapshot for host, plan in per_host.items()}, _spool_of(of, options), options.can_unpack
    )
    _check_spool(spool, options, findings)
    brought = {host: replace(plan, snapshot=on_hosts[host]) for host, plan in per_host.items()}
    return PlannedCluster(name, RESTORE, of, before, spool=spool), brought


def _merged(hosts: Mapping[str, Host]) -> Before:
    """One view of the old cluster from what each host saw of it: the one with a leader and most members, and the extremes."""
    views = [facts.view for facts in hosts.values() if facts.view]
    running = sorted(host for host, facts in hosts.items() if facts.member.running)
    if not views:
        return Before("", [], [], "", "", False, False, 0, running)
    best = max(views, key=lambda view: (view.has_quorum, len(view.members), bool(view.cluster_id)))
    return Before(
        cluster_id=best.cluster_id,
        cluster_ids=sorted({view.cluster_id for view in views if view.cluster_id}),
        members=best.members,
        leader=best.leader,
        leader_name=best.leader_name,
        has_quorum=best.has_quorum,
        quorum_unknown=not best.has_quorum and any(view.quorum_unknown for view in views),
        revision=max(view.revision or 0 for view in views),
        running=running,
    )


def _plan_cluster(
    name: str,
    hosts: Mapping[str, Host],
    left_out: Mapping[str, HostAnswer],
    before: Before,
    snapshot: ChosenSnapshot,
    options: Options,
    findings: Findings,
) -> ClusterPlan:
    # Always new ones, also after a run that was killed while staging: what it staged may differ in the bump.
    restore_id = run_id(f"{name} {options.nonce}", options.now)
    token = options.token or f"{name}-{restore_id}"
    others = {host: answer.told for host, answer in left_out.items() if answer.told}
    seen = _highest_seen(name, {**hosts, **others}, snapshot, options)
    bump = _bump(hosts, seen, snapshot, options, findings)
    voters = {facts.member.name: list(facts.member.peer_urls) for facts in hosts.values()}
    ids = {member: member_id(urls, token) for member, urls in voters.items()}
    return ClusterPlan(
        cluster=name,
        restore_id=restore_id,
        hosts=sorted(hosts),
        token=token,
        initial_cluster=format_initial_cluster(voters),
        cluster_id=hex_id(cluster_id(ids.values())),
        members={hex_id(number): member for member, number in sorted(ids.items())},
        endpoints=sorted({url for facts in hosts.values() for url in facts.member.connection.endpoints}),
        old_endpoints=old_endpoints(hosts, left_out, before, snapshot),
        snapshot=snapshot,
        seen=seen,
        bump=bump,
        # etcd's tools add the bump to the revision of the last key, which a compaction can have left behind.
        revision=snapshot.key_revision + bump if bump else snapshot.revision,
        own_revisions=OWN_REVISIONS,
        user_keys=snapshot.manifest.user_keys if snapshot.manifest else None,
        loss=_loss(before, snapshot, hosts, options.now),
        before_id=before.cluster_id,
    )


def _plan_hosts(
    of: ClusterPlan, hosts: Mapping[str, Host], before: Before, options: Options, findings: Findings
) -> Dict[str, HostPlan]:
    per_host: Dict[str, HostPlan] = {}
    for host, facts in hosts.items():
        try:
            plan = plan_host(host, facts, of, before, options)
        except EtcdError as error:
            findings.refuse(error.message, error.next_step, host)
            continue
        check_start(host, facts.member, of.snapshot.size, findings)
        per_host[host] = replace(plan, disk=check_disk(host, facts.member, plan, findings))
    return per_host


def _spool_of(of: ClusterPlan, options: Options) -> str:
    return os.path.join(options.spool, f"{of.cluster}-{of.restore_id}")


def _check_spool(spool: Spool, options: Options, findings: Findings) -> None:
    if spool.need > options.spool_free:
        findings.refuse(
            f"the snapshot needs {in_mib(spool.need)} in {spool.path} on the controller, which has"
            f" {in_mib(options.spool_free)} free.",
            "make room there, or name a folder with more in etcd_restore_spool.",
        )


def _highest_seen(name: str, hosts: Mapping[str, Host], snapshot: ChosenSnapshot, options: Options) -> int:
    """The highest revision of this cluster that is recorded anywhere, also on hosts that are left out.

    By members that answer, databases of those that do not, manifests, snapshots, and the journals of earlier restores.
    """
    seen = [snapshot.revision, options.controller_revisions.get(name, 0)]
    seen += [entry.revision for entry in options.controller_snapshots if said_of(entry) == name]
    for facts in hosts.values():
        seen += [entry.revision for entry in facts.snapshots]
        seen.append(facts.recorded.get(name, 0))
        seen.append((facts.view.revision if facts.view else None) or 0)
        seen += [facts.member.data.revision, facts.highest_revision]
    return max(seen)


def _bump(hosts: Mapping[str, Host], seen: int, snapshot: ChosenSnapshot, options: Options, findings: Findings) -> int:
    """By how many revisions to raise the restored store: above all that was ever seen, so that watchers never go back."""
    if not options.bump_revision:
        return 0
    if not all(commands.can_bump(facts.tools) for facts in hosts.values()):
        findings.warn(
            "the tools on these hosts cannot raise the revision (etcdctl 3.4.27, etcdutl 3.5.10 or later can): revisions go"
            " back, so clients that watch, such as Kubernetes, must be restarted after the restore."
        )
        return 0
    if seen + BUMP_MARGIN > HIGHEST_REVISION:
        findings.refuse(
            f"the highest revision on record is {seen}, and no revision can be {BUMP_MARGIN:,} above it.",
            "find the manifest or member that says so; to restore with revisions that go back, set"
            " etcd_restore_bump_revision=false and restart the clients that watch.",
        )
    return seen - snapshot.key_revision + BUMP_MARGIN


def _loss(before: Before, snapshot: ChosenSnapshot, hosts: Mapping[str, Host], now: str) -> Loss:
    """What the restore gives up: seconds since the snapshot, and revisions where a member still tells its own."""
    seconds = max(0, int((instant(now) - instant(snapshot.taken_at)).total_seconds()))
    if not before.revision:
        return Loss(seconds, None, "no member can tell")
    revisions = _lost_revisions(before, snapshot, hosts)
    if revisions is None:
        return Loss(seconds, None, "cannot be told: a restore has raised the revision in between")
    return Loss(seconds, revisions)


def _lost_revisions(before: Before, snapshot: ChosenSnapshot, hosts: Mapping[str, Host]) -> Optional[int]:
    """How many revisions were written since the snapshot, without those by which a restore in between has raised them."""
    lost = before.revision - snapshot.revision
    for last in lasts_of(hosts).values():
        of = last.plan.of
        if of.cluster_id and of.cluster_id == before.cluster_id and snapshot.revision < of.revision:
            # Those since that restore, and those that the snapshot of that restore was ahead of this one.
            lost = _written_since(of, before) + max(0, of.snapshot.revision - snapshot.revision)
    return lost if abs(lost) < BUMP_MARGIN // 2 else None  # nobody has written so many


def _written_since(of: ClusterPlan, before: Before) -> int:
    """How many revisions clients have written since that restore: its proof has written too, but for those of old."""
    return max(0, before.revision - of.revision - of.own_revisions)
