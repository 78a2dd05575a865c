# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore that was begun before: whether one is to be ended first, and how it goes on, or back, by the plans that were kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..core.job import ROLLBACK, Findings
from ..host.facts import MemberFacts
from .answers import Host, LastRestore
from .checks import check_service
from .terms import RESUME, Options
from .values import Before, ClusterPlan, HostPlan, PlannedCluster
from .verdict import RESTART

Lasts = Mapping[str, LastRestore]


def lasts_of(hosts: Mapping[str, Host]) -> Dict[str, LastRestore]:
    """The newest restore of each host that had one."""
    return {host: facts.last for host, facts in hosts.items() if facts.last}


def interrupted(lasts: Lasts) -> List[LastRestore]:
    """Those that are open, of a restore that has already stopped something on any host, if there are any."""
    begun = {last.restore_id for last in lasts.values() if last.touched}
    waiting = [last for last in lasts.values() if last.open and last.restore_id in begun]
    if any(last.touched for last in waiting):
        return waiting
    # What was only staged, where all that was touched is back already, holds nothing that its snapshot does not.
    over = {last.restore_id for last in lasts.values() if last.touched and last.back}
    return [last for last in waiting if last.restore_id not in over]


def is_being_rolled_back(waiting: Sequence[LastRestore], lasts: Lasts) -> bool:
    """Whether any host has begun, or ended, to roll back a restore that others have not closed."""
    ids = {last.restore_id for last in waiting}
    return any(last.back for last in lasts.values() if last.restore_id in ids)


def check_elsewhere(name: str, hosts: Mapping[str, Host], findings: Findings) -> bool:
    """Whether a restore of this cluster waits for its end in another data directory than the member's of today."""
    found = False
    for host, facts in hosts.items():
        for other in facts.member.interrupted_elsewhere:
            if other.cluster == name:
                found = True
                findings.refuse(
                    f"the restore {other.restore_id} of this cluster was interrupted here, and its data directory was"
                    f" {other.data_dir}; now it is {facts.member.data_dir or 'not known'}.",
                    f"put {other.data_dir} back into its configuration, or set etcd_data_dir, and run again to end that"
                    " restore first.",
                    host,
                )
    return found


def check_same_snapshot(waiting: Sequence[LastRestore], options: Options, findings: Findings) -> None:
    before = waiting[0].plan.snapshot
    if options.snapshot not in ("latest", before.source_path, before.path):
        findings.refuse(
            f"a restore of {before.source_path} was interrupted after it had stopped the cluster, and now"
            f" {options.snapshot} is asked for.",
            "run again without etcd_restore_snapshot to complete the first one, or with -e etcd_restore_rollback=true to"
            " take it back.",
        )


def go_on(
    name: str, mode: str, hosts: Mapping[str, Host], findings: Findings
) -> Tuple[PlannedCluster, Dict[str, HostPlan]]:
    """Go on with, or take back, the newest restore, by the plans that the hosts kept."""
    lasts = lasts_of(hosts)
    ids = _newest(lasts)
    if not ids:
        findings.refuse("no restore has changed anything on these hosts, so there is nothing to roll back.", "nothing.")
        return PlannedCluster(name, mode), {}
    if len(ids) > 1:
        findings.refuse(
            f"the hosts do not agree which restore is the newest: {_who_has(ids, lasts)}.",
            "name the hosts of all but one of them in etcd_restore_exclude.",
        )
        return PlannedCluster(name, mode), {}
    (restore_id,) = ids
    own = {host: last for host, last in lasts.items() if last.restore_id == restore_id}
    if mode == ROLLBACK and any(last.started for last in own.values()):
        findings.warn(
            "the restored cluster has served, and with the old data its revisions go back. What was written to it is kept beside"
            f" the old data, and is not in it. After the rollback, {RESTART}"
        )
    per_host = {}
    # Clients go by what an earlier run has proven: from then on only the operator takes it back.
    settled = any(last.proven for last in own.values())
    for host, facts in hosts.items():
        if host in own:
            check_service(host, facts.member, findings)
            plan = _corrected(own[host].plan, facts.member)
            of = _without_the_lost(plan.of, own) if mode == RESUME else plan.of
            per_host[host] = replace(plan, of=of, mode=mode, settled=settled, reports=host == min(own))
        else:
            findings.refuse(
                f"it has no journal of the restore {restore_id}, which other members have begun.",
                "name it in etcd_restore_exclude, complete the restore without it, and add it as a new member afterwards.",
                host,
            )
    of = replace(next(iter(per_host.values())).of, cluster=name, restore_id=restore_id)
    return PlannedCluster(name, mode, of), per_host


def _without_the_lost(of: ClusterPlan, own: Lasts) -> ClusterPlan:
    """The plan of the cluster, with the members that no host of this run has."""
    names = {last.plan.member.name for last in own.values()}
    return replace(of, without=sorted(set(of.members.values()) - names))


def _corrected(plan: HostPlan, member: MemberFacts) -> HostPlan:
    """The kept plan, with the service that is named now or that runs the member now: the one of then may be the cause."""
    if not (member.running or member.service.named):
        return plan
    return replace(plan, member=replace(plan.member, service=member.service))


def _newest(lasts: Lasts) -> List[str]:
    """The restores that are the newest on some host, and on no host older than another: one, where the hosts agree.

    No clock is asked. A host that was left out of the last restore has an older one as its newest.
    """
    touched = [last for last in lasts.values() if last.touched]
    older = {restore_id for last in touched for restore_id in last.earlier}
    return sorted({last.restore_id for last in touched} - older)


def _who_has(ids: Sequence[str], lasts: Lasts) -> str:
    having = {each: [host for host, last in lasts.items() if last.restore_id == each] for each in ids}
    return "; ".join(f"{each} on {', '.join(hosts)}" for each, hosts in having.items())


def already_restored(hosts: Mapping[str, Host], sha256: str, before: Before, options: Options) -> Optional[ClusterPlan]:
    """The plan of the finished restore of this very snapshot, where the cluster that it made still lives."""
    lasts = list(lasts_of(hosts).values())
    same = len({last.plan.restore_id for last in lasts}) == 1 and all(last.step == "finished" for last in lasts)
    if options.again or options.token or len(lasts) < len(hosts) or not same:
        return None
    plan = lasts[0].plan
    alive = before.cluster_id == plan.of.cluster_id and before.has_quorum
    return plan.of if alive and plan.snapshot.sha256 == sha256 else None
