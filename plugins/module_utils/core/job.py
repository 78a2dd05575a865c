# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every job that changes a cluster has in common: its plan, what was found against it, and how that is said."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from .text import instant, table

# The modes of a cluster's plan for which there is nothing to do, and by which the old state comes back; all others are the
# job's own.
NOTHING, ROLLBACK = "nothing", "rollback"


@dataclass(frozen=True)
class Words:
    """How a job is spoken of.

    ``name`` is what its variables begin with, after ``etcd_``, and its playbook is called. "The ``noun`` is refused"; "to
    ``verb`` the others"; "this ``changes`` cluster X", which is what the operator confirms. ``role``: whose variables it has.
    ``playbook``: where that is called otherwise.
    """

    name: str
    role: str
    noun: str
    verb: str
    changes: str
    playbook: str = ""

    @property
    def prefix(self) -> str:
        return f"etcd_{self.name}_"

    @property
    def confirm(self) -> str:
        """The variable with which the operator confirms."""
        return f"{self.prefix}confirm"


def run_id(what: str, now: str) -> str:
    """The ID of a run that begins ``now`` (RFC 3339 in UTC): for people the time; what makes it one of its kind, also among
    clusters of one run on one host, comes from ``what``.
    """
    return f"{instant(now):%Y%m%dT%H%M%SZ}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


@dataclass
class Findings:
    """The reasons to refuse and the warnings, gathered so that the operator sees all of them at once."""

    cluster: str
    refusals: List[Dict[str, str]] = field(default_factory=list)
    warnings: List[Dict[str, str]] = field(default_factory=list)

    def refuse(self, cause: str, next_step: str, host: str = "") -> None:
        self.refusals.append({"cluster": self.cluster, "host": host, "cause": cause, "next_step": next_step})

    def warn(self, cause: str, host: str = "") -> None:
        self.warnings.append({"cluster": self.cluster, "host": host, "cause": cause})


# What a host has told, with its ``cluster``.
Facts = Mapping[str, Any]
# A cluster's plan, and those of its hosts.
Planned = Tuple[Dict[str, Any], Dict[str, Any]]


def plan_each(
    clusters: Iterable[str], plan_one: Callable[[str, Findings], Planned], unwritable: Iterable[str] = ()
) -> Dict[str, Any]:
    """The plan of a job: each cluster planned by itself. ``unwritable``: folders that its report cannot be written to.

    ``{"clusters": {name: {"mode", ...}}, "hosts": {host: {"of": {"cluster", ...}, ...}}, "refusals": [...], "warnings":
    [...]}``; a cluster with a refusal has no hosts, and where there is one, nothing may be done to any.
    """
    plans: Dict[str, Any] = {"clusters": {}, "hosts": {}, "refusals": [], "warnings": []}
    for name in sorted(set(clusters)):
        findings = Findings(name)
        for folder in unwritable:
            findings.warn(f"no report of this run can be written to {folder} on the controller: set etcd_report_dir.")
        cluster, hosts = plan_one(name, findings)
        plans["clusters"][name] = cluster
        plans["hosts"].update({} if findings.refusals else hosts)
        plans["refusals"] += findings.refusals
        plans["warnings"] += findings.warnings
    return plans


def plan_in_words(
    plan: Mapping[str, Any],
    of_cluster: Callable[[Mapping[str, Any]], List[str]],
    of_host: Callable[[str, Mapping[str, Any]], List[str]],
) -> List[str]:
    """The whole plan as lines for a terminal; those of a cluster begin with one that is not indented, all others are."""
    lines: List[str] = []
    for name, cluster in plan["clusters"].items():
        lines += of_cluster(cluster)
        for host, own in plan["hosts"].items():
            lines += of_host(host, own) if own["of"]["cluster"] == name else []
        lines += [f"  WARNING  {where(item)}{item['cause']}" for item in plan["warnings"] if item["cluster"] == name]
        for item in (item for item in plan["refusals"] if item["cluster"] == name):
            lines += [f"  REFUSED  {where(item)}{item['cause']}", f"           next: {item['next_step']}"]
    return lines


def plain_plan_in_words(plan: Mapping[str, Any], words: Words) -> List[str]:
    """The plan of a job that has no words of its own for it: of each cluster what it gives as ``shown``, name by name."""

    def of_cluster(cluster: Mapping[str, Any]) -> List[str]:
        nothing = ": nothing to do" if cluster["mode"] == NOTHING else ""
        heading = f"{words.noun[:1].upper()}{words.noun[1:]} of cluster {cluster['cluster']}{nothing}"
        return [heading, *table([list(row) for row in (cluster.get("shown") or {}).items()])]

    return plan_in_words(plan, of_cluster, lambda _host, _own: [])


def refusals_in_words(plan: Mapping[str, Any], words: Words) -> str:
    """One reason to refuse with its next step; of several, how many they are: they stand in the plan, each with its own."""
    if not plan["refusals"]:
        return ""
    text = f"Nothing was touched. The {words.noun} is refused{_reasons(plan['refusals'], len(plan['clusters']) > 1)}"
    others = sorted(plan["clusters"].keys() - {item["cluster"] for item in plan["refusals"]})
    if others:
        text += " Of several clusters none is touched where one is refused."
        text += f" To {words.verb} the others now ({', '.join(others)}), run for their groups alone: -e target=GROUP."
    return text


def _reasons(refusals: Sequence[Mapping[str, str]], several_clusters: bool) -> str:
    if len(refusals) > 1:
        return f" for {len(refusals)} reasons. Next: do what stands under each REFUSED line of the plan above."
    (item,) = refusals
    of = f"{item['cluster']}: " if several_clusters else ""
    return f": {of}{where(item)}{item['cause']} Next: {item['next_step']}"


def where(item: Mapping[str, str]) -> str:
    """The host of a refusal or a warning, before its words."""
    return f"{item['host']}: " if item["host"] else ""


def confirmation(plan: Mapping[str, Any], words: Words, confirm: str, confirm_with: str = "") -> str:
    """What the operator must still say before anything is done; empty where it was said, or nothing will be done."""
    names = [name for name, cluster in plan["clusters"].items() if cluster["mode"] != NOTHING]
    wanted = names[0] if len(names) == 1 else confirm_with
    if not names or confirm == wanted:
        return ""
    said = f" {words.confirm} is {confirm!r}, and that is not its name." if confirm else ""
    return (
        f"Nothing was touched.{said} This {words.changes} cluster {', '.join(names)}; to let it happen, run again with"
        f" -e {words.confirm}={wanted}"
    )
