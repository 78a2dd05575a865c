# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report in words, as far as they are the same for every job: the headline, what to do next, and both on a terminal."""

from __future__ import annotations

import re
from typing import List

from ..core.invocation import Invocation
from ..core.reporting import (
    CHECK,
    FAILED,
    NOTHING,
    REFUSED,
    ROLLED_BACK,
    UNCONFIRMED,
    UNPLANNED,
    Report,
    ReportOf,
    Steps,
    step,
)
from ..core.text import counted, listed


def _aim(report: Report, job: ReportOf) -> str:
    return job.aim(report) if job.aim else f"{job.words.verb} cluster {report['cluster']}"


def headline(report: Report, job: ReportOf) -> str:
    """One sentence for somebody who reads no other."""
    outcome = report["outcome"]
    if outcome == REFUSED:
        count = len(report["refusals"])
        why = f"for {counted(count, 'reason')}" if count else "because of another cluster in the same run"
        return f"Nothing was touched: the run refused to {_aim(report, job)}, {why}."
    if outcome == UNCONFIRMED:
        return f"Nothing was touched: a confirmation is missing to {_aim(report, job)}."
    if outcome == CHECK:
        return f"Nothing was touched: this is how the run would {_aim(report, job)}."
    if report["mode"] == UNPLANNED:
        plan = f"plan a {job.words.noun} of cluster {report['cluster']}"
        return f"Nothing was touched: the run failed before it could {plan}."
    return (job.headline(report) if job.headline else "") or _plain_headline(report, job)


def _plain_headline(report: Report, job: ReportOf) -> str:
    what = f"the {job.words.noun} of cluster {report['cluster']}"
    if report["outcome"] == job.done[0]:
        return f"T{what[1:]} is done, and proven."
    if report["outcome"] == NOTHING:
        return f"There is nothing to do: {what} is done already."
    if report["outcome"] == ROLLED_BACK:
        return f"T{what[1:]} is taken back."
    where = f" on {listed(report['unfinished'])}" if report["unfinished"] else ""
    return f"T{what[1:]} is not done{where}: it needs another run."


def next_steps(report: Report, job: ReportOf, run: Invocation, unconfirmed: str) -> Steps:
    """What a tired person does next, in this order."""
    confirm = re.search(rf"-e {job.words.confirm}=(\S+)$", unconfirmed)
    confirmed = {job.words.confirm: confirm.group(1) if confirm else report["cluster"]}
    look = run.line() + " --check --diff"
    if report["outcome"] in (CHECK, UNCONFIRMED):
        return [step("Read the plan below. If it is what you want, this does it:", run.line(variables=confirmed))]
    if report["outcome"] == REFUSED:
        own = [step(_at(item["host"], item["next_step"])) for item in report["refusals"]]
        return [*own, step("When that is done, look again; this touches nothing:", look)]
    if report["mode"] == UNPLANNED:
        return [step("When the cause is removed, look again; this touches nothing:", look)]
    if job.next_steps:
        return job.next_steps(report, run, confirmed)
    see = step("See how the cluster is:", run.line("status", keep=False))
    again = step("When the cause is removed, run the same again:", run.line(variables=confirmed))
    return [see, again] if report["outcome"] == FAILED else [see]


def closing_lines(report: Report) -> List[str]:
    """The end of a run on the terminal: what it came to, and what to do next."""
    lines = [report["headline"], *(report.get("closing") or ()), "Next:"]
    for number, item in enumerate((item for item in report["next_steps"] if not item["later"]), 1):
        lines.append(f"  {number}. {item['what']}")
        for command in item["commands"]:
            on = f"on {listed(command['on'])}: " if command["on"] else ""
            lines.append(f"     {on}{command['command']}")
    return lines


def _at(host: str, text: str) -> str:
    return f"{host}: {text}" if host else text[:1].upper() + text[1:]
