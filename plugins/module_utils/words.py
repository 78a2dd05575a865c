# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster and its backups in words, as lines for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, List, Mapping, Sequence

from .quorum import SERVES, UNASKABLE, UNSTARTED
from .snapshot_order import clock_of


def cluster_in_words(view: Mapping[str, Any]) -> List[str]:
    """What ``observe`` saw: a sentence, then a line for each member, then the alarms."""
    rows: List[List[Any]] = [
        ["member", "endpoint", "state", "version", "db size", "in use", "revision", "raft index", "id"]
    ]
    for member in view["members"]:
        rows.append(
            [
                member["name"] or ("(name unknown)" if member["started"] else "(not started)"),
                member["endpoint"] or ",".join(member["client_urls"]) or ",".join(member["peer_urls"]),
                _state(member),
                member["version"],
                size(member["db_size"]),
                size(member["db_size_in_use"]),
                member["revision"] or "",
                member["raft_index"] or "",
                member["id"],
            ]
        )
    lines = [view["summary"], *table(rows)]
    lines += [f"  ALARM {alarm['alarm']} on member {alarm['member']}" for alarm in view["alarms"]]
    listed = {member["endpoint"] for member in view["members"]}
    for answer in view["endpoints"]:
        told = answer["ok"] or answer["error"] in view["summary"]
        if not told and (answer["state"] == UNASKABLE or answer["endpoint"] not in listed):
            what = "cannot be asked" if answer["state"] == UNASKABLE else "does not answer"
            lines.append(f"  {answer['endpoint']} {what}: {answer['error']}")
    return lines + [f"  Next: {step}" for step in view["next_steps"]]


def backups_in_words(entries: Sequence[Mapping[str, Any]], newest: Mapping[str, Any] | None, folder: str) -> List[str]:
    """How old the newest good snapshot of a folder is, and what else lies there."""
    lines = [f"no usable backup in {folder}"]
    if newest:
        age = f"{duration(newest['age'])} old{clock_of(newest)}"
        lines = [f"newest backup is {newest['path']}, {age}, revision {newest['revision']}"]
    return lines + [f"not usable: {entry['reason']}" for entry in entries if not entry["ok"]]


def printable(line: str) -> str:
    """The line with everything that a terminal would obey, and not show, in escapes: some of its words are the hosts'."""
    return line if line.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)


def table(rows: Sequence[Sequence[Any]], indent: str = "  ") -> List[str]:
    """Rows as aligned columns."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    return [indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def instant(text: str) -> datetime:
    """A time as the journal, the manifest or the plan writes it, with or without a fraction."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    seconds = int(seconds)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def size(count: int) -> str:
    """Bytes in MiB; empty for none, which is what a member that does not answer reports."""
    return f"{count / (1 << 20):,.1f} MiB" if count else ""


def _state(member: Mapping[str, Any]) -> str:
    if member["state"] == UNASKABLE:
        return f"runs, {member['refusal'] or 'does not answer'}"
    if member["state"] != SERVES:
        return "unstarted" if member["state"] == UNSTARTED else "DOWN"
    role = "leader" if member["is_leader"] else "learner" if member["is_learner"] else "follower"
    return role if member["healthy"] else f"{role}, UNHEALTHY"
