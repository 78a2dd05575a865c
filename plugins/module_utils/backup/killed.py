# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that was killed is recorded by the next one that has its folder, whatever that is for: as what it was itself."""

from __future__ import annotations

from typing import Optional

from .lock import Holder
from .proofs import DRILLS, Drill
from .records import BACKUPS, FAILED, PRUNES, Attempt, Pruning

# What a folder's lock is taken for, as a holder says it.
BACKUP, REMOVAL, DRILL = "backup", "removal of old snapshots", "drill"
LOOK = "look at what would be removed"  # of which nothing is recorded


def record(left: Optional[Holder], usual: str, state_dir: str, cluster: str, folder: str) -> None:
    """A line for the run that has ``left`` its lock, if any. One that does not say its work was ``usual``, of ``cluster``.

    Where nothing can be recorded, the run that comes now says so itself.
    """
    if left is None:
        return
    work, whose = left.work or usual, left.cluster or cluster
    cause = left.ended_in(work)
    if work == BACKUP:
        BACKUPS.note(state_dir, Attempt(left.since, left.host, whose, folder, FAILED, cause=cause), work)
    elif work == REMOVAL:
        PRUNES.note(state_dir, Pruning(left.since, left.host, whose, folder, FAILED, cause=cause), work)
    elif work == DRILL:
        DRILLS.note(state_dir, Drill(left.since, left.host, whose, FAILED, cause=cause), work)
