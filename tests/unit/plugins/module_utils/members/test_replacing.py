# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer that fails: it loses its seat whatever happens to its process, and the run says why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Journal
from ansible_collections.quorum.etcd.plugins.module_utils.core.journals import newest
from ansible_collections.quorum.etcd.plugins.module_utils.members import replacing
from ansible_collections.quorum.etcd.plugins.module_utils.members.sequence import (
    ADD,
    DONE,
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

NEW = Seat("a9", "", ("http://10.0.0.3:2380",), learner=True, started=False, healthy=False)
CHANGE = Wanted("h3", "a3", "m3", True, "m3", ["http://10.0.0.3:2380"], "m3 is dead")


class Service:
    """What starts and stops the newcomer; ``fails``: which of both does not work, and how."""

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
    monkeypatch.setattr(job, "_seats", lambda: [])
    monkeypatch.setattr(replacing, "next_action", lambda *_all: Action(next(kinds)))
    monkeypatch.setattr(replacing.time, "sleep", lambda _seconds: None)
    assert job._turn() == CHANGE
    monkeypatch.setattr(replacing, "next_action", lambda *_all: Action(START, NEW))
    assert job._turn() is None, "somebody else is at it"
