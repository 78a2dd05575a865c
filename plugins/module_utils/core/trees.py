# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories of data: given to a user, flushed, renamed, moved to another file system.

All of this is done as root where etcd's own user may write too. So nothing is given away, read or moved by a path that this
user could turn into another: directories are opened once, without following links, and what is in them is reached through
their descriptors. What is neither is not followed.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import stat
from typing import Any, Callable, Iterator, Mapping, Tuple

from .errors import EtcdError
from .progress import tree_size

# A pipe in the place of a file would else be waited for.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK = 1 << 20
_NEW = "new"  # what a tool makes within a staging
# How the names begin of what a restore keeps inside of a mount point.
OURS = (".restore-", ".before-", ".rolled-back-")


# ---- whose it is, and on the disk ------------------------------------------------------------------------------------


class Staging:
    """A new directory of this process's own at ``path``, which a tool fills, and which is then given away.

    It may lie where etcd's own user can write: in a mount point, say. So it is held by its descriptor, and whatever somebody
    puts at ``path`` meanwhile is neither written to nor read. As a context manager it lets go of it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        os.mkdir(path, 0o700)
        self._top = os.open(path, _FOLDER)
        if os.fstat(self._top).st_uid != os.geteuid():
            raise _foreign(path)

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._top)

    @property
    def way(self) -> str:
        """Where the tool makes its own directory, which must not be there before; good as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._top}/{_NEW}"

    def lift(self) -> None:
        """What the tool has made is in the directory itself from now on."""
        with contextlib.suppress(FileNotFoundError), _sub(_NEW, self._top) as new:
            for name in os.listdir(new):
                os.rename(name, name, src_dir_fd=new, dst_dir_fd=self._top)
            os.rmdir(_NEW, dir_fd=self._top)

    def give_to(self, owner: Mapping[str, Any]) -> None:
        """Owner and mode for everything restored; the tool ran as root and etcd may not. On the disk when this returns.

        The directory itself is given last: until then nobody else can reach what is in it. EtcdError where it holds a link,
        since then somebody else has had a hand in it.
        """
        uid, gid = _uid(owner["user"]), _gid(owner["group"])
        os.fchmod(self._top, 0o700)
        for folder, descriptor in _every(self.path, self._top):
            os.fchown(descriptor, uid, gid)
            if folder == self.path:
                os.fchmod(descriptor, int(owner["mode"] or "0700", 8))
            os.fsync(descriptor)
        sync_folder(os.path.dirname(self.path))


def _every(path: str, top: int) -> Iterator[Tuple[str, int]]:
    """Every file and directory of an open directory as (path, descriptor), what is in a directory before itself."""
    for name in os.listdir(top):
        inner = os.path.join(path, name)
        with _entry(name, top, inner) as descriptor:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                yield from _every(inner, descriptor)
            else:
                yield inner, descriptor
    yield path, top


@contextlib.contextmanager
def _entry(name: str, folder: int, path: str) -> Iterator[int]:
    """The descriptor of a plain file that has no other name, or of a directory."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        raise _foreign(path) from error  # a link: ELOOP
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode) and not (stat.S_ISREG(status.st_mode) and status.st_nlink == 1):
            raise _foreign(path)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """The descriptor of a directory that is no link."""
    descriptor = os.open(path, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _foreign(path: str) -> EtcdError:
    return EtcdError(
        f"{path} is not what it was made as: a link, a file with several names, or somebody else's.",
        "see which user of this host writes there, and run again.",
    )


def _uid(user: Any) -> int:
    if user in (None, ""):
        return os.geteuid()
    return int(user) if str(user).isdigit() else pwd.getpwnam(str(user)).pw_uid


def _gid(group: Any) -> int:
    if group in (None, ""):
        return os.getegid()
    if str(group).isdigit():
        return int(group)
    try:
        return grp.getgrnam(str(group)).gr_gid
    except KeyError:
        return pwd.getpwnam(str(group)).pw_gid  # the service's user, whose main group may have another name


# ---- renamed ---------------------------------------------------------------------------------------------------------


def move_out(kind: str, live: str, aside: str) -> None:
    """Rename what is live to ``aside``, or its entries where it is a mount point; idempotent, also when cut off half-way."""
    if kind == "directory":
        if os.path.lexists(live):
            os.rename(live, aside)
            sync_folder(os.path.dirname(aside))
        return
    names = [name for name in os.listdir(live) if not name.startswith(OURS) and name != "lost+found"]
    if not names:
        return
    os.makedirs(aside, mode=0o700, exist_ok=True)
    with opened(live) as source, _own(aside) as target:
        for name in names:
            # Never over what is there already: that came first, and this is what a reboot has made of nothing since.
            if os.path.lexists(os.path.join(aside, name)):
                os.rename(name, free_name(aside + ".stray"), src_dir_fd=source)
            else:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        os.fsync(target)
        os.fsync(source)


def is_vacant(live: str) -> bool:
    """Whether there is nothing that ``move_out`` would move."""
    try:
        return not [name for name in os.listdir(live) if not name.startswith(OURS) and name != "lost+found"]
    except FileNotFoundError:
        return True


def move_in(kind: str, source: str, live: str) -> None:
    """Rename ``source`` to ``live``, or its entries into it; nothing to do where ``source`` has already gone."""
    if not os.path.isdir(source):
        return
    if kind == "directory":
        os.rename(source, live)
        sync_folder(os.path.dirname(live))
        return
    with opened(source) as new, opened(live) as target:
        for name in os.listdir(new):
            if os.path.lexists(os.path.join(live, name)):
                os.rename(name, free_name(source + ".stray"), src_dir_fd=target)
            os.rename(name, name, src_dir_fd=new, dst_dir_fd=target)
        os.rmdir(source)
        os.fsync(target)


@contextlib.contextmanager
def _own(path: str) -> Iterator[int]:
    """A directory of ours in a place where others may write too: one that they have put there is not moved into."""
    with opened(path) as descriptor:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise _foreign(path)
        yield descriptor


def free_name(path: str) -> str:
    number = 1
    while os.path.lexists(f"{path}-{number}"):
        number += 1
    return f"{path}-{number}"


# ---- moved to another file system ------------------------------------------------------------------------------------


def relocate(source: str, to: str) -> None:
    """Move a directory to another file system: copied, flushed, named, and only then removed here. Idempotent.

    ``source`` must be out of everybody's reach, so that a copy which has its name is as good as what it was made from.
    """
    if os.path.isdir(source):
        _copy_and_mark(source, to)
    shutil.rmtree(source + ".moved", ignore_errors=True)


def size_of_part(to: str) -> Callable[[], int]:
    """How many bytes of a directory that is being relocated have arrived."""
    return lambda: tree_size(to + ".part")


def _copy_and_mark(source: str, to: str) -> None:
    if not os.path.isdir(to):
        part = to + ".part"
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(os.path.dirname(to), mode=0o700, exist_ok=True)
        os.mkdir(part, 0o700)
        with opened(source) as old, _own(part) as new:
            _copy_folder(source, old, new)
        os.rename(part, to)
        sync_folder(os.path.dirname(to))
    shutil.rmtree(source + ".moved", ignore_errors=True)
    os.rename(source, source + ".moved")  # so that a directory with its name is always a whole one


def _copy_folder(path: str, old: int, new: int) -> None:
    """With owners, modes and times, each given when all is in it: until then it is private, whatever the umask."""
    for name in os.listdir(old):
        inner = os.path.join(path, name)
        if stat.S_ISLNK(os.lstat(name, dir_fd=old).st_mode):
            _copy_link(name, old, new)
            continue
        with _entry(name, old, inner) as source:
            if stat.S_ISDIR(os.fstat(source).st_mode):
                os.mkdir(name, 0o700, dir_fd=new)
                with _sub(name, new) as target:
                    _copy_folder(inner, source, target)
            else:
                _copy_file(source, name, new)
    _take_after(old, new)


@contextlib.contextmanager
def _sub(name: str, folder: int) -> Iterator[int]:
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_link(name: str, old: int, new: int) -> None:
    """As it is, and what it leads to is left alone: some keep the WAL elsewhere by one."""
    status = os.lstat(name, dir_fd=old)
    os.symlink(os.readlink(name, dir_fd=old), name, dir_fd=new)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=new, follow_symlinks=False)


def _copy_file(source: int, name: str, folder: int) -> None:
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        while chunk := os.read(source, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
        _take_after(source, target)
    finally:
        os.close(target)


def _take_after(source: int, target: int) -> None:
    """Owner, mode, times and extended attributes of one open file for another, which is on the disk when this returns."""
    status = os.fstat(source)
    for name in os.listxattr(source):
        with contextlib.suppress(OSError):  # a file system or a policy that has none
            os.setxattr(target, name, os.getxattr(source, name))
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.fsync(target)


# ---- small things ----------------------------------------------------------------------------------------------------


def sync(path: str) -> None:
    """Make what a file holds, and its owner and mode, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: str) -> None:
    """Make renames and new names in ``path`` survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_inside(path: str, folder: str) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(folder) + "/")


def any_is_dir(*paths: str) -> bool:
    return any(os.path.isdir(path) for path in paths)


def retired_name(aside: str) -> str:
    """Where a rollback puts the restored data: it may hold writes that were made since."""
    return aside.replace(".before-", ".rolled-back-")


def remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
