# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What etcdctl prints as JSON, as values.

64-bit numbers are numbers or strings in it, and what is 0, false or empty is left out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from ..core.errors import EtcdError
from .commands import Command, in_words, parse_json
from .identity import hex_id

_ALARMS = {"0": "NONE", "1": "NOSPACE", "2": "CORRUPT"}


@dataclass(frozen=True)
class Status:
    """What a member says of itself. ``leader`` is the ID of whom it follows, or its own; sizes are in bytes."""

    cluster_id: str
    member_id: str
    leader: str
    is_learner: bool
    version: str
    storage_version: str
    revision: int
    raft_term: int
    raft_index: int
    raft_applied_index: int
    db_size: int
    db_size_in_use: int
    db_size_quota: int
    errors: Sequence[str]


@dataclass(frozen=True)
class Listed:
    """A member as the member list has it. One that has never run has neither a name nor client URLs."""

    id: str
    name: str
    peer_urls: Sequence[str]
    client_urls: Sequence[str]
    is_learner: bool


@dataclass(frozen=True)
class Hash:
    """One endpoint's hash of the key space. ``revision`` is the one it is known to be of, 0 where it is not known."""

    endpoint: str
    hash: int
    revision: int
    compact_revision: int


@dataclass(frozen=True)
class Kept:
    """A key's value, the revision that wrote it last, and how often it was written since it was made."""

    value: str
    mod_revision: int
    version: int


def rows(out: str, command: Command, rc: int) -> List[Mapping[str, object]]:
    """The rows of a command that prints one for each endpoint; none where it failed without printing any."""
    if rc and not out.strip():
        return []
    printed = parse_json(out, command)
    if printed is None:
        return []
    if not isinstance(printed, list) or not all(isinstance(row, dict) for row in printed):
        raise EtcdError(f"{in_words(command)} did not print a list of endpoints.")
    return printed


def status_of(endpoint: str, printed: object) -> Status:
    """The status that is printed of an endpoint."""
    said = _parts(printed)
    if not isinstance(said.get("header"), dict):
        raise EtcdError(
            f"etcdctl printed no status of {endpoint} that can be understood.", "check the version of etcdctl."
        )
    header = _parts(said["header"])
    return Status(
        cluster_id=id_of(header.get("cluster_id")),
        member_id=id_of(header.get("member_id")),
        leader=id_of(said.get("leader")),
        is_learner=bool(said.get("isLearner")),
        version=str(said.get("version", "")),
        storage_version=str(said.get("storageVersion", "")),
        revision=number(header.get("revision")),
        raft_term=number(said.get("raftTerm")),
        raft_index=number(said.get("raftIndex")),
        raft_applied_index=number(said.get("raftAppliedIndex")),
        db_size=number(said.get("dbSize")),
        db_size_in_use=number(said.get("dbSizeInUse")),
        db_size_quota=number(said.get("dbSizeQuota")),
        errors=[error.strip() for error in _words(said.get("errors"))],
    )


def members_of(out: str, command: Command) -> List[Listed]:
    """The member list that is printed."""
    members = _parts(parse_json(out, command)).get("members")
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise EtcdError(f"{in_words(command)} did not print a member list.")
    return [
        Listed(
            id=id_of(member.get("ID")),
            name=str(member.get("name", "")),
            peer_urls=_words(member.get("peerURLs")),
            client_urls=_words(member.get("clientURLs")),
            is_learner=bool(member.get("isLearner")),
        )
        for member in members
    ]


def alarms_of(out: str, command: Command) -> List[Tuple[str, str]]:
    """The alarms that are printed: the member's ID, and the alarm by its name, which some versions print as a number."""
    alarms = _parts(parse_json(out, command)).get("alarms")
    found = [_parts(alarm) for alarm in alarms] if isinstance(alarms, list) else []
    kinds = [str(alarm.get("alarm", 0)) for alarm in found]
    return [(id_of(alarm.get("memberID")), _ALARMS.get(kind, kind)) for alarm, kind in zip(found, kinds)]


def hash_of(row: Mapping[str, object], at: int) -> Hash:
    """An endpoint's hash, which was asked at the revision ``at``, 0 for the newest."""
    answer = _parts(row.get("HashKV"))
    # Before 3.6 only the question tells the revision: the header's may already be a later one.
    revision = number(answer.get("hash_revision")) or at
    return Hash(str(row.get("Endpoint")), number(answer.get("hash")), revision, number(answer.get("compact_revision")))


def probes_of(out: str, command: Command, rc: int) -> Dict[str, str]:
    """By endpoint, why it has not answered a linearizable read; empty where it has, also where the user may not read.

    Seen on 3.4.23 to 3.7.3: all of them are printed on standard output, also where etcdctl exits 1. From 3.5 on an alarm
    makes an endpoint unhealthy there, after it has answered.
    """
    said = {str(row.get("endpoint")): row for row in rows(out, command, rc)}
    return {url: "" if row.get("health") else _unanswered(str(row.get("error", ""))) for url, row in said.items()}


def _unanswered(error: str) -> str:
    answered = error.startswith(("Active Alarm", "Unable to fetch the alarm"))
    return "" if answered else error or "no answer"


def kept_of(out: str, command: Command) -> Dict[str, Kept]:
    """The keys that a range has found, by name."""
    found = _parts(parse_json(out, command)).get("kvs")
    keys = [_parts(one) for one in found] if isinstance(found, list) else []
    return {
        _text(one.get("key")): Kept(
            _text(one.get("value")), number(one.get("mod_revision")), number(one.get("version"))
        )
        for one in keys
    }


def revision_of(out: str, command: Command) -> int:
    """The revision that a write has made, or at which a read was made."""
    return number(_parts(_parts(parse_json(out, command)).get("header")).get("revision"))


def _text(encoded: object) -> str:
    try:
        return str(base64.b64decode(str(encoded or ""), validate=True), "utf-8", "replace")
    except ValueError as error:
        raise EtcdError("etcdctl printed a key that is not in base64.") from error


def count_of(out: str, command: Command) -> int:
    """How many keys are counted; where there are none, only a header is printed."""
    answer = parse_json(out, command)
    if not isinstance(answer, dict):
        raise EtcdError(f"{in_words(command)} did not print a count.")
    return number(answer.get("count"))


def number(value: object) -> int:
    if not isinstance(value, (int, str, type(None))):
        raise EtcdError(f"etcdctl printed {value!r} where a number was expected.")
    try:
        return int(value or 0)
    except ValueError as error:
        raise EtcdError(f"etcdctl printed {value!r} where a number was expected.") from error


def id_of(value: object) -> str:
    """An ID as etcd prints it elsewhere, in hexadecimal; empty for none."""
    found = number(value)
    return hex_id(found) if found else ""


def _parts(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _words(value: object) -> List[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
