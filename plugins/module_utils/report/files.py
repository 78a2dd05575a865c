# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of reports on the controller: private, never overwriting, and bounded."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from typing import Any, Dict, Iterable, List, Mapping

KEPT = 50  # reports in a folder, the newest
_ENDINGS = ("json", "html")


def stem(report: Mapping[str, Any]) -> str:
    """A report's file name without its ending: the cluster, when its restore was planned or else the report made, the outcome."""
    name = re.sub(r"[^\w.-]+", "_", report["cluster"], flags=re.ASCII).lstrip(".-")[:100] or "cluster"
    made = re.sub(r"[-:]", "", report["when"][:19]) + "Z"
    planned = re.fullmatch(r"(\d{8}T\d{6}Z)(-[0-9a-f]{8})?", report["restore_id"])
    time = planned[1] if planned else made
    return f"{name}-{time}-{report['outcome']}"


def write(folder: str, name: str, contents: Mapping[str, str]) -> Dict[str, str]:
    """Write ``{ending: text}`` as new files that only their owner can read; returns their paths by ending.

    Where a report has this name already, as after two runs with one outcome, the new one gets a number.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for number in itertools.count(1):
        base = os.path.join(folder, name if number == 1 else f"{name}-{number}")
        paths = {ending: f"{base}.{ending}" for ending in contents}
        if not any(os.path.lexists(path) for path in paths.values()):
            try:
                return _write_all(paths, contents)
            except FileExistsError:
                continue  # another run was quicker
    raise AssertionError("there is always a free number")


def _write_all(paths: Mapping[str, str], contents: Mapping[str, str]) -> Dict[str, str]:
    """All of them or none."""
    made: List[str] = []
    try:
        for ending, path in paths.items():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            made.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(contents[ending])
    except OSError:
        for path in made:
            os.unlink(path)
        raise
    return dict(paths)


def prune(folder: str, outcomes: Iterable[str], keep: int = KEPT) -> List[str]:
    """Remove the reports beyond the newest ``keep``; returns the paths that went. Files that are no reports stay.

    A report is what ``stem`` and ``write`` have made, of a run with one of these ``outcomes``.
    """
    known = "|".join(map(re.escape, outcomes))
    report_name = re.compile(
        rf"(?P<stem>\w[\w.-]*-\d{{8}}T\d{{6}}Z-({known})(-\d+)?)\.({'|'.join(_ENDINGS)})", re.ASCII
    )
    reports: Dict[str, List[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            ours = report_name.fullmatch(entry.name)
            if ours and entry.is_file(follow_symlinks=False):
                reports.setdefault(ours.group("stem"), []).append(entry.path)
    newest_first = sorted(reports.values(), key=lambda paths: max(map(os.path.getmtime, paths)), reverse=True)
    gone = [path for paths in newest_first[keep:] for path in paths]
    for path in gone:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return gone
