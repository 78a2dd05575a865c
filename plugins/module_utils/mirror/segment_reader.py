# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mirror's log, read: from a revision on, following its writer, in its process or in another one."""

from __future__ import annotations

import time
from typing import Iterator, List, NamedTuple, Optional, Protocol, Tuple, Union

from ..core.errors import EtcdError
from ..core.text import printable, rfc3339
from . import segment_format as form
from .segment_files import Damaged, SegmentFile, name_of, sequences
from .segment_format import Close, Head, Lease, Record

_LOOK_AGAIN = 0.02  # seconds between two looks at what another process writes


class NotCovered(EtcdError):
    """The log does not have all that happened after a revision: it began later, there is a gap, or that much is forgotten."""


class Segment(NamedTuple):
    """A segment as its head and its end tell of it; ``close`` is None for the one that is written."""

    sequence: int
    head: Head
    close: Optional[Close]
    size: int


def segments_of(folder: str) -> List[Segment]:
    """All segments, the oldest first, without one that has not begun. What is forgotten meanwhile is left out."""
    found = []
    numbers = sequences(folder)
    for number in numbers:
        try:
            with SegmentFile(folder, number) as file:
                end = _end_of(file, number == numbers[-1])
                if file.head is not None:
                    found.append(Segment(number, file.head, end, file.size()))
        except FileNotFoundError:
            continue
    return found


def _end_of(file: SegmentFile, is_last: bool) -> Optional[Close]:
    close = file.close_record() if file.head else None
    if close is None and not is_last:
        raise Damaged(file.path, file.size(), "a segment follows it, and it was not closed")
    return close


def start_of(segments: List[Segment], after: int, cluster: int = 0) -> Segment:
    """The newest segment from which on all is there that happened after a revision, in that cluster where one is named.

    NotCovered, with the reason, where there is none.
    """
    later: Optional[Segment] = None
    for one in reversed(segments):
        if cluster and one.head.cluster != cluster:
            raise NotCovered(*_why_not(after, later, f"the log is of cluster {one.head.cluster:x}"))
        if later and later.sequence != one.sequence + 1:
            raise NotCovered(*_why_not(after, later, f"{name_of(later.sequence - 1)} is missing"))
        if one.head.after <= after:
            return one
        later = one
        if not one.head.goes_on:
            raise NotCovered(*_why_not(after, one, one.head.why))
    raise NotCovered(*_why_not(after, later, "what was before is forgotten" if later else "it is empty"))


def _why_not(after: int, first: Optional[Segment], why: str) -> List[str]:
    since = f" begins after revision {first.head.after:,}, at {rfc3339(first.head.wall)}, and" if first else ""
    return [
        f"the log{since} does not have all that happened after revision {after:,}: {why}.",
        "compare the clusters by keys, or choose a later revision.",
    ]


def entries(folder: str, first: int = 0) -> Iterator[Union[Head, Record, Lease]]:
    """All that is in the log, from the segment ``first`` on: a head wherever a segment begins, then what it has.

    It ends where the log ends by now. Damaged where a file is not what was written.
    """
    numbers = [number for number in sequences(folder) if number >= first]
    for number in numbers:
        file = _opened(folder, number)
        try:
            close = _end_of(file, number == numbers[-1])
            if close:
                file.check_hash(close)
            if file.head is not None:
                if file.head.goes_on and number - 1 not in (numbers[0] - 1, *numbers):
                    raise Damaged(file.path, 0, "the segment before it is missing")
                yield file.head
                yield from _entries_of(file)
        finally:
            file.shut()


def _opened(folder: str, number: int) -> SegmentFile:
    try:
        return SegmentFile(folder, number)
    except FileNotFoundError:
        why = f"the log in {printable(folder)} has forgotten {name_of(number)} while it was read."
        raise NotCovered(why, "try it again.") from None


def _entries_of(file: SegmentFile) -> Iterator[Union[Record, Lease]]:
    at = file.first
    for place, frame in file.frames():
        at = frame.after
        if frame.kind == form.EVENTS:
            yield file.understood(form.record_of, frame.payload, place)
        elif frame.kind == form.LEASE:
            yield file.understood(form.lease_of, frame.payload, place)
    file.check_end(at)


class Writing(Protocol):
    """A writer in this process, who tells its readers when they have to look again."""

    def news(self) -> Tuple[int, bool]:
        """A number that is another one when something was appended, and whether nothing more will be."""

    def wait(self, seen: int, seconds: float) -> None:
        """Until the number is another one than the one seen, at most so many seconds."""


class _Elsewhere:
    """The writer is another process, if there is one."""

    def news(self) -> Tuple[int, bool]:
        return 0, False

    def wait(self, _seen: int, seconds: float) -> None:
        time.sleep(min(seconds, _LOOK_AGAIN))


class Reader:
    """Gives the records after a revision, one after the other. NotCovered where one would be left out: at a gap, or where the
    log has forgotten what was not read yet. Of a writer in another process it never knows that it has ended.
    """

    def __init__(self, folder: str, after: int, cluster: int = 0, writing: Optional[Writing] = None) -> None:
        self._folder, self._after = folder, after
        self._writing: Writing = writing or _Elsewhere()
        begin = start_of(segments_of(folder), after, cluster)
        self._file = _opened(folder, begin.sequence)
        self._at = self._file.first
        self._check()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.shut()

    def __iter__(self) -> Iterator[Record]:
        """Follows the writer until it has closed the log."""
        record = self.take(None)
        while record is not None:
            yield record
            record = self.take(None)

    def shut(self) -> None:
        self._file.shut()

    def take(self, timeout: Optional[float] = 0.0) -> Optional[Record]:
        """The next record; None where there is none within so many seconds (None: however long), or the log was closed."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            seen, over = self._writing.news()
            record = self._next()
            if record is not None or over:
                return record
            left = 1.0 if until is None else min(1.0, until - time.monotonic())
            if left <= 0:
                return None
            self._writing.wait(seen, left)

    def _next(self) -> Optional[Record]:
        """The next record that is there by now."""
        while True:
            frame = self._file.frame(self._at)
            if frame is None:
                self._file.check_end(self._at)
                return None
            if frame.kind == form.CLOSE:
                if not self._go_on():
                    return None
                continue
            place, self._at = self._at, frame.after
            if frame.kind == form.EVENTS and self._is_new(frame.payload, place):
                record: Record = self._file.understood(form.record_of, frame.payload, place)
                self._after = record.revision
                return record

    def _is_new(self, payload: bytes, place: int) -> bool:
        revision, _wall = self._file.understood(form.revision_of, payload, place)
        return bool(revision > self._after)

    def _go_on(self) -> bool:
        """Go to the next segment; False where it is not there yet."""
        number = self._file.sequence + 1
        try:
            file = SegmentFile(self._folder, number)
        except FileNotFoundError:
            if any(one > number for one in sequences(self._folder)):
                raise NotCovered(*_why_not(self._after, None, "what comes next is forgotten")) from None
            return False
        if file.head is None:
            file.shut()
            return False
        if not file.head.goes_on:
            head = file.head
            file.shut()
            raise NotCovered(*_why_not(self._after, Segment(number, head, None, 0), head.why))
        self._file.shut()
        self._file, self._at = file, file.first
        self._check()
        return True

    def _check(self) -> None:
        """One that is closed already is held against its hash before anything is taken from it."""
        close = self._file.close_record()
        if close:
            self._file.check_hash(close)
