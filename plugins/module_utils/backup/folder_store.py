# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store that is a folder of a mounted file system: NFS, CIFS, a second disk.

Whoever else writes there is not trusted: the cluster's folder is held by its descriptor, and no link in it is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import time
from typing import Dict, Iterator, Sequence, Union

from ..core.errors import EtcdError
from ..core.trees import opened
from ..snapshot.offsite import is_object_name
from ..snapshot.pages import digest_of
from ..snapshot.scratch import forget
from .stores import check_changeable, check_object, differs, not_there

UPLOADING = ".quorum-etcd-uploading-"  # begins the names of what is under way, or was when its host died
_DAY = 86400.0
_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """The folder ``cluster`` in ``root``.

    ``mounted``: true where ``root`` must be on another file system than ``/`` and ``apart_from``, so that a mount that is
    missing is noticed and the disk below it is not filled; or the path of the mount point that must be there.
    """

    def __init__(
        self,
        name: str,
        root: str,
        cluster: str,
        append_only: bool = False,
        mounted: Union[bool, str] = True,
        apart_from: str = "/",
    ) -> None:
        self.name = name
        self.append_only = append_only
        self._root, self._cluster = root, cluster
        self._mounted, self._apart_from = mounted, apart_from

    def names(self) -> Dict[str, int]:
        found: Dict[str, int] = {}
        if not os.path.isdir(os.path.join(self._ready(), self._cluster)):
            return found
        with self._told("its objects could not be listed"), self._opened() as folder:
            for name in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and is_object_name(name):
                        found[name] = status.st_size
        return found

    def put(self, path: str, name: str) -> None:
        check_object(self.name, name)
        temporary = UPLOADING + secrets.token_hex(8)
        with self._told(f"{name} could not be put there"), self._opened(make=True) as folder:
            self._clear(folder)
            try:
                given = _copy(path, os.open(temporary, _WRITE, 0o600, dir_fd=folder))
                if _sha256(temporary, folder) != given:
                    raise differs(self.name, name)
                self._publish(temporary, name, given, folder)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)

    def _publish(self, temporary: str, name: str, given: str, folder: int) -> None:
        """Give it its name. What must not be replaced is left where it is the same."""
        if self.append_only:
            with contextlib.suppress(FileNotFoundError):
                if _sha256(name, folder) != given:
                    check_changeable(self.name, True, name)
                return
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)

    def get(self, name: str, path: str) -> None:
        check_object(self.name, name)
        with self._told(f"{name} could not be copied to {path}"), self._opened() as folder:
            source = os.open(name, _READ, dir_fd=folder)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                _copy(source, os.open(path, flags, 0o600))
            except BaseException:
                forget(path)
                raise
            finally:
                os.close(source)

    def get_many(self, names: Sequence[str], folder: str) -> None:
        for name in names:
            self.get(name, os.path.join(folder, name))

    def delete(self, name: str) -> None:
        check_object(self.name, name)
        check_changeable(self.name, self.append_only, name)
        with self._told(f"{name} could not be deleted"), self._opened() as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def digest(self, name: str) -> str:
        check_object(self.name, name)
        with self._told(f"{name} could not be read"), self._opened() as folder:
            return f"sha256:{_sha256(name, folder)}"

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """What the system says, as one sentence with the store's name."""
        try:
            yield
        except FileNotFoundError as error:
            raise not_there(self.name, str(error.filename)) from error
        except OSError as error:
            raise EtcdError(
                f"the store {self.name}: {what}: {error.strerror}.",
                f"check the owner, the mode and the room of {self._root} and of this host's disk.",
            ) from error

    @contextlib.contextmanager
    def _opened(self, make: bool = False) -> Iterator[int]:
        """The descriptor of the cluster's folder."""
        path = os.path.join(self._ready(), self._cluster)
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        with opened(path) as descriptor:
            yield descriptor

    def _ready(self) -> str:
        """The root, where it is there as it should be. A look into it comes first: some file systems are mounted by that."""
        try:
            os.listdir(self._root)
            self._check_mounted()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise EtcdError(
                f"the folder {self._root} of the store {self.name} is not there.", "mount it, or create it."
            ) from error
        except OSError as error:  # such as a stale handle of NFS
            raise EtcdError(
                f"the folder {self._root} of the store {self.name} cannot be read: {error.strerror}.",
                "mount it anew, or check its owner and mode.",
            ) from error
        return self._root

    def _check_mounted(self) -> None:
        if isinstance(self._mounted, str):
            if not os.path.ismount(self._mounted):
                raise EtcdError(
                    f"{self._mounted}, where the store {self.name} is to be, is not mounted.", f"mount {self._mounted}."
                )
        elif self._mounted and os.stat(self._root).st_dev in (os.stat("/").st_dev, _device(self._apart_from)):
            raise EtcdError(
                f"{self._root}, the folder of the store {self.name}, is on this host's own disk: nothing is mounted there.",
                "mount it; or set mounted: false for this store, where something else carries away what lies there.",
            )

    def _clear(self, folder: int) -> None:
        """What a host that died has left goes after a day; a younger one may be another host's, under way."""
        for name in os.listdir(folder):
            if name.startswith(UPLOADING):
                with contextlib.suppress(OSError):
                    if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < time.time() - _DAY:
                        os.unlink(name, dir_fd=folder)


def _device(folder: str) -> int:
    """The number of the file system that a folder is on, or will be."""
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return os.stat(folder).st_dev


def _copy(source: Union[str, int], target: int) -> str:
    """Copy a file, given by its path or its descriptor, to an open one, which is on the disk then; returns its SHA-256."""
    digest = hashlib.sha256()
    with os.fdopen(target, "wb") as copy, open(source, "rb", closefd=isinstance(source, str)) as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


def _sha256(name: str, folder: int) -> str:
    """Of what lies there, and not of what this host remembers of it."""
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return digest_of(file)
