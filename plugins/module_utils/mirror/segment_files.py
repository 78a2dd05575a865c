# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of the mirror's log in its folder, read: one segment after the other, record after record.

What is not whole is either the end that a killed writer left, which is no part of the log, or damage. A record that is whole
behind it tells: then something was written after it, and it was whole once.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ..core.errors import EtcdError
from ..core.text import printable
from . import segment_format as form
from .segment_format import Close, Head

_NAME = re.compile(r"([0-9]{12})\.log")
_CHUNK = 1 << 18
NEXT = "set the folder aside and start the mirror again: it compares by keys, and begins a new log."


class Damaged(EtcdError):
    """A file of the log is not what was written."""

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"the log is damaged: {printable(path)}, at byte {offset:,}: {why}.", NEXT)


class Frame(NamedTuple):
    """A record that is whole: its kind, its payload with the kind, and where the next one begins."""

    kind: bytes
    payload: bytes
    after: int


def name_of(sequence: int) -> str:
    return f"{sequence:012}.log"


def sequences(folder: str) -> List[int]:
    """The numbers of the segments in a folder, the oldest first; none where there is no folder."""
    try:
        found = [_NAME.fullmatch(name) for name in os.listdir(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot("read", folder, error) from error
    return sorted(int(one[1]) for one in found if one)


def cannot(do: str, path: str, error: OSError) -> EtcdError:
    return EtcdError(
        f"the log in {printable(path)} cannot be {do}: {error.strerror}.",
        "check the disk, the folder's owner and its mode.",
    )


class SegmentFile:
    """One segment, open for reading; the writer may be at work in it. A context manager."""

    def __init__(self, folder: str, sequence: int) -> None:
        """FileNotFoundError where it is gone. ``head`` is None for one that is not yet, or not wholly, begun."""
        self.path = os.path.join(folder, name_of(sequence))
        self.sequence = sequence
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._buffer, self._buffer_at = b"", 0
        self._salt = 0
        self.head: Optional[Head] = None
        self.first = 0  # where the first record behind the head begins
        try:
            self._begin()
        except BaseException:
            self.shut()
            raise

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.shut()

    def shut(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def salt(self) -> int:
        return self._salt

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def is_begun(self) -> bool:
        """Whether the head is there by now."""
        if self.head is None:
            self._begin()
        return self.head is not None

    def frame(self, offset: int) -> Optional[Frame]:
        """The record at a place; None where there is none that is whole."""
        begin = self._bytes(offset, form.FRAME_SIZE)
        length = form.length_of(begin) if len(begin) == form.FRAME_SIZE else None
        if length is None or offset + form.FRAME_SIZE + length > self.size():
            return None
        payload = self._bytes(offset + form.FRAME_SIZE, length)
        if len(payload) != length or not form.is_whole(begin, payload, self._salt):
            return None
        return Frame(payload[:1], payload, offset + form.FRAME_SIZE + length)

    def frames(self, offset: int = 0) -> Iterator[Tuple[int, Frame]]:
        """Each record from a place on (the first behind the head), with its place, as far as they are whole."""
        at = offset or self.first
        frame = self.frame(at)
        while frame:
            yield at, frame
            at = frame.after
            frame = self.frame(at)

    def check_end(self, offset: int) -> bool:
        """Whether a record begins at the place that is not whole, since its writer is at work or was killed. Damaged where
        that is not how it came: something that is whole follows.
        """
        if self.size() <= offset:
            return False
        at = self._whole_after(offset + 1)
        # The writer may have ended it meanwhile, and begun the next one.
        self._buffer = b""
        if at and not self.frame(offset):
            raise Damaged(self.path, offset, f"a record is not whole there, and what follows at byte {at:,} is")
        return True

    def close_record(self) -> Optional[Close]:
        """How the segment ends; None where it was not closed."""
        frame = self.frame(self.size() - form.CLOSE_SIZE) if self.size() >= form.CLOSE_SIZE + self.first else None
        return self.understood(form.close_of, frame.payload, 0) if frame and frame.kind == form.CLOSE else None

    def check_hash(self, close: Close) -> None:
        """Damaged where its bytes have another SHA-256 than it was closed with, or it has no end of its own."""
        left, at, found = self.size() - form.CLOSE_SIZE, 0, hashlib.sha256()
        while left > at:
            chunk = os.pread(self._descriptor, min(_CHUNK, left - at), at)
            if not chunk:
                break
            found.update(chunk)
            at += len(chunk)
        if found.digest() != close.sha256:
            self._name_damage()
            raise Damaged(self.path, 0, "its SHA-256 is not the one that it was closed with")

    def understood(self, reading, payload: bytes, offset: int):  # type: ignore[no-untyped-def]
        """What ``reading`` makes of a payload; Damaged where it is whole and still makes no sense."""
        try:
            return reading(payload)
        except ValueError as error:
            raise Damaged(self.path, offset, str(error)) from error

    def _name_damage(self) -> None:
        """Damaged at the first record that is not whole."""
        at = self.first
        for _place, frame in self.frames():
            at = frame.after
        if at != self.size():
            raise Damaged(self.path, at, "a record is not whole there")

    def _begin(self) -> None:
        self._buffer = b""
        data = self._bytes(0, form.START_SIZE)
        if len(data) < form.START_SIZE:
            return
        try:
            self._salt = form.salt_of(data)
        except ValueError as error:
            raise Damaged(self.path, 0, str(error)) from error
        frame = self.frame(form.START_SIZE)
        if frame is None:
            self.check_end(form.START_SIZE)
            return
        if frame.kind != form.HEAD:
            raise Damaged(self.path, form.START_SIZE, "it does not begin with a head")
        self.head = self.understood(form.head_of, frame.payload, form.START_SIZE)
        self.first = frame.after
        if self.head is not None and self.head.sequence != self.sequence:
            raise Damaged(self.path, form.START_SIZE, f"it is segment {self.head.sequence} by its head")

    def _whole_after(self, offset: int) -> int:
        """Where the first record that is whole begins from a place on; 0 where there is none."""
        at, size = offset, self.size()
        while at < size:
            chunk = os.pread(self._descriptor, _CHUNK, at)
            found = chunk.find(form.MARKER)
            while found >= 0:
                if self.frame(at + found):
                    return at + found
                found = chunk.find(form.MARKER, found + 1)
            if len(chunk) < len(form.MARKER):
                break
            at += len(chunk) - len(form.MARKER) + 1
        return 0

    def _bytes(self, offset: int, count: int) -> bytes:
        """So many bytes at a place, fewer at the end of the file; what is read ahead is kept."""
        begin = offset - self._buffer_at
        if begin < 0 or begin + count > len(self._buffer):
            self._buffer = self._read(offset, max(count, _CHUNK))
            self._buffer_at, begin = offset, 0
        return self._buffer[begin : begin + count]

    def _read(self, offset: int, count: int) -> bytes:
        try:
            parts, at = [], offset
            while at < offset + count:
                part = os.pread(self._descriptor, offset + count - at, at)
                if not part:
                    break
                parts.append(part)
                at += len(part)
        except OSError as error:
            raise cannot("read", self.path, error) from error
        return b"".join(parts)
