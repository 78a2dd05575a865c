# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands at the other end of a pipe: what goes through is whole, and nobody waits for one that has ended or never began."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.pipes import drawn, fed

DATA = os.urandom(1 << 20)  # sixteen times what a pipe holds


def run(argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def shell(script, *more):
    return lambda path: ["sh", "-c", script, "sh", path, *more]


@pytest.fixture(autouse=True)
def in_time_and_with_nothing_left_open():
    """A pipe whose other end is forgotten is waited for for ever."""
    before, alarm = set(os.listdir("/proc/self/fd")), threading.Timer(60, lambda: os._exit(70))
    alarm.daemon = True
    alarm.start()
    yield
    alarm.cancel()
    assert len(set(os.listdir("/proc/self/fd")) - before) == 0


def test_a_command_reads_all_that_is_written(tmp_path):
    with fed(run, shell('cat < "$1" > "$2"', str(tmp_path / "to"))) as piped:
        for first in range(0, len(DATA), 50000):
            piped.stream.write(DATA[first : first + 50000])
    assert (piped.result, piped.cut_off) == ((0, ""), False) and (tmp_path / "to").read_bytes() == DATA


def test_all_that_a_command_writes_is_read(tmp_path):
    (tmp_path / "from").write_bytes(DATA)
    with drawn(run, shell('cat "$2" > "$1"', str(tmp_path / "from"))) as piped:
        assert piped.stream.read() == DATA
    assert piped.result == (0, "")


def test_one_that_ends_early_is_told_with_its_end():
    with fed(run, shell('head -c 10 < "$1" >&2; exit 3')) as piped:
        piped.stream.write(b"x" * len(DATA))
    assert piped.cut_off and piped.result == (3, "x" * 10)
    with drawn(run, shell('printf half > "$1"; exit 4')) as piped:
        assert piped.stream.read() == b"half"
    assert piped.result == (4, "")


def test_one_that_never_opens_its_end_is_not_waited_for():
    with fed(run, shell("exit 5")) as piped:
        piped.stream.write(DATA)
    assert piped.cut_off and piped.result == (5, "")
    with drawn(run, shell("exit 6")) as piped:
        assert piped.stream.read() == b""
    assert piped.result == (6, "")


def test_one_that_cannot_be_run_is_an_error():
    def missing(argv):
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    with pytest.raises(FileNotFoundError), fed(missing, shell("")) as piped:
        piped.stream.write(DATA)
    with pytest.raises(FileNotFoundError), drawn(missing, shell("")) as piped:
        assert piped.stream.read() == b""


def test_what_goes_wrong_here_ends_the_command(tmp_path):
    with pytest.raises(ZeroDivisionError), fed(run, shell('cat < "$1" > "$2"', str(tmp_path / "to"))) as piped:
        piped.stream.write(b"half")
        raise ZeroDivisionError
    assert piped.result == (0, "") and (tmp_path / "to").read_bytes() == b"half"
    with pytest.raises(ZeroDivisionError), drawn(run, shell('exec cat /dev/zero > "$1"')) as piped:
        piped.stream.read(10)
        raise ZeroDivisionError
    assert piped.result[0] != 0
