# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a membership: a member added, removed or promoted, and the leadership moved.

What a change has come to is what the member list says, never what the call has answered: one that fails or times out may
have worked (kubeadm #3152), and one that has worked may be lost again (k3s #12908). So the list is read after each call and
before anything else. Nothing here judges whether a change should be made: that is ``change``, and whoever calls.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Callable, List, NamedTuple, Optional, Sequence

from ..core.errors import EtcdError
from .asking import Handshake, Knock
from .commands import (
    Command,
    Connection,
    Result,
    Run,
    Tools,
    in_words,
    member_add,
    member_list,
    member_promote,
    member_remove,
    move_leader,
)
from .printed import Listed, members_of
from .proving import answering, look
from .unaskable import handshake, last_words, refusal
from .view import ClusterView, MemberView

# What etcd refuses only for now. A voter counts as unhealthy until it was connected for 5 s; a new leader does not know yet
# how far a learner is.
_NOT_YET = ("unhealthy cluster", "in sync with leader")
# So does etcd refuse to add a member in the very second in which one with the same peer URLs was added that is removed again:
# the ID is made of them and of the seconds of the clock (`computeMemberID`), and one that was removed is never given again.
_SAME_SECOND = "member not found"
# What etcd says although the change may have been made, or be made yet: by this very call, or by one before.
_MAY_HAVE_WORKED = re.compile(r"timed out|leader changed|stopped|not found|already exist|no leader|not leader")
_STATUS = "run status.yml, which says how the cluster is, and run again."
_NEXT = {
    "unhealthy cluster": "see with status.yml which voter is not healthy, mend or remove it, and run again.",
    "in sync with leader": "see that the learner runs, wait until it has caught up, and run again.",
    "too many learner": "promote or remove the learner that is there, and run again.",
    "not enough started": "start the members that the cluster knows and that have never run, or remove them.",
    "member not found": "run status.yml, which has the ID of each member.",
}


@dataclass(frozen=True)
class Changed:
    """What a call has come to. ``id`` is the member's; ``changed`` is False where there was nothing to do, as ``says`` says."""

    id: str
    changed: bool
    says: str


class Patience(NamedTuple):
    """Seconds to wait: ``settled`` for a quorum and a member list, which are not there while a leader is elected; ``refused``
    while etcd refuses a change for now, ``list`` for the list to show what has been done, ``healthy`` for voters to be healthy
    again, and for a new leader; ``pause`` between two looks."""

    settled: float = 30.0
    refused: float = 30.0
    list: float = 10.0
    healthy: float = 30.0
    pause: float = 0.5


class Membership:
    """The membership of the cluster behind ``connection``, whose endpoints are client URLs of its members.

    Each call looks first, and does nothing where nothing is to do. EtcdError: etcd's own words and a next step. Each command
    is bounded by ``connection.command_timeout``, and each wait by ``patience``. ``say`` hears what is waited for.
    """

    def __init__(
        self,
        run: Run,
        tools: Tools,
        connection: Connection,
        *,
        patience: Optional[Patience] = None,
        say: Callable[[str], None] = lambda _words: None,
        knock: Optional[Knock] = None,
        handshake: Handshake = handshake,
    ) -> None:
        if tools.etcdctl is None:
            raise EtcdError("etcdctl is missing, so no membership can be changed.", "install etcdctl, or set bin_dir.")
        self._run, self._tools, self._etcdctl, self._connection = run, tools, tools.etcdctl, connection
        self._patience, self._say = patience or Patience(), say
        self._knock, self._handshake = knock, handshake

    def look(self) -> ClusterView:
        return look(self._run, self._tools, self._connection, knock=self._knock, handshake=self._handshake)

    def settled(self) -> ClusterView:
        """The view of a cluster that can be changed: it has a quorum, and tells all its members. EtcdError where it does not.

        One look that finds less proves nothing: a leader may be elected just now, or one list may have come too late.
        """
        until = time.monotonic() + self._patience.settled
        view = self.look()
        while not (view.has_quorum and view.members_complete):
            if time.monotonic() > until:
                raise _unsettled(view)
            self._say(f"waiting: {view.summary}")
            time.sleep(self._patience.pause)
            view = self.look()
        return view

    def add(self, name: str, peer_urls: Sequence[str], learner: bool) -> Changed:
        """Add a member with exactly these peer URLs, and give its ID. etcd's refusal ``unhealthy cluster`` is waited out."""

        def found(members: Sequence[Listed]) -> str:
            return next((one.id for one in members if set(one.peer_urls) == set(peer_urls)), "")

        view = self.settled()
        if found(listed_of(view)):
            return Changed(
                found(listed_of(view)), False, f"a member with the peer URLs {', '.join(peer_urls)} is there."
            )
        _refuse_a_double(view, name, peer_urls)
        members = self._change(
            view,
            lambda now: member_add(self._etcdctl, self._to(answering(now)), name, peer_urls, learner),
            lambda members: bool(found(members)),
            not_yet=(*_NOT_YET, _SAME_SECOND),
        )
        return Changed(found(members), True, f"{name} was added as a {'learner' if learner else 'voter'}.")

    def remove(self, member_id: str) -> Changed:
        """Remove a member, by asking others than itself, and wait until all that answered before, and are members still, do so
        again."""

        def gone(members: Sequence[Listed]) -> bool:
            return all(one.id != member_id for one in members)

        view = self.settled()
        if gone(listed_of(view)):
            return Changed(member_id, False, f"the cluster has no member {member_id}.")
        others = [member.id for member in answering(view) if member.id != member_id]
        if not others:
            raise EtcdError(
                f"nobody but {member_id} could be asked to remove it.", "start another voter, and run again."
            )

        def ask(now: ClusterView) -> Command:
            return member_remove(self._etcdctl, self._to(answering(now), without=member_id), member_id)

        self._change(view, ask, gone, without=member_id)
        self._wait(
            lambda now: now.members_complete and not set(others).intersection(_silent(now)),
            f"{member_id} is removed, and not all others have answered since.",
        )
        return Changed(member_id, True, f"{member_id} was removed.")

    def promote(self, member_id: str) -> Changed:
        """A learner becomes a voter; the leader is asked. That it is not in sync yet is waited out."""

        def votes(members: Sequence[Listed]) -> bool:
            return any(one.id == member_id and not one.is_learner for one in members)

        view = self.settled()
        if votes(listed_of(view)):
            return Changed(member_id, False, f"{member_id} is a voter.")
        _member(view, member_id)
        self._change(view, lambda now: member_promote(self._etcdctl, self._to([_leader(now)]), member_id), votes)
        return Changed(member_id, True, f"{member_id} was promoted.")

    def move_leader(self, to_id: str) -> Changed:
        """The leadership goes to a voter; waits until it leads."""
        view = self.settled()
        if view.leader == to_id:
            return Changed(to_id, False, f"{to_id} leads.")
        if _member(view, to_id) not in answering(view):
            raise EtcdError(f"{to_id} is no healthy voter, and cannot lead.", "name a voter that is healthy.")
        command = move_leader(self._etcdctl, self._to(answering(view)), to_id)
        result = self._run(command.argv, command.env)
        cause = f"{to_id} does not lead, although it was told to." if result.rc == 0 else _failed(command, result)
        self._wait(lambda now: now.leader == to_id, cause, self._patience.healthy if result.rc == 0 else 0)
        return Changed(to_id, True, f"{to_id} leads now.")

    def _to(self, members: Sequence[MemberView], without: str = "") -> Connection:
        return replace(self._connection, endpoints=[one.endpoint for one in members if one.id != without])

    def _change(
        self,
        view: ClusterView,
        ask: Callable[[ClusterView], Command],
        done: Callable[[Sequence[Listed]], bool],
        without: str = "",
        not_yet: Sequence[str] = _NOT_YET,
    ) -> Sequence[Listed]:
        """The member list in which the change is made. ``not_yet``: the refusals that are waited out."""
        until = time.monotonic() + self._patience.refused
        while True:
            command = ask(view)
            result = self._run(command.argv, command.env)
            said = _said(result)
            refused = any(words in said for words in not_yet)
            may_have_worked = "etcdserver: " not in said or bool(_MAY_HAVE_WORKED.search(said))
            unsure = result.rc == 0 or (may_have_worked and not refused)
            members = self._read_until(done, self._to(answering(view), without), unsure, said)
            if done(members):
                return members
            if not refused or time.monotonic() > until:
                raise _error(command, result, said)
            self._say(f"waiting: {said}")
            time.sleep(self._patience.pause)
            view = self.settled()

    def _read_until(
        self, done: Callable[[Sequence[Listed]], bool], to: Connection, unsure: bool, said: str
    ) -> Sequence[Listed]:
        """The member list as it is read again, one member after the other; for as long as the change may yet show in it."""
        until, members, turn = time.monotonic() + self._patience.list, None, 0
        while True:
            one = replace(to, endpoints=[to.endpoints[turn % len(to.endpoints)]])
            members = self._list(one) or members
            turn += 1
            over = time.monotonic() > until and turn >= len(to.endpoints)
            if members is not None and (over or done(members) or not unsure):
                return members
            if over:
                raise EtcdError(
                    f"it is not known whether the change was made ({said or 'etcdctl said nothing'}), since the member list"
                    " cannot be read.",
                    _STATUS,
                )
            time.sleep(self._patience.pause)

    def _list(self, to: Connection) -> Optional[List[Listed]]:
        command = member_list(self._etcdctl, to)
        result = self._run(command.argv, command.env) if command else Result(1, "", "")
        return members_of(result.out, command) if command and result.rc == 0 else None

    def _wait(self, done: Callable[[ClusterView], bool], cause: str, seconds: Optional[float] = None) -> None:
        until = time.monotonic() + (self._patience.healthy if seconds is None else seconds)
        view = self.look()
        while not done(view):
            if time.monotonic() > until:
                raise EtcdError(f"{cause} {view.summary}", _STATUS)
            self._say(f"waiting: {view.summary}")
            time.sleep(self._patience.pause)
            view = self.look()


def _silent(view: ClusterView) -> List[str]:
    """The members that do not answer. Who has left meanwhile, as by another's removal, is none."""
    return [one.id for one in view.members if one not in answering(view)]


def _unsettled(view: ClusterView) -> EtcdError:
    if view.quorum_unknown:
        return EtcdError(f"its members cannot be asked. {view.summary}", " ".join(view.next_steps) or _STATUS)
    if not view.has_quorum:
        return EtcdError(
            f"the cluster has no quorum, so its membership cannot be changed. {view.summary}",
            "start the members that are down; where they are lost for good, run restore.yml.",
        )
    return EtcdError(f"the cluster did not tell its members. {view.summary}", _STATUS)


def listed_of(view: ClusterView) -> List[Listed]:
    """The members of a view, as a member list has them."""
    return [Listed(one.id, one.name, one.peer_urls, one.client_urls, one.is_learner) for one in view.members]


def _refuse_a_double(view: ClusterView, name: str, peer_urls: Sequence[str]) -> None:
    """What etcd lets pass, or refuses in words that do not say whose it is: two members of a name cannot both be named in
    an initial-cluster."""
    for member in view.members:
        if set(member.peer_urls) & set(peer_urls):
            raise EtcdError(
                f"the member {member.name or member.id} has some of the peer URLs {', '.join(peer_urls)}, and not exactly"
                f" these: {', '.join(member.peer_urls)}.",
                "give the new member peer URLs of its own, or remove that one first.",
            )
        if name and member.name == name:
            raise EtcdError(
                f"a member is called {name} already: {member.id}, at {', '.join(member.peer_urls)}.",
                "choose another name, or remove that member first.",
            )


def _member(view: ClusterView, member_id: str) -> MemberView:
    for member in view.members:
        if member.id == member_id:
            return member
    raise EtcdError(f"the cluster has no member {member_id}.", _NEXT["member not found"])


def _leader(view: ClusterView) -> MemberView:
    for member in answering(view):
        if member.is_leader:
            return member
    raise EtcdError(f"the leader cannot be asked. {view.summary}", _STATUS)


def _said(result: Result) -> str:
    words = last_words(result.err) or last_words(result.out)
    return words[len("Error: ") :] if words.startswith("Error: ") else words


def _error(command: Command, result: Result, said: str) -> EtcdError:
    if result.rc == 0:
        return EtcdError(f"{in_words(command)} was answered, and the member list does not show it.", _STATUS)
    step = next((step for words, step in _NEXT.items() if words in said), "") or refusal(said).next_step
    return EtcdError(f"{_failed(command, result)}", step or _STATUS, argv=command.argv, rc=result.rc)


def _failed(command: Command, result: Result) -> str:
    return f"{in_words(command)} failed with exit code {result.rc}: {_said(result) or 'no message'}."
