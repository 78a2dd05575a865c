# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journals of a host: whose they are, which is the newest, and what a job's newest one says of a member."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from .errors import EtcdError
from .journal import ADDED, ANY_JOB, PLANNED, Entry, Journal, Kind, Plan, job_of, names, sequence_of
from .text import instant
from .values import TEXT, from_plain


@dataclass(frozen=True)
class LastRun:
    """The run that is at work on a job, or was the last to be, with its signs of life.

    ``at_work``: a phase of it is under way on the host. ``seen`` is when one last was, ``age`` how many seconds ago.
    """

    run: str
    who: str
    since: str
    controller: str
    process: str
    seen: str
    at_work: bool
    age: int


@dataclass(frozen=True)
class JournalSummary:
    """The newest run of a job on a member, by its journal. ``earlier``: the ids of those before it, the oldest first.

    ``step`` is its last one. ``open``: it is not done. ``touched``: the cluster was stopped or changed. ``back``: there is
    only the way back from now on. ``plan`` is this host's part of the plan, of whatever version.
    """

    restore_id: str
    earlier: List[str]
    step: str
    open: bool
    touched: bool
    back: bool
    plan: Dict[str, Any]


@dataclass(frozen=True)
class Newest:
    """The newest job on a member, whichever it is of. ``open``: it is not done; ``step`` is its last one.

    ``holder`` names the run whose it is, and ``claim`` says more of that one; None where that is not known. ``added``: what the
    member's jobs have added by steps of that name, by its ID, and how many seconds ago by the host's own clock. ``plan``: of one
    that is open, this host's part of its plan, of whatever version. ``was``: the client URLs of
    the members by name, as its plan found them, where it says so.
    """

    job: str
    restore_id: str
    step: str
    open: bool
    holder: str
    claim: Optional[LastRun] = None
    added: Dict[str, int] = field(default_factory=dict)
    plan: Dict[str, Any] = field(default_factory=dict)
    was: Dict[str, List[str]] = field(default_factory=dict, metadata=TEXT)


@dataclass(frozen=True)
class Unreadable:
    """Why a journal cannot be read, and what helps: the host can be looked at all the same."""

    problem: str = field(metadata=TEXT)
    next_step: str = field(metadata=TEXT)

    @classmethod
    def of(cls, error: Exception) -> Unreadable:
        if isinstance(error, EtcdError):
            return cls(error.message, error.next_step)
        named, why = getattr(error, "filename", None), getattr(error, "strerror", None)
        return cls(f"{named} cannot be read: {why}.", "check its owner and mode.")


@dataclass(frozen=True)
class Elsewhere:
    """A job that is not done, in another data directory of the host."""

    restore_id: str
    cluster: str
    data_dir: str


def journals(state_dir: str, data_dir: str, kind: Kind = ANY_JOB) -> List[Journal]:
    """The journals of the member with this data directory that have a plan, the oldest first.

    EtcdError for a plan that cannot be read, or names no data directory: nobody knows then whose it is.
    """
    found = []
    for name in names(state_dir):
        journal = Journal(state_dir, name, kind)
        plan = journal.plan()
        if plan and not data_dirs_of(plan):
            raise EtcdError(f"the plan in {journal.folder} does not say of which member it is.", kind.next_step)
        if plan and is_of(plan, data_dir) and kind.has(plan):
            found.append((sequence_of(plan), name, journal))
    return [journal for _sequence, _name, journal in sorted(found, key=lambda each: each[:2])]


def latest(state_dir: str, data_dir: str, kind: Kind = ANY_JOB) -> Optional[Journal]:
    """The journal of this member's newest run on this host; None where there was none."""
    return next(reversed(journals(state_dir, data_dir, kind)), None)


def open_plans(state_dir: str, data_dir: str = "", kind: Kind = ANY_JOB) -> List[Dict[str, Any]]:
    """The plans of the newest runs that are not done yet, one a member; only of this data directory where it is given.

    Jobs that stop no member say so in their plan, and do not count. None where a journal cannot be read: nobody knows then
    whose is the newest.
    """
    newest: Dict[Any, Tuple[int, str, Dict[str, Any], Journal]] = {}
    try:
        for name in names(state_dir):
            journal = Journal(state_dir, name, kind)
            plan = journal.plan()
            if plan and plan.get("stops", True) and kind.has(plan) and (not data_dir or is_of(plan, data_dir)):
                found = (sequence_of(plan), name, plan, journal)
                whose = frozenset(data_dirs_of(plan))
                newest[whose] = max(newest.get(whose, found), found, key=lambda each: each[:2])
        return [plan for _sequence, _name, plan, journal in newest.values() if journal.is_open()]
    except (EtcdError, OSError):
        return []


def interrupted_elsewhere(state_dir: str, data_dir: str, kind: Kind) -> List[Elsewhere]:
    """What has touched another data directory of this host and is not done. One of them may be this member's, whose data
    directory was changed since. What cannot be read is told by ``summary``.
    """
    found = []
    with contextlib.suppress(EtcdError, OSError):
        for plan in open_plans(state_dir, kind=kind):
            restore_id = str(plan.get("restore_id") or "")
            if not is_of(plan, data_dir) and Journal(state_dir, restore_id, kind).has(kind.touched):
                member, of = plan.get("member") or {}, plan.get("of") or {}
                where = str(member.get("data_dir") or next(iter(data_dirs_of(plan)), ""))
                found.append(Elsewhere(restore_id, str(of.get("cluster") or ""), where))
    return found


def summary(state_dir: str, data_dir: str, kind: Kind) -> Optional[JournalSummary]:
    """What a plan needs to know of the newest run of the member here; None where there was none.

    EtcdError or OSError where a journal cannot be read.
    """
    own = journals(state_dir, data_dir, kind)
    if not own:
        return None
    journal, plan = own[-1], own[-1].plan() or {}
    steps, is_open = journal.steps(), journal.is_open()
    return JournalSummary(
        restore_id=os.path.basename(journal.folder),
        earlier=[os.path.basename(each.folder) for each in own[:-1]],
        step=steps[-1] if steps else PLANNED,
        open=is_open,
        touched=kind.touched in steps,
        back=journal.goes_back() or (is_open and kind.is_put_back(plan)),
        plan=plan,
    )


def newest(state_dir: str, data_dir: str) -> Optional[Newest]:
    """The member's newest job here, with the run whose it is; None where there was none, or it cannot be read."""
    with contextlib.suppress(EtcdError, OSError):
        own = journals(state_dir, data_dir)
        if own:
            journal, plan = own[-1], own[-1].plan() or {}
            steps, claim, is_open = journal.steps(), journal.claim(), journal.is_open()
            return Newest(
                job=job_of(plan),
                restore_id=os.path.basename(journal.folder),
                step=steps[-1] if steps else PLANNED,
                open=is_open,
                holder=journal.holder(),
                claim=from_plain(LastRun, {**claim, **journal.signs_of_life()}) if claim else None,
                added=_added(own),
                plan=plan if is_open else {},
                was=(plan.get("of") or {}).get("was") or {},
            )
    return None


def _added(own: Sequence[Journal]) -> Dict[str, int]:
    """By all runs: the one that added it may have been killed, and so may others since."""
    found: Dict[str, int] = {}
    for journal in own:
        with contextlib.suppress(EtcdError, OSError):
            found.update({str(one.more.get("member")): _age(one) for one in journal.entries() if one.step == ADDED})
    return found


def _age(entry: Entry) -> int:
    return int(time.time() - instant(entry.time).timestamp())


def is_of(plan: Plan, data_dir: str) -> bool:
    """Whether a plan is of the member with this data directory."""
    own = {_path(data_dir), os.path.realpath(data_dir)} if data_dir else set()
    return bool(own & data_dirs_of(plan))


def data_dirs_of(plan: Mapping[str, Any]) -> Set[str]:
    """The data directory of a plan's member: as it is named, and where it really lies, the first of what it moves."""
    said = [(plan.get("member") or {}).get("data_dir")] + [swap["live"] for swap in (plan.get("swaps") or ())[:1]]
    return {_path(path) for path in said if path}


def _path(path: str) -> str:
    return os.path.normpath(path) if path else ""
