# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's gRPC messages as bytes, for just those that a mirror needs: values to bytes, and bytes to values.

The numbers of the fields are those of etcd's ``rpc.proto``, ``kv.proto`` and ``auth.proto``, which no line has changed from 3.4
to 3.7; a field that is not known here is passed over. There is no protobuf library on a member's host, and generated code
would be bound to one version of it. What is parsed by the million (pages, events) is in ``records``.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple, Union

from .messages import Committed, Compare, Delete, Header, Put
from .records import Malformed, header_of, varint_at

# Compare's result EQUAL is 0; its target VERSION is 0, MOD is 2, VALUE is 3.
_EQUAL_VERSION, _EQUAL_MOD, _EQUAL_VALUE = b"", b"\x10\x02", b"\x10\x03"
_SHORT = [
    bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80, n >> 7]) for n in range(1 << 14)
]  # the varints of most lengths


class Status(NamedTuple):
    """What a member says of itself. Sizes in bytes; ``db_size_quota`` is 0 where it does not tell (before 3.6)."""

    header: Header
    version: str
    db_size: int
    leader: int
    raft_index: int
    raft_term: int
    raft_applied_index: int
    errors: Sequence[str]
    db_size_in_use: int
    is_learner: bool
    storage_version: str
    db_size_quota: int


class Lease(NamedTuple):
    """``ttl``: seconds that are left, -1 for one that is not there (any more); ``granted``: of how many in all."""

    id: int
    ttl: int
    granted: int


class Member(NamedTuple):
    id: int
    name: str
    peer_urls: Sequence[str]
    client_urls: Sequence[str]
    is_learner: bool


class Alarm(NamedTuple):
    member: int
    alarm: str


class KeyHash(NamedTuple):
    header: Header
    hash: int
    compact_revision: int


class Permission(NamedTuple):
    """What a role may do with the keys from ``key`` up to ``end`` (empty: that key alone; one zero byte: all behind it)."""

    reads: bool
    writes: bool
    key: bytes
    end: bytes


# ---- what is asked ------------------------------------------------------------------------------------------------------


def range_request(
    key: bytes,
    end: bytes = b"",
    *,
    limit: int = 0,
    revision: int = 0,
    serializable: bool = False,
    keys_only: bool = False,
    count_only: bool = False,
) -> bytes:
    flags = _number(7, serializable) + _number(8, keys_only) + _number(9, count_only)
    return _bytes(1, key) + _bytes(2, end) + _number(3, limit) + _number(4, revision) + flags


def txn_request(compares: Iterable[Compare], operations: Iterable[Union[Put, Delete]]) -> bytes:
    """A transaction that does all operations where every condition holds, and nothing else."""
    parts: List[bytes] = []
    for compare in compares:
        message = _compare(compare)
        parts += (b"\x0a", varint(len(message)), message)
    for operation in operations:
        message = _put(operation) if isinstance(operation, Put) else _delete(operation)
        tag = b"\x12" if isinstance(operation, Put) else b"\x1a"
        size = varint(len(message))
        parts += (b"\x12", varint(1 + len(size) + len(message)), tag, size, message)
    return b"".join(parts)


def _put(put: Put) -> bytes:
    key, value, lease = put
    message = b"\x0a%b%b" % (varint(len(key)), key) if key else b""
    if value:
        message += b"\x12%b%b" % (varint(len(value)), value)
    return message + b"\x18" + varint(lease) if lease else message


def _delete(delete: Delete) -> bytes:
    return _bytes(1, delete.key) + _bytes(2, delete.end)


def _compare(compare: Compare) -> bytes:
    """A field of a oneof is sent also where it is 0 or empty: etcd compares with what was sent."""
    key = _bytes(3, compare.key)
    if compare.mod_revision is not None:
        return _EQUAL_MOD + key + b"\x30" + varint(compare.mod_revision)
    if compare.value is None:
        return _EQUAL_VERSION + key + b"\x20" + varint(compare.version)
    return _EQUAL_VALUE + key + b"\x3a" + varint(len(compare.value)) + compare.value


def watch_create_request(key: bytes, end: bytes, start_revision: int, previous: bool = False) -> bytes:
    """With fragments, since what is larger than a message is refused otherwise; and with progress as etcd sees fit."""
    create = _bytes(1, key) + _bytes(2, end) + _number(3, start_revision) + _number(4, 1)
    create += _number(6, previous) + _number(8, 1)
    return _message(1, create)


def watch_progress_request() -> bytes:
    return _message(3, b"")


def lease_grant_request(ttl: int, id: int = 0) -> bytes:
    return _number(1, ttl) + _number(2, id)


def lease_id_request(id: int) -> bytes:
    """What revokes a lease, keeps it alive, and asks for its time to live."""
    return _number(1, id)


def lease_keys_request(id: int) -> bytes:
    return lease_id_request(id) + _number(2, 1)


def authenticate_request(name: str, password: str) -> bytes:
    return _bytes(1, name.encode()) + _bytes(2, password.encode())


def name_request(name: str) -> bytes:
    """What asks for a user, or a role."""
    return _bytes(1, name.encode())


def member_list_request(linearizable: bool = True) -> bytes:
    """Before 3.5 the list is always a member's own view."""
    return _number(1, linearizable)


def compact_request(revision: int) -> bytes:
    return _number(1, revision)


def hash_kv_request(revision: int = 0) -> bytes:
    return _number(1, revision)


# ---- what is answered ---------------------------------------------------------------------------------------------------


def committed(data: bytes) -> Committed:
    header, succeeded, at, size = None, False, 0, len(data)
    while at < size:
        tag, at = varint_at(data, at)
        if tag == 0x0A:
            length, at = varint_at(data, at)
            header = header_of(data[at : at + length])
            at += length
        elif tag == 0x10:
            value, at = varint_at(data, at)
            succeeded = bool(value)
        else:  # the answers to each operation, of which nobody wants any
            break
    if header is None:
        raise Malformed("a transaction's answer has no header")
    return Committed(header, succeeded)


def header(data: bytes) -> Header:
    """Of any answer: its first field."""
    return _header(_fields(data))


def token(data: bytes) -> str:
    return _text(_fields(data), 2)


def auth_status(data: bytes) -> bool:
    """Whether authentication is on."""
    return bool(_last(_fields(data), 2))


def roles(data: bytes) -> List[str]:
    """Of a user."""
    return _texts(_fields(data), 2)


def permissions(data: bytes) -> List[Permission]:
    """Of a role."""
    return [_permission(_fields(one)) for one in _messages(_fields(data), 2)]


def _permission(fields: Fields) -> Permission:
    kind = _last(fields, 1)  # READ, WRITE, READWRITE
    return Permission(kind in (0, 2), kind in (1, 2), _raw(fields, 2), _raw(fields, 3))


def lease_granted(data: bytes) -> int:
    """The ID. What went wrong comes as an error of gRPC; etcd never fills the field for it."""
    return signed(_last(_fields(data), 2))


def lease_kept(data: bytes) -> int:
    """The seconds that are left; 0 for a lease that is not there."""
    return signed(_last(_fields(data), 3))


def lease(data: bytes) -> Lease:
    fields = _fields(data)
    return Lease(*(signed(_last(fields, number)) for number in (2, 3, 4)))


def lease_keys(data: bytes) -> List[bytes]:
    return _messages(_fields(data), 5)


def leases(data: bytes) -> List[int]:
    """The IDs of all that there are."""
    return [signed(_last(_fields(one), 1)) for one in _messages(_fields(data), 2)]


def status(data: bytes) -> Status:
    fields = _fields(data)
    index, term = _last(fields, 5), _last(fields, 6)
    return Status(
        _header(fields),
        _text(fields, 2),
        _last(fields, 3),
        _last(fields, 4),
        index,
        term,
        _last(fields, 7),
        _texts(fields, 8),
        _last(fields, 9),
        bool(_last(fields, 10)),
        _text(fields, 11),
        _last(fields, 12),
    )


def members(data: bytes) -> List[Member]:
    found = [_fields(one) for one in _messages(_fields(data), 2)]
    return [Member(_last(m, 1), _text(m, 2), _texts(m, 3), _texts(m, 4), bool(_last(m, 5))) for m in found]


def alarms(data: bytes) -> List[Alarm]:
    names = {1: "NOSPACE", 2: "CORRUPT"}
    found = [_fields(one) for one in _messages(_fields(data), 2)]
    return [Alarm(_last(one, 1), names.get(_last(one, 2), str(_last(one, 2)))) for one in found if _last(one, 2)]


def key_hash(data: bytes) -> KeyHash:
    fields = _fields(data)
    return KeyHash(_header(fields), _last(fields, 2), signed(_last(fields, 3)))


# ---- protobuf -----------------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number is that of 64 bits with the same bits."""
    if 0 <= number < 1 << 14:
        return _SHORT[number]
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number: int) -> int:
    """An ``int64`` as it was, and not as the bits that it travels in."""
    return number - (1 << 64) if number >> 63 else number


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _message(field, value) if value else b""


def _message(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


Fields = Dict[int, List[Union[int, bytes]]]


def _fields(data: bytes) -> Fields:
    """The fields of a message by number, each with all its values in their order: numbers, or bytes."""
    found: Fields = {}
    for number, value in _each(data):
        found.setdefault(number, []).append(value)
    return found


def _each(data: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    at, size = 0, len(data)
    while at < size:
        tag, at = varint_at(data, at)
        kind = tag & 7
        if kind == 0:
            number, at = varint_at(data, at)
            yield tag >> 3, number
            continue
        length, at = varint_at(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, size + 1), at)
        if at + length > size:
            raise Malformed("a field ends behind its message")
        yield tag >> 3, data[at : at + length]
        at += length


def _last(fields: Fields, number: int) -> int:
    """The number in a field; 0 where it was left out."""
    value = fields.get(number, (0,))[-1]
    if not isinstance(value, int):
        raise Malformed(f"field {number} is no number")
    return value


def _messages(fields: Fields, number: int) -> List[bytes]:
    found = fields.get(number, [])
    if not all(isinstance(one, bytes) for one in found):
        raise Malformed(f"field {number} is a number")
    return [one for one in found if isinstance(one, bytes)]


def _raw(fields: Fields, number: int) -> bytes:
    found = _messages(fields, number)
    return found[-1] if found else b""


def _texts(fields: Fields, number: int) -> List[str]:
    return [one.decode("utf-8", "replace") for one in _messages(fields, number)]


def _text(fields: Fields, number: int) -> str:
    return _raw(fields, number).decode("utf-8", "replace")


def _header(fields: Fields) -> Header:
    return header_of(_raw(fields, 1))
