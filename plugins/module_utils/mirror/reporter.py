# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine tells while it works, in a thread of its own: its status file, and a line from time to time."""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional, Protocol

from ..core.how_far import Far, NowAndThen
from ..core.text import counted
from ..core.threads import Beside
from .state import FOLLOW, SCAN
from .status import HELD, MENDING, Board, MirrorStatus

WRITE_EVERY, ASK_EVERY = 3.0, 2.0  # seconds
END_WITHIN = 5.0  # seconds in which what is under way may come to its end
_TICK = 0.2


class Tended(Protocol):
    """What of a session is needed."""

    def ask_progress(self) -> None: ...

    def end(self) -> None: ...

    def cut_off(self) -> None: ...


class Sized(Protocol):
    @property
    def size(self) -> int: ...


Shows = Callable[[Optional[Far]], bool]


def nobody_looks(_far: Optional[Far]) -> bool:
    return False


class Reporter:
    """``shows``: whether how far a comparison or a mending is can be seen, so that no line need say so; None: there is none."""

    def __init__(
        self,
        board: Board,
        log: Sized,
        say: Callable[[str], None],
        shows: Shows = nobody_looks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board, self._log, self._say, self._shows, self._clock = board, log, say, shows, clock
        self._now_and_then = NowAndThen(say, clock)
        self._session: Optional[Tended] = None
        self._stop = threading.Event()
        self._closed = threading.Event()
        self._wrote = self._asked = -WRITE_EVERY
        self._ends_by: Optional[float] = None
        self._unwritten = ""
        self._thread: Optional[Beside[None]] = None

    def start(self) -> None:
        self._thread = Beside(self._report)

    def tend(self, session: Tended, stop: threading.Event) -> None:
        """From now on this session is asked for its progress, and ended when ``stop`` is set."""
        self._session, self._stop = session, stop

    def leave(self) -> None:
        self._session = None

    def close(self) -> None:
        """The last status is on the disk when this returns."""
        self._closed.set()
        if self._thread:
            self._thread.result()
        self._write()

    def _report(self) -> None:
        while not self._closed.wait(_TICK):
            self.tick()
        self._shows(None)

    def tick(self) -> None:
        """All that is due by now."""
        now, session = self._clock(), self._session
        if session and self._stop.is_set():
            self._end(session, now)
        if session and now - self._asked >= ASK_EVERY:
            self._asked = now
            session.ask_progress()
        if now - self._wrote >= WRITE_EVERY:
            self._wrote = now
            self._write()
        status = self._board.status
        if not self._shows(far_of(status)):
            self._now_and_then(in_words(status))

    def _end(self, session: Tended, now: float) -> None:
        """What is asked of a cluster ends by itself in time, or its connection is cut."""
        session.end()
        if self._ends_by is None:
            self._ends_by = now + END_WITHIN
        elif now > self._ends_by:
            session.cut_off()

    def _write(self) -> None:
        try:
            self._board.set(log_bytes=self._log.size)
            self._board.write()
            self._unwritten = ""
        except OSError as error:
            words = f"The status could not be written: {error.strerror}."
            if words != self._unwritten:
                self._say(words)
            self._unwritten = words


def far_of(status: MirrorStatus) -> Optional[Far]:
    """Of a comparison, or of what is mended; what is followed has no end."""
    if status.phase == SCAN:
        return Far("Compared", status.keys_done, status.keys_total)
    if status.phase == MENDING and status.keys_total:
        return Far("Mended", status.keys_done, status.keys_total)
    if status.phase == MENDING and status.leases_total:
        return Far("Asked for their keys", status.leases_done, status.leases_total, "leases")
    return None


def in_words(status: MirrorStatus) -> str:
    """The line that says how far it is; empty where there is nothing to say."""
    far = far_of(status)
    if far:
        changed = f", {status.keys_changed:,} changed" if status.phase == SCAN else ""
        return f"{far.words}{changed}."
    if status.phase == HELD:
        return f"Held back: {status.why}."
    if status.phase == FOLLOW:
        behind = (
            f"{status.lag_revisions:,} revisions and {status.lag_seconds:.1f} s behind"
            if status.lag_revisions
            else "level"
        )
        applied = f"{counted(status.applied_events, 'change')} of keys applied since it began"
        keys = f", {counted(status.keys, 'key')} mirrored" if status.keys >= 0 else ""
        return f"Follows: at revision {status.applied_revision:,}, {behind}, {applied}{keys}."
    return ""
