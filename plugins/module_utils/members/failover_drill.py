# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member of a cluster fails, as a drill: the plan, and what it is called."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ..core.job import Facts, Findings, Planned, Words, plan_each
from ..core.machinery import Asked, Job
from ..core.reporting import PhaseOf, ReportOf, begins, ends
from ..core.text import listed
from ..etcd.quorum import Quorum
from ..etcd.trial import NOT_WRITTEN
from ..etcd.view import MemberView
from ..host.absence import CUT, KILL, STOP
from ..host.facts import MemberFacts
from ..host.filtering import is_local
from ..host.manageable import check_manager
from ..host.planning import RUN, Cluster, common_part, planned, settled
from . import drill_words
from .drilling import CAUGHT_UP, MEASURED, MEASURING, PREFIX, PUT_BACK, SPARE, TAKING, OfDrill, member_list
from .sparing import LAG, arithmetic, reasons

LEADER, FOLLOWER = "leader", "follower"
SHORTEST, LONGEST = 5, 300  # seconds
_WHO = "name a voter with -e etcd_failover_drill_who, or leader, or follower."
_HOW = {
    STOP: "stopped, as its service manager does",
    KILL: "killed (SIGKILL), and kept down",
    CUT: "cut off the network: its peer and client ports, by rules of our own",
}


def make_plan(hosts: Mapping[str, Facts], asked: Asked) -> Dict[str, Any]:
    def plan_one(name: str, findings: Findings) -> Planned:
        cluster = settled(name, hosts, asked, findings)
        of = _planned(cluster, asked, findings) if cluster else None
        if not cluster or not of or findings.refusals:
            return {"cluster": name, "mode": RUN}, {}
        plan, per_host = planned(WORDS.name, cluster, of, asked)
        for host, own in per_host.items():
            own["stops"] = host == of.away_host and of.how != CUT
        return plan, per_host

    return plan_each((facts["cluster"] for facts in hosts.values()), plan_one, asked.unwritable)


def _planned(cluster: Cluster, asked: Asked, findings: Findings) -> Optional[OfDrill]:
    seconds, how, view = asked.options["seconds"], asked.options["how"], cluster.view
    if not SHORTEST <= seconds <= LONGEST:
        findings.refuse(
            f"{seconds} s is no time for a drill.", f"set etcd_failover_drill_seconds to {SHORTEST} up to {LONGEST}."
        )
    unfinished = [
        host
        for host, told in cluster.hosts.items()
        if told.member.newest_job and told.member.newest_job.job == WORDS.name and told.member.newest_job.open
    ]
    homes = {host_of(member, cluster): member for member in view.members}
    comes_back = [homes[host].id for host in unfinished if host in homes]
    for host in unfinished:
        findings.warn("an earlier drill was interrupted here: what it has taken away is put back first.", host)
    away = _chosen(asked.options["who"], cluster, comes_back, findings)
    if away is None:
        return None
    for reason in reasons(view, away.id, comes_back):
        findings.refuse(reason.cause, reason.next_step)
    home = host_of(away, cluster)
    if not home:
        findings.refuse(
            f"no host of the inventory runs {away.name}, whose peer URLs are {', '.join(away.peer_urls)}.",
            "add its host to the inventory, or drill another member.",
        )
        return None
    others = [host for host in cluster.hosts if cluster.hosts[host].view and host != home]
    if not others:
        findings.refuse(
            f"no other host than {home} can measure.", "add the hosts of the other members to the inventory."
        )
        return None
    _check_host(home, cluster.hosts[home].member, how, [one for one in view.members if one.id != away.id], findings)
    common = common_part(cluster, asked, _shown(cluster, away, home, others[0], asked))
    voters = {one.name: one.endpoint or next(iter(one.client_urls), "") for one in view.members if not one.is_learner}
    own = cluster.hosts[home].member
    if not _boot_puts_back(own, how):
        findings.warn(
            "it has no systemd. If it is rebooted while its member is away, nothing puts that back but its own boot, where it"
            f" starts it: run 'sh {own.state_dir}/restores/{common.restore_id}/put_back.sh' on it then.",
            home,
        )
    return OfDrill(
        **{**vars(common), "hosts": [others[0], *(host for host in common.hosts if host != others[0])]},
        away=away.name,
        away_id=away.id,
        away_host=home,
        who=asked.options["who"],
        how=how,
        seconds=seconds,
        measures=others[0],
        voters=voters,
        ids={one.id: one.name for one in view.members},
        roster=member_list(view),
        own_urls=[*own.listen_peer_urls, *own.listen_client_urls, *own.peer_urls, *own.client_urls]
        if how == CUT
        else [],
        peer_urls=[url for one in view.members if one.id != away.id for url in one.peer_urls] if how == CUT else [],
        filter=own.packet_filter,
        unfinished=unfinished,
    )


def host_of(member: MemberView, cluster: Cluster) -> str:
    """The host that runs it, known by its peer URLs; empty where none does, or several say so."""
    found = [host for host, told in cluster.hosts.items() if set(told.member.peer_urls) & set(member.peer_urls)]
    return found[0] if len(found) == 1 else ""


def _chosen(who: str, cluster: Cluster, comes_back: List[str], findings: Findings) -> Optional[MemberView]:
    """The member that is to fail; a follower that is there at once goes before one that must come back first."""
    voters = [member for member in cluster.view.members if not member.is_learner]
    followers = sorted((one for one in voters if not one.is_leader), key=lambda one: one.id in comes_back)
    choice = {LEADER: [one for one in voters if one.is_leader], FOLLOWER: followers}
    found = choice.get(who, [one for one in cluster.view.members if one.name == who])
    if not found:
        cause = f"no {who} is known." if who in choice else f"no member is called {who}."
        findings.refuse(cause, _WHO)
        return None
    if found[0].is_learner:
        findings.refuse(f"{who} is a learner: nothing depends on it.", _WHO)
        return None
    return found[0]


def _check_host(host: str, member: MemberFacts, how: str, others: List[MemberView], findings: Findings) -> None:
    """Whether what is taken away there can be taken away so, and put back."""
    service = member.service
    if how == CUT:
        _check_cut(host, member, others, findings)
        return
    check_manager(host, member, findings)
    stopped = "stop" if how == STOP else "kill"
    if service.halted:
        findings.refuse(
            "its etcd is held still by a signal or a debugger.", f"kill -CONT {member.pid}, and run again.", host
        )
    if service.manager == "command" and not service.start_command:
        findings.refuse(f"nothing could start it after a {stopped}.", "set etcd_start_command.", host)
    if service.manager == "command" and how == STOP and not service.stop_command:
        findings.refuse("nothing tells how to stop it.", "set etcd_stop_command; or use kill.", host)
    if service.manager == "static_pod" and service.kubelet is False:
        findings.refuse("its static pod has no kubelet that would stop or start it.", "start the kubelet.", host)


def _check_cut(host: str, member: MemberFacts, others: List[MemberView], findings: Findings) -> None:
    instead = "drill it with -e etcd_failover_drill_how=stop or kill."
    if not member.packet_filter:
        findings.refuse(
            "neither nft nor iptables is here, so its network cannot be cut.", f"install nftables; or {instead}", host
        )
    if any(is_local(url) for one in others for url in one.peer_urls):
        findings.refuse(
            "its peers are at the loopback, so they share its host: to cut it would cut them too.", instead, host
        )


def _boot_puts_back(member: MemberFacts, how: str) -> bool:
    """Where systemd runs a unit does, see ``put_back``; and rules of the kernel end with it."""
    return member.systemd or how == CUT


def _shown(cluster: Cluster, away: MemberView, home: str, measures: str, asked: Asked) -> Dict[str, str]:
    how, seconds = asked.options["how"], asked.options["seconds"]
    voters = [member for member in cluster.view.members if not member.is_learner]
    sound = len([member for member in voters if member.healthy])
    role = LEADER if away.is_leader else FOLLOWER
    member = cluster.hosts[home].member
    reboot = "so does a reboot" if _boot_puts_back(member, how) else "a reboot does not"
    return {
        "away": f"{away.name}, the {role}, on {home}" if away.is_leader else f"{away.name}, a {role}, on {home}",
        "how": _HOW[how] + drill_words.kept_down(how, member.service.manager, member.service.name),
        "for": f"{seconds} s; a timer on {home} puts it back {seconds + SPARE} s after the begin, whatever becomes of this run;"
        f" {reboot}",
        "quorum": arithmetic(Quorum(len(voters), sound), Quorum(len(voters), max(0, sound - 1)), away.name),
        "measured": f"on {measures}: writes through {listed([one.name for one in voters])} in turn, below {PREFIX}",
        "proof": f"it is at most {LAG:,} entries behind, equal hashes at one revision, the same member list, no alarm",
    }


WORDS = Words("failover_drill", "failover_drill", "failover drill", "drill a failure in", "takes a member away from")
PHASES = (
    PhaseOf("ready", "ready: look once more", ends("ready"), [begins("ready")]),
    PhaseOf("away", "away: the member is gone", PUT_BACK, [TAKING]),
    PhaseOf("return", "return: until it has caught up", CAUGHT_UP, after=PUT_BACK),
    PhaseOf("measure", "measure: a client writes", MEASURED, [MEASURING]),
    PhaseOf("prove", "prove that all is as before", ends("prove"), [begins("prove")]),
)
REPORT = ReportOf(
    WORDS,
    ("drilled", "Drilled"),
    PHASES,
    TAKING,
    headline=drill_words.headline,
    facts=drill_words.facts,
    of_run=drill_words.of_run,
    about=drill_words.about,
    unjudged=[NOT_WRITTEN],
)
FAILOVER_DRILL = Job(
    {
        "who": {"type": "str", "default": LEADER},
        "how": {"type": "str", "default": STOP, "choices": [STOP, KILL, CUT]},
        "seconds": {"type": "int", "default": 20},
    },
    make_plan,
    REPORT,
)
