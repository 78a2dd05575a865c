# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a command says while it works: its lines on stdout, and on stderr how far it is: by a bar, or by a line at times."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Callable, ContextManager, Mapping, Optional, TextIO

from ..core.how_far import Far, NowAndThen, bar_on
from ..core.text import printable


class Screen:
    """The bar is gone when the block ends: what comes then is the answer, or an error."""

    def __init__(
        self,
        out: Optional[TextIO] = None,
        err: Optional[TextIO] = None,
        environ: Optional[Mapping[str, str]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._bar = bar_on(self._err, os.environ if environ is None else environ)
        self._now_and_then = NowAndThen(lambda words: self._line(self._err, words), clock)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.shows(None)

    def say(self, line: str) -> None:
        self._line(self._out, line)

    def shows(self, far: Optional[Far]) -> bool:
        """Whether a bar shows it; None takes the bar away."""
        if self._bar and far:
            self._bar.show(far)
            return True
        with self._away():
            return False

    def tell(self, far: Far) -> None:
        """By the bar, or where there is none by a line every 30 seconds."""
        if not self.shows(far):
            self._now_and_then(f"{far.words}.")

    def _line(self, stream: TextIO, line: str) -> None:
        with self._away():
            stream.write(f"{printable(line)}\n")
            stream.flush()

    def _away(self) -> ContextManager[None]:
        return self._bar.away() if self._bar else contextlib.nullcontext()
