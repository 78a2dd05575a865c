# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new cluster of hosts that have no member: the plan, with the IDs that it will have, and every reason to refuse it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping

from ..core.errors import EtcdError
from ..core.job import NOTHING, Facts, Findings, Planned, Words, plan_each, run_id
from ..core.machinery import Asked, Job
from ..core.reporting import ReportOf, begins, simple_phases
from ..core.values import Misfit, from_plain, to_plain
from ..etcd.identity import cluster_id, format_initial_cluster, hex_id, member_id
from ..etcd.trial import NOT_WRITTEN
from ..etcd.view import ClusterView
from ..host.facts import ConnectionFacts, Service, ToolFacts
from ..host.parts import HostPart, MemberPart
from ..host.planning import RUN, Told, told_by
from ..host.server.wanted import Server
from .founded import OfFounding

FOUND = "found"


@dataclass(frozen=True)
class Seen:
    """What a host is to become, and what stands in the way: a member that is ``there``, somebody who has ``answered``."""

    wanted: Server
    there: bool = False
    answered: List[str] = field(default_factory=list)


def make_plan(hosts: Mapping[str, Facts], asked: Asked) -> Dict[str, Any]:
    def plan_one(name: str, findings: Findings) -> Planned:
        own = {host: hosts[host] for host in sorted(hosts) if hosts[host]["cluster"] == name}
        told, seen = told_by(own, findings), _seen(own, asked.options["servers"], findings)
        if findings.refusals or not asked.run.is_alone({host: told[host].member.newest_job for host in told}, findings):
            return {"cluster": name, "mode": RUN}, {}
        members = _members(seen, findings)
        view = max((one.view for one in told.values() if one.view), key=lambda one: one.healthy_voters, default=None)
        if members and view and _is_founded(members, view, told):
            return {"cluster": name, "mode": NOTHING, "shown": {"members": ", ".join(members)}}, {}
        begun = _begun(told)
        _refuse_what_is_there(seen, told, begun, findings)
        if findings.refusals:
            return {"cluster": name, "mode": RUN}, {}
        if len(members) % 2 == 0:
            findings.warn(
                f"a cluster of {len(members)} members survives no more losses than one of {len(members) - 1}."
            )
        return _planned(name, seen, told, begun, members, asked)

    return plan_each((facts["cluster"] for facts in hosts.values()), plan_one, asked.unwritable)


def _seen(own: Mapping[str, Facts], servers: Mapping[str, Any], findings: Findings) -> Dict[str, Seen]:
    """By host, what it is to become; a cluster is founded of all its hosts or not at all."""
    seen: Dict[str, Seen] = {}
    for host in own:
        if not servers.get(host) or own[host].get("member") is None:
            findings.refuse(
                "it could not be looked at, and a cluster is founded on all its hosts at once.",
                "see that it can be reached and that nothing before this has failed; or take it out of the group.",
                host,
            )
            continue
        try:
            seen[host] = from_plain(Seen, servers[host])
        except Misfit as why:
            findings.refuse(
                f"what it answered cannot be understood: {why}.", "run with -vvv to see the whole answer.", host
            )
    return seen


def _members(seen: Mapping[str, Seen], findings: Findings) -> Dict[str, List[str]]:
    """Name -> peer URLs; empty, and refused, where two hosts would be one member."""
    members: Dict[str, List[str]] = {}
    for host, one in seen.items():
        if one.wanted.name in members:
            findings.refuse(
                f"another host too is to be the member {one.wanted.name}.", "set etcd_name of each host.", host
            )
        members[one.wanted.name] = one.wanted.peer_urls
    try:
        format_initial_cluster(members)
    except EtcdError as error:
        findings.refuse(error.message, error.next_step)
    return {} if findings.refusals else members


def _is_founded(members: Mapping[str, List[str]], view: ClusterView, told: Mapping[str, Told]) -> bool:
    """Whether these hosts are this very cluster already, and nothing of a founding is left to be done."""
    found = {member.name: sorted(member.peer_urls) for member in view.members if member.healthy}
    wanted = {name: sorted(urls) for name, urls in members.items()}
    return found == wanted and len(view.members) == len(members) and not _begun(told)


def _begun(told: Mapping[str, Told]) -> str:
    """The founding that was interrupted here, by its ID; it is gone on with. Empty where there is none."""
    jobs = [one.member.newest_job for one in told.values()]
    return max((job.restore_id for job in jobs if job and job.job == FOUND and job.open), default="")


def _refuse_what_is_there(seen: Mapping[str, Seen], told: Mapping[str, Told], begun: str, findings: Findings) -> None:
    for host, one in seen.items():
        job = told[host].member.newest_job
        ours = bool(begun and job and job.restore_id == begun)
        if one.there and not ours:
            where = f" with its data in {told[host].member.data_dir}" if told[host].member.data_dir else ""
            findings.refuse(
                f"a member is here already{where}, and a founded cluster would have nothing of its data.",
                "run without etcd_found; or, where it is one that a package has started by itself, 'systemctl disable --now"
                " etcd' on it, move its data away, and run again.",
                host,
            )
        elif one.answered and not ours:
            findings.refuse(
                f"somebody answers at {', '.join(one.answered)} already.",
                "see who that is ('ss -ltnp' on the host that has the address), or set etcd_address of this host.",
                host,
            )


def _planned(
    name: str,
    seen: Mapping[str, Seen],
    told: Mapping[str, Told],
    begun: str,
    members: Mapping[str, List[str]],
    asked: Asked,
) -> Planned:
    restore_id = begun or run_id(name, asked.now)
    token = f"{name}-{restore_id}"
    ids = {member: member_id(urls, token) for member, urls in members.items()}
    initial = format_initial_cluster(members)
    of = OfFounding(
        cluster=name,
        restore_id=restore_id,
        hosts=list(seen),
        endpoints=[url for one in seen.values() for url in one.wanted.client_urls],
        members={hex_id(number): member for member, number in ids.items()},
        shown={"members": initial, "token": token, "cluster ID": hex_id(cluster_id(ids.values()))},
        initial_cluster=initial,
        token=token,
        cluster_id=hex_id(cluster_id(ids.values())),
    )
    common = to_plain(of)
    parts = {host: to_plain(_part(host, seen[host].wanted, told[host], of, common, asked)) for host in seen}
    return {"mode": RUN, **common}, parts


def _part(host: str, wanted: Server, told: Told, of: OfFounding, common: Dict[str, Any], asked: Asked) -> HostPart:
    return HostPart(
        job=FOUND,
        mode=RUN,
        host=host,
        restore_id=of.restore_id,
        of=common,
        reports=host == of.hosts[0],
        member=MemberPart(
            name=wanted.name,
            data_dir=wanted.data_dir,
            state_dir=told.member.state_dir,
            service=Service("systemd", wanted.unit, "", "stopped", "", "", "", named=True),
            tools=ToolFacts(None, None, None),  # they come with the preparation
            connection=ConnectionFacts(
                list(wanted.client_urls), wanted.tls.ca, wanted.tls.cert, wanted.tls.key, wanted.bin_dir
            ),
        ),
        claim=asked.run.claim(told.member.newest_job),
    )


WORDS = Words(FOUND, "server", "founding", "found", "founds", "install")
PHASES = {
    "start": "start every member",
    "prove": "prove that it is the planned cluster",
    "settle": "existing in every configuration",
}
REPORT = ReportOf(WORDS, ("founded", "Founded"), simple_phases(PHASES), begins("start"), unjudged=[NOT_WRITTEN])
FOUNDING = Job({"servers": {"type": "dict", "default": {}}}, make_plan, REPORT)
