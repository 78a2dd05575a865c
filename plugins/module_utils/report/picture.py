# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The timeline of a report as SVG: a row for each host, a lane in it for each phase, and the outage across all rows.

Places along the time axis are percentages and everything else is in pixels, so that the picture takes any width while its
letters keep their size: it is read on a telephone too.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..core.job import ROLLBACK
from ..core.reporting import ROLLED_BACK, Report
from ..core.text import clock, instant, span
from .markup import Markup, tag

TOP, NAME, LANE, BAR, GAP, AXIS = 44, 22, 19, 13, 10, 26  # heights in pixels
OUTAGE = 8  # height of the bar above the rows that marks the outage
ROOMY = 5  # up to so many hosts have a lane and a label for each phase; with more, one lane has all of a host
NAME_LENGTH = 40  # characters that fit on a telephone
FITS = 60  # percent: beside a bar that ends before this there is room for its label, also on a telephone
TICKS = 5  # at most, so that their labels keep apart
TICK_STEPS = [base * 10**power for power in (-2, -1, 0) for base in (1, 2, 5)]
TICK_STEPS += [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400]
ZOOM_BELOW = 0.4  # an outage that takes less of the whole than this gets a picture of its own


class Window(NamedTuple):
    """What a picture shows: from when to when."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    def percent(self, time: datetime) -> float:
        part = (time - self.start).total_seconds() / self.seconds * 100
        return min(100.0, max(0.0, part))


def pictures(report: Report) -> List[Dict[str, Any]]:
    """The whole run, and the outage by itself where it would be too narrow to see: ``[{"title", "svg", "start"}]``."""
    hosts = shown_phases(report)
    times = [instant(time) for rows in hosts.values() for row in rows for time in (row["start"], row["end"]) if time]
    if not times:
        return []
    # An instant has no width: a picture of nothing but one is a second wide.
    whole = Window(min(times), max(*times, min(times) + timedelta(seconds=1)))
    outage = _outage_window(report["outage"], whole)
    enlarged = outage is not None and outage.seconds < ZOOM_BELOW * whole.seconds
    svg = _picture(report, hosts, whole, "whole", unlabelled=outage if enlarged else None)
    made = [{"title": "The whole run", "start": whole.start, "svg": svg}]
    if outage and enlarged:
        svg = _picture(report, hosts, outage, "outage")
        made.append({"title": "The outage, enlarged", "start": outage.start, "svg": svg})
    return made


def shown_phases(report: Report) -> Dict[str, List[Mapping[str, Any]]]:
    """The phases of each host; of a rollback that was asked for, not those of the restore that it takes back."""
    rows = {host: part["phases"] for host, part in report["hosts"].items()}
    if report["mode"] == ROLLBACK and report["outage"]["start"]:
        return {host: [row for row in own if row["start"] >= _earliest_rollback(own)] for host, own in rows.items()}
    return rows


def _earliest_rollback(rows: Sequence[Mapping[str, Any]]) -> str:
    proven = any(row["phase"] == "prove" and row["done"] for row in rows)
    return min((row["start"] for row in rows if row["phase"] == "rollback"), default="") if proven else ""


def _outage_window(outage: Mapping[str, Any], whole: Window) -> Optional[Window]:
    if not outage["start"]:
        return None
    start, end = instant(outage["start"]), instant(outage["end"]) if outage["end"] else whole.end
    margin = (end - start) * 0.06
    return Window(max(whole.start, start - margin), min(whole.end, end + margin)) if end > start else None


def _picture(
    report: Report, hosts: Mapping[str, Any], window: Window, name: str, unlabelled: Optional[Window] = None
) -> Markup:
    """``unlabelled``: what another picture shows enlarged has its labels there."""
    rows: List[Markup] = []
    roomy = len(hosts) <= ROOMY
    y = TOP
    for host, phases in hosts.items():
        inside = [row for row in phases if _overlaps(row, window)]
        rows.append(tag("text", _host_label(host, report), class_="host", x=0, y=y + 14))
        y += NAME
        for row in inside:
            labelled = roomy and not (unlabelled and _overlaps(row, unlabelled))
            rows += _phase(row, window, y, labelled)
            y += LANE if roomy else 0
        y += GAP if roomy else LANE + GAP // 2
    label = f"Timeline of {len(hosts)} hosts over {span(window.seconds)}. The table below has the same in numbers."
    return tag(
        "svg",
        tag("title", label),
        _hatching(name),
        *_axis(window, y),
        *_band(report, window, y, name),
        *rows,
        role="img",
        aria_label=label,
        width="100%",
        height=y + AXIS,
        class_="timeline",
    )


def _overlaps(row: Mapping[str, Any], window: Window) -> bool:
    return instant(row["start"]) <= window.end and (not row["end"] or instant(row["end"]) >= window.start)


def _host_label(host: str, report: Report) -> str:
    part = report["hosts"][host]
    rest = "" if host == part["member"] else f" ({part['member']})"
    if part["last_step"] is None:
        rest += ": no word from it"
    elif host in report["unfinished"]:
        rest += ": unfinished"
    half = max(4, (NAME_LENGTH - len(rest)) // 2)
    return (host if len(host) <= 2 * half else f"{host[: half - 1]}…{host[-half:]}") + rest


# ---- phases ----------------------------------------------------------------------------------------------------------


def _phase(row: Mapping[str, Any], window: Window, y: int, labelled: bool) -> List[Markup]:
    start = instant(row["start"])
    end = instant(row["end"]) if row["end"] else window.end
    left, right = window.percent(start), window.percent(end)
    state = "" if row["done"] else " broken"
    block = tag(
        "rect",
        class_=f"bar {row['phase']}{state}",
        x=_percent(left),
        width=_percent(right - left),
        y=y + (LANE - BAR) // 2,
        height=BAR,
        rx=2,
    )
    return [block, *([_label(phase_in_words(row), left, right, y)] if labelled else [])]


def _label(words: str, left: float, right: float, y: int) -> Markup:
    """Beside the bar where there is room, else on it."""
    baseline = y + LANE - 5
    if right <= FITS:
        return tag("text", words, x=_percent(right), dx=6, y=baseline)
    if left >= 100 - FITS:
        return tag("text", words, x=_percent(left), dx=-6, y=baseline, text_anchor="end")
    return tag("text", words, x=_percent((left + right) / 2), y=baseline, text_anchor="middle", class_="onbar")


def phase_in_words(row: Mapping[str, Any]) -> str:
    if not row["end"]:
        return f"{row['phase']}: no end"
    seconds = (instant(row["end"]) - instant(row["start"])).total_seconds()
    return f"{row['phase']} {span(seconds)}{'' if row['done'] else ', broken off'}"


# ---- the outage ------------------------------------------------------------------------------------------------------


def _band(report: Report, window: Window, bottom: int, name: str) -> List[Markup]:
    """A bar above, and its colour across all rows; striped where it is certain that nothing could be written."""
    outage = report["outage"]
    if not outage["start"]:
        return []
    end = instant(outage["end"]) if outage["end"] else window.end
    start = window.start if outage["down_before"] else instant(outage["start"])
    left, right = window.percent(start), window.percent(end)
    place = {"x": _percent(left), "width": _percent(right - left), "y": TOP - 16, "height": OUTAGE}
    found = [_zone("tint", left, right, bottom), tag("rect", class_="nowrites", rx=2, **place)]
    if outage["sure_start"] and outage["sure_end"]:
        sure_start = start if outage["down_before"] else instant(outage["sure_start"])
        sure = window.percent(sure_start), window.percent(instant(outage["sure_end"]))
        if sure[1] > sure[0]:
            found.append(_zone("sure", *sure, bottom, fill=f"url(#{name}-stripes)"))
    edges = ([] if outage["down_before"] else [left]) + ([right] if outage["end"] else [])
    for edge in edges:
        found.append(tag("line", class_="edge", x1=_percent(edge), x2=_percent(edge), y1=TOP - 16, y2=bottom))
    words = _band_label(report)
    if right - left > 100 - FITS or left < 100 - right:
        at = min(left, 100 - FITS)
        return [*found, tag("text", words, class_="outage", x=_percent(at), dx=2, y=TOP - 22)]
    return [*found, tag("text", words, class_="outage", x=_percent(right), dx=-2, y=TOP - 22, text_anchor="end")]


def _zone(kind: str, left: float, right: float, bottom: int, fill: Optional[str] = None) -> Markup:
    place = {"x": _percent(left), "width": _percent(right - left), "y": TOP - 8, "height": bottom - TOP + 8}
    return tag("rect", class_=f"zone {kind}", fill=fill, **place)


def _band_label(report: Report) -> str:
    outage = report["outage"]
    if outage["down_before"]:
        return "no quorum, since before the run"
    least, most = outage["at_least"], outage["at_most"]
    if report["outcome"] == ROLLED_BACK or most is None:
        return f"no writes: at least {span(least, math.floor)}" if least and least >= 0.1 else "no writes"
    if least and least >= 0.1:
        return f"no writes: {span(least, math.floor)} to {span(most, math.ceil)}"
    return f"no writes: at most {span(most, math.ceil)}"


def _hatching(name: str) -> Markup:
    """Stripes, so that what is certain is seen without colours too."""
    stripe = tag("path", d="M0 0V8", class_="stripe", stroke_width=5)
    turned = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    return tag("defs", tag("pattern", stripe, id=f"{name}-stripes", width=8, height=8, **turned))


# ---- the time axis ---------------------------------------------------------------------------------------------------


def _axis(window: Window, y: int) -> List[Markup]:
    step = next((step for step in TICK_STEPS if window.seconds / step <= TICKS), window.seconds / TICKS)
    found = [tag("line", class_="axis", x1="0%", x2="100%", y1=y, y2=y)]
    for number in range(int(window.seconds / step + 1e-9) + 1):
        at = number * step / window.seconds * 100
        anchor = "start" if not number else "end" if at > 95 else "middle"
        found.append(tag("line", class_="grid", x1=_percent(at), x2=_percent(at), y1=TOP - 8, y2=y + 5))
        found.append(tag("text", _tick(number * step), class_="tick", x=_percent(at), y=y + 19, text_anchor=anchor))
    return found


def _tick(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _percent(number: float) -> str:
    return f"{number:.2f}%"


def started_at(picture: Mapping[str, Any]) -> str:
    return clock(picture["start"].strftime("%Y-%m-%dT%H:%M:%SZ"))
