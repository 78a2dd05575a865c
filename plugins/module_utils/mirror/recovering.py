# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring keys of the source back: what would be done, and doing it, on condition that no key of it was changed meanwhile.

What was brought back is a change like any other: it goes through the log, so that it can be taken back in the same way.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

from ..core.errors import EtcdError
from ..core.how_far import Far, Told, counted_off, quiet
from ..core.text import counted
from ..etcd.messages import Committed, Compare, Delete, KeyValue, Put
from ..etcd.refusals import Compacted, Unavailable
from ..etcd.wire import Lease
from .history import readable
from .log_place import Keys, Place, earlier, records
from .names import probe
from .ranges import Reads, Side, Span
from .recover import (
    CHANGE,
    CREATE,
    DELETE,
    Step,
    batches,
    fates,
    hash_of,
    steps,
    steps_from_mirror,
    transaction,
    unknown,
)
from .segment_format import Record

TOLD = 1000  # keys by name
TRIES = 5  # of a transaction whose answer is lost
WAIT = 30.0  # seconds, for what the engine is still to read


class Etcd(Reads, Protocol):
    """What is asked of a cluster: ``etcd.client.Client`` has it."""

    def commit(self, compares: Sequence[Compare], operations: Sequence[Union[Put, Delete]]) -> Committed: ...

    def time_to_live(self, id: int) -> Lease: ...


class Difference(NamedTuple):
    """What it takes: how many keys are created, changed and deleted, and the first of them by name, each with what."""

    created: int
    changed: int
    deleted: int
    keys: Sequence[Tuple[str, bytes]]

    @property
    def total(self) -> int:
        return self.created + self.changed + self.deleted


class Plan(NamedTuple):
    """The source becomes again what it was at ``place``; ``source_revision`` is where it stood when it was looked at.

    ``left`` are keys of which nothing says what they were. ``each_step`` gives the steps, each time anew.
    """

    place: Place
    source_revision: int
    difference: Difference
    left: Sequence[bytes]
    each_step: Callable[[], Iterator[Step]]


class Outcome(NamedTuple):
    """How many keys were brought back, and which were not, since they were changed meanwhile; ``ended`` leases were left out."""

    done: int
    meanwhile: Sequence[bytes]
    ended: int


def plan_from_log(
    source: Etcd,
    folder: str,
    place: Place,
    keys: Keys,
    left_out: Tuple[bytes, ...] = (),
    partly: bool = False,
    wait: float = WAIT,
    told: Told = quiet,
) -> Plan:
    """From the log alone, and the source's own history where the log does not know a key. EtcdError where neither does, but
    for ``partly``. Keys that begin with one of ``left_out`` are left as they are, as are those that the log has not.
    """
    left_out += place.left_out

    def is_asked(key: bytes) -> bool:
        return keys.has(key) and not key.startswith(left_out)

    until = source.page(keys.key if keys.exact else probe(keys.key)).header.revision
    found = fates(_told_of(records(folder, place, until, wait), place.revision, until, told), is_asked)
    known = _known(source, folder, place, unknown(found))
    left = [key for key in unknown(found) if key not in known]
    if left and not partly:
        raise EtcdError(
            f"neither the log nor the source knows what {counted(len(left), 'key')} had been at revision {place.revision:,}:"
            f" {', '.join(readable(key) for key in left[:5])}{', ...' if len(left) > 5 else ''}.",
            "bring them back from a delayed mirror or a snapshot, or leave them as they are (partly).",
        )

    def each_step() -> Iterator[Step]:
        return steps(records(folder, place, until, wait), found, known)

    return Plan(place, until, difference_of(each_step()), left, each_step)


def plan_from_mirror(
    source: Etcd,
    mirror: Etcd,
    place: Place,
    keys: Keys,
    names: Tuple[bytes, bytes],
    left_out: Tuple[bytes, ...],
    held: int,
    told: Told = quiet,
) -> Plan:
    """From a mirror that is behind, as it is at its own revision ``held``, where it is the source at ``place``.

    ``names`` are the prefixes of source and mirror, ``left_out`` prefixes of source keys that the mirror has not.
    """
    ours, theirs = names
    if not keys.key.startswith(ours):
        raise EtcdError(
            f"the mirror has only keys that begin with {readable(ours)}, and not {keys}.", "name such a prefix."
        )
    until = source.page(keys.key if keys.exact else probe(keys.key)).header.revision

    def is_asked(key: bytes) -> bool:
        return keys.has(key) and not key.startswith(left_out)

    def each_step(looked: Told = quiet) -> Iterator[Step]:
        mirrored = each_key(mirror, theirs + keys.key[len(ours) :], keys.exact, held)
        renamed = (kv._replace(key=ours + kv.key[len(theirs) :], lease=0) for kv in mirrored)
        have = counted_off(each_key(source, keys.key, keys.exact, until), looked, "Compared", total)
        return steps_from_mirror(have, renamed, is_asked)

    total = 1 if keys.exact else Side(source, keys.key, beside=False).count([Span(b"")], until)
    return Plan(place, until, difference_of(each_step(told)), [], each_step)


def _told_of(found: Iterable[Record], after: int, until: int, told: Told) -> Iterator[Record]:
    for record in found:
        told(Far("Read of the log", record.revision - after, until - after, "revisions"))
        yield record


def each_key(etcd: Etcd, prefix: bytes, exact: bool, revision: int) -> Iterator[KeyValue]:
    """All keys of a prefix, or the one key, as they were at a revision, in their order."""
    if exact:
        yield from etcd.page(prefix, revision=revision).kvs
        return
    side, start = Side(etcd, prefix, beside=False), b""  # type: Tuple[Side, Optional[bytes]]
    while start is not None:
        part = side.part(Span(start), revision)
        yield from (entry.kv for entry in part.entries)
        start = part.rest


def difference_of(wanted: Iterable[Step]) -> Difference:
    numbers = {CREATE: 0, CHANGE: 0, DELETE: 0}
    named: List[Tuple[str, bytes]] = []
    for step in wanted:
        numbers[step.what] += 1
        if len(named) < TOLD:
            named.append((step.what, step.key))
    return Difference(numbers[CREATE], numbers[CHANGE], numbers[DELETE], sorted(named, key=lambda one: one[1]))


def do(source: Etcd, plan: Plan, told: Told = quiet) -> Outcome:
    """Do it. A run that was ended in the middle, or whose last answer was lost, is simply run again."""
    leases = _Leases(source)
    done, meanwhile = 0, []  # type: Tuple[int, List[bytes]]
    for batch in batches(plan.each_step()):
        missed = _committed(source, batch, leases)
        done += len(batch) - len(missed)
        meanwhile += missed
        told(Far("Brought back", done, plan.difference.total - len(meanwhile)))
    return Outcome(done, meanwhile, leases.ended)


def _committed(source: Etcd, batch: List[Step], leases: _Leases) -> List[bytes]:
    """Commit the steps, each alone where not all can be; the keys that were changed meanwhile, and are not as wanted."""
    if _has_committed(source, batch, leases):
        return []
    if len(batch) > 1:
        return [key for step in batch for key in _committed(source, [step], leases)]
    (step,) = batch
    kvs = source.page(step.key).kvs
    return [] if hash_of(kvs[0] if kvs else None) == hash_of(step.was) else [step.key]


def _has_committed(source: Etcd, batch: List[Step], leases: _Leases) -> bool:
    """Where the answer is lost it is sent again: had it been done, its conditions do not hold any more."""
    for _again in range(TRIES - 1):
        try:
            return source.commit(*transaction(batch, leases.lives)).succeeded
        except Unavailable as error:
            if not error.unknown:
                raise
    return source.commit(*transaction(batch, leases.lives)).succeeded


class _Leases:
    """Which leases of the keys still live; each is asked for once. ``ended`` counts those that do not."""

    def __init__(self, source: Etcd) -> None:
        self._source = source
        self._found: Dict[int, bool] = {}

    @property
    def ended(self) -> int:
        return sum(not lives for lives in self._found.values())

    def lives(self, lease: int) -> bool:
        if lease not in self._found:
            self._found[lease] = self._source.time_to_live(lease).ttl > 0
        return self._found[lease]


def _known(source: Etcd, folder: str, place: Place, keys: Sequence[bytes]) -> Dict[bytes, Optional[KeyValue]]:
    """What the keys were, by what the log has from before, or by the source where that is not compacted away."""
    if not keys:
        return {}
    wanted = set(keys)
    found: Dict[bytes, Optional[KeyValue]] = {}
    for record in earlier(folder, place):
        for event in record.events:
            if event.kv.key in wanted:
                found[event.kv.key] = None if event.deleted else event.kv
    for key in wanted - set(found):
        try:
            kvs = source.page(key, revision=place.revision).kvs
        except Compacted:
            break
        found[key] = kvs[0] if kvs else None
    return found
