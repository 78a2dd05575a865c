# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a member's old data goes when it makes room, beside itself on the same file system; and whose the new data is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Union

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
