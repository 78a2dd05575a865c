# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence

from ..core.text import instant
from ..restore.proof import UNJUDGED
from .markup import Markup, tag
from .picture import phase_in_words, pictures, shown_phases, started_at
from .text import (
    CHECK,
    FAILED,
    NOTHING,
    OUTCOMES,
    REFUSED,
    RESTORED,
    ROLLED_BACK,
    UNCONFIRMED,
    clock,
    span,
)

# Each colour by its use; every text on its ground has a contrast of 4.5 or more, every bar of 3 or more (WCAG AA).
LIGHT = {
    "page": "#f4f6f8",
    "card": "#ffffff",
    "text": "#1a2129",
    "soft": "#525c68",
    "line": "#cfd6de",
    "link": "#0b4f9e",
    "code": "#eef1f4",
    "good": "#10612b",
    "good-ground": "#dff5e5",
    "bad": "#a11226",
    "bad-ground": "#fde8ea",
    "plain": "#124a86",
    "plain-ground": "#e2effc",
    "outage": "#b3172c",
    "stage": "#2b6cb0",
    "stop": "#a85400",
    "cutover": "#7a45d1",
    "prove": "#0f766e",
    "finish": "#5f6b78",
    "rollback": "#b02a5b",
}
DARK = {
    "page": "#0e1318",
    "card": "#171d24",
    "text": "#e6ebf1",
    "soft": "#a3adb9",
    "line": "#343d48",
    "link": "#8ec2ff",
    "code": "#0f1419",
    "good": "#86e0a3",
    "good-ground": "#12301e",
    "bad": "#ffa3ab",
    "bad-ground": "#3a161b",
    "plain": "#a6d0ff",
    "plain-ground": "#12283f",
    "outage": "#ff7c88",
    "stage": "#6fb1f2",
    "stop": "#f0a35a",
    "cutover": "#b9a0ff",
    "prove": "#4fd0bd",
    "finish": "#9ba7b4",
    "rollback": "#ff8fb8",
}
_PHASES = ("stage", "stop", "cutover", "prove", "finish", "rollback")
_STATES = {RESTORED: "good", FAILED: "bad", REFUSED: "bad", NOTHING: "good"}
_SIGNS = {
    "good": "M4 10.5l4 4 8-9",
    "bad": "M5 5l10 10M15 5L5 15",
    "plain": "M10 9v6M10 5v1",
    ROLLED_BACK: "M8 4L4 8l4 4M4 8h7a4 4 0 0 1 0 8H7",
}

STYLE = """
:root { color-scheme: light dark; @LIGHT@ }
@media (prefers-color-scheme: dark) { :root { @DARK@ } }
@media print { :root { color-scheme: light; @LIGHT@ } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); overflow-wrap: break-word;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 2.25rem }
footer { padding-bottom: 3rem; color: var(--soft); font-size: .875rem }
h1 { font-size: clamp(1.5rem, 1.1rem + 1.9vw, 2.25rem); line-height: 1.2; margin: .75rem 0 0; text-wrap: balance }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 0 0 .75rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { margin: .5rem 0 }
.whole { white-space: nowrap }
.soft { color: var(--soft) }
.small { font-size: .875rem }
.top { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem; color: var(--soft); font-size: .95rem }
.badge { display: inline-flex; align-items: center; gap: .4rem; padding: .2rem .8rem .2rem .6rem; border-radius: 2rem;
  border: 1px solid; font-weight: 650 }
.badge svg { width: 1.1rem; height: 1.1rem; fill: none; stroke: currentColor; stroke-width: 2.5;
  stroke-linecap: round; stroke-linejoin: round }
.good { color: var(--good); background: var(--good-ground) }
.bad { color: var(--bad); background: var(--bad-ground) }
.plain { color: var(--plain); background: var(--plain-ground) }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem 1.4rem;
  margin: 1.25rem 0 }
section.alarm { border-left: .35rem solid var(--bad) }
section.next { border-left: .35rem solid var(--link) }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; margin: 1.5rem 0 0 }
.facts > div { background: var(--card); border: 1px solid var(--line); border-top: .3rem solid var(--plain);
  border-radius: .75rem; padding: .9rem 1.1rem 1rem }
.facts > .is-good { border-top-color: var(--good) }
.facts > .is-bad { border-top-color: var(--bad) }
.facts dt { color: var(--soft); font-size: .95rem }
.facts dd { margin: 0; color: var(--soft); font-size: .9rem; line-height: 1.45 }
.facts dd.value { color: var(--text); font-size: 1.6rem; font-weight: 700; line-height: 1.25; margin: .1rem 0 .35rem }
ol, ul { margin: 0; padding-left: 1.4rem }
li { margin: .6rem 0 }
li::marker { color: var(--soft); font-weight: 650 }
pre { margin: .4rem 0 0; padding: .6rem .8rem; background: var(--code); border: 1px solid var(--line);
  border-radius: .4rem; white-space: pre-wrap; font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
  "DejaVu Sans Mono", "Liberation Mono", monospace }
code, pre { overflow-wrap: anywhere }
pre.command { user-select: all; -webkit-user-select: all }
pre .line { display: block; padding-left: 6ch; text-indent: -6ch }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: .875em }
.on { display: block; color: var(--soft); font-size: .875rem; margin-top: .5rem }
table { border-collapse: collapse; width: 100%; font-size: .95rem }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
tr:first-child > * { border-top: 0 }
thead th { color: var(--soft); font-weight: 500; font-size: .875rem }
tbody th { font-weight: 600 }
.verdict { padding: .05rem .5rem; border-radius: .6rem; font-size: .875rem; white-space: nowrap }
.pairs th { width: 11rem; color: var(--soft); font-weight: 500 }
details { margin-top: .75rem }
summary { cursor: pointer; color: var(--link); width: fit-content }
summary:focus-visible, pre:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
details > :not(summary) { margin-top: .75rem }
figure { margin: 0 0 1.25rem }
figcaption { color: var(--soft); font-size: .9rem; margin-bottom: .25rem }
figcaption strong { color: var(--text) }
.timeline { display: block; font-size: 12px; fill: var(--text); overflow: visible }
.timeline .host { font-size: 13px; font-weight: 650 }
.timeline .tick { fill: var(--soft) }
.timeline .grid { stroke: var(--line) }
.timeline .axis { stroke: var(--soft) }
.timeline .outage { fill: var(--outage); font-size: 13px; font-weight: 700 }
.timeline .nowrites { fill: var(--outage) }
.timeline .tint { fill: var(--outage); fill-opacity: .1 }
.timeline .edge { stroke: var(--outage); stroke-width: 1.5 }
.timeline .stripe { stroke: var(--outage); stroke-opacity: .18 }
.timeline .bar { stroke-width: 2 }
.timeline .broken { fill: var(--card); stroke-dasharray: 4 3 }
.timeline text:not(.onbar) { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round }
.timeline .onbar { fill: var(--card); font-weight: 650 }
@PHASES@
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; padding: 0; font-size: .875rem;
  color: var(--soft) }
.key li { display: flex; align-items: center; gap: .4rem; margin: 0 }
.key svg { width: 18px; height: 12px; flex: none }
@media (max-width: 34rem) {
  header, main, footer { padding-left: .9rem; padding-right: .9rem }
  section { padding: 1rem }
  .pairs, .pairs tbody, .pairs tr, .pairs th, .pairs td { display: block; width: auto }
  .pairs th { padding-bottom: 0 }
  .pairs td { border-top: 0; padding-top: 0 }
  .stacks thead { position: absolute; clip-path: inset(50%) }
  .stacks tr { display: grid; grid-template-columns: 1fr auto; border-top: 1px solid var(--line) }
  .stacks tr > * { border-top: 0; padding-right: 0 }
  .stacks tr > :last-child { grid-column: 1 / -1; padding-top: 0 }
}
@media print {
  body { font-size: 10pt; background: none }
  header, main, footer { max-width: none; padding: 0 }
  section, .facts > div { border-radius: 0; padding: .5rem .75rem }
  section { border-width: 1px 0 0; margin: .75rem 0 }
  .facts { grid-template-columns: repeat(3, 1fr) }
  .facts > div, figure, tr, li, pre.command { break-inside: avoid }
  h2, h3, .on, summary { break-after: avoid }
  th, td { padding-top: .15rem; padding-bottom: .15rem }
  summary { color: inherit }
  details::details-content { content-visibility: visible; block-size: auto }
  .timeline rect, .key rect, .badge, .verdict, .facts > div { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""


def render(report: Mapping[str, Any]) -> str:
    """The page of a report that ``report.build`` made."""
    title = f"{OUTCOMES[report['outcome']]}: cluster {report['cluster']}, {clock(report['when'])}"
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
            tag("style", Markup(_style())),
        ),
        tag("body", _header(report), tag("main", *_sections(report)), _footer(report)),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _style() -> str:
    phases = "\n".join(f".{phase} {{ fill: var(--{phase}); stroke: var(--{phase}) }}" for phase in _PHASES)
    return STYLE.replace("@LIGHT@", _variables(LIGHT)).replace("@DARK@", _variables(DARK)).replace("@PHASES@", phases)


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def _header(report: Mapping[str, Any]) -> Markup:
    outcome = report["outcome"]
    state = _STATES.get(outcome, "plain")
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
            tag("span", sign, OUTCOMES[outcome], class_=f"badge {state}"),
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


def _sections(report: Mapping[str, Any]) -> List[Markup]:
    made = [
        _refusals(report),
        _reasons(report),
        _warnings(report),
        _next(report),
        _what(report),
        _timeline(report),
        _proof(report),
        _hosts(report),
        _plan(report),
    ]
    return [section for section in made if section]


def _section(heading: str, *content: Any, class_: str = "") -> Markup:
    return tag("section", tag("h2", heading), *content, class_=class_ or None)


# ---- why, and what next ----------------------------------------------------------------------------------------------


def _reasons(report: Mapping[str, Any]) -> Markup:
    hosts: Dict[str, List[str]] = {}
    for item in report["reasons"]:
        hosts.setdefault(item["text"], []).append(item["host"])
    if not hosts:
        return Markup()
    items = [tag("li", _who(names), text) for text, names in hosts.items()]
    heading = "What the hosts said" if report["outcome"] == REFUSED else "Why it failed"
    return _section(heading, tag("ul", *items), class_="alarm")


def _refusals(report: Mapping[str, Any]) -> Markup:
    items = [
        tag("li", _who([item["host"]]), item["cause"], tag("p", tag("strong", "Next: "), item["next_step"]))
        for item in report["refusals"]
    ]
    return _section("Why it was refused", tag("ol", *items), class_="alarm") if items else Markup()


def _warnings(report: Mapping[str, Any]) -> Markup:
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


def _next(report: Mapping[str, Any]) -> Markup:
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


# ---- what was restored -----------------------------------------------------------------------------------------------


def _what(report: Mapping[str, Any]) -> Markup:
    snapshot, ids = report["snapshot"], report["cluster_id"]
    if not snapshot["path"]:
        return Markup()
    back = report["outcome"] == ROLLED_BACK
    same = back or ids["before"] == ids["after"]
    cluster_id = ids["before"] if same else f"{ids['before'] or 'unknown'} → {ids['after']}"
    rows = [
        ["Backup", [tag("code", snapshot["path"]), f" on {snapshot['on'] or 'the controller'}"]],
        ["Taken", clock(snapshot["taken_at"]) if snapshot["taken_at"] else "at an unknown time"],
        ["Size", f"{snapshot['size']:,} bytes" if snapshot["size"] is not None else None],
        ["SHA-256", tag("code", snapshot["sha256"]) if snapshot["sha256"] else None],
        ["Revision", _revision(report)],
        ["Members", "" if back else ", ".join(sorted(report["members"].values()))],
        ["Cluster ID", tag("code", cluster_id) if ids["after"] else None],
        ["Restore", tag("code", report["restore_id"]) if report["restore_id"] else None],
    ]
    done = report["outcome"] in (RESTORED, NOTHING)
    return _section("What was restored" if done else "The backup", _pairs(rows))


def _revision(report: Mapping[str, Any]) -> str:
    revision = report["snapshot"]["revision"]
    if revision is None:
        return ""
    if not report["bump"] or report["outcome"] == ROLLED_BACK:
        return f"{revision:,}" + (", not raised" if report["bump"] == 0 else "")
    return (
        f"{revision:,}, raised by {report['bump']:,} to {report['revision']:,}, so that watching clients never go back"
    )


def _pairs(rows: Sequence[Sequence[Any]]) -> Markup:
    shown = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows if value]
    return tag("table", tag("tbody", *shown), class_="pairs")


# ---- the timeline ----------------------------------------------------------------------------------------------------


def _timeline(report: Mapping[str, Any]) -> Markup:
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
    return _section("Timeline", *figures, _key(report), *text, _numbers(report))


def _key(report: Mapping[str, Any]) -> Markup:
    words = {
        "stage": "stage: restore beside the old data",
        "stop": "stop the old member",
        "cutover": "cutover: change places and start",
        "prove": "prove the restored cluster",
        "finish": "finish: set the state to existing",
        "rollback": "rollback: put the old data back",
    }
    seen = {row["phase"] for rows in shown_phases(report).values() for row in rows}
    items = [
        tag(
            "li",
            tag("svg", tag("rect", x=1, y=1, width=16, height=10, rx=2, class_=phase), aria_hidden="true"),
            words[phase],
        )
        for phase in _PHASES
        if phase in seen
    ]
    return tag("ul", *items, class_="key")


def _numbers(report: Mapping[str, Any]) -> Markup:
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


def _proof(report: Mapping[str, Any]) -> Markup:
    if not report["proof"]:
        return Markup()
    rows = []
    for check in report["proof"]:
        verdict = "not judged" if check["found"] in UNJUDGED else "passed" if check["ok"] else "FAILED"
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
    intro = "Asked of the running cluster after the restore. Health alone would not show a cluster made of two backups."
    return _section(
        "The proof",
        tag("p", intro, class_="soft"),
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


def _hosts(report: Mapping[str, Any]) -> Markup:
    items = []
    for host, part in report["hosts"].items():
        rows = [
            ["Member", part["member"]],
            ["Last step", _last_step(part)],
            ["Moved", _lines(f"{_contents(move)}{move['from']} → {move['to']}" for move in part["moved"])],
            ["Kept beside it", _lines(part["kept"])],
            ["Settings", _lines(_setting(setting) for setting in part["settings"])],
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


def _plan(report: Mapping[str, Any]) -> Markup:
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


def _footer(report: Mapping[str, Any]) -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            "Written on the controller by the collection quorum.etcd at the end of the run. The file beside this one, with",
            " the same name and .json at its end, has the same for programs. Times are in UTC.",
        ),
    )
