# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent says, as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Mapping, Sequence

from ..backup.proofs import IN_WORDS, NOT_VERIFIED, Drill
from ..backup.records import FAILED, NOT_ITS_TURN, SAVED, UNCHANGED, Attempt, Upload
from ..backup.retention import REMOVE, Decision
from ..core.text import counted, duration, size, table
from .health import Status

_MOST_FAILED = 10  # runs that a list tells


if TYPE_CHECKING:  # of a run that fetches nothing it is not loaded
    from ..backup.fetching import Fetched


def attempt_in_words(attempt: Attempt) -> List[str]:
    """What became of one run."""
    lines = {
        SAVED: f"saved {attempt.path}: {attempt.size} bytes{_packed(attempt)}, revision {attempt.revision}, from"
        f" {attempt.endpoint}, verified, in {attempt.seconds:g} s",
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


def drills_in_words(drills: Sequence[Drill], folder: str, cluster: str) -> List[str]:
    """What became of a run of drills."""
    if not drills:
        return [f"nothing to drill: no snapshot of cluster {cluster} lies in {folder} of this host"]
    return [line for drill in drills for line in drill_in_words(drill)]


def drill_in_words(drill: Drill) -> List[str]:
    told = f" in {drill.seconds:g} s"
    if drill.is_proof:
        lines = [
            f"proven: {drill.place}, {size(drill.size)}, was restored by etcd {drill.etcd_version} and is as it"
            f" should be{told} ({drill.picked})",
            f"  {', '.join(drill.compared)}",
        ]
    else:
        how_far = f", after {IN_WORDS[drill.level]}" if drill.level != NOT_VERIFIED else ""
        lines = [f"FAILED: {drill.place}{how_far}{told} ({drill.picked}): {drill.cause}"] if drill.path else []
        lines = lines or [f"FAILED: {drill.cause}"]
        lines += [f"  Next: {drill.next_step}"] if drill.next_step else []
    lines += [f"  not compared: {why}" for why in drill.not_compared]
    if drill.is_proof:
        lines.append(f"  a restore of it takes about {drill.restore_seconds:g} s on this host, until it serves")
    return lines + [f"  check: {line}" for line in drill.check]


def _packed(attempt: Attempt) -> str:
    return f", compressed to {attempt.packed_size}" if attempt.packed_size else ""


def uploads_in_words(uploads: Sequence[Upload]) -> List[str]:
    """What became of each store."""
    lines = []
    for one in uploads:
        if one.is_good:
            did = f"{counted(len(one.sent), 'snapshot')} shipped, {one.size:,} bytes" if one.sent else "up to date"
            lines.append(
                f"off-site {one.store}: {did}, in {one.seconds:g} s; {one.whole:,} there, the newest {one.newest}"
            )
        else:
            lines.append(f"off-site {one.store}: FAILED: {one.cause}")
            lines += [f"  Next: {one.next_step}"] if one.next_step else []
            lines.append(f"  {counted(one.waiting, 'snapshot')} still to be shipped to it")
        lines += [f"  removed {name} there, as no rule keeps its chain" for name in one.removed]
    return lines


def fetched_in_words(done: Fetched) -> List[str]:
    did = f"fetched from the store {done.store}, and whole" if done.fetched else "there already, and whole"
    lines = [
        f"{done.path}: {did}: {done.size:,} bytes, revision {done.revision:,}, taken {done.taken_at}.",
        f"  Its SHA-256 is {done.sha256}.",
    ]
    lines += [f"  What was in its place and is not that snapshot is {done.aside} now."] if done.aside else []
    return lines + [f"  Not used: {note}" for note in done.notes]


def status_in_words(status: Status) -> List[str]:
    lines = [f"backups of cluster {status.cluster} on this host: {status.state.upper()} ({status.why})"]
    if status.newest:
        newest = status.newest
        ago = duration(status.verified_age)
        lines.append(
            f"  newest  {newest.path}, revision {newest.revision}, {size(newest.size)}, verified {ago} ago, at {newest.at}"
        )
        lines += [f"  proven  {line}" for line in _proven(status)]
    if status.last:
        lines.append(f"  last    {status.last.at} {status.last.result}")
    return lines


def _proven(status: Status) -> List[str]:
    proven = status.proven
    if not proven:
        return ["none by a drill"]
    taken = f", taken at {proven.taken_at}" if proven.taken_at else ""
    restore = f"a restore takes about {proven.restore_seconds:g} s"
    lines = [
        f"{proven.place}{taken}, restored and compared {duration(status.proven_age)} ago, at {proven.at}; {restore}"
    ]
    if status.last_proof and status.last_proof != proven:
        lines.append(f"{status.last_proof.place}, an older one, {duration(status.last_proof_age)} ago")
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
                        _state(row),
                        row["why"],
                    ]
                    for row in rows
                ],
            ]
        ),
    ]


def failed_in_words(failed: Sequence[Mapping[str, str]]) -> List[str]:
    """The runs that made no snapshot, each with its cause; of many the last ones."""
    if not failed:
        return []
    lines = ["runs that failed, the youngest first", *(f"  {one['at']}  {one['cause']}" for one in failed)]
    more = len(failed) - _MOST_FAILED
    return [*lines[: _MOST_FAILED + 1], *([f"  and {more:,} before: see --json"] if more > 0 else [])]


def _state(row: Mapping[str, Any]) -> str:
    """How far a snapshot is proven, and how long ago."""
    if not row["ok"]:
        return "NOT USABLE"
    ago = f", {duration(row['level_age'])} ago" if row["level_age"] > 0 else ""
    return f"{IN_WORDS[row['level']]}{ago}"
