# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration files: read, replaced at once and durably, copied for a backup and put back to the byte."""

from __future__ import annotations

import os
from typing import List

from ...core.durable import put
from ...core.errors import EtcdError


def read_file(path: str) -> str:
    """The text, byte for byte: line ends as they are, and bytes that are no UTF-8 kept."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except OSError as error:
        raise EtcdError(f"{path} cannot be read: {error.strerror}.", "check its permissions.") from error


def write_file(path: str, text: str, mode: int = 0o644) -> None:
    """Replace the file at once and durably; owner, group, mode and SELinux context stay. A new file gets ``mode``."""
    _write_bytes(path, text.encode("utf-8", "surrogateescape"), path, mode)


def _write_bytes(path: str, content: bytes, like: str, mode: int = 0o600) -> None:
    path = _behind_links(path)  # a symbolic link stays one
    # The dot hides it from the kubelet, the ending from systemd: both read every other file of their folders.
    put(path, content, f".{os.path.basename(path)}.", ".tmp", lambda descriptor: _take_after(like, descriptor, mode))


def _behind_links(path: str) -> str:
    """The file itself. A link that is neither root's nor of whom it leads to, or leads to nothing, was put there to harm."""
    real = os.path.realpath(path)
    if os.path.islink(path):
        trusted = {0, os.geteuid()}
        if os.path.exists(real):
            trusted.add(os.stat(real).st_uid)
        owner = os.lstat(path).st_uid
        if owner not in trusted:
            raise EtcdError(
                f"{path} is a link to {real}, made by a user (uid {owner}) that does not own it.",
                "see who put it there; put the file itself in its place.",
            )
    return real


def _take_after(like: str, descriptor: int, mode: int) -> None:
    """Owner, group, mode and extended attributes of ``like``, where it exists."""
    try:
        status = os.stat(like)
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, status.st_mode & 0o7777)
    for name in _attributes(like):
        try:
            os.setxattr(descriptor, name, os.getxattr(like, name))
        except OSError:
            continue  # a file system or a policy that has none


def _attributes(path: str) -> List[str]:
    try:
        return os.listxattr(path)
    except (OSError, AttributeError):
        return []


def backup_copy(path: str, folder: str, stamp: str) -> str:
    """A copy of ``path`` in ``folder``, named by the file and ``stamp``; it is readable to nobody whom the file was not."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    content = _content(path)
    target = os.path.join(folder, f"{os.path.basename(path)}.{stamp}")
    number = 1
    while os.path.exists(target):
        if _content(target) == content:
            return target
        number += 1
        target = os.path.join(folder, f"{os.path.basename(path)}.{stamp}-{number}")
    _write_bytes(target, content, path)
    return target


def restore_copy(copy: str, path: str) -> bool:
    """Put a backup back, to the byte, with its owner and mode. True where the file was not like that already."""
    content = _content(copy)
    if os.path.exists(path) and _content(path) == content:
        return False
    _write_bytes(path, content, path if os.path.exists(path) else copy)
    return True


def _content(path: str) -> bytes:
    """To read another's file for whoever put a link to it is to give it away: a copy goes back to the link's place."""
    descriptor = os.open(_behind_links(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()
