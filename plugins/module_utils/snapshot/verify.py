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
from typing import NamedTuple, Optional, Tuple

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


class Running:
    """The hashes of a snapshot whose bytes come one chunk after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._last = b""  # what may be the trailer

    def add(self, chunk: bytes) -> None:
        data = chunk if len(chunk) >= _HASH else self._last + chunk
        if data is chunk:
            self._digest.update(self._last)
        self._digest.update(memoryview(data)[:-_HASH])
        self._last = data[-_HASH:]

    def is_whole(self) -> bool:
        """Whether what has come so far ends with its own hash: then nothing more comes."""
        return self._last == self._digest.digest()

    def end(self) -> Tuple[bool, str]:
        """Whether the trailer matches the body (False for a database), and the SHA-256 of the whole."""
        trailer, before = self._last, self._digest.digest()
        self._digest.update(trailer)
        return trailer == before, self._digest.hexdigest()


class Read(NamedTuple):
    """What ``Running`` has seen of a file, and which file that was, in that state."""

    intact: bool
    sha256: str
    state: Tuple[int, int, int, int]


def state_of(status: os.stat_result) -> Tuple[int, int, int, int]:
    """What changes with a file's bytes, and with the file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def verify(path: str, read: Optional[Read] = None) -> Verdict:
    """Read the file once from end to end and say whether it is a whole snapshot. Raises nothing: a refusal is an answer.

    One that was ``read`` while it was written, and is the same since, is not read again.
    """
    size = 0
    try:
        size = _size(path)
        _check_shape(path, size)
        seen = read if read and read.state == state_of(os.stat(path)) else None
        intact, whole = (seen.intact, seen.sha256) if seen else _hashes(path, size)
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
    """What ``Running.end`` says of the file."""
    running, left = Running(), size
    with open(path, "rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            running.add(chunk)
            left -= len(chunk)
    if left:
        raise EtcdError(f"{path} changed its size while it was read.")
    return running.end()


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
