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


@dataclass(frozen=True)
class Attempt:
    """One run. ``result`` is ``saved``, ``unchanged`` (nothing was written since ``path``, which was read and found whole),
    ``not its turn`` or ``failed``; ``cause`` says why, and ``next_step`` what to do. ``size`` is in bytes, ``revision`` the
    cluster's. ``removed`` and ``damaged`` are names of snapshots, ``concerns`` what would keep a restore of it from being used.
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


BACKUPS = Log("backups.jsonl", Attempt, most=500)  # ten days of half hours
PRUNES = Log("prunes.jsonl", Pruning, most=100)
