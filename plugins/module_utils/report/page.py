# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..core.reporting import (
    CHECK,
    FAILED,
    NOTHING,
    REFUSED,
    ROLLED_BACK,
    UNCONFIRMED,
    Report,
    ReportOf,
    Row,
)
from ..core.text import clock, instant, span
from .markup import Markup, tag
from .picture import phase_in_words, pictures, shown_phases, started_at
from .style import style

_STATES = {FAILED: "bad", REFUSED: "bad", NOTHING: "good"}
_SIGNS = {
    "good": "M4 10.5l4 4 8-9",
    "bad": "M5 5l10 10M15 5L5 15",
    "plain": "M10 9v6M10 5v1",
    ROLLED_BACK: "M8 4L4 8l4 4M4 8h7a4 4 0 0 1 0 8H7",
}


def render(report: Report, job: ReportOf) -> str:
    """The page of a report that ``data.build`` made of this job."""
    title = f"{job.badge(report['outcome'])}: cluster {report['cluster']}, {clock(report['when'])}"
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            # Even if something foreign got into the page, a browser would fetch and run nothing.
            tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("style", Markup(style([phase.name for phase in job.phases]))),
        ),
        tag("body", _header(report, job), tag("main", *_sections(report, job)), _footer(report)),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _header(report: Report, job: ReportOf) -> Markup:
    outcome = report["outcome"]
    state = "good" if outcome == job.done[0] else _STATES.get(outcome, "plain")
    sign = tag("svg", tag("path", d=_SIGNS.get(outcome, _SIGNS[state])), viewBox="0 0 20 20", aria_hidden="true")
    facts = [
        tag(
            "div",
            tag("dt", fact["title"]),
            tag("dd", fact["value"], class_="value"),
            tag("dd", fact["note"]),
            class_=f"is-{fact['state']}",
        )
        for fact in report["facts"]
    ]
    return tag(
        "header",
        tag(
            "div",
            tag("span", sign, job.badge(outcome), class_=f"badge {state}"),
            tag("span", "Cluster ", tag("strong", report["cluster"])),
            tag("span", tag("time", clock(report["when"]), datetime=report["when"])),
            class_="top",
        ),
        tag("h1", _whole_dates(report["headline"])),
        tag("dl", *facts, class_="facts"),
    )


def _whole_dates(text: str) -> List[Any]:
    """The text with its dates and times in one piece each, wherever the line ends."""
    parts = re.split(r"(\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d UTC)", text)
    return [tag("span", part, class_="whole") if number % 2 else part for number, part in enumerate(parts)]


def _sections(report: Report, job: ReportOf) -> List[Markup]:
    made = [
        _refusals(report),
        _reasons(report),
        _warnings(report),
        _next(report),
        _about(*job.about(report)),
        _timeline(report, job),
        _proof(report, job),
        _hosts(report),
        _plan(report),
    ]
    return [section for section in made if section]


def _section(heading: str, *content: Any, class_: str = "") -> Markup:
    return tag("section", tag("h2", heading), *content, class_=class_ or None)


# ---- why, and what next ----------------------------------------------------------------------------------------------


def _reasons(report: Report) -> Markup:
    hosts: Dict[str, List[str]] = {}
    for item in report["reasons"]:
        hosts.setdefault(item["text"], []).append(item["host"])
    if not hosts:
        return Markup()
    items = [tag("li", _who(names), text) for text, names in hosts.items()]
    heading = "What the hosts said" if report["outcome"] == REFUSED else "Why it failed"
    return _section(heading, tag("ul", *items), class_="alarm")


def _refusals(report: Report) -> Markup:
    items = [
        tag("li", _who([item["host"]]), item["cause"], tag("p", tag("strong", "Next: "), item["next_step"]))
        for item in report["refusals"]
    ]
    return _section("Why it was refused", tag("ol", *items), class_="alarm") if items else Markup()


def _warnings(report: Report) -> Markup:
    items = [tag("li", _who([item["host"]]), item["cause"]) for item in report["warnings"]]
    if report["clocks_apart"] >= 0.1:
        apart = span(report["clocks_apart"])
        items.append(
            tag(
                "li",
                f"The clocks of the hosts differ by at least {apart}: in the timeline their rows are shifted against each",
                " other. The lengths are right all the same, since each is measured on one host.",
            )
        )
    return _section("Warnings", tag("ul", *items)) if items else Markup()


def _who(hosts: Sequence[str]) -> Any:
    named = ", ".join(host for host in hosts if host)
    return [tag("strong", named), ": "] if named else None


def _next(report: Report) -> Markup:
    # The next step of each refusal stands with its cause already.
    steps = report["next_steps"][-1:] if report["outcome"] == REFUSED else report["next_steps"]
    items = [tag("li", step["what"], *_commands(step["commands"])) for step in steps if not step["later"]]
    later = [
        tag("details", tag("summary", "Later, by hand"), tag("p", step["what"]), *_commands(step["commands"]))
        for step in steps
        if step["later"]
    ]
    note = (
        "One click selects a whole command. Add what this run was started with besides: its vault, its user, its limits on"
        " the connection."
    )
    return _section("What to do next", tag("ol", *items), *later, tag("p", note, class_="soft small"), class_="next")


def _commands(commands: Sequence[Mapping[str, Any]]) -> List[Any]:
    found: List[Any] = []
    for command in commands:
        if command["on"]:
            found.append(tag("span", "on ", ", ".join(command["on"]), class_="on"))
        found.append(tag("pre", tag("code", command["command"]), class_="command", tabindex=0))
    return found


# ---- what it was about -------------------------------------------------------------------------------------------------


def _about(heading: str, rows: Sequence[Row]) -> Markup:
    shown = [
        (row.name, [tag("code", row.code) if row.code else None, row.text] if row.code or row.text else None)
        for row in rows
    ]
    return _section(heading, _pairs(shown)) if rows else Markup()


def _pairs(rows: Sequence[Tuple[str, Any]]) -> Markup:
    shown = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows if value]
    return tag("table", tag("tbody", *shown), class_="pairs")


# ---- the timeline ----------------------------------------------------------------------------------------------------


def _timeline(report: Report, job: ReportOf) -> Markup:
    figures = [
        tag(
            "figure",
            tag("figcaption", tag("strong", made["title"]), f", from {started_at(made)}"),
            made["svg"],
        )
        for made in pictures(report)
    ]
    if not figures:
        return Markup()
    notes = [
        "A bar is a phase, from the first to the last step of it that the host's journal has; between two bars a host waits"
        " for the others. Every host writes its own clock's time.",
        "Red: no writes, at most from edge to edge, and for certain where it is striped."
        if report["outage"]["start"]
        else "",
    ]
    text = [tag("p", note, class_="soft small") for note in notes if note]
    return _section("Timeline", *figures, _key(report, job), *text, _numbers(report))


def _key(report: Report, job: ReportOf) -> Markup:
    seen = {row["phase"] for rows in shown_phases(report).values() for row in rows}
    items = [
        tag(
            "li",
            tag("svg", tag("rect", x=1, y=1, width=16, height=10, rx=2, class_=phase.name), aria_hidden="true"),
            phase.words,
        )
        for phase in job.phases
        if phase.name in seen
    ]
    return tag("ul", *items, class_="key")


def _numbers(report: Report) -> Markup:
    rows = []
    for host, phases in shown_phases(report).items():
        rows += [tag("tr", tag("th", host, scope="rowgroup", colspan=3))] if phases else []
        for row in phases:
            end = clock_to_ms(row["end"]) if row["end"] else "no end"
            rows.append(tag("tr", tag("td", phase_in_words(row)), tag("td", clock_to_ms(row["start"])), tag("td", end)))
    head = tag("tr", *[tag("th", name, scope="col") for name in ("Phase", "From, UTC", "To")])
    return tag("details", tag("summary", "The same in numbers"), tag("table", tag("thead", head), tag("tbody", *rows)))


def clock_to_ms(time: str) -> str:
    return instant(time).strftime("%H:%M:%S.%f")[:-3]


# ---- the proof, the hosts, the plan ----------------------------------------------------------------------------------


def _proof(report: Report, job: ReportOf) -> Markup:
    if not report["proof"]:
        return Markup()
    rows = []
    for check in report["proof"]:
        verdict = "not judged" if check["found"] in job.unjudged else "passed" if check["ok"] else "FAILED"
        state = "good" if verdict == "passed" else "bad" if verdict == "FAILED" else "plain"
        found = tag("code", in_words(check["found"]))
        expected = (
            None if check["expected"] == check["found"] else [" expected ", tag("code", in_words(check["expected"]))]
        )
        rows.append(
            tag(
                "tr",
                tag("th", check["what"], scope="row"),
                tag("td", tag("span", verdict, class_=f"verdict {state}")),
                tag("td", found, expected),
            )
        )
    head = tag("tr", *[tag("th", name, scope="col") for name in ("Check", "Verdict", "Found")])
    return _section(
        "The proof",
        tag("p", job.proof, class_="soft"),
        tag("table", tag("thead", head), tag("tbody", *rows), class_="stacks"),
    )


def in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for number, name in sorted(value.items(), key=lambda pair: str(pair[1])))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _hosts(report: Report) -> Markup:
    items = []
    for host, part in report["hosts"].items():
        rows = [
            ("Member", part["member"]),
            ("Last step", _last_step(part)),
            ("Moved", _lines(f"{_contents(move)}{move['from']} → {move['to']}" for move in part["moved"])),
            ("Kept beside it", _lines(part["kept"])),
            ("Settings", _lines(_setting(setting) for setting in part["settings"])),
        ]
        items.append(tag("details", tag("summary", host), _pairs(rows)))
    future = report["outcome"] in (CHECK, UNCONFIRMED)
    heading = "What would change on each host" if future else "What changed on each host"
    return _section(heading, *items) if items else Markup()


def _last_step(part: Mapping[str, Any]) -> str:
    return part["last_step"].replace("_", " ") if part["last_step"] else ""


def _contents(move: Mapping[str, Any]) -> str:
    return "the contents of " if move["contents"] else ""


def _setting(setting: Mapping[str, str]) -> str:
    return f"{setting['setting']} in {setting['path']}: {setting['before'] or '(unset)'} → {setting['after']}"


def _lines(texts: Any) -> List[Markup]:
    return [tag("div", tag("code", text)) for text in texts]


def _plan(report: Report) -> Markup:
    blocks = []
    if report["summary"]:
        blocks.append(tag("details", tag("summary", "The closing table"), _lines_of(report["summary"])))
    if report["plan"]:
        opened = report["outcome"] in (CHECK, UNCONFIRMED)
        what = tag("summary", "The plan, with every command")
        blocks.append(tag("details", what, _lines_of(report["plan"]), open=opened))
    return _section("The plan", *blocks) if blocks else Markup()


def _lines_of(text: Sequence[str]) -> Markup:
    """Lines of a terminal; where one is too long for the page, the rest of it is indented."""
    return tag("pre", *[tag("span", line or " ", class_="line") for line in text], tabindex=0)


def _footer(report: Report) -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            "Written on the controller by the collection quorum.etcd at the end of the run. The file beside this one, with",
            " the same name and .json at its end, has the same for programs. Times are in UTC.",
        ),
    )
