# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of this job that was cut off has left half-way: told by the journals of its hosts, and by the member list.

The list shows how far the membership has come. It does not show whose place a newcomer takes once the old member is gone, nor
that a host whose member has left still has its data, nor that a configuration names the members of before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Mapping

from ..core.values import Misfit, from_plain
from ..host.facts import MemberFacts
from .sequence import Change

JOB = "member_replace"


@dataclass(frozen=True)
class Begun:
    """``hosts``: those whose newest job is one of this kind that is not done; ``retiring``: those whose member was to leave by
    it. ``changes``: what they were told to do, those of the newest run first; ``latest``: those of the last run of all, where
    that one was cut off.
    """

    hosts: List[str] = field(default_factory=list)
    retiring: List[str] = field(default_factory=list)
    changes: List[Change] = field(default_factory=list)
    latest: List[Change] = field(default_factory=list)


def begun_on(members: Mapping[str, MemberFacts]) -> Begun:
    found = Begun()
    jobs = [one.newest_job for one in members.values() if one.newest_job and one.newest_job.job == JOB]
    last = max((job.restore_id for job in jobs), default="")
    plans = {host: plan_of(member) for host, member in members.items()}
    for host, plan in sorted(plans.items(), key=lambda each: str(each[1].get("restore_id")), reverse=True):
        if plan:
            found.hosts.append(host)
            found.retiring.extend([host] if plan.get("retires") is True else [])
            changes = changes_of(plan)
            found.changes.extend(change for change in changes if change not in found.changes)
            if plan.get("restore_id") == last:
                found.latest.extend(change for change in changes if change not in found.latest)
    return found


def plan_of(member: MemberFacts) -> Mapping[str, Any]:
    """This host's part of the plan of its newest job, where that is one of this kind and not done."""
    newest = member.newest_job
    return newest.plan if newest and newest.job == JOB and newest.open else {}


def changes_of(plan: Mapping[str, Any]) -> List[Change]:
    """Of whatever version of this collection the plan is: what cannot be understood is none."""
    of = plan.get("of")
    told = of.get("changes") if isinstance(of, Mapping) else None
    found = []
    for plain in told if isinstance(told, list) else []:
        try:
            found.append(from_plain(Change, plain))
        except Misfit:
            continue
    return found


def comes_here(host: str, member: MemberFacts) -> bool:
    """Whether an interrupted run was about to bring a newcomer to this host."""
    return any(change.host == host and change.comes for change in changes_of(plan_of(member)))
