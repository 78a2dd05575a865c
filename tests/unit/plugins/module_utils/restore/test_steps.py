# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journals of earlier restores still tell."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Journal, Kind
from ansible_collections.quorum.etcd.plugins.module_utils.core.journals import (
    Elsewhere,
    interrupted_elsewhere,
    open_plans,
)
from ansible_collections.quorum.etcd.plugins.module_utils.restore import steps
from ansible_collections.quorum.etcd.plugins.module_utils.restore.steps import RESTORE, highest_revision, journal_of

DATA = "/var/lib/etcd"


def summary(state_dir, data_dir):
    """As the module answers it."""
    return steps.told(state_dir, data_dir)["journal"]


def restore(state_dir, restore_id, revision, *done, seen=0, data_dir=DATA):
    journal = journal_of(str(state_dir), restore_id)
    journal.open({"member": {"data_dir": data_dir}, "swaps": [], "of": {"revision": revision, "seen": seen}})
    for step in done:
        journal.record(step)


def test_the_highest_revision_is_that_of_any_restore_that_clients_can_have_seen(tmp_path):
    restore(tmp_path, "1", 3000, steps.STOPPING, steps.STARTED, steps.ROLLING_BACK, steps.ROLLED_BACK, seen=20)
    restore(tmp_path, "2", 9000, steps.STAGED, steps.ROLLED_BACK, seen=2000)
    (tmp_path / "restores" / ".lock").write_text("")
    (tmp_path / "restores" / "broken").mkdir()
    (tmp_path / "restores" / "broken" / "plan.json").write_text("{")
    assert highest_revision(str(tmp_path), DATA) == 3000
    restore(tmp_path, "3", 100, steps.STAGED, seen=4000)
    assert highest_revision(str(tmp_path), DATA) == 4000


def test_the_summary_tells_it(tmp_path):
    assert summary(str(tmp_path), DATA) == {}
    restore(tmp_path, "1", 3000, steps.STARTED)
    assert summary(str(tmp_path), DATA)["highest_revision"] == 3000


@pytest.mark.parametrize(
    "line, why",
    [
        ("7", "7 and not an object"),
        ("[]", "a list and not an object"),
        ('{"time": "2026-11-24T03:15:00Z"}', "step is missing"),
        ('{"step": 7}', "step is 7 and not a word"),
        ('{"step": ["staged"]}', "step is a list and not a word"),
    ],
)
def test_a_line_that_is_no_step_is_said_with_its_file(tmp_path, line, why):
    restore(tmp_path, "1", 3000, steps.STOPPING)
    path = tmp_path / "restores" / "1" / "journal.jsonl"
    path.write_text(path.read_text() + line + "\n")
    told = summary(str(tmp_path), DATA)
    assert str(path) in told["problem"] and why in told["problem"] and "move its folder away" in told["next_step"]
    with pytest.raises(EtcdError, match="is no step of a restore"):
        journal_of(str(tmp_path), "1").steps()


@pytest.mark.parametrize("cut", [b'{"step": "stag', b"\0" * 300, b'{"st\xff\xfe', b"[" * 5000, b"NaN", b"1" * 5000])
def test_what_a_power_failure_left_of_a_line_is_no_step(tmp_path, cut):
    restore(tmp_path, "1", 3000, steps.STOPPING)
    path = tmp_path / "restores" / "1" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + cut)
    journal_of(str(tmp_path), "1").record(steps.STOPPED)
    assert journal_of(str(tmp_path), "1").steps() == [steps.PLANNED, steps.STOPPING, steps.STOPPED]


@pytest.mark.parametrize("plan", [b"7", b"[]", b"{", b"\xff", b"[" * 5000, b'{"of": 7}', b'{"of": {"seen": "x"}}', b""])
def test_a_plan_that_is_none_is_said_with_its_file(tmp_path, plan):
    restore(tmp_path, "1", 3000, steps.STARTED)
    restore(tmp_path, "2", 4000, steps.STAGED)
    (tmp_path / "restores" / "2" / "plan.json").write_bytes(plan)
    assert str(tmp_path / "restores" / "2" / "plan.json") in summary(str(tmp_path), DATA)["problem"]
    assert highest_revision(str(tmp_path), DATA) == 3000, "the other journals still tell theirs"


def test_a_member_sees_only_its_own_journals_on_a_host_of_several(tmp_path):
    restore(tmp_path, "1", 3000, steps.STOPPING, steps.STARTED, steps.FINISHED)
    restore(tmp_path, "2", 9000, steps.STOPPING, steps.STARTED, data_dir="/var/lib/etcd-events")
    mine, events = summary(str(tmp_path), "/var/lib/etcd/"), summary(str(tmp_path), "/var/lib/etcd-events")
    assert (mine["restore_id"], mine["open"], mine["highest_revision"]) == ("1", False, 3000)
    assert (events["restore_id"], events["open"], events["highest_revision"]) == ("2", True, 9000)
    assert summary(str(tmp_path), "/var/lib/etcd-west") == {}


def test_the_newest_is_the_last_that_was_begun_whatever_the_clocks_said(tmp_path):
    for restore_id in ("20261124T050000Z-aaaaaaaa", "20261124T040000Z-ffffffff", "20261124T040000Z-00000000"):
        restore(tmp_path, restore_id, 3000, steps.STOPPING, steps.FINISHED)
        assert summary(str(tmp_path), DATA)["restore_id"] == restore_id
    assert summary(str(tmp_path), DATA)["earlier"] == ["20261124T050000Z-aaaaaaaa", "20261124T040000Z-ffffffff"]


def test_journals_of_an_earlier_version_have_no_number_and_are_older_than_those_that_have(tmp_path):
    for restore_id in ("20261124T050000Z", "20261124T060000Z"):
        restore(tmp_path, restore_id, 3000, steps.STOPPING)
        path = tmp_path / "restores" / restore_id / "plan.json"
        plan = json.loads(path.read_text())
        del plan["sequence"], plan["member"]["data_dir"]
        plan["swaps"] = [{"live": DATA}]
        path.write_text(json.dumps(plan))
    assert summary(str(tmp_path), DATA)["restore_id"] == "20261124T060000Z"
    restore(tmp_path, "20261124T030000Z-12345678", 3000, steps.STOPPING)
    assert summary(str(tmp_path), DATA)["restore_id"] == "20261124T030000Z-12345678"


def test_a_data_directory_behind_a_link_is_the_same(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "etcd").symlink_to(tmp_path / "disk")
    restore(tmp_path, "1", 3000, steps.STARTED, data_dir=str(tmp_path / "disk"))
    assert summary(str(tmp_path), str(tmp_path / "etcd"))["restore_id"] == "1"


def test_a_plan_that_does_not_say_whose_it_is_hides_no_restore(tmp_path):
    restore(tmp_path, "1", 3000, steps.STOPPING)
    path = tmp_path / "restores" / "1" / "plan.json"
    path.write_text(json.dumps({"sequence": 1, "swaps": []}))
    assert "does not say of which member it is" in summary(str(tmp_path), DATA)["problem"]


def test_the_open_restores_of_a_host_are_one_a_member(tmp_path):
    restore(tmp_path, "1", 3000, steps.STOPPING, steps.FINISHED)
    restore(tmp_path, "0", 3000, steps.STOPPING)
    restore(tmp_path, "2", 3000, steps.STOPPING, data_dir="/var/lib/etcd-events")
    restore(tmp_path, "3", 3000, steps.STOPPING, steps.FINISHED, data_dir="/var/lib/etcd-west")
    of = [plan["member"]["data_dir"] for plan in open_plans(str(tmp_path))]
    assert sorted(of) == [DATA, "/var/lib/etcd-events"]
    assert [plan["sequence"] for plan in open_plans(str(tmp_path), DATA)] == [2]
    (tmp_path / "restores" / "2" / "plan.json").write_text("{")
    assert open_plans(str(tmp_path)) == []


def test_an_interrupted_restore_of_another_data_directory_is_told_with_its_cluster(tmp_path):
    for name, done in (
        ("old", [steps.STOPPING]),
        ("staged", [steps.STAGED]),
        ("done", [steps.STOPPING, steps.FINISHED]),
    ):
        journal = journal_of(str(tmp_path), name)
        member = {"data_dir": f"/var/lib/{name}"}
        journal.open(
            {"restore_id": name, "member": member, "swaps": [], "of": {"cluster": "etcd", "revision": 1, "seen": 0}}
        )
        for step in done:
            journal.record(step)
    told = [Elsewhere("old", "etcd", "/var/lib/old")]
    assert interrupted_elsewhere(str(tmp_path), DATA, RESTORE) == told
    assert interrupted_elsewhere(str(tmp_path), "/var/lib/old", RESTORE) == []


def test_a_journal_line_cut_off_by_a_power_failure_is_no_step(tmp_path):
    journal = journal_of(str(tmp_path), "1")
    journal.open({"member": {"data_dir": "/data"}, "swaps": []})
    journal.record(steps.STAGED)
    with open(os.path.join(journal.folder, "journal.jsonl"), "a") as stream:
        stream.write('{"step": "stop')
    assert journal.steps() == [steps.PLANNED, steps.STAGED]
    journal.record(steps.STOPPING)
    assert summary(str(tmp_path), "/data")["touched"] is True


def test_the_newest_job_tells_who_was_a_member_before_where_its_plan_does(tmp_path):
    restore(tmp_path, "1", 3000)
    assert steps.told(str(tmp_path), DATA)["newest_job"]["was"] == {}
    was = {"m3": ["https://10.0.0.3:2379"]}
    plan = {"job": "member_replace", "member": {"data_dir": DATA}, "of": {"was": was}}
    Journal(str(tmp_path), "20261128T210000Z-0a1b2c3d", Kind(job="member_replace")).open(plan)
    assert steps.told(str(tmp_path), DATA)["newest_job"]["was"] == was
