# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cluster can spare a member for a while: a pure function from its view to the reasons why not."""

from __future__ import annotations

from typing import Collection, List, NamedTuple

from ..core.text import counted, listed
from ..etcd.quorum import Quorum
from ..etcd.view import ClusterView, MemberView

LAG = 1000  # entries that a member may be behind, which it has caught up with in no time


class Reason(NamedTuple):
    cause: str
    next_step: str


def reasons(view: ClusterView, away: str, but: Collection[str] = ()) -> List[Reason]:
    """Why the member with the ID ``away`` cannot be spared; ``but``: IDs of members that are known to come back before.

    Learners do not count. What is not known of a cluster is a reason. Of hashes only what the view has is judged.
    """
    if not view.members_complete:
        return [Reason("the cluster did not tell its members.", "run status.yml, which says why.")]
    voters = [member for member in view.members if not member.is_learner]
    found = [_sick(member) for member in voters if not member.healthy and member.id not in but]
    if not view.leader:
        found.append(Reason("no leader is known.", "wait until one is elected, and run again."))
    sound = len([member for member in voters if member.healthy or member.id in but])
    before, after = Quorum(len(voters), sound), Quorum(len(voters), sound - 1 if sound else 0)
    if found or not after.held:
        name = next((member.name for member in voters if member.id == away), away)
        found.append(
            Reason(
                f"{arithmetic(before, after, name)}: {'it' if after.held else 'the cluster'}"
                f" {'would have nothing to spare for a real failure' if after.held else 'could not write any more'}.",
                "drill a cluster of three or more voters, all of them healthy.",
            )
        )
    for alarm in view.alarms:
        name = next((member.name for member in view.members if member.id == alarm.member), alarm.member)
        found.append(Reason(f"{name} has raised the alarm {alarm.alarm}.", "remove its cause, and disarm it."))
    return (
        found
        + [_late(member, view) for member in voters if member.healthy and _behind(member, view) > LAG]
        + _unequal(view)
    )


def arithmetic(before: Quorum, after: Quorum, name: str) -> str:
    """``3 voters, 3 healthy, quorum 2: without m1 2 of 3 are left``"""
    start = f"{counted(before.voters, 'voter')}, {before.healthy} healthy, quorum {before.size}"
    return f"{start}: without {name} {after.healthy} of {after.voters} {'is' if after.healthy == 1 else 'are'} left"


def _sick(member: MemberView) -> Reason:
    why = listed(list(member.errors)) or member.state
    return Reason(f"the voter {member.name or member.id} is not healthy: {why}.", "run status.yml, and mend it.")


def _behind(member: MemberView, view: ClusterView) -> int:
    return max(one.raft_index for one in view.members) - (member.raft_applied_index or member.raft_index)


def _late(member: MemberView, view: ClusterView) -> Reason:
    behind = _behind(member, view)
    return Reason(
        f"{member.name} is {behind:,} entries behind, of which {LAG:,} will do.",
        "wait until it has caught up, and run again.",
    )


def _unequal(view: ClusterView) -> List[Reason]:
    if view.hashes_equal is not False:
        return []
    return [
        Reason(
            f"the members do not hold the same data: their hashes differ at revision {view.hash_revision}.",
            "see with status.yml which member differs, and mend that first.",
        )
    ]
