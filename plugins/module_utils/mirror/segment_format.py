# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of a segment of the mirror's log: a head, then records, each with a checksum. ``docs/log-format.md`` describes them.

Pure functions from values to bytes and back. A record that is whole and still says nothing sensible raises ValueError.
"""

from __future__ import annotations

import struct
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

from ..etcd.messages import Event, KeyValue

MAGIC, VERSION = b"QETCDLOG", 1
_START = struct.Struct(">8sHII")  # magic, version, salt, CRC-32 of these
START_SIZE = _START.size

# Before each record: a marker, by which the next one is found behind a damaged one, the length of what follows, and the CRC-32
# of length and payload. It is begun with the segment's salt, so that no value that somebody puts into etcd can be a record.
MARKER = b"\xe7QEL"
_FRAME = struct.Struct(">4sII")
FRAME_SIZE = _FRAME.size

HEAD, EVENTS, LEASE, CLOSE = b"H", b"E", b"T", b"C"

_HEAD = struct.Struct(
    ">QQQdBHIIH"
)  # sequence, cluster, after, wall, goes on, lengths: why, key, end, number of left out
_LENGTH = struct.Struct(">I")
_EVENTS = struct.Struct(">QdI")  # revision, wall, events
_KEY_VALUE = struct.Struct(">QQQqII")  # create and mod revision, version, lease, lengths: key, value
_LEASE = struct.Struct(">qqd")  # ID, time to live in seconds, wall
_CLOSE = struct.Struct(">QdQ32s")  # revision up to which it is known, wall, records of events, SHA-256 of all before
CLOSE_SIZE = FRAME_SIZE + 1 + _CLOSE.size
_DELETED, _WITH_PREVIOUS = 1, 2


class Head(NamedTuple):
    """How a segment begins: it has what happened to the keys from ``key`` to ``end`` in the cluster after revision ``after``,
    without those that begin with one of ``left_out``.

    ``goes_on``: what was before it is all in the segments before. Else there is a gap, and ``why`` says of what kind.
    """

    sequence: int
    cluster: int
    after: int
    wall: float
    goes_on: bool
    key: bytes
    end: bytes
    why: str = ""
    left_out: Tuple[bytes, ...] = ()


class Record(NamedTuple):
    """All that one revision changed, and when that was read here. Without events: up to this revision there is nothing more."""

    revision: int
    wall: float
    events: Sequence[Event]


class Lease(NamedTuple):
    """The time to live, in seconds, that a lease was granted with."""

    id: int
    ttl: int
    wall: float


class Close(NamedTuple):
    """How a segment ends: it is known up to ``revision``, and ``sha256`` is that of all bytes before this record."""

    revision: int
    wall: float
    records: int
    sha256: bytes


def start(salt: int) -> bytes:
    begin = _START.pack(MAGIC, VERSION, salt, 0)[:-4]
    return begin + struct.pack(">I", crc32(begin))


def salt_of(data: bytes) -> int:
    """The salt in a segment's first ``START_SIZE`` bytes; ValueError with why for what is none of ours."""
    if len(data) < START_SIZE:
        raise ValueError("it is shorter than the begin of one")
    magic, version, salt, crc = _START.unpack_from(data)
    if magic != MAGIC or crc != crc32(data[: START_SIZE - 4]):
        raise ValueError("its first bytes are not those of one")
    if version != VERSION:
        raise ValueError(f"it is of version {version} of the format, and this program knows {VERSION}")
    return int(salt)


def framed(payload: bytes, salt: int) -> bytes:
    length = struct.pack(">I", len(payload))
    return b"".join((MARKER, length, struct.pack(">I", crc32(payload, crc32(length, salt))), payload))


def length_of(frame: bytes) -> Optional[int]:
    """The length of the payload behind a record's first bytes; None where no record begins."""
    marker, length, _crc = _FRAME.unpack_from(frame)
    return int(length) if marker == MARKER and length else None


def is_whole(frame: bytes, payload: bytes, salt: int) -> bool:
    return bool(_FRAME.unpack_from(frame)[2] == crc32(payload, crc32(frame[4:8], salt)))


def head(value: Head) -> bytes:
    why, some = value.why.encode(), value.left_out
    numbers = _HEAD.pack(*value[:4], value.goes_on, len(why), len(value.key), len(value.end), len(some))
    lengths = b"".join(_LENGTH.pack(len(one)) for one in some)
    return b"".join((HEAD, numbers, lengths, why, value.key, value.end, *some))


def head_of(payload: bytes) -> Head:
    sequence, cluster, after, wall, goes_on, *lengths, count = _unpacked(_HEAD, payload)
    at = 1 + _HEAD.size
    if at + count * _LENGTH.size > len(payload):
        raise ValueError("a head is too short for what it leaves out")
    lengths += [_LENGTH.unpack_from(payload, at + number * _LENGTH.size)[0] for number in range(count)]
    words, key, end, *some = _texts(payload, at + count * _LENGTH.size, lengths)
    return Head(sequence, cluster, after, wall, bool(goes_on), key, end, words.decode("utf-8", "replace"), tuple(some))


def events(record: Record) -> bytes:
    parts = [EVENTS, _EVENTS.pack(record.revision, record.wall, len(record.events))]
    for deleted, kv, previous in record.events:
        parts.append(bytes((deleted * _DELETED | (previous is not None) * _WITH_PREVIOUS,)))
        parts += _key_value(kv)
        if previous is not None:
            parts += _key_value(previous)
    return b"".join(parts)


def revision_of(payload: bytes) -> Tuple[int, float]:
    """The revision and the wall time of a record of events, without reading what it holds."""
    revision, wall, _count = _unpacked(_EVENTS, payload)
    return revision, wall


def record_of(payload: bytes) -> Record:
    revision, wall, count = _unpacked(_EVENTS, payload)
    found: List[Event] = []
    at = 1 + _EVENTS.size
    try:
        for _number in range(count):
            flags = payload[at]
            kv, at = _key_value_of(payload, at + 1)
            previous = None
            if flags & _WITH_PREVIOUS:
                previous, at = _key_value_of(payload, at)
            found.append(Event(bool(flags & _DELETED), kv, previous))
    except (struct.error, IndexError):
        raise ValueError("a record ends in the middle of an event") from None
    _must_end(payload, at)
    return Record(revision, wall, found)


def lease(value: Lease) -> bytes:
    return LEASE + _LEASE.pack(*value)


def lease_of(payload: bytes) -> Lease:
    _must_end(payload, 1 + _LEASE.size)
    return Lease(*_unpacked(_LEASE, payload))


def close(value: Close) -> bytes:
    return CLOSE + _CLOSE.pack(*value)


def close_of(payload: bytes) -> Close:
    _must_end(payload, 1 + _CLOSE.size)
    return Close(*_unpacked(_CLOSE, payload))


def _key_value(kv: KeyValue) -> Tuple[bytes, bytes, bytes]:
    key, created, modified, version, value, lease_id = kv
    return _KEY_VALUE.pack(created, modified, version, lease_id, len(key), len(value)), key, value


def _key_value_of(payload: bytes, at: int) -> Tuple[KeyValue, int]:
    """The key at a place of the payload, and the place behind it."""
    created, modified, version, lease_id, key_length, value_length = _KEY_VALUE.unpack_from(payload, at)
    at += _KEY_VALUE.size
    middle = at + key_length
    until = middle + value_length
    if until > len(payload):
        raise IndexError
    return KeyValue(payload[at:middle], created, modified, version, payload[middle:until], lease_id), until


def _unpacked(shape: struct.Struct, payload: bytes) -> Tuple[Any, ...]:
    try:
        return shape.unpack_from(payload, 1)
    except struct.error:
        raise ValueError("a record is too short for what it says that it is") from None


def _texts(payload: bytes, at: int, lengths: Sequence[int]) -> List[bytes]:
    _must_end(payload, at + sum(lengths))
    found = []
    for length in lengths:
        found.append(payload[at : at + length])
        at += length
    return found


def _must_end(payload: bytes, at: int) -> None:
    if at != len(payload):
        raise ValueError("a record is longer or shorter than what it holds")
