# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters that do not answer for a while are waited for: a mirror outlives them. What is waited for is told, not each time."""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional, Tuple, Type, TypeVar

from ..core.errors import EtcdError
from ..etcd.refusals import NoSpace, OtherCluster, Stale, Unavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds
TELL_EVERY = 30.0  # seconds
ONCE_PATIENCE = 120.0  # seconds that a run that is to come to an end waits for a cluster
STALE_PATIENCE = 20.0  # seconds after which all members show less than was seen before: it is no member that lags

T = TypeVar("T")


class Stopping(Exception):
    """The engine was told to end."""


class Anew(Exception):
    """A cluster is not what it was: all must be looked at again, by connections that have seen nothing yet."""


class Patience:
    """Does what may have to be tried again. ``stop`` ends the waiting; ``most`` seconds of it are enough, None: none are.

    ``noted`` is told each error, and an empty text when all is well again.
    """

    def __init__(
        self,
        stop: threading.Event,
        say: Callable[[str], None],
        noted: Callable[[str], None],
        most: Optional[float] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop, self._say, self._noted, self._most, self._clock = stop, say, noted, most, clock

    def until_done(
        self,
        work: Callable[[], T],
        passing: Tuple[Type[EtcdError], ...] = (Unavailable, NoSpace),
        however_long: bool = False,
    ) -> T:
        """What ``work`` returns. Of the ``passing`` errors the last one where they lasted too long; Anew; Stopping."""
        began, pause, told = self._clock(), FIRST_PAUSE, 0.0
        failed = False
        while True:
            if self._stop.is_set():
                raise Stopping
            try:
                found = work()
            except passing as error:
                now = self._clock()
                failed = True
                if isinstance(error, OtherCluster) or (isinstance(error, Stale) and now - began > STALE_PATIENCE):
                    raise Anew(str(error)) from error
                self._noted(str(error))
                if self._most is not None and not however_long and now - began > self._most:
                    raise
                if not told or now - told >= TELL_EVERY:
                    self._say(f"{error} It is tried again.")
                    told = now
                self._stop.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                if failed:
                    self._noted("")
                return found

    def wait(self, error: EtcdError) -> None:
        """Something that was under way has ended by this; it is begun again in a moment."""
        if not self._stop.is_set():
            self._say(f"{error} It is tried again.")
            self._stop.wait(FIRST_PAUSE)
