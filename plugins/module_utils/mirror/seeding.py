# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A destination that was restored from a snapshot of the source becomes what the source was then, without a comparison.

It is that already but for what was done to it since, which its own history tells; leases that ran out are in it too. And keys
that came with a lease are written once more, without: nobody keeps those leases alive there, and the keys would go with them.
"""

from __future__ import annotations

from typing import Callable, Iterator, List, Protocol, Sequence, Set, TypeVar

from ..core.errors import EtcdError
from ..core.text import counted
from ..core.threads import side_by_side
from ..etcd.messages import Delete, Page, Put
from .applying import Overtaken
from .batches import Operation, of_a_comparison
from .names import Names, probe
from .patience import Patience
from .settings import Seed
from .state import SCAN
from .status import Board
from .written import Watches, written

MOST = 100_000  # keys beyond which a comparison is no slower
_AT_ONCE = 256

T = TypeVar("T")
V = TypeVar("V")


class Source(Protocol):
    def page(self, key: bytes, *, revision: int = 0) -> Page: ...


class Target(Watches, Protocol):
    def page(self, key: bytes) -> Page: ...

    def leases(self) -> List[int]: ...

    def keys_of_lease(self, id: int) -> List[bytes]: ...


class Writes(Protocol):
    """What of ``applying.Applying`` is needed."""

    def write_soon(self, operations: List[Operation]) -> None: ...

    def finish(self) -> None: ...


class Mending:
    """Of both clusters keys have the same names. ``check`` is asked from time to time, and ends it."""

    def __init__(
        self,
        source: Source,
        target: Target,
        names: Names,
        applying: Writes,
        board: Board,
        patience: Patience,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self._source, self._target, self._names, self._applying = source, target, names, applying
        self._board, self._patience, self._say, self._check = board, patience, say, check

    def mend(self, seed: Seed) -> bool:
        """Whether the destination is what the snapshot was; else it is to be compared."""
        self._board.set(leases_done=0, leases_total=0, keys_done=0, keys_total=0, keys_changed=0)
        try:
            keys = self._to_mend(seed)
            self._board.set(keys_total=len(keys))
            for operations in of_a_comparison(self._as_it_was(keys, seed.revision)):
                self._applying.write_soon(operations)
            self._applying.finish()
        except Overtaken:
            raise
        except EtcdError as error:
            self._applying.finish()
            self._say(f"Both sides are compared by keys after all: {error.message}")
            self._board.set(keys_done=0, keys_total=0)  # which are those of the comparison from now on
            self._board.begin(SCAN, error.message)
            return False
        self._say(f"Of {counted(len(keys), 'key')} the snapshot was mended: they had a lease, or were changed since.")
        return True

    def _to_mend(self, seed: Seed) -> List[bytes]:
        """The keys that are or may be other ones than in the snapshot. EtcdError where nobody can tell, or they are too many."""
        leased = self._with_leases()  # first: of a lease that runs out meanwhile the history tells
        names, target = self._names, self._target
        until = self._patience.until_done(lambda: target.page(probe(names.target))).header.revision
        found = self._patience.until_done(
            lambda: written(target, names.target, names.left_out, seed.restored_to, until, MOST)
        )
        keys = leased.union(found.keys)
        _refuse_too_many(keys)
        return sorted(keys)

    def _with_leases(self) -> Set[bytes]:
        """Those of what is mirrored, all of them: etcd deletes each one that is left out when its lease runs out."""
        keys: Set[bytes] = set()
        leases = self._patience.until_done(self._target.leases)
        self._board.set(leases_total=len(leases))
        for number, lease_keys in enumerate(self._side_by_side(self._target.keys_of_lease, leases), 1):
            keys.update(key for key in lease_keys if self._names.in_target(key) is not None)
            self._board.set(leases_done=number)
            _refuse_too_many(keys)
        return keys

    def _as_it_was(self, keys: Sequence[bytes], revision: int) -> Iterator[Operation]:
        pages = self._side_by_side(lambda key: self._source.page(key, revision=revision), keys)
        for number, (key, page) in enumerate(zip(keys, pages), 1):
            self._board.set(keys_done=number)
            yield Put(key, page.kvs[0].value) if page.kvs else Delete(key)

    def _side_by_side(self, ask: Callable[[V], T], of: Sequence[V]) -> Iterator[T]:
        for first in range(0, len(of), _AT_ONCE):
            self._check()
            some = of[first : first + _AT_ONCE]
            yield from side_by_side(lambda one: self._patience.until_done(lambda: ask(one)), some)


def _refuse_too_many(keys: Set[bytes]) -> None:
    """Beyond this not all of them are known, and a comparison is no slower."""
    if len(keys) >= MOST:
        raise EtcdError(
            f"{len(keys):,} keys of the destination or more have a lease, or were changed since the snapshot."
        )
