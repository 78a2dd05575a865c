# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot that is read while etcdctl writes it, so that its hash is known once it is there: a reading less."""

from __future__ import annotations

import os
import threading
from typing import Optional

from .verify import Read, Running, state_of

_CHUNK = 1 << 20
_LOOK_AGAIN = 0.02  # seconds between two looks for more


class Follower:
    """Reads the file that appears under one of the ``paths`` while the block writes it. ``read`` is known after the block.

    It is None where there was nothing that could be followed: whoever wants to know reads the file then.
    """

    def __init__(self, *paths: str) -> None:
        self.read: Optional[Read] = None
        self._paths = paths
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Follower:
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
                self.read = self._followed(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
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

    def _followed(self, descriptor: int) -> Read:
        running = Running()
        while True:
            last = self._over.is_set()  # what was written before that is read below
            chunk = os.read(descriptor, _CHUNK)
            if chunk:
                running.add(chunk)
            elif last:
                return Read(*running.end(), state_of(os.fstat(descriptor)))
            else:
                self._over.wait(_LOOK_AGAIN)
