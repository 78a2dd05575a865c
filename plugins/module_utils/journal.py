# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore did on this host, step by step, so that a run that was killed anywhere is simply run again.

One folder a restore, ``<state_dir>/restores/<restore id>/``: ``plan.json`` (this host's part of the plan),
``journal.jsonl`` (one line a step, on the disk before the next step begins) and ``config/`` (the configuration files as
they were). Restore ids start with a UTC time, so the newest sorts last.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import time
from typing import Any, Dict, Iterator, List, Optional

from .errors import EtcdError

# The steps in their order. From STOPPING on, the old cluster is touched: such a restore must be completed or rolled back.
PLANNED, STAGED, STOPPING, STOPPED = "planned", "staged", "stopping", "stopped"
CONFIGURED, SET_ASIDE, RESTORED, SWAPPED, STARTED = "configured", "set_aside", "restored", "swapped", "started"
SERVING, PROVEN, FINISHED = "serving", "proven", "finished"
PAUSED, RESUMED = "paused", "resumed"  # the controllers of a Kubernetes above it, which stop with the member
ROLLING_BACK, ROLLED_BACK = "rolling_back", "rolled_back"
CLOSED = (FINISHED, ROLLED_BACK)


class Journal:
    """The journal of one restore on this host."""

    def __init__(self, state_dir: str, restore_id: str) -> None:
        self.folder = os.path.join(state_dir, "restores", restore_id)
        self.config_folder = os.path.join(self.folder, "config")
        self._path = os.path.join(self.folder, "journal.jsonl")
        self._plan_path = os.path.join(self.folder, "plan.json")

    def open(self, plan: Dict[str, Any]) -> None:
        """Begin: keep the plan. A journal that was already begun goes on with the plan it has."""
        if os.path.exists(self._plan_path):
            return
        os.makedirs(self.config_folder, mode=0o700, exist_ok=True)
        _write_synced(self._plan_path, json.dumps(plan, indent=1, sort_keys=True), "w")
        self.record(PLANNED)

    def record(self, step: str, **details: Any) -> None:
        """Append one step; it is on the disk when this returns."""
        line = {"time": _now(), "step": step, **details}
        # The newline in front ends a line that a power failure cut off, which would else swallow this one.
        _write_synced(self._path, "\n" + json.dumps(line, sort_keys=True) + "\n", "a")

    def entries(self) -> List[Dict[str, Any]]:
        """Every step so far. A last line cut off by a power failure is no step."""
        try:
            with open(self._path, encoding="utf-8") as journal:
                lines = journal.read().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def steps(self) -> List[str]:
        return [entry["step"] for entry in self.entries()]

    def has(self, step: str) -> bool:
        """Whether ``step`` was done; a rollback takes back what came before it."""
        return step in self.steps()

    def is_open(self) -> bool:
        """Whether it must still be completed or rolled back."""
        done = self.steps()
        return not (done and done[-1] in CLOSED)

    def goes_back(self) -> bool:
        """Whether a rollback was begun. Its own last step may be any of several, and what came before no longer holds."""
        return any(step in (ROLLING_BACK, ROLLED_BACK) for step in self.steps())

    def plan(self) -> Optional[Dict[str, Any]]:
        """The plan that this restore follows; None where none was begun."""
        try:
            with open(self._plan_path, encoding="utf-8") as plan:
                return json.load(plan)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise EtcdError(
                f"{self._plan_path} cannot be read: {error}.", "move this folder away if no restore is under way here."
            ) from error


@contextlib.contextmanager
def exclusive(state_dir: str, seconds: float = 300.0) -> Iterator[None]:
    """Only one phase at a time on this host: a module of a run that was killed may still be at work, as may a colleague.

    Waits at most so many seconds, then EtcdError. The lock goes with the process that holds it, however that ends.
    """
    os.makedirs(os.path.join(state_dir, "restores"), mode=0o700, exist_ok=True)
    deadline = time.monotonic() + seconds
    with open(os.path.join(state_dir, "restores", ".lock"), "w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise EtcdError(
                        f"another restore is at work on this host for more than {seconds:.0f} seconds.",
                        "see with 'ps' what it does, wait until it has ended, and run again.",
                    ) from error
                time.sleep(0.2)
        yield


def latest(state_dir: str) -> Optional[Journal]:
    """The journal of the newest restore on this host that has a plan; None where there was none."""
    folder = os.path.join(state_dir, "restores")
    try:
        names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    journals = (Journal(state_dir, name) for name in names)
    return next((journal for journal in journals if journal.plan()), None)


def summary(state_dir: str) -> Dict[str, Any]:
    """What the plan needs to know of the newest restore here; empty where there was none.

    ``{"restore_id", "step": the last one, "open": bool, "touched": bool, "back": bool, "plan": {...}, "highest_revision"}``;
    ``touched`` says that the old cluster was stopped or changed, ``back`` that a rollback was begun: there is only that way
    from then on.
    """
    journal = latest(state_dir)
    if journal is None:
        return {}
    steps = journal.steps()
    return {
        "restore_id": os.path.basename(journal.folder),
        "step": steps[-1] if steps else PLANNED,
        "open": journal.is_open(),
        "touched": STOPPING in steps,
        "back": journal.goes_back(),
        "plan": journal.plan(),
        "highest_revision": highest_revision(state_dir),
    }


def highest_revision(state_dir: str) -> int:
    """The highest revision that any restore on this host knew of, or started a member with, whatever became of it."""
    folder = os.path.join(state_dir, "restores")
    highest = 0
    for name in os.listdir(folder):
        journal = Journal(state_dir, name)
        with contextlib.suppress(EtcdError, OSError):  # what is no journal, or is broken, records nothing
            of = (journal.plan() or {}).get("of") or {}
            highest = max(
                highest, int(of.get("seen") or 0), int(of.get("revision") or 0) if journal.has(STARTED) else 0
            )
    return highest


def _write_synced(path: str, text: str, mode: str) -> None:
    temporary = path if mode == "a" else path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "a" else os.O_TRUNC), 0o600)
    with os.fdopen(descriptor, mode, encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    if temporary != path:
        os.rename(temporary, path)
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make renames and new names in ``path`` survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
