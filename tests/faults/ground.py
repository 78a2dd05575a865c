# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: a cluster whose old data and snapshot can be told apart, and a run of restore.yml that is killed where one wants.

One cluster serves many faults. Each round writes a new snapshot and, after it, a new old state: keys that only the one
has, keys that only the other has, and keys that both have with other values. So a mixture of the two cannot hide.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from beds import SERVE_SECONDS, Bed
from client import Client, GatewayError, differences, dump, seed
from conftest import CONFIRM, RESTORE, Play
from killing import UnderFire, run

CLOSED = ("finished", "rolled_back")
KEYS = 20  # of each sort, a round


# ---- the cluster under fire ------------------------------------------------------------------------------------------


class Ground(UnderFire):
    """A cluster under restores, what the snapshot of this round holds and what the cluster itself held when the round began."""

    playbook, folder = RESTORE, "restores"

    def __init__(self, bed: Bed) -> None:
        super().__init__(bed)
        self.round = 0
        self.new: dict = {}
        self.old: dict = {}
        self.configurations: list[str] = []
        self.pids: list[str] = []
        self.snapshot = Path()
        self.elsewhere = Path("/nowhere")  # where the slow way moves the old data
        seed(self._any, 300)

    @property
    def _any(self) -> Client:
        return self.bed.client(self.bed.members[0])

    def begin(self) -> Ground:
        """A new snapshot and a new old state. Nothing of an earlier round is left that could be taken for this one's."""
        self.bed.wait_ready()
        self._clean_up()
        self.elsewhere = Path("/nowhere")
        self.round += 1
        client, name = self._any, b"%d" % self.round
        client.delete_range(b"round/", b"round0")
        client.put_many((b"round/both/%d" % n, b"snapshot " + name) for n in range(KEYS))
        client.put_many((b"round/new/%s/%d" % (name, n), b"snapshot") for n in range(KEYS))
        self.snapshot = self.save(str(self.round))
        self.new = dump(client, serializable=False)

        client.delete_range(b"round/new/", b"round/new0")
        client.put_many((b"round/both/%d" % n, self.mark) for n in range(KEYS))
        client.put_many((b"round/old/%s/%d" % (name, n), self.mark) for n in range(KEYS))
        self.old = dump(client, serializable=False)
        assert len(differences(self.new, self.old)) == 3 * KEYS, "the old state and the snapshot must be told apart"
        self.configurations = [self.bed.configuration(member) for member in self.bed.members]
        self.pids = [self.bed.pid(member) for member in self.bed.members]
        self.begin_round()
        return self

    def arguments(self) -> list[str]:
        return [*CONFIRM, "-e", f"etcd_restore_snapshot={self.snapshot}"]

    def assert_is_done(self) -> None:
        self.assert_new()

    @property
    def mark(self) -> bytes:
        """Stands in the files of the old data of this round, and nowhere else."""
        return b"the old cluster of round %d in %s" % (self.round, str(self.bed.dir).encode())

    def save(self, name: str) -> Path:
        """A snapshot of what the cluster holds now, on the controller."""
        path = self.bed.dir / "snapshots" / f"{name}.db"
        path.parent.mkdir(exist_ok=True)
        argv = [self.bed.tools / "etcdctl", f"--endpoints={self._any.endpoint}", "snapshot", "save", path]
        subprocess.run(argv, check=True, capture_output=True)
        return path

    def _clean_up(self) -> None:
        """What earlier rounds have set aside: 64 MiB of WAL each."""
        for member in self.bed.members:
            for path in self.asides(member):
                shutil.rmtree(path)
        for path in (self.bed.dir / "snapshots").glob("*.db"):
            path.unlink()

    def asides(self, member: Any) -> list[Path]:
        """All that restores have put beside the data directory, or inside where it is a mount point, or elsewhere."""
        data = self.bed.data(member)
        beside = [*data.parent.glob(f"{data.name}.*"), *data.glob(".[br]*-*")]
        return sorted([*beside, *(self.elsewhere / member.host).glob("*")])

    # ---- the journals ------------------------------------------------------------------------------------------------

    def is_closed(self) -> bool:
        """Whether this round's restore has ended on every host, so that the next run begins another one."""
        return all(self.steps(member)[-1:] in [[step] for step in CLOSED] for member in self.bed.members)

    def must_go_back(self) -> bool:
        """Whether a rollback was begun that some host, whose old data was touched, has not ended."""
        every = [self.steps(member) for member in self.bed.members]
        begun = any(step in ("rolling_back", "rolled_back") for steps in every for step in steps)
        return begun and any("stopping" in steps and steps[-1] not in CLOSED for steps in every)

    def touched(self) -> bool:
        return any("stopping" in self.steps(member) for member in self.bed.members)

    # ---- what must be true -------------------------------------------------------------------------------------------

    def assert_untouched(self) -> None:
        """Nothing was stopped: the same processes with the same data and configuration."""
        assert [self.bed.pid(member) for member in self.bed.members] == self.pids, self.story()
        self.assert_old()

    def assert_new(self, members: list[Any] | None = None) -> None:
        """Every member, or these, hold the snapshot's data, key by key, and the old data lies beside it."""
        for member in members or self.bed.members:
            self._wait_for(member)
            self._assert_holds(member, self.new)
            state = [line for line in self.bed.configuration(member).splitlines() if _is_state(line)]
            assert state and all("existing" in line for line in state), f"{member.host}: {state}"
            assert self.keeps_old(member, aside=True), f"{member.host} has lost its old data\n{self.story()}"

    def assert_old(self, members: list[Any] | None = None) -> None:
        """Every member, or these, serve the old cluster's data, with the configuration as it was to the byte."""
        for member in members or self.bed.members:
            self._wait_for(member)
            self._assert_holds(member, self.old)
            before = self.configurations[self.bed.members.index(member)]
            assert self.bed.configuration(member) == before, member.host

    def assert_nothing_is_lost(self) -> None:
        """At this instant, whatever runs: every host still has the old data, here or there."""
        for member in self.bed.members:
            assert self.keeps_old(member), f"{member.host} has lost its old data\n{self.story()}"

    def keeps_old(self, member: Any, aside: bool = False) -> bool:
        """Whether the files of the old data are on the host; with ``aside``, elsewhere than in the live data directory."""
        for _look in range(3):  # what is at work may move it from the one place to the other between two looks
            places = [*self.asides(member), *([] if aside else [self.bed.data(member)])]
            with suppress(FileNotFoundError):
                if any(self.mark in _bytes(path) for place in places for path in place.rglob("*") if _is_data(path)):
                    return True
        return False

    def _wait_for(self, member: Any) -> None:
        until = time.monotonic() + SERVE_SECONDS
        while True:
            try:
                self.bed.client(member).get(b"ready")
                return
            except GatewayError as error:
                assert time.monotonic() < until, f"{member.host} does not serve: {error}\n{self.story()}"
                time.sleep(0.1)

    def _assert_holds(self, member: Any, wanted: dict) -> None:
        found = differences(wanted, dump(self.bed.client(member)))
        assert found == [], f"{member.host} in round {self.round}: {found[:5]}\n{self.story()}"


def _is_state(line: str) -> bool:
    return not line.lstrip().startswith("#") and "initial_cluster_state" in line.lower().replace("-", "_")


def _is_data(path: Path) -> bool:
    return path.suffix == ".wal" or path.name == "db"


def _bytes(path: Path) -> bytes:
    """A WAL segment is 64 MiB long and mostly nothing: it ends where there is nothing for long."""
    found = bytearray()
    with suppress(FileNotFoundError), path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            found += chunk
            if path.suffix == ".wal" and not chunk.strip(b"\0"):
                break
    return bytes(found)


# ---- the end of it ---------------------------------------------------------------------------------------------------


def assert_is_over(ground: Ground, record_property: Any = None, *arguments: str) -> None:
    """The next plain run completes the restore, or, where a rollback had begun, ends that and says so."""
    back = ground.must_go_back()
    done = run(ground, *arguments)
    if back:
        assert_is_back(ground, done)
    else:
        assert done.rc == 0, done.output + ground.story()
        ground.assert_new()
    if record_property:
        record_property("what became of it", "rolled back" if back else "completed")


def assert_is_back(ground: Ground, done: Play) -> None:
    assert done.rc != 0 and "Run the same command again for the restore itself" in reason(done), done.output
    ground.assert_old()
    assert all(ground.steps(member)[-1] == "rolled_back" for member in ground.bed.members), ground.story()


def reason(done: Play) -> str:
    """What a run that failed says of why."""
    found = re.search(
        r"(The restore did not succeed\..*?|The interrupted restore is taken back.*?)(?: PLAY RECAP|$)", done.text
    )
    return found.group(1) if found else ""


def says_gone(ground: Ground, done: Play, lost: Any) -> bool:
    """Whether the run names the host that was lost, and the others go by that, or by a proof in which it was missing."""
    said = done.text.replace("'", "")
    here = ", ".join(member.name for member in ground.bed.members if member != lost)
    reasons = (
        f"Reason: {lost.host}: it could not be reached any more",
        f"healthy members: expected [m1, m2, m3], found [{here}]",
    )
    return f"[{lost.host}]: UNREACHABLE!" in said and any(reason in said for reason in reasons)
