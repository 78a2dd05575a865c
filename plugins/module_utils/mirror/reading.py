# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source is read into the log, in a thread of its own, however long the writing takes: memory never grows by it. Where the
log takes no more, nothing is read until it does.
"""

from __future__ import annotations

import threading
import time
from itertools import groupby
from typing import Callable, Collection, Iterator, List, Optional, Protocol, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.threads import Beside
from ..etcd.messages import Event, Watched
from ..etcd.refusals import Compacted, Unavailable
from . import governor, past
from .names import Names, probe
from .patience import Anew, Patience, Stopping
from .segment_writing import Full

FAR_FOR = 60.0  # seconds that a watch which is open may be far behind

Group = Tuple[int, List[Event]]  # a revision, and all that it changed


class Watching(Protocol):
    """What of ``etcd.watching.Watch`` is needed."""

    def __enter__(self) -> Watching: ...

    def __exit__(self, *_exc: object) -> None: ...

    def __iter__(self) -> Iterator[Watched]: ...

    def ask_progress(self) -> None: ...

    def close(self) -> None: ...


class Source(past.Source, Protocol):
    """What of ``etcd.client.Client`` is needed to read."""

    def watch(self, key: bytes, end: bytes, start_revision: int, *, previous: bool = False) -> Watching: ...


class Logged(Protocol):
    """What of ``segments.Log`` is needed to write it."""

    @property
    def revision(self) -> int: ...

    def append(self, cluster: int, revision: int, wall: float, events: Sequence[Event]) -> None: ...

    def sync(self) -> None: ...


class Revisions:
    """The answers of a watch as whole revisions; of one that comes in fragments the last revision is held back for its rest."""

    def __init__(self) -> None:
        self._held: List[Event] = []

    def add(self, watched: Watched) -> List[Group]:
        """The revisions that are whole now. One without events: up to it there is nothing more."""
        events = self._held + watched.events
        if not events:
            progress = not (watched.created or watched.canceled or watched.fragment)
            return [(watched.header.revision, [])] if progress else []
        groups = [(revision, list(some)) for revision, some in groupby(events, lambda event: event.kv.mod_revision)]
        self._held = groups.pop()[1] if watched.fragment else []
        return groups


def mirrored(groups: Sequence[Group], names: Names) -> Iterator[Group]:
    """The same without events of keys that are left out. Of revisions that have none then only the last one stays."""
    for number, (revision, events) in enumerate(groups, 1):
        kept = [event for event in events if names.in_target(event.kv.key) is not None]
        if kept or number == len(groups):
            yield revision, kept


class Reading:
    """From ``start`` on, until ``close`` or for as long as the source gives what comes next.

    ``over`` is set where it does not any more, and ``lost`` says why; ``failed`` is an error that ends the engine. ``heard`` is
    told the source's revision, ``met`` the leases of events before they are in the log. ``previous``: what keys were before
    their events is read too. ``full`` is why nothing is read for now.
    """

    def __init__(
        self,
        client: Source,
        log: Logged,
        names: Names,
        span: Tuple[bytes, bytes],
        patience: Patience,
        over: threading.Event,
        heard: Callable[[int], None],
        met: Callable[[Collection[int]], None],
        clock: Callable[[], float] = time.time,
        previous: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._client, self._log, self._names, self._span, self._previous = client, log, names, span, previous
        self._patience, self._over, self._heard, self._met, self._clock = patience, over, heard, met, clock
        self._stuck_at = -1  # the revision behind which a watch has given nothing
        self._watch: Optional[Watching] = None
        self._thread: Optional[Beside[None]] = None
        self.lost = ""
        self.failed: Optional[EtcdError] = None
        self.full: Optional[Full] = None

    def start(self, cluster: int) -> None:
        """Read what comes after the log's revision."""
        self._thread = Beside(lambda: self._read(cluster))

    def close(self) -> None:
        self._over.set()
        watch = self._watch
        if watch:
            watch.close()
        if self._thread:
            self._thread.result()

    def ask_progress(self) -> None:
        """How far the source is will be told, also where nothing happens to what is mirrored."""
        watch = self._watch
        if watch:
            watch.ask_progress()

    def _read(self, cluster: int) -> None:
        try:
            while not self._over.is_set():
                watch = self._patience.until_done(self._opened)
                with watch:
                    self._watch = watch
                    if not self._over.is_set():
                        self._take_all(watch, cluster)
        except Stopping:
            pass
        except Compacted:
            self.lost = f"what came after revision {self._log.revision:,} was compacted before it was read"
        except Anew as error:
            self.lost = str(error)
        except EtcdError as error:
            self.failed = error
        finally:
            self._watch = None
            self._over.set()

    def _opened(self) -> Watching:
        """A revision that changed very many keys keeps the member busy with their past, until the watch seems to be dead."""
        revision = self._log.revision
        self._refuse_far(self._client.page(probe(self._names.source)).header.revision)
        return self._client.watch(*self._span, revision + 1, previous=self._previous and revision != self._stuck_at)

    def _refuse_far(self, newest: int) -> None:
        """Anew: the governor decides, since a watcher that catches up blocks the source's writes."""
        behind = newest - self._log.revision
        if behind > governor.NEAR:
            raise Anew(f"{behind:,} revisions were not read yet: that many would slow the source down.")

    def _take_all(self, watch: Watching, cluster: int) -> None:
        """Until the watch ends, which is then opened again: where it stands is in the log."""
        revisions, began = Revisions(), self._log.revision
        near_at = self._now()
        try:
            for watched in watch:
                if watched.canceled:
                    raise _why_canceled(watched)
                self._heard(watched.header.revision)
                groups = revisions.add(watched)
                try:
                    self._keep(cluster, groups)
                except Full as error:
                    self._wait_for_room(watch, cluster, groups, error)
                    return
                if watched.header.revision - self._log.revision <= governor.NEAR:
                    near_at = self._now()
                elif self._now() - near_at > FAR_FOR:
                    self._refuse_far(watched.header.revision)
                if began == self._stuck_at and self._log.revision > began and self._previous:
                    return
        except Unavailable as error:
            self._stuck_at = self._log.revision if self._log.revision == began else -1
            self._patience.wait(error)

    def _wait_for_room(self, watch: Watching, cluster: int, groups: Sequence[Group], error: Full) -> None:
        """What nobody takes from a watch piles up in the member: it is opened again when there is room."""
        self._watch, self.full = None, error
        watch.close()
        self._patience.until_done(lambda: self._keep(cluster, groups), (Full,), however_long=True)
        self.full = None

    def _keep(self, cluster: int, groups: Sequence[Group]) -> None:
        wall, found = self._clock(), list(mirrored(groups, self._names))
        leases = {event.kv.lease for _revision, events in found for event in events if event.kv.lease}
        if leases:
            self._met(leases)
        for revision, events in found:
            if events and self._previous:
                events = past.with_past(self._client, revision, events)
            if events or revision > self._log.revision:
                self._log.append(cluster, revision, wall, events)
        if found:
            self._log.sync()


def _why_canceled(watched: Watched) -> EtcdError:
    if watched.compact_revision:
        return Compacted(f"what was to be read next is compacted away: {watched.cancel_reason}.")
    return Unavailable(f"the source has ended a watch: {watched.cancel_reason or 'it does not say why'}.")
