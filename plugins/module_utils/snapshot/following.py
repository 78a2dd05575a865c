# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot that is read while etcdctl writes it, so that its hash is known once it is there: a reading less.

Its last bytes are the hash of all before, so that it is known to be whole while etcdctl still waits for the disk. That time is
used too: etcd's own tool looks at it then. And what is read is compressed at once, where it is kept so.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Callable, ContextManager, Generic, Optional, TypeVar

from ..core.errors import EtcdError
from .verify import Read, Running, state_of

_CHUNK = 1 << 20
_LOOK_AGAIN = 0.02  # seconds between two looks for more


T = TypeVar("T")
Packing = Callable[[], ContextManager[Callable[[bytes], object]]]


class Follower(Generic[T]):
    """Reads the file that appears under one of the ``paths`` while the block writes it, and once it is whole, looks at it.

    After the block ``read`` is what was read, ``seen`` what ``look``, which is given a path of the file, has found in that very
    state of it. They are None where there was nothing to follow, or it went another way: whoever wants to know looks then.
    What ``pack`` gives, a block with a function, is given each part: where there is a ``read``, that was done too.
    """

    def __init__(self, look: Callable[[str], T], *paths: str, pack: Optional[Packing] = None) -> None:
        self.read: Optional[Read] = None
        self.seen: Optional[T] = None
        self._look, self._paths, self._pack = look, paths, pack
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Follower[T]:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            descriptor = self._opened()
            if descriptor is None:
                return
            try:
                with self._pack() if self._pack else contextlib.nullcontext(_nowhere) as write:
                    read = self._followed(descriptor, write)
                self.read = read
            finally:
                os.close(descriptor)
        except (OSError, EtcdError):
            return

    def _opened(self) -> Optional[int]:
        while True:
            last = self._over.is_set()
            for path in self._paths:
                try:
                    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
            if last:
                return None
            self._over.wait(_LOOK_AGAIN)

    def _followed(self, descriptor: int, write: Callable[[bytes], object]) -> Read:
        running = Running()
        while True:
            last = self._over.is_set()  # what was written before that is read below
            chunk = os.read(descriptor, _CHUNK)
            if chunk:
                running.add(chunk)
                write(chunk)
                self.seen = None
            elif last:
                return Read(*running.end(), state_of(os.fstat(descriptor)))
            elif self.seen is None and running.is_whole():
                self._look_at(f"/proc/{os.getpid()}/fd/{descriptor}")
            else:
                self._over.wait(_LOOK_AGAIN)

    def _look_at(self, path: str) -> None:
        """What goes wrong here is found again, and said, by whoever looks afterwards."""
        try:
            self.seen = self._look(path)
        except EtcdError:
            self._over.wait()


def _nowhere(_chunk: bytes) -> None:
    """Where what is read goes, where it is only read."""
