# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a long phase is, as one line in a file that whoever runs the play reads every few seconds."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Callable, Iterator

EVERY = 1.0  # seconds


class Progress:
    """Writes the line at ``path``. Nothing depends on it, so a full disk is no reason to fail."""

    def __init__(self, path: str) -> None:
        self._path = path

    def say(self, line: str) -> None:
        temporary = self._path + ".new"
        with contextlib.suppress(OSError):
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(line + "\n")
            os.replace(temporary, self._path)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """As long as the block runs there may be a line, and neither before nor after it."""
        self.done()
        try:
            yield
        finally:
            self.done()

    def done(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    @contextlib.contextmanager
    def growing(self, what: str, total: int, size: Callable[[], int]) -> Iterator[None]:
        """Say how far ``size()`` is on its way to ``total`` bytes, 0 where that is not known, as long as the block runs."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(EVERY):
                with contextlib.suppress(OSError):
                    self.say(f"{what}: {how_far(size(), total)}")

        thread = threading.Thread(target=look, daemon=True)
        self.say(what)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def how_far(done: int, total: int) -> str:
    """In words; a share only of a total that is known and not yet passed."""
    if done > total:
        return f"{done / 1e6:,.0f} MB so far"
    return f"{100 * done // max(1, total)} % of {total / 1e6:,.0f} MB"


def read_so_far(path: str) -> int:
    """How far this process has read the file at ``path``, by what Linux tells of its open files; 0 where it has not."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.samefile(f"/proc/self/fd/{number}", path):
                with open(f"/proc/self/fdinfo/{number}", encoding="ascii") as info:
                    return int(info.readline().split()[1])
    return 0


def tree_size(path: str) -> int:
    """Bytes of all files below ``path``; 0 where there is nothing yet."""
    found = 0
    for folder, _folders, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(folder, name)).st_size
    return found
