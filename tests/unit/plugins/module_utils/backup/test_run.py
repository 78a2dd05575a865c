# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a backup is due, and what is recorded of a run that could make none."""

from __future__ import annotations

import errno
import json
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup import run as run_room
from ansible_collections.quorum.etcd.plugins.module_utils.backup.killed import BACKUP, DRILL, LOOK, REMOVAL
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import NAME, Busy, locked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import DRILLS
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import BACKUPS, FAILED, NOT_ITS_TURN, PRUNES
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import DEFAULT
from ansible_collections.quorum.etcd.plugins.module_utils.backup.run import (
    ELECTION,
    LONGEST,
    Job,
    back_up,
    is_current,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Tools
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import snapshot as a_snapshot

NOW = 1795492000.0  # 2026-11-24T03:46:40Z


def view(revision=7, index=20, members=("a1", "a2"), complete=True):
    seen = [{"id": one, "is_learner": False, "raft_applied_index": index - n} for n, one in enumerate(members)]
    return view_of({"revision": revision, "members": seen, "members_complete": complete})


def snapshot(revision=7, index=20, members=("a1", "a2"), age=60):
    listed = [{"id": one, "is_learner": False} for one in members]
    taken = rfc3339(NOW - age)
    return a_snapshot(revision=revision, consistent_index=index, members=listed, taken_at=taken, age=max(0, age))


@pytest.mark.parametrize(
    "newest, seen, current",
    [
        (snapshot(), view(), True),
        (snapshot(), view(revision=8, index=21), False),
        (snapshot(revision=9), view(), False),  # old data was put back
        (snapshot(), view(members=("a1", "a3")), False),
        (snapshot(), view(members=("a1",)), False),
        (snapshot(), view(members=("a1",), complete=False), True),  # without a quorum nothing can be written
        (snapshot(age=40 * LONGEST), view(), True),  # raft says that nothing at all has happened
        (snapshot(index=19), view(), True),  # a login, a user, a lease
        (snapshot(index=19, age=LONGEST), view(), False),
        (
            snapshot(index=19, age=-60),
            view(),
            False,
        ),  # of the future, since the clock was set back: it would never grow old
        (snapshot(age=-60), view(), True),
    ],
)
def test_a_new_one_is_due_where_something_may_have_changed(newest, seen, current):
    assert is_current(newest, seen, NOW) is current


def job(tmp_path, **more):
    return Job("etcd", str(tmp_path / "backups"), str(tmp_path / "state"), DEFAULT, **more)


def nothing_runs(argv, env):
    raise AssertionError(f"{argv} was run")


def attempted(tmp_path, **more):
    return back_up(nothing_runs, Tools(), Connection(["http://127.0.0.1:1"]), job(tmp_path, **more), clock=lambda: NOW)


def test_one_that_fails_is_recorded_with_its_cause_and_the_next_step(tmp_path):
    attempt = attempted(tmp_path)
    assert attempt.result == FAILED and "etcdctl is missing" in attempt.cause and "install etcdctl" in attempt.next_step
    assert attempt.at == "2026-11-24T03:46:40Z"
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == [attempt]


def test_a_folder_that_cannot_be_made_is_recorded_too(tmp_path):
    (tmp_path / "backups").write_text("a file")
    attempt = attempted(tmp_path)
    assert attempt.result == FAILED and "backups cannot be created" in attempt.cause
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == [attempt]


def test_one_that_was_killed_is_recorded_by_the_next(tmp_path):
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / NAME).write_text('{"host": "m1", "pid": 5, "since": "2026-11-24T03:16:00Z"}')
    attempted(tmp_path)
    _own, killed = BACKUPS.last(str(tmp_path / "state"), "etcd")
    assert (killed.at, killed.host, killed.result) == ("2026-11-24T03:16:00Z", "m1", FAILED)
    assert "process 5 of m1 ended in the middle of its backup" in killed.cause


def test_what_was_killed_is_recorded_as_what_it_was(tmp_path):
    """Of whichever cluster has the same folder."""
    (tmp_path / "backups").mkdir()
    note = {"host": "m1", "pid": 5, "since": "2026-11-24T03:16:00Z", "cluster": "shop"}
    state = str(tmp_path / "state")
    for work in (REMOVAL, LOOK, DRILL, BACKUP, "something newer"):
        (tmp_path / "backups" / NAME).write_text(json.dumps({**note, "work": work}))
        attempted(tmp_path)
    assert [one.cause for one in BACKUPS.last(state, "etcd") if "killed" in one.cause] == []
    for log, work in ((BACKUPS, BACKUP), (PRUNES, REMOVAL), (DRILLS, DRILL)):
        (killed,) = log.last(state, "shop")
        assert (killed.at, killed.result) == (note["since"], FAILED)
        assert f"process 5 of m1 ended in the middle of its {work}: it was killed" in killed.cause


def test_one_that_is_told_to_end_says_so_itself_and_once(tmp_path, monkeypatch):
    def end(*_given, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run_room, "_attempt", end)
        attempted(tmp_path)
    (ended,) = BACKUPS.last(str(tmp_path / "state"), "etcd")
    assert (ended.result, ended.next_step) == (FAILED, "run it again.")
    assert "was interrupted in its backup" in ended.cause
    attempted(tmp_path)
    assert len(BACKUPS.last(str(tmp_path / "state"), "etcd")) == 2


def test_where_another_is_at_work_nothing_is_done_or_recorded(tmp_path):
    (tmp_path / "backups").mkdir()
    with locked(str(tmp_path / "backups")), pytest.raises(Busy):
        attempted(tmp_path)
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == []


def test_what_cannot_be_recorded_is_said(tmp_path, monkeypatch):
    def full(_state_dir, _attempt):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BACKUPS, "add", full)
    attempt = attempted(tmp_path)
    assert "etcdctl is missing" in attempt.cause
    assert "could not be recorded in" in attempt.concerns[0] and "No space left" in attempt.concerns[0]


class Tries:
    """``_made``, which fails as often as it is told to, and what came between."""

    def __init__(self, monkeypatch, *failures):
        self.failures, self.done = list(failures), []
        monkeypatch.setattr(run_room, "_made", self.made)
        monkeypatch.setattr(run_room.time, "sleep", self.done.append)

    def made(self, *given):
        self.done.append("tried")
        if self.failures:
            raise self.failures.pop()
        return replace(given[-1], result=NOT_ITS_TURN)


CHANGED = EtcdError("etcdctl snapshot save failed with exit code 5: etcdserver: leader changed", "look.", rc=5)
SILENT = EtcdError("no member answers.", "start one.", silent=True)


@pytest.mark.parametrize("failure", [CHANGED, SILENT])
def test_an_election_or_a_source_that_dies_costs_no_backup(tmp_path, monkeypatch, failure):
    tries = Tries(monkeypatch, failure)
    assert attempted(tmp_path).result == NOT_ITS_TURN
    assert tries.done == ["tried", ELECTION, "tried"]
    tries = Tries(monkeypatch, failure, failure)
    assert attempted(tmp_path).cause == failure.message and tries.done == ["tried", ELECTION, "tried"]


def test_what_is_no_fault_of_the_cluster_is_not_tried_again(tmp_path, monkeypatch):
    tries = Tries(monkeypatch, EtcdError("/b has 5 bytes free, and a snapshot needs 9.", "free some disk."))
    assert "bytes free" in attempted(tmp_path).cause and tries.done == ["tried"]


def test_what_killed_runs_have_left_goes_also_where_nothing_is_saved(tmp_path):
    (tmp_path / "backups" / ".quorum-etcd-saving-12345678").mkdir(parents=True)
    assert attempted(tmp_path).result == FAILED
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [NAME]
