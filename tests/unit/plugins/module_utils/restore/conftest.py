# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the phases share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.host import holders as _holders
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import Host


class Nearby(_holders.Host):
    """This machine, with only the processes that the test has started: each look at all of a busy one takes its time."""

    def list(self, path):
        if path != "/proc":
            return super().list(path)
        children = f"PPid:\t{os.getpid()}\n"
        return [pid for pid in super().list(path) if children in (self.read(f"/proc/{pid}/status") or "")]


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(_holders, "Host", Nearby)
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def opener():
    """Starts a process that holds a file open, as an etcd does that nobody has stopped; ended afterwards."""
    started = []

    def start(path):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; f = open(sys.argv[1]); print(1, flush=True); sys.stdin.read()",
                str(path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_holders, "PATIENCE", 0.1)
