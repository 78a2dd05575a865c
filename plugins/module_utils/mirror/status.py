# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a mirror is, as its engine writes it down every few seconds, and as ``status`` and the metrics read it."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional

from ..core import strict_json
from ..core.durable import put
from ..core.errors import EtcdError
from ..core.text import rfc3339
from ..core.values import MOMENT, TEXT, Misfit, from_plain, to_plain
from .state import FOLLOW

FILE = "status.json"
STARTING, STOPPED, FAILED = "starting", "stopped", "failed"  # and those of a state
HELD = "held back"  # a comparison waits for the delay
MENDING = "mending"  # a destination that was restored from a snapshot of the source becomes what that was


@dataclass(frozen=True)
class MirrorStatus:
    """``time`` is when this was written, ``since`` when the phase began. ``keys_done`` of ``keys_total`` were looked at in a
    comparison, or mended after ``leases_done`` of ``leases_total`` were asked for their keys; ``applied_events`` were written
    since the engine began. The destination had ``keys`` of the mirror when they were last counted, ``keys_age`` seconds before
    ``time``; both -1 where they were not. ``lag_revisions`` are those that the destination lacks, of ``source_revision`` as it
    was last heard of; ``lag_seconds`` is for how long the oldest change that it lacks has been known, 0 where it lacks none.
    ``log_bytes`` is what the log takes, ``last_error`` what is being waited for, empty where all is well.
    """

    mirror: str
    phase: str = STARTING
    why: str = field(default="", metadata=TEXT)
    time: str = field(default="", metadata=MOMENT)
    since: str = field(default="", metadata=MOMENT)
    keys_done: int = 0
    keys_total: int = 0
    keys_changed: int = 0
    leases_done: int = 0
    leases_total: int = 0
    applied_events: int = 0
    keys: int = -1
    keys_age: int = -1
    source_cluster: str = ""
    source_revision: int = 0
    applied_revision: int = 0
    lag_revisions: int = 0
    lag_seconds: float = 0.0
    delay: int = 0
    log_bytes: int = 0
    last_error: str = field(default="", metadata=TEXT)


def last(folder: str) -> Optional[MirrorStatus]:
    """What the engine wrote last into a state folder; None where there is nothing. EtcdError for what cannot be understood."""
    path = os.path.join(folder, FILE)
    try:
        return from_plain(MirrorStatus, strict_json.read_file(path, "the status of the mirror"))
    except FileNotFoundError:
        return None
    except Misfit as error:
        raise EtcdError(f"the status {path} cannot be understood: {error}.", "start the mirror again.") from error


class Board:
    """The status as the threads of an engine change it."""

    def __init__(self, mirror: str, folder: str, delay: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._folder, self._clock = folder, clock
        self._counted_wall = clock()
        self._waits_since = clock()  # when the oldest change that the destination lacks was read, where it lacks any
        self._status = MirrorStatus(mirror, since=rfc3339(clock()), delay=delay)

    @property
    def status(self) -> MirrorStatus:
        """As of now, with the lag, and with the age of what was counted."""
        with self._lock:
            status, now = self._status, self._clock()
            behind = max(0, status.source_revision - status.applied_revision) if status.phase in (FOLLOW, HELD) else 0
            seconds = max(0.0, now - self._waits_since) if behind else 0.0
            age = max(0, int(now - self._counted_wall)) if status.keys >= 0 else -1
            return replace(status, time=rfc3339(now), lag_revisions=behind, lag_seconds=round(seconds, 3), keys_age=age)

    def set(self, **changes: Any) -> None:
        with self._lock:
            self._status = replace(self._status, **changes)

    def begin(self, phase: str, why: str) -> None:
        with self._lock:
            self._status = replace(self._status, phase=phase, why=why, since=rfc3339(self._clock()))

    def applied(self, revision: int, events: int, wall: float) -> None:
        """``wall`` is when the last of it was read: what comes next was not read earlier, and ``waits`` says when."""
        with self._lock:
            self._waits_since = wall or self._clock()
            self._status = replace(
                self._status, applied_revision=revision, applied_events=self._status.applied_events + events
            )

    def counted(self, keys: int) -> None:
        with self._lock:
            self._counted_wall = self._clock()
            self._status = replace(self._status, keys=keys)

    def waits(self, wall: float) -> None:
        """What is to be applied next was read then."""
        with self._lock:
            self._waits_since = wall

    def heard(self, revision: int) -> None:
        """The source is at this revision, at least."""
        with self._lock:
            if revision > self._status.source_revision:
                if self._status.source_revision <= self._status.applied_revision:
                    self._waits_since = self._clock()  # however long nothing has happened before
                self._status = replace(self._status, source_revision=revision)

    def error(self, words: str) -> None:
        self.set(last_error=words)

    def write(self) -> None:
        """On the disk when this returns. OSError where it cannot be."""
        plain = to_plain(self.status)
        put(os.path.join(self._folder, FILE), (json.dumps(plain, sort_keys=True) + "\n").encode(), prepare=_readable)


def _readable(descriptor: int) -> None:
    """By all: it holds no secret, and monitors are not root."""
    os.fchmod(descriptor, 0o644)
