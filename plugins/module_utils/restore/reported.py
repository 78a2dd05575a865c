# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report tells of a restore besides what every job tells: what is named here field by field, and nothing else."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ..core.job import ROLLBACK
from ..core.reporting import CHECK, NOTHING, ROLLED_BACK, Entries, Journals, PhaseOf, ReportOf, RunOf, has_step
from ..core.text import instant
from . import report_words as words
from . import steps
from .outage import find_outage
from .proof import UNJUDGED
from .terms import WORDS

PHASES = (
    PhaseOf("stage", "stage: restore beside the old data", steps.STAGED, [steps.PLANNED]),
    PhaseOf("stop", "stop the old member", steps.STOPPED, [steps.STOPPING]),
    PhaseOf(
        "cutover",
        "cutover: change places and start",
        steps.STARTED,
        [steps.CONFIGURED, steps.SET_ASIDE, steps.SWAPPED],
    ),
    PhaseOf("prove", "prove the restored cluster", steps.PROVEN, after=steps.STARTED),
    PhaseOf("finish", "finish: set the state to existing", steps.FINISHED, after=steps.PROVEN),
    PhaseOf("rollback", "rollback: put the old data back", steps.ROLLED_BACK, [steps.ROLLING_BACK]),
)
# Where one writes the second before another has written the first, their clocks differ.
BARRIERS = (
    (steps.STAGED, steps.STOPPING),
    (steps.STOPPING, steps.CONFIGURED),
    (steps.STARTED, steps.PROVEN),
    (steps.PROVEN, steps.FINISHED),
)


def of_run(run: RunOf) -> Dict[str, Any]:
    """What was restored from where, what is lost, and how long nothing could be written.

    ``snapshot``: ``{"path", "on" (a host; empty: the controller), "taken_at", "sha256", "size", "revision"}``.
    ``loss``: ``{"seconds", "revisions", "unknown"}`` that are, or would be, gone; revisions were counted when the plan was
    made, and ``unknown`` says why they could not be.
    ``cluster_id``: ``{"before", "after"}``. ``members``: ``{id: name}`` of the restored cluster. ``bump`` and
    ``revision``: by how much the revision was raised, and to what.
    ``slow``: the old data is moved to another file system while the cluster is down, for want of room.
    ``outage``: see ``find_outage``. ``served``: of a rollback, ``wrong`` where clients may have seen data that was not
    planned, ``proven`` or ``serving`` where they may have written, and else empty.
    """
    plan = run.plan
    before = plan.get("before") or {}
    # Of a restore that was proven once; one that was given up half-way has kept the cluster down since then.
    asked_back = plan["mode"] == ROLLBACK and has_step(run.journals, steps.PROVEN)
    outage = find_outage(run.journals, run.hosts, before, to_old_data=run.goes_back, asked_back=asked_back)
    return {
        "snapshot": _snapshot(plan.get("snapshot") or {}),
        "loss": _loss(plan if run.outcome not in (NOTHING, ROLLED_BACK) else {}, outage["start"]),
        "cluster_id": {
            "before": before.get("cluster_id") or plan.get("before_id") or "",
            "after": plan.get("cluster_id") or "",
        },
        "members": dict(plan.get("members") or {}),
        "bump": plan.get("bump"),
        "revision": plan.get("revision"),
        "slow": any(bool(host.get("slow")) for host in run.hosts.values()),
        "outage": outage,
        "served": _served(run.journals) if run.goes_back else "",
    }


def of_host(run: RunOf, own: Mapping[str, Any], entries: Optional[Entries]) -> Dict[str, Any]:
    """What was moved, what is kept beside the live data, and which settings hold now."""
    last = entries[-1].step if entries else None if entries is None else ""
    back = last == steps.ROLLED_BACK
    moved = _moves(own, entries) if entries is not None else []
    return {
        "moved": _planned_moves(own) if run.outcome == CHECK and own["mode"] != ROLLBACK else moved,
        "kept": _kept(own, entries or ()),
        "settings": [] if back or own["mode"] == ROLLBACK else _settings(own, last),
    }


def _planned_moves(own: Mapping[str, Any]) -> List[Dict[str, Any]]:
    moves = []
    for swap in own["swaps"]:
        moves += [_move(swap, swap["live"], swap["aside"])] if swap["existed"] else []
        moves.append(_move(swap, swap["staged"], swap["live"]))
    return moves


def _moves(own: Mapping[str, Any], entries: Entries) -> List[Dict[str, Any]]:
    """The moves that were made and not taken back, and those of a rollback."""
    names = {entry.step for entry in entries}
    moves = []
    for number, swap in enumerate(own["swaps"]):
        done = {entry.step for entry in entries if entry.swap == number}
        if "put_back" in done:
            moves += [_move(swap, swap["live"], _retired(swap))] if "retired" in done else []
            moves += [_move(swap, swap["aside"], swap["live"])] if "retired" in done and swap["existed"] else []
            continue
        moves += [_move(swap, swap["live"], swap["aside"])] if steps.SET_ASIDE in done and swap["existed"] else []
        moves += [_move(swap, swap["staged"], swap["live"])] if steps.SWAPPED in names else []
    return moves


def _move(swap: Mapping[str, Any], source: str, to: str) -> Dict[str, Any]:
    return {"from": source, "to": to, "contents": swap["kind"] == "contents"}


def _kept(own: Mapping[str, Any], entries: Entries) -> List[str]:
    """What lies beside the live data now: the old data, or after a rollback what the restore had made."""
    paths = []
    for number, swap in enumerate(own["swaps"]):
        done = {entry.step for entry in entries if entry.swap == number}
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


def _served(journals: Journals) -> str:
    """The most that clients can have had of a restored cluster that was taken back."""
    return next((step for step in (steps.WRONG, steps.PROVEN, steps.SERVING) if has_step(journals, step)), "")


REPORT = ReportOf(
    words=WORDS,
    done=(words.RESTORED, "Restored"),
    phases=PHASES,
    touches=steps.STOPPING,
    barriers=BARRIERS,
    aim=words.aim,
    headline=words.headline,
    facts=words.facts_in_words,
    next_steps=words.next_steps,
    about=words.about,
    of_run=of_run,
    of_host=of_host,
    proof="Asked of the running cluster after the restore. Health alone would not show a cluster made of two backups.",
    unjudged=UNJUDGED,
)
