# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has a folder in use: looked at right before it is renamed, since what a service manager says of it may not be so.

What counts is the file itself, by its device and inode, because a container knows it by another path. A shell whose working
directory is in there holds nothing open; an etcd's working directory counts.
"""

from __future__ import annotations

import os
import time
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..core.errors import EtcdError
from ..core.trees import OURS
from .facts import Owner
from .owners import in_words, owner_of
from .processes import Host, Process, etcd_processes, uses

# Seconds that a reader which only passes by (du, a backup) and the last breath of a process are waited for.
PATIENCE = 2.0
POLL = 0.1


class Holder(NamedTuple):
    """A process that uses a folder, and who looks after it."""

    pid: int
    name: str
    what: str
    owner: Owner


class _Files(NamedTuple):
    """What lies below some folders: their own true paths, and each file's name and identity."""

    folders: List[str]
    names: Set[str]
    identities: Set[Tuple[int, int]]


def demand_vacant(
    folders: Sequence[str],
    next_step: str,
    host: Optional[Host] = None,
    sleep: Callable[[float], None] = time.sleep,
    patience: Optional[float] = None,
) -> None:
    """EtcdError where any process still has one of the folders open or as its setting after so many seconds."""
    waited = 0.0
    while True:
        found = holders(folders, host)
        if not found:
            return
        if waited >= (PATIENCE if patience is None else patience):
            raise EtcdError(f"{said_of(found)}: nothing there is renamed under a process that uses it.", next_step)
        sleep(POLL)
        waited += POLL


def said_of(found: Sequence[Holder]) -> str:
    """The holders in words: ``process 12 (etcd, of the unit x.service) has /data/member/snap/db open``."""
    first = [
        f"process {one.pid} ({', '.join(filter(None, [one.name, in_words(one.owner)]))}) {one.what}"
        for one in found[:3]
    ]
    return "; ".join(first) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


def holders(folders: Sequence[str], host: Optional[Host] = None) -> List[Holder]:
    """Every process, but this one, that has a file of these folders open, or that is an etcd with one as its setting."""
    host = host or Host()
    files = _files_below(host, folders)
    etcds = {process.pid: process for process in etcd_processes(host)}
    found = []
    for name in filter(str.isdigit, host.list("/proc")):
        pid = int(name)
        if pid == os.getpid():
            continue
        what = _what_it_holds(host, pid, files, etcds.get(pid)) or _setting_of(host, etcds.get(pid), folders)
        if what:
            comm = (host.read(f"/proc/{pid}/comm") or "").strip()
            found.append(Holder(pid, comm, what, owner_of(host, pid)))
    return found


def _files_below(host: Host, folders: Sequence[str]) -> _Files:
    found = _Files([os.path.realpath(host.path(folder)) for folder in folders], set(), set())
    for top in found.folders:
        for folder, inner, names in os.walk(top):
            if folder == top:
                inner[:] = [name for name in inner if not name.startswith(OURS)]
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                found.names.add(os.path.basename(path))
                found.identities.add((status.st_dev, status.st_ino))
    return found


def _what_it_holds(host: Host, pid: int, files: _Files, etcd: Optional[Process]) -> str:
    for link in _links(host, pid, bool(etcd)):
        path = host.link(link)
        if path.startswith("/") and _is_among(host, link, path.replace(" (deleted)", ""), files):
            return f"has {path} open" if "/fd/" in link else f"works in {path}"
    maps = host.read(f"/proc/{pid}/maps") or ""
    for folder in files.folders:
        if f" {folder}/" in maps:
            return f"has a file of {folder} in its memory"
    return ""


def _links(host: Host, pid: int, is_etcd: bool) -> Iterator[str]:
    if is_etcd:
        yield f"/proc/{pid}/cwd"
    for number in host.list(f"/proc/{pid}/fd"):
        yield f"/proc/{pid}/fd/{number}"


def _is_among(host: Host, link: str, path: str, files: _Files) -> bool:
    """By its path; else, as a container has it, by what it is. Only a likely name is opened up: another's may hang."""
    for folder in files.folders:
        if path == folder or path.startswith(folder + "/"):
            return not os.path.relpath(path, folder).startswith(OURS)
    if os.path.basename(path) not in files.names:
        return False
    try:
        status = os.stat(host.path(link))
    except OSError:
        return False
    return (status.st_dev, status.st_ino) in files.identities


def _setting_of(host: Host, etcd: Optional[Process], folders: Sequence[str]) -> str:
    """What an etcd that could open it was told to use; a user's who could not open it is none of our business."""
    for folder in folders:
        if etcd and may_use(host, etcd, folder) and uses(host, etcd, folder):
            return f"was started with {folder}"
    return ""


def may_use(host: Host, process: Process, folder: str) -> bool:
    """Whether the process's user is root or the owner of the folder, or where that is missing of the one that would hold it."""
    path = folder
    while path not in ("/", "") and not host.exists(path):
        path = os.path.dirname(path)
    try:
        return process.uid in (0, os.stat(host.path(path)).st_uid)
    except OSError:
        return False
