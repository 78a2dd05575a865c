# SPDX-License-Identifier: GPL-3.0-or-later
"""switch_leader.yml is killed wherever it writes down how far it is; it is simply run again, and no key is lost."""

from __future__ import annotations

import pytest
from beds import LabBed
from client import differences, dump, seed
from conftest import CHECKOUT
from killing import Point, UnderFire, killed_at, points, run
from lab import Lab

POINTS = [Point("planned", 1), Point("move_begun", 0), Point("move_done", 2), Point("proven", 0), Point("finished", 1)]
SAMPLE = ["move_begun-m1", "proven-m1"]  # in `make test` too


class Switch(UnderFire):
    playbook, folder = CHECKOUT / "playbooks" / "switch_leader.yml", "restores"

    def begin(self) -> Switch:
        self.bed.wait_ready()
        leader = self.leader()
        self.to = next(member.name for member in self.bed.members if member.name != leader)
        self.keys = dump(self.bed.client(self.bed.members[0]), serializable=False)
        self.pids = [self.bed.pid(member) for member in self.bed.members]
        self.begin_round()
        return self

    def arguments(self) -> list[str]:
        return ["-e", "etcd_switch_leader_confirm=etcd", "-e", f"etcd_switch_leader_to={self.to}"]

    def leader(self) -> str:
        (name,) = {
            member.name
            for member in self.bed.members
            for status in [self.bed.client(member).status()]
            if status.leader == status.member_id
        }
        return name

    def assert_is_done(self) -> None:
        assert self.leader() == self.to, self.story()
        self.assert_serves()

    def assert_serves(self) -> None:
        """Whatever became of the run: no member was stopped, and all of them have the keys of before."""
        assert [self.bed.pid(member) for member in self.bed.members] == self.pids, self.story()
        for member in self.bed.members:
            left = {key: value for key, value in dump(self.bed.client(member)).items() if b"quorum.etcd/" not in key}
            assert differences(self.keys, left) == [], f"{member.host}\n{self.story()}"


@pytest.mark.parametrize("point", points(POINTS, SAMPLE, "lab-0"))
def test_killed_and_run_again(lab: Lab, point: Point) -> None:
    seed(lab.members[0].client, 20)
    fire = Switch(LabBed(lab)).begin()
    try:
        killed_at(fire, point)
        fire.assert_serves()
        done = run(fire)
        assert done.rc == 0, done.output + fire.story()
        fire.assert_is_done()
    finally:
        fire.end()
