# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore: everything it will do, host by host, and every reason not to do it.

A pure computation from what the hosts reported to plain dictionaries: no file, no command, no clock. The same input
gives the same output. ``make_plan`` is the way in; whether a restore is new or goes on is decided here, and each has a file
of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Tuple

from ..core import job
from ..core.job import ROLLBACK, Findings
from ..core.journals import Newest
from ..core.values import to_plain
from .answers import Host, HostAnswer, read_answers, refuse_what_is_wrong
from .checks import check_presence, unknown_excluded
from .going_on import check_elsewhere, check_same_snapshot, go_on, interrupted, is_being_rolled_back, lasts_of
from .new_restore import plan_restore
from .terms import RESTORE, RESUME, Options
from .values import HostPlan, PlannedCluster


def make_plan(hosts: Mapping[str, Mapping[str, Any]], options: Options) -> Dict[str, Any]:
    """Plan every cluster among ``hosts``.

    ``hosts`` maps each inventory name to ``{"cluster": str, "member": member_info's answer or None, "view": cluster_info's
    answer or None, "snapshots": snapshot_info's list or [], "recorded": {cluster: revision}}``; a host that is in the
    group but did not answer, or is not in this run, has no ``member``, and says ``why`` ("cannot be reached: ...").
    Returns ``{"clusters": {name: ...}, "hosts": {host: ...}, "refusals": [...], "warnings": [...]}``, in plain form (see
    ``values``); where there is a refusal, nothing may be done.
    """
    answers, wrong = read_answers(hosts)
    # Who is known is told by all answers; one that cannot be understood is a refusal of its own.
    unknown = [] if wrong else unknown_excluded(answers, options)

    def plan_one(name: str, findings: Findings) -> job.Planned:
        for excluded in unknown:
            findings.refuse(
                f"etcd_restore_exclude names {excluded}, which is no host of the inventory's groups and no member that anybody"
                " here knows.",
                "correct the name: it is the host's in the inventory, or the member's in the cluster.",
            )
        for folder in options.unwritable:
            findings.warn(f"no report of this run can be written to {folder} on the controller: set etcd_report_dir.")
        group = sorted(host for host in hosts if hosts[host]["cluster"] == name)
        if refuse_what_is_wrong(wrong, sorted(group, key=lambda host: host in options.exclude), findings):
            return PlannedCluster(name, ROLLBACK if options.rollback else RESTORE).as_plain(), {}
        own = {host: answers[host] for host in group if host not in options.exclude}
        left_out = {host: answers[host] for host in group if host not in own}
        cluster, per_host = _plan_cluster(name, own, left_out, options, findings)
        claimed = {host: replace(plan, claim=options.run.claim(_newest(own[host]))) for host, plan in per_host.items()}
        return cluster.as_plain(), {host: to_plain(plan) for host, plan in claimed.items()}

    return job.plan_each((host["cluster"] for host in hosts.values()), plan_one)


def _plan_cluster(
    name: str,
    hosts: Mapping[str, HostAnswer],
    left_out: Mapping[str, HostAnswer],
    options: Options,
    findings: Findings,
) -> Tuple[PlannedCluster, Dict[str, HostPlan]]:
    check_presence(hosts, findings)
    present = {host: answer.told for host, answer in hosts.items() if answer.told}
    unreadable = _refuse_unreadable(present, findings)
    if check_elsewhere(name, present, findings) or unreadable:
        return PlannedCluster(name, ROLLBACK if options.rollback else RESTORE), {}
    lasts = lasts_of(present)
    if not options.run.is_alone({host: told.member.newest_job for host, told in present.items()}, findings):
        return PlannedCluster(name, ROLLBACK if options.rollback else RESTORE), {}
    if options.rollback:
        return go_on(name, ROLLBACK, present, findings)
    waiting = interrupted(lasts)
    if not waiting:
        return plan_restore(name, present, left_out, options, findings, complete=len(present) == len(hosts))
    check_same_snapshot(waiting, options, findings)
    if not is_being_rolled_back(waiting, lasts):
        return go_on(name, RESUME, present, findings)
    findings.warn(
        "an earlier run has begun to put the old data back, and this one ends that; for the restore itself, run again."
    )
    return go_on(name, ROLLBACK, present, findings)


def _newest(answer: HostAnswer) -> Optional[Newest]:
    return answer.told.member.newest_job if answer.told else None


def _refuse_unreadable(hosts: Mapping[str, Host], findings: Findings) -> bool:
    """Whether the journal of any host cannot be read: nobody knows then what a restore before has done there."""
    found = {host: facts.unreadable for host, facts in hosts.items() if facts.unreadable}
    for host, unreadable in found.items():
        findings.refuse(unreadable.problem, unreadable.next_step, host)
    return bool(found)
