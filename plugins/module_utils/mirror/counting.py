# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many keys a mirror has, as its destination counts them.

What is applied cannot be added up instead: whether a put creates a key, and a deletion takes one away, is known of the source
alone, and not of what the destination had besides. etcd walks over its index to count, 0.1 to 0.2 ms for a thousand keys, and
nobody writes there meanwhile. So it is asked each minute, and more seldom where counting takes long.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Callable, Optional

from ..core.errors import EtcdError
from ..core.threads import Beside
from .names import Names
from .ranges import Reads, Side, spans_without
from .status import Board

COUNT_EVERY = 60.0  # seconds
REST = 1000  # times what counting took


class Counting:
    def __init__(self, target: Reads, names: Names, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._side, self._spans = Side(target, names.target, beside=False), spans_without(names.left_out_names())
        self._board, self._clock = board, clock
        self._lock = threading.Lock()
        self._due = clock()
        self._beside: Optional[Beside[None]] = None

    def look(self) -> None:
        """Count beside all else, where it is time to; this waits for nothing."""
        if self._clock() >= self._due and (self._beside is None or self._beside.is_over):
            self._beside = Beside(self.count)

    def count(self) -> None:
        """Count now. A destination that does not answer is told of by whoever writes there."""
        with self._lock, contextlib.suppress(EtcdError):
            began = self._clock()
            self._due = began + COUNT_EVERY
            keys = self._side.count(self._spans, 0)
            self._due = began + max(COUNT_EVERY, REST * (self._clock() - began))
            self._board.counted(keys)
