# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the backups of this host are, from what its own runs have recorded: for a monitor, without asking the cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence, Tuple

from ..backup.proofs import LOCAL, Drill, newest_proven
from ..backup.records import NOT_ITS_TURN, Attempt
from ..core.text import duration, seconds_since
from ..core.values import TEXT

OK, BAD, TOO_OLD, NOT_PROVEN = "ok", "failed", "too old", "not proven"
_DAY = 86400
# Days after which a host on which no drill has ever succeeded is told of, at the latest: what backups.jsonl surely holds.
LATEST = 9


@dataclass(frozen=True)
class Status:
    """``state`` is ``ok``, ``failed``, ``too old`` or ``not proven``. ``age`` are the seconds since the last run that was good,
    -1 for never.

    ``newest`` is the newest snapshot that a run of this host has saved, or has read again from end to end, and ``verified_age``
    the seconds since then. ``proven`` is the drill of the youngest snapshot that was proven by one, and ``proven_age`` the
    seconds since then. Both are -1 for never. ``drilled`` is the last drill.
    """

    state: str
    why: str = field(metadata=TEXT)
    cluster: str
    folder: str
    age: int
    newest: Optional[Attempt]
    last: Optional[Attempt]
    verified_age: int = -1
    proven: Optional[Drill] = None
    proven_age: int = -1
    drilled: Optional[Drill] = None


def judge(
    cluster: str,
    folder: str,
    attempts: Sequence[Attempt],
    max_age: int,
    now: float,
    exists: Callable[[str], bool] = os.path.isfile,
    drills: Sequence[Drill] = (),
    proof_age: int = 0,
) -> Status:
    """``attempts`` and ``drills`` are the newest first. ``now`` is in seconds since the epoch.

    ``proof_age`` are the days that a proof is good for, 0 for any number.
    """
    last = attempts[0] if attempts else None
    good = next((attempt for attempt in attempts if attempt.is_good), None)
    newest = next((attempt for attempt in attempts if attempt.is_good and attempt.path), None)
    proven = newest_proven(drills)
    age = seconds_since(good.at, now) if good else -1
    state, why = _verdict(last, good, newest, age, max_age, exists)
    if state == OK:
        first = next((attempt for attempt in reversed(attempts) if attempt.is_good and attempt.path), None)
        state, why = _proof(drills, proven, first, proof_age, now, exists) or (state, why)
    return Status(
        state,
        why,
        cluster,
        folder,
        age,
        newest,
        last,
        seconds_since(newest.at, now) if newest else -1,
        proven,
        seconds_since(proven.at, now) if proven else -1,
        drills[0] if drills else None,
    )


def _proof(
    drills: Sequence[Drill],
    proven: Optional[Drill],
    first: Optional[Attempt],
    days: int,
    now: float,
    exists: Callable[[str], bool],
) -> Optional[Tuple[str, str]]:
    """What is to be said of the proofs of a host whose backups are well; None where that is nothing.

    ``first`` is the oldest backup that is known. A host that has never made one has nothing to prove.
    """
    failed = unsettled(drills, exists)
    if failed:
        whose = failed.path or "a snapshot"
        return BAD, f"the drill of {whose} failed, at {failed.at}: {failed.cause} {failed.next_step}".strip()
    since = proven or first
    if not (days and since):
        return None
    age = seconds_since(since.at, now)
    if proven and age > days * _DAY:
        return NOT_PROVEN, (
            f"no backup was proven by a drill for {duration(age)}, and {days} days are allowed: see whether its timer runs"
        )
    if not proven and age > min(days, LATEST) * _DAY:
        return NOT_PROVEN, f"no backup was ever proven by a drill, for {duration(age)}: run quorum-etcd drill"
    return None


def unsettled(drills: Sequence[Drill], exists: Callable[[str], bool]) -> Optional[Drill]:
    """The last drill that failed and still counts: a later one has not proven the same snapshot, which is still there.

    Where it was not the snapshot's fault, any later proof settles it: the host can do drills again. So it is with what lies
    off-site, which this host does not see.
    """
    proven = set()
    for drill in drills:
        if drill.is_proof:
            proven.add(drill.path)
        elif drill.damaged and drill.source == LOCAL:
            if drill.path not in proven and exists(drill.path):
                return drill
        elif not proven:
            return drill
    return None


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
