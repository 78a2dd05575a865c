# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which member a snapshot is taken from, and when none is. Pure functions of the view of the cluster."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from ..core.errors import EtcdError
from .view import ClusterView, MemberView

_LAG = 1000  # raft entries that a follower may be behind the best one and still be chosen


class Sides(NamedTuple):
    """The voters that hold the same data as most of them, and the others, where the hashes at one revision differ."""

    majority: List[MemberView]
    others: List[MemberView]


def sides(view: ClusterView) -> Sides:
    """Who holds what; the majority is empty where no data is held by more than half of the voters."""
    by_hash: Dict[int, List[MemberView]] = {}
    for member in view.members:
        if member.hash is not None:
            by_hash.setdefault(member.hash, []).append(member)
    largest = max(by_hash.values(), key=len, default=[])
    majority = largest if 2 * len(largest) > view.voters else []
    return Sides(majority, [member for group in by_hash.values() for member in group if member not in majority])


def choose_endpoint(view: ClusterView) -> str:
    """The endpoint to take a snapshot from; empty where none answers, or where nobody knows whose data is the right one.

    A healthy follower that is not behind is best, since it spares the leader; then the leader; then a voter with an
    alarm or without a leader; a learner last. Never a member with a CORRUPT alarm, and where the members differ none
    that holds other data than most of them.
    """
    corrupt = {alarm.member for alarm in view.alarms if alarm.alarm == "CORRUPT"}
    among = sides(view).majority if view.hashes_equal is False else view.members
    answering = [member for member in among if member.version and member.id not in corrupt]
    newest = max([member.raft_applied_index for member in answering], default=0)

    def rank(member: MemberView) -> Tuple[bool, bool, bool, bool, bool, int, str]:
        near = newest - member.raft_applied_index <= _LAG
        follows = near and not member.is_leader
        applied = member.raft_applied_index
        return (
            not member.is_learner,
            member.healthy,
            member.has_leader,
            near,
            follows,
            applied,
            member.name,
        )

    return max(answering, key=rank).endpoint if answering else ""


def source_endpoint(view: ClusterView, wanted: str = "", accept_divergence: bool = False) -> str:
    """The endpoint for a backup: the ``wanted`` one, or the best. EtcdError where no backup should be taken.

    Members that differ are a cluster whose data nobody can vouch for, and a backup of it looks like any other: it is taken
    only with ``accept_divergence``, and then from one of the majority.
    """
    if view.hashes_equal is False:
        _check_divergence(view, wanted, accept_divergence)
    endpoint = wanted or view.best_endpoint
    if not endpoint:
        nothing = "start a member, or check endpoints and TLS files."
        raise EtcdError(f"no snapshot can be saved: {view.summary}", " ".join(view.next_steps) or nothing)
    return endpoint


def _check_divergence(view: ClusterView, wanted: str, accepted: bool) -> None:
    majority, others = sides(view)
    differ = ", ".join(_name(member) for member in others)
    cause = f"the members do not hold the same data: at revision {view.hash_revision} "
    if not majority:
        raise EtcdError(
            f"{cause}no data is the same on more than half of them ({differ}), so no snapshot is taken.",
            "compare their keys, decide whose data is right, and save that with etcdctl snapshot save.",
        )
    most = ", ".join(_name(member) for member in majority)
    if accepted and (not wanted or wanted in {member.endpoint for member in majority}):
        return
    raise EtcdError(
        f"{cause}{differ} {'differs' if len(others) == 1 else 'differ'} from {most}, so no snapshot is taken.",
        "replace what differs, after its keys were compared; to take a snapshot of the majority all the same, set"
        " etcd_backup_accept_divergence=true.",
    )


def _name(member: MemberView) -> str:
    return member.name or member.endpoint
