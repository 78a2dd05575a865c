# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may enter the cluster that a database makes: etcd's own users, as its buckets ``auth`` and ``authUsers`` keep them.

A user is authpb's message ``User``: 1 name, 2 password (a bcrypt hash, which is never read), 3 roles, 4 options.
"""

from __future__ import annotations

from itertools import islice
from typing import Dict, Iterator, Optional, Tuple

from ..core.errors import EtcdError
from .bolt import Bolt

ROOT = "root"
_ROLES = 3
_LARGEST = 1 << 14  # bytes of a user: a hash and the names of the roles
_MOST = 1000  # users that are read; where there are more, nobody is told to be missing


def auth_enabled(bolt: Bolt) -> bool:
    return bolt.get(b"auth", b"authEnabled", 1) == b"\x01"


def open_to_all(path: str) -> bool:
    """Turn authentication off in the database at ``path``, of a copy that nobody else can reach; whether it was on.

    It is one byte of a page, and pages have no checksum. Nobody is asked for a password to look into a copy then, which may be
    another one by now than when the snapshot was taken.
    """
    with Bolt(path) as bolt:
        place = bolt.place(b"auth", b"authEnabled") if auth_enabled(bolt) else None
    if place is None:
        return False
    with open(path, "r+b") as file:
        file.seek(place[0])
        file.write(b"\x00")
    return True


def users_of(bolt: Bolt) -> Optional[Dict[str, bool]]:
    """Each user by name, and whether the role root is theirs; None where there are too many to tell."""
    entries = list(islice(bolt.items(b"authUsers", _LARGEST), _MOST + 1))
    if len(entries) > _MOST:
        return None
    return {name.decode(errors="replace"): ROOT.encode() in _roles(bolt.path, value) for name, value in entries}


def _roles(path: str, message: bytes) -> Tuple[bytes, ...]:
    return tuple(value for number, value in _fields(path, message) if number == _ROLES)


def _fields(path: str, message: bytes) -> Iterator[Tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message; all of a user's are of that kind."""
    at = 0
    while at < len(message):
        tag, at = _varint(path, message, at)
        size, at = _varint(path, message, at)
        if tag & 7 != 2 or at + size > len(message):
            raise EtcdError(f"{path}: an entry of its users cannot be read.", "use another snapshot.")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(path: str, message: bytes, at: int) -> Tuple[int, int]:
    """The number at ``at``, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise EtcdError(f"{path}: an entry of its users cannot be read.", "use another snapshot.")
