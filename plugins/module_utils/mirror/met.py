# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The leases of events that are read: their times to live, which no event tells, go into a log that is kept, once each."""

from __future__ import annotations

from typing import Callable, Collection, Protocol, Set

from ..core.threads import side_by_side
from .leases import Granted
from .patience import Patience
from .segment_format import Lease

MOST = 100_000  # leases that are remembered to be in the log


class Source(Protocol):
    def time_to_live(self, id: int) -> Granted: ...


class Logged(Protocol):
    def lease(self, lease: Lease) -> None: ...


class Met:
    """``wanted``: whether the log is kept."""

    def __init__(
        self, source: Source, log: Logged, patience: Patience, clock: Callable[[], float], wanted: bool
    ) -> None:
        self._source, self._log, self._patience, self._clock, self._wanted = source, log, patience, clock, wanted
        self._before: Set[int] = set()

    def add(self, leases: Collection[int]) -> None:
        new = sorted(set(leases) - self._before) if self._wanted else []
        if len(self._before) + len(new) > MOST:
            self._before.clear()  # one that is met again is in the log twice
        for lease, granted in zip(new, side_by_side(self._time_to_live, new)):
            if granted > 0:
                self._log.lease(Lease(lease, granted, self._clock()))
            self._before.add(lease)

    def _time_to_live(self, lease: int) -> int:
        return self._patience.until_done(lambda: self._source.time_to_live(lease)).granted
