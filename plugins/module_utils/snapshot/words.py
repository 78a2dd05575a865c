# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of a folder in words, as lines for a terminal."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..core.text import duration
from .entry import Snapshot
from .order import clock_of


def backups_in_words(entries: Sequence[Snapshot], newest: Optional[Snapshot], folder: str) -> List[str]:
    """How old the newest good snapshot of a folder is, and what else lies there."""
    lines = [f"no usable backup in {folder}"]
    if newest:
        age = f"{duration(newest.age)} old{clock_of(newest)}"
        lines = [f"newest backup is {newest.path}, {age}, revision {newest.revision}"]
    return lines + [f"not usable: {entry.reason}" for entry in entries if not entry.ok]
