# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong while the members change: newcomers that do not start, members that die, answers that are lost.

Each run that cannot end says why and leaves no half member behind, and the same command, run again, ends right.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest
from client import RetryingWriter
from conftest import Play
from killing import ANYBODY, Point, killed_at, run, start
from lab import Member
from members import Members, again
from test_member_replace_killed import CASES

pytestmark = [pytest.mark.xdist_group("members-0"), pytest.mark.long]
MANY, FEW = 100_000, 1_000


@contextmanager
def port_taken(_fire: Members, member: Member) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", member.port + 1)):
        yield


@contextmanager
def scripted(member: Member, line: str) -> Iterator[None]:
    """The member's start does this first."""
    script = member.dir / "etcd.sh"
    good = script.read_text()
    script.write_text(good.replace("start() {", f"start() {{\n    {line}", 1))
    yield
    script.write_text(good)


@contextmanager
def refused(_fire: Members, member: Member) -> Iterator[None]:
    with scripted(member, "echo 'no such setting: colour' >&2; exit 1"):
        yield


@contextmanager
def disk_full(_fire: Members, member: Member) -> Iterator[None]:
    """As etcd meets it: its first file of 64 MiB cannot be made."""
    with scripted(member, "ulimit -f 2048"):
        yield


# etcd ends before its start returns, or a moment later.
ENDED = "did not start: see .*etcd.log|its etcd does not run"


def assert_nobody_is_half(fire: Members) -> None:
    listed = fire.listed()
    assert all(entry.get("name") and not entry.get("isLearner") for entry in listed), f"{listed}\n{fire.story()}"


def fails(fire: Members, *words: str) -> Play:
    """``words``: regular expressions."""
    done = run(fire)
    assert done.rc != 0 and all(re.search(word, done.text) for word in words), done.output
    return done


@pytest.mark.parametrize(
    ("fault", "cause"),
    [(port_taken, ENDED), (refused, "no such setting: colour"), (disk_full, ENDED)],
    ids=["port_taken", "refused", "disk_full"],
)
def test_a_newcomer_that_cannot_start(fire: Members, fault, cause: str) -> None:
    fire.begin(CASES["lost"])
    name = fire.asked["dead"][0]
    with fault(fire, fire.lab.member(name)):
        fails(fire, f"{name} was added 2 times and did not become a voter: ", cause, "It is no member now")
        assert_nobody_is_half(fire)
    again(fire)


def test_a_newcomer_that_is_held_still(fire: Members) -> None:
    fire.begin(CASES["lost"])
    name = fire.asked["dead"][0]
    with start(fire, "-e", "etcd_member_replace_patience=5") as running:
        running.until_point(Point("prepared", ANYBODY))
        running.until(lambda: fire.lab.member(name).pid() is not None, "a start")
        os.kill(fire.lab.member(name).pid(), signal.SIGSTOP)
        done = running.end()
    assert done.rc != 0 and "is held still by a signal" in done.text and "kill -KILL" in done.text, done.output
    assert_nobody_is_half(fire)
    fire.lab.kill(fire.lab.member(name))
    again(fire)


def test_another_member_dies_when_the_dead_one_is_out(fire: Members) -> None:
    """Two voters are left then, and one of them is no quorum."""
    fire.begin(CASES["lost"])
    victim = next(name for name in fire.followers() if name not in fire.asked["dead"])
    with start(fire) as running:
        running.until_point(Point("removed", ANYBODY))
        fire.lose(victim)
        done = running.end()
    assert done.rc != 0 and "quorum" in done.text, done.output
    fails(fire, "the cluster has no quorum", "restore.yml")
    fire.lab.start(fire.lab.member(victim))
    fire.stop_writing().failed.clear()  # while there was no quorum, nobody could write
    again(fire)


def test_the_leader_dies_and_comes_back(fire: Members) -> None:
    fire.begin(CASES["moved"])
    follower, leader = fire.followers()[0], fire.leader()
    (spare,) = fire.free()
    fire.asked, fire.gone = {"move": {follower: spare}}, [follower]
    fire.wanted = [spare, *(name for name in fire.voters() if name != follower)]
    with start(fire) as running:
        running.until_point(Point("added", ANYBODY))
        fire.lose(leader)
        time.sleep(4)
        fire.lab.start(fire.lab.member(leader))
        done = running.end()
    assert done.rc == 0, done.output
    fire.assert_is_done()


def test_the_newcomers_host_vanishes_before_it_was_started(fire: Members) -> None:
    """Nobody else can tell whose the seat is, so the next run says how to be rid of it; or the host comes back."""
    fire.begin(CASES["dead"])
    before, by = fire.limit, fire.asked["by"][0]
    asked, wanted = fire.asked, fire.wanted
    killed_at(fire, Point("added", ANYBODY))
    (seat,) = (f"{entry['ID']:x}" for entry in fire.listed() if not entry.get("name"))
    fire.limit, fire.asked = [host for host in before if host != by], {"add": []}
    done = fails(fire, "was added and is no voter yet", "etcd_member_replace_remove")
    assert seat in done.text
    fire.asked, fire.wanted = {"remove": [seat]}, [name for name in wanted if name != by]
    done = run(fire)
    assert done.rc == 0, done.output
    fire.assert_members()
    fire.limit, fire.asked, fire.wanted = before, asked, wanted
    again(fire)


def test_an_answer_of_member_add_that_is_lost(fire: Members, tmp_path: Path) -> None:
    fire.begin(CASES["lost"])
    link = fire.lab.bin_dir
    good = link.resolve()
    for tool in good.iterdir():
        (tmp_path / tool.name).symlink_to(tool)
    (tmp_path / "etcdctl").unlink()
    (tmp_path / "etcdctl").write_text(
        f'#!/bin/sh\nout=$({good}/etcdctl "$@"); code=$?\ncase " $* " in *" add "*)\n'
        f'    touch {tmp_path}/lost; echo "Error: context deadline exceeded" >&2; exit 1;; esac\n'
        'printf "%s\\n" "$out"; exit $code\n'
    )
    (tmp_path / "etcdctl").chmod(0o755)
    link.unlink()
    link.symlink_to(tmp_path)
    try:
        done = run(fire)
        assert (tmp_path / "lost").exists() and done.rc == 0, done.output
        assert fire.story().count(" added ") == 1, fire.story()
        fire.assert_is_done()
    finally:
        link.unlink()
        link.symlink_to(good)


def test_another_wish_waits_for_the_one_that_was_begun(fire: Members) -> None:
    fire.begin(CASES["lost"])
    asked = fire.asked
    killed_at(fire, Point("added", ANYBODY))
    before = fire.listed()
    (fire.asked,) = [{"add": [name]} for name in fire.free()]
    fails(fire, "was added and is no voter yet", "it may still start: run again in")
    assert fire.listed() == before
    fire.asked = asked
    again(fire)


@pytest.mark.parametrize("step", ["removed", "added", "promoted"])
def test_run_again_without_the_variable(fire: Members, step: str) -> None:
    fire.begin(CASES["dead"])
    killed_at(fire, Point(step, ANYBODY))
    fire.asked = {}
    again(fire)
    done = run(fire)
    assert done.rc == 0 and "There is nothing to do" in done.text, done.output


def test_a_client_writes_during_all_cases_in_a_row(
    fire: Members, request: pytest.FixtureRequest, record_property
) -> None:
    """One client for all, with a deadline of 5 s: no operation fails, and everything is on every member afterwards.

    So many writes as the whole suite has; of a sample a few.
    """
    share = request.config.getoption("sample")
    wanted = FEW if share is not None and share < 1 else MANY
    fire.forget_what_was_written()
    with RetryingWriter(fire.everywhere, interval=0) as writer:
        for number, case in enumerate(itertools.cycle(CASES.values())):
            if number >= len(CASES) and writer.acknowledged >= wanted:
                break
            fire.begin(case, writes=False)
            done = run(fire)
            assert done.rc == 0, done.output
            fire.assert_members()
            fire.end()
    for name in fire.voters():
        writer.check(fire.lab.member(name).client)
    record_property("writes", f"{writer.acknowledged:,} during {number} changes of the members, none of which failed")
