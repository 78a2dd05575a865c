# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which changes of a membership are wanted, and in which order: what the operator asks, or what is clear by itself.

The member list is the cluster's own. Whose seat a host has is told by exact peer URLs and by nothing else: names of the
inventory may be wrong, and a member that has never started has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set

from ..core.job import Findings
from ..etcd.view import ClusterView
from ..host.facts import MemberFacts
from ..host.planning import Cluster
from .begun import begun_on
from .sequence import Change, Seat, by_id, is_on_its_way, newcomer, seats_of

# A member that was added and has not started yet may be on its way: it is not cleaned up before so many seconds.
MAY_STILL_BOOT = 120


@dataclass(frozen=True)
class Wanted:
    """What the operator asks for: members by name, ID or exact peer URL, hosts by their name in the inventory.

    ``by``: the hosts that take the places of ``dead``, in that order. ``zones``: the failure domain of hosts, where it is known.
    """

    dead: Sequence[str] = ()
    by: Sequence[str] = ()
    rebuild: Sequence[str] = ()
    move: Mapping[str, str] = field(default_factory=dict)
    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    zones: Mapping[str, str] = field(default_factory=dict)

    @property
    def anything(self) -> bool:
        return bool(self.dead or self.rebuild or self.move or self.add or self.remove)


def given_up(view: ClusterView, wanted: Wanted) -> Set[str]:
    """The endpoints of the members that the operator gives up: without its data one may have founded a cluster of its own."""
    words = {*wanted.dead, *wanted.rebuild}
    found = [one for one in view.members if words & {one.id, one.name, *one.peer_urls}]
    return {url for one in found for url in (one.endpoint, *one.client_urls)}


def wanted_changes(cluster: Cluster, wanted: Wanted, findings: Findings) -> List[Change]:
    """The changes in their order; what cannot be is refused."""
    planner = _Planner(cluster, wanted, findings)
    changes = planner.asked() if wanted.anything else planner.clear_by_itself()
    left_behind = planner.left_behind(changes)
    planner.refuse_doubles([*left_behind, *changes])
    return [*left_behind, *planner.vacated(in_order(changes, planner.seats, planner.zone_of))]


class _Seen:
    """Who is where: the seats of the membership, the hosts, and what an earlier run has begun."""

    def __init__(self, cluster: Cluster, wanted: Wanted, findings: Findings) -> None:
        self.wanted, self.findings = wanted, findings
        self.seats = seats_of(cluster.view)
        self.unreachable = cluster.unreachable
        self.members: Dict[str, MemberFacts] = {host: told.member for host, told in cluster.hosts.items()}
        self.homes = {seat.id: host for seat in self.seats for host in self.members if _sits(self.members[host], seat)}
        self.free = [
            host for host, member in self.members.items() if host not in self.homes.values() and member.peer_urls
        ]
        self.taken: List[str] = []
        self.begun = begun_on(self.members)
        # Who does what no newcomer does: the host of a member that stays, where one does.
        serving = [seat for seat in self.seats if seat.healthy and seat.id in self.homes]
        self.speakers = [self.homes[seat.id] for seat in sorted(serving, key=self._leaves)]

    def _leaves(self, seat: Seat) -> bool:
        """Whether the operator wants it to leave."""
        return bool({*self.wanted.remove, *self.wanted.move, *self.wanted.rebuild} & seat.names)

    def _unsettled(self) -> List[str]:
        """The hosts without a member, and those whose member is none yet."""
        half = [self.homes.get(seat.id, "") for seat in self.seats if is_on_its_way(seat)]
        return [host for host in [*self.free, *half] if host]

    def _age(self, seat: Seat) -> Optional[int]:
        """Seconds since a run of this job has added it; None where none has."""
        added = [member.newest_job.added for member in self.members.values() if member.newest_job]
        return next((one[seat.id] for one in added if seat.id in one), None)

    def _is_ours(self, seat: Seat) -> bool:
        """Whether a run of this job has added it, or was cut off when it was about to record that it had."""
        begun = {url for change in self.begun.changes if change.comes for url in change.peer_urls}
        return self._age(seat) is not None or bool(begun & set(seat.peer_urls))

    def _comes(
        self, host: str, goes: Optional[Seat] = None, first: bool = False, why: str = "", gives_up: bool = False
    ) -> Change:
        member = self.members[host]
        return Change(
            host=host,
            goes=goes.id if goes else "",
            goes_name=goes.called if goes else "",
            goes_first=first,
            comes=member.name,
            peer_urls=list(member.peer_urls),
            why=why,
            gives_up=gives_up,
        )

    def _goes(self, seat: Seat, why: str, told: bool = False) -> List[Change]:
        speaker = next((host for host in self.speakers if host != self.homes.get(seat.id)), None)
        if speaker is None:
            self.findings.refuse(
                f"no host of another member than {seat.called} answers, and one must ask for its removal.",
                "run for a group that has the hosts of the members that stay.",
            )
            return []
        return [Change(speaker, seat.id, seat.called, goes_first=True, why=why, told=told)]

    def _find(self, word: str) -> Optional[Seat]:
        found = [seat for seat in self.seats if word in seat.names]
        if len(found) > 1:
            each = ", ".join(f"{seat.id} at {', '.join(seat.peer_urls)}" for seat in found)
            self.findings.refuse(f"several members are called {word}: {each}.", "name the one that is meant by its ID.")
        return found[0] if found else None

    def zone_of(self, change: Change) -> str:
        """The failure domain of the place that a change empties, or, where that is not known or nobody leaves, fills.

        Who only asks for a removal has no part in it.
        """
        zones = self.wanted.zones
        return zones.get(self.homes.get(change.goes, "")) or (zones.get(change.host, "") if change.comes else "")

    def _is_known(self, host: str, variable: str) -> bool:
        if host in self.members:
            return True
        self.findings.refuse(
            f"{host} is no host of this cluster's group, or has not answered.",
            f"name one of {', '.join(self.free) or 'a group with a host that has no member'} in {variable}.",
        )
        return False

    def _is_done(self, host: str) -> bool:
        return any(
            self.homes.get(seat.id) == host and seat.healthy and seat.started and not seat.learner
            for seat in self.seats
        )


class _Planner(_Seen):
    """What is wanted, as changes."""

    # ---- what is asked -------------------------------------------------------------------------------------------------

    def asked(self) -> List[Change]:
        found: List[Change] = []
        for word in self.wanted.dead:
            found += self._replaced(word)
        for word in self.wanted.rebuild:
            found += self._rebuilt(word)
        for word, host in self.wanted.move.items():
            found += self._moved(word, host)
        for host in self.wanted.add:
            found += self._added(host)
        for word in self.wanted.remove:
            found += self._removed(word)
        return found

    def _replaced(self, word: str) -> List[Change]:
        seat = self._find(word)
        if seat is None:
            return self._gone(word)
        if seat.healthy and not seat.learner:
            if self.homes.get(seat.id) not in self.begun.hosts:
                self.findings.warn(
                    f"{word} serves, so it is not replaced; to make it anew all the same:"
                    f" -e etcd_member_replace_rebuild={word}"
                )
            return []
        home = self.homes.get(seat.id, "")
        if seat.learner and seat.started and seat.healthy and home and not self.wanted.by:
            return [self._comes(home, why=f"{word} is a learner, and serves")]
        host = self._place(home, others=self.free)
        if not host:
            self._refuse_placeless(word)
            return []
        return [self._comes(host, goes=seat, first=True, why=f"{seat.called} is dead")]

    def _refuse_placeless(self, word: str) -> None:
        bare = [host for host, one in self.members.items() if not one.peer_urls and host not in self.homes.values()]
        if bare:
            self.findings.refuse(
                f"there is no host that could take the place of {word}: every other one has a member, and on"
                f" {', '.join(bare)} no etcd is set up; neither a unit, nor a manifest, nor a configuration of it was found.",
                "prepare the host with install.yml; on a node of kubeadm, write its manifest anew with 'kubeadm init phase etcd"
                " local' and the configuration of the cluster. Then run again.",
            )
        else:
            self.findings.refuse(
                f"there is no host that could take the place of {word}: its own is not in the inventory or does not answer,"
                " and every other one has a member.",
                "add a host that install.yml has prepared to the group; or, to go on without one, name the member in"
                " etcd_member_replace_remove instead.",
            )

    def _gone(self, word: str) -> List[Change]:
        """Gone already, as after a run that was cut off: what is left is to fill its place, by the host that the operator names,
        or that the run had chosen, or that has a member of that name; and by none that is only free.
        """
        mine = next((host for host in self._unsettled() if self.members[host].name == word), "")
        host = self._place(self._chosen_for(word) or mine, others=())
        if not host:
            return self._nobody(word)
        why = f"{word} is no member any more"
        return [] if self._is_done(host) else [self._comes(host, why=why, gives_up=host == mine)]

    def _chosen_for(self, word: str) -> str:
        """The host where an interrupted run lets the successor come of a member that is gone. A peer URL of a seat that is no
        more tells nothing, so the one that is still on its way must be that."""
        known = [
            change
            for change in self.begun.changes
            if change.comes and change.goes and change.host in self.members and not by_id(self.seats, change.goes)
        ]
        named = [change.host for change in known if word in (change.goes, change.goes_name)]
        half = [change.host for change in known if change.host in self._unsettled()]
        return next((host for host in [*named, *half] if host not in self.taken), "")

    def _place(self, own: str, others: Sequence[str]) -> str:
        """The host that takes a place: the next of those that the operator names, else its own, else one of the others."""
        named = [host for host in self.wanted.by if host in self.members]
        candidates = named if self.wanted.by else [own, *others]
        host = next((host for host in candidates if host and host not in self.taken), "")
        self.taken.append(host)
        return host

    def _nobody(self, word: str) -> List[Change]:
        self.findings.warn(
            f"the cluster has no member {word}, and no host is known to take its place, so nothing is done for it."
        )
        return []

    def _rebuilt(self, word: str) -> List[Change]:
        seat = self._find(word)
        if seat is None:
            host = self._chosen_for(word)
            if host:
                return [] if self._is_done(host) else [self._comes(host, why=f"{word} is made anew")]
            known = ", ".join(one.called for one in self.seats)
            self.findings.refuse(
                f"the cluster has no member {word}.", f"name one of {known} in etcd_member_replace_rebuild."
            )
            return []
        home = self.homes.get(seat.id)
        if home is None:
            self.findings.refuse(
                f"no host of the inventory is known to have the member {word}, so it cannot be made anew there.",
                "add its host to the group, and see that its peer URL there is the one in the member list.",
            )
            return []
        came = [change.goes for change in self.begun.changes if change.host == home and change.comes]
        if came and seat.id not in came:  # it is the new one already, of a run that was cut off
            return [] if self._is_done(home) else [self._comes(home, why=f"{word} is made anew")]
        return [self._comes(home, goes=seat, first=True, why=f"{seat.called} is made anew")]

    def _moved(self, word: str, host: str) -> List[Change]:
        seat = self._find(word)
        if not self._is_known(host, "etcd_member_replace_move"):
            return []
        if seat is None:
            return [self._comes(host, why=f"{word} is no member any more")] if not self._is_done(host) else []
        if not seat.healthy:
            self.findings.refuse(
                f"{word} does not serve, so it is not moved: a dead member goes before another one comes.",
                f"name it in etcd_member_replace_dead, and {host} in etcd_member_replace_by.",
            )
        if self.homes.get(seat.id) == host:
            self.findings.refuse(f"{word} is on {host} already.", "name another host.", host)
        # There is only one learner at a time.
        return [self._comes(host, goes=seat, first=seat.learner, why=f"{seat.called} moves to {host}")]

    def _added(self, host: str) -> List[Change]:
        if not self._is_known(host, "etcd_member_replace_add") or self._is_done(host):
            return []
        return [self._comes(host, why=f"{host} joins")]

    def _removed(self, word: str) -> List[Change]:
        seat = self._find(word)
        if seat is None:
            self.findings.warn(f"the cluster has no member {word}, so nothing is done for it.")
            return []
        return self._goes(seat, f"{seat.called} leaves", told=True)

    # ---- what is clear by itself ------------------------------------------------------------------------------------------

    def clear_by_itself(self) -> List[Change]:
        """A member that lost its data, or was cut off half-way of coming; or one of no host that is known, where one is free."""
        found: List[Change] = []
        dead = [seat for seat in self.seats if not (seat.healthy or seat.learner)]
        for seat in self.seats:
            home = self.homes.get(seat.id)
            if home and seat.learner:
                # Another's may just be on its way, as by kubeadm: it is left alone, and ``left_behind`` tells of it.
                if self._is_ours(seat):
                    found.append(self._comes(home, why=f"{seat.called} has not become a voter yet"))
            elif home and seat in dead and not self.members[home].data.has_member:
                found.append(self._comes(home, goes=seat, first=True, why=f"{seat.called} has lost its data"))
        found += self._cut_off({change.host for change in found})
        strange = [seat for seat in dead if seat.id not in self.homes]
        free = [host for host in self.free if host not in {change.host for change in found}]
        if len(strange) == len(free) == 1 and not self.unreachable:
            seat, host = strange[0], free[0]
            why = f"{seat.called} is dead and of no host here, and {host} has no member"
            found.append(self._comes(host, goes=seat, first=True, why=why))
        unclear = [seat for seat in dead if seat.id not in {change.goes for change in found}]
        for seat in unclear:
            self.findings.refuse(
                f"{seat.called} does not serve, and nothing tells whether it is lost.",
                "start it, if its data is there; if it is lost for good, run again with"
                f" -e etcd_member_replace_dead={seat.called}.",
                self.homes.get(seat.id, ""),
            )
        return found

    def _cut_off(self, busy: Set[str]) -> List[Change]:
        """The newcomers of an interrupted run that it was about to bring: whose places are empty already, if they take any."""
        found: List[Change] = []
        for change in self.begun.latest:
            is_about_to = change.comes and not by_id(self.seats, change.goes)
            if is_about_to and change.host in self.members and change.host not in busy:
                busy.add(change.host)
                if not self._is_done(change.host):
                    found.append(self._comes(change.host, why=f"an earlier run was cut off: {change.why}"))
        return found

    def left_behind(self, changes: Sequence[Change]) -> List[Change]:
        """Learners and members that never started, and that are none of these changes: only our own go."""
        found: List[Change] = []
        spoken_for = {change.goes for change in changes} | {url for change in changes for url in change.peer_urls}
        for seat in self.seats:
            if not is_on_its_way(seat) or spoken_for & {seat.id, *seat.peer_urls}:
                continue
            age = self._age(seat)
            if age is not None and age > MAY_STILL_BOOT:
                found += self._goes(seat, f"{seat.called} was left behind by an earlier run", told=True)
                continue
            self.findings.refuse(
                f"{seat.called} at {', '.join(seat.peer_urls)} was added and is no voter yet, and only one at a time can be.",
                f"it may still start: run again in {MAY_STILL_BOOT - age} seconds."
                if age is not None
                else "wait until who has added it is done; or, if nobody is, name it in etcd_member_replace_dead, which makes a"
                " voter of it or of one anew, or in etcd_member_replace_remove.",
            )
        return found

    def vacated(self, ordered: List[Change]) -> List[Change]:
        """All that leave and have no vote, or do not use it, leave before the first one comes: of learners there is one at a
        time, and many versions add nobody while any voter is down.
        """
        gone = [change for change in ordered if _is_idle(change, self.seats)]
        if not gone or gone == ordered[:1]:
            return list(ordered)
        first: List[Change] = []
        for change in gone:
            seat = by_id(self.seats, change.goes) if change.comes else None
            first += self._goes(seat, f"{seat.called} leaves before anybody comes") if seat else [change]
        return [*first, *(change for change in ordered if change.comes or change not in gone)]

    def refuse_doubles(self, changes: Sequence[Change]) -> None:
        for what in ("goes_name", "comes"):
            named = [getattr(change, what) for change in changes if getattr(change, what)]
            for one in sorted({name for name in named if named.count(name) > 1}):
                self.findings.refuse(f"{one} is named for several changes at once.", "name it once.")
        for host in self.wanted.by:
            self._is_known(host, "etcd_member_replace_by")


def _sits(member: MemberFacts, seat: Seat) -> bool:
    return bool(set(member.peer_urls) & set(seat.peer_urls))


# ---- the order ----------------------------------------------------------------------------------------------------------


def in_order(changes: Sequence[Change], seats: Sequence[Seat], zone_of: Callable[[Change], str]) -> List[Change]:
    """Who is dead and leaves, then who is on its way, the places of the dead, who only comes, the followers, and the leader
    last; and of those that wait, never two of one failure domain in a row where another one's can go between.
    """
    waiting = sorted(changes, key=lambda change: _rank(change, seats))
    ordered: List[Change] = []
    last = ""
    while waiting:
        rank = _rank(waiting[0], seats)
        equal = [change for change in waiting if _rank(change, seats) == rank]
        chosen = next((change for change in equal if not last or zone_of(change) != last), equal[0])
        last = zone_of(chosen)
        waiting.remove(chosen)
        ordered.append(chosen)
    return ordered


def _rank(change: Change, seats: Sequence[Seat]) -> int:
    goes, comes = by_id(seats, change.goes), newcomer(seats, change)
    if comes and (goes is None or is_on_its_way(comes)):
        return 1
    if goes is None:
        return 3
    if _is_idle(change, seats):
        return 2 if change.comes else 0
    return 5 if goes.leads else 4


def _is_idle(change: Change, seats: Sequence[Seat]) -> bool:
    """Whether who leaves has no vote, or does not use it."""
    goes = by_id(seats, change.goes)
    return goes is not None and (goes.learner or not goes.healthy)
