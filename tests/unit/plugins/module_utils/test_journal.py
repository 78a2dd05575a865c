# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journals of earlier restores still tell."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils import journal as steps
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
