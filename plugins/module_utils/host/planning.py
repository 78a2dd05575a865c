# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan of a job reads of its hosts: who is there, the cluster as they see it, and what is under way already."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Mapping, Optional

from ..core.job import Facts, Findings, Planned
from ..core.strict_json import ANY, WORD, misfit
from ..core.text import instant
from ..core.values import Misfit, from_plain
from ..etcd.view import ClusterView

# What a plan reads of a member, and what of it the phases of any job need.
_JOURNAL = {"restore_id": WORD, "touched": bool, "open": bool}
_UNREADABLE = {"problem": str, "next_step": str}
_NO_JOURNAL = {"restore_id": None, "problem": None}
_MEMBER = {
    "name": WORD,
    "state_dir": WORD,
    "tools": ANY,
    "service": {"manager": WORD, "name": WORD},
    "journal": (_JOURNAL, _UNREADABLE, _NO_JOURNAL),
    "connection": {"endpoints": [WORD], "cacert": WORD, "cert": WORD, "key": WORD},
}
_OF_A_MEMBER = ("name", "tools", "service", "state_dir", "connection")


def of_cluster(name: str, hosts: Mapping[str, Facts]) -> Dict[str, Facts]:
    """The hosts of one cluster, with what each has told."""
    return {host: hosts[host] for host in sorted(hosts) if hosts[host]["cluster"] == name}


def settled_view(hosts: Mapping[str, Facts], findings: Findings) -> Optional[ClusterView]:
    """The cluster, where it has a quorum and no other job has left it half-way; else None, and why is refused."""
    view = _seen_by(hosts, findings)
    if view and not findings.refusals:
        _refuse_what_is_under_way(hosts, findings)
        _refuse_no_quorum(view, findings)
    return None if findings.refusals else view


def _seen_by(hosts: Mapping[str, Facts], findings: Findings) -> Optional[ClusterView]:
    """The cluster as the host sees it that sees most of it; None where no host can tell, which is refused."""
    views: List[ClusterView] = []
    for host, facts in hosts.items():
        if facts.get("why"):
            findings.warn(f"it {facts['why']}, so its member is not looked at from there.", host)
        try:
            views += _understood(facts)
        except Misfit as why:
            findings.refuse(
                f"what it answered cannot be understood: {why}.",
                "see that nothing but this run answers for it; run with -vvv to see the whole answer.",
                host,
            )
    if not views:
        findings.refuse("no host can tell how the cluster is.", "run status.yml, and see that members run.")
    return max(views, key=lambda view: (view.has_quorum, len(view.members)), default=None)


def _understood(facts: Facts) -> List[ClusterView]:
    """The view of a host, where it has one; Misfit where it tells something else than a plan reads."""
    told = facts.get("member") is not None or facts.get("view") is not None
    why = misfit(facts.get("member"), _MEMBER, "member") if told else ""
    if why:
        raise Misfit(why)
    return [from_plain(ClusterView, facts["view"], "view")] if facts.get("view") else []


def _refuse_what_is_under_way(hosts: Mapping[str, Facts], findings: Findings) -> None:
    """A restore that was interrupted after it had touched a member is ended before anything else is done."""
    for host, facts in hosts.items():
        journal = (facts.get("member") or {}).get("journal") or {}
        if journal.get("problem"):
            findings.refuse(journal["problem"], journal["next_step"], host)
        if journal.get("touched") and journal.get("open"):
            findings.refuse(
                f"the restore {journal['restore_id']} of this cluster was interrupted here.",
                "run restore.yml again, which completes it, or takes it back with -e etcd_restore_rollback=true.",
                host,
            )


def _refuse_no_quorum(view: ClusterView, findings: Findings) -> None:
    if len(view.cluster_ids) > 1:
        findings.refuse(
            f"several clusters answer: {', '.join(view.cluster_ids)}.", "run status.yml, and stop what is none of it."
        )
    elif view.quorum_unknown:
        steps = " ".join(view.next_steps)
        findings.refuse(f"its members cannot be asked. {view.summary}", steps or "run status.yml, which says why.")
    elif not view.has_quorum:
        findings.refuse(f"the cluster has no quorum. {view.summary}", "start the members that are down, and run again.")


def planned(
    cluster: str, hosts: Mapping[str, Facts], view: ClusterView, now: str, shown: Mapping[str, str], **of: Any
) -> Planned:
    """The plan of a cluster and of those of its hosts that can ask it; ``of`` is what the job plans of its own, and
    ``shown`` what it shows of that.

    ``endpoints`` and ``members`` (ID -> name) are the healthy voters', who can be asked. The first of the hosts ``reports``: it
    does what is done once for all.
    """
    run = f"{instant(now):%Y%m%dT%H%M%SZ}-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}"
    able = [host for host, facts in hosts.items() if facts.get("view")]
    voters = [member for member in view.members if member.healthy and not member.is_learner]
    common = {
        **of,
        "shown": dict(shown),
        "cluster": cluster,
        "restore_id": run,
        "hosts": able,
        "endpoints": [member.endpoint for member in voters],
        "members": {member.id: member.name for member in voters},
    }
    return {"mode": "run", **common}, {
        host: {
            "mode": "run",
            "host": host,
            "restore_id": run,
            "of": common,
            "reports": host == able[0],
            "member": {key: hosts[host]["member"][key] for key in _OF_A_MEMBER},
        }
        for host in able
    }
