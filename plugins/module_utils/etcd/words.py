# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster in words, as lines for a terminal."""

from __future__ import annotations

from typing import List

from ..core.text import size, table
from .quorum import SERVES, UNASKABLE, UNSTARTED
from .view import ClusterView, MemberView


def cluster_in_words(view: ClusterView) -> List[str]:
    """What ``observe`` saw: a sentence, then a line for each member, then the alarms."""
    rows: List[List[object]] = [
        ["member", "endpoint", "state", "version", "db size", "in use", "revision", "raft index", "id"]
    ]
    for member in view.members:
        rows.append(
            [
                member.name or ("(name unknown)" if member.started else "(not started)"),
                member.endpoint or ",".join(member.client_urls) or ",".join(member.peer_urls),
                _state(member),
                member.version,
                size(member.db_size),
                size(member.db_size_in_use),
                member.revision or "",
                member.raft_index or "",
                member.id,
            ]
        )
    lines = [view.summary, *table(rows)]
    lines += [f"  ALARM {alarm.alarm} on member {alarm.member}" for alarm in view.alarms]
    listed = {member.endpoint for member in view.members}
    for answer in view.endpoints:
        told = answer.ok or answer.error in view.summary
        if not told and (answer.state == UNASKABLE or answer.endpoint not in listed):
            what = "cannot be asked" if answer.state == UNASKABLE else "does not answer"
            lines.append(f"  {answer.endpoint} {what}: {answer.error}")
    return lines + [f"  Next: {step}" for step in view.next_steps]


def _state(member: MemberView) -> str:
    if member.state == UNASKABLE:
        return f"runs, {member.refusal or 'does not answer'}"
    if member.state != SERVES:
        return "unstarted" if member.state == UNSTARTED else "DOWN"
    role = "leader" if member.is_leader else "learner" if member.is_learner else "follower"
    return role if member.healthy else f"{role}, UNHEALTHY"
