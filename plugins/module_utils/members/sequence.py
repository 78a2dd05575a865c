# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order in which a membership changes: from the live member list and one change that is wanted, the next action.

Nothing here remembers anything. What is done already, the list shows; so a run that was killed anywhere, and one that goes on
for another's, ask the same function the same question. The plan asks it too, of the list as it will be after each action.

A member that is dead goes before its successor comes: with three of four voters alive, one more would be too many to lose.
One that is well goes last. A newcomer comes as a learner, which no quorum counts, and becomes a voter once it has started
and has caught up: until then it counts as dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import List, Optional, Sequence, Set, Tuple

from ..core.errors import EtcdError
from ..etcd.change import after_promotion, after_removal
from ..etcd.proving import lag
from ..etcd.quorum import Quorum
from ..etcd.view import ClusterView, MemberView

# What there is to do next.
HAND_OVER, REMOVE, ADD, START, CATCH_UP, PROMOTE, RECOVER, DONE = (
    "hand_over",
    "remove",
    "add",
    "start",
    "catch_up",
    "promote",
    "recover",
    "done",
)


@dataclass(frozen=True)
class Seat:
    """A place in the membership, and who sits on it. ``lag``: entries that it is behind the leader, None where it is not known.

    ``healthy``: it has answered a linearizable read itself; a learner cannot, and is healthy where it answers at all.
    """

    id: str
    name: str
    peer_urls: Tuple[str, ...]
    learner: bool = False
    started: bool = True
    healthy: bool = True
    leads: bool = False
    lag: Optional[int] = 0

    @property
    def called(self) -> str:
        return self.name or self.id or ",".join(self.peer_urls)

    @property
    def names(self) -> Set[str]:
        """All that an operator may call it."""
        return {self.id, self.name, *self.peer_urls}


@dataclass(frozen=True)
class Change:
    """One change of the membership; ``host`` does it all. ``goes``: the ID of the member that leaves; ``comes``: the newcomer's
    name. Either is empty where nobody does. ``goes_first``: it is dead, or the newcomer is to sit at its place. ``gives_up``:
    the operator has called the member of this host dead, so what runs there, of whichever cluster, makes way. ``told``: this
    removal is wanted for its own sake, and nobody is to come instead.
    """

    host: str
    goes: str = ""
    goes_name: str = ""
    goes_first: bool = False
    comes: str = ""
    peer_urls: List[str] = field(default_factory=list)
    why: str = ""
    gives_up: bool = False
    told: bool = False


@dataclass(frozen=True)
class Action:
    """``kind`` is one of the words above, ``seat`` whom it is about; None for a newcomer that has none yet."""

    kind: str
    seat: Optional[Seat] = None


@dataclass(frozen=True)
class Step:
    """An action of a plan, and the quorum before and after it. ``number`` is that of its change, from 0."""

    number: int
    action: Action
    words: str
    before: Quorum
    after: Quorum


def seats_of(view: ClusterView) -> List[Seat]:
    """The membership as a view has it."""
    return [_seat(member, lag(view, member.id)) for member in view.members]


def _seat(member: MemberView, behind: Optional[int]) -> Seat:
    return Seat(
        id=member.id,
        name=member.name,
        peer_urls=tuple(member.peer_urls),
        learner=member.is_learner,
        started=member.started,
        healthy=member.healthy,
        leads=member.is_leader,
        lag=behind,
    )


def next_action(seats: Sequence[Seat], change: Change, gate: int) -> Action:
    """What is to be done next for this change. ``gate``: how many entries a learner may lack when it becomes a voter."""
    goes, comes = by_id(seats, change.goes), newcomer(seats, change)
    if goes and change.goes_first:
        return _out(seats, goes)
    if change.comes:
        arrival = _in(comes, gate)
        if arrival.kind != DONE:
            return arrival
    return _out(seats, goes) if goes else Action(DONE)


def _in(comes: Optional[Seat], gate: int) -> Action:
    if comes is None:
        return Action(ADD)
    if not comes.started:
        return Action(START, comes)
    if comes.learner:
        has_caught_up = comes.lag is not None and comes.lag <= gate
        return Action(PROMOTE if has_caught_up else CATCH_UP, comes)
    return Action(DONE if comes.healthy else RECOVER, comes)


def _out(seats: Sequence[Seat], goes: Seat) -> Action:
    if goes.leads and not goes.learner:
        heir = min((seat for seat in voters(seats) if seat.healthy and seat != goes), key=_behind, default=None)
        if heir:
            return Action(HAND_OVER, heir)
    return Action(REMOVE, goes)


def _behind(seat: Seat) -> Tuple[bool, int, str]:
    return (seat.lag is None, seat.lag or 0, seat.name)


def by_id(seats: Sequence[Seat], member_id: str) -> Optional[Seat]:
    return next((seat for seat in seats if member_id and seat.id == member_id), None)


def newcomer(seats: Sequence[Seat], change: Change) -> Optional[Seat]:
    """The seat of the one that comes: by its exact peer URLs, since it has no name before it has started."""
    wanted = set(change.peer_urls)
    others = (seat for seat in seats if not (change.goes and seat.id == change.goes))
    return next((seat for seat in others if wanted & set(seat.peer_urls)), None)


def is_on_its_way(seat: Seat) -> bool:
    return seat.learner or not seat.started


def voters(seats: Sequence[Seat]) -> List[Seat]:
    return [seat for seat in seats if not seat.learner]


def quorum_of(seats: Sequence[Seat]) -> Quorum:
    """A voter that has not started yet counts, and is not healthy."""
    return Quorum(len(voters(seats)), sum(seat.healthy and seat.started for seat in voters(seats)))


def objection(seats: Sequence[Seat], action: Action, is_told: bool = False) -> str:
    """Why an action must not be done, with the arithmetic; empty where it may. ``is_told``: as ``Change.told`` says.

    What is judged is its worst end. To add a learner, to start it and to wait for it take no vote from anybody, and one that
    is promoted has proven itself before. Only one learner, and only one member that has not started, can be there at a time.
    """
    seat, now = action.seat, quorum_of(seats)
    if action.kind == ADD:
        other = next((one for one in seats if is_on_its_way(one)), None)
        return (
            f"{other.called} was added, and is no voter yet; nobody else can be added before it is one" if other else ""
        )
    if seat is None or action.kind not in (REMOVE, PROMOTE) or (action.kind == REMOVE and seat.learner):
        return ""
    made = (
        after_removal(now.voters, now.healthy, seat.healthy and seat.started, seat.called)
        if action.kind == REMOVE
        else after_promotion(now.voters, now.healthy, True, seat.called)
    )
    alone = "" if is_told or not made.ends_redundancy else ", which none can replace"
    return "" if made.keeps_quorum and not alone else made.words + alone


def after_action(seats: Sequence[Seat], action: Action, change: Optional[Change] = None) -> List[Seat]:
    """The membership as it is when the action is done. ``change`` is needed where a newcomer gets its seat."""
    seat = action.seat
    if action.kind == ADD and change:
        return [*seats, Seat("", "", tuple(change.peer_urls), learner=True, started=False, healthy=False, lag=None)]
    if action.kind == REMOVE:
        return [one for one in seats if one != seat]
    if action.kind == HAND_OVER:
        return [replace(one, leads=one == seat) for one in seats]
    if seat is None or action.kind == DONE:
        return list(seats)
    now = {
        START: replace(seat, name=seat.name or (change.comes if change else ""), started=True, healthy=True),
        CATCH_UP: replace(seat, lag=0),
        PROMOTE: replace(seat, learner=False, healthy=True),
        RECOVER: replace(seat, healthy=True),
    }[action.kind]
    return [now if one == seat else one for one in seats]


# More actions than any change has: a plan that goes on longer would never end.
_MOST = 20


def sequence(seats: Sequence[Seat], changes: Sequence[Change], gate: int) -> Tuple[List[Step], List[Seat]]:
    """All steps of all changes, one after the other, and the membership at their end.

    EtcdError with the arithmetic where one must not be done.
    """
    steps: List[Step] = []
    now = list(seats)
    for number, change in enumerate(changes):
        for _round in range(_MOST):
            action = next_action(now, change, gate)
            if action.kind == DONE:
                break
            why = objection(now, action, change.told)
            if why:
                raise EtcdError(f"{why}.")
            after = after_action(now, action, change)
            steps.append(Step(number, action, words(action, change), quorum_of(now), quorum_of(after)))
            now = after
        else:
            raise ValueError(f"{change} never ends")  # a programming error
    return steps, now


def words(action: Action, change: Change) -> str:
    """An action for people."""
    whom = action.seat.called if action.seat else ""
    return {
        HAND_OVER: f"{change.goes_name} hands the leadership over to {whom}",
        REMOVE: f"remove {whom}{'' if action.seat and action.seat.healthy else ', which is dead'}",
        ADD: f"add {change.comes} as a learner, at {', '.join(change.peer_urls)}",
        START: f"{change.host}: move old data aside, write 'existing' and the members, start {change.comes}",
        CATCH_UP: f"wait until {change.comes} has caught up",
        PROMOTE: f"promote {change.comes} to a voter",
        RECOVER: f"wait until {whom} serves",
        DONE: "nothing",
    }[action.kind]
