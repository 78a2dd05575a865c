# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job did on this host, step by step, so that a run that was killed anywhere is simply run again.

One folder a run of it, ``<state_dir>/restores/<id>/``: ``plan.json`` (this host's part of the plan),
``journal.jsonl`` (one line a step, on the disk before the next step begins), ``claim.json`` (the run that is at work on it,
or was the last to be) and ``config/`` (the configuration files as they were). A host may have members of several clusters:
whose a journal is, its plan says, by the data directory. The newest is told by a number that counts up on the host, and
never by a clock.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import time
from dataclasses import dataclass, field
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, cast

from . import strict_json
from .durable import add_line, put
from .errors import EtcdError
from .text import rfc3339
from .values import REST, SPARSE, Misfit, from_plain, to_plain

# The steps that mean the same in every job; what it does between them are steps of its own.
PLANNED, PROVEN, FINISHED = "planned", "proven", "finished"
ADDED = "added"  # something that is to be cleaned up where the job is never done
ROLLING_BACK, ROLLED_BACK = "rolling_back", "rolled_back"
CLOSED = (FINISHED, ROLLED_BACK)

# A host's part of a plan, as it is kept: JSON of any version, of which each job reads its own parts.
Plan = Mapping[str, Any]

# What is read of a line, and of every plan, here.
_PLAN = {
    "job": (str, None),
    "sequence": (int, None),
    "restore_id": (str, None),
    "of": ({"cluster": (str, None)}, None),
    "stops": (bool, None),
    "member": ({"data_dir": (str, None)}, None),
    "swaps": ([{"live": str}], None),
}
_CLAIM = dict.fromkeys(("run", "who", "since", "controller", "process"), strict_json.WORD)
# The plans of earlier versions do not say of which job they are: there was one.
FIRST_JOB = "restore"
_UNREADABLE = "see what wrote to it; move its folder away if no {job} is under way on this host."


def _is_never(_plan: Plan) -> bool:
    return False


@dataclass(frozen=True)
class Kind:
    """What the steps of a job mean; as it stands here, of one that has none of its own, and no way back.

    ``job`` is its name. From the step ``touched`` on it must be completed or taken back; after one of
    ``back`` there is only the way back. ``plan`` is the shape of what its journals are read for besides, and ``is_put_back``
    tells by the disk that the way back was gone where the journal could not be written.
    """

    job: str = "job"
    touched: str = ""
    back: Sequence[str] = (ROLLING_BACK, ROLLED_BACK)
    plan: Mapping[str, Any] = field(default_factory=dict)
    is_put_back: Callable[[Plan], bool] = _is_never

    def has(self, plan: Plan) -> bool:
        """Whether a plan is of this job."""
        return self.job in (job_of(plan), ANY_JOB.job)

    @property
    def next_step(self) -> str:
        """What helps where one of its journals cannot be read."""
        return _UNREADABLE.format(job=self.job)


ANY_JOB = Kind()


@dataclass(frozen=True)
class Entry:
    """A line of a journal: a step that was done, when, in UTC, and of which of the plan's swaps. ``more`` tells the rest."""

    step: str
    time: str = ""
    swap: Optional[int] = field(default=None, metadata=SPARSE)
    more: Mapping[str, Any] = field(default_factory=dict, metadata=REST)


def job_of(plan: Plan) -> str:
    return plan.get("job") or FIRST_JOB


class Journal:
    """The journal of one run of a job on this host.

    ``must_write``: where a step cannot be written, EtcdError. A rollback sets it to False, since it must not fail for that:
    its steps are remembered, and ``unwritten`` says why.
    """

    def __init__(self, state_dir: str, restore_id: str, kind: Kind = ANY_JOB) -> None:
        self.kind = kind
        self.folder = os.path.join(state_dir, "restores", restore_id)
        self.config_folder = os.path.join(self.folder, "config")
        self._path = os.path.join(self.folder, "journal.jsonl")
        self._plan_path = os.path.join(self.folder, "plan.json")
        self._claim_path = os.path.join(self.folder, "claim.json")
        self._state_dir = state_dir
        self._remembered: List[Entry] = []
        self.must_write, self.unwritten = True, ""

    def open(self, plan: Dict[str, Any]) -> None:
        """Begin: keep the plan. A journal that was already begun goes on with the plan it has."""
        if os.path.exists(self._plan_path):
            return
        plan = {"job": self.kind.job, **plan, "sequence": _highest_sequence(self._state_dir) + 1}
        try:
            os.makedirs(self.config_folder, mode=0o700, exist_ok=True)
            put(self._plan_path, json.dumps(plan, indent=1, sort_keys=True).encode())
        except OSError as error:
            raise self._cannot_write(error) from error
        self.record(PLANNED)

    def claim(self) -> Optional[Dict[str, str]]:
        """The run that is at work on this job, or was the last to be: ``{"run", "who", "since", "controller", "process"}``.

        None where none is known, as in a journal of an earlier version.
        """
        try:
            claim = strict_json.read_file(self._claim_path, "the claim of a run,")
        except (OSError, EtcdError):
            return None
        return None if strict_json.misfit(claim, _CLAIM) else {name: claim[name] for name in _CLAIM}

    def holder(self) -> str:
        """The run whose this job is: what another run must have seen to take it over."""
        return (self.claim() or {}).get("run") or os.path.basename(self.folder)

    def give_to(self, claim: Mapping[str, str]) -> None:
        """From now on it is this run's; that is on the disk when this returns."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            put(self._claim_path, json.dumps({name: claim[name] for name in _CLAIM}, sort_keys=True).encode())
        except OSError as error:
            raise self._cannot_write(error) from error

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """As long as a phase is at work, others see that; and afterwards, when it was."""
        with contextlib.ExitStack() as kept, contextlib.suppress(OSError):  # no sign of life is worth a phase
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            kept.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            kept = kept.pop_all()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.utime(self._claim_path)
            kept.close()

    def signs_of_life(self) -> Dict[str, Any]:
        """``{"at_work": whether a phase is at work now, "seen": when one last was, "age": seconds since then}``."""
        busy = False
        with contextlib.suppress(OSError):
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                busy = True
            finally:
                os.close(descriptor)
        seen = max(
            [os.stat(path).st_mtime for path in (self._claim_path, self._path) if os.path.exists(path)], default=0.0
        )
        return {"at_work": busy, "seen": rfc3339(seen), "age": int(time.time() - seen)}

    def record(self, step: str, swap: Optional[int] = None, **more: Any) -> None:
        """Append one step; it is on the disk when this returns. EtcdError where it cannot be and ``must_write``."""
        entry = Entry(step, _now(), swap, more)
        try:
            add_line(self._path, json.dumps(to_plain(entry), sort_keys=True))
        except OSError as error:
            refused = self._cannot_write(error)
            if self.must_write:
                raise refused from error
            self._remembered.append(entry)
            self.unwritten = refused.message

    def _cannot_write(self, error: OSError) -> EtcdError:
        return EtcdError(
            f"the {self.kind.job}'s journal {self._path} cannot be written: {error.strerror or error}.",
            f"see that {self._state_dir} is there, can be written and has room, and run again.",
        )

    def entries(self) -> List[Entry]:
        """Every step so far. A line that a power failure cut off, or left as zeros, is no step.

        EtcdError for a line that is whole and no step: nobody knows then how far the restore came.
        """
        try:
            with open(self._path, encoding="utf-8", errors="replace") as journal:
                lines = journal.read().split("\n")
        except FileNotFoundError:
            return list(self._remembered)
        found = []
        for number, line in enumerate(lines, 1):
            try:
                plain = strict_json.parse(line)
            except ValueError:
                continue
            try:
                found.append(from_plain(Entry, plain))
            except Misfit as wrong:
                raise EtcdError(
                    f"line {number} of {self._path} is no step of a {self.kind.job}: {wrong}.", self.kind.next_step
                ) from wrong
        return found + self._remembered

    def steps(self) -> List[str]:
        return [entry.step for entry in self.entries()]

    def has(self, step: str) -> bool:
        """Whether ``step`` was done; a rollback takes back what came before it."""
        return step in self.steps()

    def is_open(self) -> bool:
        """Whether it must still be completed or rolled back."""
        done = self.steps()
        return not (done and done[-1] in CLOSED)

    def goes_back(self) -> bool:
        """Whether a rollback was begun. Its own last step may be any of several, and what came before no longer holds."""
        return any(step in self.kind.back for step in self.steps())

    def plan(self) -> Optional[Dict[str, Any]]:
        """The plan that this run follows; None where none was begun."""
        try:
            plan = strict_json.read_file(self._plan_path, f"the plan of a {self.kind.job},", self.kind.next_step)
        except FileNotFoundError:
            return None
        wrong = strict_json.misfit(plan, _PLAN) or strict_json.misfit(plan, self.kind.plan)
        if wrong:
            raise EtcdError(f"{self._plan_path} is no plan of a {self.kind.job}: {wrong}.", self.kind.next_step)
        return cast(Dict[str, Any], plan)


@contextlib.contextmanager
def exclusive(state_dir: str, seconds: float = 300.0) -> Iterator[None]:
    """Only one phase at a time on this host: a module of a run that was killed may still be at work, as may a colleague.

    Waits at most so many seconds, then EtcdError. The lock goes with the process that holds it, however that ends.
    """
    deadline = time.monotonic() + seconds
    with _lock_file(state_dir) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise EtcdError(
                        f"another run is at work on this host for more than {seconds:.0f} seconds.",
                        "see with 'ps' what it does, wait until it has ended, and run again.",
                    ) from error
                time.sleep(0.2)
        yield


def _lock_file(state_dir: str) -> IO[str]:
    """The file that is locked; EtcdError where it cannot be had. To be read is enough, also where nothing can be written."""
    path = os.path.join(state_dir, "restores", ".lock")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600), encoding="utf-8")
    except OSError as error:
        with contextlib.suppress(OSError):  # some systems refuse to make what is there already, where all is read-only
            return open(path, encoding="utf-8")
        raise EtcdError(
            f"the lock {path} cannot be opened: {error.strerror or error}.",
            f"see that {state_dir} is there, can be written and has room, and run again.",
        ) from error


def sequence_of(plan: Mapping[str, Any]) -> int:
    """Journals of earlier versions have none, and are told apart by their ids: all of them are older than those that have."""
    return int(plan.get("sequence") or 0)


def names(state_dir: str) -> List[str]:
    """The ids of all journals of a host."""
    try:
        return sorted(name for name in os.listdir(os.path.join(state_dir, "restores")) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _highest_sequence(state_dir: str) -> int:
    highest = 0
    for name in names(state_dir):
        with contextlib.suppress(EtcdError, OSError):  # what is no journal, or is broken, counts nothing
            highest = max(highest, sequence_of(Journal(state_dir, name).plan() or {}))
    return highest


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
