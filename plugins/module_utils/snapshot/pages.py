# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Increments: what changed from one snapshot to the next, in pages, and the next one put together from them.

etcd's database is a file of pages, and a snapshot is that file. From one half hour to the next few pages change, at their old
offsets, so that they say all. The format is in docs/offsite-format.md. To make an increment the base is not needed, only a hash
of each of its pages. Everything streams: memory is bounded, whatever the size.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, Iterator, NamedTuple, Sequence, Tuple

from ..core import strict_json
from ..core.errors import Damaged, EtcdError
from ..core.values import Misfit, from_plain, to_plain

FORMAT = 1
PAGE = 4096  # bytes that are compared at a time: the least page that bbolt has
HASH = 16  # bytes of a page's hash
_CHUNK = 256 * PAGE
_RECORD = struct.Struct(">QI")  # offset and length
_LONGEST_HEADER = 4096
_ANOTHER = "take it from another store, or choose another snapshot."


@dataclass(frozen=True)
class Header:
    """The first line of an increment: the SHA-256 of the base and of the result, and the bytes of the result."""

    format: int
    base: str
    sha256: str
    size: int


class Compared(NamedTuple):
    """What was seen of a file: its SHA-256, its bytes, and how many of them stand in changed pages."""

    sha256: str
    size: int
    changed: int


def compare(path: str, base: BinaryIO, hashes: BinaryIO, increment: BinaryIO, most: int) -> Compared:
    """Read the file once: write the hashes of its pages to ``hashes``, and a record of each page that differs to ``increment``.

    ``base`` are such hashes of another file, none where there was none. Of more than ``most`` changed bytes no records are
    written any more: what is in ``increment`` is worthless then.
    """
    whole, at, changed = hashlib.sha256(), 0, 0
    with open(path, "rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                return Compared(whole.hexdigest(), at, changed)
            whole.update(chunk)
            own = [_hash(chunk[start : start + PAGE]) for start in range(0, len(chunk), PAGE)]
            hashes.write(b"".join(own))
            before = base.read(HASH * len(own))
            for first, end in _runs(own, before):
                part = chunk[first * PAGE : end * PAGE]
                changed += len(part)
                if changed <= most:
                    increment.write(_RECORD.pack(at + first * PAGE, len(part)) + part)
            at += len(chunk)


def _hash(page: bytes) -> bytes:
    return hashlib.blake2b(page, digest_size=HASH).digest()


def _runs(own: Sequence[bytes], before: bytes) -> Iterator[Tuple[int, int]]:
    """The runs of pages whose hashes differ, each as its first page and the one behind its last."""
    first = -1
    for page, digest in enumerate(own):
        differs = before[page * HASH : (page + 1) * HASH] != digest
        if differs and first < 0:
            first = page
        elif not differs and first >= 0:
            yield first, page
            first = -1
    if first >= 0:
        yield first, len(own)


def header_line(header: Header) -> bytes:
    return json.dumps(to_plain(header)).encode() + b"\n"


def apply(increment: str, path: str, expected: Header) -> None:
    """Make the result of the file at ``path``, which is the base, in its place. ``expected`` is what the manifests say.

    EtcdError for an increment that is not what it should be; the file is worth nothing then. That the result is right, only
    ``prove`` can tell.
    """
    with open(increment, "rb") as source, open(path, "r+b") as target:
        _check_header(source.readline(_LONGEST_HEADER), increment, expected)
        done = 0
        while True:
            record = source.read(_RECORD.size)
            if not record:
                break
            if len(record) < _RECORD.size:
                raise _damaged(increment, "it is cut off")
            offset, length = _RECORD.unpack(record)
            # In order and without overlap: so it writes no byte twice, and ends.
            if offset < done or not length or offset + length > expected.size:
                raise _damaged(increment, f"{length} bytes at {offset} are out of order, or beyond the end")
            target.seek(offset)
            _copy(source, target, length, increment)
            done = offset + length
        target.truncate(expected.size)


def _check_header(line: bytes, increment: str, expected: Header) -> None:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("its first line has no end")
        header = from_plain(Header, strict_json.parse(line.decode("utf-8"), _LONGEST_HEADER))
    except (ValueError, Misfit) as error:
        raise _damaged(increment, str(error)) from error
    if header.format != FORMAT:
        raise EtcdError(f"{increment} is of format {header.format}, and this knows {FORMAT}.", "update the collection.")
    if header != expected:
        raise _damaged(increment, "its first line is not what the manifests say of it and of its base")


def _copy(source: BinaryIO, target: BinaryIO, length: int, increment: str) -> None:
    while length:
        part = source.read(min(_CHUNK, length))
        if not part:
            raise _damaged(increment, "it is cut off")
        target.write(part)
        length -= len(part)


def prove(path: str, sha256: str) -> None:
    """EtcdError where the file is not the one with this SHA-256."""
    digest = sha256_of(path)
    if digest != sha256:
        raise Damaged(
            f"what was put together in {path} is not the snapshot: its SHA-256 is {digest}, and should be {sha256}.",
            _ANOTHER,
        )


def sha256_of(path: str) -> str:
    return digest_by("sha256", path)


def digest_by(kind: str, path: str) -> str:
    """The hash of a file by one of Python's algorithms. ValueError for one that this host has forbidden, as some have md5."""
    with open(path, "rb") as file:
        return digest_of(file, kind)


def digest_of(file: BinaryIO, kind: str = "sha256") -> str:
    """The hash of an open file."""
    digest = hashlib.new(kind)
    while True:
        chunk = file.read(_CHUNK)
        if not chunk:
            return digest.hexdigest()
        digest.update(chunk)


def _damaged(increment: str, why: str) -> Damaged:
    return Damaged(f"the increment {os.path.basename(increment)} is damaged: {why}.", _ANOTHER)
