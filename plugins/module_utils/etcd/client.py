# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of etcd over gRPC, for what moves many keys: two to six times as quick as the JSON gateway, and it has watches.

Needs ``grpcio`` (see ``doors``). What is asked goes to one endpoint until that fails; then the next is asked. A transaction whose
outcome is not known is never sent again: ``Unavailable.unknown`` says so, and its caller finds out what became of it.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Union

from ..core.errors import EtcdError
from ..core.threads import side_by_side
from . import wire
from .caller import Caller
from .commands import Connection
from .doors import Door, Metadata
from .messages import Committed, Compare, Delete, Page, Put
from .records import page
from .refusals import Denied, Stopped, Unavailable, Unsupported
from .seen import older
from .versions import parse_version, tells_progress, tells_the_past
from .watching import Watch
from .wire import Alarm, KeyHash, Lease, Member, Permission, Status

# Seconds that a page or a transaction may take: they can be large, and the way narrow. Whether anybody is there at all is
# found out much earlier, by keepalives.
LONG = 30.0


class Permissions(NamedTuple):
    """What the client's user may do. ``all``: everything, since there is no authentication, or the user has the role root.

    ``user`` is empty where nobody has logged in: by a certificate's common name one may be somebody all the same.
    """

    enabled: bool
    user: str
    all: bool
    roles: Sequence[str]
    permissions: Sequence[Permission]


def _quiet(_words: str) -> None:
    """For whoever does not want to hear."""


class Client:
    """Thread-safe; as a context manager it is closed in the end. Every method may raise EtcdError, of a class in ``refusals``.

    ``say`` is told in words when another endpoint is asked. ``clock`` is in seconds, and goes forward only.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        say: Callable[[str], None] = _quiet,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caller = Caller(connection, say, clock)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """What is under way in other threads ends with ``Stopped``."""
        self._caller.close()

    @property
    def endpoint(self) -> str:
        """Who is asked at present."""
        return self._caller.doors.current.endpoint

    # ---- keys ----------------------------------------------------------------------------------------------------------

    def page(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
    ) -> Page:
        """The first ``limit`` keys of a range, as they are or were at ``revision``. Compacted where that is gone."""
        request = wire.range_request(
            key,
            end,
            limit=limit,
            revision=revision,
            serializable=serializable,
            keys_only=keys_only,
            count_only=count_only,
        )
        return self._caller.ask("KV/Range", request, page, seconds=LONG, leader=not serializable)

    def commit(self, compares: Sequence[Compare], operations: Sequence[Union[Put, Delete]]) -> Committed:
        """Do all operations if every condition holds (``succeeded``). No key twice, and at most 128."""
        return self._commit(wire.txn_request(compares, operations))

    def _commit(self, request: bytes) -> Committed:
        return self._caller.ask("KV/Txn", request, wire.committed, seconds=LONG, writes=True)

    def commit_soon(self, compares: Sequence[Compare], operations: Sequence[Union[Put, Delete]]) -> Pending:
        """The same, without waiting. Of several under way, any may be first."""
        request = wire.txn_request(compares, operations)
        door = self._caller.doors.current
        call = door.ask_soon("KV/Txn", request, LONG, self._caller.metadata(door, True))
        return Pending(len(request), call, door, lambda error: self._again(request, door, error), self._believed)

    def _again(self, request: bytes, door: Door, error: EtcdError) -> Committed:
        """A transaction that has failed, and was not done, is sent once more by the usual way."""
        if self._caller.closed:
            raise Stopped("the connection to etcd was closed.") from error
        if self._caller.forget_token(error):
            return self._commit(request)
        if not isinstance(error, Unavailable):
            raise error
        self._caller.doors.leave(door, error)
        if error.unknown:
            raise error
        return self._commit(request)

    def _believed(self, found: Committed, door: Door) -> Committed:
        """What was committed is believed, but for another cluster's."""
        wrong = older(found.header, self._caller.seen.view._replace(revision=0, raft_term=0), door.endpoint)
        if wrong:
            raise wrong
        self._caller.seen.add(found.header)
        return found

    def watch(self, key: bytes, end: bytes, start_revision: int, *, previous: bool = False) -> Watch:
        """A watch that is open: its first answer, which iterating gives too, has come. ``previous``: with what each
        key was, from 3.5 on."""
        return self._caller.try_each(lambda door: self._watch(door, key, end, start_revision, previous))

    def _watch(self, door: Door, key: bytes, end: bytes, start_revision: int, previous: bool) -> Watch:
        if not door.version:
            door.version = self._status(door).version
        metadata = self._caller.metadata(door, True)
        if self._caller.connection.user:
            # Up to 3.5 a watch with a token that has ended is told to lack a permission: a read tells the truth.
            door.ask("KV/Range", wire.range_request(key, keys_only=True), LONG, metadata)
        watch = Watch(
            lambda requests: door.stream("Watch/Watch", requests, metadata),
            door.error,
            door.endpoint,
            self._caller.seen,
            self._caller.clock,
            tells_progress(parse_version(door.version)),
            lambda why: self._caller.doors.leave(door, why),
        )
        first = watch.open(key, end, start_revision, previous and tells_the_past(parse_version(door.version)))
        if first.canceled and not first.compact_revision:
            raise door.refused(first.cancel_reason)
        return watch

    def compact(self, revision: int) -> None:
        """What was before this revision is history that nobody can read any more."""
        self._caller.ask("KV/Compact", wire.compact_request(revision), wire.header)

    # ---- leases --------------------------------------------------------------------------------------------------------

    def grant(self, ttl: int, id: int = 0) -> int:
        """A lease of so many seconds, and of this ID where one is given. NoLease where there is one already."""
        request = wire.lease_grant_request(ttl, id)
        return self._caller.ask("Lease/LeaseGrant", request, wire.lease_granted, writes=True)

    def time_to_live(self, id: int) -> Lease:
        return self._caller.ask("Lease/LeaseTimeToLive", wire.lease_id_request(id), wire.lease)

    def keys_of_lease(self, id: int) -> List[bytes]:
        """Those that go with it; none where it is not there."""
        return self._caller.ask("Lease/LeaseTimeToLive", wire.lease_keys_request(id), wire.lease_keys)

    def leases(self) -> List[int]:
        """The IDs of all that there are."""
        return self._caller.ask("Lease/LeaseLeases", b"", wire.leases)

    def revoke(self, id: int) -> None:
        """With a lease go its keys."""
        self._caller.ask("Lease/LeaseRevoke", wire.lease_id_request(id), wire.header, writes=True)

    def keep_alive(self, id: int) -> int:
        """The seconds that the lease has again; 0 where it is not there."""

        def ask(door: Door) -> int:
            call = door.stream(
                "Lease/LeaseKeepAlive", iter([wire.lease_id_request(id)]), self._caller.metadata(door, True)
            )
            try:
                return wire.lease_kept(next(call))
            except Exception as error:
                raise door.error(error) from error
            finally:
                call.cancel()

        return self._caller.try_each(ask)

    # ---- the cluster ---------------------------------------------------------------------------------------------------

    def status(self) -> Dict[str, Union[Status, EtcdError]]:
        """What each endpoint says of itself, or why it says nothing. All are asked at once."""
        doors = self._caller.doors.all
        return dict(zip((door.endpoint for door in doors), side_by_side(self._told, doors)))

    def _told(self, door: Door) -> Union[Status, EtcdError]:
        try:
            return self._caller.at(door, self._status)
        except EtcdError as error:
            return error

    def _status(self, door: Door) -> Status:
        try:
            metadata: Metadata = self._caller.metadata(door, False)
        except Unavailable:  # a learner lets nobody log in, and tells its status to some all the same
            metadata = ()
        try:
            status = wire.status(door.ask("Maintenance/Status", b"", self._caller.connection.command_timeout, metadata))
        except ValueError as error:
            raise door.error(error) from error
        self._caller.seen.add(status.header)
        door.version = status.version
        return status

    @property
    def term(self) -> int:
        """The highest raft term that any answer has had; 0 before the first."""
        return self._caller.seen.view.raft_term

    def raft_index(self, key: bytes) -> int:
        """How many entries the cluster's raft log has had, at least: less than before only in another history. ``key``: one
        that may be read, since a member that answers a read knows all that was agreed on before.
        """

        def ask(door: Door) -> int:
            door.ask("KV/Range", wire.range_request(key, keys_only=True), LONG, self._caller.metadata(door, True))
            return self._status(door).raft_index

        return self._caller.try_each(ask)

    def members(self, linearizable: bool = True) -> List[Member]:
        return self._caller.ask(
            "Cluster/MemberList", wire.member_list_request(linearizable), wire.members, leader=linearizable
        )

    def alarms(self) -> List[Alarm]:
        return self._caller.ask("Maintenance/Alarm", b"", wire.alarms)

    def hash_kv(self, revision: int = 0) -> KeyHash:
        """The hash of one member's keys at a revision, 0 for the newest."""
        return self._caller.ask("Maintenance/HashKV", wire.hash_kv_request(revision), wire.key_hash, seconds=LONG)

    def permissions(self) -> Permissions:
        """What the own user may do; Denied where it may not even log in."""
        if not self._is_guarded():
            return Permissions(False, "", True, (), ())
        user = self._caller.connection.user
        if not user:
            return Permissions(True, "", False, (), ())
        roles = self._caller.ask("Auth/UserGet", wire.name_request(user), wire.roles)
        if "root" in roles:
            return Permissions(True, user, True, roles, ())
        asked = [self._caller.ask("Auth/RoleGet", wire.name_request(role), wire.permissions) for role in roles]
        return Permissions(True, user, False, roles, [one for of_role in asked for one in of_role])

    def _is_guarded(self) -> bool:
        """Whether authentication is on. 3.4 cannot be asked for it: there, a login tells, or that one is wanted."""
        try:
            return self._caller.ask("Auth/AuthStatus", b"", wire.auth_status)
        except Unsupported:
            if self._caller.logged_in():
                return True
        except Denied:
            return True
        try:
            self.page(b"\0", count_only=True)
        except Denied:
            return True
        return False


class Pending:
    """A transaction that is under way, of ``size`` bytes."""

    def __init__(
        self,
        size: int,
        call: Any,
        door: Door,
        again: Callable[[EtcdError], Committed],
        believed: Callable[[Committed, Door], Committed],
    ) -> None:
        self.size, self._call, self._door, self._again, self._believed = size, call, door, again, believed

    def result(self) -> Committed:
        """Waits. What was surely not done is sent again, also to another endpoint; ``unknown`` tells that it may have been."""
        try:
            found = wire.committed(self._call.result())
        except Exception as error:
            return self._again(self._door.error(error, writes=True))
        return self._believed(found, self._door)
