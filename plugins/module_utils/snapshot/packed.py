# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compressed snapshots: a file packed by gzip or zstd, as the plain file that everything else works with.

gzip is Python's own. zstd is the module that some Pythons have, else the program of that name. An archive may unpack to
anything: it is given at most a share of the free disk, so that no bomb fills the disk of a running member. What Python
unpacks is looked at once its first pages are there: what is no database ends then, and one that says its size gets no more.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import os
import resource
import shutil
import signal
import zlib
from typing import BinaryIO, Callable, Iterator, Optional, cast

from ..core.errors import EtcdError
from ..etcd.bolt import size_by_head
from ..etcd.commands import Run

GZIP, ZSTD = "gzip", "zstd"
_MAGIC = {b"\x1f\x8b": GZIP, b"\x28\xb5\x2f\xfd": ZSTD}  # no database begins like that: its first page has the number 0
_ZSTD_MODULES = ("compression.zstd", "backports.zstd", "zstandard")  # each has open(path, mode)
_CHUNK = 1 << 20
Opener = Callable[[str, str], BinaryIO]  # by path and mode
_GROWTH = 1 << 30  # bytes by which bbolt makes a file larger in advance; smaller ones to twice their size
_ENOUGH = (
    2 << 16
)  # bytes that hold both meta pages of a database, whatever its pages' size; fewer may end in the middle


def compression_of(path: str) -> str:
    """``gzip`` or ``zstd`` by the file's first bytes; empty for what is not compressed, or cannot be read."""
    with contextlib.suppress(OSError):
        with open(path, "rb") as file:
            head = file.read(4)
        return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    return ""


def room(folder: str) -> int:
    """Bytes that may be unpacked into ``folder``: half of what is free."""
    return shutil.disk_usage(folder).free // 2


def unpack(path: str, to: str, limit: int, run: Optional[Run] = None) -> None:
    """Unpack ``path`` to the new file ``to``, for its owner alone. EtcdError, and no file, where that cannot be done whole.

    ``limit`` is in bytes. ``run`` is for zstd where this Python cannot unpack it.
    """
    compression = compression_of(path)
    opener = _opener(compression)
    try:
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if opener is not None:
            _stream(opener, path, to, limit)
        else:
            _by_program(path, to, limit, run)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(to)
        if isinstance(error, OSError) and error.errno:
            raise EtcdError(
                f"{path} could not be unpacked to {to}: {error.strerror}.", "make room, or unpack it."
            ) from error
        raise


def _opener(compression: str) -> Optional[Opener]:
    if compression == GZIP:
        return cast(Opener, gzip.open)
    for name in _ZSTD_MODULES:
        with contextlib.suppress(ImportError):
            return cast(Opener, importlib.import_module(name).open)
    return None


def _stream(opener: Opener, path: str, to: str, limit: int) -> None:
    done = 0
    with open(to, "wb") as plain, opener(path, "rb") as packed:
        while True:
            chunk = _read(packed, path)
            if not chunk:
                break
            if not done:
                limit = _limit_by_head(chunk, path, limit)
            done += len(chunk)
            if done > limit:
                raise _too_large(path, limit)
            plain.write(chunk)


def _limit_by_head(head: bytes, path: str, limit: int) -> int:
    """The bytes that the archive may unpack to, by the database that its first chunk begins.

    EtcdError where that is none, or there is no room for one of this size: said before it is unpacked.
    """
    size = size_by_head(head)
    if size is None and len(head) < _ENOUGH:
        return limit
    if size is None:
        raise EtcdError(f"{path} holds no snapshot: what is packed in it is not a bbolt file.")
    if size > limit:
        raise EtcdError(
            f"{path} unpacks to {size:,} bytes: that is more than {limit:,} bytes, half of what is free there.",
            "make room, or unpack it elsewhere.",
        )
    return min(limit, size + max(size, _GROWTH))


def _read(packed: BinaryIO, path: str) -> bytes:
    try:
        return packed.read(_CHUNK)
    except EOFError as error:
        raise EtcdError(f"{path} is cut off: the archive ends too early.") from error
    except (OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise _damaged(path, str(error)) from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":  # each of the modules has its own class of this name
            raise
        raise _damaged(path, str(error)) from error


def _by_program(path: str, to: str, limit: int, run: Optional[Run]) -> None:
    missing = EtcdError(
        f"{path} is packed by zstd, and there is no zstd here to unpack it.",
        "install zstd on this host; or unpack the file elsewhere, or copy it to the controller if that has zstd, and name it.",
    )
    if run is None:
        raise missing
    try:
        with _file_size_limit(limit):
            result = run(["zstd", "-d", "-q", "-f", "-o", to, "--", path], {})
    except FileNotFoundError as error:
        raise missing from error
    if result.rc == -signal.SIGXFSZ or "File too large" in result.err:
        raise _too_large(path, limit)
    if result.rc:
        said = result.err.strip().splitlines()
        raise _damaged(path, said[-1] if said else f"zstd ended with {result.rc}")
    os.chmod(to, 0o600)  # zstd gives it the archive's mode; until now the folder has kept it private


@contextlib.contextmanager
def _file_size_limit(limit: int) -> Iterator[None]:
    """No file that this process and its children write may become larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    now = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (now, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _damaged(path: str, words: str) -> EtcdError:
    return EtcdError(f"{path} is damaged and cannot be unpacked: {words}.")


def _too_large(path: str, limit: int) -> EtcdError:
    return EtcdError(
        f"{path} unpacks to more than {limit:,} bytes, which is more than half of what is free there, or than it says.",
        "make room, or unpack it elsewhere.",
    )
