# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How keys of the source become again as they were: what is to be put and deleted, decided from the mirror's log or from a
delayed mirror. Pure: of records, keys and pages.

Backwards from the present: what a key was at a revision is what it was before the first event behind it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from ..etcd.messages import Compare, Delete, Event, KeyValue, Put
from .batches import MOST_OPERATIONS, grouped
from .ranges import Entry, paired
from .segment_format import Record

MOST_BYTES = 1_400_000  # of keys and values in a transaction; etcd's default max-request-bytes is 1.5 MiB
_OPERATION_BYTES = 64  # of an operation and its condition beside key and value, at most
CREATE, CHANGE, DELETE = "create", "change", "delete"


class Step(NamedTuple):
    """What one key is to become: what it was, or None for a key that was not there. ``now`` is the mod revision that it has in
    the source, 0 for one that is not there: only such a key is touched.
    """

    key: bytes
    was: Optional[KeyValue]
    now: int

    @property
    def what(self) -> str:
        if self.was is None:
            return DELETE
        return CHANGE if self.now else CREATE


class Fate(NamedTuple):
    """What became of a key since: what it was then and is now, by hash (None: not there), and its mod revision now.

    ``known`` is False where the log does not say what it was.
    """

    was: Optional[bytes]
    known: bool
    now: Optional[bytes]
    now_revision: int

    @property
    def differs(self) -> bool:
        return self.was != self.now


def hash_of(kv: Optional[KeyValue]) -> Optional[bytes]:
    """Of a value, to tell it from others in few bytes; None for no key."""
    return None if kv is None else blake2b(kv.value, digest_size=16).digest()


def was_before(event: Event) -> Tuple[Optional[KeyValue], bool]:
    """What the key was before the event, and whether that is known: a key's first version had none before."""
    if event.previous is not None:
        return event.previous, True
    return None, not event.deleted and event.kv.version == 1


def fates(records: Iterable[Record], asked: Callable[[bytes], bool]) -> Dict[bytes, Fate]:
    """What became of each key that is asked for, from the records behind the revision that is wanted back up to now."""
    found: Dict[bytes, Fate] = {}
    for record in records:
        for event in record.events:
            key = event.kv.key
            if not asked(key):
                continue
            before = found.get(key)
            now = None if event.deleted else hash_of(event.kv)
            now_revision = 0 if event.deleted else event.kv.mod_revision
            if before is None:
                was, known = was_before(event)
                found[key] = Fate(hash_of(was), known, now, now_revision)
            else:
                found[key] = before._replace(now=now, now_revision=now_revision)
    return found


def steps(
    records: Iterable[Record], found: Dict[bytes, Fate], known: Dict[bytes, Optional[KeyValue]]
) -> Iterator[Step]:
    """The steps for the keys that differ, each at its first event, since the value is there. The same records as for ``fates``.

    ``known`` has what the log does not know.
    """
    left = {key for key, fate in found.items() if key in known or (fate.known and fate.differs)}
    for record in records:
        for event in record.events:
            key = event.kv.key
            if key not in left:
                continue
            left.remove(key)
            was = known[key] if key in known else was_before(event)[0]
            fate = found[key]
            if hash_of(was) != fate.now:
                yield Step(key, was, fate.now_revision)
        if not left:
            return


def unknown(found: Dict[bytes, Fate]) -> List[bytes]:
    """The keys of which the log does not say what they were."""
    return sorted(key for key, fate in found.items() if not fate.known)


def steps_from_mirror(
    source: Iterable[KeyValue], mirror: Iterable[KeyValue], asked: Callable[[bytes], bool]
) -> Iterator[Step]:
    """The steps that make the source as its mirror is. Both sorted by key, the mirror's keys called as in the source."""
    sides = ((Entry(kv.key, kv) for kv in side) for side in (source, mirror))
    for key, now, was in paired(*sides):
        if asked(key) and (now is None or was is None or now.value != was.value):
            yield Step(key, was, now.mod_revision if now else 0)


# ---- as transactions ----------------------------------------------------------------------------------------------------


def batches(wanted: Iterable[Step]) -> Iterator[List[Step]]:
    """As many steps together as one transaction takes."""
    return grouped(wanted, _size_of, MOST_OPERATIONS, MOST_BYTES)


def _size_of(step: Step) -> int:
    return 2 * len(step.key) + (len(step.was.value) if step.was else 0) + _OPERATION_BYTES


def transaction(batch: Iterable[Step], lives: Callable[[int], bool]) -> Tuple[List[Compare], List[Union[Put, Delete]]]:
    """The steps, on condition that no key was changed meanwhile. A lease that has ended is left out: etcd takes no such key."""
    compares: List[Compare] = []
    operations: List[Union[Put, Delete]] = []
    for key, was, now in batch:
        compares.append(Compare(key, None, mod_revision=now))
        if was is None:
            operations.append(Delete(key))
        else:
            operations.append(Put(key, was.value, was.lease if was.lease and lives(was.lease) else 0))
    return compares, operations
