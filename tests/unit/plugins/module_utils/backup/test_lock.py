# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time in a folder, and what is known of one that never gave the lock back."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import NAME, Busy, Holder, locked
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError

NOW = 1795492000.0  # 2026-11-24T03:46:40Z
HOLD = """\
import sys
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder's lock."""
    (collections, *_others) = [one for one in sys.path if (Path(one) / "ansible_collections/quorum/etcd").exists()]
    environment = {**os.environ, "PYTHONPATH": collections}
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_is_at_work(tmp_path, holder):
    with pytest.raises(
        Busy, match=rf"another run is at work .*process {holder.pid} of .*, since 20"
    ) as refused, locked(str(tmp_path)):
        pass
    assert "wait for its end" in refused.value.next_step


def test_it_waits_for_the_first_and_not_longer_than_it_may(tmp_path, holder):
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            holder.communicate("")

    with locked(str(tmp_path), 60, lambda: NOW, sleep) as left:
        assert left is None and len(naps) >= 3

    clock = iter(range(100))
    with locked(str(tmp_path)), pytest.raises(Busy), locked(
        str(tmp_path), 5, lambda: NOW + next(clock), lambda _s: None
    ):
        pass


def test_one_that_was_killed_is_known_and_keeps_nobody_out(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(str(tmp_path)) as left:
        assert left.pid == holder.pid
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    with locked(str(tmp_path)) as left:
        assert left is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_gives_it_back_in_order(tmp_path, error):
    with pytest.raises(error), locked(str(tmp_path)):
        raise error("anything")
    with locked(str(tmp_path)) as left:
        assert left is None


def test_what_is_written_in_it_may_be_anything(tmp_path):
    for words in (b"\xff\xfe", b"[]", b'{"host": 1}', b"{", b"x" * 10000):
        (tmp_path / NAME).write_bytes(words)
        with locked(str(tmp_path)) as left:
            assert left is None
    (tmp_path / NAME).write_text('{"host": "m1", "pid": 5, "since": "2026-11-24T03:46:40Z"}')
    with locked(str(tmp_path)) as left:
        assert left == Holder("m1", 5, "2026-11-24T03:46:40Z")


def test_it_is_private_and_no_link_is_followed(tmp_path):
    with locked(str(tmp_path)):
        assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    (tmp_path / NAME).unlink()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(EtcdError, match="cannot be locked"), locked(str(tmp_path)):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(EtcdError, match="cannot be locked: No such file or directory"), locked(str(tmp_path / "none")):
        pass
