# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watch over gRPC, of which silence is not taken for peace: it is asked for progress, and ended where nothing comes.

A second thread looks at the clock while the reader waits. What the reader does between two answers is not counted, however
long it takes: meanwhile gRPC holds the answers back, and etcd holds its events. Nor is what passes while this process itself
does not run, on a host that is busy or was paused: nobody would have heard an answer.

etcd tells no progress of a watch that begins behind its newest revision, until somebody writes (3.6.16: mvcc/watchable_store.go,
progressIfSync), nor of one that catches up. So a watch begins one revision earlier than it is wanted, of which nothing is given
to the reader, and is asked again while it is silent.
"""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable, Iterator, Optional, Protocol

from ..core.errors import EtcdError
from .messages import Watched
from .records import watch_answer
from .refusals import Stale, Stopped, Unavailable
from .seen import Seen, View, older
from .wire import watch_create_request, watch_progress_request

ASK_AFTER = 5.0  # seconds without an answer after which it is asked for progress
ASK_AGAIN = 2.0  # and how often from then on
END_AFTER = 12.0  # and after which it is ended
OPEN_AFTER = 5.0  # in which it must be created
CATCH_UP = 10.0  # seconds in which a watch must show what other members have shown
_TICK = 0.5
_LATE = 2.0  # seconds between two looks of the guard that are counted at most


class Call(Protocol):
    """gRPC's stream of answers."""

    def __iter__(self) -> Iterator[bytes]: ...

    def __next__(self) -> bytes: ...

    def cancel(self) -> bool: ...


class Watch:
    """Iterating gives each ``Watched``, the first of which says that it was created; one that is canceled is the last.

    EtcdError (``Unavailable`` and its kinds) ends it where the member, its leader or the connection is lost, or where it has
    an older view than others have shown. ``close`` from any thread ends it without one. One thread iterates.

    ``start`` opens the stream for an iterator of requests; ``error`` makes an EtcdError of what gRPC raises; ``tells_right``:
    whether this version's progress on demand can be believed. Where it cannot, it is a sign of life, and not shown. ``left`` is
    told why this member is to be asked no more.
    """

    def __init__(
        self,
        start: Callable[[Iterator[bytes]], Call],
        error: Callable[[BaseException], EtcdError],
        endpoint: str,
        seen: Seen,
        clock: Callable[[], float],
        tells_right: bool,
        left: Callable[[EtcdError], None],
    ) -> None:
        self.endpoint = endpoint
        self._error, self._seen, self._clock, self._tells_right = error, seen, clock, tells_right
        self._left = left
        self._requests: Any = queue.SimpleQueue()  # of bytes; None ends them
        self._held: Optional[Watched] = None  # the first answer, until somebody iterates
        self._why: Optional[EtcdError] = None  # why the guard has ended it
        self._awake = 0.0  # seconds that the guard has seen pass
        self._waits_since: Optional[float] = None  # of those
        self._asked_at = 0.0
        self._first = 0  # revision of which something is given to the reader
        self._reached = View()
        self._must_reach: Optional[View] = None
        self._must_reach_by = 0.0
        self._ended = threading.Event()
        self._call = start(iter(self._requests.get, None))

    def open(self, key: bytes, end: bytes, start_revision: int, previous: bool) -> Watched:
        """Ask for the watch and wait for its first answer, which iterating gives again."""
        threading.Thread(target=self._guard, name="watch-guard", daemon=True).start()
        self._first = start_revision
        begins = start_revision - 1 if start_revision > 1 else start_revision
        self._requests.put(watch_create_request(key, end, begins, previous))
        first = next(self, None)
        if first is None:
            raise Stopped("the connection to etcd was closed.")
        self._held = first
        return first

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def tells_progress(self) -> bool:
        """Whether its member answers how far it is, and is right in that."""
        return self._tells_right

    def ask_progress(self) -> None:
        """Ask how far it is; the answer comes among the others, when all before it have been given."""
        self._requests.put(watch_progress_request())

    def close(self) -> None:
        self._ended.set()
        self._requests.put(None)
        self._call.cancel()

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Watched:
        if self._held is not None:
            held, self._held = self._held, None
            return held
        while not self._ended.is_set():
            self._waits_since = self._awake
            try:
                watch_id, watched = watch_answer(next(self._call))
            except StopIteration:
                raise self._end(Unavailable(f"{self.endpoint} has ended a watch.")) from None
            except (
                Exception
            ) as error:  # gRPC's own, of a module that need not be there; or bytes that are none of etcd's
                raise self._end(self._error(error)) from error
            finally:
                self._waits_since = None
            self._reach(watched)
            if watched.canceled:
                self.close()
                return watched
            shown = self._shown(watched)
            if shown and (watch_id >= 0 or shown.events or shown.created or self._tells_right):
                return shown
        raise self._end(Unavailable(f"{self.endpoint} has ended a watch."))

    def _shown(self, watched: Watched) -> Optional[Watched]:
        """Without the revision before the first that is wanted; None where nothing is left: that is no progress."""
        if not watched.events or watched.events[0].kv.mod_revision >= self._first:
            return watched
        events = [event for event in watched.events if event.kv.mod_revision >= self._first]
        return watched._replace(events=events) if events else None

    def _end(self, error: EtcdError) -> BaseException:
        """What iterating raises for this error, of which the guard or ``close`` may be the cause."""
        closed = self._ended.is_set()
        self.close()
        why = self._why or (None if closed else error)
        if isinstance(why, Unavailable):
            self._left(why)
        return why or StopIteration()

    def _reach(self, watched: Watched) -> None:
        """An answer's header is the member's own view when it was sent, however old the events are."""
        wrong = older(watched.header, View(self._seen.view.cluster_id), self.endpoint)
        if wrong:
            raise self._end(wrong)
        self._seen.add(watched.header)
        self._reached = View(watched.header.cluster_id, watched.header.revision, watched.header.raft_term)

    # ---- the guard -----------------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        looked = self._clock()
        while not self._ended.wait(_TICK):
            before, looked = looked, self._clock()
            self._awake += min(looked - before, _LATE)
            since = self._waits_since
            if since is None:
                continue
            why = self._older(self._awake) or self._silent(since)
            if why:
                self._why = why
                self.close()

    def _silent(self, since: float) -> Optional[EtcdError]:
        seconds = self._awake - since
        if seconds > (END_AFTER if self._reached.cluster_id else OPEN_AFTER):
            return Unavailable(f"{self.endpoint}: a watch has given no answer for {seconds:.0f} s.")
        asked_lately = self._asked_at > since and self._awake - self._asked_at <= ASK_AGAIN
        if seconds > ASK_AFTER and not asked_lately:
            self._asked_at = self._awake
            self.ask_progress()
        return None

    def _older(self, now: float) -> Optional[Stale]:
        """Why this member's view is not believed: what others had shown it has not shown in the time that it was given."""
        seen, reached = self._seen.view, self._reached
        if self._must_reach is None:
            if reached.revision < seen.revision or reached.raft_term < seen.raft_term:
                self._must_reach, self._must_reach_by = seen, now + CATCH_UP
                self.ask_progress()
            return None
        must = self._must_reach
        if reached.revision >= must.revision and reached.raft_term >= must.raft_term:
            self._must_reach = None
        elif now > self._must_reach_by:
            stale = Stale(
                f"{self.endpoint}: a watch is at revision {reached.revision} in term {reached.raft_term}, and the cluster was at"
                f" revision {must.revision} in term {must.raft_term} {CATCH_UP:.0f} s ago."
            )
            stale.revision, stale.raft_term = reached.revision, reached.raft_term
            return stale
        return None
