# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a member's old data goes when it makes room, beside itself on the same file system; and whose the new data is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List, Sequence, Union

from ..core.trees import Staging, free_name, is_inside, is_vacant, move_out
from ..core.values import to_plain
from .facts import Folder, MemberFacts


@dataclass(frozen=True)
class Owner:
    """Whose the new data will be, by name or number; None leaves it to whoever makes it."""

    user: Union[int, str, None]
    group: Union[int, str, None]
    mode: str


def live(folder: Folder, path: str) -> str:
    """The directory itself: what is staged beside a symbolic link to it would lie on another file system."""
    return folder.real_path or path


def beside_of(live: str, folder: Folder) -> str:
    """What the names of its neighbours begin with: of a mount point only the contents can be renamed, so they lie inside."""
    return os.path.join(live, ".") if folder.is_mount else live.rstrip("/") + "."


def owner_of(member: MemberFacts) -> Owner:
    """Who owns the new data: whom the service runs as, else the owner of the old data.

    The unit's user goes first: etcd cannot write what a hand-made copy has left to root. An unprivileged user that systemd
    makes up at the start (DynamicUser) has no name before; what lies in its state folder is given to it by systemd, where
    that folder is not its already.
    """
    data, service = member.data, member.service
    mode = data.mode if data.exists and data.has_member else "0700"
    if service.user not in ("", "root") and not service.dynamic_user:
        return Owner(service.user, service.group or service.user, mode)
    if data.exists:
        return Owner(data.owner, data.group, mode)
    if service.dynamic_user and data.parent_owner:
        user, group = data.parent_owner
        return Owner(user, group, mode)
    return Owner(service.user or None, service.user or None, mode)


@dataclass(frozen=True)
class OldFolder:
    """A folder of old data: ``live`` goes to a name that begins with ``near``. ``kind`` is as ``trees.move_out`` has it."""

    kind: str
    live: str
    near: str
    size: int


def old_folders(member: MemberFacts, name: str) -> List[OldFolder]:
    """The data directory, and the WAL where it is a directory of its own. ``name`` is what theirs will end with."""
    found = [_old_folder(live(member.data, member.data_dir), member.data, name)]
    if member.wal_dir and not is_inside(member.wal_dir, member.data_dir):
        found.append(_old_folder(live(member.wal, member.wal_dir), member.wal, name))
    return found


def _old_folder(path: str, folder: Folder, name: str) -> OldFolder:
    kind = "contents" if folder.is_mount else "directory"
    return OldFolder(kind, path.rstrip("/"), f"{beside_of(path.rstrip('/'), folder)}before-{name}", folder.size)


def make_room(folders: Sequence[OldFolder], owner: Owner) -> List[str]:
    """Move aside what is there, and leave empty directories that etcd may fill; returns where it went. Nothing is deleted.

    Where it was cut off, it is simply done again: what has been moved has a name of its own, and nothing is moved over it.
    """
    moved = []
    for folder in folders:
        if not is_vacant(folder.live):
            to = free_name(folder.near)
            move_out(folder.kind, folder.live, to)
            moved.append(to)
        if not os.path.lexists(folder.live):
            with Staging(folder.live) as made:
                made.give_to(to_plain(owner))
    return moved
