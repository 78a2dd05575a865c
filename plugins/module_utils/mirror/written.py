# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was written to a cluster between two of its revisions: how much, and which keys first."""

from __future__ import annotations

import threading
import time
from typing import Dict, Mapping, NamedTuple, Protocol, Sequence, Tuple, Union

from ..core.errors import EtcdError
from ..core.threads import Beside
from ..etcd.messages import prefix_range
from ..etcd.refusals import Unavailable
from ..etcd.watching import Watch
from ..etcd.wire import Status
from .history import readable

FIRST = 10  # keys that are named
_ASK_EVERY = 0.3  # seconds
_TRIES = 3  # of one member after the other
_SILENT = 5.0  # seconds after which a member that tells no progress, as old ones do not, has told everything


class Watches(Protocol):
    def watch(self, key: bytes, end: bytes, start_revision: int) -> Watch: ...

    def status(self) -> Mapping[str, Union[Status, EtcdError]]: ...


class Written(NamedTuple):
    """``changes`` are puts and deletions, the ``keys`` of the first of them."""

    changes: int
    keys: Tuple[bytes, ...]

    @property
    def in_words(self) -> str:
        names = [readable(key) for key in self.keys]
        return ", ".join(names) + (", ..." if self.changes > len(names) else "")


def written(
    client: Watches, prefix: bytes, left_out: Sequence[bytes], after: int, until: int, most: int = FIRST
) -> Written:
    """Below the prefix, but for what begins with one of ``left_out``, behind one revision and up to another; up to ``most`` keys.

    EtcdError where the history of it is compacted away, or no member tells all of it.
    """
    if after >= until:
        return Written(0, ())
    for left in range(_TRIES)[::-1]:
        try:
            return _watched(client, prefix, left_out, after, until, most)
        except Unavailable:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _watched(client: Watches, prefix: bytes, left_out: Sequence[bytes], after: int, until: int, most: int) -> Written:
    key, end = prefix_range(prefix)
    changes, over = 0, threading.Event()
    keys: Dict[bytes, None] = {}  # in their order
    heard = [time.monotonic()]
    with client.watch(key, end, after + 1) as watch:
        asking = Beside(lambda: _ask(watch, heard, over))
        try:
            for watched in watch:
                heard[0] = time.monotonic()
                if watched.canceled:
                    raise _canceled(watched.compact_revision, after)
                events = [event for event in watched.events if event.kv.mod_revision <= until]
                for event in events:
                    if not event.kv.key.startswith(tuple(left_out)):
                        changes += 1
                        if len(keys) < most:
                            keys[event.kv.key] = None
                is_progress = not (watched.events or watched.created)
                if len(events) < len(watched.events) or (is_progress and watched.header.revision >= until):
                    break
            else:
                _believe_silence(client, watch, until)
        finally:
            over.set()
            asking.result()
    return Written(changes, tuple(keys))


def _ask(watch: Watch, heard: Sequence[float], over: threading.Event) -> None:
    """How far it is, again and again: while it catches up it may not answer. A silent one of those that never do is closed."""
    while not over.wait(_ASK_EVERY):
        if not watch.tells_progress and time.monotonic() - heard[0] > _SILENT:
            watch.close()
            return
        watch.ask_progress()


def _believe_silence(client: Watches, watch: Watch, until: int) -> None:
    """Of a member that tells no progress: it must be alive, and be that far. Unavailable where it is not."""
    told = client.status().get(watch.endpoint)
    if not isinstance(told, Status) or told.header.revision < until:
        raise Unavailable(f"{watch.endpoint} does not say what was written up to revision {until:,}.")


def _canceled(compacted: int, after: int) -> EtcdError:
    if compacted:
        return EtcdError(
            f"What was written since revision {after:,} is compacted away up to {compacted:,}, so nobody can say what it was.",
            "run this sooner after the handover, or raise the retention of the auto-compaction.",
        )
    return Unavailable("A watch was canceled.")
