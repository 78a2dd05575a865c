# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came to a cluster after clients had left it, and is not where they went: by its keys, however much was compacted since."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..etcd.messages import KeyValue
from .compare import Pinned, slices
from .ranges import Side, paired, spans_without
from .written import FIRST, Written


def late(old: Side, new: Side, left_out: Sequence[bytes], since: int, until: int) -> Written:
    """The keys of the old cluster that differ from the new one's by what was done in the old one.

    That is what was put there after its revision ``since``; and what is gone there, though the new one has it from before its own
    revision ``until``. Both are read as they are now, without the names that begin with one of ``left_out``.
    """
    changes = 0
    keys: List[bytes] = []
    sides = [Pinned(side, 0, lambda: 0) for side in (old, new)]
    for span in spans_without(left_out):
        for mine, theirs in slices(sides[0].part, sides[1].part, span):
            for name, left, taken in paired(mine, theirs):
                if is_late(left, taken, since, until):
                    changes += 1
                    if len(keys) < FIRST:
                        keys.append(old.key(name))
    return Written(changes, tuple(keys))


def is_late(left: Optional[KeyValue], taken: Optional[KeyValue], since: int, until: int) -> bool:
    if left is None:
        return taken is not None and taken.mod_revision <= until
    return left.mod_revision > since and (taken is None or taken.value != left.value)
