# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host import service
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import Service


class Runner:
    """Answers commands from a function and remembers them; ``active`` is the unit's state."""

    def __init__(self, **shown):
        self.calls = []
        self.shown = {"LoadState": "loaded", "ActiveState": "active", "MainPID": "7", "NeedDaemonReload": "no", **shown}
        self.codes = {}

    def __call__(self, argv, env):
        self.calls.append(list(argv))
        if argv[:2] == ["systemctl", "show"]:
            return Result(0, "".join(f"{key}={value}\n" for key, value in self.shown.items()), "")
        return Result(self.codes.get(argv[0], self.codes.get(argv[1] if len(argv) > 1 else "", 0)), "", "why")

    def acts(self):
        return [call for call in self.calls if call[:2] != ["systemctl", "show"]]


def make(run, tmp_path, manager="systemd", sleep=lambda seconds: None, **over):
    commands = dict.fromkeys(("start_command", "stop_command", "status_command"), "")
    own = Service(
        **{"manager": manager, "name": "etcd", "manifest": "/manifests/etcd.yaml", "state": "", **commands, **over}
    )
    return service.manager(own, "/data", "/state", run, sleep, str(tmp_path))


def etcd(tmp_path, pid, data_dir="/data"):
    folder = tmp_path / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text("etcd\n")
    (folder / "cmdline").write_text(f"etcd\0--data-dir={data_dir}\0")
    (folder / "stat").write_text(f"{pid} (etcd) S 1 1 1")
    return folder


def gone(folder):
    for name in os.listdir(str(folder)):
        (folder / name).unlink()
    folder.rmdir()


def test_a_process_that_a_signal_holds_still_is_told_before_anybody_waits_for_it(tmp_path):
    folder = etcd(tmp_path, 40)
    member = make(Runner(), tmp_path)
    member.demand_responsive()
    (folder / "stat").write_text("40 (etcd) T 1 1 1")
    with pytest.raises(EtcdError, match=r"its etcd \(pid 40\) is held still") as caught:
        member.demand_responsive()
    assert "kill -CONT 40" in caught.value.next_step


class TestSystemd:
    @pytest.mark.parametrize(
        ("shown", "state"),
        [
            ({}, "running"),
            ({"ActiveState": "activating"}, "running"),
            ({"ActiveState": "deactivating"}, "running"),
            ({"ActiveState": "inactive", "MainPID": "0"}, "stopped"),
            ({"ActiveState": "failed", "MainPID": "0"}, "failed"),
            ({"LoadState": "not-found", "ActiveState": "inactive", "MainPID": "0"}, "absent"),
        ],
    )
    def test_state(self, tmp_path, shown, state):
        assert make(Runner(**shown), tmp_path).state() == state

    def test_state_without_systemd(self, tmp_path):
        def run(argv, env):
            raise FileNotFoundError(2, "No such file or directory")

        assert make(run, tmp_path).state() == "unknown"

    def test_start_never_waits(self, tmp_path):
        run = Runner()
        make(run, tmp_path).start()
        assert run.acts() == [["systemctl", "reset-failed", "etcd"], ["systemctl", "start", "--no-block", "etcd"]]

    def test_start_reloads_changed_units(self, tmp_path):
        run = Runner(NeedDaemonReload="yes")
        make(run, tmp_path).start()
        assert run.acts()[0] == ["systemctl", "daemon-reload"]

    def test_start_that_fails_says_why(self, tmp_path):
        run = Runner()
        run.codes = {"start": 5}
        with pytest.raises(EtcdError, match="'systemctl start --no-block etcd' failed with exit code 5: why"):
            make(run, tmp_path).start()

    def test_stop_waits_for_the_process_and_not_only_for_the_unit(self, tmp_path):
        run = Runner()
        folder = etcd(tmp_path, 7)
        waits = []

        def sleep(seconds):
            waits.append(seconds)
            if len(waits) == 2:
                run.shown.update(ActiveState="inactive", MainPID="0")
            if len(waits) == 4:
                gone(folder)

        make(run, tmp_path, sleep=sleep).stop(10)
        assert len(waits) == 4
        assert run.acts() == [["systemctl", "stop", "--no-block", "etcd"]]

    def test_stop_gives_up(self, tmp_path):
        etcd(tmp_path, 7)
        with pytest.raises(EtcdError, match=r"did not stop within 1 s; its process \(pid 7\) still runs"):
            make(Runner(), tmp_path).stop(1)

    def test_stop_of_a_unit_that_is_not_there(self, tmp_path):
        run = Runner(LoadState="not-found", ActiveState="inactive", MainPID="0")
        make(run, tmp_path).stop(1)
        assert run.acts() == []

    @pytest.mark.parametrize(
        ("state", "substate", "ascent"),
        [
            ("inactive", "dead", "starting"),  # the job waits in systemd's queue
            ("activating", "start", "starting"),
            ("activating", "auto-restart", "failing"),
            ("activating", "auto-restart-queued", "failing"),
            ("active", "running", "serving"),
            ("failed", "failed", "failing"),
        ],
    )
    def test_how_far_up_is_what_the_unit_says(self, tmp_path, state, substate, ascent):
        assert make(Runner(ActiveState=state, SubState=substate, Type="notify"), tmp_path).ascent() == ascent
        assert make(Runner(ActiveState=state, SubState=substate, Type="simple"), tmp_path).ascent() == "unknown"

    def test_configuration_changed(self, tmp_path):
        run = Runner()
        make(run, tmp_path).configuration_changed()
        assert run.calls == [["systemctl", "daemon-reload"]]


class TestCommands:
    WORDS = {"start_command": "sh 'my etcd.sh' start", "stop_command": "sh x stop", "status_command": "check it"}

    def test_state_by_the_status_command(self, tmp_path):
        run = Runner()
        assert make(run, tmp_path, "command", **self.WORDS).state() == "running"
        run.codes = {"check": 3}
        assert make(run, tmp_path, "command", **self.WORDS).state() == "stopped"

    def test_state_by_the_process(self, tmp_path):
        member = make(Runner(), tmp_path, "command")
        assert member.state() == "stopped"
        etcd(tmp_path, 9)
        assert member.state() == "running"

    def test_start_splits_words_and_uses_no_shell(self, tmp_path):
        run = Runner()
        make(run, tmp_path, "command", **self.WORDS).start()
        assert run.calls == [["sh", "my etcd.sh", "start"]]

    def test_the_operators_home_and_variables_are_what_they_are(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", "/home/me")
        run = Runner()
        make(run, tmp_path, "command", start_command="sh ~/etcd.sh '$HOME/x'").start()
        assert run.calls == [["sh", "/home/me/etcd.sh", "/home/me/x"]]

    def test_stop_waits_until_the_process_is_gone(self, tmp_path):
        folder = etcd(tmp_path, 9)
        run = Runner()
        member = make(run, tmp_path, "command", sleep=lambda seconds: gone(folder), stop_command="sh x stop")
        member.stop(5)
        assert run.calls == [["sh", "x", "stop"]]
        member.stop(5)
        assert len(run.calls) == 1

    def test_a_missing_or_broken_command(self, tmp_path):
        with pytest.raises(EtcdError, match="no start_command"):
            make(Runner(), tmp_path, "command").start()
        with pytest.raises(EtcdError, match="not a command line"):
            make(Runner(), tmp_path, "command", start_command="sh 'x").start()


class TestStaticPod:
    def manifest(self, tmp_path):
        (tmp_path / "manifests").mkdir()
        (tmp_path / "manifests" / "etcd.yaml").write_text("pod")
        return tmp_path / "manifests" / "etcd.yaml"

    def test_stop_and_start_move_the_manifest(self, tmp_path):
        manifest = self.manifest(tmp_path)
        folder = etcd(tmp_path, 5)
        other = etcd(tmp_path, 6, "/other")
        pod = make(Runner(), tmp_path, "static_pod", sleep=lambda seconds: folder.exists() and gone(folder))
        assert pod.state() == "running"
        pod.stop(5)
        assert not folder.exists()
        assert other.exists()
        assert pod.state() == "stopped"
        assert os.listdir(str(manifest.parent)) == []
        pod.stop(5)
        pod.start()
        assert manifest.read_text() == "pod"
        assert pod.state() == "failed"
        pod.start()

    def test_stop_leaves_the_kubelet_time_to_be_done_with_the_pod(self, tmp_path):
        self.manifest(tmp_path)
        slept = []
        pod = make(Runner(), tmp_path, "static_pod", sleep=slept.append)
        pod.stop(5)
        assert slept == [service.POD_SETTLE]
        pod.stop(5)
        assert slept == [service.POD_SETTLE]

    def test_stop_gives_up(self, tmp_path):
        self.manifest(tmp_path)
        etcd(tmp_path, 5)
        with pytest.raises(EtcdError, match="pid 5"):
            make(Runner(), tmp_path, "static_pod").stop(1)

    def test_no_manifest_anywhere(self, tmp_path):
        pod = make(Runner(), tmp_path, "static_pod")
        assert pod.state() == "absent"
        with pytest.raises(EtcdError, match="is not there"):
            pod.start()

    def test_between_file_systems(self, tmp_path):
        source, target = tmp_path / "etcd.yaml", tmp_path / "b" / "etcd.yaml"
        target.parent.mkdir()
        source.write_text("pod")
        source.chmod(0o600)

        def rename(one, other):
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        service.move_file(str(source), str(target), rename)
        assert not source.exists()
        assert target.read_text() == "pod"
        assert target.stat().st_mode & 0o777 == 0o600
        assert os.listdir(str(target.parent)) == ["etcd.yaml"]


@pytest.mark.parametrize("starts, word", [(True, "enable"), (False, "disable")])
def test_whether_the_boot_starts_it_is_the_units(tmp_path, starts, word):
    run = Runner()
    run.codes[word] = 1  # as for a unit that a generator has made: nothing fails by it
    make(run, tmp_path).at_boot(starts)
    assert run.acts() == [["systemctl", "--quiet", word, "etcd"]]
    for manager in ("static_pod", "command"):
        other = Runner()
        make(other, tmp_path, manager).at_boot(starts)
        assert other.calls == []
