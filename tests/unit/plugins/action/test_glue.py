# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of every module: what it does before the module's own work. (It meets Ansible, so it lies beside the actions.)"""

from __future__ import annotations

import json
import os
import selectors
import stat
import time
from unittest.mock import MagicMock

import pytest
from ansible.module_utils import basic
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import exclusive
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, runner


@pytest.mark.parametrize(("umask", "expected"), [(0, 0o755), (0o002, 0o755), (0o077, 0o700)])
def test_nothing_can_be_written_by_others_whatever_the_umask_of_the_logins(tmp_path, umask, expected):
    state = tmp_path / "parent" / "state"

    def work(_module):
        with exclusive(str(state)):
            (state / "file").write_text("")
        return {}

    old = os.umask(umask)
    try:
        answer(MagicMock(), work)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "parent").stat().st_mode) == expected
    assert all(not path.stat().st_mode & 0o022 for path in (tmp_path / "parent").rglob("*"))


@pytest.fixture
def run(monkeypatch):
    """Commands as a module runs them."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {}}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    return runner(basic.AnsibleModule({}))


def test_what_a_command_says_at_its_very_end_is_heard_on_a_host_that_is_busy(run, monkeypatch):
    """It speaks and ends when the module has just waited in vain for a word of it, and is not run for a moment."""
    select, waited = selectors.PollSelector.select, []

    def busy(self, timeout=None):
        if waited:
            return select(self, timeout)
        waited.append(select(self, 0))
        time.sleep(1)
        return waited[0]

    monkeypatch.setattr(selectors.PollSelector, "select", busy)
    done = run(["sh", "-c", "sleep 0.3; echo told; echo why >&2"], {})
    assert waited == [[]] and (done.rc, done.out, done.err) == (0, "told\n", "why\n")


def test_a_command_that_leaves_somebody_behind_who_holds_its_output_is_not_waited_for(run, tmp_path):
    done = run(["sh", "-c", f"sleep 60 & echo $! >{tmp_path}/pid; echo begun"], {})
    os.kill(int((tmp_path / "pid").read_text()), 0)  # ProcessLookupError where it has ended
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert (done.rc, done.out) == (0, "begun\n")
