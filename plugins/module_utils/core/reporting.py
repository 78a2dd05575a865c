# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job gives for the report of its runs: its phases, what it has done of its own, and its sentences.

A report is a plain dictionary, as ``report.data.build`` describes it: it is written as JSON too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .invocation import Invocation
from .job import Words
from .journal import Entry
from .text import instant

# The outcomes of any run; what a run that has done its work is called is the job's. They are also the last part of a
# report's file name.
CHECK, REFUSED, UNCONFIRMED, NOTHING = "check", "refused", "unconfirmed", "nothing"
ROLLED_BACK, FAILED = "rolled-back", "failed"
OUTCOMES = {
    CHECK: "Check only",
    REFUSED: "Refused",
    UNCONFIRMED: "Not confirmed",
    NOTHING: "Nothing to do",
    ROLLED_BACK: "Rolled back",
    FAILED: "Failed",
}
GOOD, BAD, PLAIN = "good", "bad", "plain"

UNPLANNED = "unplanned"  # the mode of a cluster whose run failed before it had a plan

Report = Mapping[str, Any]
Entries = Sequence[Entry]
Journals = Mapping[str, Entries]
Steps = List[Dict[str, Any]]
Times = Dict[str, datetime]


class PhaseOf(NamedTuple):
    """A phase as the journal shows it: it begins with any of the steps ``begins``, or where the step ``after`` ended the one
    before it, and ends with ``ends``. ``words`` stand beside its colour.
    """

    name: str
    words: str
    ends: str
    begins: Sequence[str] = ()
    after: str = ""


def begins(phase: str) -> str:
    """The step with which a phase of a job begins that records nothing else; ``ends``: with which it ends."""
    return f"{phase}_begun"


def ends(phase: str) -> str:
    return f"{phase}_done"


def simple_phases(words: Mapping[str, str]) -> Sequence[PhaseOf]:
    """The phases of such a job, by name, with the words for each."""
    return [PhaseOf(name, said, ends(name), [begins(name)]) for name, said in words.items()]


class RunOf(NamedTuple):
    """What a run did to one cluster: its plan, those of its hosts, and of these the journals that are of this run.

    ``goes_back``: the old state is what the cluster is to have at the end.
    """

    plan: Mapping[str, Any]
    hosts: Mapping[str, Mapping[str, Any]]
    journals: Journals
    outcome: str
    goes_back: bool


class Row(NamedTuple):
    """A row of a table: ``code`` is shown as it is typed, and ``text`` after it. One without both is left out."""

    name: str
    code: str = ""
    text: str = ""


# When a run kept its cluster from writes: see restore.outage, which finds it. None: it did not, or it is not known.
OUTAGE = ("start", "sure_start", "sure_end", "end", "at_least", "at_most", "back")


def no_outage(down_before: bool = False) -> Dict[str, Any]:
    found: Dict[str, Any] = dict.fromkeys(OUTAGE)
    return {**found, "down_before": down_before}


def _nothing_of_a_run(_run: RunOf) -> Dict[str, Any]:
    return {}


def _nothing_of_a_host(_run: RunOf, _own: Mapping[str, Any], _entries: Optional[Entries]) -> Dict[str, Any]:
    return {}


def _no_facts(_report: Report) -> List[Dict[str, str]]:
    return []


def _no_rows(_report: Report) -> Tuple[str, Sequence[Row]]:
    return "", ()


@dataclass(frozen=True)
class ReportOf:
    """How the runs of a job are reported.

    ``done``: the outcome of one that has done its work, and its badge. ``touches``: the step from which a host is no longer
    as it was. ``barriers``: no host writes the second before every host has written the first. ``aim``: what the run
    would do, as "restore cluster etcd". ``headline`` and ``next_steps`` are asked where it was done, rolled back, failed
    or there was nothing to do; without these three, or with an empty headline, the words of ``report.text`` stand. ``of_run``
    and ``of_host`` give fields of the report that are the job's own, ``about`` the heading and rows of what it was about,
    and ``unjudged`` is what a check has found where it could not be made.
    """

    words: Words
    done: Tuple[str, str]
    phases: Sequence[PhaseOf]
    touches: str
    aim: Optional[Callable[[Report], str]] = None
    headline: Optional[Callable[[Report], str]] = None
    facts: Callable[[Report], List[Dict[str, str]]] = _no_facts
    next_steps: Optional[Callable[[Report, Invocation, Mapping[str, str]], Steps]] = None
    proof: str = "Asked of the running cluster at the end."
    barriers: Sequence[Tuple[str, str]] = ()
    of_run: Callable[[RunOf], Dict[str, Any]] = _nothing_of_a_run
    of_host: Callable[[RunOf, Mapping[str, Any], Optional[Entries]], Dict[str, Any]] = _nothing_of_a_host
    about: Callable[[Report], Tuple[str, Sequence[Row]]] = _no_rows
    unjudged: Sequence[str] = ()

    def badge(self, outcome: str) -> str:
        return self.done[1] if outcome == self.done[0] else OUTCOMES[outcome]


def times_of(journals: Journals, step: str, hosts: Iterable[str], newest: bool = False) -> Times:
    """When each of the hosts wrote ``step`` for the first time, or the last."""
    found: Times = {}
    for host in hosts:
        times = [instant(entry.time) for entry in journals.get(host, ()) if entry.step == step]
        if times:
            found[host] = times[-1] if newest else times[0]
    return found


def has_step(journals: Journals, step: str) -> bool:
    return any(entry.step == step for entries in journals.values() for entry in entries)


def fact(title: str, value: str, note: str, state: str = PLAIN) -> Dict[str, str]:
    return {"title": title, "value": value, "note": note, "state": state}


def step(what: str, commands: Any = (), later: bool = False) -> Dict[str, Any]:
    """What to do next. ``commands``: one for the controller, or ``on_hosts``; ``later``: not today."""
    run = [{"on": [], "command": commands}] if isinstance(commands, str) else list(commands)
    return {"what": what, "commands": run, "later": later}


def on_hosts(commands: Mapping[str, Sequence[str]]) -> List[Dict[str, Any]]:
    """Commands, each with the hosts that it is for."""
    return [{"on": list(hosts), "command": command} for command, hosts in commands.items() if command]
