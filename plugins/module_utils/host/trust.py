# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who else could change what a path names: nothing is run as root, and no process believed, that another user can make."""

from __future__ import annotations

import os
import pwd
import re
import stat
import sys
from typing import Collection, List

from ..core.errors import EtcdError

_LINKS = 40  # as many as the kernel follows
# Nobody writes there, whoever a process's folder belongs to. The text of ``root`` leads elsewhere than the link itself.
_PROC, _ROOT_OF_PROCESS = re.compile(r"/proc(/\d+)?\Z"), re.compile(r"/proc/\d+/root\Z")


def weakness(path: str, users: Collection[int] = ()) -> str:
    """Why somebody else than root, this process's own user and ``users`` could change what ``path`` names; '' where nobody can.

    Each folder on the way counts, also those that links lead through. In a folder like /tmp, whose sticky bit keeps others
    from what is not theirs, only the owner of what lies in it counts.
    """
    trusted = {0, os.geteuid(), *users}
    groups = {_group_of(uid) for uid in trusted} | {0}
    at, links, ahead = "/", _LINKS, _names(path)
    while ahead:
        here = os.path.normpath(os.path.join(at, ahead.pop(0)))
        if _PROC.match(here):
            at = here
            continue
        is_entrance = bool(_ROOT_OF_PROCESS.match(here))
        try:
            status = os.stat(here) if is_entrance else os.lstat(here)
        except OSError as error:
            return f"{here}: {error.strerror or error}"
        why = _weakness_of(here, status, trusted, groups)
        if why:
            return why
        if stat.S_ISLNK(status.st_mode):
            links -= 1
            if links < 0:
                return f"{path} leads through too many links"
            target = os.readlink(here)
            ahead, at = _names(target) + ahead, "/" if target.startswith("/") else at
        else:
            at = here
    return ""


def secret_in(path: str, next_step: str) -> str:
    """The password in a file. EtcdError where it cannot be read, with this next step, or could be read by others."""
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise EtcdError(f"the password in {path} can be read by others.", f"chmod 600 {path}, and change it.")
            return file.read().rstrip("\n")
    except OSError as error:
        raise EtcdError(f"the password in {path} cannot be read: {error.strerror}.", next_step) from error


def find_modules_in(folder: str) -> None:
    """Let Python look for modules there before it looks elsewhere. One that is not there is passed over.

    EtcdError where somebody else could put modules there or change them: a process of root's would run them.
    """
    if not os.path.isdir(folder) or folder in sys.path:
        return
    weak = weakness(folder)
    if weak:
        raise EtcdError(
            f"the Python modules in {folder} are not believed: {weak}.",
            "let only root write there, remove that folder, and run mirror.yml: it unpacks them anew.",
        )
    sys.path.insert(0, folder)


def _names(path: str) -> List[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _weakness_of(path: str, status: os.stat_result, users: Collection[int], groups: Collection[int]) -> str:
    if status.st_uid not in users:
        return f"{path} belongs to {_name_of(status.st_uid)}"
    if stat.S_ISLNK(status.st_mode):
        return ""
    by_group = status.st_mode & stat.S_IWGRP and (status.st_gid not in groups or _has_acl(path))
    is_shared = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if (by_group or status.st_mode & stat.S_IWOTH) and not is_shared:
        return f"{path} can be written by others (its mode is {status.st_mode & 0o7777:04o})"
    return ""


def _has_acl(path: str) -> bool:
    """Where there is an access list, the group's bits are its mask: somebody may write."""
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False


def _group_of(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return 0


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"
