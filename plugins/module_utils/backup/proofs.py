# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of the drills of this host, and how far each snapshot is proven: by its SHA-256, which is what it is.

There are three levels, and each holds the ones before: the hash was verified, the structure was read from end to end, it was
restored and compared.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field, fields
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..core.log import Log
from ..core.values import MOMENT, SPARSE, TEXT, to_plain
from .records import SAVED, UNCHANGED, Attempt

PROVEN, FAILED = "proven", "failed"
LOCAL = "local"
NOT_VERIFIED, VERIFIED, READ = "none", "verified", "read"
LEVELS = (NOT_VERIFIED, VERIFIED, READ, PROVEN)
IN_WORDS = {
    NOT_VERIFIED: "not verified",
    VERIFIED: "hash verified",
    READ: "structure read",
    PROVEN: "restored and compared",
}


@dataclass(frozen=True)
class Drill:
    """One drill of one snapshot. ``result`` is ``proven`` or ``failed``; ``level`` is how far it came, ``cause`` why not further.

    ``source`` is ``local``, or the store that it was fetched from; ``path`` is its name there then. ``taken_at`` is when the
    snapshot was taken, ``size`` in bytes, ``picked`` why it was this one. ``parts`` are the seconds of each part,
    ``restore_seconds`` those until a client was served: what a restore of it can be expected to take. ``compared``
    says what was found to be as it should, ``not_compared`` what could not be told. ``check`` are the last lines of the site's
    own check. ``damaged``: the snapshot is to blame, and not the host.
    """

    at: str = field(metadata=MOMENT)
    host: str
    cluster: str
    result: str
    level: str = NOT_VERIFIED
    name: str = field(default="", metadata=TEXT)
    path: str = field(default="", metadata=TEXT)
    source: str = field(default=LOCAL, metadata=TEXT)
    picked: str = field(default="", metadata=TEXT)
    sha256: str = ""
    size: int = 0
    revision: int = 0
    keys: Optional[int] = None
    taken_at: Optional[str] = field(default=None, metadata={**MOMENT, **SPARSE})
    etcd_version: str = ""
    cause: str = field(default="", metadata=TEXT)
    next_step: str = field(default="", metadata=TEXT)
    seconds: float = 0.0
    restore_seconds: float = 0.0
    parts: Dict[str, float] = field(default_factory=dict)
    compared: Tuple[str, ...] = field(default=(), metadata=TEXT)
    not_compared: Tuple[str, ...] = field(default=(), metadata=TEXT)
    check: Tuple[str, ...] = field(default=(), metadata=TEXT)
    damaged: bool = False

    @property
    def is_proof(self) -> bool:
        return self.result == PROVEN

    @property
    def place(self) -> str:
        """Where the snapshot lies, in words; empty where no run has said which one it was."""
        return self.path if self.source == LOCAL else f"{self.path} of the store {self.source}"


DRILLS = Log("drills.jsonl", Drill, most=5000)  # two a day for years: they are also an auditor's


class Proof(NamedTuple):
    """How far a snapshot is proven, and when that was found out."""

    level: str
    at: str


def proofs(drills: Iterable[Drill], attempts: Iterable[Attempt]) -> Dict[str, Proof]:
    """By SHA-256 of the plain snapshot, the highest level that was reached, and when last. Both are in any order."""
    told = [(drill.sha256, Proof(drill.level, drill.at)) for drill in drills]
    # A backup that was saved was verified then, and so was one that nothing was written since.
    told += [(one.sha256, Proof(VERIFIED, one.at)) for one in attempts if one.result in (SAVED, UNCHANGED)]
    found: Dict[str, Proof] = {}
    for sha256, proof in told:
        before = found.get(sha256)
        if sha256 and proof.level in LEVELS[1:] and (not before or _rank(proof) > _rank(before)):
            found[sha256] = proof
    return found


def _rank(proof: Proof) -> Tuple[int, str]:
    return LEVELS.index(proof.level), proof.at


def last_proof(drills: Sequence[Drill]) -> Optional[Drill]:
    """The proof that was made last, of whatever snapshot; ``drills`` are the newest first."""
    return next((one for one in drills if one.is_proof), None)


def newest_proven(drills: Sequence[Drill]) -> Optional[Drill]:
    """The proof of the youngest snapshot that was ever proven, and of that the last one."""
    return max((one for one in drills if one.is_proof), key=lambda one: (one.taken_at or "", one.at), default=None)


def as_json_lines(drills: Sequence[Drill]) -> List[str]:
    return [json.dumps(to_plain(drill), sort_keys=True) for drill in drills]


def as_csv(drills: Sequence[Drill]) -> List[str]:
    """One line a drill below a line of names, as spreadsheets read it; lists and numbers by name are JSON in their cell."""
    names = [one.name for one in fields(Drill)]
    written = io.StringIO()
    writer = csv.DictWriter(written, names, lineterminator="\n")
    writer.writeheader()
    for drill in drills:
        plain = {name: getattr(drill, name) for name in names}
        writer.writerow({name: _cell(one) for name, one in plain.items()})
    return written.getvalue().splitlines()


def _cell(value: object) -> object:
    if isinstance(value, (dict, tuple)):
        return json.dumps(to_plain(value), sort_keys=True) if value else ""
    # A spreadsheet takes such text for a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
