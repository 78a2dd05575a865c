# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of failover_drill on one host.

Two hosts have a part in the phase ``drill``, at the same time: one takes its member away and puts it back, the other measures.
They tell each other how far they are by keys of the cluster itself, so that neither waits for a controller. Whatever becomes
of any of them, the host that has taken its member away puts it back.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ..core import journal as steps
from ..core.check import Check, check
from ..core.errors import EtcdError
from ..core.journal import Kind
from ..core.journals import journals
from ..core.text import span
from ..core.values import from_plain, to_plain
from ..etcd.cluster import observe
from ..etcd.commands import Connection, Run, delete_below, get_below, put, run_checked
from ..etcd.printed import Kept, kept_of
from ..etcd.proving import lag, look
from ..etcd.trial import written
from ..etcd.view import ClusterView
from ..host.absence import CUT, Absence, lines_back
from ..host.filtering import Cut, cut_of
from ..host.parts import OfCluster
from ..host.put_back import PutBack
from ..host.service import manager
from ..host.stepwise import Stepwise
from .measured import Measured, measured
from .measuring import Client
from .sparing import LAG, reasons

PREFIX = "quorum.etcd/failover_drill/"
# The steps of the two hosts.
ARMED, TAKING, TAKEN, PUT_BACK, CAUGHT_UP = "armed", "taking", "taken", "put_back", "caught_up"
CAME_BACK, MEASURING, MEASURED = "came_back", "measuring", "measured"
# Seconds: until a host hears of the other one; from the first write to the fault; after the end of a drill until the timer puts
# back; to catch up, before the proof waits on; and without a write after which they do not go on.
HEARS, LEAD, SPARE, CATCHES_UP, WRITES_WITHIN = 30.0, 2.0, 15, 60.0, 5.0
_LOOK_AGAIN = 0.3


@dataclass(frozen=True)
class OfDrill(OfCluster):
    """``away`` (its name), ``away_id`` and ``away_host``: the member that is taken away, ``how`` and for how many ``seconds``.

    ``who`` is what was asked for. ``measures`` is the host with the client. ``voters`` has each one's endpoint by name, ``ids``
    all members' names, and ``roster`` the member list in words, by ID. ``own_urls`` and ``peer_urls`` are what is cut;
    ``filter`` is the tool for that. ``unfinished``: hosts where an earlier drill was interrupted.
    """

    away: str
    away_id: str
    away_host: str
    who: str
    how: str
    seconds: int
    measures: str
    voters: Dict[str, str]
    ids: Dict[str, str]
    roster: Dict[str, str]
    own_urls: List[str] = field(default_factory=list)
    peer_urls: List[str] = field(default_factory=list)
    filter: str = ""
    unfinished: List[str] = field(default_factory=list)


def member_list(view: ClusterView) -> Dict[str, str]:
    """What must be the same afterwards, by ID."""
    return {
        one.id: f"{one.name} {','.join(sorted(one.peer_urls))}{' (learner)' if one.is_learner else ''}"
        for one in view.members
    }


class FailoverDrill(Stepwise):
    PHASES = ("ready", "drill", "prove")
    EACH = ("ready", "drill")

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        super().__init__(plan, run, connection)
        self.of = from_plain(OfDrill, self.part.of, "of")
        self.all = replace(self.connection, endpoints=list(self.of.voters.values()))
        self.others = replace(self.all, endpoints=[url for name, url in self.of.voters.items() if name != self.of.away])
        self.keys = f"{PREFIX}{self.part.restore_id}/"
        self.back = PutBack(self.journal.folder, run)
        member = self.part.member
        self.manager = manager(member.service, member.data_dir, member.state_dir, run)

    # ---- ready ---------------------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Put back what an earlier drill has left here, and see once more that nothing speaks against this one."""
        mended = self._mend()
        if self.part.host == self.of.away_host:
            self._absence().demand_possible()
        if self.part.host == self.of.measures:
            self._demand_spare()
        return mended

    def _mend(self) -> bool:
        """Whether an earlier drill had left this host's member away, or something of its own."""
        member, mended, absence = self.part.member, False, self._absence()
        for journal in journals(member.state_dir, member.data_dir, Kind(job=self.part.job)):
            if journal.folder == self.journal.folder or not journal.is_open():
                continue
            back = PutBack(journal.folder, self.run)
            mended = mended or bool(back.left() or absence.left())
            if absence.left():
                back.again()
            if back.is_armed:
                back.now()
            back.disarm()
            journal.record(steps.ROLLED_BACK)
        return mended

    def _demand_spare(self) -> None:
        """EtcdError where the cluster cannot spare the member, as it proves itself now; a member just put back is waited for."""
        until = time.monotonic() + (CATCHES_UP if self.of.unfinished else _LOOK_AGAIN)
        while True:
            view = look(self.run, self.tools, self.all)
            hashed = observe(self.run, self.tools, self.all) if not reasons(view, self.of.away_id) else view
            found = reasons(hashed, self.of.away_id)
            if not found and hashed.hashes_equal and member_list(view) == self.of.roster:
                break
            if time.monotonic() > until:
                cause, step = (
                    found[0] if found else ("its members are not proven to hold the same data.", "run it again.")
                )
                raise EtcdError(f"the cluster cannot spare {self.of.away}: {cause} Nothing was touched.", step)
            self.progress.say(f"waiting until the cluster can spare {self.of.away}: {view.summary}")
            time.sleep(_LOOK_AGAIN)
        self._client().try_each(f"{self.keys}try")

    # ---- drill ---------------------------------------------------------------------------------------------------------

    def drill(self) -> bool:
        if self.part.host == self.of.measures:
            self._measure()
        if self.part.host != self.of.away_host:
            return False
        try:
            self._take_away()
        finally:
            with contextlib.suppress(EtcdError):
                self._tell("end")
        return True

    def _take_away(self) -> None:
        self._demand_role()
        self._hear("begun", f"the host {self.of.measures}, which measures, has not begun")
        time.sleep(LEAD)
        absence = self._absence()
        with self._put_back_afterwards(absence):
            absence.prepare()
            self.journal.record(TAKING)
            self._tell("fault")
            self._demand_armed()
            absence.take()
            self.journal.record(TAKEN)
            self._stay(absence)
        self._catch_up()

    def _demand_role(self) -> None:
        """Who leads may have changed since the plan was made."""
        view = look(self.run, self.tools, self.all)
        leads = view.leader == self.of.away_id
        if self.of.who in ("leader", "follower") and leads != (self.of.who == "leader"):
            raise EtcdError(
                f"{self.of.away} is no longer {'the leader' if not leads else 'a follower'}; {view.leader_name} leads."
                " Nothing was touched.",
                "run again, which makes a new plan.",
            )

    @contextlib.contextmanager
    def _put_back_afterwards(self, absence: Absence) -> Iterator[None]:
        """The block takes away; whatever becomes of it, it is put back: here, or by this host's timer or boot."""
        member = self.part.member
        lines = lines_back(self.of.how, member.service, member.state_dir, self.of.filter)
        self.back.arm(lines, self.of.seconds + SPARE)
        try:
            self.journal.record(ARMED)
            yield
        finally:
            # A timer that has come too early, as while etcd was still stopping, has found it there and put back nothing.
            if not self.back.is_armed and (absence.is_away() or absence.left()):
                self.back.again()
            self.journal.record(PUT_BACK, by=self.back.now())

    def _demand_armed(self) -> None:
        """What nobody would put back is not taken away."""
        if not self.back.is_armed:
            raise EtcdError(
                "this host stood still until the timer that puts its member back was over. Nothing was taken away.",
                "see what keeps it busy, and run again.",
            )

    def _stay(self, absence: Absence) -> None:
        began, back = time.monotonic(), False
        while time.monotonic() - began < self.of.seconds:
            away = time.monotonic() - began
            self.progress.say(f"{self.of.away} is away, {away:.0f} of {self.of.seconds} s")
            if not back and not absence.is_away():
                back = True
                self.journal.record(CAME_BACK, seconds=round(away, 1))
            time.sleep(max(0.0, min(_LOOK_AGAIN, self.of.seconds - away)))

    def _catch_up(self) -> None:
        """Recorded where it has caught up in time; the proof waits on where it has not."""
        began = time.monotonic()
        while time.monotonic() - began < CATCHES_UP:
            view = look(self.run, self.tools, self.all)
            behind = lag(view, self.of.away_id)
            healthy = any(one.healthy for one in view.members if one.id == self.of.away_id)
            if healthy and behind is not None and behind <= LAG:
                self.journal.record(CAUGHT_UP, seconds=round(time.monotonic() - began, 1), behind=behind)
                return
            self.progress.say(
                f"{self.of.away} is back, and {'is not up' if behind is None else f'lacks {behind:,} entries'}"
            )
            time.sleep(_LOOK_AGAIN)

    def _absence(self) -> Absence:
        cut = cut_of(self.of.own_urls, self.of.peer_urls) if self.of.how == CUT else Cut((), ())
        return Absence(self.of.how, self.manager, self.journal.folder, self.run, cut, self.of.filter)

    # ---- the client ----------------------------------------------------------------------------------------------------

    def _client(self) -> Client:
        return Client(self.run, self.etcdctl, self.connection, self.of.voters, self.of.ids, self.of.away)

    def _measure(self) -> None:
        client = self._client()
        key, mark = f"{self.keys}written", None
        try:
            client.try_each(f"{self.keys}try")
            with client.at_work(key):
                self.journal.record(MEASURING)
                zero = time.time() - time.monotonic()
                self._tell("begun")
                mark = self._hear("fault", f"the host {self.of.away_host} has not taken its member away")
                self._hear(
                    "end",
                    f"the host {self.of.away_host} has not put its member back",
                    self.of.seconds + CATCHES_UP + HEARS,
                )
                time.sleep(1.0)
            kept = self._keys().get(key)
        finally:
            with contextlib.suppress(EtcdError):
                run_checked(self.run, delete_below(self.etcdctl, self.others, self.keys))
        numbers = measured(client.writes, client.seen, self.of.away, mark.mod_revision if mark else 0, client.interval)
        if numbers is None:
            raise EtcdError("no write was acknowledged before the drill, so nothing was measured.", "run it again.")
        version = kept.version if kept else 0
        self.journal.record(MEASURED, at=zero + numbers.fault, numbers=to_plain(numbers), version=version)

    def _tell(self, what: str) -> None:
        run_checked(self.run, put(self.etcdctl, self.others, f"{self.keys}{what}", self.part.host), "run status.yml.")

    def _hear(self, what: str, why: str, seconds: float = HEARS) -> Kept:
        """The other host's key ``what``; EtcdError where it does not come."""
        until = time.monotonic() + seconds
        while True:
            keys = self._keys()
            if f"{self.keys}{what}" in keys:
                return keys[f"{self.keys}{what}"]
            given_up = what == "fault" and f"{self.keys}end" in keys
            if given_up or time.monotonic() > until:
                raise EtcdError(
                    f"{why}." if given_up else f"{why} within {span(seconds)}.",
                    "see what that host says; both work at the same time, so ansible-playbook needs --forks of 2 or more for"
                    " each cluster.",
                )
            time.sleep(_LOOK_AGAIN)

    def _keys(self) -> Dict[str, Kept]:
        command = get_below(self.etcdctl, self.others, self.keys)
        result = self.run(command.argv, command.env)
        return kept_of(result.out, command) if result.rc == 0 else {}

    # ---- the proof -----------------------------------------------------------------------------------------------------

    def checks(self) -> List[Check]:
        found = [self._left()]
        return [*found, *self._of_cluster()] if self.part.host == self.of.measures else found

    def _left(self) -> Check:
        """What the drill itself has made on this host is gone."""
        left = [*self.back.left(), *self._absence().left()]
        return check("left on the host of what has taken the member away", [], left)

    def _of_cluster(self) -> List[Check]:
        run_checked(self.run, delete_below(self.etcdctl, self.all, PREFIX), "run status.yml, and run again.")
        proven = look(self.run, self.tools, self.all)
        hashed = observe(self.run, self.tools, self.all)
        behind = [lag(proven, one.id) for one in proven.members if not one.is_learner]
        most = max((-1 if one is None else one for one in behind), default=-1)
        numbers, version = self._measured()
        return [
            check("voters that answer a linearizable read", proven.voters, proven.healthy_voters),
            check("the member list, as before", self.of.roster, member_list(proven)),
            check(f"entries that a member is behind, at most {LAG:,}", 0, most, None not in behind and most <= LAG),
            check("equal hashes at one revision", True, bool(hashed.hashes_equal)),
            check("alarms", [], [f"{one.alarm} {one.member}" for one in proven.alarms]),
            check("acknowledged writes that are there", numbers.acknowledged, min(version, numbers.acknowledged)),
            check(
                f"seconds between two writes after the recovery, at most {WRITES_WITHIN:g}",
                str(numbers.grain),
                str(numbers.later_gap),
                numbers.later_gap <= WRITES_WITHIN,
            ),
            written(self.run, self.tools, self.all, f"{PREFIX}proof", "failover drill"),
        ]

    def _measured(self) -> Tuple[Measured, int]:
        entry = next(one for one in reversed(self.journal.entries()) if one.step == MEASURED)
        return from_plain(Measured, entry.more["numbers"]), int(entry.more["version"])
