# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed, at every boundary of the journal and between them; the next plain run ends what was begun."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import killing
import pytest
from ground import Ground, assert_is_over
from killing import Point, at_random, killed_at, start

FORWARD = [
    *("planned", "kept", "staged", "stopping", "stopped", "configured", "set_aside", "swapped", "started"),
    *("serving", "proven", "finished"),
]
BACK = ["rolling_back", "retired", "put_back", "rolled_back"]
# In `make test` too: while the old cluster serves, while it is down, while the new one is unproven, while it is finished.
SAMPLE = ["staged-m1", "set_aside-m1", "started-m3", "finished-m1", "retired-m2"]


def points(found: list[Point], group: str = "lab") -> list:
    return killing.points(found, SAMPLE, f"{group}-0", f"{group}-1")


def everywhere(steps: list[str]) -> list[Point]:
    """At every step, as two of the members write it, which take turns."""
    return [Point(step, (number + turn) % 3) for number, step in enumerate(steps) for turn in range(2)]


def assert_old_until_touched(ground: Ground, at_work: bool) -> None:
    """At the kill nothing is lost; and as long as no journal speaks of a stop, the old cluster has not noticed anything."""
    ground.assert_nothing_is_lost()
    if not at_work and not ground.touched():
        ground.assert_untouched()


@pytest.mark.parametrize("point", points([*everywhere(FORWARD), *at_random(FORWARD, 6, "forward")]))
def test_forward(ground: Ground, point: Point, record_property) -> None:
    assert_old_until_touched(ground, killed_at(ground, point))
    assert_is_over(ground, record_property)


def wait_for_what_lives(ground: Ground) -> None:
    """Modules that outlive their controller may put all back by themselves; nothing is left for the next run then."""
    until = time.monotonic() + 10
    while not ground.is_closed() and time.monotonic() < until:
        time.sleep(0.2)


@pytest.mark.parametrize("point", points([*everywhere(BACK), *at_random(BACK, 2, "back")]))
def test_while_the_old_data_is_put_back(ground: Ground, point: Point, record_property) -> None:
    """No quorum comes up with the restored data, and the rollback that follows is killed."""
    with ground.bed.refuses(ground.bed.members[1]), ground.bed.refuses(ground.bed.members[2]):
        if killed_at(ground, point):
            wait_for_what_lives(ground)
        ground.assert_nothing_is_lost()
        if not ground.is_closed():
            assert_is_over(ground)
    assert {ground.steps(member)[-1] for member in ground.bed.members} == {"rolled_back"}, ground.story()
    ground.assert_old()
    record_property("what became of it", "rolled back")


@pytest.mark.parametrize("point", points(at_random(FORWARD[7:], 3, "twice")))
def test_twice(ground: Ground, point: Point, record_property) -> None:
    """The run that goes on is killed too."""
    killed_at(ground, Point("stopping", point.member))
    ground.assert_nothing_is_lost()
    killed_at(ground, point)
    ground.assert_nothing_is_lost()
    assert_is_over(ground, record_property)


@pytest.fixture
def elsewhere():
    """A folder on another file system, for the slow way."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="quorum-etcd-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("point", points([Point("stopped", 0), Point("set_aside", 1), Point("restored", 2)]))
def test_the_slow_way(ground: Ground, elsewhere: Path, point: Point, record_property) -> None:
    """Where there is no room for both, the old data is moved to another file system before the new is restored."""
    ground.elsewhere = elsewhere
    aside = ("-e", f"etcd_restore_aside={elsewhere}/{{{{ inventory_hostname }}}}")
    killed_at(ground, point, *aside)
    ground.assert_nothing_is_lost()
    assert_is_over(ground, record_property, *aside)


# Over SSH the modules do not die with the controller: the next run finds them at work.
REAL = [
    *(Point(step, member, modules=False) for step, member in (("planned", 0), ("stopping", 1), ("swapped", 2))),
    *(Point(step, member) for step, member in (("staged", 1), ("stopping", 0), ("set_aside", 2), ("proven", 1))),
]


@pytest.mark.parametrize("point", points([*REAL, *at_random(FORWARD, 2, "real")], "hosts"))
def test_over_ssh(real: Ground, point: Point, record_property) -> None:
    killed_at(real, point)
    assert_old_until_touched(real, at_work=True)
    assert_is_over(real, record_property)


def test_without_a_kill_all_is_seen_as_it_is(ground: Ground) -> None:
    """What the other tests rely on: they kill at every step there is, and a mixture and lost old data are noticed."""
    with start(ground) as running:
        assert running.end().rc == 0
    ground.assert_new()
    for member in ground.bed.members:
        assert set(ground.steps(member)) == set(FORWARD), "each step that a restore records is one to be killed at"
    with pytest.raises(AssertionError):
        ground.assert_old()
    ground.bed.client(ground.bed.members[0]).put(b"round/both/0", ground.mark)
    with pytest.raises(AssertionError, match="round/both/0"):
        ground.assert_new()
    for path in ground.asides(ground.bed.members[1]):
        shutil.rmtree(path)
    assert not ground.keeps_old(ground.bed.members[1], aside=True)
