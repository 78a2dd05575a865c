# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where on the host a path of a process lies that has mounts or a root folder of its own, as one in a container has."""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional

from .processes import Host, Process

# Folders of the host that go with the container they were made for.
_PASSING = re.compile(r"/kubernetes\.io~empty-dir/|/volumes/[0-9a-f]{64}/_data(?:/|\Z)")


class Mount(NamedTuple):
    """A line of mountinfo: the file system's number, which of its folders is mounted, where, and its kind."""

    device: str
    root: str
    point: str
    kind: str


def on_host(host: Host, process: Process, path: str, guess: str) -> Optional[str]:
    """The host's path of the process's; None where there is none, or none that would outlive the process's container.

    ``path`` is absolute, or '' where there is none. ``guess`` is what the files say that start it: right where it is the
    same folder, or where that cannot be seen.
    """
    inside = process.inside + path
    if not path.startswith("/") or not host.exists(inside):
        return guess
    for known in (guess, path):
        if host.same(inside, known):
            return None if _PASSING.search(known) else known
    chroot = host.link(process.inside)
    candidates = [chroot.rstrip("/") + path] if chroot not in ("", "/") else []
    candidates += _by_mounts(mounts(host, str(process.pid)), mounts(host, "self"), os.path.normpath(path))
    same = (one for one in candidates if host.same(inside, one) and not _PASSING.search(one))
    return next(same, None)


def mounts(host: Host, pid: str) -> List[Mount]:
    found = []
    for line in (host.read(f"/proc/{pid}/mountinfo") or "").splitlines():
        words = line.split(" ")
        if len(words) > 6 and "-" in words[6:]:
            kind = words[words.index("-", 6) + 1]
            found.append(Mount(words[2], _unescaped(words[3]), _unescaped(words[4]), kind))
    return found


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), path)


def _by_mounts(own: List[Mount], hosts: List[Mount], path: str) -> List[str]:
    """Paths of the host for the same folder of the same file system, the nearest mount first."""
    at = [mount for mount in own if _below(path, mount.point) is not None]
    if not at:
        return []
    mount = max(reversed(at), key=lambda one: len(one.point))  # of two on one point the later one counts
    folder = os.path.normpath(mount.root + "/" + (_below(path, mount.point) or ""))
    found = []
    for other in sorted(hosts, key=lambda one: -len(one.root)):
        rest = _below(folder, other.root)
        # A container's own layer is seen on the host too, and is gone when it is.
        if other.device == mount.device and rest is not None and (other.kind != "overlay" or other.point == "/"):
            found.append(os.path.normpath(other.point + "/" + rest))
    return found


def _below(path: str, folder: str) -> Optional[str]:
    """``path`` as seen from ``folder``; None where it is not in it."""
    base = folder.rstrip("/")
    return path[len(base) :] if path == base or path.startswith(base + "/") or not base else None
