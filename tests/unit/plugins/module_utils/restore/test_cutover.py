# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stop and the change of the data, with what a reboot or a process nobody knows of does in between."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.restore import cutover, watching
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import (
    BAD,
    CONFIG,
    DOWN,
    Clock,
    Host,
    before_cutover,
    to_cutover,
)


@pytest.mark.parametrize(
    ("starting_for", "others_are_up", "waited"), [(3, True, 0.3), (99, True, 20), (99, False, 1.1)]
)
def test_the_start_is_waited_for_while_the_others_come_up_too(host, monkeypatch, starting_for, others_are_up, waited):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(watching, "is_open", lambda url: others_are_up)
    restore = host.restore(others=["http://127.0.0.1:1"])
    restore.journal.open(host.plan())
    host.service.ascents, host.service.says = iter(["starting"] * starting_for), "serving"
    assert restore.change._wait_until_up() is (starting_for == 3)
    assert waited <= clock.now < waited + 1
    assert ("serving" in restore.journal.steps()) is (starting_for == 3)


def test_a_member_that_ends_again_and_again_is_not_waited_for(host, monkeypatch):
    clock = Clock(monkeypatch)
    host.service.ascents = iter(["starting", "failing", "failing"])
    restore = to_cutover(host)
    assert restore.change._wait_until_up() is False
    assert clock.now < 1 and "serving" not in restore.journal.steps()


@pytest.mark.parametrize("holds", [True, False])
def test_a_stop_that_sees_the_member_serve_goes_on_to_the_proof_and_leaves_what_does_not_hold_yet(
    host, monkeypatch, holds
):
    Clock(monkeypatch)
    host.service.ascents, host.service.says = iter(["starting"]), "serving"
    restore = host.restore()
    restore.stage()
    monkeypatch.setattr(restore.proving, "look", lambda thorough: (DOWN, [replace(BAD, ok=holds)]))
    assert restore.stop()
    assert restore.journal.steps()[-2:] == (["serving", "proven"] if holds else ["started", "serving"])


def test_a_member_that_does_not_say_whether_it_serves_is_proven_by_its_own_phase(host, monkeypatch):
    restore = host.restore()
    restore.stage()
    monkeypatch.setattr(restore.proving, "look", lambda thorough: pytest.fail("it was asked"))
    assert restore.stop() and restore.journal.steps()[-1] == "started"


def test_what_a_reboot_started_on_nothing_is_kept_out_of_the_way(host, monkeypatch):
    restore = before_cutover(host, monkeypatch)
    os.rename(host.live, host.aside)  # killed here, and the host boots with etcd enabled
    (host.live / "member").mkdir(parents=True)
    (host.live / "member" / "db").write_text("born empty")
    restore.cutover()
    assert host.db() == "new"
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"
    with open(f"{host.aside}.stray-1/member/db") as stray:
        assert stray.read() == "born empty"


@pytest.mark.parametrize("kind", ["directory", "contents"])
def test_the_slow_way_moves_the_old_data_away_before_it_restores(tmp_path, monkeypatch, kind):
    host = Host(tmp_path, monkeypatch, kind, slow=True)
    restore = host.restore()
    assert restore.stage()
    assert not os.path.exists(host.staged), "there is no room for it yet"
    restore.stop()
    restore.cutover()
    assert host.db() == "new" and not os.path.exists(host.near)
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"


@pytest.mark.parametrize("slow", [False, True])
def test_what_a_reboot_started_on_an_empty_mount_point_is_kept_too(tmp_path, monkeypatch, slow):
    host = Host(tmp_path, monkeypatch, "contents", slow)
    restore = before_cutover(host, monkeypatch)
    os.makedirs(host.near)
    os.rename(host.live / "member", os.path.join(host.near, "member"))  # killed here, and the host boots
    (host.live / "member").mkdir()
    (host.live / "member" / "db").write_text("born empty")
    restore.cutover()
    assert host.db() == "new"
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"
    strays = [path for path in host.live.iterdir() if ".stray" in path.name]
    assert [(stray / "db").read_text() for stray in strays] == ["born empty"]


def test_others_that_stay_open_are_waited_for_and_then_left_to_the_next_task(host, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(cutover, "OTHERS_WAIT", 0.2)
        restore = host.restore(others=[f"http://127.0.0.1:{server.getsockname()[1]}"])
        assert restore.stage() and restore.stop()
        assert host.db() == "old" and host.service.calls == ["stop"]
    assert restore.cutover()
    assert host.db() == "new"


def test_who_sees_all_others_stopped_goes_on_at_once(host):
    restore = host.restore(others=["http://127.0.0.1:1"])
    assert restore.stage() and restore.stop()
    assert host.db() == "new" and host.service.calls == ["stop", "start"]
    assert restore.cutover() is False


def test_nothing_is_renamed_under_a_process_that_has_the_data_open(host, opener, impatient):
    restore = host.restore()
    restore.stage()
    watchdogs = opener(host.live / "member" / "db")
    with pytest.raises(EtcdError, match=f"process {watchdogs.pid} .* has {host.live}/member/db open"):
        restore.stop()
    assert host.db() == "old" and os.path.isdir(host.staged) and not os.path.exists(host.near)
    host.service.calls.clear()
    assert restore.rollback()
    assert host.service.calls == [], "what was never swapped is neither stopped nor started beside the one that runs"
    assert host.config.read_text() == CONFIG and host.db() == "old" and not os.path.exists(host.staged)
    assert restore.journal.steps()[-1] == "rolled_back"
