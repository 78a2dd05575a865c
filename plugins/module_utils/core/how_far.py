# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a long job is: a line every 30 seconds, or, for whoever sits at a terminal, a bar that is drawn again in its place."""

from __future__ import annotations

import collections
import contextlib
import math
import os
import threading
import time
from typing import Callable, Deque, Iterable, Iterator, Mapping, NamedTuple, Optional, TextIO, Tuple, TypeVar

from .text import duration

SAY_EVERY, DRAW_EVERY = 30.0, 0.25  # seconds
PACE_OVER, PACE_AFTER = 10.0, 2.0  # the pace is that of the last seconds, and nobody's guess before there are some
_WIDEST, _NARROWEST = 40, 6  # columns of a bar
_CLEAR = "\r\x1b[K"

T = TypeVar("T")


class Far(NamedTuple):
    """``done`` of ``total`` things are ``what``; 0 of them where nobody knows how many there are."""

    what: str
    done: int
    total: int = 0
    things: str = "keys"

    @property
    def is_of_all(self) -> bool:
        """Whether the total can be believed: more may have come since they were counted."""
        return self.total >= max(1, self.done)

    @property
    def words(self) -> str:
        of = f" of {self.total:,}" if self.is_of_all else ""
        return f"{self.what}: {self.done:,}{of} {self.things}"


Told = Callable[[Far], object]


def quiet(_far: Far) -> None:
    """For whoever does not want to know."""


def counted_off(items: Iterable[T], told: Told, what: str, total: int = 0) -> Iterator[T]:
    """The same, and before each one is told how many there were."""
    for number, item in enumerate(items):
        told(Far(what, number, total))
        yield item


def drawn(far: Far, pace: float, width: int) -> str:
    """A line that leaves the last column free, behind which a terminal begins a new one. The words go before the bar."""
    words = [far.words]
    if pace > 0:
        words.append(f"{pace:,.0f}/s" if pace >= 10 else f"{pace:.1f}/s")
    if pace > 0 and far.is_of_all and far.done < far.total:
        words.append(f"{duration(math.ceil((far.total - far.done) / pace))} left")
    room = width - 1
    while len(words) > 1 and len(", ".join(words)) > room:
        words.pop()
    text = ", ".join(words)[:room]
    columns = min(_WIDEST, room - len(text) - len("[] "))
    if columns < _NARROWEST or not far.is_of_all:
        return text
    full = columns * far.done // far.total
    return f"[{'#' * full}{'.' * (columns - full)}] {text}"


class Pace:
    """How many things are done in a second."""

    def __init__(self) -> None:
        self._seen: Deque[Tuple[float, int]] = collections.deque()

    def at(self, now: float, done: int) -> float:
        """0 where it is too early to say."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # it was begun anew
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= PACE_OVER:
            self._seen.popleft()
        then, before = self._seen[0]
        return (done - before) / (now - then) if now - then >= PACE_AFTER else 0.0


class NowAndThen:
    """Says what it is given, at most every 30 seconds, and not in the first 30."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._said = clock()

    def __call__(self, words: str) -> None:
        now = self._clock()
        if words and now - self._said >= SAY_EVERY:
            self._said = now
            self._say(words)


class Bar:
    """On a terminal that can clear a line. A terminal that is gone is no reason to end what is shown there."""

    def __init__(self, terminal: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal, self._clock = terminal, clock
        self._lock = threading.Lock()
        self._what, self._pace, self._drawn_at = "", Pace(), -DRAW_EVERY
        self._is_there = False

    def show(self, far: Far) -> None:
        with self._lock:
            now = self._clock()
            if now - self._drawn_at < DRAW_EVERY and far.what == self._what:
                return
            if far.what != self._what:
                self._what, self._pace = far.what, Pace()
            self._drawn_at, self._is_there = now, True
            self._write(_CLEAR + drawn(far, self._pace.at(now, far.done), self._width()))

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """It is cleared, and not drawn again before the block ends: for a line in its place."""
        with self._lock:
            if self._is_there:
                self._is_there, self._drawn_at = False, -DRAW_EVERY
                self._write(_CLEAR)
            yield

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._terminal.write(text)
            self._terminal.flush()

    def _width(self) -> int:
        """Asked each time: a window changes its size."""
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(self._terminal.fileno()).columns or 80
        return 80


def bar_on(stream: Optional[TextIO], environ: Mapping[str, str]) -> Optional[Bar]:
    """None where that is no terminal, or one that cannot draw a line again."""
    if stream is None or not stream.isatty() or environ.get("TERM", "dumb") == "dumb":
        return None
    return Bar(stream)
