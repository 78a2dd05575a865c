# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of any job: its steps are its own, and what they mean is told to it."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core import journal as steps
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import (
    FINISHED,
    PLANNED,
    ROLLING_BACK,
    Journal,
    Kind,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.journals import latest, summary

DATA = "/var/lib/etcd"
REPLACE = Kind(job="replacement", touched="removed", back=("refused", ROLLING_BACK), plan={"adds": (str, None)})


def replacement(state_dir, *done, **plan):
    journal = Journal(str(state_dir), "1", REPLACE)
    journal.open({"member": {"data_dir": DATA}, **plan})
    for step in done:
        journal.record(step)
    return journal


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ([], (PLANNED, True, False, False)),
        (["staged"], ("staged", True, False, False)),
        (["staged", "removed"], ("removed", True, True, False)),
        (["removed", "refused"], ("refused", True, True, True)),
        (["removed", FINISHED], (FINISHED, False, True, False)),
    ],
)
def test_a_job_says_itself_what_its_steps_mean(tmp_path, done, told):
    replacement(tmp_path, *done)
    found = summary(str(tmp_path), DATA, REPLACE)
    assert (found.step, found.open, found.touched, found.back) == told
    assert summary(str(tmp_path), "/var/lib/other", REPLACE) is None


def test_a_way_back_that_only_the_disk_tells_holds_as_long_as_the_job_is_open(tmp_path):
    kind = Kind(is_put_back=lambda plan: plan["sequence"] == 1)
    journal = replacement(tmp_path)
    assert summary(str(tmp_path), DATA, kind).back
    journal.record(FINISHED)
    assert not summary(str(tmp_path), DATA, kind).back


def test_what_is_wrong_with_a_journal_is_said_of_the_job_whose_it_is(tmp_path):
    journal = replacement(tmp_path, adds="m4")
    (tmp_path / "restores" / "1" / "journal.jsonl").write_text("7\n")
    with pytest.raises(EtcdError, match="is no step of a replacement") as raised:
        journal.steps()
    assert raised.value.next_step.endswith("if no replacement is under way on this host.")
    (tmp_path / "restores" / "1" / "plan.json").write_text('{"adds": 7}')
    with pytest.raises(EtcdError, match="is no plan of a replacement: adds is 7"):
        journal.plan()
    assert Journal(str(tmp_path), "1").plan() == {"adds": 7}, "a job that does not read it does not mind"


def test_the_lock_can_be_had_where_nothing_can_be_written(tmp_path, monkeypatch):
    with steps.exclusive(str(tmp_path)):
        pass
    opened = steps.os.open

    def read_only(path, flags, *mode):
        if flags & steps.os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system", path)
        return opened(path, flags, *mode)

    monkeypatch.setattr(steps.os, "open", read_only)
    with steps.exclusive(str(tmp_path)):
        pass
    with pytest.raises(EtcdError, match="lock .* cannot be opened: Read-only file system"), steps.exclusive(
        str(tmp_path / "x")
    ):
        pass


def test_two_runs_do_not_work_on_one_host_at_once(tmp_path):
    first, second = steps.exclusive(str(tmp_path)), steps.exclusive(str(tmp_path), 0.1)
    with first, pytest.raises(EtcdError, match="another run is at work"), second:
        pass
    with steps.exclusive(str(tmp_path), 0.1):
        pass
    assert latest(str(tmp_path), "/data") is None, "the lock is no journal"
