# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore did on this host, step by step, so that a run that was killed anywhere is simply run again.

One folder a restore, ``<state_dir>/restores/<restore id>/``: ``plan.json`` (this host's part of the plan),
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
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Set

from . import strict_json
from .errors import EtcdError
from .trees import any_is_dir, retired_name, sync_folder

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
_SWAP = {"live": str, "near": (str, None), "aside": (str, None), "existed": (bool, None)}
_PLAN = {
    "of": ({"seen": (int, None), "revision": (int, None)}, None),
    "sequence": (int, None),
    "member": ({"data_dir": (str, None)}, None),
    "swaps": ([_SWAP], None),
}
_CLAIM = dict.fromkeys(("run", "who", "since", "controller", "process"), strict_json.WORD)
_UNREADABLE = "see what wrote to it; move its folder away if no restore is under way on this host."


class Journal:
    """The journal of one restore on this host.

    ``must_write``: where a step cannot be written, EtcdError. A rollback sets it to False, since it must not fail for that:
    its steps are remembered, and ``unwritten`` says why.
    """

    def __init__(self, state_dir: str, restore_id: str) -> None:
        self.folder = os.path.join(state_dir, "restores", restore_id)
        self.config_folder = os.path.join(self.folder, "config")
        self._path = os.path.join(self.folder, "journal.jsonl")
        self._plan_path = os.path.join(self.folder, "plan.json")
        self._claim_path = os.path.join(self.folder, "claim.json")
        self._state_dir = state_dir
        self._remembered: List[Dict[str, Any]] = []
        self.must_write, self.unwritten = True, ""

    def open(self, plan: Dict[str, Any]) -> None:
        """Begin: keep the plan. A journal that was already begun goes on with the plan it has."""
        if os.path.exists(self._plan_path):
            return
        plan = {**plan, "sequence": _highest_sequence(self._state_dir) + 1}
        try:
            os.makedirs(self.config_folder, mode=0o700, exist_ok=True)
            _write_synced(self._plan_path, json.dumps(plan, indent=1, sort_keys=True), "w")
        except OSError as error:
            raise self._cannot_write(error) from error
        self.record(PLANNED)

    def claim(self) -> Optional[Dict[str, str]]:
        """The run that is at work on this restore, or was the last to be: ``{"run", "who", "since", "controller", "process"}``.

        None where none is known, as in a journal of an earlier version.
        """
        try:
            claim = strict_json.read_file(self._claim_path, "the claim of a run,", _UNREADABLE)
        except (OSError, EtcdError):
            return None
        return None if strict_json.misfit(claim, _CLAIM) else {name: claim[name] for name in _CLAIM}

    def holder(self) -> str:
        """The run whose this restore is: what another run must have seen to take it over."""
        return (self.claim() or {}).get("run") or os.path.basename(self.folder)

    def give_to(self, claim: Mapping[str, str]) -> None:
        """From now on it is this run's; that is on the disk when this returns."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            _write_synced(self._claim_path, json.dumps({name: claim[name] for name in _CLAIM}, sort_keys=True), "w")
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
        moment = datetime.datetime.fromtimestamp(seen, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"at_work": busy, "seen": moment, "age": int(time.time() - seen)}

    def record(self, step: str, **details: Any) -> None:
        """Append one step; it is on the disk when this returns. EtcdError where it cannot be and ``must_write``."""
        line = {"time": _now(), "step": step, **details}
        try:
            # The newline in front ends a line that a power failure cut off, which would else swallow this one.
            _write_synced(self._path, "\n" + json.dumps(line, sort_keys=True) + "\n", "a")
        except OSError as error:
            refused = self._cannot_write(error)
            if self.must_write:
                raise refused from error
            self._remembered.append(line)
            self.unwritten = refused.message

    def _cannot_write(self, error: OSError) -> EtcdError:
        return EtcdError(
            f"the restore's journal {self._path} cannot be written: {error.strerror or error}.",
            f"see that {self._state_dir} is there, can be written and has room, and run again.",
        )

    def entries(self) -> List[Dict[str, Any]]:
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
                entry = strict_json.parse(line)
            except ValueError:
                continue
            wrong = strict_json.misfit(entry, _STEP)
            if wrong:
                raise EtcdError(f"line {number} of {self._path} is no step of a restore: {wrong}.", _UNREADABLE)
            found.append(entry)
        return found + self._remembered

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
    deadline = time.monotonic() + seconds
    with _lock_file(state_dir) as lock:
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
            f"the restore's lock {path} cannot be opened: {error.strerror or error}.",
            f"see that {state_dir} is there, can be written and has room, and run again.",
        ) from error


def journals(state_dir: str, data_dir: str) -> List[Journal]:
    """The journals of the member with this data directory that have a plan, the oldest first.

    EtcdError for a plan that cannot be read, or names no data directory: nobody knows then whose it is.
    """
    own = _own(data_dir)
    found = []
    for name in _names(state_dir):
        journal = Journal(state_dir, name)
        plan = journal.plan()
        if plan and not _data_dirs_of(plan):
            raise EtcdError(f"the plan in {journal.folder} does not say of which member it is.", _UNREADABLE)
        if plan and own & _data_dirs_of(plan):
            found.append((sequence_of(plan), name, journal))
    return [journal for _sequence, _name, journal in sorted(found, key=lambda each: each[:2])]


def latest(state_dir: str, data_dir: str) -> Optional[Journal]:
    """The journal of this member's newest restore on this host; None where there was none."""
    return next(reversed(journals(state_dir, data_dir)), None)


def open_plans(state_dir: str, data_dir: str = "") -> List[Dict[str, Any]]:
    """The plans of the newest restores that are not done yet, one a member; only of this data directory where it is given.

    None where a journal cannot be read: nobody knows then whose is the newest.
    """
    newest: Dict[Any, Any] = {}
    try:
        for name in _names(state_dir):
            journal = Journal(state_dir, name)
            plan = journal.plan()
            if plan and (not data_dir or _own(data_dir) & _data_dirs_of(plan)):
                found = (sequence_of(plan), name, plan, journal)
                whose = frozenset(_data_dirs_of(plan))
                newest[whose] = max(newest.get(whose, found), found, key=lambda each: each[:2])
        return [plan for _sequence, _name, plan, journal in newest.values() if journal.is_open()]
    except (EtcdError, OSError):
        return []


def interrupted_elsewhere(state_dir: str, data_dir: str) -> List[Dict[str, str]]:
    """The restores that have touched another data directory of this host and are not done: ``[{"restore_id", "cluster",
    "data_dir"}]``. One of them may be this member's, whose data directory was changed since.

    What cannot be read is told by ``summary``.
    """
    found = []
    with contextlib.suppress(EtcdError, OSError):
        for plan in open_plans(state_dir):
            restore_id = str(plan.get("restore_id") or "")
            if not _own(data_dir) & _data_dirs_of(plan) and Journal(state_dir, restore_id).has(STOPPING):
                member, of = plan.get("member") or {}, plan.get("of") or {}
                where = str(member.get("data_dir") or next(iter(_data_dirs_of(plan)), ""))
                found.append({"restore_id": restore_id, "cluster": str(of.get("cluster") or ""), "data_dir": where})
    return found


def sequence_of(plan: Mapping[str, Any]) -> int:
    """Journals of earlier versions have none, and are told apart by their ids: all of them are older than those that have."""
    return int(plan.get("sequence") or 0)


def _names(state_dir: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(os.path.join(state_dir, "restores")) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _data_dirs_of(plan: Mapping[str, Any]) -> Set[str]:
    """The data directory of a plan's member: as it is named, and where it really lies."""
    said = [(plan.get("member") or {}).get("data_dir")] + [swap["live"] for swap in (plan.get("swaps") or ())[:1]]
    return {_path(path) for path in said if path}


def _own(data_dir: str) -> Set[str]:
    return {_path(data_dir), os.path.realpath(data_dir)} if data_dir else set()


def _path(path: str) -> str:
    return os.path.normpath(path) if path else ""


def _highest_sequence(state_dir: str) -> int:
    highest = 0
    for name in _names(state_dir):
        with contextlib.suppress(EtcdError, OSError):  # what is no journal, or is broken, counts nothing
            highest = max(highest, sequence_of(Journal(state_dir, name).plan() or {}))
    return highest


def summary(state_dir: str, data_dir: str) -> Dict[str, Any]:
    """What the plan needs to know of the newest restore of the member here; empty where there was none.

    ``{"restore_id", "earlier": [ids], "step": the last one, "open": bool, "touched": bool, "back": bool, "started": bool,
    "proven": bool, "plan": {...}, "highest_revision", "holder", "claim": {...}}``; ``holder`` is the run whose it is, and
    ``claim`` says more of it, with its signs of life (None where none is known); ``touched`` says that the old cluster was
    stopped or changed, ``back`` that a rollback was begun: there is only that way from then on. Where a journal cannot be
    read, it is ``{"problem", "next_step"}``: the host can be looked at all the same.
    """
    try:
        return _summary(state_dir, data_dir)
    except EtcdError as error:
        return {"problem": error.message, "next_step": error.next_step}
    except OSError as error:
        return {
            "problem": f"{error.filename} cannot be read: {error.strerror}.",
            "next_step": "check its owner and mode.",
        }


def _summary(state_dir: str, data_dir: str) -> Dict[str, Any]:
    own = journals(state_dir, data_dir)
    if not own:
        return {}
    journal, plan = own[-1], own[-1].plan() or {}
    steps = journal.steps()
    is_open = journal.is_open()
    return {
        "restore_id": os.path.basename(journal.folder),
        "earlier": [os.path.basename(each.folder) for each in own[:-1]],
        "step": steps[-1] if steps else PLANNED,
        "open": is_open,
        "touched": STOPPING in steps,
        "back": journal.goes_back() or (is_open and any(is_put_back(swap) for swap in plan.get("swaps") or ())),
        "started": STARTED in steps,
        "proven": PROVEN in steps,
        "plan": plan,
        "highest_revision": highest_revision(state_dir, data_dir),
        "holder": journal.holder(),
        "claim": {**claim, **journal.signs_of_life()} if (claim := journal.claim()) else None,
    }


def is_put_back(swap: Mapping[str, Any]) -> bool:
    """Whether the old data is in its place again, as the disk says: the journal could not be written at that time."""
    aside = [swap[key] for key in ("near", "aside") if swap.get(key)]
    return bool(swap.get("existed")) and any_is_dir(*map(retired_name, aside)) and not any_is_dir(*aside)


def highest_revision(state_dir: str, data_dir: str) -> int:
    """The highest revision that any restore of this member knew of, or started it with, whatever became of it."""
    own = _own(data_dir)
    highest = 0
    for name in _names(state_dir):
        journal = Journal(state_dir, name)
        with contextlib.suppress(EtcdError, OSError):  # what is no journal, or is broken, records nothing
            plan = journal.plan() or {}
            of = (plan.get("of") or {}) if own & _data_dirs_of(plan) else {}
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


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
