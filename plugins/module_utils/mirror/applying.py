# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine writes: each transaction with the state, by which it lands once, in its order, and from one engine alone."""

from __future__ import annotations

import collections
import contextlib
from typing import Callable, Deque, List, Optional, Protocol, Sequence, Tuple, Union

from ..core.errors import EtcdError
from ..etcd.messages import Committed, Compare, Delete, Page, Put
from ..etcd.refusals import NoSpace, Unavailable
from .batches import Operation
from .patience import Patience
from .state import State

MOST_TRIES = 100  # of an engine that takes over from one which is at work
IN_FLIGHT = 32  # transactions of a comparison under way at once
IN_FLIGHT_BYTES = 12 << 20  # of them all, but for the last one


class Pending(Protocol):
    size: int  # bytes

    def result(self) -> Committed: ...


class Writes(Protocol):
    """What of ``etcd.client.Client`` is needed to write."""

    def page(self, key: bytes) -> Page: ...

    def commit(self, compares: Sequence[Compare], operations: Sequence[Union[Put, Delete]]) -> Committed: ...

    def commit_soon(self, compares: Sequence[Compare], operations: Sequence[Union[Put, Delete]]) -> Pending: ...


class Overtaken(EtcdError):
    """Another engine writes this mirror."""

    def __init__(self) -> None:
        super().__init__(
            "Another engine has taken over this mirror.",
            "run one engine alone for each mirror, and stop the other one.",
        )


class Applying:
    """The destination as this engine writes it, from the state that it has read there on."""

    def __init__(self, client: Writes, key: bytes, patience: Patience) -> None:
        self._client, self._key, self._patience = client, key, patience
        self._value: Optional[bytes] = None
        self._under_way: Deque[Tuple[Pending, List[Operation]]] = collections.deque()
        self._bytes_under_way = 0

    def read(self) -> Optional[bytes]:
        """The value of the state's key; it is what the next transaction compares."""
        self._value = self._patience.until_done(self._stored)
        return self._value

    def take_over(self, made_of: Callable[[Optional[bytes]], State]) -> State:
        """Put the state that is made of the stored one, and return it. Another engine may still move that on: it is made anew."""
        for _time in range(MOST_TRIES):
            state = made_of(self._value)
            with contextlib.suppress(Overtaken):
                self.advance([], state)
                return state
            self.read()
        raise Overtaken

    def advance(self, operations: Sequence[Operation], state: State) -> None:
        """Do these and put the state, in one transaction, once. Overtaken where the state is another engine's.

        Where an answer is lost the same is sent again: it fails if the first one has landed, and then the state is the new one.
        """
        value = state.encode()
        compares, everything = [self._is_mine()], [*operations, Put(self._key, value)]
        done = self._patience.until_done(lambda: self._client.commit(compares, everything))
        if not done.succeeded and self._patience.until_done(self._stored) != value:
            raise Overtaken
        self._value = value

    def write_soon(self, operations: List[Operation]) -> None:
        """Do these while the state stays as it is; in any order with others that are under way."""
        while len(self._under_way) >= IN_FLIGHT or self._bytes_under_way >= IN_FLIGHT_BYTES:
            self._finish_one()
        try:
            pending = self._client.commit_soon([self._is_mine()], operations)
        except (Unavailable, NoSpace):
            self._surely(operations)
        else:
            self._under_way.append((pending, operations))
            self._bytes_under_way += pending.size

    def finish(self) -> None:
        """Everything that was to be written soon is, when this returns."""
        while self._under_way:
            self._finish_one()

    def give_up(self) -> None:
        """Forget what is under way; it may land or not."""
        self._under_way.clear()
        self._bytes_under_way = 0

    def _finish_one(self) -> None:
        pending, operations = self._under_way.popleft()
        self._bytes_under_way -= pending.size
        try:
            done = pending.result()
        except (Unavailable, NoSpace):
            self._surely(operations)
        else:
            _believe(done)

    def _surely(self, operations: List[Operation]) -> None:
        """Whether it has landed before or not: it does the same a second time."""
        compares = [self._is_mine()]
        _believe(self._patience.until_done(lambda: self._client.commit(compares, operations)))

    def _is_mine(self) -> Compare:
        return Compare(self._key, self._value)

    def _stored(self) -> Optional[bytes]:
        kvs = self._client.page(self._key).kvs
        return kvs[0].value if kvs else None


def _believe(done: Committed) -> None:
    if not done.succeeded:
        raise Overtaken
