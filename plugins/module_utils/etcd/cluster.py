# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole view of a cluster, also of one with members down or without a quorum.

What etcdctl does, seen on 3.4.23, 3.5.35, 3.6.16 and 3.7.3: ``endpoint status`` and ``endpoint hashkv`` print JSON of the
endpoints that answer and exit 1 when one does not (``[]`` up to 3.5 and ``null`` from 3.6 when none does). Each endpoint
that is down costs the whole command timeout, one after the other, since ``--dial-timeout`` does not end it: so every
endpoint is knocked at first, all at once. A learner serves nothing but its status; up to 3.5 asking it costs seconds of
retries. ``alarm list`` and, from 3.5, ``member list`` wait for a quorum.

A member that answers ``serves``. One that opens and gives no answer, or whose name leads nowhere, is ``unaskable``: it may
be in the best of health, so a quorum that depends on it is unknown, and not missing. What nobody opens is ``down``.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ..core.errors import EtcdError
from .commands import (
    Command,
    Connection,
    Run,
    Tool,
    Tools,
    alarm_list,
    endpoint_hashkv,
    endpoint_status,
    in_words,
    member_list,
    parse_json,
)
from .identity import hex_id
from .quorum import DOWN, SERVES, UNASKABLE, UNSTARTED, Quorum
from .source import choose_endpoint
from .unaskable import Refusal, handshake, last_words, own_words, refusal

_ALARMS = {"0": "NONE", "1": "NOSPACE", "2": "CORRUPT"}
_HASH_SPEED = 20 << 20  # bytes a second that a member hashes at least, for the time limit

# Whether a TCP connection to an endpoint can be made within seconds: empty for yes, else the cause in words.
Knock = Callable[[str, float], str]
# What goes wrong in a TLS connection to an endpoint, in words; empty where nothing is found.
Handshake = Callable[[str, Connection], str]


class Answer(NamedTuple):
    """What an endpoint said: its status as etcd prints it, or (``status`` None) why it said nothing.

    ``opened``: somebody is there, whether or not it said anything.
    """

    endpoint: str
    status: Optional[Dict[str, Any]]
    error: str = ""
    opened: bool = False

    @property
    def refusal(self) -> Refusal:
        return refusal("" if self.status else self.error)

    @property
    def state(self) -> str:
        if self.status:
            return SERVES
        return UNASKABLE if self.opened or self.refusal.does else DOWN

    @property
    def cluster_id(self) -> str:
        return _id((self.status or {}).get("header", {}).get("cluster_id"))

    @property
    def member_id(self) -> str:
        return _id((self.status or {}).get("header", {}).get("member_id"))

    @property
    def has_leader(self) -> bool:
        return _int((self.status or {}).get("leader")) != 0


class Hash(NamedTuple):
    """One endpoint's hash of the key space. ``revision`` is the one it is known to be of, 0 where it is not known."""

    endpoint: str
    hash: int
    revision: int
    compact_revision: int


def observe(
    run: Run,
    tools: Tools,
    connection: Connection,
    member_names: Optional[Mapping[str, str]] = None,
    *,
    hash_check: bool = True,
    knock: Optional[Knock] = None,
    look: Handshake = handshake,
) -> Dict[str, Any]:
    """The view of the cluster behind ``connection``: a dict of values fit for JSON, described in ``cluster_info``.

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
    view = assemble(answers, listed, member_names or {}, proof, set(connection.endpoints))
    view["alarms"] = _alarms(run, etcdctl, connection, view)
    hashes, revision = _hashes(run, etcdctl, connection, view) if hash_check else ([], None)
    return conclude(view, hashes, revision)


# Asking.


def reach(endpoint: str, seconds: float) -> str:
    """Knock at an endpoint: empty when a TCP connection can be made, else why not. What is not TCP counts as reached."""
    parts = urlsplit(endpoint if "://" in endpoint else "//" + endpoint)
    try:
        if parts.scheme in ("unix", "unixs") or not parts.hostname:
            return ""
        with socket.create_connection((parts.hostname, parts.port or 2379), timeout=seconds):
            return ""
    except socket.timeout:
        return f"no connection within {seconds:g} s"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def ask(
    run: Run,
    etcdctl: Tool,
    connection: Connection,
    endpoints: Sequence[str],
    knock: Knock,
    look: Handshake = handshake,
) -> List[Answer]:
    """The status of each endpoint, in one command; those where nobody opens are not asked, which keeps it quick."""
    endpoints = list(dict.fromkeys(endpoints))
    with ThreadPoolExecutor(max_workers=min(16, len(endpoints))) as pool:
        closed = dict(zip(endpoints, pool.map(lambda url: knock(url, connection.dial_timeout), endpoints)))
    opened = [url for url in endpoints if not closed[url]]
    if not opened:
        return [Answer(url, None, closed[url]) for url in endpoints]
    said, errors = _statuses(run, etcdctl, connection, opened)
    # Where authentication is on, etcdctl first logs in at each endpoint, and gives all of them up at the first that
    # refuses it: a learner always does, a member that hangs does after the time limit. The others are asked alone.
    for url in [url for url in opened if url not in said and url not in errors and len(opened) > 1]:
        alone, complaints = _statuses(run, etcdctl, connection, [url])
        said.update(alone)
        errors.update(complaints)
    # One that only keeps silent, as while it starts, has no fault of its connection to look for.
    silent = [url for url in opened if url not in said and "deadline exceeded" not in errors.get(url, "")]
    with ThreadPoolExecutor(max_workers=min(16, len(endpoints))) as pool:
        looks = dict(zip(silent, pool.map(lambda url: look(url, connection), silent)))
    for url in filter(looks.get, silent):
        errors[url] = f"{looks[url]} ({errors[url]})" if errors.get(url) else looks[url]
    return [_answer(url, said.get(url), closed[url] or errors.get(url, ""), not closed[url]) for url in endpoints]


def _statuses(
    run: Run, etcdctl: Tool, connection: Connection, endpoints: Sequence[str]
) -> Tuple[Dict[str, object], Dict[str, str]]:
    """By endpoint: the statuses that were printed, and the complaints; in neither is one that was not got to."""
    command = endpoint_status(etcdctl, replace(connection, endpoints=endpoints))
    result = run(command.argv, command.env)
    said = {str(row.get("Endpoint")): row.get("Status") for row in _rows(result.out, command, result.rc)}
    alone = len(endpoints) == 1
    named = [url for url in endpoints if url not in said and (alone or f"endpoint {url} (" in result.err)]
    return said, {url: own_words(result.err, url) or last_words(result.err) or "no answer" for url in named}


def _answer(url: str, status: object, error: str, opened: bool) -> Answer:
    if status is None:
        return Answer(url, None, error or "no answer", opened)
    if isinstance(status, dict) and isinstance(status.get("header"), dict):
        return Answer(url, status, opened=True)
    raise EtcdError(f"etcdctl printed no status of {url} that can be understood.", "check the version of etcdctl.")


def _rows(out: str, command: Command, rc: int) -> List[Dict[str, Any]]:
    """The rows of a command that prints one for each endpoint; none where it failed without printing any."""
    if rc and not out.strip():
        return []
    rows = parse_json(out, command)
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise EtcdError(f"{in_words(command)} did not print a list of endpoints.")
    return rows


def _need(tools: Tools, connection: Connection) -> Tool:
    if not tools.etcdctl:
        raise EtcdError("etcdctl is missing, so the cluster cannot be asked.", "install etcdctl, or set bin_dir.")
    if not connection.endpoints:
        raise EtcdError(
            "no endpoints were given, so no cluster can be asked.", "set endpoints to the members' client URLs."
        )
    return tools.etcdctl


def _members(
    run: Run, etcdctl: Tool, connection: Connection, answers: Sequence[Answer]
) -> Tuple[List[Dict[str, Any]], bool]:
    """The member list, empty where none can be had; and whether the way it came proves that there is a quorum."""
    voters = [answer for answer in _main_cluster(answers) if not (answer.status or {}).get("isLearner")]
    to = replace(connection, endpoints=[answer.endpoint for answer in voters])
    if not voters:
        return [], False
    if any(answer.has_leader for answer in voters):
        listed = _list(run, member_list(etcdctl, to))
        if listed:
            return listed, etcdctl.version >= (3, 5, 0)
    return _list(run, member_list(etcdctl, to, quorum=False)), False


def _list(run: Run, command: Optional[Command]) -> List[Dict[str, Any]]:
    if command is None:
        return []
    result = run(command.argv, command.env)
    if result.rc:
        return []
    answer = parse_json(result.out, command)
    members = answer.get("members") if isinstance(answer, dict) else None
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise EtcdError(f"{in_words(command)} did not print a member list.")
    return members


def _other_urls(listed: Iterable[Mapping[str, Any]], known: Iterable[str], asked: Sequence[str]) -> List[str]:
    """The client URLs of members that have not answered yet: without them a healthy member would count as lost."""
    silent = [member for member in listed if _id(member.get("ID")) not in known]
    return [url for member in silent for url in member.get("clientURLs") or [] if url not in asked]


def _alarms(run: Run, etcdctl: Tool, connection: Connection, view: Mapping[str, Any]) -> List[Dict[str, str]]:
    """The cluster's alarms: from the list where there is a quorum to give it, and from the members' own status."""
    found = {(alarm["member"], alarm["alarm"]) for alarm in view["alarms"]}
    voters = [member["endpoint"] for member in _serving(view["members"])]
    if voters and view["has_quorum"]:
        command = alarm_list(etcdctl, replace(connection, endpoints=voters))
        result = run(command.argv, command.env)
        answer = parse_json(result.out, command) if result.rc == 0 else {}
        for alarm in (answer.get("alarms") or []) if isinstance(answer, dict) else []:
            kind = str(alarm.get("alarm", 0))
            found.add((_id(alarm.get("memberID")), _ALARMS.get(kind, kind)))
    return [{"member": member, "alarm": alarm} for member, alarm in sorted(found)]


def _hashes(
    run: Run, etcdctl: Tool, connection: Connection, view: Mapping[str, Any]
) -> Tuple[List[Hash], Optional[int]]:
    """The hashes of the serving voters at the least of their revisions, and that revision.

    A compaction between the two questions makes that revision unreadable; then each is asked for its newest. After a
    restore with ``--mark-compacted`` the current revision *is* the compacted one, and can be hashed (seen on 3.5 to 3.7).
    """
    voters = _serving(view["members"])
    if not voters:
        return [], None
    seconds = max(connection.command_timeout, 5 + max(member["db_size"] for member in voters) // _HASH_SPEED)
    to = replace(connection, endpoints=[member["endpoint"] for member in voters], command_timeout=seconds)
    revision = min(member["revision"] for member in voters)
    for at in (revision, 0):
        command = endpoint_hashkv(etcdctl, to, at)
        result = run(command.argv, command.env)
        hashes = [_hash(row, at) for row in _rows(result.out, command, result.rc)]
        if len(hashes) == len(voters):
            return hashes, at or None
    return hashes, None


def _hash(row: Mapping[str, Any], at: int) -> Hash:
    answer = row.get("HashKV") or {}
    # Before 3.6 only the question tells the revision: the header's may already be a later one.
    revision = _int(answer.get("hash_revision")) or at
    return Hash(str(row.get("Endpoint")), _int(answer.get("hash")), revision, _int(answer.get("compact_revision")))


# Judging: pure functions from what was said to the view.


def assemble(
    answers: Sequence[Answer],
    listed: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    proof: bool,
    asked: Iterable[str],
) -> Dict[str, Any]:
    """The view but for alarms of the list, hashes and verdict. ``proof``: a request that needs a quorum has succeeded.

    ``asked`` are the endpoints that the operator gave: of those learned from the member list only the ones that answer
    are shown.
    """
    asked = set(asked)
    main = list(_main_cluster(answers))
    shown = [_endpoint(answer) for answer in answers if answer.status or answer.endpoint in asked]
    by_id = {answer.member_id: answer for answer in reversed(main)}
    members = [_listed(entry, by_id.get(_id(entry.get("ID"))), answers) for entry in listed]
    members = members or _guessed(answers, by_id, names)
    members.sort(key=lambda member: (member["name"], member["id"]))
    voters = [member for member in members if not member["is_learner"]]
    serving = _serving(members)
    quorum = Quorum(len(voters), len(serving))
    possible = Quorum(len(voters), len(serving) + sum(1 for member in voters if member["state"] == UNASKABLE))
    leader = _leader(main)
    for member in members:
        member["is_leader"] = bool(leader) and member["id"] == leader
    return {
        "cluster_id": main[0].cluster_id if main else "",
        "cluster_ids": sorted({answer.cluster_id for answer in answers if answer.status}),
        "members": members,
        "members_complete": bool(listed),
        "endpoints": shown,
        "next_steps": list(dict.fromkeys(found["next_step"] for found in shown if found["next_step"])),
        "leader": leader,
        "leader_name": next((member["name"] for member in members if member["is_leader"]), ""),
        "term": max([member["raft_term"] for member in members], default=0),
        "learners": len(members) - len(voters),
        "voters": len(voters),
        "healthy_voters": sum(1 for member in voters if member["healthy"]),
        "serving_voters": len(serving),
        "quorum": quorum.size,
        "has_quorum": quorum.held or proof,
        "quorum_unknown": possible.held and not (quorum.held or proof),
        "may_fail": quorum.may_fail,
        "revision": max([member["revision"] for member in members], default=0),
        "alarms": _own_alarms(main),
    }


def conclude(view: Dict[str, Any], hashes: Sequence[Hash], revision: Optional[int]) -> Dict[str, Any]:
    """The view with its hashes, its health in a word, a sentence for people, and the best endpoint."""
    by_endpoint = {found.endpoint: found.hash for found in hashes}
    for member in view["members"]:
        member["hash"] = by_endpoint.get(member["endpoint"])
    revisions = {found.revision for found in hashes}
    view["hash_revision"] = revision or (revisions.pop() if len(revisions) == 1 else None) or None
    view["hashes_equal"] = hashes_equal(hashes)
    view["health"] = health(view)
    view["best_endpoint"] = choose_endpoint(view)
    view["summary"] = summary(view)
    return view


def hashes_equal(hashes: Sequence[Hash]) -> Optional[bool]:
    """Whether all members hold the same data; None where the hashes do not tell.

    Equal hashes are equal data. Different ones are different data only at one known revision and with the same
    compaction, since what a compaction removes is part of the hash until it is removed.
    """
    if not hashes:
        return None
    if len({found.hash for found in hashes}) == 1:
        return True
    same = len({found.revision for found in hashes}) == 1 and len({found.compact_revision for found in hashes}) == 1
    return False if same and hashes[0].revision else None


def health(view: Mapping[str, Any]) -> str:
    """One of ``healthy``, ``degraded``, ``no quorum``, ``cannot be asked``, ``unreachable`` and ``split``.

    ``split``: several cluster IDs answer. ``cannot be asked``: members run that could be its quorum, and give no answer.
    """
    if len(view["cluster_ids"]) > 1:
        return "split"
    if view["quorum_unknown"]:
        return "cannot be asked"
    if not view["cluster_ids"]:
        return "unreachable"
    if not view["has_quorum"]:
        return "no quorum"
    sound = all(member["healthy"] for member in view["members"]) and view["members_complete"]
    sound = sound and not view["alarms"] and view["hashes_equal"] is not False
    return "healthy" if sound else "degraded"


def summary(view: Mapping[str, Any]) -> str:
    """One sentence, or a few, for people."""
    causes = _causes(view)
    if view["health"] == "unreachable":
        return f"No endpoint answers ({causes})."
    if view["health"] == "cannot be asked":
        return f"Members run that cannot be asked ({causes}), so nothing is known of a quorum."
    if view["health"] == "split":
        return f"The endpoints belong to {len(view['cluster_ids'])} clusters ({', '.join(view['cluster_ids'])})."
    words = [
        f"Cluster {view['cluster_id']} is {view['health']}" if view["has_quorum"] else f"Cluster {view['cluster_id']}"
    ]
    words[0] += ", " if view["has_quorum"] else ": "
    words[0] += f"revision {view['revision']}, leader {view['leader_name'] or view['leader'] or 'none'}."
    words.append(Quorum(view["voters"], view["serving_voters"]).sentence if not _unseen(view) else _UNSEEN)
    sick = [member for member in view["members"] if not member["healthy"]]
    down = [member["name"] or member["endpoint"] or f"{member['id']} (not started)" for member in sick]
    if down:
        words.append(f"Not healthy: {', '.join(down)}.")
    if view["alarms"]:
        words.append(f"Alarms: {', '.join(sorted({alarm['alarm'] for alarm in view['alarms']}))}.")
    if view["hashes_equal"] is False:
        words.append(f"The members do not hold the same data: their hashes differ at revision {view['hash_revision']}.")
    return " ".join(words)


def _causes(view: Mapping[str, Any]) -> str:
    """Why the silent endpoints give no answer, each cause once."""
    by_error: Dict[str, List[str]] = {}
    for found in view["endpoints"]:
        if not found["ok"]:
            by_error.setdefault(found["error"], []).append(found["endpoint"])
    return "; ".join(f"{', '.join(urls)}: {error}" for error, urls in by_error.items())


_UNSEEN = "It has a quorum, although too few of its voters are reached from here to tell which."


def _unseen(view: Mapping[str, Any]) -> bool:
    return bool(view["has_quorum"]) and view["serving_voters"] < view["quorum"]


def _serving(members: Iterable[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The voters that answer and have a leader: they make the quorum, alarm or not."""
    return [member for member in members if member["version"] and member["has_leader"] and not member["is_learner"]]


def _main_cluster(answers: Sequence[Answer]) -> List[Answer]:
    """The answers of the cluster that most endpoints belong to; among equals the one with a leader, then the first."""
    groups: Dict[str, List[Answer]] = {}
    for answer in answers:
        if answer.status:
            groups.setdefault(answer.cluster_id, []).append(answer)
    ranked = sorted(groups.values(), key=lambda group: (-len(group), not any(answer.has_leader for answer in group)))
    return ranked[0] if ranked else []


def _leader(answers: Sequence[Answer]) -> str:
    """Who the members of the highest term call their leader; an older term's is a leader of the past."""
    led = [answer.status or {} for answer in answers if answer.has_leader]
    newest = max(led, key=lambda status: _int(status.get("raftTerm")), default={})
    return _id(newest.get("leader")) if newest else ""


def _listed(entry: Mapping[str, Any], answer: Optional[Answer], answers: Sequence[Answer]) -> Dict[str, Any]:
    urls = list(entry.get("clientURLs") or [])
    silent = next((other for other in answers if other.endpoint in urls and not other.status), None)
    member = _said(
        answer or silent or Answer(urls[0] if urls else "", None, "not started" if not urls else "not reached")
    )
    member.update(
        id=_id(entry.get("ID")),
        name=str(entry.get("name", "")),
        peer_urls=list(entry.get("peerURLs") or []),
        client_urls=urls,
        is_learner=bool(entry.get("isLearner", False)),
        started=bool(entry.get("name")),
    )
    if not member["started"] and not answer:
        member["state"] = UNSTARTED
    return _judged(member)


def _guessed(answers: Sequence[Answer], by_id: Mapping[str, Answer], names: Mapping[str, str]) -> List[Dict[str, Any]]:
    """The members where no list can be had: one for each ID that answers, and one for each endpoint that does not."""
    members = []
    for answer in [*by_id.values(), *(answer for answer in answers if not answer.status)]:
        member = _said(answer)
        member.update(
            id=answer.member_id,
            name=names.get(answer.endpoint, ""),
            peer_urls=[],
            client_urls=[answer.endpoint],
            is_learner=bool((answer.status or {}).get("isLearner", False)),
            started=True,  # there is a URL of it; nothing says that it has never been
        )
        members.append(_judged(member))
    return members


def _said(answer: Answer) -> Dict[str, Any]:
    """What a member says of itself; empty and 0 where it says nothing."""
    status = answer.status or {}
    return {
        "endpoint": answer.endpoint,
        "state": answer.state,
        "refusal": answer.refusal.does,
        "version": str(status.get("version", "")),
        "revision": _int(status.get("header", {}).get("revision")),
        "raft_term": _int(status.get("raftTerm")),
        "raft_index": _int(status.get("raftIndex")),
        "raft_applied_index": _int(status.get("raftAppliedIndex")),
        "db_size": _int(status.get("dbSize")),
        "db_size_in_use": _int(status.get("dbSizeInUse")),
        "db_size_quota": _int(status.get("dbSizeQuota")),
        "storage_version": str(status.get("storageVersion", "")),
        "has_leader": answer.has_leader,
        "is_leader": False,
        "errors": [str(error).strip() for error in status.get("errors") or []]
        or ([answer.error] if answer.error else []),
        "hash": None,
    }


def _judged(member: Dict[str, Any]) -> Dict[str, Any]:
    """The member with its health: it answers, has no errors of its own, and, if it votes, has a leader.

    Every member repeats the alarms of all; another member's alarm is not an error of this one.
    """
    own = [error for error in member["errors"] if _alarm(error)[0] in ("", member["id"])]
    member["healthy"] = bool(member["version"]) and not own and (member["is_learner"] or member["has_leader"])
    return member


def _own_alarms(answers: Sequence[Answer]) -> List[Dict[str, str]]:
    errors = [_alarm(str(error)) for answer in answers for error in (answer.status or {}).get("errors") or []]
    return [{"member": member, "alarm": alarm} for member, alarm in sorted({found for found in errors if found[0]})]


def _alarm(error: str) -> Tuple[str, str]:
    """(member ID, alarm) of an error such as ``memberID:10501334649042878790 alarm:NOSPACE``; two empty strings for others."""
    found = re.search(r"memberID:(\d+)\s+alarm:(\w+)", error)
    return (_id(found.group(1)), found.group(2)) if found else ("", "")


def _endpoint(answer: Answer) -> Dict[str, Any]:
    return {
        "endpoint": answer.endpoint,
        "ok": answer.status is not None,
        "error": answer.error,
        "state": answer.state,
        "refusal": answer.refusal.does,
        "next_step": answer.refusal.next_step,
        "member_id": answer.member_id,
        "cluster_id": answer.cluster_id,
    }


def _int(value: object) -> int:
    """etcd's 64-bit numbers are numbers or strings in JSON, and 0 is left out."""
    try:
        return int(value or 0)  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise EtcdError(f"etcdctl printed {value!r} where a number was expected.") from error


def _id(value: object) -> str:
    number = _int(value)
    return hex_id(number) if number else ""
