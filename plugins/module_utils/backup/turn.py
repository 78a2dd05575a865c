# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn it is: on several members a backup is made once, and by another where that one is down.

There is no controller, so each agent decides for itself, by what the cluster tells everyone alike: of the healthy voters that
are not the leader, the one with the lowest ID has the turn; the leader only where there is no other. Where no voter is healthy,
as without a quorum, whoever answers counts, since what is still there should be saved. The agents see each other's members and
not each other: one whose member is in good health and that does not run itself is not noticed by the others. Where that is not
wanted, every member makes its own backups.
"""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Tuple

from ..core.errors import EtcdError
from ..etcd.view import ClusterView, MemberView


class Turn(NamedTuple):
    """``mine``: this host makes the backup now. ``endpoint`` is that of its own member, ``why`` says it in words."""

    mine: bool
    endpoint: str
    why: str


def turn(view: ClusterView, here: Iterable[str]) -> Turn:
    """Whether this host, whose member is at the endpoints ``here``, makes the backup. EtcdError where nobody can."""
    order = in_turn(view)
    if not order:
        raise EtcdError(
            f"no member answers that a snapshot could be taken from: {view.summary}",
            " ".join(view.next_steps) or "start a member, or check endpoints and TLS files.",
            silent=True,
        )
    own = own_id(view, here)
    first = order[0]
    if first.id == own:
        return Turn(True, first.endpoint, f"it is the turn of {_name(first)}, the member of this host")
    return Turn(False, "", f"it is the turn of {_name(first)}, at {first.endpoint}")


def in_turn(view: ClusterView) -> List[MemberView]:
    """The members that could make a backup, in the order of their turns."""
    voters = [member for member in view.members if member.version and not member.is_learner]
    able = [member for member in voters if member.healthy] or voters
    return sorted(able, key=lambda member: (member.is_leader, member.id))


def strays(view: ClusterView) -> Tuple[str, ...]:
    """What is told of the endpoints where another cluster answers, as a member does that has lost its data and founded one anew.

    EtcdError where it is not plain which of them is backed up.
    """
    if not view.is_plain:
        raise EtcdError(view.summary, "stop what is none of this cluster, or set the endpoints of one cluster.")
    return tuple(
        f"at {one.endpoint} another cluster answers ({one.cluster_id}), which is not in this backup: a member that has lost its"
        " data may have founded one of its own, and member_replace.yml brings it back."
        for one in view.strangers
    )


def own_id(view: ClusterView, here: Iterable[str]) -> str:
    """The ID of the member at one of the endpoints ``here``; empty where none answers there."""
    urls = set(here)
    return next((one.member_id for one in view.endpoints if one.endpoint in urls and one.member_id), "")


def _name(member: MemberView) -> str:
    return member.name or member.id
