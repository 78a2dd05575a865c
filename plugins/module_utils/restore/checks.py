# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reasons to refuse a restore, and what is to be said before it, from what the hosts reported."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

from ..core.errors import EtcdError
from ..core.job import Findings
from ..core.text import in_mib
from ..core.trees import is_inside
from ..etcd import commands
from ..etcd.hazards import RESTORE, judge
from ..etcd.identity import format_initial_cluster
from ..etcd.view import ClusterView, MemberView
from ..host import manageable
from ..host.configuration import check_configuration
from ..host.data import WAL_SEGMENT
from ..host.facts import MemberFacts
from ..host.owners import DISTRIBUTIONS
from ..host.tools import kept_tools
from ..snapshot.entry import SnapshotMember
from .answers import Host, HostAnswer
from .reach import check_reach
from .terms import DISK_MARGIN, Options
from .values import Before, ChosenSnapshot, DiskNeed, HostPlan

HasUrls = Union[MemberView, SnapshotMember, MemberFacts]
Member = TypeVar("Member", MemberView, SnapshotMember)

_STOP_CONTROLLERS = (
    "stop them before the restore and start them after it, since a garbage collector that remembers what was deleted after"
    " the snapshot deletes restored objects"
)


def check_hosts(hosts: Mapping[str, Host], findings: Findings) -> None:
    """What can be said of each host by itself, and that no two of them are one member."""
    for host, facts in hosts.items():
        _check_host(host, facts, findings)
    _check_identities(hosts, findings)


def check_cluster(
    hosts: Mapping[str, Host],
    left_out: Mapping[str, HostAnswer],
    before: Before,
    options: Options,
    findings: Findings,
) -> None:
    """What ``before``, the one view of the old cluster, says against these hosts being all of it."""
    _check_strangers(hosts, left_out, before, options, findings)
    _check_left_out(hosts, left_out, before, findings)
    check_reach(hosts, findings)


def unknown_excluded(answers: Mapping[str, HostAnswer], options: Options) -> List[str]:
    """Names to exclude that neither the inventory, nor a member's configuration, nor a member list, nor a snapshot knows."""
    known = set(answers)
    for facts in _those_that_told(answers):
        known.add(facts.member.name)
        known |= {entry.partition("=")[0] for entry in facts.member.initial_cluster.split(",")}
        known |= {one.name for one in (facts.view.members if facts.view else ())}
        known |= {one.name for entry in facts.snapshots for one in entry.members}
    known |= {one.name for entry in options.controller_snapshots for one in entry.members}
    return [name for name in options.exclude if name not in known]


def _those_that_told(answers: Mapping[str, HostAnswer]) -> List[Host]:
    return [answer.told for answer in answers.values() if answer.told]


def check_presence(answers: Mapping[str, HostAnswer], findings: Findings) -> None:
    for host, answer in answers.items():
        if answer.told:
            continue
        findings.refuse(
            f"it {answer.why.rstrip('.')}. It is a member of this cluster, and a restore without it would leave an old one"
            " behind.",
            "run for the whole group, or, if this host is lost for good, name it in etcd_restore_exclude.",
            host,
        )
    if not answers:
        findings.refuse("every host is excluded.", "leave at least one host in.")


def _check_host(host: str, facts: Host, findings: Findings) -> None:
    member, tools = facts.member, facts.tools
    check_service(host, member, findings)
    if member.service.owner.kind == "distribution":
        return
    if not member.found and not tools.etcd:
        findings.refuse(
            "no etcd was found here: no process, no service, no configuration and no executable.",
            "install etcd on this host, or take it out of the group; where etcd lies elsewhere, set etcd_bin_dir.",
            host,
        )
        return
    if not tools.etcd:
        cause = "the etcd executable was not found." + _why_missing(member, "etcd")
        findings.refuse(cause, "set etcd_bin_dir to the folder that holds it.", host)
    try:
        commands.restore_tool(tools)
        if not tools.etcdctl:
            cause = "etcdctl was not found, and without it nothing can be proven." + _why_missing(member, "etcdctl")
            findings.refuse(cause, "set etcd_bin_dir.", host)
    except EtcdError as error:
        findings.refuse(error.message + _why_missing(member, "etcdutl"), error.next_step, host)
    contained = member.data.contained
    if contained:
        findings.refuse(
            f"its data directory {contained} is in the file system of its container, and in no folder of the host that"
            " outlives it.",
            "mount a folder of the host there, with the data in it, and run again; where one is mounted, name it in"
            " etcd_data_dir.",
            host,
        )
    for value, words, variable in (
        (member.name, "name", "etcd_name"),
        (member.peer_urls, "peer urls", "etcd_peer_urls"),
        (member.data_dir or contained, "data dir", "etcd_data_dir"),
    ):
        if not value:
            findings.refuse(f"its {words} could not be read from the host.", f"set {variable}.", host)
    try:
        format_initial_cluster({member.name: member.peer_urls} if member.name and member.peer_urls else {})
    except EtcdError as error:
        findings.refuse(error.message, "set etcd_name and etcd_peer_urls as they should be.", host)
    if not member.connection.endpoints:
        findings.refuse("its client URL could not be read from the host.", "set etcd_client_urls.", host)
    if member.data_dir and not member.data.is_etcd:
        holds = ", ".join(member.data.entries[:5])
        findings.refuse(
            f"{member.data_dir} is not a data directory of etcd: it holds {holds} and no member folder.",
            "correct etcd_data_dir; nothing that is not etcd's will be moved.",
            host,
        )
    elif member.data.foreign:
        findings.refuse(
            f"{member.data_dir} also holds what is not etcd's, which would be moved aside with it:"
            f" {', '.join(member.data.foreign[:5])}.",
            "move that to another folder; what is etcd's stays where it is.",
            host,
        )
    _check_kept_tools(host, facts, findings)
    check_configuration(host, member, findings)
    for mount in member.data.inner_mounts:
        findings.refuse(
            f"{mount} is a file system of its own inside the data directory, and cannot change places with it.",
            "mount it at the data directory itself, or keep the WAL elsewhere (--wal-dir).",
            host,
        )
    service = member.service
    if service.kubelet is False:
        findings.refuse(
            f"the kubelet does not run here, and only it stops and starts the static pod of {service.manifest}.",
            "start it (systemctl start kubelet); if it ends again, 'journalctl -u kubelet' says why.",
            host,
        )
    if service.halted:
        findings.refuse(
            "its etcd is held still by a signal or a debugger (SIGSTOP), so it cannot be asked to stop.",
            f"let it go on with 'kill -CONT {member.pid}', or end it with 'kill -KILL {member.pid}'.",
            host,
        )
    if service.manager == "command" and not (service.start_command and service.stop_command):
        findings.refuse(
            "its service manager is 'command', but a command to start or to stop it is missing.",
            "set etcd_start_command and etcd_stop_command.",
            host,
        )
    if tools.etcd:
        judge(tools.etcd.version, [RESTORE], findings, host)


def check_kubernetes(hosts: Mapping[str, Host], snapshot: ChosenSnapshot, findings: Findings) -> None:
    """Controllers that live through a restore delete restored objects, whose owners they believe gone."""
    for host, facts in hosts.items():
        kubernetes = facts.member.kubernetes
        if kubernetes.pods and not kubernetes.kubelet:
            names = " and ".join(pod.name for pod in kubernetes.pods)
            findings.refuse(
                f"the kubelet does not run here, and only it can stop {names} for the time of the restore.",
                "start it (systemctl start kubelet); if it ends again, 'journalctl -u kubelet' says why.",
                host,
            )
        moved = [pod.name for pod in kubernetes.pods]
        for name in (name for name in kubernetes.running if name not in moved):
            findings.warn(
                f"{name} runs here, and is no static pod that could be stopped for you: {_STOP_CONTROLLERS}.", host
            )
        missing = _missing_keys(kubernetes.keys, snapshot.encryption_keys)
        if missing:
            findings.warn(
                f"the API server's encryption configuration here has no key named {', '.join(missing)}, which stands before"
                " encrypted values in the snapshot: add it beside the present ones, or those objects cannot be read.",
                host,
            )
    seen = any(facts.member.kubernetes.pods or facts.member.kubernetes.running for facts in hosts.values())
    if snapshot.kubernetes and not seen:
        findings.warn(
            "the snapshot holds objects of Kubernetes, and its kube-controller-manager and kube-scheduler are on none of"
            f" these hosts: {_STOP_CONTROLLERS}."
        )


def _missing_keys(configured: Optional[Sequence[str]], needed: Sequence[str]) -> List[str]:
    """Those of ``needed``, such as ``key1 (aescbc)``, that the configuration does not name; none where it is not known."""
    return [] if configured is None else [key for key in needed if key.partition(" ")[0] not in configured]


def _check_kept_tools(host: str, facts: Host, findings: Findings) -> None:
    """Tools that are only in a container are copied into the state folder, and run from there."""
    member = facts.member
    kept = kept_tools(facts.tools, member.state_dir)
    is_kept = any(tool and is_inside(tool.path, member.state_dir) for tool in (kept.etcd, kept.etcdctl, kept.etcdutl))
    if is_kept and any(disk.noexec for disk in member.disk if disk.path == member.state_dir):
        findings.refuse(
            f"{member.state_dir} is on a file system where nothing can be run (noexec), and etcd's tools, which this host"
            " has in a container only, are to be copied there and run.",
            "name a folder on another file system in etcd_state_dir, or install etcd's tools in /usr/local/bin.",
            host,
        )


def check_service(host: str, member: MemberFacts, findings: Findings) -> None:
    """Whether what was found to stop and start this member is what really does: "stopped" is believed of nobody else."""
    manageable.check_service(
        host,
        member,
        "starts and stops it",
        lambda name: f"restore it by {name} itself: {DISTRIBUTIONS[name]}.",
        findings,
    )


def _why_missing(member: MemberFacts, tool: str) -> str:
    """Where tools are looked for in an image too, and not only in folders, it matters what stood in the way."""
    why = member.tools_missing.get(tool)
    is_told = member.service.image or (why and not why.startswith("no "))
    return f" Looked for: {why}." if why and is_told else ""


def _check_identities(hosts: Mapping[str, Host], findings: Findings) -> None:
    """No two hosts may be one member: two with one name or one peer URL would overwrite each other."""
    names = {host: [facts.member.name] for host, facts in hosts.items()}
    urls = {host: facts.member.peer_urls for host, facts in hosts.items()}
    for values, words, variable in ((names, "name", "etcd_name"), (urls, "peer URL", "etcd_peer_urls")):
        owners: Dict[str, str] = {}
        for host, value in ((host, value) for host, own in values.items() for value in filter(None, own)):
            if value in owners:
                findings.refuse(
                    f"it has the same {words} as {owners[value]}: {value}.",
                    f"give each member its own, in its configuration or by {variable}.",
                    host,
                )
            owners.setdefault(value, host)
    lines = {facts.tools.etcd.version.line for facts in hosts.values() if facts.tools.etcd}
    if len(lines) > 1:
        findings.warn(
            f"the members run several versions of etcd ({', '.join(sorted(lines))}): finish that upgrade first."
        )


def _check_strangers(
    hosts: Mapping[str, Host],
    left_out: Mapping[str, HostAnswer],
    before: Before,
    options: Options,
    findings: Findings,
) -> None:
    """A member that the cluster knows and the inventory does not would go on with the old data."""
    known = {facts.member.name for facts in [*hosts.values(), *_those_that_told(left_out)]}
    known |= set(options.exclude)
    urls = {url for facts in hosts.values() for url in facts.member.peer_urls}
    for member in before.members:
        stranger = member.name not in known and not urls.intersection(member.peer_urls)
        if stranger and member.peer_urls:
            findings.refuse(
                f"the running cluster also has the member {member.name or member.id} at"
                f" {', '.join(member.peer_urls)}, which is no host of this group.",
                "add its host to the group, or, if it is to go, stop it and name it in etcd_restore_exclude.",
            )
    if len(before.cluster_ids) > 1:
        ids = ", ".join(before.cluster_ids)
        if _are_apart(hosts):
            findings.refuse(
                f"these hosts belong to different clusters ({ids}), and would be made one.",
                "set etcd_cluster in the variables of each cluster's group, or run for one of them: -e target=GROUP.",
            )
        else:
            findings.warn(f"these hosts answer as different clusters: {ids}.")
    _check_agreement(hosts, findings)


def _check_agreement(hosts: Mapping[str, Host], findings: Findings) -> None:
    """A member that lost its data and whose configuration says ``new`` and names nobody else starts a cluster of its own.

    With the old token it even has the old ID; only the members that it knows tell the two apart (kubeadm's first member).
    """
    views = {host: facts.view for host, facts in hosts.items() if facts.view}
    lists = {host: _member_names(view) for host, view in views.items() if view.members_complete}
    if len(set(lists.values())) > 1:
        told = "; ".join(f"{host} knows {', '.join(names)}" for host, names in sorted(lists.items()))
        findings.warn(
            f"the members that run do not agree on who is in the cluster: {told}. One that has lost its data may have"
            " started a cluster of its own, so what is said here of a quorum may be of that one."
        )


def _member_names(view: ClusterView) -> Tuple[str, ...]:
    return tuple(sorted(member.name or member.id for member in view.members))


def _check_left_out(
    hosts: Mapping[str, Host], left_out: Mapping[str, HostAnswer], before: Before, findings: Findings
) -> None:
    """A member that is left out and runs would go on serving the old data beside the restored cluster."""
    running = {
        facts.member.name: ", ".join(facts.member.client_urls)
        for facts in _those_that_told(left_out)
        if facts.member.running
    }
    running.update({member.name: member.endpoint for member in _not_among(hosts, before.members) if member.version})
    for name, where in sorted(running.items()):
        findings.refuse(
            f"the old member {name} is left out, but it still runs and answers at {where}: clients would go on to read old"
            " data from it.",
            "stop it, and see to it that it stays stopped; or take it out of etcd_restore_exclude.",
        )


def old_endpoints(
    hosts: Mapping[str, Host], left_out: Mapping[str, HostAnswer], before: Before, snapshot: ChosenSnapshot
) -> List[str]:
    """Client URLs of old members that the restored cluster has not: when all is done, none of them may answer.

    A snapshot of a cluster without any of these hosts is a clone's, and its members are not ours to judge.
    """
    old: List[HasUrls] = [*_not_among(hosts, before.members), *(one.member for one in _those_that_told(left_out))]
    others = _not_among(hosts, snapshot.members)
    old += others if len(others) < len(snapshot.members) else []
    new = {url for facts in hosts.values() for url in facts.member.connection.endpoints}
    return sorted({url for member in old for url in member.client_urls} - new)


def _not_among(hosts: Mapping[str, Host], members: Sequence[Member]) -> List[Member]:
    """Those of ``members`` that are none of ``hosts``, by their peer URLs, or where those are not known by their client URLs."""
    ours = {url for facts in hosts.values() for url in facts.member.peer_urls}
    ours |= {url for facts in hosts.values() for url in facts.member.connection.endpoints}
    return [one for one in members if not ours.intersection(one.peer_urls or one.client_urls)]


def _are_apart(hosts: Mapping[str, Host]) -> bool:
    """Whether there is a host whose configuration knows none of the others, nor they it."""
    for host, facts in hosts.items():
        others = [other for name, other in hosts.items() if name != host]
        if others and not any(_knows(facts, other) or _knows(other, facts) for other in others):
            return True
    return False


def _knows(one: Host, another: Host) -> bool:
    known = one.member.initial_cluster
    return not known or any(url in known for url in another.member.peer_urls)


def check_disk(host: str, member: MemberFacts, plan: HostPlan, findings: Findings) -> List[DiskNeed]:
    """Room for what will be written, on each file system; returns the sums."""
    disks = {disk.device: disk for disk in reversed(member.disk)}
    data = member.data.device
    wal = member.wal.device or data
    size, old = plan.snapshot.size, sum(swap.size for swap in plan.swaps)
    need: Dict[Optional[int], int] = dict.fromkeys(disks, 0)
    freed = dict(need)
    need[data] = size
    need[wal] = need.get(wal, 0) + WAL_SEGMENT
    if plan.slow:
        aside = _device_of(member.aside_dir, member, data)
        if aside in (data, wal):
            findings.refuse(
                f"etcd_restore_aside {member.aside_dir} is on the same file system as the data, and would save nothing.",
                "name a folder on another file system, or leave it out where there is room for old and new data.",
                host,
            )
        need[aside] = need.get(aside, 0) + old + size  # a rollback moves the restored data there
        for swap, device in zip(plan.swaps, (data, wal)):
            freed[device] = freed.get(device, 0) + swap.size
    if plan.snapshot.transfer:
        brought = _device_of(plan.snapshot.path, member, data)
        need[brought] = need.get(brought, 0) + size
    needs = [
        DiskNeed(disk.path, int(need[device] * DISK_MARGIN), disk.free, freed[device]) for device, disk in disks.items()
    ]
    for disk in (disk for disk in needs if disk.need > disk.free + disk.freed):
        findings.refuse(
            f"the file system of {disk.path} has {in_mib(disk.free)} free, and {_for_what(plan)} {in_mib(disk.need)}.",
            "make room on it; the old data directory itself must stay where it is."
            if plan.slow
            else "make room on it, or, if that cannot be, name a folder with room on another file system in"
            " etcd_restore_aside: the old data is then moved there while the cluster is down.",
            host,
        )
    return [disk for disk in needs if disk.need]


def _for_what(plan: HostPlan) -> str:
    return "what is moved and restored there needs" if plan.slow else "staging the restored data beside the old needs"


def _device_of(path: str, member: MemberFacts, otherwise: Optional[int]) -> Optional[int]:
    """The device of the folder among those looked at that ``path`` lies in, the longest of them."""
    found = [disk for disk in member.disk if path == disk.path or is_inside(path, disk.path)]
    return max(found, key=lambda disk: len(disk.path)).device if found else otherwise
