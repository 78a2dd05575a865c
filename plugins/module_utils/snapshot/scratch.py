# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private places in a folder of snapshots: for one that is being saved, and for the plain copy of one that is compressed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from typing import Iterator, Optional

from ..core.errors import EtcdError
from ..etcd.commands import Run
from .packed import compression_of, room, unpack

PRIVATE = ".quorum-etcd-saving-"  # folders of saves that are under way
_DAY = 86400.0


@contextlib.contextmanager
def plain(path: str, run: Optional[Run] = None, scratch: str = "") -> Iterator[str]:
    """The path of the plain snapshot: ``path`` itself, or, where that is compressed, a copy that goes with the block.

    The copy is private, in a folder below ``scratch`` or beside the archive. EtcdError where it cannot be made whole.
    """
    if not compression_of(path):
        yield path
        return
    folder = scratch or os.path.dirname(os.path.abspath(path))
    make_folder(folder)
    clear_stale(folder, time.time())
    private = private_folder(folder)
    try:
        copy = os.path.join(private, "snapshot.db")
        unpack(path, copy, room(folder), run)
        yield copy
    finally:
        shutil.rmtree(private, ignore_errors=True)


def make_folder(folder: str) -> None:
    """Create the folder for snapshots, for its owner alone, where it is missing: a snapshot holds every secret of etcd."""
    try:
        if not os.path.isdir(folder):
            os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
            os.mkdir(folder, 0o700)
    except OSError as error:
        raise EtcdError(
            f"the folder {folder} cannot be created: {error.strerror}.", "check the path and its owner."
        ) from error


def private_folder(folder: str) -> str:
    try:
        return tempfile.mkdtemp(prefix=PRIVATE, dir=folder)
    except OSError as error:
        raise EtcdError(
            f"nothing can be written to {folder}: {error.strerror}.", "check its owner and mode."
        ) from error


def clear_stale(folder: str, now: float) -> None:
    """Remove what killed saves left, once it is a day old: a younger one may be under way."""
    try:
        leftovers = [found for found in os.scandir(folder) if found.name.startswith(PRIVATE)]
        stale = [found for found in leftovers if found.stat(follow_symlinks=False).st_mtime < now - _DAY]
    except OSError:
        return
    for found in stale:
        if found.is_dir(follow_symlinks=False):
            shutil.rmtree(found.path, ignore_errors=True)
        else:
            forget(found.path)


def forget(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
