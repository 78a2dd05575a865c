# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies on a host's disks at the data directory, the WAL's and others: whose it is, how large, on which file system."""

from __future__ import annotations

import grp
import os
import pwd
from typing import List, Optional

from ..core.errors import EtcdError
from ..core.trees import OURS
from ..etcd.database import told_by_data
from .facts import DataFacts, DiskFacts, Folder
from .processes import Host

# Names in a data directory that say nothing about whose it is: a mount point's own, and what a restore stages in one.
NOT_DATA = ("lost+found", *OURS)
# etcd's own names there: its data, that of a proxy (to 3.5), and the certificates that it makes itself (auto-tls).
ETCDS_OWN = ("member", "proxy", "fixtures")
LISTED = 20
# etcd preallocates a WAL segment of 64 MiB (server/storage/wal: SegmentSizeBytes); a restore writes the first one.
WAL_SEGMENT = 64 * 1024 * 1024


def data_facts(host: Host, path: str, wal: str = "", contained: str = "", at_rest: bool = True) -> DataFacts:
    """What is at the data directory, whose it is, and whether it may be taken for etcd's; ``wal`` may lie inside it.

    ``at_rest``: no member runs with it, so its database is asked; a running one's is for the cluster to tell.
    """
    folder = folder_facts(host, path)
    entries = host.list(path) if path else []
    own = [name for name in entries if not name.startswith(NOT_DATA)]
    etcds = {*ETCDS_OWN, os.path.relpath(wal, path).split("/")[0] if path and wal else "member"}
    parent = os.path.dirname(_nearest(host, path, above=True)) if path else ""
    told = told_by_data(host.path(path) if path and at_rest else "")
    return DataFacts(
        **vars(folder),
        empty=folder.exists and not own,
        is_etcd="member" in own or not own,
        has_member="member" in own,
        entries=entries[:LISTED],
        foreign=[name for name in own if name not in etcds][:LISTED],
        parent_owner=_owner_of(_nearest(host, parent)) if parent else None,
        owner_name=user_name(folder.owner),
        group_name=_group_name(folder.group),
        inner_mounts=_inner_mounts(host, path) if path else [],
        db_size=_size(host.path(os.path.join(path, "member/snap/db"))) if path else 0,
        parent_is_writable=bool(parent) and os.access(host.path(parent), os.W_OK | os.X_OK),
        revision=told.revision,
        member_ids=list(told.member_ids),
        contained=contained,
    )


def _owner_of(path: str) -> List[int]:
    """User and group."""
    status = os.stat(path)
    return [status.st_uid, status.st_gid]


def _inner_mounts(host: Host, path: str) -> List[str]:
    """Folders of etcd's inside the data directory that are file systems of their own."""
    inner = (os.path.join(path, name) for name in ("member", "member/snap", "member/wal"))
    return [folder for folder in inner if os.path.ismount(host.path(folder))]


def disk_facts(host: Host, path: str) -> DiskFacts:
    """The file system that ``path`` is on, or will be."""
    status = os.statvfs(_nearest(host, path))
    size = status.f_frsize
    return DiskFacts(
        path=path,
        noexec=bool(status.f_flag & os.ST_NOEXEC),
        device=_device(host, path),
        free=status.f_bavail * size,
        total=status.f_blocks * size,
    )


def folder_facts(host: Host, path: str) -> Folder:
    """EtcdError where it is there and may not be looked into."""
    try:
        status = os.stat(host.path(path)) if path else None
        if status is not None:
            os.listdir(host.path(path))
    except PermissionError as error:
        raise EtcdError(
            f"{path} may not be looked into by {user_name(os.geteuid())}, so nobody can say what is in it.",
            "become root: 'become: true' in the play, or ansible-playbook --become.",
        ) from error
    except OSError:
        status = None
    return Folder(
        exists=status is not None,
        real_path=os.path.realpath(path) if path and host.root == "/" else path,
        is_mount=status is not None and os.path.ismount(host.path(path)),
        owner=status.st_uid if status else None,
        group=status.st_gid if status else None,
        mode=f"{status.st_mode & 0o7777:04o}" if status else "",
        size=_tree_size(host.path(path)) if status else 0,
        device=_device(host, path) if path else None,
    )


def _tree_size(path: str) -> int:
    """Bytes of the files below ``path``, but for what a restore has left in it."""
    found = 0
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(NOT_DATA)]
        found += sum(_size(os.path.join(folder, name)) for name in files)
    return found


def _nearest(host: Host, path: str, above: bool = False) -> str:
    """The path itself where it exists, else its nearest parent that does; ``above``: the last that does not, below it."""
    path = path.rstrip("/") or "/"
    below = path
    while path != "/" and not os.path.exists(host.path(path)):
        below, path = path, os.path.dirname(path) or "/"
    return below if above else host.path(path)


def _device(host: Host, path: str) -> int:
    return os.stat(_nearest(host, path)).st_dev


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def user_name(uid: Optional[int]) -> str:
    try:
        return pwd.getpwuid(uid).pw_name if uid is not None else ""
    except KeyError:
        return ""


def _group_name(gid: Optional[int]) -> str:
    try:
        return grp.getgrgid(gid).gr_name if gid is not None else ""
    except KeyError:
        return ""
