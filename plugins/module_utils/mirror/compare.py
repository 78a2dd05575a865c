# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both sides of a mirror, compared key by key: what makes the destination what the source is, and not more than that.

Each side is read in its order, part by part, the next one while the last one is looked at. The source is read at one revision,
and where that is compacted meanwhile, from there on at a newer one: what happened since the first is followed afterwards anyway.
The destination is read as it is: nobody but the engine writes it, and only behind the place that is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from ..core.threads import Beside
from ..etcd.messages import Delete, KeyValue, Put
from ..etcd.refusals import Compacted
from .batches import Operation
from .ranges import Entry, Part, Side, Span, spans_without

PART_KEYS = 10_000  # more than a verification takes at once: etcd counts the rest of the range anew for each part


class Pinned:
    """The source at a revision, or a newer one where that is compacted. ``newest``: asks for the source's revision of now."""

    def __init__(self, side: Side, revision: int, newest: Callable[[], int]) -> None:
        self._side, self.revision, self._newest = side, revision, newest

    def part(self, span: Span) -> Part:
        while True:
            try:
                return self._side.part(span, self.revision)
            except Compacted:
                self.revision = self._newest()


def parts_ahead(part: Callable[[Span], Part], span: Span) -> Iterator[Part]:
    """All parts of a span; each is asked for while the one before it is taken."""
    coming: Optional[Beside[Part]] = Beside(lambda: part(span))
    while coming is not None:
        found = coming.result()
        rest = found.rest
        coming = None if rest is None else Beside(lambda rest=rest: part(Span(rest, span.end)))  # type: ignore[misc]
        yield found


def slices(
    source: Callable[[Span], Part], target: Callable[[Span], Part], span: Span
) -> Iterator[Tuple[List[Entry], List[Entry]]]:
    """A span, slice by slice: what each side has between the same two names."""
    sides = parts_ahead(source, span), parts_ahead(target, span)
    parts = [_first(side) for side in sides]
    while True:
        end = min((part.rest for part in parts if part.rest is not None), default=None)
        cuts = [_cut(part, end) for part in parts]
        yield cuts[0].entries, cuts[1].entries
        if end is None:
            return
        parts = [
            _first(side) if part.rest == end else part._replace(entries=part.entries[len(cut.entries) :])
            for side, part, cut in zip(sides, parts, cuts)
        ]


def _first(parts: Iterator[Part]) -> Part:
    """The next one; there is one as long as the last one had a rest."""
    return next(parts)


def _cut(part: Part, end: Optional[bytes]) -> Part:
    """The part up to, and without, the name ``end``; None: all of it."""
    if end is None or part.rest == end:
        return part
    return Part(part.entries[: bisect_left([name for name, _kv in part.entries], end)], end)


def changes(
    source: Sequence[Entry],
    target: Sequence[Entry],
    prefix: bytes,
    lease: Callable[[KeyValue], int],
    before: Optional[int] = None,
) -> Iterator[Operation]:
    """What makes a slice of the destination what the source's is. ``lease``: which one a key is to have there. ``before``:
    what was put after this revision stays as it is.
    """
    there = dict(target)
    for name, kv in source:
        wanted, now = lease(kv), there.pop(name, None)
        if before is not None and kv.mod_revision > before:
            continue
        if now is None or now.value != kv.value or now.lease != wanted:
            yield Put(prefix + name, kv.value, wanted)
    for name in there:
        yield Delete(prefix + name)


def differences(
    source: Callable[[Span], Part],
    target: Callable[[Span], Part],
    prefix: bytes,
    left_out: Sequence[bytes],
    lease: Callable[[KeyValue], int],
    told: Callable[[int], None],
    before: Optional[int] = None,
) -> Iterator[Operation]:
    """What makes the destination what the source is. ``told``: how many of the source's keys were looked at."""
    done = 0
    for span in spans_without(left_out):
        for mine, theirs in slices(source, target, span):
            yield from changes(mine, theirs, prefix, lease, before)
            done += len(mine)
            told(done)
