# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both sides of a mirror, compared key by key: what makes the destination what the source is, and not more than that.

Each side is read in its order, part by part, the next one while the last one is looked at. The source is read at one revision,
and where that is compacted meanwhile, from there on at a newer one: what happened since the first is followed afterwards anyway.
The destination is read as it is: nobody but the engine writes it, and only behind the place that is looked at.
"""

from __future__ import annotations

from typing import Callable, Iterator, Optional, Sequence, Union

from ..core.threads import Beside
from ..etcd.messages import Delete, KeyValue, Put
from ..etcd.refusals import Compacted
from .batches import Operation
from .ranges import Entry, Part, Side, Span, paired, spans_without

LOOK = 1000  # keys after which it is told how many are done
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


def entries_ahead(part: Callable[[Span], Part], span: Span) -> Iterator[Entry]:
    """All entries of a span; each part is asked for while the one before it is taken."""
    coming: Optional[Beside[Part]] = Beside(lambda: part(span))
    while coming is not None:
        found = coming.result()
        rest = found.rest
        coming = None if rest is None else Beside(lambda rest=rest: part(Span(rest, span.end)))  # type: ignore[misc]
        yield from found.entries


def change_for(
    key: bytes, source: Optional[KeyValue], target: Optional[KeyValue], lease: Callable[[KeyValue], int]
) -> Optional[Operation]:
    """What makes the destination's key what the source's is; None where it is. ``lease``: which the key is to have there."""
    if source is None:
        return Delete(key)
    wanted = lease(source)
    if target is not None and target.value == source.value and target.lease == wanted:
        return None
    return Put(key, source.value, wanted)


def differences(
    source: Callable[[Span], Part],
    target: Callable[[Span], Part],
    prefix: bytes,
    left_out: Sequence[bytes],
    lease: Callable[[KeyValue], int],
    told: Callable[[int], None],
) -> Iterator[Union[Put, Delete]]:
    """What makes the destination what the source is, in the order of the keys. ``told``: how many names were looked at."""
    done = 0
    for span in spans_without(left_out):
        mine, theirs = entries_ahead(source, span), entries_ahead(target, span)
        for name, one, other in paired(mine, theirs):
            done += 1
            if not done % LOOK:
                told(done)
            change = change_for(prefix + name, one, other, lease)
            if change is not None:
                yield change
    told(done)
