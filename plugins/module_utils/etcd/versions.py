# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each version of etcd and its tools can do, as read in etcd's change logs and sources."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from ..core.errors import EtcdError

_FAR_ENOUGH = 4096  # characters in which a version stands, if anywhere
_VERSION = re.compile(r"(?<![\d.])(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9})(?!\d)|(?!\.?\d))")


class Version(NamedTuple):
    """An etcd version; compares as one expects."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def line(self) -> str:
        """The release line, such as ``3.5``: storage formats and snapshots are compatible within one."""
        return f"{self.major}.{self.minor}"


def parse_version(text: str) -> Version:
    """The first ``X.Y.Z`` (or ``X.Y``) in ``text``, such as the output of ``etcd --version`` or ``etcdutl version``."""
    found = _VERSION.search(text[:_FAR_ENOUGH])
    if not found:
        raise EtcdError(f"no etcd version can be read from {text[:_FAR_ENOUGH].strip()[:80]!r}.")
    return Version(int(found.group(1)), int(found.group(2)), int(found.group(3) or 0))


def can_bump_revision(tool: str, version: Version) -> bool:
    """Whether ``snapshot restore`` of this tool knows ``--bump-revision`` and ``--mark-compacted``."""
    since = {"3.4": 27, "3.5": 10}
    if tool == "etcdutl" and version.line == "3.4":
        return False
    return version >= (3, 6, 0) or version.patch >= since.get(version.line, 1 << 30)


def etcdctl_restores(version: Version) -> bool:
    """Whether this etcdctl still has ``snapshot restore`` and ``snapshot status`` (removed in 3.6)."""
    return version < (3, 6, 0)


def lists_members_without_quorum(version: Version) -> Optional[str]:
    """The flag with which this etcdctl lists members when there is no quorum; None where it cannot.

    Up to 3.4 the list was always answered from the member's own view; 3.5 made it linearizable; 3.6 lets one choose.
    """
    if version < (3, 5, 0):
        return ""
    return "--consistency=s" if version >= (3, 6, 0) else None


def mirrors_to_users(version: Version) -> bool:
    """Whether ``make-mirror`` of this etcdctl can say who it is at the destination (``--dest-user``)."""
    return version >= (3, 5, 0)


def mirrors_from_a_revision(version: Version) -> bool:
    """Whether ``make-mirror`` of this etcdctl knows ``--rev``."""
    return version >= (3, 6, 0)


def tells_the_past(version: Version) -> bool:
    """Whether a watch can say what keys were before: 3.4 copies all that is not on its disk yet for each of them."""
    return version >= (3, 5, 0)


def tells_progress(version: Version) -> bool:
    """Whether what a watch answers when it is asked for progress is true: before, it could overtake events (etcd #15220)."""
    since = {"3.4": 25, "3.5": 8}
    return version >= (3, 6, 0) or version.patch >= since.get(version.line, 1 << 30)
