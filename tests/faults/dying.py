# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program of Python and kills it, by SIGKILL, right before its n-th step, or so many seconds after that.

    dying.py HOME LOG STEP SECONDS PROGRAM ARGUMENT...

A step is what Python tells an audit hook of: each file below HOME that is made, opened to be written, renamed, given a mode or
removed, each lock, and each program that is started. LOG gets a line for each, with what differs from run to run left out.
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import sys
import threading
import time
from typing import Any

CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "os.truncate",
    "tempfile.mkstemp",
    "tempfile.mkdtemp",
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Dying:
    def __init__(self, home: str, log: str, step: int, seconds: float) -> None:
        self._home, self._step, self._seconds, self._seen = home, step, seconds, 0
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._main = threading.get_ident()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if threading.get_ident() == self._main and (words := self._words(event, args)):
            self._seen += 1
            os.write(self._log, f"{words}\n".encode())
            if self._seen == self._step:
                self._die()

    def _words(self, event: str, args: tuple[Any, ...]) -> str:
        """What the step is; empty for what is none."""
        if event == "subprocess.Popen":
            program, words = os.path.basename(str(args[0])), [word for word in args[1] if not word.startswith("-")]
            return f"{program} {' '.join(words[1:3])}" if program.startswith("etcd") else program
        if event == "fcntl.flock":
            return "lock"
        if event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITES):
            paths = [os.fsdecode(one) for one in args if isinstance(one, (str, bytes))]
            # What is private is reached through a descriptor, and what lies in a store by a name in one; of a descriptor itself,
            # os.truncate has only the number.
            if event == "os.truncate" or any(
                "/" not in path or path.startswith((self._home, "/proc/")) for path in paths
            ):
                return f"{event} {' '.join(_known(os.path.basename(path)) for path in paths if len(path) > 2)}".strip()
        return ""

    def _die(self) -> None:
        if self._seconds:
            threading.Thread(target=self._later, daemon=True).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def _later(self) -> None:
        time.sleep(self._seconds)
        os.kill(os.getpid(), signal.SIGKILL)


def _known(name: str) -> str:
    """A name without what is drawn or counted in it."""
    name = re.sub(r"\d{8}T\d{6}Z-rev\d+", "TIME", name)
    return re.sub(r"^(\.quorum-etcd-([a-z]+-)?)\w{8,16}(\.new)?$", r"\1…", name)


if __name__ == "__main__":
    home, log, step, seconds, *sys.argv = sys.argv[1:]
    sys.addaudithook(Dying(home, log, int(step), float(seconds)))
    runpy.run_path(sys.argv[0], run_name="__main__")
