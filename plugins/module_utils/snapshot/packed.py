# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compressed files: one packed by gzip, xz or zstd, as the plain file that everything else works with, and back.

gzip and xz are Python's own. zstd is the module that some Pythons have, else the program of that name. An archive may unpack
to anything: it is given at most a share of the free disk, so that no bomb fills the disk of a running member. What Python
unpacks is looked at once its first pages are there: what is no database ends then, and one that says its size gets no more.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import io
import os
import re
import resource
import shutil
import signal
import zlib
from typing import Any, BinaryIO, Callable, Iterator, Optional, Sequence, cast

from ..core.errors import Damaged, EtcdError
from ..core.pipes import drawn, fed
from ..core.trees import sync
from ..etcd.bolt import size_by_head
from ..etcd.commands import Result, Run

GZIP, XZ, ZSTD = "gzip", "xz", "zstd"
SUFFIXES = {GZIP: ".gz", XZ: ".xz", ZSTD: ".zst"}
# No database begins like these: its first page has the number 0.
AUTO, NONE = "auto", "none"
CHOICES = (AUTO, ZSTD, GZIP, NONE)  # of etcd_backup_compress
_MAGIC = {b"\x1f\x8b": GZIP, b"\xfd7zXZ\x00": XZ, b"\x28\xb5\x2f\xfd": ZSTD}
_ZSTD_MODULES = ("compression.zstd", "backports.zstd", "zstandard")  # each has open(path, mode)
_CHUNK = 1 << 20
_XZ_MEMORY = 128 << 20  # bytes that unpacking may take, as much as zstd allows itself: an archive can ask for gigabytes
_XZ_DICTIONARY = 4 << 20  # bytes; packing takes some twelve times as much
_GZIP_LEVEL = 6
# zstd's words for what the host cannot do, whatever is in the archive: its disk and its memory.
_HOSTS = re.compile(
    r"Write error|skip error|Failed creating|Allocation error|[Cc]annot allocate|not enough memory|No space left"
    r"|Disk quota exceeded|Input/output error|Permission denied|Read-only file system|Too many open files|Stale file handle"
)
_MISSING = 127  # how the shell ends where there is no such program
_ANOTHER = "use another one, and check the disk."
_GROWTH = 1 << 30  # bytes by which bbolt makes a file larger in advance; smaller ones to twice their size
_ENOUGH = (
    2 << 16
)  # bytes that hold both meta pages of a database, whatever its pages' size; fewer may end in the middle


def compression_of(path: str) -> str:
    """``gzip``, ``xz`` or ``zstd`` by the file's first bytes; empty for what is not compressed, or cannot be read."""
    with contextlib.suppress(OSError):
        with open(path, "rb") as file:
            head = file.read(max(map(len, _MAGIC)))
        return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    return ""


def room(folder: str) -> int:
    """Bytes that may be unpacked into ``folder``: half of what is free."""
    return shutil.disk_usage(folder).free // 2


def can_pack(compression: str, run: Optional[Run] = None) -> bool:
    """Whether this host can write archives of this kind; ``run`` is for the program zstd."""
    if compression == GZIP:
        return True
    if _module(compression) is not None:
        return True
    try:
        return compression == ZSTD and run is not None and run(["zstd", "--version"], {}).rc == 0
    except FileNotFoundError:
        return False


def compression_for(wanted: str, run: Run) -> str:
    """How this host compresses where ``wanted`` is ``auto``, ``zstd``, ``gzip`` or ``none``; empty for not at all.

    EtcdError for what is none of these, or cannot be done here.
    """
    if wanted not in CHOICES:
        raise EtcdError(f"there is no compression {wanted!r}.", f"choose one of {', '.join(CHOICES)}.")
    if wanted == AUTO:
        return ZSTD if can_pack(ZSTD, run) else GZIP
    if wanted == ZSTD and not can_pack(ZSTD, run):
        raise EtcdError("there is no zstd here to compress with.", "install zstd on this host, or choose auto or gzip.")
    return "" if wanted == NONE else wanted


def plain_sha256(path: str, run: Optional[Run] = None) -> str:
    """The SHA-256 of what an archive holds, read as a stream: nothing is written. EtcdError where it cannot be read whole."""
    packed = _open(compression_of(path), path, "rb")
    if packed is None:
        return _sha256_by_program(path, run)
    digest = hashlib.sha256()
    with packed:
        for chunk in iter(lambda: _read(packed, path), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _sha256_by_program(path: str, run: Optional[Run]) -> str:
    if run is None:
        raise _no_zstd_for(path)
    with drawn(
        _without_more(run), lambda pipe: ["sh", "-c", 'exec zstd -dcq -- "$1" > "$2"', "sh", path, pipe]
    ) as piped:
        digest = hashlib.sha256()
        for chunk in iter(lambda: piped.stream.read(_CHUNK), b""):
            digest.update(chunk)
    _check_unpacked(piped.result, path, f"{path} could not be read")
    return digest.hexdigest()


@contextlib.contextmanager
def _program_that_packs(to: str, run: Optional[Run]) -> Iterator[BinaryIO]:
    if run is None:
        raise EtcdError(f"there is no zstd here to pack {to}.", "install zstd on this host, or choose gzip.")
    with fed(_without_more(run), lambda pipe: ["sh", "-c", 'exec zstd -cq < "$1" > "$2"', "sh", pipe, to]) as piped:
        yield piped.stream
    if piped.result.rc or piped.cut_off:
        raise EtcdError(f"{to} could not be packed: {_last_words(piped.result)}.", "make room.")


def _without_more(run: Run) -> Callable[[Sequence[str]], Result]:
    return lambda argv: run(argv, {})


@contextlib.contextmanager
def packing(to: str, compression: str, run: Optional[Run] = None) -> Iterator[Callable[[bytes], object]]:
    """A function that packs what it is given, part after part, into the new file ``to``, for its owner alone.

    On the disk when the block is over. EtcdError, and no file, where that cannot be done whole. ``run`` is for zstd where this
    Python has none.
    """
    with _new_file(to, f"{to} could not be packed", "make room."):
        packed = _open(compression, to, "wb")
        with packed if packed is not None else _program_that_packs(to, run) as stream:
            yield stream.write
        sync(to)


def pack(path: str, to: str, compression: str, run: Optional[Run] = None) -> None:
    """Pack ``path`` to the new file ``to``; see ``packing``."""
    with packing(to, compression, run) as write, open(path, "rb") as plain:
        for chunk in iter(lambda: plain.read(_CHUNK), b""):
            write(chunk)


def unpack(path: str, to: str, limit: int, run: Optional[Run] = None, database: bool = True) -> None:
    """Unpack ``path`` to the new file ``to``, for its owner alone. EtcdError, and no file, where that cannot be done whole.

    ``limit`` is in bytes. ``run`` is for zstd where this Python cannot unpack it. ``database``: what is packed is one.
    """
    with _new_file(to, f"{path} could not be unpacked to {to}", "make room, or unpack it."):
        compression = compression_of(path)
        packed = _open(compression, path, "rb") if compression else None
        if packed is not None:
            with packed:
                _stream(packed, path, to, limit, database)
        else:
            _by_program(path, to, limit, run)


@contextlib.contextmanager
def _new_file(to: str, failed: str, next_step: str) -> Iterator[None]:
    """An empty file for its owner alone that the block fills; it goes where the block fails."""
    try:
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(to)
        if isinstance(error, OSError) and error.errno:
            raise EtcdError(f"{failed}: {error.strerror}.", next_step) from error
        raise


def _open(compression: str, path: str, mode: str) -> Optional[BinaryIO]:
    """The archive at ``path`` as a plain stream, to read or to write (``rb`` or ``wb``); None where only a program can."""
    if compression == GZIP:
        return cast(BinaryIO, gzip.open(path, mode, _GZIP_LEVEL))
    module = _module(compression)
    if module is None:
        return None
    if compression == XZ and mode == "rb":
        return cast(BinaryIO, _XzReader(path, module))
    if compression == XZ:
        filters = [{"id": module.FILTER_LZMA2, "preset": 6, "dict_size": _XZ_DICTIONARY}]
        return cast(BinaryIO, module.open(path, mode, filters=filters))
    return cast(BinaryIO, module.open(path, mode))


def _module(compression: str) -> Any:
    """Python's module for it; None where it has none."""
    for name in ("lzma",) if compression == XZ else _ZSTD_MODULES:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


class _XzReader(io.RawIOBase):
    """What an xz archive holds, within bounded memory: Python's own reader takes what the archive says that it wants."""

    def __init__(self, path: str, lzma: Any) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - close() closes it
        self._lzma = lzma
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, most: int = -1) -> bytes:
        while not self._inner.eof:
            data = self._file.read(_CHUNK) if self._inner.needs_input else b""
            if not data and self._inner.needs_input:
                raise EOFError
            plain = self._inner.decompress(data, most)
            if plain:
                return cast(bytes, plain)
        if self._inner.unused_data or self._file.read(1):
            raise self._lzma.LZMAError("it goes on after its end")
        return b""

    def close(self) -> None:
        self._file.close()
        super().close()


def _stream(packed: BinaryIO, path: str, to: str, limit: int, database: bool) -> None:
    done = 0
    with open(to, "wb") as plain:
        while True:
            chunk = _read(packed, path)
            if not chunk:
                break
            if not done and database:
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
        raise Damaged(f"{path} holds no snapshot: what is packed in it is not a bbolt file.", _ANOTHER)
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
        raise Damaged(f"{path} is cut off: the archive ends too early.", _ANOTHER) from error
    except (OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise _damaged(path, str(error)) from error
    except Exception as error:
        if type(error).__name__ not in ("LZMAError", "ZstdError"):  # each zstd module has its own class of this name
            raise
        raise _damaged(path, str(error)) from error


def _by_program(path: str, to: str, limit: int, run: Optional[Run]) -> None:
    with _file_size_limit(limit):
        result = _unpacked_by_zstd(path, to, run)
    if result.rc == -signal.SIGXFSZ or "File too large" in result.err:
        raise _too_large(path, limit)
    _check_unpacked(result, path, f"{path} could not be unpacked to {to}")
    os.chmod(to, 0o600)  # zstd gives it the archive's mode; until now the folder has kept it private


def _check_unpacked(result: Result, path: str, failed: str) -> None:
    """Damaged where zstd says so of the archive; EtcdError, which begins with ``failed``, where the host is to blame."""
    if result.rc == _MISSING:
        raise _no_zstd_for(path)
    if result.rc < 0 or (result.rc and _HOSTS.search(result.err)):
        raise EtcdError(f"{failed}: {_last_words(result)}.", "make room, or unpack it.")
    if result.rc:
        raise _damaged(path, _last_words(result))


def _unpacked_by_zstd(path: str, to: str, run: Optional[Run]) -> Result:
    if run is None:
        raise _no_zstd_for(path)
    try:
        return run(["zstd", "-q", "-f", "-d", "-o", to, "--", path], {})
    except FileNotFoundError as error:
        raise _no_zstd_for(path) from error


def _no_zstd_for(path: str) -> EtcdError:
    return EtcdError(
        f"{path} is packed by {compression_of(path) or ZSTD}, and there is no {ZSTD} here to unpack it.",
        "install zstd on this host; or unpack the file elsewhere, or copy it to the controller if that has zstd, and name it.",
    )


def _last_words(result: Result) -> str:
    said = result.err.strip().splitlines()
    return said[-1] if said else f"zstd ended with {result.rc}"


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


def _damaged(path: str, words: str) -> Damaged:
    return Damaged(f"{path} is damaged and cannot be unpacked: {words}.", _ANOTHER)


def _too_large(path: str, limit: int) -> EtcdError:
    return EtcdError(
        f"{path} unpacks to more than {limit:,} bytes, which is more than half of what is free there, or than it says.",
        "make room, or unpack it elsewhere.",
    )
