# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What deleted keys were, where the watch does not tell: read from the source's own history, many at a time.

etcd looks each key of a watch's event up by itself when it is asked for its past: for ten thousands that one revision has
deleted it takes minutes, and before 3.5 for some thousands already. A range of the revision before has them in a second.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Dict, List, Protocol, Sequence

from ..etcd.messages import Event, KeyValue, Page
from ..etcd.refusals import Compacted, TooLarge

FEW = 8  # keys that are asked for one by one
PAGE = 1000  # keys
MOST_BYTES = 256 << 20  # of values of one revision: they are in memory together


class Source(Protocol):
    """What of ``etcd.client.Client`` is needed."""

    def page(self, key: bytes, end: bytes = b"", *, limit: int = 0, revision: int = 0) -> Page: ...


def with_past(source: Source, revision: int, events: Sequence[Event]) -> List[Event]:
    """The events of a revision, each deletion with what the key was, as far as the source knows that still.

    EtcdError of the client but for Compacted: then nobody knows.
    """
    lacking = sorted(event.kv.key for event in events if event.deleted and event.previous is None)
    if not lacking:
        return list(events)
    found: Dict[bytes, KeyValue] = {}
    try:
        if len(lacking) <= FEW:
            for key in lacking:
                found.update((kv.key, kv) for kv in source.page(key, revision=revision - 1).kvs)
        else:
            _find(source, revision - 1, lacking, found)
    except Compacted:
        pass
    return [
        event._replace(previous=found.get(event.kv.key)) if event.deleted and event.previous is None else event
        for event in events
    ]


def _find(source: Source, revision: int, lacking: Sequence[bytes], found: Dict[bytes, KeyValue]) -> None:
    """Page after page from the first to the last; what lies between two of them is passed over, but for a page."""
    wanted, end = set(lacking), lacking[-1] + b"\0"
    size = at = looked = 0
    limit = PAGE
    while at < len(lacking) and size < MOST_BYTES and looked < 10 * len(lacking) + 10 * PAGE:
        try:
            page = source.page(lacking[at], end, limit=limit, revision=revision)
        except TooLarge:
            if limit == 1:
                raise
            limit = max(1, limit // 4)
            continue
        for kv in page.kvs:
            if kv.key in wanted:
                found[kv.key] = kv
                size += len(kv.value)
        if not page.more or not page.kvs:
            return
        looked += len(page.kvs)
        at = bisect_right(lacking, page.kvs[-1].key)
