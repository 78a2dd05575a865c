# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that show how far a run is: often enough, never a flood, and nothing after the end."""

from __future__ import annotations

import threading
import time
from unittest.mock import MagicMock

import pytest
from ansible_collections.quorum.etcd.plugins.plugin_utils import ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import MARK, Moved, Pace, Ticker, file_on_host, pace


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(ticker, "Display", lambda: MagicMock(display=lines.append))
    return lines


@pytest.fixture
def quick(monkeypatch):
    """A hundred times as fast."""
    for name in ("EVERY", "PATIENCE", "TOTAL"):
        monkeypatch.setattr(ticker, name, getattr(ticker, name) / 100)


@pytest.mark.parametrize("forks", [1, 5, 50])
@pytest.mark.parametrize("count", [1, 3, 5, 15, 40])
def test_a_run_speaks_often_enough_and_never_in_a_flood(count, forks):
    hosts = [f"h{number}" for number in range(count)]
    at_once = min(count, forks)
    working = hosts[:at_once]  # what Ansible has begun in this moment
    paces = [pace(host, hosts, forks) for host in working]
    said = sorted(
        one.first + turn * one.every for one in paces for turn in range(20) if one.first + turn * one.every < 60
    )
    assert said[0] <= 3 and max(b - a for a, b in zip(said, said[1:])) <= 5
    assert min(b - a for a, b in zip(said, said[1:])) >= 0.999, "at most a line a second"
    assert all(one.every <= max(5, at_once) for one in paces)


def test_a_host_that_is_not_in_the_play_has_a_pace_too():
    assert pace("elsewhere", ["a", "b"], 5) == Pace(3, 5)


def test_what_is_quick_is_not_spoken_of(shown, quick):
    with Ticker({"inventory_hostname": "m1"}, "at work", lambda: ""):
        time.sleep(0.005)
    time.sleep(0.1)
    assert shown == []


def test_each_turn_has_its_line_and_after_the_end_there_is_none(shown, monkeypatch):
    monkeypatch.setattr(ticker, "PATIENCE", 0.05)
    told = iter(["10 %", ""])
    with Ticker({"inventory_hostname": "m1"}, "stage: at work", lambda: next(told)):
        time.sleep(0.15)
        assert shown == ["m1: 10 %, 0 s so far"]
    time.sleep(0.7)
    assert len(shown) == 1


def test_a_host_that_does_not_answer_is_said_to_be_at_work(shown, monkeypatch):
    monkeypatch.setattr(ticker, "PATIENCE", 0.01)

    def fails():
        raise RuntimeError("the connection has gone")

    with Ticker({"inventory_hostname": "m1"}, "stage: at work", fails):
        time.sleep(0.1)
    assert shown == ["m1: stage: at work, 0 s so far"]


def test_the_end_does_not_wait_for_a_host_that_hangs(shown, monkeypatch):
    monkeypatch.setattr(ticker, "PATIENCE", 0.01)
    over = threading.Event()  # nobody sets it before the end has come
    came: list[bool] = []
    with Ticker({"inventory_hostname": "m1"}, "stage: at work", lambda: came.append(over.wait(30)) or "late"):
        time.sleep(0.05)
    assert came == [] and shown == []
    over.set()


def test_the_file_is_read_beside_the_task(tmp_path):
    """The connection and its become are left as they are; whatever was printed before the mark is not the file's."""
    (tmp_path / "progress").write_text("restoring: 5 % of 8 MB\n")
    asked = []

    class Connection:
        become = None
        _shell = None

        def exec_command(self, line, in_data=None, sudoable=True):
            import subprocess

            asked.append((self, sudoable))
            return 0, b"Welcome!\r\n" + subprocess.run(line, shell=True, capture_output=True, check=True).stdout, b""

    connection = Connection()
    assert file_on_host(connection, str(tmp_path / "progress"))() == "restoring: 5 % of 8 MB"
    assert file_on_host(connection, str(tmp_path / "not there"))() == ""
    assert all(used is not connection and sudoable is False for used, sudoable in asked)
    assert MARK


def test_moved_bytes_in_words():
    moved = Moved("snapshot to the host", 400 * 10**6)
    assert moved.tell() == "", "nothing is known yet"
    moved.at(100 * 10**6)
    assert moved.tell() == "snapshot to the host: 25 % of 400 MB, about 0 s left"


def test_a_file_whose_size_is_not_known_has_no_share():
    moved = Moved("snapshot to the host", 1)
    moved.at(2_658_240)
    assert moved.tell() == "snapshot to the host: 3 MB so far"
