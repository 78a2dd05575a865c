# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command within its bounds: its priority, its memory and time, and that nothing of it outlives whoever began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core import bounded as bounded_py
from ansible_collections.quorum.etcd.plugins.module_utils.core.bounded import NOT_RUN, OUT_OF_TIME, bounded, lifeline

MEMORY = 1 << 30


@pytest.fixture
def bed(tmp_path):
    return tmp_path


def begun(bed, *argv, seconds=20.0, memory=MEMORY, life="life"):
    words = bounded(argv, str(bed / life), str(bed), seconds, memory)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ran(bed, *argv, **more):
    with lifeline(str(bed / "life")):
        process = begun(bed, *argv, **more)
        out, err = process.communicate(timeout=30)
    assert err == ""
    return process.returncode, out


def python(text):
    return (sys.executable, "-c", text)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # gone, or going just now
        return False


def gone(pid):
    until = time.monotonic() + 20
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not lives(pid)


def test_it_answers_as_the_command_does(bed):
    assert ran(bed, "sh", "-c", "echo one; echo two >&2; pwd; exit 3") == (3, f"one\ntwo\n{bed}\n")
    assert ran(bed, "sh", "-c", "kill -USR1 $$") == (128 + signal.SIGUSR1, "")
    code, out = ran(bed, "/no/such/program")
    assert (code, out) == (NOT_RUN, "/no/such/program: No such file or directory\n")


def test_of_what_it_prints_the_end_is_kept(bed):
    code, out = ran(bed, *python("print('x' * (1 << 20)); print('the end')"))
    assert code == 0 and out.endswith("x\nthe end\n") and len(out) == 1 << 16


def test_it_goes_last_and_has_no_environment_of_the_hosts_own_etcd(bed, monkeypatch):
    monkeypatch.setenv("ETCD_NAME", "m1")
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "unix://x")
    text = "import os, resource as r; print(os.nice(0), open('/proc/self/oom_score_adj').read().strip(),"
    text += "r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_DATA), os.environ.get('ETCD_NAME'),"
    text += "os.environ['ETCDCTL_ENDPOINTS'], os.getpid() == os.getsid(0))"
    code, out = ran(bed, *python(text))
    assert (code, out) == (0, f"19 1000 (0, 0) ({MEMORY}, {MEMORY}) None unix://x True\n")


def test_it_has_one_processor(bed):
    code, out = ran(bed, *python("import os; print(os.sched_getaffinity(0))"))
    assert (code, out) == (0, f"{ {max(os.sched_getaffinity(0))} }\n")


def test_who_goes_last_takes_what_it_begins_along():
    text = (
        f"import os, sys; sys.path[:0] = [{os.path.dirname(bounded_py.__file__)!r}]; import bounded; bounded.go_last();"
    )
    text += "print(os.nice(0), flush=True); os.system('ionice -p $$; nice; nproc')"
    done = subprocess.run(python(text), stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == ["19", "idle", "19", "1"]


def test_it_has_so_much_memory(bed):
    code, out = ran(bed, *python("x = bytearray(200 << 20)"), memory=100 << 20)
    assert code == 1 and "MemoryError" in out


def test_it_has_so_much_time_and_so_has_what_it_has_begun(bed):
    began = time.monotonic()
    code, out = ran(bed, "sh", "-c", "sleep 60 & echo $!; wait", seconds=0.5)
    assert code == OUT_OF_TIME and time.monotonic() - began < 15 and gone(int(out))


def test_what_it_leaves_behind_in_its_group_goes_too(bed):
    code, out = ran(bed, "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
    assert code == 0 and gone(int(out))


def test_it_ends_with_its_lifeline(bed):
    with lifeline(str(bed / "life")):
        process = begun(bed, "sh", "-c", "echo $$ > pid; exec sleep 60")
        while not (bed / "pid").exists() or not (bed / "pid").read_text():
            time.sleep(0.02)
    process.communicate(timeout=20)
    assert gone(int((bed / "pid").read_text()))


@pytest.mark.parametrize("made", [True, False])
def test_nothing_is_begun_where_the_lifeline_is_cut_already(bed, made):
    if made:
        os.mkfifo(bed / "life")
    process = begun(bed, "touch", "begun")
    process.communicate(timeout=20)
    assert process.returncode == OUT_OF_TIME and not (bed / "begun").exists()


# Whoever begins it is killed, in the middle of a call that waits for it.
HOLDER = """\
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
os.mkfifo("life")
held = os.open("life", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
subprocess.run(sys.argv[2:])
"""


@pytest.mark.parametrize("victim", ["the holder", "the supervisor"])
def test_when_somebody_is_killed_it_does_not_go_on(bed, victim):
    argv = bounded(["sh", "-c", "echo $PPID $$ > pids; exec sleep 60"], str(bed / "life"), str(bed), 60, MEMORY)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(bed), *argv], cwd=bed)
    while not (bed / "pids").exists() or len((bed / "pids").read_text().split()) < 2:
        time.sleep(0.02)
    supervisor, command = map(int, (bed / "pids").read_text().split())
    os.kill(holder.pid if victim == "the holder" else supervisor, signal.SIGKILL)
    holder.wait(timeout=20)
    assert gone(command) and gone(supervisor)


def test_many_at_once_are_held_by_one(bed):
    found = []
    with lifeline(str(bed / "life")):
        threads = [
            threading.Thread(target=lambda: found.append(begun(bed, "true").wait(timeout=20))) for _one in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [0, 0, 0]
