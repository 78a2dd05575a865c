# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journals of earlier restores still tell."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils import journal as steps
from ansible_collections.quorum.etcd.plugins.module_utils.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.journal import Journal, highest_revision, summary


def restore(state_dir, restore_id, revision, *done, seen=0):
    journal = Journal(str(state_dir), restore_id)
    journal.open({"of": {"revision": revision, "seen": seen}})
    for step in done:
        journal.record(step)


def test_the_highest_revision_is_that_of_any_restore_that_clients_can_have_seen(tmp_path):
    restore(tmp_path, "1", 3000, steps.STOPPING, steps.STARTED, steps.ROLLING_BACK, steps.ROLLED_BACK, seen=20)
    restore(tmp_path, "2", 9000, steps.STAGED, steps.ROLLED_BACK, seen=2000)
    (tmp_path / "restores" / ".lock").write_text("")
    (tmp_path / "restores" / "broken").mkdir()
    (tmp_path / "restores" / "broken" / "plan.json").write_text("{")
    assert highest_revision(str(tmp_path)) == 3000
    restore(tmp_path, "3", 100, steps.STAGED, seen=4000)
    assert highest_revision(str(tmp_path)) == 4000


def test_the_summary_tells_it(tmp_path):
    assert summary(str(tmp_path)) == {}
    restore(tmp_path, "1", 3000, steps.STARTED)
    assert summary(str(tmp_path))["highest_revision"] == 3000


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
    told = summary(str(tmp_path))
    assert str(path) in told["problem"] and why in told["problem"] and "move its folder away" in told["next_step"]
    with pytest.raises(EtcdError, match="is no step of a restore"):
        Journal(str(tmp_path), "1").steps()


@pytest.mark.parametrize("cut", [b'{"step": "stag', b"\0" * 300, b'{"st\xff\xfe', b"[" * 5000, b"NaN", b"1" * 5000])
def test_what_a_power_failure_left_of_a_line_is_no_step(tmp_path, cut):
    restore(tmp_path, "1", 3000, steps.STOPPING)
    path = tmp_path / "restores" / "1" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + cut)
    Journal(str(tmp_path), "1").record(steps.STOPPED)
    assert Journal(str(tmp_path), "1").steps() == [steps.PLANNED, steps.STOPPING, steps.STOPPED]


@pytest.mark.parametrize("plan", [b"7", b"[]", b"{", b"\xff", b"[" * 5000, b'{"of": 7}', b'{"of": {"seen": "x"}}', b""])
def test_a_plan_that_is_none_is_said_with_its_file(tmp_path, plan):
    restore(tmp_path, "1", 3000, steps.STARTED)
    restore(tmp_path, "2", 4000, steps.STAGED)
    (tmp_path / "restores" / "2" / "plan.json").write_bytes(plan)
    assert str(tmp_path / "restores" / "2" / "plan.json") in summary(str(tmp_path))["problem"]
    assert highest_revision(str(tmp_path)) == 3000, "the other journals still tell theirs"
