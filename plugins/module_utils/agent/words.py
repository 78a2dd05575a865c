# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent says, as lines for a terminal."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence

from ..backup.records import FAILED, NOT_ITS_TURN, SAVED, UNCHANGED, Attempt
from ..backup.retention import REMOVE, Decision
from ..core.text import size, table
from .health import Status


def attempt_in_words(attempt: Attempt) -> List[str]:
    """What became of one run."""
    lines = {
        SAVED: f"saved {attempt.path}: {attempt.size} bytes, revision {attempt.revision}, from {attempt.endpoint}, verified,"
        f" in {attempt.seconds:g} s",
        UNCHANGED: f"nothing to save: {attempt.cause}, which was read and is whole (revision {attempt.revision})",
        NOT_ITS_TURN: f"nothing to do: {attempt.cause}",
        FAILED: f"FAILED: {attempt.cause}",
    }
    said = [lines.get(attempt.result, attempt.result)]
    if attempt.next_step:
        said.append(f"  Next: {attempt.next_step}")
    said += [f"  removed {name}, as no rule keeps it" for name in attempt.removed]
    said += [f"  not usable, and left: {reason}" for reason in attempt.damaged]
    return said + [f"  {concern}" for concern in attempt.concerns]


def status_in_words(status: Status) -> List[str]:
    lines = [f"backups of cluster {status.cluster} on this host: {status.state.upper()} ({status.why})"]
    if status.newest:
        newest = status.newest
        lines.append(f"  newest  {newest.path}, revision {newest.revision}, {size(newest.size)}, whole at {newest.at}")
    if status.last:
        lines.append(f"  last    {status.last.at} {status.last.result}")
    return lines


def decisions_in_words(decisions: Sequence[Decision], pretended: bool) -> List[str]:
    doomed = [one for one in decisions if one.verdict == REMOVE]
    verb = "would remove" if pretended else "removed"
    lines = [f"{verb} {one.entry.path}, as {one.why}" for one in doomed] or ["nothing to remove"]
    return lines + [f"  {one.verdict:5}  {one.entry.name}: {one.why}" for one in decisions if one.verdict != REMOVE]


def list_in_words(folder: str, rows: Sequence[Mapping[str, Any]]) -> List[str]:
    if not rows:
        return [f"no snapshot in {folder}"]
    heads = ["snapshot", "taken", "revision", "size", "state", "kept"]
    return [
        f"snapshots in {folder}, the youngest first",
        *table(
            [
                heads,
                *[
                    [
                        row["name"],
                        row["taken_at"],
                        row["revision"] or "",
                        size(row["size"]),
                        "NOT USABLE" if not row["ok"] else "whole" if row["verified"] else "not read",
                        row["why"],
                    ]
                    for row in rows
                ],
            ]
        ),
    ]
