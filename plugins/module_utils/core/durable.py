# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small files that survive a power failure: replaced as a whole or not at all, or longer by a line. OSError where not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from typing import Callable, Iterator

from .trees import sync_folder


def _as_made(_descriptor: int) -> None:
    """For its owner alone."""


def for_all(descriptor: int) -> None:
    """To be read by everybody."""
    os.fchmod(descriptor, 0o644)


def put(
    path: str, content: bytes, prefix: str = ".", suffix: str = ".new", prepare: Callable[[int], None] = _as_made
) -> None:
    """Put a file in its place by a rename; on the disk when this returns. Until then it is a private one beside, of such a name.

    ``prepare`` gives the open file its owner and mode: without it is for its owner alone.
    """
    folder = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            prepare(stream.fileno())
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def add_line(path: str, line: str) -> None:
    """Add a line to a file of its owner's alone, which is made where it is missing; on the disk when this returns.

    The newline in front ends a line that a power failure cut off, which would else swallow this one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(os.path.dirname(path))


@contextlib.contextmanager
def alone(folder: str, wait: bool = True) -> Iterator[None]:
    """For the block, no other process that asks for the same is at work in the folder.

    BlockingIOError where one is, and it is not waited for.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
