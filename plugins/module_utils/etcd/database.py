# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What etcd's database holds, in a snapshot or in a data directory, read from the file itself."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from itertools import islice
from typing import Dict, List, Optional, Sequence

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.values import TEXT
from .bolt import Bolt
from .identity import hex_id
from .users import auth_enabled, users_of

HIGHEST_REVISION = (1 << 63) - 1  # a revision is an int64
_SMALL = 1024  # bytes that a value of etcd's own has at most, such as a version or a revision
_LARGEST_MEMBER, _MOST_MEMBERS = 1 << 16, 1000  # bytes of an entry of the member list, and entries
NOSPACE, CORRUPT = "NOSPACE", "CORRUPT"
# etcdserverpb.AlarmMember, 1 the member's ID and 2 the alarm, is the key, and the alarm its last byte.
_ALARMS = {b"\x10\x01": NOSPACE, b"\x10\x02": CORRUPT}
_MOST_ALARMS = 1000  # that are read: there are two of each member


@dataclass(frozen=True)
class Recorded:
    """A member as the database has it."""

    id: str
    name: str
    peer_urls: Sequence[str]
    client_urls: Sequence[str] = ()
    is_learner: bool = False


@dataclass(frozen=True)
class Database:
    """What a database says of itself; as it stands here, of one of which nothing is known.

    ``revision`` is the one with which etcd will serve it, by the rule of ``(*store).restore`` in
    ``server/storage/mvcc/kvstore.go``: the greatest of the last key's and the compacted ones. ``key_revision`` is the last
    key's alone, from which a restore counts its bump. ``consistent_index`` and ``term`` are raft's, 0 where they are not
    kept (term: 3.4). The versions are empty where they are not kept. ``users``: by name, whether the role root is theirs;
    None where there are too many to tell. ``alarms`` are their kinds.
    """

    revision: int = 0
    key_revision: int = 0
    compact_revision: int = 0
    consistent_index: int = 0
    term: int = 0
    cluster_version: str = field(default="", metadata=TEXT)
    storage_version: str = field(default="", metadata=TEXT)
    members: Sequence[Recorded] = ()
    auth_enabled: bool = False
    users: Optional[Dict[str, bool]] = None
    alarms: Sequence[str] = ()
    removed_members: int = 0


@dataclass(frozen=True)
class Told:
    """What the database of a stopped member tells; 0 and none where it cannot be read."""

    revision: int = 0
    member_ids: Sequence[str] = ()


def describe(path: str) -> Database:
    """What the database in the file says of itself; needs none of etcd's tools. EtcdError where it is malformed."""
    with Bolt(path) as bolt:

        def meta(name: bytes) -> bytes:
            return bolt.get(b"meta", name, _SMALL) or b""

        compacted = _revision(path, meta(b"finishedCompactRev"))
        last = _revision(path, bolt.last_key(b"key"))
        return Database(
            revision=max(last, compacted, _revision(path, meta(b"scheduledCompactRev"))),
            key_revision=last,
            compact_revision=compacted,
            consistent_index=int.from_bytes(meta(b"consistent_index")[:8], "big"),
            term=int.from_bytes(meta(b"term")[:8], "big"),
            cluster_version=(bolt.get(b"cluster", b"clusterVersion", _SMALL) or b"").decode(errors="replace"),
            storage_version=meta(b"storageVersion").decode(errors="replace"),
            members=_members(path, bolt),
            auth_enabled=auth_enabled(bolt),
            users=users_of(bolt),
            alarms=alarms_of(bolt),
            removed_members=sum(1 for _entry in bolt.items(b"members_removed", 0)),
        )


def records(path: str) -> int:
    """How many revisions of keys a database holds. All of its buckets are read through; EtcdError where one is malformed."""
    with Bolt(path) as bolt:
        numbers = {name: sum(1 for _entry in bolt.items(name, 0)) for name in bolt.buckets()}
    return numbers.get(b"key", 0)


def _revision(path: str, key: Optional[bytes]) -> int:
    """The main revision of a revision's bytes: 8 of it, big endian, ``_``, 8 of the sub revision. 0 where there is none."""
    revision = int.from_bytes((key or b"")[:8], "big")
    if revision > HIGHEST_REVISION:
        raise EtcdError(f"{path}: {revision} cannot be a revision.", "use another snapshot.")
    return revision


def _members(path: str, bolt: Bolt) -> List[Recorded]:
    found = [_member(path, value) for _id, value in islice(bolt.items(b"members", _LARGEST_MEMBER), _MOST_MEMBERS + 1)]
    if len(found) > _MOST_MEMBERS:
        raise EtcdError(f"{path}: its member list has more than {_MOST_MEMBERS} entries.", "use another snapshot.")
    return found


# One entry of the member list as etcd writes it: what it does not know of a member, it leaves out.
_MEMBER = {
    "id": int,
    "name": (strict_json.WORD, None),
    "peerURLs": ([strict_json.WORD], None),
    "clientURLs": ([strict_json.WORD], None),
    "isLearner": (bool, None),
}


def _member(path: str, value: bytes) -> Recorded:
    try:
        raw = strict_json.parse(value.decode("utf-8"))
        wrong = strict_json.misfit(raw, _MEMBER)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise EtcdError(f"{path}: an entry of its member list cannot be read: {wrong}.", "use another snapshot.")
    return Recorded(
        id=hex_id(raw["id"]),
        name=raw.get("name") or "",
        peer_urls=list(raw.get("peerURLs") or []),
        client_urls=list(raw.get("clientURLs") or []),
        is_learner=bool(raw.get("isLearner")),
    )


def told_by_data(data_dir: str) -> Told:
    """What the database in the data directory of a stopped member tells.

    What was only in the WAL is not counted: at most some ten thousand writes, far below the margin of a bump.
    """
    if not data_dir:
        return Told()
    with contextlib.suppress(EtcdError):
        told = describe(os.path.join(data_dir, "member", "snap", "db"))
        return Told(told.revision, [member.id for member in told.members])
    return Told()


def alarms_of(bolt: Bolt) -> List[str]:
    """The kinds of alarms in a database, whichever member's: they come back with a restore, and hold for the whole cluster."""
    keys = (key for key, _value in islice(bolt.items(b"alarm", 0), _MOST_ALARMS))
    return sorted({_ALARMS[key[-2:]] for key in keys if key[-2:] in _ALARMS})
