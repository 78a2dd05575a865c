# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases of the source in the destination: the same IDs and times to live, kept alive for as long as the source has them.

So nothing needs to be remembered which lease stands for which. When the mirror is cut over, or its engine ends, whoever owned a
lease has its time to live to renew it. When a lease has run out in the destination while its engine was away, keys are gone that
the source still has: after each start both sides are compared.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Callable, Collection, Dict, NamedTuple, Optional, Protocol, Set

from ..core.errors import EtcdError
from ..core.threads import Beside, side_by_side
from ..etcd.messages import KeyValue
from ..etcd.refusals import NoLease
from .patience import Patience, Stopping

_TICK = 0.5  # seconds between two looks at what is due


class Granted(Protocol):
    """A lease as etcd tells of it; ``granted`` is its time to live in seconds, 0 where there is no such lease."""

    @property
    def granted(self) -> int: ...


class Grants(Protocol):
    """What of ``etcd.client.Client`` is needed for leases."""

    def grant(self, ttl: int, id: int = 0) -> int: ...

    def time_to_live(self, id: int) -> Granted: ...

    def keep_alive(self, id: int) -> int: ...


class _Held(NamedTuple):
    ttl: int
    due: float  # when it is to be renewed
    gone_at: Optional[int] = None  # the source's revision when it had the lease no more


class Leases:
    """``reached`` is the source's revision that is applied, ``newest`` asks the source for that of now. ``over`` is set, and
    ``lost`` says why, where the destination has lost a lease.
    """

    def __init__(
        self,
        source: Grants,
        target: Grants,
        patience: Patience,
        over: threading.Event,
        reached: Callable[[], int],
        newest: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._target, self._patience, self._over = source, target, patience, over
        self._reached, self._newest, self._clock = reached, newest, clock
        self._lock = threading.Lock()
        self._held: Dict[int, _Held] = {}
        self._thread: Optional[Beside[None]] = None
        self.lost = ""

    def start(self) -> None:
        """Renew what is held, in a thread of its own."""
        self._thread = Beside(self._renew_all)

    def close(self) -> None:
        self._over.set()
        if self._thread:
            self._thread.result()

    def of(self, kv: KeyValue) -> int:
        """The lease that the key is to have in the destination, where it is granted by now; 0 for none, or one that is over."""
        return kv.lease if kv.lease and not self.without({kv.lease}) else 0

    def without(self, leases: Collection[int]) -> Set[int]:
        """Grant those that are new; which of all are over in the source: their keys will be deleted there in a moment."""
        new = [lease for lease in leases if lease not in self._held]
        return {lease for lease, lives in zip(new, side_by_side(self._take, new)) if not lives}

    def _take(self, lease: int) -> bool:
        """Whether the source has the lease; the destination then has it too."""
        ttl = self._patience.until_done(lambda: self._source.time_to_live(lease)).granted
        if ttl <= 0:
            return False
        self._patience.until_done(lambda: self._grant(lease, ttl))
        with self._lock:
            self._held[lease] = _Held(ttl, self._clock())
        return True

    def _grant(self, lease: int, ttl: int) -> None:
        with suppress(NoLease):  # it is there already
            self._target.grant(ttl, lease)

    def _renew_all(self) -> None:
        try:
            while not self._over.wait(_TICK):
                now = self._clock()
                with self._lock:
                    due = [(lease, held) for lease, held in self._held.items() if held.due <= now]
                side_by_side(lambda one: self._renew(*one), due)
        except Stopping:
            pass
        except EtcdError as error:
            self.lost = str(error)
            self._over.set()

    def _renew(self, lease: int, held: _Held) -> None:
        if held.gone_at is not None and self._reached() >= held.gone_at:
            with self._lock:
                del self._held[lease]
            return
        if not self._patience.until_done(lambda: self._target.keep_alive(lease)):
            self.lost = f"the lease {lease:x} has run out in the destination"
            self._over.set()
            return
        gone_at = held.gone_at
        if gone_at is None and self._patience.until_done(lambda: self._source.time_to_live(lease)).granted <= 0:
            gone_at = self._patience.until_done(self._newest)
        with self._lock:
            self._held[lease] = _Held(held.ttl, self._clock() + held.ttl / 3, gone_at)
