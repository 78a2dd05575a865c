# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of the last runs on this host; the failed ones too.

They lie in the state folder and not beside the snapshots, whose disk may be full or gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from ..core.log import Log
from ..core.values import MOMENT, TEXT

SAVED, UNCHANGED, NOT_ITS_TURN, FAILED = "saved", "unchanged", "not its turn", "failed"
PRUNED = "pruned"
SHIPPED, UP_TO_DATE = "shipped", "up to date"


@dataclass(frozen=True)
class Attempt:
    """One run. ``result`` is ``saved``, ``unchanged`` (nothing was written since ``path``, which was read and found whole),
    ``not its turn`` or ``failed``; ``cause`` says why, and ``next_step`` what to do. ``size`` is in bytes, ``packed_size``
    that of a compressed one, ``revision`` the cluster's. ``mine``: it was this host's turn. ``removed`` and ``damaged`` are
    names of snapshots, ``concerns`` what would keep a restore of it from being used, and members that have strayed.
    """

    at: str = field(metadata=MOMENT)
    host: str
    cluster: str
    folder: str
    result: str
    cause: str = field(default="", metadata=TEXT)
    next_step: str = field(default="", metadata=TEXT)
    seconds: float = 0.0
    cluster_id: str = ""
    revision: int = 0
    path: str = field(default="", metadata=TEXT)
    size: int = 0
    sha256: str = ""
    endpoint: str = ""
    removed: Tuple[str, ...] = field(default=(), metadata=TEXT)
    damaged: Tuple[str, ...] = field(default=(), metadata=TEXT)
    concerns: Tuple[str, ...] = field(default=(), metadata=TEXT)
    packed_size: int = 0
    mine: bool = True

    @property
    def is_good(self) -> bool:
        return self.result != FAILED


@dataclass(frozen=True)
class Pruning:
    """One removal of old snapshots, by a run or by hand. ``result`` is ``pruned`` or ``failed``, ``kept`` how many snapshots of
    the cluster stayed, and ``size`` how many bytes ``removed`` had."""

    at: str = field(metadata=MOMENT)
    host: str
    cluster: str
    folder: str
    result: str
    cause: str = field(default="", metadata=TEXT)
    next_step: str = field(default="", metadata=TEXT)
    seconds: float = 0.0
    cluster_id: str = ""
    kept: int = 0
    removed: Tuple[str, ...] = field(default=(), metadata=TEXT)
    size: int = 0


@dataclass(frozen=True)
class Upload:
    """What became of one store in one run. ``result`` is ``shipped``, ``up to date`` (it had everything) or ``failed``.

    ``sent`` are the names of the snapshots that were shipped, ``size`` their bytes there, ``waiting`` how many still wait in
    the spool for this store. ``newest`` is the newest snapshot that the store holds with all that it needs, ``newest_at`` when
    that was taken; ``whole`` how many such it holds of this etcd cluster. ``removed`` are the names of those that no rule keeps.
    """

    at: str = field(metadata=MOMENT)
    host: str
    cluster: str
    store: str
    result: str
    cause: str = field(default="", metadata=TEXT)
    next_step: str = field(default="", metadata=TEXT)
    seconds: float = 0.0
    cluster_id: str = ""
    sent: Tuple[str, ...] = field(default=(), metadata=TEXT)
    size: int = 0
    waiting: int = 0
    newest: str = field(default="", metadata=TEXT)
    newest_at: str = field(default="", metadata=TEXT)
    whole: int = 0
    removed: Tuple[str, ...] = field(default=(), metadata=TEXT)

    @property
    def is_good(self) -> bool:
        return self.result != FAILED


BACKUPS = Log("backups.jsonl", Attempt, most=500)  # ten days of half hours
UPLOADS = Log("uploads.jsonl", Upload, most=1000)  # ten days of half hours, of two stores
PRUNES = Log("prunes.jsonl", Pruning, most=100)
