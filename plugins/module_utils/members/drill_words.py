# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a failover drill is in words: in its plan, at the end of its run, and in its report."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core.journal import Entry
from ..core.reporting import FAILED, GOOD, PLAIN, Report, Row, RunOf, fact, no_outage
from ..core.text import counted, span, table
from ..core.values import Misfit, from_plain, to_plain
from ..host.absence import CUT, KILL, STOP
from .drilling import CAME_BACK, CAUGHT_UP, MEASURED, PUT_BACK, TAKEN, TAKING
from .measured import Measured

_DONE = {STOP: "stopped", KILL: "killed", CUT: "cut off"}


def kept_down(how: str, manager: str, unit: str) -> str:
    """What keeps it away, and why that is needed."""
    if how != KILL:
        return ""
    if manager == "systemd":
        return f": systemd would start it again at once, so {unit} has Restart=no in /run until then"
    if manager == "static_pod":
        return ": the kubelet would start it again at once, so its manifest is out of its folder until then"
    return "; what starts it again by itself, if anything does, is told"


def of_run(run: RunOf) -> Dict[str, Any]:
    """What was drilled, and what was measured.

    ``drill``: ``{"member", "role", "host", "how", "seconds", "measured_on"}``, None where nothing is planned. ``numbers``:
    see ``Measured``, None where nothing was measured. ``put_back_by``: ``run``, ``timer`` or ``hand``, empty where that is
    not known. ``came_back``: after how many seconds the member was back by itself, None: it was not. ``caught_up``:
    seconds after it was put back, by its own host's clock.
    """
    away: Sequence[Entry] = run.journals.get(run.plan.get("away_host") or "", ())
    client: Sequence[Entry] = run.journals.get(run.plan.get("measures") or "", ())
    last = _last(client, MEASURED)
    numbers = _numbers(last)
    told: Dict[str, Any] = {
        "drill": _drill(run.plan, numbers),
        "numbers": to_plain(numbers) if numbers else None,
        "put_back_by": str(_more(_last(away, PUT_BACK), "by") or ""),
        "came_back": _more(_last(away, CAME_BACK), "seconds"),
        "caught_up": _more(_last(away, CAUGHT_UP), "seconds"),
        "taken": _last(away, TAKEN) is not None or _last(away, TAKING) is not None,
    }
    lines = _closing(told)
    return {**told, "summary": lines, "closing": lines, "outage": _outage(numbers, _more(last, "at"))}


def _drill(plan: Mapping[str, Any], numbers: Optional[Measured]) -> Optional[Dict[str, Any]]:
    if "away" not in plan:
        return None
    leads = numbers.leader_before == plan["away"] if numbers else plan["who"] == "leader"
    return {
        "member": plan["away"],
        "role": "leader" if leads else "follower",
        "host": plan["away_host"],
        "how": plan["how"],
        "seconds": plan["seconds"],
        "measured_on": plan["measures"],
    }


def _numbers(entry: Optional[Entry]) -> Optional[Measured]:
    try:
        return from_plain(Measured, entry.more["numbers"]) if entry else None
    except (Misfit, KeyError):
        return None


def _outage(numbers: Optional[Measured], at: Any) -> Dict[str, Any]:
    """The longest time in which no write was acknowledged, where it is longer than what the client can see."""
    if numbers is None or not isinstance(at, (int, float)) or numbers.gap <= numbers.grain:
        return no_outage()
    begin = datetime.fromtimestamp(at, timezone.utc) + timedelta(seconds=numbers.gap_start)
    end = begin + timedelta(seconds=numbers.gap)
    return {**no_outage(), "start": _time(begin), "end": _time(end), "at_most": numbers.gap}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _last(entries: Sequence[Entry], step: str) -> Optional[Entry]:
    return next((entry for entry in reversed(entries) if entry.step == step), None)


def _more(entry: Optional[Entry], name: str) -> Any:
    return entry.more.get(name) if entry else None


# ---- words -----------------------------------------------------------------------------------------------------------


def _rows(told: Mapping[str, Any]) -> List[Tuple[str, str, str]]:
    """Title, value, note: the numbers, in the order in which they came to be."""
    drill, numbers = told["drill"], from_plain(Measured, told["numbers"])
    found = [("Away", f"{drill['seconds']} s", f"{drill['member']}, the {drill['role']}, {_DONE[drill['how']]}")]
    if numbers.detection is None and drill["role"] == "follower":
        found.append(("Election", "none", f"{numbers.leader_before} went on leading"))
    else:
        noticed = "the others saw that the leader had changed, or was gone"
        found.append(("Detected after", _at_most(numbers.detection), noticed))
        found.append(
            (
                "New leader after",
                _at_most(numbers.election),
                f"{numbers.leader_after or 'unknown'}, known to all others",
            )
        )
    slow = numbers.gap > numbers.grain
    gap = f"the longest time without a write was {span(numbers.gap)}" if slow else "no gap that the client could see"
    found.append(("Writes again after", _at_most(numbers.recovery), gap))
    failed = (
        f"{numbers.others:,} through the others ({numbers.later:,} after the recovery), {numbers.away:,} through it"
    )
    found.append(("Failed writes", f"{numbers.others + numbers.away:,} of {numbers.writes:,}", failed))
    caught_up = told["caught_up"]
    back = "" if told["put_back_by"] in ("", "run") else f"; it was put back by the {told['put_back_by']}"
    note = f"after it was put back, by its host's clock{back}"
    found.append(("Caught up after", "not known" if caught_up is None else span(caught_up), note))
    if told["came_back"] is not None:
        found.append(("Came back by itself", span(told["came_back"]), "something on its host starts it again"))
    return found


def _at_most(seconds: Optional[float]) -> str:
    return "not seen" if seconds is None else f"{seconds:.2f} s"


def _closing(told: Mapping[str, Any]) -> List[str]:
    return table([list(row) for row in _rows(told)]) if told["drill"] and told["numbers"] else []


def facts(report: Report) -> List[Dict[str, str]]:
    if not (report["drill"] and report["numbers"]):
        return []
    return [
        fact(title, value, note, GOOD if title == "Caught up after" else PLAIN) for title, value, note in _rows(report)
    ]


def headline(report: Report) -> str:
    """Empty where the machinery's own words will do."""
    drill, numbers = report["drill"], report["numbers"]
    if not drill:
        return ""
    who = f"{drill['member']}, the {drill['role']} of cluster {report['cluster']},"
    if report["outcome"] == FAILED:
        if not report["taken"]:
            return f"The failover drill of cluster {report['cluster']} is not done: no member was taken away."
        back = "is put back" if report["put_back_by"] else f"is put back by a timer on {drill['host']}"
        return f"The failover drill of cluster {report['cluster']} is not proven: {drill['member']} {back}. It needs another run."
    if not numbers:
        return ""
    again = f"writes went on after {_at_most(numbers['recovery'])}"
    led = (
        f"{numbers['leader_after']} led after {_at_most(numbers['election'])}, and "
        if numbers["election"] is not None
        else ""
    )
    return f"{who} was {_DONE[drill['how']]} for {drill['seconds']} s: {led}{again}. All is as before, and proven."


def about(report: Report) -> Tuple[str, Sequence[Row]]:
    drill, numbers = report["drill"], report["numbers"]
    if not drill:
        return "", ()
    rows = [
        Row("Member", drill["member"], f", the {drill['role']}, on {drill['host']}"),
        Row("How", "", f"{_DONE[drill['how']]} for {drill['seconds']} s"),
        Row("Measured on", drill["measured_on"], ", by its clock alone"),
    ]
    if numbers:
        rows += [
            Row("Terms", "", f"{numbers['term_before']} before, {numbers['term_after']} at the end"),
            Row("Writes", "", f"{counted(numbers['writes'], 'write')}, {numbers['acknowledged']:,} acknowledged"),
            Row("Times", "", f"each at most, as fine as {span(numbers['grain'])}"),
        ]
    return "What was drilled", rows
