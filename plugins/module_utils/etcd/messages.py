# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes over etcd's gRPC door, as values: keys, pages, transactions, events. Keys and values are bytes.

Tuples, since there are millions of them. The names are those of etcd's ``rpc.proto`` and ``kv.proto``.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple


class Header(NamedTuple):
    """Of each answer. ``revision`` is that of the member's store when it answered, ``raft_term`` the term of the entry that it
    applied last: so a member that is cut off shows none that its cluster has not agreed on, however many elections it begins.
    """

    cluster_id: int
    member_id: int
    revision: int
    raft_term: int


class KeyValue(NamedTuple):
    """A key as it was stored at ``mod_revision``. Of a deletion only ``key`` and ``mod_revision`` are set."""

    key: bytes
    create_revision: int
    mod_revision: int
    version: int
    value: bytes
    lease: int = 0


class Page(NamedTuple):
    """A part of a range. ``total`` is the keys of the whole range (etcd's ``count``), ``more`` whether any are left."""

    header: Header
    kvs: List[KeyValue]
    more: bool
    total: int


class Event(NamedTuple):
    """``previous`` is what the key was before, where the watch asked for it and that was not compacted away."""

    deleted: bool
    kv: KeyValue
    previous: Optional[KeyValue] = None


class Watched(NamedTuple):
    """An answer of a watch. Without events, and neither created nor canceled, it tells of progress: there is nothing more up to
    ``header.revision``. ``fragment``: the rest of the last revision's events comes in the next one.
    """

    header: Header
    created: bool
    canceled: bool
    compact_revision: int
    cancel_reason: str
    fragment: bool
    events: List[Event]


class Compare(NamedTuple):
    """A condition of a transaction: the key's ``mod_revision`` where that is given, else its value, or for ``value`` None its
    version. Of a key that is not there mod revision and version are 0.
    """

    key: bytes
    value: Optional[bytes]
    version: int = 0
    mod_revision: Optional[int] = None


class Put(NamedTuple):
    key: bytes
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    """``end`` empty: one key; else all from ``key`` up to it."""

    key: bytes
    end: bytes = b""


class Committed(NamedTuple):
    """The answer of a transaction; its revision is ``header.revision``."""

    header: Header
    succeeded: bool


def prefix_range(prefix: bytes) -> Tuple[bytes, bytes]:
    """The first key of a prefix and the first behind it; of the empty one, everything."""
    stem = prefix.rstrip(b"\xff")
    if not prefix:
        return b"\0", b"\0"
    return prefix, stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
