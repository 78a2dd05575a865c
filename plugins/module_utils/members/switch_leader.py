# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The leadership of a cluster goes to a named member: the plan, and what it is called."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..core.job import NOTHING, Facts, Findings, Planned, Words, plan_each
from ..core.machinery import Asked, Job
from ..core.reporting import ReportOf, begins, simple_phases
from ..etcd.trial import NOT_WRITTEN
from ..etcd.view import ClusterView
from ..host.planning import RUN, common_part, planned, settled
from .switching import OfSwitch

# A follower that lacks more entries than the leader keeps would have to be sent a whole snapshot first.
LAG = 5000


def make_plan(hosts: Mapping[str, Facts], asked: Asked) -> Dict[str, Any]:
    def plan_one(name: str, findings: Findings) -> Planned:
        cluster = settled(name, hosts, asked, findings)
        if cluster:
            _check(cluster.view, asked.options["to"], findings)
        if not cluster or findings.refusals:
            return {"cluster": name, "mode": RUN}, {}
        to, ids = asked.options["to"], {member.name: member.id for member in cluster.view.members}
        common = common_part(cluster, asked, {"leader": f"{cluster.view.leader_name} -> {to}"})
        plan, per_host = planned(WORDS.name, cluster, OfSwitch(**vars(common), to=to, to_id=ids[to]), asked)
        return ({**plan, "mode": NOTHING}, {}) if cluster.view.leader == ids[to] else (plan, per_host)

    return plan_each((facts["cluster"] for facts in hosts.values()), plan_one, asked.unwritable)


def _check(view: ClusterView, name: str, findings: Findings) -> None:
    to = next((member for member in view.members if member.name == name), None)
    others = ", ".join(member.name for member in view.members if member.healthy and not member.is_learner)
    choose = f"name one of {others} with -e etcd_switch_leader_to=NAME."
    if to is None or not name:
        findings.refuse(f"no member is called {name}." if name else "nobody is named who is to lead.", choose)
    elif to.is_learner:
        findings.refuse(f"{name} is a learner, which cannot lead.", choose)
    elif not to.healthy:
        findings.refuse(f"{name} is not healthy: {'; '.join(to.errors) or to.state}.", f"mend it, or {choose}")
    elif max(member.raft_index for member in view.members) - to.raft_index > LAG:
        findings.refuse(f"{name} is more than {LAG:,} entries behind.", f"wait until it has caught up, or {choose}")


WORDS = Words(
    "switch_leader", "switch_leader", "switch of the leader", "switch the leader of", "moves the leadership of"
)
PHASES = {"move": "move: the leader hands over", "prove": "prove that every member follows"}
REPORT = ReportOf(WORDS, ("switched", "Switched"), simple_phases(PHASES), begins("move"), unjudged=[NOT_WRITTEN])
SWITCH_LEADER = Job({"to": {"type": "str", "default": ""}}, make_plan, REPORT)
