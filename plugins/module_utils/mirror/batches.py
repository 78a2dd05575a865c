# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened in the source, as transactions of the destination: as many events in one as etcd takes, in their order.

A transaction has at most 128 operations, 1.5 MB, and no key twice; with each goes the state, which says how far they reach. A
revision of the source with more than that is cut, and the index in the state says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, TypeVar, Union

from ..etcd.messages import Delete, Event, Put
from .names import Names

MOST_OPERATIONS = 128  # etcd's default max-txn-ops
MOST_BYTES = 1_500_000  # below etcd's default max-request-bytes, 1.5 MiB
_STATE_BYTES = 4096  # of the state, twice: as it is compared and as it is put
_OPERATION_BYTES = 32  # of an operation beside its key and value, at most

Operation = Union[Put, Delete]


@dataclass(frozen=True)
class Batch:
    """The operations of one transaction. With them the destination is the source at ``revision``, with the first ``index``
    events of the next revision that has any. ``wall`` is when the last of them was read.
    """

    operations: List[Operation]
    revision: int
    index: int
    wall: float


def size_of(operation: Operation) -> int:
    """Bytes that an operation takes in a transaction, or a few more."""
    value = len(operation.value) if isinstance(operation, Put) else 0
    return len(operation.key) + value + _OPERATION_BYTES


def operation_of(event: Event, names: Names, keep_lease: bool) -> Optional[Operation]:
    """What an event is to become in the destination; None where its key is not mirrored."""
    key = names.in_target(event.kv.key)
    if key is None:
        return None
    if event.deleted:
        return Delete(key)
    return Put(key, event.kv.value, event.kv.lease if keep_lease else 0)


class Filling:
    """The transaction that is being filled; what does not fit any more begins the next one."""

    def __init__(self, names: Names, revision: int, index: int, keep_lease: bool = False) -> None:
        self._names, self._keep_lease = names, keep_lease
        self._revision, self._index = revision, index
        self._wall = 0.0
        self._empty()

    @property
    def position(self) -> Tuple[int, int]:
        """How far all reaches that was added."""
        return self._revision, self._index

    @property
    def is_begun(self) -> bool:
        """Whether there is an operation in it."""
        return bool(self._operations)

    def add(self, revision: int, wall: float, events: Sequence[Event]) -> Iterator[Batch]:
        """Add the events of the next revision, of which ``index`` were applied before; gives the batches that are full."""
        for number, event in enumerate(events):
            if number < self._index:
                continue
            operation = operation_of(event, self._names, self._keep_lease)
            if operation is not None:
                if not self._fits(operation):
                    yield self._taken()
                self._operations.append(operation)
                self._keys.add(operation.key)
                self._size += size_of(operation)
                self._wall = wall
            self._index = number + 1
        if events or not self._index:
            self._revision, self._index, self._wall = revision, 0, wall

    def rest(self) -> Batch:
        """What was added and not given yet; it may have no operations, and only say how far the source was read."""
        return self._taken()

    def _fits(self, operation: Operation) -> bool:
        if not self._operations:
            return True
        one_more = len(self._operations) + 2  # it, and the state
        too_large = self._size + size_of(operation) > MOST_BYTES
        return one_more <= MOST_OPERATIONS and not too_large and operation.key not in self._keys

    def _taken(self) -> Batch:
        batch = Batch(self._operations, self._revision, self._index, self._wall)
        self._empty()
        return batch

    def _empty(self) -> None:
        self._operations: List[Operation] = []
        self._keys: Set[bytes] = set()
        self._size = _STATE_BYTES


T = TypeVar("T")


def grouped(items: Iterable[T], size: Callable[[T], int], most: int, most_bytes: int) -> Iterator[List[T]]:
    """As many together as one transaction takes, where each is about a key of its own; one that is too large goes alone."""
    group: List[T] = []
    total = 0
    for item in items:
        more = size(item)
        if group and (len(group) >= most or total + more > most_bytes):
            yield group
            group, total = [], 0
        group.append(item)
        total += more
    if group:
        yield group


def of_a_comparison(changes: Iterable[Operation]) -> Iterator[List[Operation]]:
    """The transactions of a comparison, which compare the state and do not put it."""
    return grouped(changes, size_of, MOST_OPERATIONS, MOST_BYTES - _STATE_BYTES)
