# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the endpoints said, judged: pure functions from their answers to the view of the cluster."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from .asking import Answer
from .printed import Hash, Listed, id_of
from .quorum import UNASKABLE, UNSTARTED, Quorum
from .source import choose_endpoint
from .view import AlarmView, ClusterView, EndpointView, MemberView


def assemble(
    answers: Sequence[Answer],
    listed: Sequence[Listed],
    names: Mapping[str, str],
    proof: bool,
    asked: Iterable[str],
) -> ClusterView:
    """The view but for alarms of the list, hashes and verdict. ``proof``: a request that needs a quorum has succeeded.

    ``asked`` are the endpoints that the operator gave: of those learned from the member list only the ones that answer
    are shown.
    """
    asked = set(asked)
    main = main_cluster(answers)
    shown = [_endpoint(answer) for answer in answers if answer.status or answer.endpoint in asked]
    by_id = {answer.member_id: answer for answer in reversed(main)}
    leader = _leader(main)
    found = [_listed(member, by_id.get(member.id), answers) for member in listed] or _guessed(answers, by_id, names)
    found = [replace(member, is_leader=bool(leader) and member.id == leader) for member in found]
    members = sorted(found, key=lambda member: (member.name, member.id))
    voters = [member for member in members if not member.is_learner]
    unaskable = [member for member in voters if member.state == UNASKABLE]
    quorum = Quorum(len(voters), len(serving(members)))
    possible = Quorum(len(voters), len(serving(members)) + len(unaskable))
    return ClusterView(
        cluster_id=main[0].cluster_id if main else "",
        cluster_ids=sorted({answer.cluster_id for answer in answers if answer.status}),
        members=members,
        members_complete=bool(listed),
        endpoints=shown,
        next_steps=list(dict.fromkeys(found.next_step for found in shown if found.next_step)),
        leader=leader,
        leader_name=next((member.name for member in members if member.is_leader), ""),
        term=max([member.raft_term for member in members], default=0),
        learners=len(members) - len(voters),
        voters=len(voters),
        healthy_voters=sum(1 for member in voters if member.healthy),
        serving_voters=quorum.healthy,
        quorum=quorum.size,
        has_quorum=quorum.held or proof,
        quorum_unknown=possible.held and not (quorum.held or proof),
        may_fail=quorum.may_fail,
        revision=max([member.revision for member in members], default=0),
        alarms=_own_alarms(main),
    )


def conclude(view: ClusterView, hashes: Sequence[Hash], revision: Optional[int]) -> ClusterView:
    """The view with its hashes, its health in a word, a sentence for people, and the best endpoint."""
    by_endpoint = {found.endpoint: found for found in hashes}
    revisions = {found.revision for found in hashes}
    view = replace(
        view,
        members=[_with_hash(member, by_endpoint.get(member.endpoint)) for member in view.members],
        hash_revision=revision or (revisions.pop() if len(revisions) == 1 else None) or None,
        hashes_equal=hashes_equal(hashes),
    )
    view = replace(view, health=health(view), best_endpoint=choose_endpoint(view))
    return replace(view, summary=summary(view))


def _with_hash(member: MemberView, found: Optional[Hash]) -> MemberView:
    return replace(member, hash=found.hash, hash_compact_revision=found.compact_revision) if found else member


def hashes_equal(hashes: Sequence[Hash]) -> Optional[bool]:
    """Whether all members hold the same data; None where the hashes do not tell.

    Equal hashes are equal data. Different ones are different data only at one known revision and with the same
    compaction, since what a compaction removes is part of the hash until it is removed.
    """
    if not hashes:
        return None
    if len({found.hash for found in hashes}) == 1:
        return True
    same = len({found.revision for found in hashes}) == 1 and len({found.compact_revision for found in hashes}) == 1
    return False if same and hashes[0].revision else None


def health(view: ClusterView) -> str:
    """One of ``healthy``, ``degraded``, ``no quorum``, ``cannot be asked``, ``unreachable`` and ``split``.

    ``split``: several cluster IDs answer. ``cannot be asked``: members run that could be its quorum, and give no answer.
    """
    if len(view.cluster_ids) > 1:
        return "split"
    if view.quorum_unknown:
        return "cannot be asked"
    if not view.cluster_ids:
        return "unreachable"
    if not view.has_quorum:
        return "no quorum"
    sound = all(member.healthy for member in view.members) and view.members_complete
    sound = sound and not view.alarms and view.hashes_equal is not False
    return "healthy" if sound else "degraded"


def summary(view: ClusterView) -> str:
    """One sentence, or a few, for people."""
    causes = _causes(view)
    if view.health == "unreachable":
        return f"No endpoint answers ({causes})."
    if view.health == "cannot be asked":
        return f"Members run that cannot be asked ({causes}), so nothing is known of a quorum."
    if view.health == "split":
        return f"The endpoints belong to {len(view.cluster_ids)} clusters ({', '.join(view.cluster_ids)})."
    words = [f"Cluster {view.cluster_id} is {view.health}, " if view.has_quorum else f"Cluster {view.cluster_id}: "]
    words[0] += f"revision {view.revision}, leader {view.leader_name or view.leader or 'none'}."
    words.append(Quorum(view.voters, view.serving_voters).sentence if not _unseen(view) else _UNSEEN)
    sick = [member for member in view.members if not member.healthy]
    down = [member.name or member.endpoint or f"{member.id} (not started)" for member in sick]
    if down:
        words.append(f"Not healthy: {', '.join(down)}.")
    if view.alarms:
        words.append(f"Alarms: {', '.join(sorted({alarm.alarm for alarm in view.alarms}))}.")
    if view.hashes_equal is False:
        words.append(f"The members do not hold the same data: their hashes differ at revision {view.hash_revision}.")
    return " ".join(words)


def _causes(view: ClusterView) -> str:
    """Why the silent endpoints give no answer, each cause once."""
    by_error: Dict[str, List[str]] = {}
    for found in view.endpoints:
        if not found.ok:
            by_error.setdefault(found.error, []).append(found.endpoint)
    return "; ".join(f"{', '.join(urls)}: {error}" for error, urls in by_error.items())


_UNSEEN = "It has a quorum, although too few of its voters are reached from here to tell which."


def _unseen(view: ClusterView) -> bool:
    return view.has_quorum and view.serving_voters < view.quorum


def serving(members: Iterable[MemberView]) -> List[MemberView]:
    """The voters that answer and have a leader: they make the quorum, alarm or not."""
    return [member for member in members if member.version and member.has_leader and not member.is_learner]


def main_cluster(answers: Sequence[Answer]) -> List[Answer]:
    """The answers of the cluster that most endpoints belong to; among equals the one with a leader, then the first."""
    groups: Dict[str, List[Answer]] = {}
    for answer in answers:
        if answer.status:
            groups.setdefault(answer.cluster_id, []).append(answer)
    ranked = sorted(groups.values(), key=lambda group: (-len(group), not any(answer.has_leader for answer in group)))
    return ranked[0] if ranked else []


def _leader(answers: Sequence[Answer]) -> str:
    """Who the members of the highest term call their leader; an older term's is a leader of the past."""
    led = [answer.status for answer in answers if answer.status and answer.has_leader]
    return max(led, key=lambda status: status.raft_term).leader if led else ""


def _listed(member: Listed, answer: Optional[Answer], answers: Sequence[Answer]) -> MemberView:
    urls = member.client_urls
    silent = next((other for other in answers if other.endpoint in urls and not other.status), None)
    unknown = Answer(urls[0] if urls else "", None, "not started" if not urls else "not reached")
    seen = replace(
        _said(answer or silent or unknown),
        id=member.id,
        name=member.name,
        peer_urls=member.peer_urls,
        client_urls=urls,
        is_learner=member.is_learner,
        started=bool(member.name),
    )
    return _judged(seen if seen.started or answer else replace(seen, state=UNSTARTED))


def _guessed(answers: Sequence[Answer], by_id: Mapping[str, Answer], names: Mapping[str, str]) -> List[MemberView]:
    """The members where no list can be had: one for each ID that answers, and one for each endpoint that does not.

    Each counts as started: there is a URL of it, and nothing says that it has never been.
    """
    found = [*by_id.values(), *(answer for answer in answers if not answer.status)]
    return [_judged(replace(_said(answer), name=names.get(answer.endpoint, ""))) for answer in found]


def _said(answer: Answer) -> MemberView:
    """What a member says of itself; empty and 0 where it says nothing."""
    seen = MemberView(
        id=answer.member_id,
        name="",
        state=answer.state,
        errors=[answer.error] if answer.error else [],
        client_urls=[answer.endpoint],
        endpoint=answer.endpoint,
        refusal=answer.refusal.does,
    )
    status = answer.status
    return (
        seen
        if status is None
        else replace(
            seen,
            errors=status.errors,
            is_learner=status.is_learner,
            has_leader=answer.has_leader,
            version=status.version,
            storage_version=status.storage_version,
            revision=status.revision,
            raft_term=status.raft_term,
            raft_index=status.raft_index,
            raft_applied_index=status.raft_applied_index,
            db_size=status.db_size,
            db_size_in_use=status.db_size_in_use,
            db_size_quota=status.db_size_quota,
        )
    )


def _judged(member: MemberView) -> MemberView:
    """The member with its health: it answers, has no errors of its own, and, if it votes, has a leader.

    Every member repeats the alarms of all; another member's alarm is not an error of this one.
    """
    own = [error for error in member.errors if _alarm(error)[0] in ("", member.id)]
    return replace(member, healthy=bool(member.version) and not own and (member.is_learner or member.has_leader))


def _own_alarms(answers: Sequence[Answer]) -> List[AlarmView]:
    errors = [_alarm(error) for answer in answers if answer.status for error in answer.status.errors]
    return [AlarmView(member, alarm) for member, alarm in sorted({found for found in errors if found[0]})]


def _alarm(error: str) -> Tuple[str, str]:
    """(member ID, alarm) of an error such as ``memberID:10501334649042878790 alarm:NOSPACE``; two empty strings for others."""
    found = re.search(r"memberID:(\d+)\s+alarm:(\w+)", error)
    return (id_of(found.group(1)), found.group(2)) if found else ("", "")


def _endpoint(answer: Answer) -> EndpointView:
    return EndpointView(
        endpoint=answer.endpoint,
        ok=answer.status is not None,
        error=answer.error,
        state=answer.state,
        refusal=answer.refusal.does,
        next_step=answer.refusal.next_step,
        member_id=answer.member_id,
        cluster_id=answer.cluster_id,
    )
