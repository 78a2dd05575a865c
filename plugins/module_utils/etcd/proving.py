# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster as its members prove it: each voter is asked for a linearizable read, which none that is cut off can answer.

``endpoint status`` is a member's own word, and one that is cut off, or whose disk hangs, still says that it has a leader.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence

from .asking import Handshake, Knock
from .cluster import observe
from .commands import Connection, Run, Tools, endpoint_health
from .judging import conclude
from .learners import Read, read_metrics
from .printed import probes_of
from .quorum import UNASKABLE, Quorum
from .unaskable import handshake, refusal
from .view import ClusterView, MemberView

UNPROVEN = "it does not answer a linearizable read"


def look(
    run: Run,
    tools: Tools,
    connection: Connection,
    member_names: Optional[Mapping[str, str]] = None,
    *,
    knock: Optional[Knock] = None,
    handshake: Handshake = handshake,
    read: Read = read_metrics,
) -> ClusterView:
    """The view of ``observe``, without hashes, in which a voter is ``healthy`` only where it has itself answered a
    linearizable read within ``connection.command_timeout``. EtcdError as ``observe`` has it.

    By these reads, too: ``serving_voters``, ``healthy_voters``, ``has_quorum`` (one answer proves that there is one),
    ``quorum_unknown``, ``may_fail``, ``health`` and ``summary``. Still by the members' own words: ``has_leader``,
    ``leader`` (of the highest term), a learner's ``healthy`` (it answers its status alone), and all numbers. A voter with an
    alarm is not healthy, and serves. The member list is of members that have answered, where any has.

    Of a learner that lets no user log in all numbers are those of its metrics: see ``learners``.
    """

    def see(at: Connection) -> ClusterView:
        return observe(run, tools, at, member_names, hash_check=False, knock=knock, look=handshake, read=read)

    view = see(connection)
    probes = _probe(run, tools, connection, view, {})
    answered = [url for url, why in probes.items() if not why]
    if answered and len(answered) < len(probes):  # one that is cut off may have given a list of the past
        view = see(replace(connection, endpoints=answered))
        probes = _probe(run, tools, connection, view, probes)
    return proven(view, probes)


def _probe(
    run: Run, tools: Tools, connection: Connection, view: ClusterView, known: Mapping[str, str]
) -> Dict[str, str]:
    """By endpoint of a voter that says something, why it has not answered; empty where it has."""
    voters = [member.endpoint for member in view.members if member.version and not member.is_learner]
    urls = [url for url in voters if url not in known]
    if not urls or tools.etcdctl is None:
        return dict(known)
    command = endpoint_health(tools.etcdctl, replace(connection, endpoints=urls))
    result = run(command.argv, command.env)
    said = probes_of(result.out, command, result.rc)
    return {**known, **{url: said.get(url, "no answer") for url in urls}}


def proven(view: ClusterView, probes: Mapping[str, str]) -> ClusterView:
    """The view, judged by what each voter has answered to a linearizable read; see ``look``."""
    members = [_proven(member, probes) for member in view.members]
    voters = [member for member in members if not member.is_learner]
    held = len([member for member in voters if _answers(member)])
    # Whoever refuses the question may be in the best of health.
    refused = [url for url, why in probes.items() if refusal(why).does]
    unasked = len([member for member in voters if member.state == UNASKABLE or member.endpoint in refused])
    quorum = Quorum(len(voters), held)
    view = replace(
        view,
        members=members,
        serving_voters=held,
        healthy_voters=len([member for member in voters if member.healthy]),
        has_quorum=held > 0,
        quorum_unknown=not held and Quorum(len(voters), held + unasked).held,
        may_fail=quorum.may_fail,
        next_steps=_next_steps(view, probes),
    )
    return conclude(view, [], None)


def _proven(member: MemberView, probes: Mapping[str, str]) -> MemberView:
    why = "" if member.is_learner or not member.version else probes.get(member.endpoint, "it was not asked")
    return replace(member, healthy=False, errors=[*member.errors, f"{UNPROVEN}: {why}"]) if why else member


def answering(view: ClusterView) -> List[MemberView]:
    """The voters of a view of ``look`` that have answered a linearizable read, alarm or not: who can be asked."""
    return [member for member in view.members if not member.is_learner and _answers(member)]


def _answers(member: MemberView) -> bool:
    return bool(member.version) and not any(error.startswith(UNPROVEN) for error in member.errors)


def _next_steps(view: ClusterView, probes: Mapping[str, str]) -> Sequence[str]:
    steps = [*view.next_steps, *(refusal(why).next_step for why in probes.values())]
    return list(dict.fromkeys(step for step in steps if step))


def lag(view: ClusterView, member_id: str) -> Optional[int]:
    """Entries of the leader's log that a member has not applied, by their own words; None where one of them says nothing."""
    found = {member.id: member for member in view.members}
    leader, member = found.get(view.leader), found.get(member_id)
    if leader is None or member is None or not (leader.raft_index and member.raft_applied_index):
        return None
    return max(0, leader.raft_index - member.raft_applied_index)
