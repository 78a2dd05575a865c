# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is told to end records that itself. One that was killed is recorded by the next one that has its folder, whatever
that is for: as what it was itself."""

from __future__ import annotations

import contextlib
import time
from typing import Callable, ContextManager, Iterator

from .lock import ENDED, Holder, holder, locked
from .proofs import DRILLS, Drill
from .records import BACKUPS, FAILED, PRUNES, Attempt, Pruning

# What a folder's lock is taken for, as a holder says it.
BACKUP, REMOVAL, DRILL = "backup", "removal of old snapshots", "drill"
LOOK = "look at what would be removed"  # of which nothing is recorded
_AGAIN = "run it again."


@contextlib.contextmanager
def witnessed(
    folder: str,
    tell: Callable[[Holder, str], None],
    work: str,
    usual: str,
    cluster: str,
    patience: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> Iterator[None]:
    """Have the folder's lock for the block. ``tell`` hears who was killed there before, and of this run where it is told to end,
    each with what became of it in words.

    ``usual`` is what is done in the folder by those that do not say their work. Busy where another run is at work there.
    """
    with locked(folder, patience, clock, work=work, cluster=cluster) as left:
        if left:
            tell(left, left.ended_in(left.work or usual))
        own = holder(clock, work, cluster)
        try:
            yield
        except ENDED:
            tell(own, own.interrupted_in(work))
            raise


def at_work(
    folder: str,
    work: str,
    usual: str,
    state_dir: str,
    cluster: str,
    patience: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> ContextManager[None]:
    """As ``witnessed``, with a line in the records for each. One that does not say whose it was, was of ``cluster``.

    Where nothing can be recorded, the run that comes now says so itself.
    """

    def tell(who: Holder, cause: str) -> None:
        _note(who, who.work or usual, cause, state_dir, who.cluster or cluster, folder)

    return witnessed(folder, tell, work, usual, cluster, patience, clock)


def _note(who: Holder, work: str, cause: str, state_dir: str, whose: str, folder: str) -> None:
    if work == BACKUP:
        BACKUPS.note(state_dir, Attempt(who.since, who.host, whose, folder, FAILED, cause, _AGAIN), work)
    elif work == REMOVAL:
        PRUNES.note(state_dir, Pruning(who.since, who.host, whose, folder, FAILED, cause, _AGAIN), work)
    elif work == DRILL:
        DRILLS.note(state_dir, Drill(who.since, who.host, whose, FAILED, cause=cause, next_step=_AGAIN), work)
