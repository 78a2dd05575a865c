# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host sees of members that stop and start: of its own by its service, of the others by their peer URLs."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable, Optional, Sequence
from urllib.parse import urlsplit

from . import steps
from .proving import pause
from .work import Work


class Closing:
    """Watches from now on which of these peer URLs have been seen closed: one that starts anew opens its own again.

    A context manager. What cannot be reached at all counts as closed. A member that is wrongly taken for stopped does no
    harm: with the fresh token the old and the new cluster refuse each other.
    """

    def __init__(self, urls: Sequence[str], connect: Optional[Callable[..., Any]] = None) -> None:
        self._open = list(urls)
        self._connect = connect or socket.create_connection
        self._over, self._all_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Closing:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()

    def wait(self, seconds: float) -> bool:
        """Whether all of them have been seen closed, at the latest after so many seconds."""
        return self._all_closed.wait(seconds)

    def _watch(self) -> None:
        while self._open and not self._over.is_set():
            self._open = [url for url in self._open if is_open(url, self._connect)]
            if self._open:
                self._over.wait(0.05)
        if not self._open:
            self._all_closed.set()


def is_open(url: str, connect: Callable[..., Any] = socket.create_connection) -> bool:
    """Whether somebody listens at a peer URL."""
    parts = urlsplit(url)
    try:
        connect((parts.hostname, parts.port), timeout=0.5).close()
    except OSError:
        return False
    return True


def others_are_up(work: Work) -> bool:
    return all(is_open(url) for url in work.plan.others)


def watch_start(work: Work, is_awaited: Callable[[float], bool]) -> bool:
    """Look at the member while it starts, as long as it is awaited after so many seconds. True when it says it serves."""
    began, was_down = time.monotonic(), False
    while (ascent := work.service.ascent()) == "starting" and is_awaited(time.monotonic() - began):
        was_down = True
        pause(began)
    if was_down and ascent == "serving":
        work.once(steps.SERVING)  # it said so itself, which it does when there is a leader
    return ascent == "serving"
