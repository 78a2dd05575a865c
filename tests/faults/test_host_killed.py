# SPDX-License-Identifier: GPL-3.0-or-later
"""A member's host loses its power in the middle of a restore, and comes back, with etcd enabled, when it likes.

The run fails and says which host; the others are all as they were, or, where they are a proven quorum, all restored.
The next plain run completes, or takes back what the lost host still has of the restore and says so.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from conftest import Play
from ground import Ground, assert_is_over, says_gone
from killing import Point, at_random, start

# The user's own words come before the collection's: what is tested here is not the patience.
IMPATIENT = (
    *("-e", "ansible_ssh_extra_args='-o ServerAliveInterval=1 -o ServerAliveCountMax=3'"),
    *("-e", "etcd_restore_prove_timeout=20"),
)
POINTS = [
    *(Point("planned", 2), Point("staged", 0), Point("stopping", 1), Point("stopped", 2), Point("set_aside", 0)),
    *(Point("swapped", 1), Point("started", 0), Point("proven", 1), Point("finished", 2)),
]


def points(found: list[Point]) -> list:
    return [
        pytest.param(point, number % 2 == 1, id=str(point), marks=pytest.mark.xdist_group(f"hosts-{number % 2}"))
        for number, point in enumerate(found)
    ]


def lose(ground: Ground, member: Any, early: bool) -> None:
    """Cut the power; ``early``: and give it back while the run is still at it."""
    ground.bed.of.power_off(member)
    if early:
        time.sleep(1)
        ground.bed.of.power_on(member)


def come_back(ground: Ground, member: Any, early: bool) -> None:
    if not early:
        ground.bed.of.power_on(member)
    ground.bed.of.wait_reachable(member)


def assert_others_are_one(ground: Ground, lost: Any, done: Play) -> None:
    """The others agree: old and serving, or restored, since they are a quorum that clients may have written to."""
    others = [member for member in ground.bed.members if member != lost]
    ends = {ground.steps(member)[-1] for member in others}
    if ends == {"finished"}:
        ground.assert_new(others)
        assert done.rc == 0 or says_missing(done, lost), done.output
        return
    assert ends == {"rolled_back"}, ground.story()
    ground.assert_old(others)
    assert done.rc != 0 and says_gone(ground, done, lost), done.output


def says_missing(done: Play, lost: Any) -> bool:
    """Whether the run names the host that was lost: as gone, or, where it came back too late to be proven, as missing."""
    return f"[{lost.host}]: UNREACHABLE!" in done.output or f"What is missing: {lost.name}." in done.text


@pytest.mark.parametrize("point, early", points([*POINTS, *at_random(["stopping", "stopped", "started"], 1, "host")]))
def test_killed_at(real: Ground, point: Point, early: bool, record_property) -> None:
    lost = real.bed.members[point.member]
    with start(real, *IMPATIENT) as running:
        running.until_step(lost, point.step)
        time.sleep(point.after)
        lose(real, lost, early)
        done = running.end()
    assert_others_are_one(real, lost, done)
    come_back(real, lost, early)
    real.assert_nothing_is_lost()
    assert_is_over(real, record_property)


@pytest.mark.parametrize("point, early", points([Point("rolling_back", 0), Point("put_back", 2)]))
def test_killed_while_the_old_data_is_put_back(real: Ground, point: Point, early: bool, record_property) -> None:
    lost = real.bed.members[point.member]
    others = [member for member in real.bed.members if member != lost]
    with real.bed.refuses(real.bed.members[1]), real.bed.refuses(real.bed.members[2]):
        with start(real, *IMPATIENT) as running:
            running.until_step(lost, point.step)
            lose(real, lost, early)
            done = running.end()
        assert done.rc != 0 and {real.steps(member)[-1] for member in others} == {"rolled_back"}, done.output
        real.assert_old(others)
        come_back(real, lost, early)  # as long as nobody is there, nothing can be made to start again
    real.assert_nothing_is_lost()
    assert_is_over(real, record_property)
