# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a cluster is one side of a mirror, read in parts of a few megabytes at one revision.

A name is a key without the prefix of its side: both sides have the same names, in the same order.
"""

from __future__ import annotations

from typing import Iterable, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple

from ..core.errors import EtcdError
from ..etcd.messages import KeyValue, Page, prefix_range
from ..etcd.refusals import Stale, TooLarge
from .horizon import Horizon

PART_KEYS = 1000
PART_BYTES = 2 << 20
_FIRST_KEYS = 64  # of the first part, before anything is known of the values


class Reads(Protocol):
    """What of ``etcd.client.Client`` is needed to read."""

    def page(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        revision: int = 0,
        count_only: bool = False,
        serializable: bool = False,
    ) -> Page: ...


class Span(NamedTuple):
    """Names from ``start`` up to, and without, ``end``; None: to the last one."""

    start: bytes
    end: Optional[bytes] = None


class Entry(NamedTuple):
    name: bytes
    kv: KeyValue


Both = Tuple[bytes, Optional[KeyValue], Optional[KeyValue]]  # a name, and what each side has of it


class Part(NamedTuple):
    """The first entries of a span, and where the rest of it begins; None: that was all. There may be none yet, and a rest."""

    entries: List[Entry]
    rest: Optional[bytes]


def spans_without(left_out: Iterable[bytes]) -> List[Span]:
    """All names but those with one of these prefixes, as few spans, in their order."""
    spans, start = [], b""
    for prefix in sorted(left_out):
        if prefix < start:
            continue  # it lies in one that was left out already
        if prefix > start:
            spans.append(Span(start, prefix))
        behind = prefix_range(prefix)[1]
        if behind == b"\0":
            return spans
        start = behind
    return [*spans, Span(start)]


def paired(source: Iterable[Entry], destination: Iterable[Entry]) -> Iterator[Both]:
    """Each name of two sorted sides, with what each of them has of it."""
    left, right = iter(source), iter(destination)
    mine, theirs = next(left, None), next(right, None)
    while mine is not None or theirs is not None:
        first = mine is not None and (theirs is None or mine.name <= theirs.name)
        second = theirs is not None and (mine is None or theirs.name <= mine.name)
        name = mine.name if mine is not None and first else theirs.name if theirs is not None else b""
        yield name, mine.kv if mine and first else None, theirs.kv if theirs and second else None
        mine = next(left, None) if first else mine
        theirs = next(right, None) if second else theirs


class Side:
    """One side of a mirror. ``beside``: whether its members' own views may answer, without the leader; ``most`` keys in a part.

    At a revision that a member has, its own view is everybody's; where it lacks the revision, all of them are asked.
    """

    def __init__(self, client: Reads, prefix: bytes, beside: bool = True, most: int = PART_KEYS) -> None:
        self.cluster = 0  # its ID, once it has answered
        self._client, self._prefix, self._beside, self._most = client, prefix, beside, most
        self._keys = _FIRST_KEYS
        self._horizon = Horizon()

    def key(self, name: bytes) -> bytes:
        return self._prefix + name

    def part(self, span: Span, revision: int) -> Part:
        """The first of a span's entries at a revision, 0 for now: at most ``most``, about ``PART_BYTES``, perhaps none yet."""
        start, end = self._range(span)
        while True:
            until = self._horizon.end(start, end, self._keys)
            try:
                page = self._asked(start, until, limit=self._keys, revision=revision)
                break
            except TooLarge:
                if self._keys == 1:
                    raise
                self._keys = max(1, self._keys // 4)
        cut = len(self._prefix)
        entries = [Entry(kv.key[cut:], kv) for kv in page.kvs]
        if page.more and not entries:
            raise EtcdError(
                "A page of keys is empty, and more is said to follow.", "look at the members' versions and logs."
            )
        self._horizon.saw([kv.key for kv in page.kvs], self._keys, page.more or until == end)
        self._learn(page.kvs)
        if page.more:
            return Part(entries, entries[-1].name + b"\0")
        return Part(entries, None if until == end else until[cut:])

    def count(self, spans: Sequence[Span], revision: int) -> int:
        return sum(self._asked(*self._range(span), revision=revision, count_only=True).total for span in spans)

    def one(self, name: bytes, revision: int = 0) -> Tuple[int, Optional[KeyValue]]:
        """(revision, entry) of one name; at revision 0 as all members together have it now."""
        page = self._noted(self._client.page(self.key(name), revision=revision))
        return revision or page.header.revision, page.kvs[0] if page.kvs else None

    def _range(self, span: Span) -> Tuple[bytes, bytes]:
        first, behind = prefix_range(self._prefix)
        return self._prefix + span.start or first, behind if span.end is None else self._prefix + span.end

    def _asked(self, key: bytes, end: bytes, revision: int, limit: int = 0, count_only: bool = False) -> Page:
        ask = self._client.page
        if self._beside and revision:
            try:
                return self._noted(
                    ask(key, end, limit=limit, revision=revision, count_only=count_only, serializable=True)
                )
            except Stale:
                pass  # those that were asked do not have the revision yet
        return self._noted(ask(key, end, limit=limit, revision=revision, count_only=count_only))

    def _noted(self, page: Page) -> Page:
        if self.cluster not in (0, page.header.cluster_id):
            raise EtcdError(
                f"The endpoints of one side are of two clusters, {self.cluster:x} and {page.header.cluster_id:x}.",
                "correct the endpoints, or verify again if the cluster has just been restored.",
            )
        self.cluster = page.header.cluster_id
        return page

    def _learn(self, kvs: Sequence[KeyValue]) -> None:
        """How many keys the next part may have; at most twice as many, since a run of large values may follow small ones."""
        if kvs:
            each = sum(len(kv.key) + len(kv.value) for kv in kvs) / len(kvs)
            self._keys = max(1, min(self._most, 2 * self._keys, int(PART_BYTES / each)))
