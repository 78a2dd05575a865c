# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a file is a whole snapshot.

etcd's own tools do not tell (``etcdutl snapshot status`` exits 0 after a flipped byte), so the verdict here is this module's
own: the SHA-256 with which ``snapshot save`` ends a file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple, Tuple

from ..core.errors import EtcdError
from ..etcd.bolt import Bolt

SNAPSHOT, DATABASE = "snapshot", "database"
_HASH = 32  # bytes of the SHA-256 at the end of a snapshot
_SECTOR = 512  # etcd tells a snapshot with a hash by its size: 32 more than a multiple of this
_PAGE = 4096  # the least page size of a database; others are multiples of it
_CHUNK = 1 << 20


class Verdict(NamedTuple):
    """What is to be thought of a file. ``size`` is in bytes; ``sha256`` is of the whole file, trailer included.

    ``kind`` is ``snapshot`` (saved by etcd, hash verified), ``database`` (a copied ``member/snap/db``: it has no hash, so
    nothing vouches for its content) or empty. ``reason`` says in words why a file is refused.
    """

    ok: bool
    kind: str
    size: int
    sha256: str
    reason: str


def verify(path: str) -> Verdict:
    """Read the file once from end to end and say whether it is a whole snapshot. Raises nothing: a refusal is an answer."""
    size = 0
    try:
        size = _size(path)
        _check_shape(path, size)
        intact, whole = _hashes(path, size)
    except EtcdError as error:
        return Verdict(False, "", size, "", error.message)
    except OSError as error:
        return Verdict(False, "", size, "", f"{path} cannot be read: {error.strerror}.")
    if _kind(size) == SNAPSHOT and not intact:
        return Verdict(
            False, "", size, whole, f"{path} is damaged: the SHA-256 at its end does not match what stands before it."
        )
    return Verdict(True, _kind(size), size, whole, "")


def _size(path: str) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise EtcdError(f"{path} is not a regular file.")
    return status.st_size


def _kind(size: int) -> str:
    """What a file of this size can be; empty for neither."""
    if size % _SECTOR == _HASH:
        return SNAPSHOT
    return DATABASE if size and size % _PAGE == 0 else ""


def _check_shape(path: str, size: int) -> None:
    """EtcdError for everything that a few reads can tell, so that a foreign or cut file is not read to its end."""
    if path.endswith(".part"):
        raise EtcdError(f"{path} is a save that did not finish (.part).")
    if not size:
        raise EtcdError(f"{path} is empty.")
    with Bolt(path):
        pass
    if not _kind(size):
        raise EtcdError(
            f"{path} is cut off or damaged: {size} bytes are neither a snapshot with its hash nor a database."
        )


def _hashes(path: str, size: int) -> Tuple[bool, str]:
    """Whether the trailer matches the body (False for a database), and the SHA-256 of the whole file."""
    digest, left = hashlib.sha256(), size - _HASH
    with open(path, "rb") as file:
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise EtcdError(f"{path} became shorter while it was read.")
            digest.update(chunk)
            left -= len(chunk)
        trailer, before = file.read(_HASH + 1), digest.digest()
    if len(trailer) != _HASH:
        raise EtcdError(f"{path} changed its size while it was read.")
    digest.update(trailer)
    return trailer == before, digest.hexdigest()


def sha256_of(path: str) -> str:
    """The SHA-256 of a whole file, whatever it is. OSError where it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def trailer(path: str) -> str:
    """The SHA-256 with which etcd has ended a snapshot, of all that stands before it, in hex; empty where the file is none.

    It is only what the file says: whether it is true, ``verify`` and etcd's own tools find out.
    """
    size = _size(path)
    if _kind(size) != SNAPSHOT:
        return ""
    with open(path, "rb") as file:
        file.seek(size - _HASH)
        return file.read().hex()


def glance(path: str) -> Verdict:
    """What a few reads tell of the file: nothing speaks against it, or what does. It is not read to its end."""
    size = 0
    try:
        size = _size(path)
        _check_shape(path, size)
    except EtcdError as error:
        return Verdict(False, "", size, "", error.message)
    except OSError as error:
        return Verdict(False, "", size, "", f"{path} cannot be read: {error.strerror}.")
    return Verdict(True, _kind(size), size, "", "")
