# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The segment of the mirror's log that is written: record after record, each wholly or not at all."""

from __future__ import annotations

import errno
import hashlib
import os

from ..core.errors import EtcdError
from ..core.text import printable
from ..core.trees import sync_folder
from . import segment_format as form
from .segment_files import Damaged, SegmentFile, cannot, name_of
from .segment_format import Close, Head, Lease, Record

_LONGEST = 0xFFFFFFFF  # bytes of a record


class Full(EtcdError):
    """The disk is full. What was appended before is there; the same can be appended again when there is room."""


class Written:
    """``size`` bytes are in it, and are whole; it is known up to ``revision``. ``cut``: what its last writer had not ended."""

    def __init__(self, descriptor: int, path: str, salt: int, head: Head) -> None:
        self._descriptor, self.path, self._salt, self.head = descriptor, path, salt, head
        self.size, self._records, self.revision, self._wall = 0, 0, head.after, head.wall
        self._hash = hashlib.sha256()
        self._broken = ""
        self.is_empty = True
        self.cut = ""

    def add(self, record: Record) -> None:
        self._put(form.events(record))
        self.revision, self._wall, self._records = record.revision, record.wall, self._records + 1

    def add_lease(self, lease: Lease) -> None:
        self._put(form.lease(lease))

    def end(self, sync: bool) -> Close:
        """Close it, so that another one can follow."""
        close = Close(self.revision, self._wall, self._records, self._hash.digest())
        self._put(form.close(close))
        if sync:
            self.sync()
        self.shut()
        return close

    def shut(self) -> None:
        os.close(self._descriptor)

    def sync(self) -> None:
        self._refuse_broken()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            # What the kernel could not write it may have dropped: a second try would succeed and mean nothing.
            self._broken = f"it could not be brought to the disk: {error.strerror}"
            raise _told(self.path, error) from error

    def _put(self, payload: bytes) -> None:
        """Add a record; where that fails, nothing of it is left."""
        self._refuse_broken()
        if len(payload) > _LONGEST:
            raise EtcdError("one revision of the source changed more than a record of the log can hold (4 GiB).")
        try:
            self.raw(form.framed(payload, self._salt))
            self.is_empty = False
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self.size)
            except OSError as second:
                self._broken = f"what was half written could not be taken back: {second.strerror}"
            raise _told(self.path, error) from error

    def raw(self, data: bytes) -> None:
        """Write all of it behind what is there; OSError where not all of it could be."""
        view, at = memoryview(data), self.size
        while view:
            count = os.pwrite(self._descriptor, view, at)
            view, at = view[count:], at + count
        self.size = at
        self._hash.update(data)

    def _refuse_broken(self) -> None:
        if self._broken:
            raise EtcdError(
                f"the log in {printable(self.path)} is not written any more: {self._broken}.", "see its disk."
            )

    def gone_on_with(self, records: int, revision: int, wall: float, size: int) -> None:
        """So much is in it already."""
        while self.size < size:
            chunk = os.pread(self._descriptor, min(1 << 20, size - self.size), self.size)
            self._hash.update(chunk)
            self.size += len(chunk)
        self._records, self.revision, self._wall = records, revision, wall
        self.is_empty = not records
        os.ftruncate(self._descriptor, size)


def begun(folder: str, head: Head, sync: bool) -> Written:
    """A new segment; where that fails, none is left."""
    path = os.path.join(folder, name_of(head.sequence))
    salt = int.from_bytes(os.urandom(4), "big")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _told(path, error) from error
    made = Written(descriptor, path, salt, head)
    try:
        made.raw(form.start(salt) + form.framed(form.head(head), salt))
        if sync:
            os.fsync(descriptor)
            sync_folder(folder)
    except OSError as error:
        made.shut()
        os.unlink(path)
        raise _told(path, error) from error
    return made


def resumed(folder: str, sequence: int) -> Written:
    """The open segment that a writer has left, without its torn end. Damaged where it is not what was written."""
    with SegmentFile(folder, sequence) as opened:
        if opened.head is None:
            raise Damaged(opened.path, 0, "it has no head")
        at, records, revision, wall = opened.first, 0, opened.head.after, opened.head.wall
        for place, frame in opened.frames():
            at = frame.after
            if frame.kind == form.EVENTS:
                revision, wall = opened.understood(form.revision_of, frame.payload, place)
                records += 1
        torn = opened.size() - at if opened.check_end(at) else 0
        made = Written(
            os.open(opened.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), opened.path, opened.salt, opened.head
        )
    try:
        made.gone_on_with(records, revision, wall, at)
    except OSError as error:
        made.shut()
        raise _told(opened.path, error) from error
    made.cut = f"{opened.path} had {torn:,} bytes of a record that its writer did not end" if torn else ""
    return made


def _told(path: str, error: OSError) -> EtcdError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Full(
            f"the disk of the log is full: {printable(path)} cannot be longer. What was logged before is there.",
            "make room on that disk; the mirror goes on by itself.",
        )
    return cannot("written", path, error)
