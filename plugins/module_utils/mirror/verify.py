# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a mirror equals its source, while both are written to: a lag is never taken for a difference.

The engine writes how far it is, as a revision of the source, in the same transaction as the data. So the destination is pinned at
any revision of its own, what the mirror had applied by then is read there, and the source is read at that: at this pair of
revisions both hold the very same, however far either has gone on since. Nothing is waited for, and every difference is real.

Where the source has compacted that revision, since the mirror is held back on purpose or verifying took long, the source is read
at a later one. A key that was not changed in between must still be equal; one that was, or that is gone, is *unsettled*, and is
looked at again when the mirror has passed the source's revision. Where nobody writes how far a mirror is (etcd's own
``make-mirror``), all that differs is unsettled, and counts when neither side has touched it for ``patience`` seconds.

Both sides are read in slices of a few megabytes, with a rest after each. A slice goes into the digest of each side; where it is
not equal, it is compared key by key.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import replace
from typing import (
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from ..core.errors import EtcdError
from ..core.how_far import Far, Told, counted_off, quiet
from ..core.text import rfc3339
from ..etcd.commands import Connection
from ..etcd.refusals import Compacted
from ..etcd.wire import Status
from .names import STATE_STEM, names_of
from .pairs import SAME, UNSETTLED, Found, Pair, Pairs, Standing, judged, judged_again, standings, untouched
from .ranges import Entry, Part, Reads, Side, Span, paired, spans_without
from .settings import KEEP, MirrorSettings
from .verified import EXTRA, MISSING, OTHER, Differing, Verified, shown

FIRST = 100  # differing keys that are named
REST = 1.0  # rested for as long as was read: half of the time the servers are left alone
LONGEST_REST = 1.0  # seconds
PATIENCE = 30.0  # seconds for what is unsettled
_LOOK_AGAIN = 1.0  # seconds
_MOST_UNSETTLED = 10_000  # keys that are looked at again
_MOST_STUCK = 10  # times that a revision is compacted before a single slice was read at it


T = TypeVar("T")


class Options(NamedTuple):
    """``state``: the name of the engine's own key in the destination; ``left_out``: prefixes of names that are not compared.

    ``leases``: whether they are kept. ``first``: keys that are named. ``rest``: in times of what a slice took.
    """

    mirror: str
    state: bytes
    left_out: Sequence[bytes]
    leases: bool = False
    first: int = FIRST
    rest: float = REST
    patience: float = PATIENCE


class Time(NamedTuple):
    """What a verification knows of time; seconds."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


TIME = Time()


def followers_first(connection: Connection, told: Mapping[str, Union[Status, EtcdError]]) -> Connection:
    """The same, but who does not lead is asked before who does, and who has told nothing, or is no voter, at last."""

    def last(endpoint: str) -> int:
        status = told.get(endpoint)
        if not isinstance(status, Status) or status.is_learner:
            return 2
        return int(status.leader == status.header.member_id)

    return replace(connection, endpoints=sorted(connection.endpoints, key=last))


def verify_mirror(
    settings: MirrorSettings,
    source: Reads,
    destination: Reads,
    told: Told = quiet,
    rest: float = REST,
    patience: float = PATIENCE,
) -> Verified:
    """``verify`` for the mirror of these settings; source and destination are a client of each."""
    names = names_of(settings)
    options = Options(
        mirror=settings.name,
        state=STATE_STEM + settings.name.encode(),
        left_out=names.left_out_names(),
        leases=settings.leases == KEEP,
        rest=rest,
        patience=patience,
    )
    return verify(Side(source, names.source), Side(destination, names.target), standings(settings), options, TIME, told)


def verify(
    source: Side,
    destination: Side,
    read: Callable[[bytes], Standing],
    options: Options,
    timing: Time = TIME,
    told: Told = quiet,
) -> Verified:
    """What differs. ``read`` understands the engine's key. ``told``: how many keys are done, after each slice.

    EtcdError where a side does not answer, or the mirror is none of this source or still in its first comparison.
    """
    began, at = timing.clock(), rfc3339(timing.wall())
    pairs = Pairs(source, destination, options.state, read)
    run = _Run(source, destination, pairs, options, timing, told)
    run.compare()
    run.settle()
    return run.verified(at, timing.clock() - began)


def packed(entries: Sequence[Entry]) -> bytes:
    """Names and values as bytes that no other entries make: what is digested."""
    parts: List[bytes] = []
    for name, kv in entries:
        value = kv.value
        parts += (len(name).to_bytes(4, "big"), name, len(value).to_bytes(4, "big"), value)
    return b"".join(parts)


class _Run:
    """One verification on its way."""

    def __init__(
        self,
        source: Side,
        destination: Side,
        pairs: Pairs,
        options: Options,
        timing: Time,
        told: Told,
    ) -> None:
        self._source, self._destination, self._pairs = source, destination, pairs
        self._options, self._time, self._told = options, timing, told
        self._pair = pairs.choose()
        self._rounds = 1
        self._keys = [0, 0]
        self._digests = (hashlib.sha256(), hashlib.sha256())
        self._counts: Dict[str, int] = Counter()
        self._differing: List[Differing] = []
        self._unsettled: List[Found] = []

    def compare(self) -> None:
        """All slices of both sides. Where a revision is compacted meanwhile, it goes on from the same slice at another pair."""
        spans = spans_without(self._options.left_out)
        total = self._at_a_pair(lambda pair: self._source.count(spans, pair.source))
        for span in spans:
            start: Optional[bytes] = span.start
            while start is not None:
                began, left = self._time.clock(), Span(start, span.end)
                start = self._at_a_pair(lambda pair, left=left: self._slice(left, pair))  # type: ignore[misc]
                self._told(Far("Compared", self._keys[0], total))
                self._time.sleep(min(LONGEST_REST, self._options.rest * (self._time.clock() - began)))

    def settle(self) -> None:
        """Looks again at what is unsettled, until nothing is or the patience is over."""
        until = self._time.clock() + self._options.patience
        over = False
        while self._unsettled and not over:
            self._time.sleep(_LOOK_AGAIN)
            over = self._time.clock() >= until
            waiting, self._unsettled = self._unsettled, []
            pair = self._pairs.choose()
            for first in counted_off(waiting, self._told, "Looked at again", len(waiting)):
                pair, now = self._uncompacted(pair, lambda pair, name=first.name: self._looked_at(name, pair))  # type: ignore[misc]
                self._judge_again(first, now, over)
        self._counts[UNSETTLED] += len(self._unsettled)

    def _judge_again(self, first: Found, now: Found, over: bool) -> None:
        verdict = judged_again(first, now, self._options.leases, over)
        if verdict == UNSETTLED:
            self._unsettled.append(first if untouched(first, now) else now)
        else:
            self._count(first.name, verdict)

    def verified(self, at: str, seconds: float) -> Verified:
        counts, pair = self._counts, self._pair
        return Verified(
            mirror=self._options.mirror,
            time=at,
            seconds=round(seconds, 3),
            source_revision=pair.source,
            applied_revision=pair.applied or 0,
            mirror_revision=pair.destination,
            source_keys=self._keys[0],
            mirror_keys=self._keys[1],
            missing=counts[MISSING],
            extra=counts[EXTRA],
            other=counts[OTHER],
            unsettled=counts[UNSETTLED],
            differing=tuple(self._differing),
            digest=self._digests[0].hexdigest(),
            mirror_digest=self._digests[1].hexdigest(),
            rounds=self._rounds,
        )

    def _slice(self, left: Span, pair: Pair) -> Optional[bytes]:
        """Compares the first slice of what is left, and returns where the next one begins; None: that was all.

        It ends where the part of either side does, so that it is as small as a part is. Compacted leaves everything as it was.
        """
        mine = self._source.part(left, pair.source)
        end = mine.rest if mine.rest is not None else left.end
        theirs = self._destination.part(Span(left.start, end), pair.destination)
        if theirs.rest is not None:
            mine = Part([entry for entry in mine.entries if entry.name < theirs.rest], theirs.rest)
        sides = packed(mine.entries), packed(theirs.entries)
        for side, part in enumerate((mine, theirs)):
            self._digests[side].update(sides[side])
            self._keys[side] += len(part.entries)
        if sides[0] != sides[1]:
            for name, source, destination in paired(mine.entries, theirs.entries):
                self._note(Found(name, source, destination, pair))
        return mine.rest

    def _note(self, found: Found) -> None:
        verdict = judged(found, self._options.leases)
        if verdict == UNSETTLED and len(self._unsettled) < _MOST_UNSETTLED:
            self._unsettled.append(found)
        else:
            self._count(found.name, verdict)

    def _count(self, name: bytes, verdict: str) -> None:
        self._counts[verdict] += 1
        if verdict not in (SAME, UNSETTLED) and len(self._differing) < self._options.first:
            self._differing.append(Differing(shown(self._source.key(name)), verdict))

    def _looked_at(self, name: bytes, pair: Pair) -> Found:
        return Found(
            name, self._source.one(name, pair.source)[1], self._destination.one(name, pair.destination)[1], pair
        )

    def _at_a_pair(self, work: Callable[[Pair], T]) -> T:
        """What ``work`` returns at the pair of this run, which is another one where that is compacted away."""
        pair, result = self._uncompacted(self._pair, work)
        self._rounds += pair != self._pair
        self._pair = pair
        return result

    def _uncompacted(self, pair: Pair, work: Callable[[Pair], T]) -> Tuple[Pair, T]:
        """The same with the pair at which it was: this one, else one of now, else one with the source as it is."""
        for attempt in range(_MOST_STUCK):
            try:
                return pair, work(pair)
            except Compacted:
                pair = self._pairs.choose(latest=attempt > 0)
        return pair, work(pair)
