# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of a job did to one cluster, as data: ``build`` is the way in, ``page.render`` makes a page of it.

Pure: no file, no command, no clock. What goes into a report is named here field by field, so that nothing else of the
plan can get into it: no environment, no connection, no credential.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Container, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core import journal as steps
from ..core.check import checks_of
from ..core.errors import has_failed
from ..core.invocation import Invocation
from ..core.job import NOTHING as NOTHING_PLANNED
from ..core.job import ROLLBACK
from ..core.journal import Entry
from ..core.reporting import (
    CHECK,
    FAILED,
    NOTHING,
    REFUSED,
    ROLLED_BACK,
    UNCONFIRMED,
    UNPLANNED,
    Entries,
    Journals,
    PhaseOf,
    ReportOf,
    RunOf,
    has_step,
    no_outage,
    times_of,
)
from ..core.values import Misfit, from_plain, to_plain
from .text import headline, next_steps

SCHEMA = 1


@dataclass(frozen=True)
class Given:
    """What the run knows when it ends.

    ``plan`` is make_plan's answer, or ``unplanned``'s, and ``text`` the same in words; ``journals`` has the journal's entries
    by host, an empty list where none was begun, and lacks the hosts that could not be asked. ``reasons`` and ``unseen``
    are ``[{"host", "text"}]``: each failure of a phase, and each of the look that comes before the plan.
    ``invocation`` is how the run was started; None: not known.
    """

    plan: Mapping[str, Any]
    text: Sequence[str] = ()
    check: bool = False
    journals: Optional[Mapping[str, Optional[Sequence[Mapping[str, Any]]]]] = None
    summary: Sequence[str] = ()
    refusal: str = ""
    unconfirmed: str = ""
    reasons: Sequence[Mapping[str, str]] = ()
    unseen: Sequence[Mapping[str, str]] = ()
    invocation: Optional[Invocation] = None


def unplanned(clusters: Mapping[str, str]) -> Dict[str, Any]:
    """What stands for the plan of a run that failed before there was one; ``clusters`` has each host's cluster."""
    found: Dict[str, Any] = {}
    for host, name in clusters.items():
        found.setdefault(name, {"cluster": name, "mode": UNPLANNED, "hosts": []})["hosts"].append(host)
    return {"clusters": found, "hosts": {}, "refusals": [], "warnings": []}


def gather(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Dict[str, Any]:
    """``journals``, ``summary`` and ``reasons`` of Given, from what the module restore answered on each host, oldest first.

    A host that could not be reached, or that failed without telling its journal, leaves open what it has done since. One that
    only stood back has done nothing.
    """
    journals: Dict[str, Any] = {}
    summary: List[str] = []
    for host, results in answers.items():
        told = [result for result in results if "journal" in result or _has_failed_itself(result)]
        if told and "journal" in told[-1]:
            journals[host] = told[-1]["journal"]
        for result in results:
            summary += result.get("summary") or ()
    return {"journals": journals, "summary": summary, "reasons": failed_answers(answers)}


def failed_answers(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> List[Dict[str, str]]:
    """What went wrong on each host: ``[{"host", "text"}]``; not where it only stood back because another one failed."""
    return [
        {"host": host, "text": str(result.get("msg") or "it could not be reached any more.")}
        for host, results in answers.items()
        for result in results
        if _has_failed_itself(result)
    ]


def _has_failed_itself(result: Mapping[str, Any]) -> bool:
    return has_failed(result) and "because_of" not in result


def build(cluster: str, given: Given, now: str, job: ReportOf) -> Dict[str, Any]:
    """The report of one cluster; ``now`` is RFC 3339 in UTC.

    Every field is always there. Times are RFC 3339 in UTC by the clock of the host that wrote them, lengths are seconds,
    what is not known is None or empty.
    ``schema``: SCHEMA. ``cluster``, ``mode`` (of the plan), ``check``, ``when``, ``restore_id``.
    ``outcome``: one of OUTCOMES, or the job's ``done``. ``headline``: one sentence. ``facts``: what everybody asks for:
    ``[{"title", "value", "note", "state": "good", "bad" or "plain"}]``.
    ``hosts``: ``{host: {"member", "service", "last_step" (None: not known, empty: none), "done", "phases": [{"phase",
    "start", "end", "done", "steps": [{"step", "time"}]}], "moved": [{"from", "to", "contents"}], "kept": [path],
    "settings": [{"path", "setting", "before", "after"}]}}``; moves and settings are those that hold now, in a check
    those that would be made.
    ``unfinished``: hosts that another run must complete, or whose state is not known. ``touched``: whether any member was
    stopped, or changed. ``outage``: see ``restore.outage``. ``clocks_apart``: by how many seconds the hosts' clocks differ
    at least, as far as their journals show it.
    ``proof``: ``[{"what", "expected", "found", "ok"}]``. ``missing``: the members without which it was proven.
    ``reasons``: ``[{"host", "text"}]`` of a failure, and of a refusal what the hosts said that could not be looked at.
    ``warnings``: ``[{"host", "cause"}]``. ``refusals``: ``[{"host", "cause", "next_step"}]``.
    ``next_steps``: ``[{"what", "commands": [{"on": [host], "command"}], "later"}]``; no hosts: the controller.
    ``plan`` and ``summary``: the plan and the closing table, as lines; where the job gives it as ``closing`` too, it is shown
    at the end of the run. Besides, what the job's ``of_run`` tells.
    """
    plan = given.plan["clusters"][cluster]
    own = {h: host for h, host in sorted(given.plan["hosts"].items()) if host["of"]["cluster"] == cluster}
    refusals = [item for item in given.plan.get("refusals") or () if item["cluster"] == cluster]
    mode = plan["mode"]
    members = set(own) | set(plan.get("hosts") or ()) | {item["host"] for item in refusals}
    reasons = _reasons(given.unseen if mode == UNPLANNED else given.reasons, members)
    known = _entries({host: journal for host, journal in (given.journals or {}).items() if host in own})
    outcome = decide(
        mode,
        job.done[0],
        check=given.check,
        refused=bool(refusals) or (bool(given.refusal) and mode != NOTHING_PLANNED),
        unconfirmed=bool(given.unconfirmed),
        failed=bool(reasons),
        last={host: _last_step(known[host]) if host in known else None for host in own},
    )
    begun = outcome in (job.done[0], ROLLED_BACK, FAILED) and not given.check
    journals: Journals = known if begun else {}  # what lies in those that this run left alone is of another run
    goes_back = mode == ROLLBACK or has_step(journals, steps.ROLLING_BACK)
    run = RunOf(plan, own, journals, outcome, goes_back)
    hosts = {host: _host(job, run, part, journals.get(host)) for host, part in own.items()}
    report: Dict[str, Any] = {
        "schema": SCHEMA,
        "cluster": cluster,
        "mode": mode,
        "check": given.check,
        "outcome": outcome,
        "when": now,
        "restore_id": plan.get("restore_id") or "",
        "hosts": hosts,
        "unfinished": [host for host, part in hosts.items() if not part["done"]] if begun else [],
        "touched": has_step(journals, job.touches),
        "outage": no_outage(),
        "clocks_apart": clocks_apart(journals, own, job.barriers),
        "proof": [] if goes_back else _proof(journals),
        "missing": [] if goes_back else _missing(journals),
        "reasons": _why(outcome, reasons, [item for item in given.unseen if item["host"] in members]),
        "warnings": [
            {"host": item["host"], "cause": item["cause"]}
            for item in given.plan.get("warnings") or ()
            if item["cluster"] == cluster
        ],
        "refusals": [{key: item[key] for key in ("host", "cause", "next_step")} for item in refusals],
        "plan": _part_of(cluster, given.plan, given.text),
        "summary": _summary(cluster, given.summary) if outcome == job.done[0] else [],
        **job.of_run(run),
    }
    report["headline"] = headline(report, job)
    report["facts"] = job.facts(report)
    report["next_steps"] = next_steps(report, job, given.invocation or Invocation(job.words), given.unconfirmed)
    return report


def decide(
    mode: str,
    done: str,
    *,
    check: bool,
    refused: bool,
    unconfirmed: bool,
    failed: bool,
    last: Mapping[str, Optional[str]],
) -> str:
    """The outcome, ``done`` where the work is.

    ``last`` is the last step in each planned host's journal: empty where none was begun, None: not known.
    """
    if refused:
        return REFUSED
    if mode == NOTHING_PLANNED and not failed:
        return NOTHING
    if check:
        return FAILED if failed else CHECK
    if unconfirmed:
        return UNCONFIRMED
    ends = set(last.values())
    if ends == {steps.FINISHED} and mode != ROLLBACK:
        return done
    if steps.ROLLED_BACK in ends and ends <= {steps.ROLLED_BACK, ""}:
        return ROLLED_BACK
    return FAILED


# ---- one host --------------------------------------------------------------------------------------------------------


def phases(entries: Entries, kinds: Sequence[PhaseOf]) -> List[Dict[str, Any]]:
    """A journal as phases in their order. One that did not come to its end is not ``done``; the next one, if any, ends it."""
    begins = {step: kind for kind in kinds for step in kind.begins}
    ends = {kind.ends: kind for kind in kinds}
    then = {kind.after: kind for kind in kinds if kind.after}
    found: List[Dict[str, Any]] = []
    current: Optional[Dict[str, Any]] = None

    def begin(kind: PhaseOf, time: str) -> Dict[str, Any]:
        if current is not None:
            current["end"] = time
        found.append({"phase": kind.name, "start": time, "end": None, "done": False, "steps": []})
        return found[-1]

    for entry in entries:
        step, time = entry.step, entry.time
        kind = begins.get(step)
        # One that has several steps to begin with goes on.
        goes_on = kind and current is not None and current["phase"] == kind.name and len(kind.begins) > 1
        if kind and not goes_on:
            current = begin(kind, time)
        elif step in ends and (current is None or current["phase"] != ends[step].name):
            current = begin(ends[step], time)
        if current is not None:
            current["steps"].append({"step": step, "time": time})
        if step in ends and current is not None:
            current["end"], current["done"] = time, True
            current = None
            current = begin(then[step], time) if step in then else None
    return found


def _entries(journals: Mapping[str, Any]) -> Dict[str, Entries]:
    """The journals as values; what is none, or cannot be understood, is not known."""
    found: Dict[str, Entries] = {}
    for host, journal in journals.items():
        with contextlib.suppress(Misfit, TypeError):
            found[host] = [from_plain(Entry, entry) for entry in journal]
    return found


def _host(job: ReportOf, run: RunOf, own: Mapping[str, Any], entries: Optional[Entries]) -> Dict[str, Any]:
    """One host's part of the report; ``entries`` is None where its journal is not known or not of this run."""
    last = None if entries is None else _last_step(entries)
    service = own["member"]["service"]
    return {
        "member": own["member"]["name"],
        "service": {"manager": service["manager"], "name": service["name"]},
        "last_step": last,
        "done": last in ("", steps.ROLLED_BACK) or (last == steps.FINISHED and own["mode"] != ROLLBACK),
        "phases": phases(entries or (), job.phases),
        "moved": [],
        "kept": [],
        "settings": [],
        **job.of_host(run, own, entries),
    }


def _last_step(entries: Entries) -> str:
    return entries[-1].step if entries else ""


def clocks_apart(
    journals: Journals, own: Mapping[str, Mapping[str, Any]], barriers: Sequence[Tuple[str, str]]
) -> float:
    """By how many seconds the hosts' clocks differ at least: no host begins a phase before all have ended the one before.

    A member that does not run is waited for by nobody: the others see that its port is closed.
    """
    apart = 0.0
    waited_for = [host for host in journals if own.get(host, {}).get("was_running", True)]
    for earlier, later in barriers:
        ended, began = times_of(journals, earlier, waited_for).values(), times_of(journals, later, journals).values()
        if ended and began:
            apart = max(apart, (max(ended) - min(began)).total_seconds())
    return round(apart, 3)


# ---- the rest of the facts -------------------------------------------------------------------------------------------


def _proof(journals: Journals) -> List[Dict[str, Any]]:
    """The fullest proof, since one host alone compares the data of all; of several such the last."""
    proofs = [(checks_of(entry), entry.time) for entry in _proofs(journals)]
    fullest, _time = max(proofs, key=lambda proof: (len(proof[0]), proof[1]), default=([], ""))
    return [to_plain(check) for check in fullest]


def _proofs(journals: Journals) -> List[Entry]:
    return [entry for entries in journals.values() for entry in entries if entry.step == steps.PROVEN]


def _missing(journals: Journals) -> List[str]:
    """Whom the last proof of each host could do without."""
    last = [_proofs({host: entries})[-1:] for host, entries in journals.items()]
    return sorted({name for proofs in last for entry in proofs for name in entry.more.get("missing") or ()})


def _reasons(failures: Sequence[Mapping[str, str]], own: Container[str]) -> List[Mapping[str, str]]:
    """The failures of this cluster's hosts; those of others only where it has none of its own, as all stop then."""
    return [item for item in failures if item["host"] in own or not item["host"]] or list(failures)


def _why(outcome: str, reasons: Sequence[Any], unseen: Sequence[Any]) -> List[Dict[str, str]]:
    """What a failure is put down to; of a refusal, what the hosts said that could not be looked at."""
    chosen = {ROLLED_BACK: reasons, FAILED: reasons, REFUSED: unseen}.get(outcome, ())
    return [{"host": item["host"], "text": item["text"]} for item in chosen]


def _part_of(cluster: str, plan: Mapping[str, Any], text: Sequence[str]) -> List[str]:
    """This cluster's lines of the plan in words: each cluster begins with a line that is not indented."""
    parts: List[List[str]] = []
    for line in text:
        if not line.startswith(" "):
            parts.append([])
        if parts:
            parts[-1].append(line)
    return dict(zip(plan["clusters"], parts)).get(cluster, [])


def _summary(cluster: str, lines: Sequence[str]) -> List[str]:
    """This cluster's closing table, where there are several."""
    found, inside = [], False
    for line in lines:
        if not line.startswith(" "):
            inside = line.startswith(f"Cluster {cluster} ")
        if inside:
            found.append(line)
    return found
