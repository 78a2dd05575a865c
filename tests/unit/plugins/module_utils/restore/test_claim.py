# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: which one may take a member, and what the other is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.claim import SILENCE, ThisRun, take
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Journal, Kind
from ansible_collections.quorum.etcd.plugins.module_utils.core.journals import open_plans
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.steps import STAGED, journal_of, told
from ansible_collections.quorum.etcd.plugins.plugin_utils.runs import is_alive, lives, own_name
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    hosts,
    options,
    with_journals,
)

DATA, EVENTS = "/var/lib/etcd", "/var/lib/etcd-events"


def run(name):
    return {
        "run": name,
        "who": f"{name}@desk",
        "since": "2026-11-24T03:00:00Z",
        "controller": "desk/1",
        "process": "7 99",
    }


def planned(tmp_path, name, seen="", restore_id="", data_dir=DATA):
    """A run's part of the plan on this host."""
    return {
        "restore_id": restore_id or f"20261124T030000Z-{name}",
        "member": {"state_dir": str(tmp_path), "data_dir": data_dir},
        "claim": {**run(name), "seen": seen},
    }


def begin(plan, phase="claim"):
    journal = journal_of(plan["member"]["state_dir"], plan["restore_id"])
    take(journal, plan, phase, begins=phase in ("claim", "stage"))
    if phase == "claim":
        journal.open(plan)
    return journal


def test_of_two_runs_that_were_planned_together_one_goes_on(tmp_path):
    first, second = planned(tmp_path, "anna"), planned(tmp_path, "bert")
    begin(first).record(STAGED)
    with pytest.raises(
        EtcdError, match=r"restore 20261124T030000Z-anna by anna@desk, since 2026-11-24.*at 'staged'"
    ) as refused:
        begin(second)
    assert "run again" in refused.value.next_step
    assert not os.path.exists(journal_of(str(tmp_path), second["restore_id"]).folder), "the loser leaves nothing"
    for phase in ("claim", "stop", "rollback"):
        take(journal_of(str(tmp_path), first["restore_id"]), first, phase, begins=False)


def test_a_run_that_has_seen_the_dead_one_takes_over_and_then_that_is_refused_in_every_phase(tmp_path):
    first = planned(tmp_path, "anna")
    begin(first)
    seen = told(str(tmp_path), DATA)["newest_job"]["holder"]
    begin(planned(tmp_path, "bert", seen, first["restore_id"]), "stage")
    for phase in ("stage", "stop", "cutover", "prove", "judge", "finish", "rollback"):
        with pytest.raises(EtcdError, match="by bert@desk.*took over"):
            begin(first, phase)


def test_a_run_that_was_planned_before_another_one_was_finished_is_refused(tmp_path):
    begin(planned(tmp_path, "anna")).record("finished")
    with pytest.raises(EtcdError, match="'finished'"):
        begin(planned(tmp_path, "bert"))


def test_two_clusters_with_one_state_folder_do_not_see_each_other(tmp_path):
    begin(planned(tmp_path, "anna"))
    begin(planned(tmp_path, "bert", data_dir=EVENTS))
    assert told(str(tmp_path), DATA)["newest_job"]["holder"] == "anna"
    assert told(str(tmp_path), EVENTS)["newest_job"]["holder"] == "bert"


def test_a_journal_of_an_earlier_version_and_a_damaged_claim_are_held_by_their_restore(tmp_path):
    journal = begin(planned(tmp_path, "anna"))
    with open(os.path.join(journal.folder, "claim.json"), "w") as claim:
        claim.write("{")
    found = told(str(tmp_path), DATA)["newest_job"]
    assert (found["holder"], found["claim"]) == ("20261124T030000Z-anna", None)
    begin(planned(tmp_path, "bert", found["holder"], "20261124T030000Z-anna"), "stage")
    assert journal.holder() == "bert"


def test_a_rollback_is_not_kept_from_by_a_claim_that_cannot_be_written(tmp_path, monkeypatch):
    begin(planned(tmp_path, "anna"))

    def fail(self, claim):
        raise EtcdError("full", "make room")

    monkeypatch.setattr(Journal, "give_to", fail)
    take(
        journal_of(str(tmp_path), "20261124T030000Z-anna"),
        planned(tmp_path, "bert", "anna", "20261124T030000Z-anna"),
        "rollback",
        begins=False,
    )


def test_a_phase_at_work_is_seen(tmp_path):
    journal = begin(planned(tmp_path, "anna"))
    assert not journal.signs_of_life()["at_work"]
    with journal.at_work():
        assert told(str(tmp_path), DATA)["newest_job"]["claim"]["at_work"]
    after = journal.signs_of_life()
    assert not after["at_work"] and 0 <= after["age"] < 5


def test_whatever_the_job_one_run_is_at_work(tmp_path):
    """A restore, another job, and a rollback of that restore, which is then not the newest of the member."""
    begin(planned(tmp_path, "anna")).record("finished")
    other = {**planned(tmp_path, "bert", "anna"), "job": "switch_leader", "stops": False}
    journal = Journal(str(tmp_path), other["restore_id"], Kind(job="switch_leader"))
    take(journal, other, "move", begins=True)
    journal.open(other)
    found = told(str(tmp_path), DATA)
    assert (found["newest_job"]["job"], found["newest_job"]["holder"]) == ("switch_leader", "bert")
    assert found["journal"]["restore_id"] == "20261124T030000Z-anna" and not found["journal"]["open"]
    assert open_plans(str(tmp_path)) == [], "it has stopped nobody"
    with pytest.raises(EtcdError, match="switch_leader 20261124T030000Z-bert by bert@desk"):
        begin(planned(tmp_path, "carl", "anna"))
    back = [planned(tmp_path, who, "bert", "20261124T030000Z-anna") for who in ("carl", "dora")]
    begin(back[0], "stop")
    with pytest.raises(EtcdError, match="by carl@desk.*took over"):
        begin(back[1], "stop")


def claimed(**changes):
    return {**run("anna"), "seen": "2026-11-24T03:01:00Z", "at_work": False, "age": 5, **changes}


@pytest.mark.parametrize(
    ("claim", "runs", "refused"),
    [
        (claimed(), {}, "seconds after it was last seen"),
        (claimed(age=SILENCE), {}, ""),
        (claimed(age=-30), {}, ""),
        (claimed(age=SILENCE * 9, at_work=True), {}, "wait until it has ended"),
        (claimed(age=SILENCE * 9), {"anna": True}, "process 7 on this controller"),
        (claimed(at_work=True), {"anna": False}, ""),
        (None, {}, ""),
    ],
)
@pytest.mark.parametrize("touched", [True, False])
def test_the_plan_refuses_while_another_run_lives(claim, runs, refused, touched):
    first = make_plan(hosts(), options())
    journal = {"step": "staged", "claim": claim, "touched": touched}
    plan = make_plan(with_journals(first, host2=journal), options(run=ThisRun(run("bert"), runs)))
    said = [f"{item['host']}: {item['cause']} {item['next_step']}" for item in plan["refusals"]]
    if not refused:
        assert said == [] and plan["hosts"]["host2"]["claim"] == {**run("bert"), "seen": "run-1"}
    else:
        assert len(said) == 1 and said[0].startswith("host2: another run is at work on this cluster: restore ")
        assert "by anna@desk, since 2026-11-24T03:00:00Z, last seen at 'staged' at 2026-11-24T03:01:00Z." in said[0]
        assert refused in said[0]


def test_a_restore_that_is_closed_keeps_nobody_away():
    first = make_plan(hosts(), options())
    given = with_journals(first, all={"step": "finished", "open": False, "claim": claimed()})
    assert make_plan(given, options(run=ThisRun(run("bert")), again=True))["refusals"] == []


def test_whether_a_run_of_this_controller_lives_is_seen_at_its_process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        began = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert is_alive(f"{process.pid} {began}") and is_alive(f"{process.pid} -")
        assert not is_alive(f"{process.pid} {int(began) + 1}"), "its number is another's by now"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(f"{process.pid} {began}"), "killed, and not buried yet"
    for wrong in ("", "x 1", "0 1", "-1 1", f"{1 << 40} -"):
        assert not is_alive(wrong)


def test_of_what_hosts_say_only_claims_of_this_controller_are_looked_at():
    mine = own_name()
    given = [mine, {**mine, "run": "other", "controller": "x"}, {"run": 1}, None]
    found = {str(number): {"member": {"newest_job": {"claim": claim}}} for number, claim in enumerate(given)}
    assert lives({**found, "gone": {"member": None}}) == {mine["run"]: True}
