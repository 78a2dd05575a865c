# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the backups of this host are, from what its own runs have recorded: for a monitor, without asking the cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence, Tuple

from ..backup.records import NOT_ITS_TURN, Attempt
from ..core.text import duration, epoch
from ..core.values import TEXT

OK, BAD, TOO_OLD = "ok", "failed", "too old"


@dataclass(frozen=True)
class Status:
    """``state`` is ``ok``, ``failed`` or ``too old``. ``age`` are the seconds since the last run that was good, -1 for never.

    ``newest`` is the newest snapshot that a run of this host has saved, or has read again from end to end.
    """

    state: str
    why: str = field(metadata=TEXT)
    cluster: str
    folder: str
    age: int
    newest: Optional[Attempt]
    last: Optional[Attempt]


def judge(
    cluster: str,
    folder: str,
    attempts: Sequence[Attempt],
    max_age: int,
    now: float,
    exists: Callable[[str], bool] = os.path.isfile,
) -> Status:
    """``attempts`` are the newest first. ``now`` is in seconds since the epoch."""
    last = attempts[0] if attempts else None
    good = next((attempt for attempt in attempts if attempt.is_good), None)
    newest = next((attempt for attempt in attempts if attempt.is_good and attempt.path), None)
    age = max(0, int(now - epoch(good.at))) if good else -1
    state, why = _verdict(last, good, newest, age, max_age, exists)
    return Status(state, why, cluster, folder, age, newest, last)


def _verdict(
    last: Optional[Attempt],
    good: Optional[Attempt],
    newest: Optional[Attempt],
    age: int,
    max_age: int,
    exists: Callable[[str], bool],
) -> Tuple[str, str]:
    if last is None:
        return TOO_OLD, "no run has been recorded on this host"
    if not last.is_good:
        since = f"; the last good one was {duration(age)} ago" if good else "; there has been no good one"
        return BAD, f"the last run failed, at {last.at}{since}: {last.cause} {last.next_step}".strip()
    if age > max_age:
        return (
            TOO_OLD,
            f"the last run was {duration(age)} ago, and {duration(max_age)} are allowed: see whether its timer runs",
        )
    if last.result == NOT_ITS_TURN:
        return OK, f"{last.cause}; whether the agent of that host runs, this one does not know"
    if newest and not exists(newest.path):
        return BAD, f"{newest.path}, of the run at {newest.at}, is gone"
    return OK, f"{last.result}, {duration(age)} ago"
