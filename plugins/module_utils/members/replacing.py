# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of member_replace on one host.

A change is done wholly by one host: the newcomer's, or where nobody comes one whose member stays. It asks the cluster what is,
and ``sequence.next_action`` what is next, until nothing is: so nothing depends on what an earlier run remembers, but whether
the data on this host is the newcomer's own.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..core.check import Check
from ..core.errors import EtcdError
from ..core.host_job import Phase
from ..core.journal import ADDED
from ..core.journals import journals
from ..core.reporting import begins, ends
from ..core.values import from_plain
from ..etcd.commands import Connection, Run
from ..etcd.identity import format_initial_cluster
from ..etcd.membership import Membership
from ..etcd.view import ClusterView
from ..host import service
from ..host.aside import Owner, make_room
from ..host.facts import Service
from ..host.holders import demand_vacant
from ..host.naming import settle
from ..host.settings.edits import apply_edits
from ..host.stepwise import Stepwise
from . import sequence
from .parts import OfReplace, ReplacePart
from .proof import proof
from .reported import EVICTED, LAUNCHED, PREPARED, PROMOTED, REMOVED, RETIRED
from .sequence import Action, Change, Seat, next_action, objection, seats_of

STOP_TIMEOUT = 60.0  # seconds
# Seconds between two looks at a newcomer, and how long one that was started may be seen not to run before it is given up.
LOOK, FAILING = 0.2, 10.0
# Seconds in which a cluster that has lost its leader has another one, or none; and for which a member list may be of the past,
# where it is one member's own (3.4's is, and any that could not be had from the quorum).
ELECTION, STALE = 30.0, 3.0
_STATUS = "run status.yml, which says how the cluster is, and run again: what is done already is not done twice."


class _Nearest(NamedTuple):
    """How near a newcomer has come, and when: the entries it lacked, None where nobody told; bytes of the snapshot it is sent."""

    at: float
    lag: Optional[int]
    received: int


class _Approach:
    """How near each newcomer has been to the leader, and since when: by its lag, of which ``gate`` entries are near enough."""

    def __init__(self, gate: int, data_dir: str) -> None:
        self._gate, self._data_dir = gate, data_dir
        self._nearest: Dict[Tuple[str, str], _Nearest] = {}

    def waited(self, kind: str, seat: Seat) -> float:
        """Seconds since the newcomer was nearer than ever: by a part of the gate, since a lag goes up and down.

        As long as the leader sends it a whole snapshot it has no entry at all, and only that grows. What else it writes tells
        nothing: one that never catches up writes as well.
        """
        now, received = time.monotonic(), _received(self._data_dir)
        known = self._nearest.setdefault((kind, seat.id), _Nearest(now, seat.lag, received))
        if known.lag is None:
            is_nearer = seat.lag is not None or received > known.received
        else:
            is_nearer = seat.lag is not None and seat.lag <= known.lag - max(1, self._gate // 10)
        if is_nearer:
            known = self._nearest[kind, seat.id] = _Nearest(now, seat.lag, received)
        return now - known.at


class MemberReplace(Stepwise):
    PHASES = ("claim", "change", "retire", "settle", "prove")
    EACH = ("claim", "retire", "settle")

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        super().__init__(plan, run, connection)
        self.own = from_plain(ReplacePart, dict(plan))
        self.of = from_plain(OfReplace, self.part.of, "of")
        member = self.part.member
        self.service = service.manager(member.service, member.data_dir, member.state_dir, run)
        self.approach = _Approach(self.of.gate, member.data_dir)
        self.its_log = _log_of(member.service)  # where to look, in words

    def claim(self) -> bool:
        """The member is this run's from now on."""
        return False

    # ---- the change -------------------------------------------------------------------------------------------------------

    def _do(self, phase: Phase) -> bool:
        if phase.name != "change":
            return super()._do(phase)
        change = self._turn()
        if change is None:
            return False
        self.journal.record(begins(phase.name), change=change.why)
        while self._advance(change):
            pass
        self.journal.record(ends(phase.name))
        return True

    def _turn(self) -> Optional[Change]:
        """The first change that is not done, where it is this host's. Hosts that have none need not ask."""
        if not any(change.host == self.part.host for change in self.of.changes):
            return None
        began = time.monotonic()
        while True:
            change, action = next_change(self._seats(), self.of.changes, self.of.gate)
            if change is None or change.host == self.part.host:
                return change
            # A newcomer of before that is a voter, and does not serve for a moment, is no reason to miss the own turn; nor is
            # a list of a moment ago. Who misses it all the same is told of by ``retire``.
            patience = self.of.patience if action.kind == sequence.RECOVER else STALE
            if time.monotonic() - began > patience:
                return None
            time.sleep(LOOK)

    def _seats(self) -> List[Seat]:
        return seats_of(self._view())

    def _view(self) -> ClusterView:
        """The cluster as it is, all of it, with a leader: while one is elected, nothing can be changed, and nobody is lost.

        EtcdError where there is no quorum, or no whole list. A leader that does not answer this host is waited for no longer.
        """
        until = time.monotonic() + ELECTION
        view = self._membership().settled()
        while not any(one.is_leader and one.version for one in view.members) and time.monotonic() < until:
            self.progress.say(f"waiting for a leader: {view.summary}")
            time.sleep(LOOK)
            view = self._membership().settled()
        return view

    def _advance(self, change: Change) -> bool:
        """One action; False where nothing is left to do."""
        seats = self._seats()
        action = next_action(seats, change, self.of.gate)
        why = objection(seats, action, change.told)
        if why:
            raise EtcdError(f"{why}.", _STATUS)
        if action.kind == sequence.DONE:
            return False
        self.progress.say(sequence.words(action, change))
        {
            sequence.HAND_OVER: self._hand_over,
            sequence.REMOVE: self._remove,
            sequence.ADD: self._add,
            sequence.START: self._start,
            sequence.CATCH_UP: self._await,
            sequence.PROMOTE: self._promote,
            sequence.RECOVER: self._await,
        }[action.kind](change, action, seats)
        return True

    def _membership(self) -> Membership:
        return Membership(self.run, self.tools, self.connection, say=self.progress.say)

    def _hand_over(self, _change: Change, action: Action, _seats: List[Seat]) -> None:
        self._membership().move_leader(_of(action).id)

    def _remove(self, _change: Change, action: Action, _seats: List[Seat]) -> None:
        seat = _of(action)
        self._membership().remove(seat.id)
        self.journal.record(REMOVED, member=seat.id, name=seat.name)

    def _add(self, change: Change, _action: Action, _seats: List[Seat]) -> None:
        tried = sum(entry.step == ADDED and entry.more.get("name") == change.comes for entry in self.journal.entries())
        if tried >= self.of.tries:
            raise EtcdError(
                f"{change.comes} was added {tried} times, and is no member any more: it removed itself, or somebody did.",
                f"see etcd's log on this host ({self.its_log}) and whether anything else changes the members, and run again.",
            )
        added = self._membership().add(change.comes, change.peer_urls, learner=True)
        self.journal.record(ADDED, member=added.id, name=change.comes)

    def _promote(self, _change: Change, action: Action, _seats: List[Seat]) -> None:
        seat = _of(action)
        self._membership().promote(seat.id)
        self.journal.record(PROMOTED, member=seat.id, name=seat.name)

    def _start(self, change: Change, action: Action, seats: List[Seat]) -> None:
        """Old data moves aside, the configuration says ``existing`` and the members that the cluster itself reports, and only
        then the newcomer starts for the first time; or it is waited for, where that is done already.
        """
        seat = _of(action)
        try:
            done = self._done(seat)
            if PREPARED not in done:
                self._prepare(change, seat, seats)
            if LAUNCHED not in done:
                self.service.at_boot(True)
                if self.service.state() != "running":
                    self.service.start()
                self.journal.record(LAUNCHED, member=seat.id)
        except OSError as error:
            why = EtcdError(f"{error.filename or self.part.member.data_dir}: {error.strerror or error}.", "")
            self._evict(change, seat, why)
        except EtcdError as error:
            self._evict(change, seat, error)
        else:
            self._await(change, action, seats)

    def _prepare(self, change: Change, seat: Seat, seats: List[Seat]) -> None:
        self.service.stop(STOP_TIMEOUT)
        folders = self.own.folders
        demand_vacant(
            [folder.live for folder in folders],
            "see to it that nothing starts it (another unit, a watchdog, by hand), and run again.",
        )
        moved = make_room(folders, self.own.owner or Owner(None, None, "0700"))
        named = {one.name or change.comes: one.peer_urls for one in seats}
        members = format_initial_cluster(named)
        edits = [edit.with_value("initial-cluster", members) for edit in self.own.config]
        apply_edits(edits, self.journal.config_folder, "before", self.run)
        self.journal.record(PREPARED, member=seat.id, moved=moved, initial_cluster=members)

    def _await(self, change: Change, action: Action, _seats: List[Seat]) -> None:
        """Give a newcomer time; one that does not run any more, or comes no nearer, is evicted, and tried again."""
        seat = _of(action)
        waited = self.approach.waited(action.kind, seat)
        if action.kind == sequence.CATCH_UP and seat.lag is not None:
            self.progress.say(f"{change.comes} is {seat.lag:,} entries behind; {self.of.gate:,} or less are wanted")
        why = _why_not(self.service, action, waited, self.of.patience)
        if why and action.kind != sequence.RECOVER:
            self._evict(change, seat, EtcdError(f"{why}.", ""))
        elif why:
            raise EtcdError(f"{seat.called} is a voter, and does not serve: {why}.", _STATUS)
        else:
            time.sleep(LOOK)

    def _evict(self, change: Change, seat: Seat, why: EtcdError) -> None:
        """A newcomer that fails is none any more, and takes no seat from the next one: it is added anew, or the run ends.

        It loses its seat although it cannot be stopped, as one that is held still by a signal. Then it is not tried again.
        """
        stuck = _cannot_stop(self.service)
        self._membership().remove(seat.id)
        self.journal.record(EVICTED, member=seat.id, why=why.message)
        tried = sum(entry.step == EVICTED for entry in self.journal.entries())
        if stuck:
            raise EtcdError(
                f"{change.comes} did not become a voter: {why.message} It is no member now, and could not be stopped:"
                f" {stuck.message}",
                stuck.next_step,
            )
        if tried >= self.of.tries:
            raise EtcdError(
                f"{change.comes} was added {tried} times and did not become a voter: {why.message} It is no member now, and"
                " its data was kept beside the data directory.",
                why.next_step or f"see etcd's log on this host, mend what it says, and run again ({self.its_log}).",
            )

    def _done(self, seat: Seat) -> Set[str]:
        """What this run and earlier ones have done here for this very member; an ID is never given twice."""
        member = self.part.member
        known = journals(member.state_dir, member.data_dir, self.journal.kind)
        return {entry.step for one in known for entry in one.entries() if entry.more.get("member") == seat.id}

    # ---- afterwards -------------------------------------------------------------------------------------------------------

    def retire(self) -> bool:
        """A member that has left stays stopped, and its data is moved aside: it would refuse to start with it.

        That it has left is what the cluster says now, and not what was planned.
        """
        if self.own.retires or self.part.reports:
            self._demand_done()
        if not self.own.retires:
            return False
        self.service.stop(STOP_TIMEOUT)
        moved = make_room(self.own.folders, self.own.owner or Owner(None, None, "0700"))
        apply_edits(self.own.config, self.journal.config_folder, "before", self.run)
        self.service.at_boot(False)
        self.journal.record(RETIRED, moved=moved)
        return True

    def _demand_done(self) -> None:
        """EtcdError where a change is not made, as by a host that has missed its turn, or this host's member has not left."""
        until = time.monotonic() + ELECTION
        left = self._left()
        while left:
            if time.monotonic() > until:
                raise EtcdError(
                    f"{left}.", "run again: it goes on from what the cluster says. Nothing was stopped here."
                )
            self.progress.say(f"waiting: {left}")
            time.sleep(LOOK)
            left = self._left()

    def _left(self) -> str:
        """What is not done yet, in words."""
        seats = self._seats()
        change, action = next_change(seats, self.of.changes, self.of.gate)
        if change:
            return f"not all changes are made: {change.why}; the next step would be: {sequence.words(action, change)}"
        seat = next((one for one in seats if set(self.own.leaves) & set(one.peer_urls)), None)
        return f"{seat.called} is a member still, so it is not stopped" if seat else ""

    def settle(self) -> bool:
        """The configuration names the members that the cluster itself reports now; nothing is restarted."""
        if self.own.retires or not self.own.settling:
            return False
        view = self._view()
        members = format_initial_cluster({one.name: list(one.peer_urls) for one in view.members})
        done = settle(self.own.settling, members, self.journal.config_folder, "settled", self.run)
        self.journal.record("settled", files=[one.path for one in done.files], by_hand=done.by_hand)
        return bool(done.files)

    def checks(self) -> List[Check]:
        """Asked by one host for all: the list, each member's own answer, equal data, and a write."""
        if not self.part.reports:
            return []
        key = f"quorum.etcd/proof/{self.part.restore_id}"
        return proof(self.run, self.tools, self.connection, self._membership().look(), self.of.expected, key)


def _received(data_dir: str) -> int:
    """Bytes of a whole snapshot that the leader is sending, or has just sent: by the names that etcd gives it meanwhile."""
    folder, found = os.path.join(data_dir, "member", "snap"), 0
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith("tmp") or name.endswith(".snap.db"):
                with contextlib.suppress(OSError):
                    found += os.lstat(os.path.join(folder, name)).st_size
    return found


def next_change(seats: List[Seat], changes: Sequence[Change], gate: int) -> Tuple[Optional[Change], Action]:
    """The first change that is not done, and what is next for it."""
    for change in changes:
        action = next_action(seats, change, gate)
        if action.kind != sequence.DONE:
            return change, action
    return None, Action(sequence.DONE)


def _why_not(member: service.Manager, action: Action, waited: float, patience: float) -> str:
    state = member.state()
    if state not in ("running", "unknown") and waited > (FAILING if member.starts_at_once else patience):
        return f"its etcd does not run ({state})"
    if member.ascent() == "failing" and waited > FAILING:
        return "its etcd ends again and again"
    what = "start" if action.kind == sequence.START else "come nearer"
    return f"it did not {what} for {patience} seconds" if waited > patience else ""


def _cannot_stop(member: service.Manager) -> Optional[EtcdError]:
    try:
        member.stop(STOP_TIMEOUT)
    except EtcdError as error:
        return _held_still(member, error)
    return None


def _log_of(unit: Service) -> str:
    return f"journalctl -u {unit.name}" if unit.manager == "systemd" else "its log is where its manager writes it"


def _held_still(member: service.Manager, error: EtcdError) -> EtcdError:
    """Why a member cannot be stopped, in better words where its process does not run on."""
    try:
        member.demand_responsive()
    except EtcdError as held:
        return held
    return error


def _of(action: Action) -> Seat:
    if action.seat is None:
        raise ValueError(f"{action.kind} is about a member")  # a programming error: only ADD is about none
    return action.seat
