# SPDX-License-Identifier: GPL-3.0-or-later
"""failover_drill.yml is killed wherever it writes down how far it is: the member comes back, and the next run ends right."""

from __future__ import annotations

import time

import pytest
from beds import LabBed
from client import differences, dump, seed
from conftest import CHECKOUT
from killing import Point, UnderFire, killed_at, points, run
from lab import Lab

# The first member is taken away, and the client is on the second one's host.
AWAY, CLIENT = 0, 1
POINTS = [
    *(Point(step, AWAY) for step in ("planned", "ready_done", "drill_begun", "armed", "taking", "taken")),
    *(Point("taken", AWAY, after) for after in (0.4, 3.0)),
    *(Point(step, AWAY) for step in ("put_back", "caught_up", "drill_done", "proven", "finished")),
    *(Point(step, CLIENT) for step in ("ready_begun", "measuring", "measured", "prove_begun", "finished")),
    *(Point(step, AWAY, modules=False) for step in ("armed", "taken", "put_back")),
]
SAMPLE = ["taken-m1", "taken-m1-modules-live"]  # in `make test` too
SECONDS = 5


class Drill(UnderFire):
    playbook, folder = CHECKOUT / "playbooks" / "failover_drill.yml", "restores"
    how, seconds = "kill", SECONDS

    def begin(self, how: str, seconds: int = SECONDS) -> Drill:
        self.how, self.seconds = how, seconds
        self.bed.wait_ready()
        self.keys = self.dump(self.bed.members[0])
        self.pids = [self.bed.pid(member) for member in self.bed.members]
        self.begin_round()
        return self

    def dump(self, member: object) -> dict:
        found = dump(self.bed.client(member), serializable=False)
        return {key: value for key, value in found.items() if not key.startswith(b"quorum.etcd/")}

    def arguments(self) -> list[str]:
        asked = {"confirm": "etcd", "who": self.bed.members[AWAY].name, "how": self.how, "seconds": self.seconds}
        return [word for name, value in asked.items() for word in ("-e", f"etcd_failover_drill_{name}={value}")]

    def assert_comes_back_by_itself(self) -> None:
        """Without any run: the host does it."""
        self.bed.wait_ready()
        until = time.monotonic() + 60
        while armed := list(self.journals(self.bed.members[AWAY]).glob("*/armed")):
            assert time.monotonic() < until, f"{armed}\n{self.story()}"
            time.sleep(0.2)
        self.bed.wait_ready()
        self.assert_keys()
        pids = [self.bed.pid(member) for member in self.bed.members]
        assert pids[1:] == self.pids[1:], f"nobody else was taken away\n{self.story()}"

    def assert_keys(self) -> None:
        for member in self.bed.members:
            assert differences(self.keys, self.dump(member)) == [], f"{member.host}\n{self.story()}"

    def assert_is_done(self) -> None:
        self.assert_comes_back_by_itself()
        client = self.bed.client(self.bed.members[AWAY])
        assert not [key for key in dump(client) if key.startswith(b"quorum.etcd/failover_drill/")], "of any run"


@pytest.mark.parametrize("point", points(POINTS, SAMPLE, "lab-0"))
def test_killed_comes_back_and_is_run_again(lab: Lab, point: Point) -> None:
    seed(lab.members[0].client, 20)
    fire = Drill(LabBed(lab)).begin("stop" if POINTS.index(point) % 2 else "kill")
    try:
        killed_at(fire, point)
        fire.assert_comes_back_by_itself()
        done = run(fire)
        assert done.rc == 0, done.output + fire.story()
        fire.assert_is_done()
    finally:
        fire.end()


@pytest.mark.xdist_group("lab-0")
def test_run_again_at_once_it_puts_back_first(lab: Lab) -> None:
    """Before the timer does, also on a machine that needs long for a plan."""
    seed(lab.members[0].client, 20)
    fire = Drill(LabBed(lab)).begin("kill", seconds=25)
    try:
        killed_at(fire, Point("taken", AWAY, 0.4))
        assert lab.members[AWAY].pid() is None
        done = run(fire)
        assert done.rc == 0 and "what it has taken away is put back first" in done.text, done.output + fire.story()
        fire.assert_is_done()
    finally:
        fire.end()
