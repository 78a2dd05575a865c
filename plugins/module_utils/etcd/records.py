# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages and events out of etcd's bytes. There are millions of them, so their loops are written out: see ``wire`` for the rest.

A key-value is taken apart in one go as etcd writes it, its fields in the order of their numbers; any other order is right too,
and slower. Revisions of two and three bytes, up to two millions, are put together in place.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

from .messages import Event, Header, KeyValue, Page, Watched

_NO_HEADER = Header(0, 0, 0, 0)


class Malformed(ValueError):
    """Bytes that are no message of etcd's."""


class WatchAnswer(NamedTuple):
    """``watch_id`` is -1 for progress that was asked for, which belongs to no watch."""

    watch_id: int
    watched: Watched


def page(data: bytes) -> Page:
    header, more, total = _NO_HEADER, False, 0
    kvs: List[KeyValue] = []
    add, parse = kvs.append, key_value
    at, size = 0, len(data)
    try:
        while at < size:
            tag = data[at]
            at += 1
            if tag == 0x12:
                length = data[at]
                at += 1
                if length > 0x7F:
                    length, at = varint_at(data, at - 1)
                end = at + length
                add(parse(data, at, end))
                at = end
            elif tag == 0x0A:
                length, at = varint_at(data, at)
                header = header_of(data[at : at + length])
                at += length
            elif tag == 0x18:
                value, at = varint_at(data, at)
                more = bool(value)
            elif tag == 0x20:
                total, at = varint_at(data, at)
            else:
                at = _after(data, at - 1)
    except IndexError:
        raise Malformed("a page ends too early") from None
    if at != size:
        raise Malformed("a page ends too early")
    return Page(header, kvs, more, total)


def key_value(data: bytes, at: int, end: int) -> KeyValue:
    """The key-value between these places. IndexError or Malformed where there is none."""
    key = value = b""
    create = mod = version = lease = 0
    start = at
    if end > len(data):
        raise Malformed("a key ends behind its message")
    if at < end and data[at] == 0x0A:
        length = data[at + 1]
        at += 2
        if length > 0x7F:
            length, at = varint_at(data, at - 1)
        key = data[at : at + length]
        at += length
    if at < end and data[at] == 0x10:
        create = data[at + 1]
        at += 2
        if create > 0x7F:
            second = data[at]
            if second < 0x80:
                create += (second - 1) << 7
                at += 1
            elif data[at + 1] < 0x80:
                create += ((second - 1) << 7) + ((data[at + 1] - 1) << 14)
                at += 2
            else:
                create, at = varint_at(data, at - 1)
    if at < end and data[at] == 0x18:
        mod = data[at + 1]
        at += 2
        if mod > 0x7F:
            second = data[at]
            if second < 0x80:
                mod += (second - 1) << 7
                at += 1
            elif data[at + 1] < 0x80:
                mod += ((second - 1) << 7) + ((data[at + 1] - 1) << 14)
                at += 2
            else:
                mod, at = varint_at(data, at - 1)
    if at < end and data[at] == 0x20:
        version = data[at + 1]
        at += 2
        if version > 0x7F:
            version, at = varint_at(data, at - 1)
    if at < end and data[at] == 0x2A:
        length = data[at + 1]
        at += 2
        if length > 0x7F:
            length, at = varint_at(data, at - 1)
        value = data[at : at + length]
        at += length
    if at < end and data[at] == 0x30:
        lease, at = varint_at(data, at + 1)
        if lease >> 63:
            lease -= 1 << 64
    if at != end:
        return _in_any_order(data, start, end)
    return tuple.__new__(KeyValue, (key, create, mod, version, value, lease))


def _in_any_order(data: bytes, at: int, end: int) -> KeyValue:
    found = {1: b"", 5: b""}
    numbers = {2: 0, 3: 0, 4: 0, 6: 0}
    while at < end:
        tag, inside = varint_at(data, at)
        field, at = tag >> 3, _after(data, at)
        if tag & 7 == 0 and field in numbers:
            numbers[field] = varint_at(data, inside)[0]
        elif tag & 7 == 2 and field in found:
            found[field] = data[varint_at(data, inside)[1] : at]
    if at != end:
        raise Malformed("a key ends behind its message")
    lease = numbers[6] - (1 << 64) if numbers[6] >> 63 else numbers[6]
    return KeyValue(found[1], numbers[2], numbers[3], numbers[4], found[5], lease)


def watch_answer(data: bytes) -> WatchAnswer:
    header, watch_id, reason = _NO_HEADER, 0, ""
    created = canceled = fragment = False
    compacted = 0
    events: List[Event] = []
    at, size = 0, len(data)
    try:
        while at < size:
            tag, inside = varint_at(data, at)
            at = _after(data, at)
            if tag == 0x5A:
                start = varint_at(data, inside)[1]
                events.append(_event(data, start, at))
            elif tag == 0x0A:
                header = header_of(data[varint_at(data, inside)[1] : at])
            elif tag == 0x32:
                reason = data[varint_at(data, inside)[1] : at].decode("utf-8", "replace")
            elif tag in (0x10, 0x18, 0x20, 0x28, 0x38):
                number = varint_at(data, inside)[0]
                watch_id = number if tag == 0x10 else watch_id
                created = bool(number) if tag == 0x18 else created
                canceled = bool(number) if tag == 0x20 else canceled
                compacted = number if tag == 0x28 else compacted
                fragment = bool(number) if tag == 0x38 else fragment
    except IndexError:
        raise Malformed("a watch's answer ends too early") from None
    if at != size:
        raise Malformed("a watch's answer ends too early")
    if watch_id >> 63:
        watch_id -= 1 << 64
    return WatchAnswer(watch_id, Watched(header, created, canceled, compacted, reason, fragment, events))


def _event(data: bytes, at: int, end: int) -> Event:
    deleted, kv, previous = False, None, None
    while at < end:
        tag = data[at]
        if tag == 0x08:
            deleted = data[at + 1] == 1
            at += 2
        elif tag == 0x12:
            length, at = varint_at(data, at + 1)
            kv = key_value(data, at, at + length)
            at += length
        elif tag == 0x1A:
            length, at = varint_at(data, at + 1)
            previous = key_value(data, at, at + length)
            at += length
        else:
            at = _after(data, at)
    if kv is None or at != end:
        raise Malformed("an event has no key")
    return tuple.__new__(Event, (deleted, kv, previous))


def header_of(data: bytes) -> Header:
    """A ``ResponseHeader``. Its numbers are all below 2**64, as IDs are, or never negative."""
    found = [0, 0, 0, 0, 0]
    at, size = 0, len(data)
    while at < size:
        tag, inside = varint_at(data, at)
        at = _after(data, at)
        if tag & 7 == 0 and tag >> 3 < 5:
            found[tag >> 3] = varint_at(data, inside)[0]
    if at != size:
        raise Malformed("a header ends too early")
    return Header(*found[1:])


def varint_at(data: bytes, at: int) -> Tuple[int, int]:
    """The number at this place, and where it ends."""
    byte = data[at] if at < len(data) else 0x80
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    for place in range(at + 1, min(at + 10, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise Malformed("a number does not end")


def _after(data: bytes, at: int) -> int:
    """Where the field at this place ends; perhaps behind the message."""
    tag, at = varint_at(data, at)
    kind = tag & 7
    if kind == 0:
        return varint_at(data, at)[1]
    if kind == 2:
        length, at = varint_at(data, at)
        return at + length
    if kind in (1, 5):
        return at + (8 if kind == 1 else 4)
    raise Malformed(f"a field is of kind {kind}")
