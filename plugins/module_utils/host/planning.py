# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan of a job reads of its hosts: who is there, the cluster as they see it, and what is under way already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Container, Dict, Mapping, Optional, Sequence

from ..core.job import Facts, Findings, Planned, run_id
from ..core.journals import Unreadable
from ..core.machinery import Asked
from ..core.values import Misfit, from_plain, to_plain
from ..etcd.view import ClusterView
from .facts import MemberFacts
from .parts import HostPart, MemberPart, OfCluster

RUN = "run"  # the mode of a cluster's plan for which there is something to do


@dataclass(frozen=True)
class Told:
    """What a host has told of its member, and of the cluster as that sees it."""

    member: MemberFacts
    view: Optional[ClusterView] = None


@dataclass(frozen=True)
class Restore:
    """What is read here of the newest restore of a member."""

    restore_id: str
    touched: bool
    open: bool


@dataclass(frozen=True)
class Cluster:
    """A cluster that a job may be planned for: its hosts that have told something, how it is, and who has told nothing."""

    name: str
    hosts: Dict[str, Told]
    view: ClusterView
    unreachable: Sequence[str] = ()


# The endpoints of a view whose members are given up: those may be of another cluster by now.
GivenUp = Callable[[ClusterView], Container[str]]


def settled(
    name: str,
    hosts: Mapping[str, Facts],
    asked: Asked,
    findings: Findings,
    given_up: GivenUp = lambda _view: (),
) -> Optional[Cluster]:
    """The cluster, where it has a quorum and has told its members, nobody is at work on it, and no other job has left it
    half-way; else None, and why is refused. ``hosts`` are those of all clusters.
    """
    own = {host: hosts[host] for host in sorted(hosts) if hosts[host]["cluster"] == name}
    told = told_by(own, findings)
    views = [one.view for one in told.values() if one.view]
    view = max(views, key=lambda one: (one.has_quorum, one.members_complete, len(one.members)), default=None)
    if not (view or findings.refusals):
        findings.refuse("no host can tell how the cluster is.", "run status.yml, and see that members run.")
    if not view or findings.refusals:
        return None
    if asked.run.is_alone({host: one.member.newest_job for host, one in told.items()}, findings):
        _refuse_what_is_half_way(told, findings)
        _refuse_unsettled(view, given_up(view), findings)
    unreachable = [host for host, facts in own.items() if facts.get("why")]
    return None if findings.refusals else Cluster(name, told, view, unreachable)


def told_by(hosts: Mapping[str, Facts], findings: Findings) -> Dict[str, Told]:
    """By host, what it has told; what cannot be understood is refused."""
    told: Dict[str, Told] = {}
    for host, facts in hosts.items():
        if facts.get("why"):
            findings.warn(f"it {facts['why']}, so its member is not looked at from there.", host)
        if facts.get("member") is None and facts.get("view") is None:
            continue
        try:
            told[host] = from_plain(Told, {"member": facts.get("member"), "view": facts.get("view") or None})
        except Misfit as why:
            findings.refuse(
                f"what it answered cannot be understood: {why}.",
                "see that nothing but this run answers for it; run with -vvv to see the whole answer.",
                host,
            )
    return told


def _refuse_what_is_half_way(hosts: Mapping[str, Told], findings: Findings) -> None:
    """A restore that was interrupted after it had touched a member is ended before anything else is done."""
    for host, told in hosts.items():
        journal = told.member.journal
        if journal.get("problem"):
            unreadable = from_plain(Unreadable, journal)
            findings.refuse(unreadable.problem, unreadable.next_step, host)
        elif journal:
            last = from_plain(Restore, journal)
            if last.touched and last.open:
                findings.refuse(
                    f"the restore {last.restore_id} of this cluster was interrupted here.",
                    "run restore.yml again, which completes it, or takes it back with -e etcd_restore_rollback=true.",
                    host,
                )


def _refuse_unsettled(view: ClusterView, given_up: Container[str], findings: Findings) -> None:
    for one in view.strangers:
        if one.endpoint in given_up:
            findings.warn(
                f"at {one.endpoint} another cluster answers ({one.cluster_id}): with its data lost, the member has founded one of"
                " its own. It is given up, and its data is kept beside the new."
            )
    if any(one.endpoint not in given_up for one in view.strangers):
        findings.refuse(
            f"several clusters answer: {', '.join(view.cluster_ids)}.", "run status.yml, and stop what is none of it."
        )
    elif view.quorum_unknown:
        steps = " ".join(view.next_steps)
        findings.refuse(f"its members cannot be asked. {view.summary}", steps or "run status.yml, which says why.")
    elif not view.has_quorum:
        findings.refuse(
            f"the cluster has no quorum. {view.summary}",
            "start the members that are down, and run again; where they are lost for good, run restore.yml, which brings the"
            " cluster back from the newest backup, or from the database of a stopped member that is left"
            " (-e etcd_restore_snapshot=DATA_DIR/member/snap/db -e etcd_restore_skip_hash_check=true).",
        )
    elif not view.members_complete:
        findings.refuse(
            f"the cluster did not tell its members. {view.summary}", "run status.yml, which says why, and run again."
        )


def common_part(cluster: Cluster, asked: Asked, shown: Mapping[str, str]) -> OfCluster:
    """What a job's plan says of any cluster. The hosts are those that can ask it; the first of them does what is done once."""
    voters = [member for member in cluster.view.members if member.healthy and not member.is_learner]
    return OfCluster(
        cluster=cluster.name,
        restore_id=run_id(cluster.name, asked.now),
        hosts=[host for host, told in cluster.hosts.items() if told.view],
        endpoints=[member.endpoint for member in voters],
        members={member.id: member.name for member in voters},
        shown=dict(shown),
    )


def _just_that(part: HostPart) -> HostPart:
    return part


def planned(
    job: str, cluster: Cluster, of: OfCluster, asked: Asked, own: Callable[[HostPart], HostPart] = _just_that
) -> Planned:
    """The plan of a cluster, and those of its hosts. ``own`` adds to a host's what the job plans for it besides."""
    common = to_plain(of)
    parts = {}
    for host in of.hosts:
        member = cluster.hosts[host].member
        part = HostPart(
            job=job,
            mode=RUN,
            host=host,
            restore_id=of.restore_id,
            of=common,
            reports=host == of.hosts[0],
            member=MemberPart(**{name: getattr(member, name) for name in MemberPart.__dataclass_fields__}),
            claim=asked.run.claim(member.newest_job),
        )
        parts[host] = to_plain(own(part))
    return {"mode": RUN, **common}, parts
