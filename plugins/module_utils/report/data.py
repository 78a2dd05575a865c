# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of restore.yml did to one cluster, as data: ``build`` is the way in, ``report_page.render`` makes a page of it.

Pure: no file, no command, no clock. What goes into a report is named here field by field, so that nothing else of the
plan can get into it: no environment, no connection, no credential.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Container, Dict, Iterable, List, Mapping, Optional, Sequence

from ..core import journal as steps
from ..core.errors import has_failed
from ..core.job import NOTHING as NOTHING_PLANNED
from ..core.text import instant
from ..etcd.quorum import quorum_size
from ..restore.plan import ROLLBACK
from .text import (
    CHECK,
    FAILED,
    NOTHING,
    REFUSED,
    RESTORED,
    ROLLED_BACK,
    UNCONFIRMED,
    UNPLANNED,
    Invocation,
    facts_in_words,
    headline,
    next_steps,
)

SCHEMA = 1

# The phases as the journal shows them. PROVE begins where etcd was started, FINISH where the cluster was proven.
STAGE, STOP, CUTOVER, PROVE, FINISH, ROLL_BACK = "stage", "stop", "cutover", "prove", "finish", "rollback"
PHASES = (STAGE, STOP, CUTOVER, PROVE, FINISH, ROLL_BACK)
_BEGINS = {
    steps.PLANNED: STAGE,
    steps.STOPPING: STOP,
    steps.CONFIGURED: CUTOVER,
    steps.SET_ASIDE: CUTOVER,
    steps.SWAPPED: CUTOVER,
    steps.ROLLING_BACK: ROLL_BACK,
}
_ENDS = {
    steps.STAGED: STAGE,
    steps.STOPPED: STOP,
    steps.STARTED: CUTOVER,
    steps.PROVEN: PROVE,
    steps.FINISHED: FINISH,
    steps.ROLLED_BACK: ROLL_BACK,
}
_THEN = {steps.STARTED: PROVE, steps.PROVEN: FINISH}
# No host writes the second before every host has written the first: where one does, their clocks differ.
_BARRIERS = (
    (steps.STAGED, steps.STOPPING),
    (steps.STOPPING, steps.CONFIGURED),
    (steps.STARTED, steps.PROVEN),
    (steps.PROVEN, steps.FINISHED),
)

Journals = Mapping[str, Sequence[Mapping[str, Any]]]
Times = Dict[str, datetime]


@dataclass(frozen=True)
class Given:
    """What the run knows when it ends.

    ``plan`` is make_plan's answer, or ``unplanned``'s, and ``text`` the same in words; ``journals`` has the journal's entries
    by host, an empty list where none was begun, and lacks the hosts that could not be asked. ``reasons`` and ``unseen``
    are ``[{"host", "text"}]``: each failure of a phase, and each of the look that comes before the plan.
    ``invocation`` is how the run was started.
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
    invocation: Invocation = Invocation()


def unplanned(clusters: Mapping[str, str]) -> Dict[str, Any]:
    """What stands for the plan of a run that failed before there was one; ``clusters`` has each host's cluster."""
    found: Dict[str, Any] = {}
    for host, name in clusters.items():
        found.setdefault(name, {"cluster": name, "mode": UNPLANNED, "hosts": []})["hosts"].append(host)
    return {"clusters": found, "hosts": {}, "refusals": [], "warnings": []}


def gather(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Dict[str, Any]:
    """``journals``, ``summary`` and ``reasons`` of Given, from what the module restore answered on each host, oldest first.

    A host that could not be reached, or that failed without telling its journal, leaves open what it has done since.
    """
    journals: Dict[str, Any] = {}
    summary: List[str] = []
    for host, results in answers.items():
        told = [result for result in results if "journal" in result or has_failed(result)]
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
        if has_failed(result) and "because_of" not in result
    ]


def build(cluster: str, given: Given, now: str) -> Dict[str, Any]:
    """The report of one cluster; ``now`` is RFC 3339 in UTC.

    Every field is always there. Times are RFC 3339 in UTC by the clock of the host that wrote them, lengths are seconds,
    what is not known is None or empty.
    ``schema``: SCHEMA. ``cluster``, ``mode`` (of the plan), ``check``, ``when``, ``restore_id``.
    ``outcome``: one of OUTCOMES. ``headline``: one sentence. ``facts``: what was lost, how long writes were impossible,
    whether it is proven: ``[{"title", "value", "note", "state": "good", "bad" or "plain"}]``.
    ``snapshot``: ``{"path", "on" (a host; empty: the controller), "taken_at", "sha256", "size", "revision"}``.
    ``loss``: ``{"seconds", "revisions", "unknown"}`` that are, or would be, gone; revisions were counted when the plan was
    made, and ``unknown`` says why they could not be.
    ``cluster_id``: ``{"before", "after"}``. ``members``: ``{id: name}`` of the restored cluster. ``bump`` and
    ``revision``: by how much the revision was raised, and to what.
    ``hosts``: ``{host: {"member", "service", "last_step" (None: not known, empty: none), "done", "phases": [{"phase",
    "start", "end", "done", "steps": [{"step", "time"}]}], "moved": [{"from", "to", "contents"}], "kept": [path],
    "settings": [{"path", "setting", "before", "after"}]}}``; moves and settings are those that hold now, in a check
    those that would be made.
    ``unfinished``: hosts that another run must complete, or whose state is not known. ``touched``: whether any member was
    stopped.
    ``slow``: the old data is moved to another file system while the cluster is down, for want of room.
    ``outage``: see ``find_outage``. ``clocks_apart``: by how many seconds the hosts' clocks differ at least, as far as
    their journals show it.
    ``proof``: ``[{"what", "expected", "found", "ok"}]``. ``missing``: the members without which it was proven.
    ``served``: of a rollback, ``wrong`` where clients may have seen data that was not planned, ``proven`` or ``serving`` where
    they may have written, and else empty. ``reasons``: ``[{"host", "text"}]`` of a
    failure, and of a refusal what the hosts said that could not be looked at.
    ``warnings``: ``[{"host", "cause"}]``. ``refusals``: ``[{"host", "cause", "next_step"}]``.
    ``next_steps``: ``[{"what", "commands": [{"on": [host], "command"}], "later"}]``; no hosts: the controller.
    ``plan`` and ``summary``: the plan and the closing table, as lines.
    """
    plan = given.plan["clusters"][cluster]
    own = {h: host for h, host in sorted(given.plan["hosts"].items()) if host["of"]["cluster"] == cluster}
    refusals = [item for item in given.plan.get("refusals") or () if item["cluster"] == cluster]
    mode = plan["mode"]
    members = set(own) | set(plan.get("hosts") or ()) | {item["host"] for item in refusals}
    reasons = _reasons(given.unseen if mode == UNPLANNED else given.reasons, members)
    told = given.journals or {}
    known = {host: entries for host, entries in told.items() if host in own and entries is not None}
    outcome = decide(
        mode,
        check=given.check,
        refused=bool(refusals) or (bool(given.refusal) and mode != NOTHING_PLANNED),
        unconfirmed=bool(given.unconfirmed),
        failed=bool(reasons),
        last={host: _last_step(known[host]) if host in known else None for host in own},
    )
    begun = outcome in (RESTORED, ROLLED_BACK, FAILED) and not given.check
    journals: Journals = known if begun else {}  # what lies in those that this run left alone is of another run
    hosts = {host: _host(outcome, part, journals.get(host)) for host, part in own.items()}
    before = plan.get("before") or {}
    to_old_data = mode == ROLLBACK or _has(journals, steps.ROLLING_BACK)
    # Of a restore that was proven once; one that was given up half-way has kept the cluster down since then.
    asked_back = mode == ROLLBACK and _has(journals, steps.PROVEN)
    outage = find_outage(journals, own, before, to_old_data=to_old_data, asked_back=asked_back)
    report: Dict[str, Any] = {
        "schema": SCHEMA,
        "cluster": cluster,
        "mode": mode,
        "check": given.check,
        "outcome": outcome,
        "when": now,
        "restore_id": plan.get("restore_id") or "",
        "snapshot": _snapshot(plan.get("snapshot") or {}),
        "loss": _loss(plan if outcome not in (NOTHING, ROLLED_BACK) else {}, outage["start"]),
        "cluster_id": {
            "before": before.get("cluster_id") or plan.get("before_id") or "",
            "after": plan.get("cluster_id") or "",
        },
        "members": dict(plan.get("members") or {}),
        "bump": plan.get("bump"),
        "revision": plan.get("revision"),
        "hosts": hosts,
        "unfinished": [host for host, part in hosts.items() if not part["done"]] if begun else [],
        "slow": any(bool(host.get("slow")) for host in own.values()),
        "touched": _has(journals, steps.STOPPING),
        "outage": outage,
        "clocks_apart": clocks_apart(journals, own),
        "proof": [] if to_old_data else _proof(journals),
        "served": _served(journals) if to_old_data else "",
        "missing": [] if to_old_data else _missing(journals),
        "reasons": _why(outcome, reasons, [item for item in given.unseen if item["host"] in members]),
        "warnings": [
            {"host": item["host"], "cause": item["cause"]}
            for item in given.plan.get("warnings") or ()
            if item["cluster"] == cluster
        ],
        "refusals": [{key: item[key] for key in ("host", "cause", "next_step")} for item in refusals],
        "plan": _part_of(cluster, given.plan, given.text),
        "summary": _summary(cluster, given.summary) if outcome == RESTORED else [],
    }
    report["headline"] = headline(report)
    report["facts"] = facts_in_words(report)
    report["next_steps"] = next_steps(report, given.invocation, given.unconfirmed)
    return report


def decide(
    mode: str, *, check: bool, refused: bool, unconfirmed: bool, failed: bool, last: Mapping[str, Optional[str]]
) -> str:
    """The outcome. ``last`` is the last step in each planned host's journal: empty where none was begun, None: not known."""
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
        return RESTORED
    if steps.ROLLED_BACK in ends and ends <= {steps.ROLLED_BACK, ""}:
        return ROLLED_BACK
    return FAILED


# ---- one host --------------------------------------------------------------------------------------------------------


def phases(entries: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """A journal as phases in their order. One that did not come to its end is not ``done``; the next one, if any, ends it."""
    found: List[Dict[str, Any]] = []
    current: Optional[Dict[str, Any]] = None

    def begin(phase: str, time: str) -> Dict[str, Any]:
        found.append({"phase": phase, "start": time, "end": None, "done": False, "steps": []})
        return found[-1]

    for entry in entries:
        step, time = entry["step"], entry["time"]
        phase = _BEGINS.get(step)
        goes_on = current is not None and current["phase"] == phase == CUTOVER  # it has several steps to begin with
        if phase and not goes_on:
            if current is not None:
                current["end"] = time
            current = begin(phase, time)
        elif step in _ENDS and (current is None or current["phase"] != _ENDS[step]):
            if current is not None:
                current["end"] = time
            current = begin(_ENDS[step], time)
        if current is not None:
            current["steps"].append({"step": step, "time": time})
        if step in _ENDS and current is not None:
            current["end"], current["done"] = time, True
            current = begin(_THEN[step], time) if step in _THEN else None
    return found


def _host(outcome: str, own: Mapping[str, Any], entries: Optional[Sequence[Mapping[str, Any]]]) -> Dict[str, Any]:
    """One host's part of the report; ``entries`` is None where its journal is not known or not of this run."""
    last = None if entries is None else _last_step(entries)
    back = last == steps.ROLLED_BACK
    moved = _moves(own, entries) if entries is not None else []
    service = own["member"]["service"]
    return {
        "member": own["member"]["name"],
        "service": {"manager": service["manager"], "name": service["name"]},
        "last_step": last,
        "done": last in ("", steps.ROLLED_BACK) or (last == steps.FINISHED and own["mode"] != ROLLBACK),
        "phases": phases(entries or ()),
        "moved": _planned_moves(own) if outcome == CHECK and own["mode"] != ROLLBACK else moved,
        "kept": _kept(own, entries or ()),
        "settings": [] if back or own["mode"] == ROLLBACK else _settings(own, last),
    }


def _planned_moves(own: Mapping[str, Any]) -> List[Dict[str, Any]]:
    moves = []
    for swap in own["swaps"]:
        moves += [_move(swap, swap["live"], swap["aside"])] if swap["existed"] else []
        moves.append(_move(swap, swap["staged"], swap["live"]))
    return moves


def _moves(own: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """The moves that were made and not taken back, and those of a rollback."""
    names = {entry["step"] for entry in entries}
    moves = []
    for number, swap in enumerate(own["swaps"]):
        done = {entry["step"] for entry in entries if entry.get("swap") == number}
        if "put_back" in done:
            moves += [_move(swap, swap["live"], _retired(swap))] if "retired" in done else []
            moves += [_move(swap, swap["aside"], swap["live"])] if "retired" in done and swap["existed"] else []
            continue
        moves += [_move(swap, swap["live"], swap["aside"])] if steps.SET_ASIDE in done and swap["existed"] else []
        moves += [_move(swap, swap["staged"], swap["live"])] if steps.SWAPPED in names else []
    return moves


def _move(swap: Mapping[str, Any], source: str, to: str) -> Dict[str, Any]:
    return {"from": source, "to": to, "contents": swap["kind"] == "contents"}


def _kept(own: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> List[str]:
    """What lies beside the live data now: the old data, or after a rollback what the restore had made."""
    paths = []
    for number, swap in enumerate(own["swaps"]):
        done = {entry["step"] for entry in entries if entry.get("swap") == number}
        if "put_back" in done:
            paths += [_retired(swap)] if "retired" in done else []
        elif steps.SET_ASIDE in done and swap["existed"]:
            paths.append(swap["aside"])
    return paths


def _retired(swap: Mapping[str, Any]) -> str:
    """Where restore_phases' rollback puts the restored data."""
    return swap["aside"].replace(".before-", ".rolled-back-")


def _settings(own: Mapping[str, Any], last: Optional[str]) -> List[Dict[str, str]]:
    found = []
    for edit in own["config"]:
        for setting, value in edit["after"].items():
            if setting == "initial-cluster-state" and last == steps.FINISHED:
                value = "existing"
            if edit["before"].get(setting) != value:
                old = edit["before"].get(setting) or ""
                found.append({"path": edit["path"], "setting": setting, "before": old, "after": value})
    return found


def _has(journals: Journals, step: str) -> bool:
    return any(entry["step"] == step for entries in journals.values() for entry in entries)


def _last_step(entries: Sequence[Mapping[str, Any]]) -> str:
    return entries[-1]["step"] if entries else ""


# ---- how long writes were impossible ---------------------------------------------------------------------------------


def find_outage(
    journals: Journals,
    own: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Any],
    *,
    to_old_data: bool = False,
    asked_back: bool = False,
) -> Dict[str, Any]:
    """How long the run kept the cluster from writes, as far as the journals tell.

    They say when a member was told to stop and when it had stopped, when the restored data was in its place, and when
    the cluster was first seen to serve; when a leader was elected they do not say. So writes ended between the
    ``stopping`` and the ``stopped`` of the member that took the quorum away, and were possible again between the
    ``swapped`` of the member that made the new quorum (``started`` can be late, as a start command may wait until etcd
    serves) and the first ``serving``. ``to_old_data``: they became possible again with the old data, after its
    ``put_back``. ``asked_back``: what was stopped for that is a restored cluster, at ``rolling_back``.

    ``start`` and ``end`` are the outer ends, ``sure_start`` and ``sure_end`` the inner ones, each by its host's own clock.
    ``at_least`` and ``at_most`` are seconds, see ``_bounds``. ``back``: seconds until enough old members had been started
    again. ``down_before``: the cluster had no quorum already. All others are None where a quorum was never taken away.
    """
    voters = sum(not member.get("is_learner") for member in before.get("members") or ()) or len(own)
    old_quorum, new_quorum = quorum_size(voters), quorum_size(len(own))
    needed, again = new_quorum if asked_back else old_quorum, old_quorum if to_old_data else new_quorum
    running = [host for host in own if asked_back or own[host]["was_running"]]
    had_quorum = None if before.get("quorum_unknown") else before.get("has_quorum")
    if had_quorum is None or asked_back:
        had_quorum = bool(own) and len(running) >= needed
    found = dict.fromkeys(("start", "sure_start", "sure_end", "end", "at_least", "at_most", "back"))
    found["down_before"] = not had_quorum and bool(own or before.get("members"))
    stopped = running if had_quorum else list(own)  # also a member without a quorum is told to stop
    spare = max(0, len(running) - needed) if had_quorum else 0
    unknown = sum(host not in journals for host in stopped)

    begins = _times(journals, steps.ROLLING_BACK if asked_back else steps.STOPPING, stopped, newest=asked_back)
    gone = _times(journals, "retired" if asked_back else steps.STOPPED, stopped, newest=asked_back)
    up = _times(journals, "put_back" if to_old_data else steps.SWAPPED, own, newest=to_old_data)
    serving: Times = {}
    if not (to_old_data or asked_back):
        serving = {**_times(journals, steps.PROVEN, own), **_times(journals, steps.SERVING, own)}
    if not begins or len(begins) + unknown <= spare:
        return found
    # A host that told nothing may have been the first to stop, and the first to be up: one less is asked of the others.
    start = _nth(begins.values(), max(1, spare + 1 - unknown))
    found["start"], found["sure_start"] = _text(start), _text(_nth(gone.values(), spare + 1))
    found["sure_end"] = _text(_nth(up.values(), max(1, again - unknown)))
    found["end"] = _text(min(serving.values(), default=None))
    found["at_least"], found["at_most"] = _bounds(begins, gone, up, serving, spare, unknown)
    # Two majorities share a host; and what was stopped twice has run in between, as after a reboot between two runs.
    once = all(sum(entry["step"] == steps.STOPPING for entry in entries) == 1 for entries in journals.values())
    share_a_host = len(gone) == len(stopped) and len(gone) - spare + again > len(own)
    if unknown or not (once and share_a_host and had_quorum):
        found["at_least"] = None
    old_ones = _nth(_times(journals, steps.ROLLED_BACK, own, newest=True).values(), again) if to_old_data else None
    found["back"] = round((old_ones - start).total_seconds(), 3) if old_ones and start else None
    return found


def _bounds(begins: Times, gone: Times, up: Times, serving: Times, spare: int, unknown: int) -> List[Optional[float]]:
    """The least and the most seconds, true whatever the hosts' clocks say, since each is a difference on one host.

    ``spare + 1`` hosts or more were told to stop before writes ended. So at least so many of the lengths up to the first
    sight of a quorum are no less than the outage, and the smallest of the ``spare + 1`` largest is a bound. From the other
    side, one of the hosts that took the old quorum away also made the new one: on that host the inner length is no more
    than the outage.
    """
    outer = sorted(((serving[host] - begins[host]).total_seconds() for host in serving if host in begins), reverse=True)
    inner = [(up[host] - gone[host]).total_seconds() for host in up if host in gone]
    most = outer[spare - unknown] if 0 <= spare - unknown < len(outer) else None
    return [round(max(0.0, min(inner)), 3) if inner else None, None if most is None else round(most, 3)]


def clocks_apart(journals: Journals, own: Mapping[str, Mapping[str, Any]]) -> float:
    """By how many seconds the hosts' clocks differ at least: no host begins a phase before all have ended the one before.

    A member that does not run is waited for by nobody: the others see that its port is closed.
    """
    apart = 0.0
    waited_for = [host for host in journals if own.get(host, {}).get("was_running", True)]
    for earlier, later in _BARRIERS:
        ended, began = _times(journals, earlier, waited_for).values(), _times(journals, later, journals).values()
        if ended and began:
            apart = max(apart, (max(ended) - min(began)).total_seconds())
    return round(apart, 3)


def _times(journals: Journals, step: str, hosts: Iterable[str], newest: bool = False) -> Times:
    """When each of the hosts wrote ``step`` for the first time, or the last."""
    found: Times = {}
    for host in hosts:
        times = [instant(entry["time"]) for entry in journals.get(host, ()) if entry["step"] == step]
        if times:
            found[host] = times[-1] if newest else times[0]
    return found


def _nth(times: Iterable[datetime], number: int) -> Optional[datetime]:
    ordered = sorted(times)
    return ordered[number - 1] if 0 < number <= len(ordered) else None


def _text(time: Optional[datetime]) -> Optional[str]:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else None


# ---- the rest of the facts -------------------------------------------------------------------------------------------


def _snapshot(snapshot: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: snapshot.get(key) for key in ("path", "on", "taken_at", "sha256", "size", "revision")}


def _loss(plan: Mapping[str, Any], stopped_at: Optional[str]) -> Dict[str, Any]:
    """What is not in the restored cluster: where the old one still took writes, everything until the stop, not the plan."""
    if plan.get("mode") == ROLLBACK:
        return {"seconds": None, "revisions": None, "unknown": ""}
    planned = plan.get("loss") or {}
    seconds, taken_at = planned.get("seconds"), (plan.get("snapshot") or {}).get("taken_at")
    before = plan.get("before") or {}
    served = before.get("quorum_unknown") or before.get("has_quorum", True)
    if stopped_at and taken_at and served:
        since = int((instant(stopped_at) - instant(taken_at)).total_seconds())
        seconds = max(since, seconds or 0)
    return {"seconds": seconds, "revisions": planned.get("revisions"), "unknown": planned.get("unknown", "")}


def _proof(journals: Journals) -> List[Dict[str, Any]]:
    """The fullest proof, since one host alone compares the data of all; of several such the last."""
    fullest = max(_proofs(journals), key=lambda entry: (len(entry["checks"]), entry["time"]), default={"checks": []})
    return [{key: check[key] for key in ("what", "expected", "found", "ok")} for check in fullest["checks"]]


def _proofs(journals: Journals) -> List[Mapping[str, Any]]:
    return [entry for entries in journals.values() for entry in entries if entry["step"] == steps.PROVEN]


def _missing(journals: Journals) -> List[str]:
    """Whom the last proof of each host could do without."""
    last = [_proofs({host: entries})[-1:] for host, entries in journals.items()]
    return sorted({name for proofs in last for entry in proofs for name in entry.get("missing") or ()})


def _served(journals: Journals) -> str:
    """The most that clients can have had of a restored cluster that was taken back."""
    return next((step for step in (steps.WRONG, steps.PROVEN, steps.SERVING) if _has(journals, step)), "")


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
            inside = line.startswith(f"Cluster {cluster} is restored")
        if inside:
            found.append(line)
    return found
