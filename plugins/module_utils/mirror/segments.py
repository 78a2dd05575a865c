# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one log of what the mirror has read from the source, written: segments on disk, each event with its revision and the wall
time. ``docs/log-format.md`` describes the files.

With ``kept`` it is what the undo and the history come from, and is on the disk where ``sync`` returns. Else it is only a spool
between who reads and who writes: never synced, and forgotten as soon as it is applied. What is not applied never goes: beyond
the bounds nothing more is appended.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from typing import Callable, List, Optional, Sequence, Tuple, cast

from ..core.errors import EtcdError
from ..core.text import in_mib, printable
from ..etcd.messages import Event
from .segment_files import Damaged, SegmentFile, cannot, name_of, sequences
from .segment_format import Head, Lease, Record
from .segment_reader import NotCovered, Reader, Segment, segments_of, start_of
from .segment_writing import Full, Written, begun, resumed

SEGMENT = 16 << 20  # bytes, after which a new one begins
AGES = 10  # segments at least, in the time that a log is kept
SPARE_PART = 20  # a twentieth of the disk stays free: a member may live on it
SPARE = 2 << 30  # bytes, of which no more need to stay free
LOCK = "lock"
AWAY = "nobody was reading for a while"
FIRST = "the log begins here"
RESTORED = "the source was another cluster before"
BACK = (
    "an earlier revision is read again: the source was restored, or the mirror was further behind than the log reached"
)
OTHER_KEYS = "other keys were read before"


class Taken(EtcdError):
    """Another process writes this log."""


class Log:
    """The writer, and the readers in its process. Several threads may use it; a context manager.

    ``key`` and ``end`` are the range that is watched, of which keys that begin with one of ``left_out`` are not appended.
    ``max_age`` is in seconds and ``max_bytes`` of all segments; 0 is no bound.
    Full where it may not be longer: then the same can be appended again when there is room.
    """

    def __init__(
        self,
        folder: str,
        key: bytes = b"\0",
        end: bytes = b"\0",
        kept: bool = False,
        max_age: float = 0.0,
        max_bytes: int = 0,
        segment_bytes: int = SEGMENT,
        clock: Callable[[], float] = time.time,
        left_out: Tuple[bytes, ...] = (),
    ) -> None:
        self.folder, self._kept = folder, kept
        self._what = (key, end, tuple(sorted(left_out)))
        self._max_age, self._max_bytes, self._segment_bytes, self._clock = max_age, max_bytes, segment_bytes, clock
        self._changed = threading.Condition(threading.RLock())
        self._closed = self._going_on = False
        self._changes = self._applied = 0
        self.cut = ""  # what of the last writer's was cut off, in words
        self._lock = _locked(folder)
        try:
            self._older: List[Segment] = []
            self._current: Optional[Written] = None
            self._take_over()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def cluster(self) -> int:
        """The cluster that is read, 0 for a log without any."""
        last = self._last_head()
        return last.cluster if last else 0

    @property
    def revision(self) -> int:
        """Up to which revision of it everything is in the log; 0 for a log without any."""
        if self._current:
            return self._current.revision
        return self._older[-1].close.revision if self._older and self._older[-1].close else 0

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        with self._changed:
            return sum(one.size for one in self._older) + (self._current.size if self._current else 0)

    def begin(self, cluster: int, after: int, wall: float, anew: str = "") -> bool:
        """All that happens in the cluster after the revision will be appended from now on. Whether it goes on where the log ends.

        Where it does not, or ``anew`` says why it may not, a gap is recorded, over which nobody reads.
        """
        with self._changed:
            head = self._last_head()
            same = head is not None and (head.key, head.end, head.left_out) == self._what
            if same and not anew and (cluster, after) == (self.cluster, self.revision):
                self._going_on = True
                return True
            self._going_on = False
            self._end_segment()
            why = anew or _why_a_gap(head, cluster, after < self.revision, same)
            key, end, left_out = self._what
            number = self._next_sequence()
            self._begin_segment(Head(number, cluster, after, wall, False, key, end, why, left_out))
            self._going_on = True
            return False

    def append(self, cluster: int, revision: int, wall: float, events: Sequence[Event]) -> None:
        """Add all events of a revision. Without any: up to it there is nothing more. What is there already is not added again.

        What was not announced by ``begin`` comes after a gap.
        """
        with self._changed:
            if not self._going_on or cluster != self.cluster:
                self.begin(cluster, revision - 1, wall, anew=AWAY if cluster == self.cluster else "")
            if revision < self.revision or (revision == self.revision and events):
                return
            self._room(wall).add(Record(revision, wall, events))
            self._tell()

    def lease(self, lease: Lease) -> None:
        """Add the time to live of a lease that was met."""
        with self._changed:
            if self._last_head() is not None:
                self._room(lease.wall).add_lease(lease)

    def sync(self) -> None:
        """What was appended is on the disk when this returns, where the log is kept."""
        with self._changed:
            if self._kept and self._current:
                self._current.sync()

    def read(self, after_revision: int) -> Reader:
        """The records after a revision; it follows the writer and ends when that is closed. NotCovered where some are missing."""
        return Reader(self.folder, after_revision, self.cluster, self)

    def covers(self, revision: int) -> bool:
        """Whether all that happened after this revision of the cluster is in the log, up to now."""
        with self._changed:
            try:
                start_of(self._segments(), revision, self.cluster)
            except NotCovered:
                return False
            return revision <= self.revision

    def forget_up_to(self, revision: int) -> int:
        """Up to this revision everything is applied. A spool forgets it; what is kept only goes, the oldest first, where it is
        beyond the bounds. How many segments went.
        """
        with self._changed:
            self._applied = revision
            first = _first_of_history(self._segments())
            gone = 0
            while self._older and self._may_go(self._older[0], first):
                path = os.path.join(self.folder, name_of(self._older[0].sequence))
                try:
                    os.unlink(path)
                except OSError as error:
                    raise cannot("shortened", path, error) from error
                del self._older[0]
                gone += 1
            return gone

    def close(self) -> None:
        """Ends the readers of this process when they have read all. The open segment is gone on with by the next writer."""
        with self._changed:
            if self._closed:
                return
            try:
                self.sync()
            finally:
                self._closed = True
                if self._current:
                    self._current.shut()
                os.close(self._lock)
                self._tell()

    # ---- the segment that is written ---------------------------------------------------------------------------------

    def _room(self, wall: float) -> Written:
        """The segment that is written; the next one where that is long enough, or there is none."""
        if self._closed:
            raise EtcdError("this log is closed.")
        _refuse_to_fill_the_disk(self.folder)
        if self._current and self._is_long(self._current, wall):
            self._refuse_more_than_may_wait()
            self._end_segment()
        if self._current is None:
            last = self._last_head()
            if last is None:
                raise EtcdError("nothing was begun in this log.")
            number, key, end = self._next_sequence(), last.key, last.end
            self._begin_segment(Head(number, last.cluster, self.revision, wall, True, key, end, left_out=last.left_out))
        return cast(Written, self._current)

    def _is_long(self, current: Written, wall: float) -> bool:
        """Only whole segments are forgotten, so that none lasts longer than a tenth of the time that the log is kept."""
        too_old = bool(self._max_age) and self._kept and wall - current.head.wall > self._max_age / AGES
        return not current.is_empty and (too_old or current.size >= self._segment_bytes)

    def _refuse_more_than_may_wait(self) -> None:
        self.forget_up_to(self._applied)
        waiting = sum(one.size for one in self._older)
        if self._max_bytes and waiting > self._max_bytes:
            raise Full(
                f"the log is full: {in_mib(waiting)} are not applied yet, and {in_mib(self._max_bytes)} may wait in it.",
                "see why the destination does not take them; the mirror goes on by itself.",
            )

    def _end_segment(self) -> None:
        current = self._current
        if current is not None:
            close = current.end(self._kept)
            self._older.append(Segment(current.head.sequence, current.head, close, current.size))
            self._current = None

    def _begin_segment(self, head: Head) -> None:
        self._current = begun(self.folder, head, self._kept)

    # ---- what is there -----------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        """Go on with what the last writer left: without a record that it could not end."""
        try:
            _drop_unbegun(self.folder)
            self._older = segments_of(self.folder)
            if self._older and self._older[-1].close is None:
                self._current = resumed(self.folder, self._older.pop().sequence)
                self.cut = self._current.cut
        except Damaged:
            if self._kept:
                raise
            # A spool is never synced, so that a power failure may have left anything.
            self._older, self._current = [], None
            for number in sequences(self.folder):
                os.unlink(os.path.join(self.folder, name_of(number)))
            self.cut = "the spool was not whole and was emptied"

    def _segments(self) -> List[Segment]:
        current = self._current
        return self._older + ([Segment(current.head.sequence, current.head, None, current.size)] if current else [])

    def _last_head(self) -> Optional[Head]:
        if self._current:
            return self._current.head
        return self._older[-1].head if self._older else None

    def _next_sequence(self) -> int:
        numbers = sequences(self.folder)
        return (numbers[-1] if numbers else 0) + 1

    def _may_go(self, oldest: Segment, first: int) -> bool:
        close = oldest.close
        is_last = len(self._older) == 1 and self._current is None  # it alone says how far the log is
        if close is None or is_last or (oldest.sequence >= first and close.revision > self._applied):
            return False
        too_old = bool(self._max_age) and close.wall < self._clock() - self._max_age
        return not self._kept or too_old or (bool(self._max_bytes) and self.size > self._max_bytes)

    # ---- for the readers of this process -----------------------------------------------------------------------------

    def news(self) -> Tuple[int, bool]:
        """A number that is another one when something was appended, and whether the log is closed."""
        with self._changed:
            return self._changes, self._closed

    def wait(self, seen: int, seconds: float) -> None:
        """Until the number is another one than the one seen, at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, seconds)

    def _tell(self) -> None:
        self._changes += 1
        self._changed.notify_all()


def _first_of_history(segments: Sequence[Segment]) -> int:
    """The number of the segment since which revisions have only grown: what was before is of a history that is no more."""
    first, before = 0, (0, 0)
    for one in segments:
        if one.head.cluster != before[0] or one.head.after < before[1]:
            first = one.sequence
        before = one.head.cluster, one.close.revision if one.close else 0
    return first


def _refuse_to_fill_the_disk(folder: str) -> None:
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise cannot("written", folder, error) from error
    spare = min(SPARE, disk.f_blocks * disk.f_frsize // SPARE_PART)
    if disk.f_bavail * disk.f_frsize < spare:
        raise Full(
            f"the disk of the log is full but for what is to stay free, {in_mib(spare)}: {printable(folder)}.",
            "make room on that disk; the mirror goes on by itself.",
        )


def _drop_unbegun(folder: str) -> None:
    """The newest file may lack its head: its writer was killed when it made it."""
    for number in sequences(folder)[-1:]:
        with SegmentFile(folder, number) as file:
            if file.head is None:
                os.unlink(file.path)


def _why_a_gap(last: Optional[Head], cluster: int, went_back: bool, same: bool) -> str:
    if last is None or cluster != last.cluster:
        return RESTORED if last else FIRST
    return BACK if went_back else AWAY if same else OTHER_KEYS


def _locked(folder: str) -> int:
    """The folder's lock, held by this process until it ends."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        handle = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot("locked", folder, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Taken(
            f"another process writes the log in {printable(folder)}.", "wait for its end, or stop it."
        ) from error
    except OSError as error:
        os.close(handle)
        raise cannot("locked", folder, error) from error
    return handle
