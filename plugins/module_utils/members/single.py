# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of the membership, as the module ``member`` is asked for it: what it comes to, and why it is refused.

``decide`` is pure: the view of a cluster whose voters have proven themselves, and what is wanted. Each change is judged by its
worst end; see ``etcd/change.py``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Sequence

from ..core.errors import EtcdError
from ..core.job import Findings
from ..etcd.change import Change, after_add, after_promotion, after_removal
from ..etcd.hazards import MEMBERSHIP, PROMOTION, judge
from ..etcd.identity import check_peer_url
from ..etcd.membership import Membership
from ..etcd.proving import answering, lag
from ..etcd.versions import parse_version
from ..etcd.view import ClusterView, MemberView

PRESENT, PROMOTED, ABSENT, LEADER = "present", "promoted", "absent", "leader"
STATES = (PRESENT, PROMOTED, ABSENT, LEADER)

_STATUS = "run status.yml, which says how the cluster is, and run again."
_RESTORE = (
    "start the members that are down. Where they are lost for good, restore.yml makes a cluster again: of the newest backup;"
    " or of the survivor's own database, which is stopped and its member/snap/db copied away, with"
    " -e etcd_restore_snapshot=/path/of/the/copy -e etcd_restore_skip_hash_check=true."
)


@dataclass(frozen=True)
class Asked:
    """What is wanted of which member. ``id`` is hexadecimal. ``force`` repeats what a change leaves, such as ``1 of 2``.

    ``max_lag``: entries of the log that a learner may lack when it is promoted, or a voter that is to lead.
    """

    state: str
    name: str = ""
    id: str = ""
    peer_urls: Sequence[str] = ()
    learner: bool = True
    force: str = ""
    max_lag: int = 1000


@dataclass(frozen=True)
class Decided:
    """What is to be done with the member ``id``, empty where it is to be added; ``do`` is empty where all is as it should be.

    ``first_leads``: who must lead before. ``waits``: why it cannot be done yet, as a learner catches up.
    """

    do: str
    id: str
    says: str
    arithmetic: str = ""
    first_leads: str = ""
    waits: str = ""
    warnings: Sequence[str] = ()


def decide(view: ClusterView, asked: Asked) -> Decided:
    """What there is to do. EtcdError: why it is refused, with its arithmetic in words and a next step."""
    _need_quorum(view)
    member = find(view, asked)
    if asked.state == PRESENT:
        return _present(view, asked, member)
    if asked.state == ABSENT:
        return _absent(view, asked, member) if member else Decided("", asked.id, f"{_asked_for(asked)} is no member.")
    if member is None:
        known = ", ".join(f"{_named(one)} ({one.id})" for one in view.members)
        raise EtcdError(f"{_asked_for(asked)} is no member of this cluster.", f"name one of {known}.")
    return _promoted(view, asked, member) if asked.state == PROMOTED else _leader(view, asked, member)


def _need_quorum(view: ClusterView) -> None:
    if len(view.cluster_ids) > 1:
        raise EtcdError(view.summary, "give the endpoints of one cluster only.")
    if view.quorum_unknown or not (view.has_quorum or view.cluster_ids):
        raise EtcdError(f"its members cannot be asked. {view.summary}", " ".join(view.next_steps) or _STATUS)
    if not view.has_quorum:
        raise EtcdError(
            f"the cluster has no quorum, and nothing forces its membership then. {view.summary}", f"{_RESTORE}"
        )
    if not view.members_complete:
        raise EtcdError(f"the cluster did not tell its members. {view.summary}", _STATUS)


def find(view: ClusterView, asked: Asked) -> Optional[MemberView]:
    """The one member that all of the given name, ID and peer URLs fit, exactly; None where none of them fits any."""
    if not (asked.name or asked.id or asked.peer_urls):
        raise EtcdError("no member is named.", "set name, id or peer_urls.")
    by = []
    if asked.id:
        by.append([one for one in view.members if one.id == asked.id.lower()])
    if asked.peer_urls:
        by.append([one for one in view.members if set(one.peer_urls) == set(asked.peer_urls)])
    if asked.name:
        named = [one for one in view.members if one.name == asked.name]
        # One that was never started has no name in the list: then what else is given says who it is.
        others = {one.id for found in by for one in found}
        by.append(named or [one for one in view.members if not one.name and one.id in others])
    found = {one.id: one for group in by for one in group}
    fit = [one for one in found.values() if all(one in group for group in by)]
    if len(fit) == 1:
        return fit[0]
    if len(fit) > 1:
        ids = ", ".join(one.id for one in fit)
        raise EtcdError(f"{len(fit)} members are {_asked_for(asked)}: {ids}.", "say which by its id.")
    if found:
        have = "; ".join(f"{one.id} is {_named(one)} at {', '.join(one.peer_urls)}" for one in found.values())
        raise EtcdError(
            f"no member is {_asked_for(asked)}: {have}.", "correct name, id or peer_urls, or leave some of them out."
        )
    return None


def _present(view: ClusterView, asked: Asked, member: Optional[MemberView]) -> Decided:
    if member:
        return Decided("", member.id, f"{_named(member)} is a {_role(member)}.")
    if not asked.name or not asked.peer_urls:
        raise EtcdError(f"{_asked_for(asked)} is no member, and cannot be added.", "set its name and its peer_urls.")
    for url in asked.peer_urls:
        check_peer_url(url)
    warnings = _by_hazards(view, [MEMBERSHIP] + ([PROMOTION] if asked.learner else []))
    unfinished = [one for one in view.members if one.is_learner or not one.started]
    if unfinished:
        raise EtcdError(
            f"{_named(unfinished[0])} is a {_role(unfinished[0])}, and one newcomer at a time is enough.",
            f"promote it, start it, or remove it (state: absent, id: {unfinished[0].id}), and run again.",
        )
    says = f"{asked.name} is added as a {'learner' if asked.learner else 'voter'}."
    if asked.learner:
        return Decided(PRESENT, "", says, warnings=warnings)
    change = after_add(view.voters, view.serving_voters, asked.name)
    _allow(change, asked, "add it as a learner (learner: true), and promote it once it has caught up.")
    return Decided(PRESENT, "", says, change.words, warnings=warnings)


def _promoted(view: ClusterView, asked: Asked, member: MemberView) -> Decided:
    if not member.is_learner:
        return Decided("", member.id, f"{_named(member)} is a voter.")
    warnings = _by_hazards(view, [MEMBERSHIP, PROMOTION])
    behind = lag(view, member.id)
    waits = ""
    if not member.started:
        waits = f"{_named(member)} has never run"
    elif behind is not None and behind > asked.max_lag:
        waits = f"{_named(member)} lacks {behind:,} entries of the leader's log, and may lack {asked.max_lag:,}"
    elif behind is None:
        waits = f"{_named(member)} does not tell how far it is: {'; '.join(member.errors) or member.state}"
    # A learner that has caught up never takes the quorum of a cluster that has one.
    change = after_promotion(view.voters, view.serving_voters, not waits, _named(member))
    return Decided(PROMOTED, member.id, f"{_named(member)} is promoted.", change.words, waits=waits, warnings=warnings)


def _absent(view: ClusterView, asked: Asked, member: MemberView) -> Decided:
    says = f"{_named(member)} is removed."
    if member.is_learner:
        return Decided(ABSENT, member.id, says)
    others = [one for one in answering(view) if one.id != member.id]
    change = after_removal(view.voters, view.serving_voters, len(others) < len(answering(view)), _named(member))
    if not others:
        raise EtcdError(
            f"{change.words}: it is the only member that answers, and is never removed.",
            "stop its etcd where the cluster is to end.",
        )
    _allow(change, asked, "mend the members that are not healthy, or add a member first.")
    newest = max(others, key=lambda one: (one.raft_applied_index, one.name))
    return Decided(ABSENT, member.id, says, change.words, first_leads=newest.id if member.is_leader else "")


def _leader(view: ClusterView, asked: Asked, member: MemberView) -> Decided:
    if member.is_leader:
        return Decided("", member.id, f"{_named(member)} leads.")
    others = ", ".join(_named(one) for one in answering(view))
    if member not in answering(view):
        why = "a learner" if member.is_learner else f"not healthy ({'; '.join(member.errors) or member.state})"
        raise EtcdError(f"{_named(member)} is {why}, and cannot lead.", f"name one of {others}.")
    behind = lag(view, member.id)
    if behind is None or behind > asked.max_lag:
        entries = "an unknown number of" if behind is None else f"{behind:,}"
        raise EtcdError(
            f"{_named(member)} lacks {entries} entries of the leader's log, and may lack {asked.max_lag:,}.",
            f"wait until it has caught up, or name another of {others}.",
        )
    return Decided(LEADER, member.id, f"{_named(member)} leads.")


def _allow(change: Change, asked: Asked, instead: str) -> None:
    """Refuse what loses the quorum or the redundancy, unless the operator repeats what it leaves."""
    if (change.keeps_quorum and not change.ends_redundancy) or asked.force == change.left:
        return
    cause = "no quorum" if not change.keeps_quorum else "no member that may fail"
    said = f" force is {asked.force!r}, and that is not what it leaves." if asked.force else ""
    raise EtcdError(f"{change.words}: {cause}.{said}", f'{instead} To do it all the same, set force: "{change.left}".')


def _by_hazards(view: ClusterView, during: Sequence[str]) -> List[str]:
    """The warnings that the voters' versions come to; EtcdError where one of them refuses it."""
    findings = Findings("")
    for version in sorted({one.version for one in answering(view)}):
        judge(parse_version(version), during, findings)
    for refusal in findings.refusals:
        raise EtcdError(refusal["cause"], refusal["next_step"])
    return [warning["cause"] for warning in findings.warnings]


def carry_out(
    membership: Membership, asked: Asked, decided: Decided, seconds: float, pause: Callable[[float], None] = time.sleep
) -> str:
    """Do what was decided, and give the member's ID. ``seconds``: how long a learner may take to catch up."""
    until = time.monotonic() + seconds
    while decided.waits:
        if time.monotonic() > until:
            raise EtcdError(f"{decided.waits}.", "see that its etcd runs, wait until it has caught up, and run again.")
        pause(1)
        decided = decide(membership.settled(), asked)
    if decided.do == PRESENT:
        return membership.add(asked.name, asked.peer_urls, asked.learner).id
    if decided.do == PROMOTED:
        return membership.promote(decided.id).id
    if decided.do == ABSENT and decided.first_leads:
        membership.move_leader(decided.first_leads)
        decided = decide(membership.settled(), asked)  # an election may have cost a voter
    if decided.do == ABSENT:
        return membership.remove(decided.id).id
    return membership.move_leader(decided.id).id if decided.do == LEADER else decided.id


def as_it_will_be(members: Sequence[MemberView], asked: Asked, decided: Decided) -> List[MemberView]:
    """The members once it is done, as far as that can be said before."""
    if decided.do == PRESENT:
        added = MemberView(
            "", asked.name, "unstarted", [], peer_urls=sorted(asked.peer_urls), is_learner=asked.learner, started=False
        )
        return [*members, added]
    leader = decided.first_leads if decided.do == ABSENT else decided.id if decided.do == LEADER else ""
    kept = [one for one in members if not (decided.do == ABSENT and one.id == decided.id)]
    if leader:
        kept = [replace(one, is_leader=one.id == leader) for one in kept]
    return [replace(one, is_learner=False) if decided.do == PROMOTED and one.id == decided.id else one for one in kept]


def in_lines(members: Sequence[MemberView]) -> str:
    """The member list, a line each, for a diff."""
    lines = [f"{_named(one)} {one.id or '(new)'} {','.join(one.peer_urls)} {_role(one)}" for one in members]
    return "".join(f"{line}\n" for line in sorted(lines))


def _role(member: MemberView) -> str:
    kind = "learner" if member.is_learner else "leader" if member.is_leader else "voter"
    return kind if member.started else f"{kind} that has never run"


def _named(member: MemberView) -> str:
    return member.name or member.id or ",".join(member.peer_urls)


def _asked_for(asked: Asked) -> str:
    parts = [
        asked.name,
        f"ID {asked.id}" if asked.id else "",
        f"at {', '.join(asked.peer_urls)}" if asked.peer_urls else "",
    ]
    return " ".join(part for part in parts if part)
