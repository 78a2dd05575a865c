# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the backups of this host are, from what its own runs have recorded: for a monitor, without asking the cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Callable, Collection, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ..backup.copies import was_there
from ..backup.proofs import DRILLS, LOCAL, Drill, last_proof, newest_proven
from ..backup.records import BACKUPS, NOT_ITS_TURN, Attempt
from ..core.errors import EtcdError
from ..core.text import duration, seconds_since
from ..core.values import TEXT
from .settings import PATH, Settings, load

OK, BAD, TOO_OLD, NOT_PROVEN = "ok", "failed", "too old", "not proven"
_DAY = 86400
# Days after which a host on which no drill has ever succeeded is told of, at the latest: what backups.jsonl surely holds.
LATEST = 9


# Whether the snapshot of this path lies on this host (``LOCAL``), or the one of this name in the store, as it was last seen.
Exists = Callable[[str, str], bool]


@dataclass(frozen=True)
class Status:
    """``state`` is ``ok``, ``failed``, ``too old`` or ``not proven``. ``age`` are the seconds since the last run that was good,
    -1 for never.

    ``newest`` is the newest snapshot that a run of this host has saved, or has read again from end to end, and ``verified_age``
    the seconds since then. ``proven`` is the drill of the youngest snapshot that was proven by one, and ``proven_age`` the
    seconds since then; ``last_proof`` is the last drill that proved any, and ``last_proof_age`` the seconds since then, which
    must not grow too many. All are -1 for never. ``drilled`` is the last drill.
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
    last_proof: Optional[Drill] = None
    last_proof_age: int = -1
    drilled: Optional[Drill] = None


class Unproven(NamedTuple):
    """Since when no drill of a host has proven a backup, the days that this may last, and whether one ever did."""

    since: str
    days: int
    ever: bool


def exists_by(state_dir: str, stores: Collection[str]) -> Exists:
    """By the disk, and by this host's copies of the manifests of its ``stores``: one that is no more of these has nothing."""

    def exists(source: str, path: str) -> bool:
        if source == LOCAL:
            return os.path.isfile(path)
        return source in stores and was_there(state_dir, source, path)

    return exists


def health_here(cluster: str, now: float, path: str = PATH) -> Optional[Status]:
    """How the backups of the cluster by this host's agent are; None where it has no agent for it."""
    if not os.path.lexists(path):
        return None
    try:
        settings = load(path)
    except EtcdError as error:
        return Status(BAD, str(error), cluster, "", -1, None, None)
    return health_of(settings, now) if settings.cluster == cluster else None


def health_of(settings: Settings, now: float) -> Status:
    cluster, folder = settings.cluster, settings.folder
    attempts, drills = BACKUPS.last(settings.state_dir, cluster), DRILLS.last(settings.state_dir, cluster)
    exists = exists_by(settings.state_dir, settings.store_names)
    return judge(cluster, folder, attempts, settings.max_age, now, exists, drills, settings.proof_age)


def judge(
    cluster: str,
    folder: str,
    attempts: Sequence[Attempt],
    max_age: int,
    now: float,
    exists: Exists,
    drills: Sequence[Drill] = (),
    proof_age: int = 0,
) -> Status:
    """``attempts`` and ``drills`` are the newest first. ``now`` is in seconds since the epoch.

    ``proof_age`` are the days that a proof is good for, 0 for any number.
    """
    last = attempts[0] if attempts else None
    good = next((attempt for attempt in attempts if attempt.is_good), None)
    newest = next((attempt for attempt in attempts if attempt.is_good and attempt.path), None)
    proven, proof = newest_proven(drills), last_proof(drills)
    age = _age(good, now)
    state, why = _verdict(last, good, newest, age, max_age, exists)
    if state == OK:
        state, why = _proof(drills, unproven(drills, attempts, proof_age), now, exists) or (state, why)
    return Status(
        state,
        why,
        cluster,
        folder,
        age,
        newest,
        last,
        verified_age=_age(newest, now),
        proven=proven,
        proven_age=_age(proven, now),
        last_proof=proof,
        last_proof_age=_age(proof, now),
        drilled=drills[0] if drills else None,
    )


def _age(of: Union[Attempt, Drill, None], now: float) -> int:
    return seconds_since(of.at, now) if of else -1


def unproven(drills: Sequence[Drill], attempts: Sequence[Attempt], days: int) -> Optional[Unproven]:
    """Of a host that may go ``days`` without a proof; None for any number, and where it has nothing to prove.

    What was never proven is so since the oldest backup that is known.
    """
    proof = last_proof(drills)
    first = next((attempt for attempt in reversed(attempts) if attempt.is_good and attempt.path), None)
    if days and proof:
        return Unproven(proof.at, days, True)
    if days and first:
        return Unproven(first.at, min(days, LATEST), False)
    return None


def _proof(
    drills: Sequence[Drill], waited: Optional[Unproven], now: float, exists: Exists
) -> Optional[Tuple[str, str]]:
    """What is to be said of the proofs of a host whose backups are well; None where that is nothing."""
    failed = unsettled(drills, exists)
    if failed:
        return BAD, _failure(failed)
    age = seconds_since(waited.since, now) if waited else 0
    if not waited or age <= waited.days * _DAY:
        return None
    if not waited.ever:
        return NOT_PROVEN, f"no backup was ever proven by a drill, for {duration(age)}: run quorum-etcd drill"
    return NOT_PROVEN, (
        f"no backup was proven by a drill for {duration(age)}, and {waited.days} days are allowed: see whether its timer runs"
    )


def _failure(failed: Drill) -> str:
    said = (
        f"the drill of {failed.place or 'a snapshot'} failed, at {failed.at}: {failed.cause} {failed.next_step}".strip()
    )
    if not failed.damaged or failed.source == LOCAL:
        return said
    return (
        f"{said} Once it is put right there, run quorum-etcd drill --offsite {failed.path}; once it is deleted there, run"
        " quorum-etcd list --offsite."
    )


def unsettled(drills: Sequence[Drill], exists: Exists) -> Optional[Drill]:
    """The last drill that failed and still counts; ``drills`` are the newest first."""
    proven: Set[Tuple[str, str]] = set()
    for drill in drills:
        if drill.is_proof:
            proven.add((drill.source, drill.path))
        elif not _is_settled(drill, proven, exists):
            return drill
    return None


def _is_settled(failed: Drill, proven: Collection[Tuple[str, str]], exists: Exists) -> bool:
    """By what was ``proven`` later, each as its source and its path.

    What is damaged is so until this very snapshot is proven, or is gone: another one, or the same in another store, says
    nothing of it. Where it was not the snapshot's fault, any later proof shows that this host can do drills again, and only one
    from the same store that this can be reached too.
    """
    if failed.damaged:
        return (failed.source, failed.path) in proven or not exists(failed.source, failed.path)
    if failed.source == LOCAL:
        return bool(proven)
    return failed.source in {source for source, _path in proven} or not exists(failed.source, failed.path)


def _verdict(
    last: Optional[Attempt],
    good: Optional[Attempt],
    newest: Optional[Attempt],
    age: int,
    max_age: int,
    exists: Exists,
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
    if newest and not exists(LOCAL, newest.path):
        return BAD, f"{newest.path}, of the run at {newest.at}, is gone"
    return OK, f"{last.result}, {duration(age)} ago"
