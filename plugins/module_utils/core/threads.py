# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work that is done beside other work. Python's own pools bring a logger and more with them: half of a short run's start."""

from __future__ import annotations

import threading
from typing import Callable, Generic, List, Optional, Sequence, TypeVar

MOST = 16  # threads at once

T = TypeVar("T")
V = TypeVar("V")


class Beside(Generic[T]):
    """``work`` in a thread of its own, from now on. It does not keep the process from its end."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: List[T] = []
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._do, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Waits for what ``work`` returns; what it raises is raised here."""
        self._thread.join()
        if self._error:
            raise self._error
        return self._found[0]

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _do(self) -> None:
        try:
            self._found.append(self._work())
        except BaseException as error:
            self._error = error


def side_by_side(work: Callable[[V], T], values: Sequence[V]) -> List[T]:
    """What ``work`` makes of each value, in their order; at most ``MOST`` are worked on at once."""
    found: List[T] = []
    for first in range(0, len(values), MOST):
        begun = [Beside(lambda value=value: work(value)) for value in values[first : first + MOST]]  # type: ignore[misc]
        found += [one.result() for one in begun]
    return found
