# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client that writes through all members in turn, and asks the others whom they follow, while a member is taken away.

A write is begun whenever it is due, whether or not those before it have ended: a client that waits for an answer sees only one
failure where many clients would have seen one each. Each has a second; nothing is tried again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Callable, Dict, Iterator, List, Mapping, Tuple

from ..core.errors import EtcdError
from ..etcd.commands import Command, Connection, Run, Tool, endpoint_status, put, run_checked
from ..etcd.printed import revision_of, rows, status_of
from ..etcd.trial import is_denied
from .measured import Seen, Write

EVERY = 0.1  # seconds between two writes, where one takes no longer
_VALUE = "written by a failover drill, and deleted at its end"
_WORKERS = 32  # writes under way at once: a second's, and those that need a little longer to give up


class Client:
    """Writes ``key`` through ``voters`` (name -> endpoint), and asks all of them but the one that is ``away``."""

    def __init__(
        self,
        run: Run,
        etcdctl: Tool,
        connection: Connection,
        voters: Mapping[str, str],
        ids: Mapping[str, str],
        away: str,
    ) -> None:
        self._run, self._etcdctl = run, etcdctl
        self._connection = replace(connection, command_timeout=1, dial_timeout=1)
        self._voters, self._ids, self._away = voters, ids, away
        self.interval = EVERY
        self.writes: List[Write] = []
        self.seen: List[Seen] = []

    def try_each(self, key: str) -> None:
        """Write once through each voter: EtcdError where one cannot. From now on it is known how long a write takes."""
        for name, endpoint in self._voters.items():
            start = time.monotonic()
            to = replace(self._connection, endpoints=[endpoint], command_timeout=5)
            try:
                run_checked(self._run, put(self._etcdctl, to, key, _VALUE))
            except EtcdError as error:
                step = "set etcd_auth_user to a user that may write." if is_denied(error) else "run status.yml."
                raise EtcdError(f"no key can be written through {name}: {error.message}", step) from error
            self.interval = min(1.0, max(self.interval, time.monotonic() - start))

    @contextlib.contextmanager
    def at_work(self, key: str) -> Iterator[None]:
        """It writes and asks as long as the block runs; what it has seen is complete afterwards."""
        over = threading.Event()
        others = [endpoint for name, endpoint in self._voters.items() if name != self._away]
        # Who logs in needs a leader: where the members tell it to anybody, nobody logs in.
        anybody = replace(self._connection, endpoints=others, user="", password="")
        asked = anybody if len(self._ask(anybody).said) == len(others) else replace(self._connection, endpoints=others)
        with ThreadPoolExecutor(max_workers=_WORKERS + 2) as pool:
            pool.submit(self._each, over, lambda _turn: self.seen.append(self._ask(asked)))
            pool.submit(self._each, over, lambda turn: pool.submit(self._write_in_turn, turn, key))
            try:
                yield
            finally:
                over.set()

    def _each(self, over: threading.Event, do: Callable[[int], object]) -> None:
        turn, due = 0, time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            do(turn)
            turn, due = turn + 1, max(due + self.interval, time.monotonic() - self.interval)

    def _write_in_turn(self, turn: int, key: str) -> None:
        name = list(self._voters)[turn % len(self._voters)]
        self.writes.append(self._write(name, replace(self._connection, endpoints=[self._voters[name]]), key))

    def _write(self, name: str, to: Connection, key: str) -> Write:
        start = time.monotonic()
        out, command = self._said(put(self._etcdctl, to, key, _VALUE))
        end, revision = time.monotonic(), 0
        with contextlib.suppress(EtcdError):
            revision = revision_of(out, command) if out else 0
        return Write(name, start, end, revision)

    def _ask(self, to: Connection) -> Seen:
        start, said = time.monotonic(), {}
        out, command = self._said(endpoint_status(self._etcdctl, to), fails=True)
        names: Dict[str, Tuple[str, int]] = {}
        with contextlib.suppress(EtcdError):
            said = {str(row.get("Endpoint")): status_of("", row.get("Status")) for row in rows(out, command, 1)}
        for name, endpoint in self._voters.items():
            if endpoint in said:
                names[name] = self._ids.get(said[endpoint].leader, ""), said[endpoint].raft_term
        return Seen(start, time.monotonic(), names)

    def _said(self, command: Command, fails: bool = False) -> Tuple[str, Command]:
        """What a command has printed; nothing where it failed, unless one that ``fails`` prints all the same."""
        with contextlib.suppress(OSError):
            result = self._run(command.argv, command.env)
            return (result.out if fails or not result.rc else ""), command
        return "", command
