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

from . import strict_json
from .errors import EtcdError

# The steps in their order. From STOPPING on, the old cluster is touched: such a restore must be completed or rolled back.
PLANNED, STAGED, STOPPING, STOPPED = "planned", "staged", "stopping", "stopped"
CONFIGURED, SET_ASIDE, RESTORED, SWAPPED, STARTED = "configured", "set_aside", "restored", "swapped", "started"
SERVING, PROVEN, FINISHED = "serving", "proven", "finished"
WRONG = "wrong"  # the restored cluster is not the planned one: there is only the way back
PAUSED, RESUMED = "paused", "resumed"  # the controllers of a Kubernetes above it, which stop with the member
ROLLING_BACK, ROLLED_BACK = "rolling_back", "rolled_back"
CLOSED = (FINISHED, ROLLED_BACK)

# What is read of a line, and of a host's plan, here; the plan's other parts are the phases' own.
_STEP = {"step": strict_json.WORD, "time": (strict_json.WORD, None)}
_PLAN = {"of": ({"seen": (int, None), "revision": (int, None)}, None)}
_UNREADABLE = "see what wrote to it; move its folder away if no restore is under way on this host."


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
        """Every step so far. A line that a power failure cut off, or left as zeros, is no step.

        EtcdError for a line that is whole and no step: nobody knows then how far the restore came.
        """
        try:
            with open(self._path, encoding="utf-8", errors="replace") as journal:
                lines = journal.read().split("\n")
        except FileNotFoundError:
            return []
        found = []
        for number, line in enumerate(lines, 1):
            try:
                entry = strict_json.parse(line)
            except ValueError:
                continue
            wrong = strict_json.misfit(entry, _STEP)
            if wrong:
                raise EtcdError(f"line {number} of {self._path} is no step of a restore: {wrong}.", _UNREADABLE)
            found.append(entry)
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
        return any(step in (WRONG, ROLLING_BACK, ROLLED_BACK) for step in self.steps())

    def plan(self) -> Optional[Dict[str, Any]]:
        """The plan that this restore follows; None where none was begun."""
        try:
            plan = strict_json.read_file(self._plan_path, "the plan of a restore,", _UNREADABLE)
        except FileNotFoundError:
            return None
        wrong = strict_json.misfit(plan, _PLAN)
        if wrong:
            raise EtcdError(f"{self._plan_path} is no plan of a restore: {wrong}.", _UNREADABLE)
        return plan


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

    ``{"restore_id", "step": the last one, "open": bool, "touched": bool, "back": bool, "started": bool, "proven": bool, "plan":
    {...}, "highest_revision"}``;
    ``touched`` says that the old cluster was stopped or changed, ``back`` that a rollback was begun: there is only that way
    from then on. Where the journal cannot be read, it is ``{"problem", "next_step"}``: the host can be looked at all the same.
    """
    try:
        return _summary(state_dir)
    except EtcdError as error:
        return {"problem": error.message, "next_step": error.next_step}
    except OSError as error:
        return {
            "problem": f"{error.filename} cannot be read: {error.strerror}.",
            "next_step": "check its owner and mode.",
        }


def _summary(state_dir: str) -> Dict[str, Any]:
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
        "started": STARTED in steps,
        "proven": PROVEN in steps,
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
