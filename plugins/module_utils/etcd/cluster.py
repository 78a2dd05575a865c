# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole view of a cluster, also of one with members down or without a quorum: asked here, judged by ``judging``.

What etcdctl does, seen on 3.4.23, 3.5.35, 3.6.16 and 3.7.3: ``endpoint hashkv`` prints JSON of the endpoints that answer and
exits 1 when one does not, as ``endpoint status`` does (see ``asking``). A learner serves nothing but its status, and not even
that to a user (see ``learners``); up to 3.5 asking it costs seconds of retries. ``alarm list`` and, from 3.5, ``member list``
wait for a quorum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Container, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..core.errors import EtcdError
from .asking import Answer, Handshake, Knock, ask, reach
from .commands import Command, Connection, Run, Tool, Tools, alarm_list, endpoint_hashkv, member_list
from .judging import assemble, conclude, main_cluster, serving
from .learners import Read, read_metrics, with_learners
from .printed import Hash, Listed, alarms_of, hash_of, members_of, rows
from .unaskable import handshake
from .view import AlarmView, ClusterView

_HASH_SPEED = 20 << 20  # bytes a second that a member hashes at least, for the time limit


def observe(
    run: Run,
    tools: Tools,
    connection: Connection,
    member_names: Optional[Mapping[str, str]] = None,
    *,
    hash_check: bool = True,
    knock: Optional[Knock] = None,
    look: Handshake = handshake,
    read: Read = read_metrics,
) -> ClusterView:
    """The view of the cluster behind ``connection``.

    ``member_names`` (endpoint -> name) names the members where no member list can be had, which is the case with 3.5 and
    no quorum. ``hash_check`` asks each voter for a hash of its data, which reads all of it. Members that are down and a
    missing quorum are part of the answer; EtcdError is for missing tools, missing endpoints and output that is no JSON.
    """
    etcdctl = _need(tools, connection)
    knock = knock or reach
    answers = ask(run, etcdctl, connection, connection.endpoints, knock, look)
    listed, proof = _members(run, etcdctl, connection, answers)
    known = {answer.member_id for answer in answers if answer.status}
    more = _other_urls(listed, known, connection.endpoints)
    if more:
        answers += ask(run, etcdctl, connection, more, knock, look)
    answers = with_learners(answers, listed, connection, read)
    view = assemble(answers, listed, member_names or {}, proof, set(connection.endpoints))
    view = replace(view, alarms=_alarms(run, etcdctl, connection, view))
    return with_hashes(run, tools, connection, view) if hash_check else conclude(view, [], None)


def with_hashes(run: Run, tools: Tools, connection: Connection, view: ClusterView) -> ClusterView:
    """The view with a hash of each voter's data, for which it reads all of it."""
    return conclude(view, *_hashes(run, _need(tools, connection), connection, view))


def _need(tools: Tools, connection: Connection) -> Tool:
    if not tools.etcdctl:
        raise EtcdError("etcdctl is missing, so the cluster cannot be asked.", "install etcdctl, or set bin_dir.")
    if not connection.endpoints:
        raise EtcdError(
            "no endpoints were given, so no cluster can be asked.", "set endpoints to the members' client URLs."
        )
    return tools.etcdctl


def _members(run: Run, etcdctl: Tool, connection: Connection, answers: Sequence[Answer]) -> Tuple[List[Listed], bool]:
    """The member list, empty where none can be had; and whether the way it came proves that there is a quorum."""
    voters = [answer for answer in main_cluster(answers) if answer.status and not answer.status.is_learner]
    to = replace(connection, endpoints=[answer.endpoint for answer in voters])
    if not voters:
        return [], False
    if any(answer.has_leader for answer in voters):
        listed = _list(run, member_list(etcdctl, to))
        if listed:
            return listed, etcdctl.version >= (3, 5, 0)
    return _list(run, member_list(etcdctl, to, quorum=False)), False


def _list(run: Run, command: Optional[Command]) -> List[Listed]:
    if command is None:
        return []
    result = run(command.argv, command.env)
    return members_of(result.out, command) if result.rc == 0 else []


def _other_urls(listed: Iterable[Listed], known: Container[str], asked: Container[str]) -> List[str]:
    """The client URLs of members that have not answered yet: without them a healthy member would count as lost."""
    silent = [member for member in listed if member.id not in known]
    return [url for member in silent for url in member.client_urls if url not in asked]


def _alarms(run: Run, etcdctl: Tool, connection: Connection, view: ClusterView) -> List[AlarmView]:
    """The cluster's alarms: from the list where there is a quorum to give it, and from the members' own status."""
    found = {(alarm.member, alarm.alarm) for alarm in view.alarms}
    voters = [member.endpoint for member in serving(view.members)]
    if voters and view.has_quorum:
        command = alarm_list(etcdctl, replace(connection, endpoints=voters))
        result = run(command.argv, command.env)
        found.update(alarms_of(result.out, command) if result.rc == 0 else [])
    return [AlarmView(member, alarm) for member, alarm in sorted(found)]


def _hashes(run: Run, etcdctl: Tool, connection: Connection, view: ClusterView) -> Tuple[List[Hash], Optional[int]]:
    """The hashes of the serving voters at the least of their revisions, and that revision.

    A compaction between the two questions makes that revision unreadable; then each is asked for its newest. After a
    restore with ``--mark-compacted`` the current revision *is* the compacted one, and can be hashed (seen on 3.5 to 3.7).
    """
    voters = serving(view.members)
    if not voters:
        return [], None
    seconds = max(connection.command_timeout, 5 + max(member.db_size for member in voters) // _HASH_SPEED)
    to = replace(connection, endpoints=[member.endpoint for member in voters], command_timeout=seconds)
    hashes: List[Hash] = []
    for at in (min(member.revision for member in voters), 0):
        command = endpoint_hashkv(etcdctl, to, at)
        result = run(command.argv, command.env)
        hashes = [hash_of(row, at) for row in rows(result.out, command, result.rc)]
        if len(hashes) == len(voters):
            return hashes, at or None
    return hashes, None
