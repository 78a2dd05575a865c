# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a long task is, a line every few seconds while it runs: on the terminal, and so in AWX's log too."""

from __future__ import annotations

import copy
import shlex
import sys
import threading
import time
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, Callable, Mapping, NamedTuple, cast

from ansible.utils.display import Display
from ansible_collections.quorum.etcd.plugins.module_utils.core.progress import how_far

EVERY = 5.0  # seconds between two lines about one host
PATIENCE = 3.0  # seconds: what is quicker is not spoken of
TOTAL = 1.0  # seconds between two lines of a run at least: with more hosts at once, each is spoken of less often
MARK = "quorum-etcd progress "  # sudo and login scripts may print before it

# What goes to a pipe, to cron or to a CI's log would else lie in the buffer until the run is over. This is read in the main
# process too, which prints for all, before it starts the first task that uses it.
with suppress(AttributeError, ValueError):
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)


class Pace(NamedTuple):
    """When a host is spoken of, in seconds from the beginning of its task: the first time, and how often from then on."""

    first: float
    every: float


def pace(host: str, hosts: list[str], forks: int) -> Pace:
    """The hosts that work at once take turns, so that their lines come evenly and at most one each ``TOTAL``."""
    at_once = max(1, min(len(hosts), forks))
    every = max(EVERY, TOTAL * at_once)
    turn = hosts.index(host) % at_once if host in hosts else 0
    return Pace(PATIENCE + every * turn / at_once, every)


class Ticker:
    """A context manager that shows ``tell()`` and the seconds gone by, in the pace of the task's host.

    ``tell`` gives an empty text where it knows nothing: then ``doing`` stands for it, so that it is seen to be at work.
    It runs in a thread of its own, and nothing depends on it.
    """

    def __init__(self, task_vars: Mapping[str, Any], doing: str, tell: Callable[[], str] = str) -> None:
        self._host = task_vars.get("inventory_hostname", "")
        hosts, forks = task_vars.get("ansible_play_batch") or [self._host], task_vars.get("ansible_forks") or 5
        self._pace = pace(self._host, list(hosts), int(forks))
        self._doing, self._tell = doing, tell
        self._over, self._showing = threading.Event(), threading.Lock()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """A question to the host that is still open is left alone after a second, and its answer is not shown."""
        with self._showing:
            self._over.set()
        self._thread.join(1)

    def _tick(self) -> None:
        wait = self._pace.first
        while not self._over.wait(wait):
            told = ""
            # A host that does not answer this question may well be at work: the task itself says what is wrong.
            with suppress(Exception):
                told = self._tell()
            with self._showing:
                if not self._over.is_set():
                    gone = time.monotonic() - self._began
                    Display().display(f"{self._host}: {told or self._doing}, {gone:.0f} s so far")
            wait = max(0.5, self._pace.every - (time.monotonic() - self._began - self._pace.first) % self._pace.every)


def file_on_host(connection: Any, path: str) -> Callable[[], str]:
    """Reads a small text file on the host of an Ansible connection, also while a task uses the connection itself.

    Whatever kind of connection and become it is: both are used as copies, since a command leaves its traces in them.
    """
    become = copy.copy(connection.become)
    beside = copy.copy(connection)
    if become is not None:
        beside.set_become_plugin(become)
    command = f"/bin/sh -c {shlex.quote(f'printf %s {shlex.quote(MARK)}; cat {shlex.quote(path)} 2>/dev/null || :')}"

    def read() -> str:
        line = command if become is None else become.build_become_command(command, beside._shell)
        _code, out, _err = beside.exec_command(line, in_data=None, sudoable=become is not None)
        _before, _mark, text = out.decode(errors="replace").partition(MARK)
        return " ".join(text.split())

    return read


class Moved:
    """How many of ``total`` bytes have been moved so far, in words; nothing is said as long as that is not known."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = time.monotonic()

    def at(self, done: int) -> None:
        self._done = done

    def tell(self) -> str:
        if not self._done:
            return ""
        share = f"{self._what}: {how_far(self._done, self._total)}"
        if self._done > self._total:  # whose size is not known, or it has grown since it was
            return share
        left = (time.monotonic() - self._began) * (self._total - self._done) / self._done
        return f"{share}, about {left:.0f} s left"
