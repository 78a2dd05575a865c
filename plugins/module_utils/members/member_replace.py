# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members replaced, moved, added and removed: the plan, and what it is called."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Sequence

from ..core.errors import EtcdError
from ..core.job import NOTHING, Facts, Findings, Planned, Words, plan_each, plan_in_words
from ..core.machinery import Asked, Job
from ..core.reporting import ReportOf, begins, simple_phases
from ..core.text import table
from ..core.values import from_plain
from ..etcd.hazards import ADDITION_NEEDS_ALL, MEMBERSHIP, PROMOTION, START, judge, met_by
from ..etcd.identity import format_initial_cluster
from ..etcd.proving import answering
from ..etcd.quorum import Quorum
from ..etcd.trial import NOT_WRITTEN
from ..etcd.versions import parse_version
from ..host.aside import OldFolder, old_folders, owner_of
from ..host.facts import MemberFacts
from ..host.naming import settle_edits
from ..host.parts import HostPart
from ..host.planning import RUN, Cluster, common_part, planned, settled
from ..host.service import in_words
from ..host.settings import edits
from ..host.settings.edits import Edit, plan_edits
from .begun import JOB, begun_on
from .newcomers import check_newcomer
from .parts import OfReplace, ReplacePart
from .reported import facts, of_run
from .sequence import Change, Seat, Step, newcomer, seats_of, sequence, voters
from .wanted import Wanted, given_up, wanted_changes

LIST = {"type": "list", "elements": "str", "default": []}
OPTIONS: Dict[str, Dict[str, Any]] = {
    "dead": LIST,
    "by": LIST,
    "rebuild": LIST,
    "move": {"type": "dict", "default": {}},
    "add": LIST,
    "remove": LIST,
    "zones": {"type": "dict", "default": {}},
    "lag": {"type": "int", "default": 1000},
    "patience": {"type": "int", "default": 120},
    "tries": {"type": "int", "default": 2},
}


def make_plan(hosts: Mapping[str, Facts], asked: Asked) -> Dict[str, Any]:
    """As ``plan_each`` has it, and ``phases``: those of the job, one ``change`` for each of the cluster that has the most."""

    def plan_one(name: str, findings: Findings) -> Planned:
        cluster = settled(name, hosts, asked, findings, lambda view: given_up(view, _wanted(asked)))
        return _planned(cluster, asked, findings) if cluster else ({"cluster": name, "mode": RUN}, {})

    plan = plan_each((facts["cluster"] for facts in hosts.values()), plan_one, asked.unwritable)
    most = max((len(cluster.get("changes") or ()) for cluster in plan["clusters"].values()), default=0)
    return {**plan, "phases": ["claim", *["change"] * most, "retire", "settle", "prove"]}


def _wanted(asked: Asked) -> Wanted:
    return Wanted(**{name: asked.options[name] for name in Wanted.__dataclass_fields__})


def _planned(cluster: Cluster, asked: Asked, findings: Findings) -> Planned:
    options = asked.options
    changes = wanted_changes(cluster, _wanted(asked), findings)
    refused = {"cluster": cluster.name, "mode": RUN}
    if findings.refusals:
        return refused, {}
    seats = seats_of(cluster.view)
    _check(cluster, changes, findings)
    try:
        steps, last = sequence(seats, changes, options["lag"])
    except EtcdError as error:
        findings.refuse(
            error.message,
            "mend or add members first; where the quorum is lost for good, restore.yml brings the cluster back, from the"
            " newest backup or from the database of a member that is left.",
        )
        return refused, {}
    if findings.refusals:
        return refused, {}
    unfinished = _unfinished(cluster)
    of = _of(cluster, asked, changes, last)
    if not changes and not unfinished:
        return {**refused, "mode": NOTHING, "shown": of.shown}, {}
    for host in unfinished:
        findings.warn("an earlier run was interrupted here; what it has left to do is done now.", host)
    plan, per_host = planned(JOB, cluster, of, asked, _own(cluster, of, findings))
    return {**plan, "steps": [_row(step) for step in steps]}, {} if findings.refusals else per_host


def _of(cluster: Cluster, asked: Asked, changes: Sequence[Change], last: Sequence[Seat]) -> OfReplace:
    common = common_part(cluster, asked, {"members": ", ".join(_seat(seat) for seat in seats_of(cluster.view))})
    new = [url for change in changes if change.comes for url in cluster.hosts[change.host].member.connection.endpoints]
    options = asked.options
    return OfReplace(
        **{
            **vars(common),
            "hosts": _hosts(cluster, changes),
            "endpoints": [*common.endpoints, *(url for url in new if url not in common.endpoints)],
        },
        changes=list(changes),
        gate=options["lag"],
        patience=options["patience"],
        tries=options["tries"],
        expected={seat.name: list(seat.peer_urls) for seat in last},
        was=_was(cluster),
        clients=_clients(cluster, changes, last),
    )


def _unfinished(cluster: Cluster) -> List[str]:
    """The hosts of members, or of those that have left, where an earlier run was cut off."""
    seated = {url for one in cluster.view.members for url in one.peer_urls}
    begun = begun_on({host: told.member for host, told in cluster.hosts.items()})
    has_seat = [host for host in begun.hosts if seated.intersection(cluster.hosts[host].member.peer_urls)]
    return sorted({*has_seat, *_retiring(cluster)})


def _retiring(cluster: Cluster) -> List[str]:
    """The hosts of members that have left by a run which was cut off before it had seen to it that they stay stopped."""
    seated = {url for one in cluster.view.members for url in one.peer_urls}
    begun = begun_on({host: told.member for host, told in cluster.hosts.items()})
    return [host for host in begun.retiring if not seated.intersection(cluster.hosts[host].member.peer_urls)]


def _was(cluster: Cluster) -> Dict[str, List[str]]:
    """Also of those that a run which was cut off has removed."""
    newest = [told.member.newest_job for told in cluster.hosts.values()]
    earlier = [job.was for job in newest if job and job.open]
    now = {one.name: list(one.client_urls) for one in cluster.view.members if one.name}
    return {name: urls for was in [*earlier, now] for name, urls in was.items()}


def _clients(cluster: Cluster, changes: Sequence[Change], last: Sequence[Seat]) -> Dict[str, List[str]]:
    now = {one.id: list(one.client_urls) for one in cluster.view.members}
    comes = {change.comes: cluster.hosts[change.host].member.client_urls for change in changes if change.comes}
    return {seat.name: list(comes[seat.name] if seat.name in comes else now.get(seat.id, [])) for seat in last}


def _hosts(cluster: Cluster, changes: Sequence[Change]) -> List[str]:
    """The hosts of members and newcomers; first those whose members are healthy and stay, one of which does what is done once."""
    leaving = {change.goes for change in changes}
    stays = {url for one in cluster.view.members if one.healthy and one.id not in leaving for url in one.peer_urls}
    seated = {url for one in cluster.view.members for url in one.peer_urls}
    acts = {change.host for change in changes}.union(_retiring(cluster))
    found = [host for host, told in cluster.hosts.items() if host in acts or seated.intersection(told.member.peer_urls)]
    return sorted(found, key=lambda host: (not stays.intersection(cluster.hosts[host].member.peer_urls), host))


def _check(cluster: Cluster, changes: Sequence[Change], findings: Findings) -> None:
    for change in changes:
        member = cluster.hosts[change.host].member
        if change.comes:
            check_newcomer(change.host, member, change, cluster.view, findings)
        elif not member.tools.etcdctl:
            findings.refuse(
                "etcdctl was not found, and this host must ask for the change.", "set etcd_bin_dir.", change.host
            )
    _judge_versions(cluster, changes, findings)
    _demand_all_up(cluster, changes, findings)
    for host in cluster.unreachable:
        findings.warn("the configuration of its member is not brought up to date, since it does not answer.", host)


def _judge_versions(cluster: Cluster, changes: Sequence[Change], findings: Findings) -> None:
    """What goes wrong with the versions that run, and that are to run."""
    coming = [cluster.hosts[change.host].member.tools.etcd for change in changes if change.comes]
    found = {one.version for one in cluster.view.members} | {tool.version for tool in coming if tool}
    during = [MEMBERSHIP, *([PROMOTION, START] if coming else [])]
    for version in sorted(found - {""}) if changes else ():
        judge(parse_version(version), during, findings)


def _demand_all_up(cluster: Cluster, changes: Sequence[Change], findings: Findings) -> None:
    """Refuse what many versions refuse half-way: to add one while a voter is down that does not leave."""
    seats = seats_of(cluster.view)
    is_added = any(change.comes and not newcomer(seats, change) for change in changes)
    leaving = {change.goes for change in changes}
    # etcd asks for a connection alone: one with an alarm has it.
    up = {one.id for one in answering(cluster.view)}
    down = [seat.called for seat in voters(seats) if seat.id not in up | leaving]
    hazard = met_by(ADDITION_NEEDS_ALL, (one.version for one in cluster.view.members))
    if is_added and down and hazard:
        cause, next_step = hazard
        findings.refuse(f"{', '.join(down)} does not serve, and {cause}", next_step)


def _own(cluster: Cluster, of: OfReplace, findings: Findings) -> Callable[[HostPart], HostPart]:
    """What a host's part of the plan has of its own."""
    members = format_initial_cluster(of.expected)
    comes = {change.host: change for change in of.changes if change.comes}
    gone = {change.goes for change in of.changes}
    leaving = {url for one in cluster.view.members if one.id in gone for url in one.peer_urls}
    coming = {url for change in of.changes for url in change.peer_urls}  # one may come to another host by the same name
    has_left = _retiring(cluster)

    def own(part: HostPart) -> ReplacePart:
        member = cluster.hosts[part.host].member
        leaves = part.host in has_left or bool(leaving.intersection(member.peer_urls))
        retires = part.host not in comes and leaves
        config, settling = _edits(part.host, member, members, part.host in comes, retires, findings)
        return ReplacePart(
            **vars(part),
            config=config,
            settling=settling,
            folders=old_folders(member, of.restore_id) if part.host in comes or retires else [],
            owner=owner_of(member) if part.host in comes or retires else None,
            retires=retires,
            leaves=[url for url in member.peer_urls if url not in coming] if retires else [],
        )

    return own


def _edits(
    host: str, member: MemberFacts, members: str, comes: bool, retires: bool, findings: Findings
) -> Sequence[List[Edit]]:
    """Those for the start of a newcomer, and those that any member's configuration is brought up to date by."""
    config: List[Edit] = []
    if comes or retires:
        wanted = {"initial-cluster-state": "existing", **({"initial-cluster": members} if comes else {})}
        try:
            config = plan_edits(member, wanted)
        except EtcdError as error:
            findings.refuse(error.message, error.next_step, host)
    settling = settle_edits(member, members) if not retires else None
    for words in [*settling.by_hand, *settling.notes] if settling else []:
        findings.warn(words, host)
    later = [edit for edit in settling.edits if not (comes and edit.format == "static_pod")] if settling else []
    return config, later


# ---- in words -----------------------------------------------------------------------------------------------------------


def _seat(seat: Seat) -> str:
    what = ["leads"] * seat.leads + ["learner"] * seat.learner + ["never started"] * (not seat.started)
    what += ["does not serve"] * (not seat.healthy and seat.started)
    return f"{seat.called} ({', '.join(what)})" if what else seat.called


def _row(step: Step) -> List[str]:
    """Both sides of the step in full, also where they are the same: no other row is needed to judge it."""
    return [step.words, _arithmetic(step.before), f"-> {_arithmetic(step.after)}"]


def _arithmetic(quorum: Quorum) -> str:
    return f"{quorum.healthy} of {quorum.voters} voters, {quorum.size} needed, {quorum.may_fail or 'none'} may fail"


def _in_words(plan: Mapping[str, Any]) -> List[str]:
    def of_cluster(cluster: Mapping[str, Any]) -> List[str]:
        nothing = ": nothing to do" if cluster["mode"] == NOTHING else ""
        lines = [f"Change of the members of cluster {cluster['cluster']}{nothing}"]
        lines += table([list(row) for row in (cluster.get("shown") or {}).items()])
        lines += table([["because", change["why"]] for change in cluster.get("changes") or ()])
        return lines + table([[f"{number}.", *row] for number, row in enumerate(cluster.get("steps") or (), 1)])

    return plan_in_words(plan, of_cluster, _host)


def _host(host: str, plain: Mapping[str, Any]) -> List[str]:
    own = from_plain(ReplacePart, plain)
    rows = []
    if own.folders:
        rows.append(["stop", in_words(own.member.service, own.member.state_dir, "stop")])
        rows += [["move", _moved(folder)] for folder in own.folders]
    rows += [["set", words] for words in edits.in_words(own.config or own.settling)]
    if own.folders and not own.retires:
        rows.append(["start", in_words(own.member.service, own.member.state_dir, "start")])
    if own.retires:
        rows.append(["then", "it stays stopped: its member is none any more"])
    return [f"  {host} (member {own.member.name})", *table(rows, "    ")] if rows else []


def _moved(folder: OldFolder) -> str:
    """Nothing is deleted; where nothing is there, nothing is moved."""
    what = "the contents of " if folder.kind == "contents" else ""
    return f"{what}{folder.live}, as far as there is data, -> {folder.near}-1"


WORDS = Words(JOB, "member_replace", "change of the members", "change the members of", "changes the members of")
PHASES = {
    "claim": "claim: nobody else is at work",
    "change": "change the membership, one after the other",
    "retire": "retire who has left",
    "settle": "settle: every configuration names the members",
    "prove": "prove that all serve the same data",
}
REPORT = ReportOf(
    WORDS,
    ("changed", "Changed"),
    simple_phases(PHASES),
    begins("change"),
    facts=facts,
    of_run=of_run,
    unjudged=[NOT_WRITTEN],
)
MEMBER_REPLACE = Job(OPTIONS, make_plan, REPORT, _in_words)
