# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back: data and configuration as they were, to the byte."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import CONFIG, Host, to_cutover


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
def test_rollback_puts_data_and_configuration_back_to_the_byte(tmp_path, monkeypatch, kind, slow):
    host = Host(tmp_path, monkeypatch, kind, slow)
    restore = to_cutover(host)
    assert host.db() == "new"
    assert restore.rollback()
    assert host.db() == "old"
    assert host.config.read_text() == CONFIG
    retired = host.aside.replace(".before-", ".rolled-back-")
    with open(os.path.join(retired, "member", "db")) as new:
        assert new.read() == "new", "also what the restored cluster held is kept"
    assert host.service.running
    assert restore.rollback() is False


def test_rollback_before_the_stop_only_removes_the_staged_copy(host):
    host.restore().stage()
    assert host.restore().rollback()
    assert not os.path.exists(host.staged) and host.db() == "old" and host.service.calls == []


def test_rollback_where_there_was_no_data_leaves_none(host, monkeypatch):
    for path in (host.live / "member" / "db", host.live / "member", host.live):
        path.unlink() if path.is_file() else path.rmdir()
    swap = {**host.plan()["swaps"][0], "existed": False}
    restore = host.restore(swaps=[swap])
    restore.stage()
    restore.stop()
    assert host.db() == "new"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(restore.way_back, "_make_way", lambda *_arguments: 1 / 0)
        restore.rollback()
    (host.live / "member").mkdir(parents=True)  # killed here, and the host boots with etcd enabled
    restore.rollback()
    assert not host.live.exists()


def test_a_rollback_puts_nothing_back_under_a_process_that_uses_the_restored_data(host, opener, impatient):
    restore = to_cutover(host)
    process = opener(host.live / "member" / "db")
    with pytest.raises(EtcdError, match=f"process {process.pid} "):
        restore.rollback()
    assert host.db() == "new"
    process.communicate()
    assert restore.rollback()
    assert host.db() == "old"


def test_a_unit_that_is_about_to_stop_is_started_again_by_a_rollback(host, opener, impatient):
    """A stop that takes longer than it may: systemd starts it as soon as it has stopped."""
    host.manager = "systemd"
    restore = host.restore()
    restore.stage()
    opener(host.live / "member" / "db")

    def hangs(_timeout):
        raise EtcdError("it did not stop within 60 s", "x")

    host.service.stop = hangs
    with pytest.raises(EtcdError, match="did not stop"):
        restore.stop()
    assert restore.rollback()
    assert host.service.calls == ["start"]
