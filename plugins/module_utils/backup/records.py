# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of the last runs on this host: one line of JSON each, for people and monitors; the failed ones too.

They lie in the state folder and not beside the snapshots, whose disk may be full or gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass, field
from typing import Iterator, List, Tuple

from ..core import strict_json
from ..core.durable import add_line, put
from ..core.values import MOMENT, TEXT, from_plain, to_plain

FILE = "backups.jsonl"
MOST = 500  # lines that are kept: ten days of half hours

SAVED, UNCHANGED, NOT_ITS_TURN, FAILED = "saved", "unchanged", "not its turn", "failed"


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


def record(state_dir: str, attempt: Attempt) -> None:
    """Add the attempt; the oldest go. OSError where it cannot be written."""
    os.makedirs(state_dir, mode=0o755, exist_ok=True)
    path = os.path.join(state_dir, FILE)
    with _alone(state_dir):
        lines = _lines(path)
        if len(lines) >= 2 * MOST:
            put(path, ("\n".join(lines[-MOST:]) + "\n").encode())
        add_line(path, json.dumps(to_plain(attempt), sort_keys=True))


def last_attempts(state_dir: str, cluster: str, most: int = 0) -> List[Attempt]:
    """The attempts of a cluster, the newest first. A line that cannot be understood is none."""
    found = []
    for line in reversed(_lines(os.path.join(state_dir, FILE))):
        with contextlib.suppress(ValueError):
            attempt = from_plain(Attempt, strict_json.parse(line))
            if attempt.cluster == cluster:
                found.append(attempt)
    return found[: most or MOST]


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lines(path: str) -> List[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line for line in file.read().split("\n") if line]
    except OSError:
        return []
