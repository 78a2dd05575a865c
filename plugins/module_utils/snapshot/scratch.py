# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private places in a folder of snapshots: for one that is being saved, and for the plain copy of one that is compressed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import time
from typing import Iterator, List, Optional

from ..core.errors import EtcdError
from ..etcd.commands import Run
from .packed import compression_of, room, unpack

PRIVATE = ".quorum-etcd-saving-"  # folders of saves that are under way
UNPACKED = ".quorum-etcd-unpacked-"  # folders of plain copies
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
    with private_folder(folder, UNPACKED) as private:
        copy = os.path.join(private, "snapshot.db")
        unpack(path, copy, room(folder), run)
        yield copy


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


@contextlib.contextmanager
def private_folder(folder: str, prefix: str = PRIVATE) -> Iterator[str]:
    """The path of a new folder inside of ``folder``, for its owner alone, that goes with the block.

    The path leads through a descriptor, so that it stays the same folder for us and for etcd's tools: where others may
    write in ``folder``, one of them could put another in its place, with links to what only root may write.
    """
    # Its name is known before it is there: being told to end between the two leaves nothing.
    made, descriptor = os.path.join(folder, prefix + secrets.token_hex(8)), -1
    try:
        try:
            os.mkdir(made, 0o700)
            descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise EtcdError(
                f"nothing can be written to {folder}: {error.strerror}.", "check its owner and mode."
            ) from error
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise EtcdError(f"somebody else has replaced {made}.", f"see who may write in {folder}.")
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        shutil.rmtree(made, ignore_errors=True)


def clear_stale(folder: str, now: float) -> None:
    """Remove the plain copies that were left by what was killed, once they are a day old: a younger one may be under way."""
    for path in leftovers(folder, UNPACKED, now - _DAY):
        forget_all(path)


def leftovers(folder: str, prefix: str, before: float = float("inf")) -> List[str]:
    """The paths in ``folder`` of what was last changed before that time, in seconds since the epoch."""
    try:
        found = [one for one in os.scandir(folder) if one.name.startswith(prefix)]
        return [one.path for one in found if one.stat(follow_symlinks=False).st_mtime < before]
    except OSError:
        return []


def forget_all(path: str) -> None:
    """Remove a file, or a folder with all that is in it, as far as that can be."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        forget(path)


def forget(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
