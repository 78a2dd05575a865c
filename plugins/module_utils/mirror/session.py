# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One session of an engine: both clusters are looked at, the mirror is taken over, compared if need be, and followed."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import Callable, List, Optional, Sequence, cast

from ..core.errors import EtcdError
from ..etcd.client import Client
from ..etcd.messages import Put, prefix_range
from ..etcd.refusals import NoLease
from .applying import Applying
from .batches import Batch, Filling, Operation
from .comparing import QUIET, Comparing, what_was_before
from .counting import Counting
from .governor import COMPARE, MEND, Decision, decide, held_in_words
from .leases import Leases
from .looking import Looking, Seen
from .met import Met
from .names import names_of
from .patience import Anew, Patience, Stopping
from .reading import Reading
from .seeding import Mending
from .segment_format import Record
from .segment_reader import Reader
from .segment_writing import Full
from .segments import Log
from .settings import KEEP, MirrorSettings, Seed
from .state import FOLLOW, SCAN, State, state_key
from .status import HELD, MENDING, Board

CAUGHT_UP = "caught up"
IDLE_PUT = 10.0  # seconds after which the state says how far an idle source was read
FORGET_EVERY = 2.0
FULL_FOR = 25.0  # seconds in which what is applied has made room in a log, if that is what does
_TICK = 0.25
_PHASES = {FOLLOW: FOLLOW, COMPARE: SCAN, MEND: MENDING}
_VERBS = {
    FOLLOW: "follows",
    COMPARE: "compares both sides by keys",
    MEND: "begins with what was restored, and follows from there",
}


class Session:
    """``over`` ends it. ``lost`` says why where all is to be looked at again, ``failed`` is an error that ends the engine."""

    def __init__(
        self,
        settings: MirrorSettings,
        once: bool,
        say: Callable[[str], None],
        source: Client,
        target: Client,
        log: Log,
        board: Board,
        patience: Patience,
        over: threading.Event,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._once, self._say = settings, once, say
        self._source, self._target, self._log, self._board = source, target, log, board
        self._patience, self._over, self._clock = patience, over, clock
        self._names, self._keeps = names_of(settings), settings.leases == KEEP
        self._counting = Counting(target, self._names, board)
        self._applying = Applying(target, state_key(settings), patience)
        self._looking = Looking(settings, source, target, log, patience)
        self._leases = Leases(
            source, target, patience, over, lambda: board.status.applied_revision, self._looking.newest
        )
        self._comparing = Comparing(
            settings,
            source,
            target,
            log,
            self._looking,
            self._applying,
            self._leases,
            board,
            patience,
            say,
            self._check,
            lambda: self._reading.full,
        )
        span = prefix_range(settings.source_prefix)
        self._mending = Mending(source, target, self._names, self._applying, board, patience, say, self._check)
        self._met = Met(source, log, patience, clock, settings.keep_log)
        # A log that is kept is to say what was before, so that it can be taken back.
        self._reading = Reading(
            source, log, self._names, span, patience, over, board.heard, self._met.add, clock, settings.keep_log
        )
        self._state = cast(State, None)
        self._seen: Optional[Seen] = None
        self._held: Optional[Decision] = None
        self._seed: Optional[Seed] = None
        self._before: Optional[Reader] = None  # what the log has from before a comparison that is held back
        self._put_at = self._forgot_at = 0.0

    def run(self) -> bool:
        """Until it has caught up (True), or is over: Stopping. Anew and NotCovered where all is to be looked at again."""
        seen = self._take_over()
        self._reading.start(seen.source.cluster)
        if self._keeps:
            self._leases.start()
        try:
            if self._held:
                self._hold(seen, self._held)
            if self._state.phase != FOLLOW:
                self._compare()
            self._follow(max(seen.source.revision, self._state.until))  # nothing of a later state alone
            self._counting.count()
            return True
        except NoLease as error:
            raise Anew(f"a lease has run out in the destination: {error}") from error

    def close(self) -> None:
        self._applying.give_up()
        self._reading.close()
        self._leases.close()
        if self._before:
            self._before.shut()

    @property
    def lost(self) -> str:
        return self._reading.lost or self._leases.lost

    @property
    def failed(self) -> Optional[EtcdError]:
        return self._reading.failed

    # ---- for the reporter --------------------------------------------------------------------------------------------

    def ask_progress(self) -> None:
        self._reading.ask_progress()
        self._counting.look()

    def end(self) -> None:
        self._over.set()

    def cut_off(self) -> None:
        self._source.close()
        self._target.close()

    # ---- the beginning -----------------------------------------------------------------------------------------------

    def _take_over(self) -> Seen:
        """Decide what to do, and make the mirror this engine's own."""
        seen = self._seen = self._looking.look(self._applying.read())
        decision = decide(self._settings, seen.state, seen.source, seen.kept, seen.target)
        cluster, revision = seen.source.cluster, seen.source.revision
        compares = decision.action == COMPARE
        self._seed = self._settings.seed if decision.action == MEND else None
        self._board.set(source_cluster=f"{cluster:x}", applied_revision=seen.state.revision if seen.state else 0)
        self._board.heard(revision)
        self._board.begin(_PHASES[decision.action], decision.why)
        self._say(f"The mirror {self._settings.name} {_VERBS[decision.action]}: {decision.why}.")
        if decision.held:
            self._held = decision
            if decision.log_to and seen.state:
                self._before = self._log.read(seen.state.revision)  # before the log begins anew
        epoch = os.urandom(8).hex()
        mine = self._applying.take_over(lambda value: seen.taken_over(self._settings, decision, epoch, value))
        self._moved(mine, self._clock())
        known = self._log.revision if seen.log_goes_on and not decision.restored else revision
        # What is applied may not have been on the disk of the log yet when the power failed: that is read once more.
        after = known if compares or known < self._state.revision else max(seen.kept.revision, self._state.revision)
        self._begin_log(cluster, after, decision.why if decision.restored else "")
        return seen

    def _begin_log(self, cluster: int, after: int, anew: str) -> None:
        self._log.forget_up_to(self._state.revision)  # which may be what fills the disk
        self._patience.until_done(lambda: self._log.begin(cluster, after, self._clock(), anew), (Full,))
        self._forget()

    def _forget(self) -> None:
        if not self._before:  # else what is before a gap is needed yet
            self._log.forget_up_to(self._state.revision)

    def _advance(self, operations: Sequence[Operation], state: State, wall: float, events: int = 0) -> None:
        if self._seen:
            state = self._seen.reached(state, self._source.term)
        self._applying.advance(operations, state)
        self._moved(state, wall, events)

    def _moved(self, state: State, wall: float, events: int = 0) -> None:
        self._state, self._put_at = state, time.monotonic()
        if state.phase == FOLLOW:
            self._board.applied(state.revision, events, wall)

    # ---- the comparison ----------------------------------------------------------------------------------------------

    def _hold(self, seen: Seen, decision: Decision) -> None:
        """Let the destination be an earlier source until what it is compared with is as old as the delay says."""
        until = self._clock() + self._settings.delay
        self._board.begin(HELD, held_in_words(decision, until))
        self._say(f"Held back: {held_in_words(decision, until)}.")
        if self._before:
            filling = Filling(self._names, self._state.revision, self._state.index, self._keeps)
            for record in what_was_before(self._before, self._state.revision, decision.log_to, self._check):
                if self._due(record) > self._clock() and filling.is_begun:
                    self._apply(filling.rest())
                self._add(filling, record)
            self._apply(filling.rest())
            self._before.shut()
            self._before = None
        self._board.waits(until - self._settings.delay)  # when it was seen that more was missing
        self._wait_until(until)
        self._board.begin(SCAN, decision.why)
        self._advance([], seen.begun(self._settings, self._state.epoch, self._state), self._clock())

    def _compare(self) -> None:
        """Let the destination become the source as it was at the state's revision: by what it was restored from, if it was."""
        until, why = 0, "it began with a snapshot"
        if self._seed is None or not self._mending.mend(self._seed):
            until, why = (
                self._comparing.compare(self._state, self._held is not None),
                "both sides were compared by keys",
            )
        self._advance([], replace(self._state.at(self._state.revision), until=until), self._clock())
        self._counting.count()  # what was counted before it is nothing to go by
        self._board.begin(FOLLOW, why)

    # ---- following ---------------------------------------------------------------------------------------------------

    def _follow(self, target_revision: int) -> None:
        """Apply what is in the log; with ``once``, until all up to the revision is, or is not due yet."""
        filling = Filling(self._names, self._state.revision, self._state.index, self._keeps)
        tells = not self._once or self._looking.tells_progress()
        heard_at = time.monotonic()
        with self._log.read(self._state.revision) as reader:
            while not self._once or self._state.revision < target_revision:
                self._check()
                record = reader.take(0.0 if filling.is_begun else _TICK)
                if record is None:
                    self._flush(filling)
                    if self._once and self._has_all(time.monotonic() - heard_at, tells):
                        return
                    continue
                heard_at = time.monotonic()
                if self._due(record) > self._clock():
                    self._flush(filling, whole=True)
                    if self._once:
                        return
                self._add(filling, record)
                if self._once and record.revision >= target_revision:
                    self._flush(filling, whole=True)

    def _add(self, filling: Filling, record: Record) -> None:
        """When it is due; what does not fit into one transaction is written."""
        if not filling.is_begun:
            self._board.waits(record.wall)
        self._wait_until(self._due(record))
        for batch in filling.add(record.revision, record.wall, record.events):
            self._apply(batch)
            self._board.waits(record.wall)

    def _flush(self, filling: Filling, whole: bool = False) -> None:
        """Write what was added. Where that is nothing, say so in the state from time to time, or now (``whole``)."""
        now = time.monotonic()
        if filling.is_begun or (
            filling.position[0] > self._state.revision and (whole or now - self._put_at > IDLE_PUT)
        ):
            self._apply(filling.rest())

    def _has_all(self, silent: float, tells: bool) -> bool:
        """Whether a source that cannot tell that there is no more has none. Full where nothing that this run does makes room."""
        full = self._reading.full
        if full and silent > FULL_FOR:
            raise full
        return not full and not tells and silent > QUIET

    def _apply(self, batch: Batch) -> None:
        operations = self._with_leases(batch.operations) if self._keeps else batch.operations
        self._advance(operations, self._state.at(batch.revision, batch.index), batch.wall, len(operations))

    def _with_leases(self, operations: Sequence[Operation]) -> List[Operation]:
        over = self._leases.without({one.lease for one in operations if isinstance(one, Put) and one.lease})
        return [one._replace(lease=0) if isinstance(one, Put) and one.lease in over else one for one in operations]

    def _due(self, record: Record) -> float:
        return record.wall + self._settings.delay

    def _wait_until(self, wall: float) -> None:
        while self._clock() < wall:
            self._check()
            self._over.wait(min(_TICK, max(0.01, wall - self._clock())))

    def _check(self) -> None:
        """Stopping where it is over; and what is applied is forgotten, from time to time."""
        if self._over.is_set():
            raise Stopping
        now = time.monotonic()
        if now - self._forgot_at > FORGET_EVERY:
            self._forgot_at = now
            self._forget()
