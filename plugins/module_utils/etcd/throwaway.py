# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lone etcd on restored data, for a look at it: within bounds, and out of everybody's reach.

It opens no port. It listens on a Unix socket in a folder of its owner's alone, which every line of etcd can (seen on 3.4.23,
3.5.35, 3.6.16 and 3.7.3), so that no other user of the host can reach it, nor anybody in the network, whatever is in it. That
is also why authentication can be turned off in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from dataclasses import dataclass, replace
from typing import Dict, Iterator, List, Sequence

from ..core.bounded import NOT_RUN, OUT_OF_TIME, bounded, lifeline
from ..core.errors import EtcdError
from .commands import THROWAWAY_SOCKET, Connection, Result, Run, Tool, endpoint_status, throwaway
from .printed import Status, rows, status_of

MARK = "QUORUM_ETCD_DRILL"  # in the environment of every process that is begun here: its folder
_QUOTA = 2 << 30
_ASK_AGAIN, _ANSWERS_WITHIN, _ENDS_WITHIN = 0.1, 5, 30  # seconds
_LOG_WORDS = re.compile(r'"(?:msg|error)":"((?:[^"\\]|\\.)*)"')


def time_left(until: float) -> float:
    """The seconds until then, by ``time.monotonic``. EtcdError where there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise EtcdError("the time is up.", "give it more (etcd_backup_drill_timeout), or a faster disk.")
    return seconds


@dataclass(frozen=True)
class Bed:
    """Where the processes are: a folder for its owner alone, by its real path, and a ``way`` to it that stays the same folder.

    ``memory`` are bytes of each process, ``until`` is when all of them end, by ``time.monotonic``.
    """

    folder: str
    way: str
    memory: int
    until: float

    @property
    def seconds(self) -> float:
        """How long there is left. EtcdError where nothing is."""
        return time_left(self.until)

    @property
    def endpoint(self) -> str:
        """How a client of this user reaches the etcd; short, whatever the folder's name, since a socket's path must be."""
        return f"unix://{self.way}/{THROWAWAY_SOCKET}"

    def run(self, run: Run, argv: Sequence[str], env: Dict[str, str], held_by: str = "") -> Result:
        """A command within the bounds, in the folder; ``held_by`` is another lifeline than one of its own."""
        own = f"{self.way}/life-{time.monotonic_ns()}"
        with contextlib.nullcontext() if held_by else lifeline(own):
            words = bounded(argv, held_by or own, self.way, self.seconds, self.memory)
            return run(words, {MARK: self.folder, **env})


class Etcd:
    """A lone etcd that runs while it is entered. ``connection`` reaches it."""

    def __init__(self, run: Run, bed: Bed, etcd: Tool, etcdctl: Tool, data: str, size: int) -> None:
        self._run, self._bed, self._etcdctl = run, bed, etcdctl
        self._command = throwaway(etcd, data, max(_QUOTA, 2 * size))
        self._ended: List[Result] = []
        self.connection = Connection(endpoints=[bed.endpoint], command_timeout=30)

    @contextlib.contextmanager
    def running(self) -> Iterator[Status]:
        """It serves in the block; gives its first answer. EtcdError where it does not begin to."""
        life = f"{self._bed.way}/life"
        thread = threading.Thread(target=self._live, args=(life,), daemon=True)
        try:
            with lifeline(life):
                thread.start()
                yield self._first_answer()
        finally:
            thread.join(_ENDS_WITHIN)

    def _live(self, life: str) -> None:
        try:
            self._ended.append(self._bed.run(self._run, self._command.argv, self._command.env, held_by=life))
        except (OSError, EtcdError) as error:  # nobody else would hear of it
            self._ended.append(Result(NOT_RUN, str(error), ""))

    def _first_answer(self) -> Status:
        command = endpoint_status(self._etcdctl, replace(self.connection, command_timeout=_ANSWERS_WITHIN))
        while True:
            if self._ended:
                raise EtcdError(f"etcd does not run on what was restored: {why(self._ended[0])}.")
            opened = os.path.exists(f"{self._bed.way}/{THROWAWAY_SOCKET}")
            result = self._run(command.argv, command.env) if opened else Result(1, "", "")
            for row in rows(result.out, command, result.rc):
                status = status_of(self._bed.endpoint, row.get("Status"))
                if status.leader:
                    return status
            time.sleep(min(_ASK_AGAIN, self._bed.seconds))


def why(ended: Result) -> str:
    """What a process said last, without the JSON around it."""
    lines = ended.out.strip().splitlines() or [""]
    words = ": ".join(_LOG_WORDS.findall(lines[-1])) or lines[-1][:300]
    if ended.rc == OUT_OF_TIME:
        return "its time is up"
    return f"{words or 'it said nothing'} (exit code {ended.rc})"
