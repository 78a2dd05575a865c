# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is verified and restored before anything is stopped."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.restore import steps
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import Host


def test_another_revision_than_the_planned_one_is_found_before_anything_is_stopped(host):
    host.restored_revision = 999
    with pytest.raises(EtcdError, match="has revision 999, and 1000 was planned"):
        host.restore().stage()
    assert host.db() == "old" and host.service.calls == [] and not os.path.exists(host.staged)


def test_a_member_that_would_not_stop_is_found_before_any_other_is_stopped(host):
    """Staging ends before any host begins to stop."""
    host.service.halted = True
    with pytest.raises(EtcdError, match="held still"):
        host.restore().stage()
    assert host.db() == "old" and host.service.calls == []


def test_bytes_that_are_not_the_planned_ones_are_refused(host):
    with pytest.raises(EtcdError, match="is not the snapshot that was planned"):
        host.restore(snapshot={**host.plan()["snapshot"], "sha256": "00" * 32, "size": 1}).stage()
    assert not os.path.exists(host.staged)


def test_a_half_made_staging_is_made_again(host):
    os.makedirs(os.path.join(host.staged, "member", "snap"))
    assert host.restore().stage()
    assert not os.path.exists(os.path.join(host.staged, "member", "snap"))


def test_a_plan_of_what_another_restore_has_stopped_since_is_not_followed(host):
    first = host.restore()
    assert first.stage() and first.stop()
    second = host.restore(restore_id="2")
    with pytest.raises(EtcdError, match="the restore 1 has begun to stop this member since"):
        second.stage()
    assert steps.latest(str(host.root / "state"), str(host.live)).folder == first.journal.folder, (
        "it is still the one to be completed"
    )
    assert first.rollback() and host.db() == "old"


def ending(host, **changes):
    """The snapshot of the plan, with the SHA-256 at its end."""
    return {**host.plan()["snapshot"], "trailer": host.snapshot.read_bytes()[-32:].hex(), **changes}


def test_what_ends_as_planned_is_left_to_the_tool_to_verify(host):
    assert host.restore(snapshot=ending(host)).stage() and host.reads == []


@pytest.mark.parametrize("changes", [{"trailer": "00" * 32}, {"trailer": ""}])
def test_what_the_tool_cannot_vouch_for_is_read(host, changes):
    assert host.restore(snapshot=ending(host, **changes)).stage() and host.reads


def test_a_snapshot_that_has_vanished_is_not_the_planned_one(host):
    restore = host.restore(snapshot=ending(host))
    host.snapshot.unlink()
    with pytest.raises(EtcdError, match="is not the snapshot that was planned"):
        restore.stage()


def test_the_slow_way_reads_it_before_the_stop(tmp_path, monkeypatch):
    host = Host(tmp_path, monkeypatch, slow=True)
    assert host.restore(snapshot=ending(host)).stage() and host.reads


@pytest.mark.parametrize("damaged", [True, False])
def test_where_the_tool_fails_the_bytes_are_named_if_they_are_to_blame(host, damaged):
    snapshot = ending(host, transfer=True)
    if damaged:
        host.snapshot.write_bytes(b"\1" + host.snapshot.read_bytes()[1:])
    host.run = lambda argv, env: Result(1, "", "it said so")
    with pytest.raises(EtcdError, match="is not the snapshot that was planned" if damaged else "it said so"):
        host.restore(snapshot=snapshot).stage()
    assert host.snapshot.exists() is not damaged, "what is damaged must be brought anew"
    assert not os.path.exists(host.staged)
