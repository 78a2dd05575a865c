# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer that fails: it loses its seat whatever happens to its process, and the run says why."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Journal
from ansible_collections.quorum.etcd.plugins.module_utils.core.journals import newest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.membership import Changed, Membership
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.members import replacing
from ansible_collections.quorum.etcd.plugins.module_utils.members.sequence import (
    ADD,
    CATCH_UP,
    DONE,
    PROMOTE,
    RECOVER,
    START,
    Action,
    Seat,
)
from ansible_collections.quorum.etcd.plugins.module_utils.members.sequence import Change as Wanted
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.members.test_member_replace import (
    DEAD,
    STOPPED,
    plan,
    seat,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "etcd"))
from living import Living, peer, time_jumps  # noqa: E402

NEW = Seat("a9", "", ("http://10.0.0.3:2380",), learner=True, started=False, healthy=False)
CHANGE = Wanted("h3", "a3", "m3", True, "m3", ["http://10.0.0.3:2380"], "m3 is dead")


class Service:
    """What starts and stops the newcomer; ``fails``: which of both does not work, and how."""

    starts_at_once = True

    def __init__(self, **fails):
        self.fails, self.did = fails, []

    def state(self):
        return "stopped"

    def ascent(self):
        return "unknown"

    def stop(self, _timeout):
        self._do("stop")

    def start(self):
        self._do("start")

    def at_boot(self, _starts):
        """As the manager has it."""

    def demand_responsive(self):
        if "held" in self.fails:
            raise self.fails["held"]

    def _do(self, what):
        self.did.append(what)
        if what in self.fails:
            raise self.fails[what]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The newcomer's host, with a membership that only writes down what is asked of it."""
    told = plan([seat(1), seat(2), seat(3, **DEAD)], dead=["m3"], changed={3: STOPPED})["hosts"]["h3"]
    told["member"]["state_dir"], told["member"]["data_dir"] = str(tmp_path), str(tmp_path / "data")
    made = replacing.MemberReplace(told, lambda argv, env: None, None)
    made.journal.open(dict(told))
    made.removed = []
    member = type("Membership", (), {"remove": lambda _self, member_id: made.removed.append(member_id)})
    monkeypatch.setattr(made, "_membership", member)
    monkeypatch.setattr(made, "_prepare", lambda *_all: None)
    return made


def start(job, service):
    job.service = service
    job._start(CHANGE, Action(START, NEW), [NEW])


def test_one_that_cannot_be_started_loses_its_seat_and_is_tried_again_then_told(job):
    refused = EtcdError("'start' failed with exit code 1: no such flag.", "correct etcd_start_command.")
    service = Service(start=refused)
    start(job, service)
    assert (job.removed, service.did) == (["a9"], ["start", "stop"])
    with pytest.raises(
        EtcdError, match="m3 was added 2 times .*: 'start' failed .* no such flag. It is no member now"
    ) as said:
        start(job, service)
    assert said.value.next_step == "correct etcd_start_command." and job.removed == ["a9", "a9"]


def test_a_full_disk_is_no_reason_to_leave_a_seat_behind(job, monkeypatch):
    def full(*_all):
        raise OSError(28, "No space left on device", "/var/lib/etcd")

    monkeypatch.setattr(job, "_prepare", full)
    start(job, Service())
    assert job.removed == ["a9"]
    assert "No space left on device" in str(job.journal.entries()[-1].more["why"])


def test_one_that_is_held_still_loses_its_seat_all_the_same(job):
    held = EtcdError("its etcd (pid 7) is held still by a signal.", "kill -KILL 7")
    service = Service(stop=EtcdError("still running", "see the log"), held=held)
    job.service = service
    with pytest.raises(EtcdError, match="m3 did not become a voter: it hangs. .*held still") as said:
        job._evict(CHANGE, NEW, EtcdError("it hangs.", ""))
    assert job.removed == ["a9"] and said.value.next_step == "kill -KILL 7"


def test_what_earlier_runs_have_added_is_remembered_although_the_newest_has_added_nothing(job, tmp_path):
    job.journal.record("added", member="a9", name="m3")
    later = Journal(str(tmp_path), "20261124T031600Z-x", job.journal.kind)
    later.open({**job.plan, "restore_id": "20261124T031600Z-x"})
    found = newest(str(tmp_path), str(tmp_path / "data"))
    assert found.restore_id == "20261124T031600Z-x" and list(found.added) == ["a9"]
    assert found.plan["of"]["changes"][0]["comes"] == "m3"
    later.record("finished")
    assert newest(str(tmp_path), str(tmp_path / "data")).plan == {}


def test_the_own_turn_is_not_missed_because_the_newcomer_before_does_not_serve_for_a_moment(job, monkeypatch):
    other = Wanted("h1", comes="m4", peer_urls=["http://10.0.0.4:2380"])
    job.of = replace(job.of, changes=[other, CHANGE])
    kinds = iter([RECOVER, RECOVER, DONE, ADD])
    asking(job, Living((1, 2, 3)), monkeypatch)
    monkeypatch.setattr(job, "_seats", lambda: [])
    monkeypatch.setattr(replacing, "next_action", lambda *_all: Action(next(kinds)))
    assert job._turn() == CHANGE
    monkeypatch.setattr(replacing, "next_action", lambda *_all: Action(START, NEW))
    assert job._turn() is None, "somebody else is at it"


# ---- what is judged before it is done: the list of now, and all of it ---------------------------------------------------


def asking(made, etcd, monkeypatch):
    """The membership of ``etcd``; the clock jumps where somebody sleeps."""
    time_jumps(monkeypatch)
    to = etcd.connection(1, 2, 3)
    monkeypatch.setattr(
        made,
        "_membership",
        lambda: Membership(etcd, etcd.tools, to, knock=etcd.knock, handshake=lambda *_: ""),
    )


@pytest.fixture
def leaving(tmp_path, monkeypatch):
    """The host of m2, which moves to h4; ``.etcd`` is the cluster, in which nothing is done yet."""
    told = plan([seat(1), seat(2), seat(3)], hosts=(1, 2, 3, 4), changed={4: STOPPED}, move={"m2": "h4"})["hosts"]["h2"]
    told["member"]["state_dir"], told["member"]["data_dir"] = str(tmp_path), str(tmp_path / "data")
    made = replacing.MemberReplace(told, lambda argv, env: None, None)
    made.journal.open(dict(told))
    made.of = replace(made.of, changes=[replace(made.of.changes[0], goes="2")])
    made.service, made.etcd = Service(), Living((1, 2, 3), version=Version(3, 5, 35))  # it has no list but the quorum's
    monkeypatch.setattr(replacing, "make_room", lambda *_all: ["aside"])
    monkeypatch.setattr(replacing, "apply_edits", lambda *_all: None)
    asking(made, made.etcd, monkeypatch)
    return made


def moved(etcd, *gone):
    etcd.members[4] = {"ID": 4, "peerURLs": [peer(4)]}
    etcd.start(4)
    for number in gone:
        del etcd.members[number]


def test_who_is_a_member_still_is_not_stopped(leaving):
    with pytest.raises(EtcdError, match="m2 moves to h4; the next step would be: add m4 as a learner") as said:
        leaving.retire()
    assert "run again" in said.value.next_step
    moved(leaving.etcd)
    with pytest.raises(EtcdError, match="m2 moves to h4; the next step would be: remove m2"):
        leaving.retire()
    leaving.of = replace(leaving.of, changes=[])
    with pytest.raises(EtcdError, match="m2 is a member still"):
        leaving.retire()
    assert leaving.service.did == [] and leaving.journal.entries()[-1].step != "retired"


def test_who_has_left_by_the_whole_list_is_retired(leaving):
    moved(leaving.etcd, 2)
    leaving.etcd.unreadable = 1  # one that came too late tells nothing, and is asked for again
    assert leaving.retire() and leaving.service.did == ["stop"]


def test_where_no_list_can_be_had_nobody_is_stopped(leaving):
    moved(leaving.etcd, 2)
    leaving.etcd.unreadable = 1_000_000
    with pytest.raises(EtcdError, match="did not tell its members"):
        leaving.retire()
    assert leaving.service.did == []


def test_the_configuration_names_the_members_of_a_whole_list(leaving, monkeypatch):
    leaving.own, said = replace(leaving.own, retires=False, settling=leaving.own.config), []
    settled = type("Settled", (), {"files": (), "by_hand": ()})
    monkeypatch.setattr(replacing, "settle", lambda _edits, members, *_all: said.append(members) or settled)
    leaving.etcd.unreadable = 1
    leaving.settle()
    assert said == [f"m1={peer(1)},m2={peer(2)},m3={peer(3)}"]


def test_a_removal_of_one_that_is_silent_is_not_done_because_no_list_names_it(leaving):
    leaving.of = replace(leaving.of, changes=[Wanted("h2", "3", "m3", True, why="m3 leaves")])
    leaving.etcd.down, leaving.etcd.unreadable = {3}, 1
    assert leaving._turn().goes == "3"


def test_a_change_that_was_passed_over_is_told_by_who_reports_also_where_nobody_retires(leaving):
    leaving.own = replace(leaving.own, retires=False)
    assert not leaving.retire(), "it neither retires nor reports"
    leaving.part = replace(leaving.part, reports=True)
    with pytest.raises(EtcdError, match="the next step would be: add m4 as a learner"):
        leaving.retire()
    moved(leaving.etcd, 2)
    assert not leaving.retire() and leaving.service.did == []


def test_the_own_turn_is_not_missed_because_a_list_is_one_of_a_moment_ago(job, monkeypatch):
    job.of = replace(job.of, changes=[Wanted("h1", comes="m4", peer_urls=["http://10.0.0.4:2380"]), CHANGE])
    asking(job, Living((1, 2, 3)), monkeypatch)
    kinds = iter([PROMOTE, DONE, ADD])
    monkeypatch.setattr(job, "_seats", lambda: [])
    monkeypatch.setattr(replacing, "next_action", lambda *_all: Action(next(kinds), NEW))
    assert job._turn() == CHANGE


# ---- a newcomer that comes nearer, and one that does not ----------------------------------------------------------------

LEARNER = replace(NEW, name="m3", started=True, healthy=True)


class Running(Service):
    def state(self):
        return "running"


def watched(job, monkeypatch, tmp_path, lags, kind=CATCH_UP, files=lambda _second: {}, service=Running):
    """Look at a newcomer each second, and give the seconds after which it was evicted; None where it never was.

    ``lags``: how far it is behind, by second; ``files``: the sizes of the files in its directory, by second.
    """
    asking(job, Living((1, 2, 3)), monkeypatch)
    job.service, evicted = service(), []
    monkeypatch.setattr(job, "_evict", lambda *_all: evicted.append(True))
    monkeypatch.setattr(replacing, "LOOK", 1.0)
    for second in range(600):
        for name, size in files(second).items():
            path = tmp_path / "data" / "member" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        job._await(CHANGE, Action(kind, replace(LEARNER, lag=lags(second))), [])
        if evicted:
            return second
    return None


@pytest.mark.parametrize(("starts_at_once", "waited"), [(True, replacing.FAILING), (False, 120)])
def test_one_that_has_no_process_is_given_the_time_that_its_manager_may_take(
    job, monkeypatch, tmp_path, starts_at_once, waited
):
    """A kubelet that fetches the image first, or has just been done with a pod of that name, is no failure."""

    class Missing(Service):
        def state(self):
            return "failed"

    monkeypatch.setattr(Missing, "starts_at_once", starts_at_once)
    evicted = watched(job, monkeypatch, tmp_path, lambda _second: None, START, service=Missing)
    assert job.of.patience == 120 and waited <= evicted <= waited + 2


def applies(second):
    """The files of one that writes what it is sent, however much is left."""
    return {"snap/db": 100 + second, "wal/0.wal": 100 + second}


def test_one_that_falls_behind_is_evicted_although_it_is_nearer_now_and_then(job, monkeypatch, tmp_path):
    def lags(second):
        return 5000 + 10 * second + (200 if second % 2 else 0)

    assert watched(job, monkeypatch, tmp_path, lags) < 2 * job.of.patience


def test_one_that_writes_what_it_is_sent_is_evicted_all_the_same(job, monkeypatch, tmp_path):
    assert watched(job, monkeypatch, tmp_path, lambda second: 5000 + second, files=applies) < 2 * job.of.patience


@pytest.mark.parametrize("kind", [START, CATCH_UP])
def test_one_whose_lag_nobody_tells_is_evicted_although_its_files_grow(job, monkeypatch, tmp_path, kind):
    assert watched(job, monkeypatch, tmp_path, lambda _second: None, kind, applies) < 2 * job.of.patience


def test_one_that_catches_up_slowly_is_waited_for(job, monkeypatch, tmp_path):
    assert watched(job, monkeypatch, tmp_path, lambda second: 100_000 - 2 * second) is None


@pytest.mark.parametrize("kind", [START, CATCH_UP])
@pytest.mark.parametrize("name", ["snap/tmp123", "snap/0000000000000009.snap.db"])
def test_one_that_is_sent_a_whole_snapshot_is_waited_for(job, monkeypatch, tmp_path, kind, name):
    assert watched(job, monkeypatch, tmp_path, lambda _second: None, kind, lambda second: {name: 100 + second}) is None


def test_a_snapshot_that_begins_anew_again_and_again_is_no_way_nearer(job, monkeypatch, tmp_path):
    def again(second):
        return {"snap/tmp123": second % 50}

    assert watched(job, monkeypatch, tmp_path, lambda _second: None, files=again) < 2 * job.of.patience


def test_one_that_removes_itself_each_time_is_not_added_without_end(job, monkeypatch):
    added = []

    def add(*_all, **_more):
        added.append(True)
        return Changed(f"a{len(added)}", True, "")

    monkeypatch.setattr(job, "_membership", type("Membership", (), {"add": add}))
    for _try in range(job.of.tries):
        job._add(CHANGE, Action(ADD), [])
    with pytest.raises(EtcdError, match="m3 was added 2 times, and is no member any more") as said:
        job._add(CHANGE, Action(ADD), [])
    assert len(added) == 2 and "log" in said.value.next_step
