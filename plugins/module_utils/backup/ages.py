# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How old the newest verified and the newest proven backup of a host are, and the newest in its stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Sequence

from ..core.text import seconds_since
from ..core.values import MOMENT, TEXT
from ..snapshot.entry import Snapshot
from .proofs import LOCAL, Drill, newest_proven
from .records import Upload


@dataclass(frozen=True)
class Aged:
    """A backup, and how old it is: ``age`` are the seconds since it was taken, ``told_age`` those since that was found out.

    ``restore_seconds`` is how long its restore took; 0 where none was tried.
    """

    path: str = field(metadata=TEXT)
    taken_at: str = field(metadata=MOMENT)
    age: int
    told_age: int = 0
    restore_seconds: float = 0.0


@dataclass(frozen=True)
class Stored:
    """The newest snapshot that a store holds whole, by the last run that looked; ``age`` is -1 where it holds none.

    ``cause`` is why that run failed, empty where it did not. ``proven`` is the newest that a drill has fetched from there.
    """

    store: str
    newest: str = field(default="", metadata=TEXT)
    age: int = -1
    told_age: int = 0
    cause: str = field(default="", metadata=TEXT)
    proven: Optional[Aged] = None


@dataclass(frozen=True)
class Ages:
    """``verified`` and ``proven`` lie on the host itself."""

    verified: Optional[Aged] = None
    proven: Optional[Aged] = None
    offsite: Sequence[Stored] = ()


def ages(newest: Optional[Snapshot], drills: Sequence[Drill], uploads: Sequence[Upload], now: float) -> Ages:
    """``newest`` is the newest good snapshot, ``drills`` and ``uploads`` are the newest first; ``now`` is in seconds."""
    verified = Aged(newest.path, newest.taken_at, newest.age) if newest and newest.verified else None
    return Ages(verified, _proven(drills, LOCAL, now), _stored(drills, uploads, now))


def _proven(drills: Sequence[Drill], source: str, now: float) -> Optional[Aged]:
    proof = newest_proven([drill for drill in drills if drill.source == source])
    if not proof:
        return None
    taken = proof.taken_at or proof.at
    return Aged(proof.path, taken, seconds_since(taken, now), seconds_since(proof.at, now), proof.restore_seconds)


def _stored(drills: Sequence[Drill], uploads: Sequence[Upload], now: float) -> List[Stored]:
    """Of each store what its last run has told, and of one that failed, what an earlier one has."""
    found = []
    for store in sorted({upload.store for upload in uploads}):
        own = [upload for upload in uploads if upload.store == store]
        told = next((upload for upload in own if upload.newest_at), own[0])
        age = seconds_since(told.newest_at, now) if told.newest_at else -1
        cause = "" if own[0].is_good else own[0].cause
        found.append(Stored(store, told.newest, age, seconds_since(told.at, now), cause, _proven(drills, store, now)))
    return found
