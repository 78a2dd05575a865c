# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of a job that is killed where one wants, and the next one that must end it: for every job that changes a cluster.

A job says which playbook with which arguments, where its journals lie, and what must be true afterwards.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Collection, NamedTuple, Sequence

import pytest
from beds import Bed
from conftest import CHECKOUT, PLAYBOOK_SECONDS, Play, playbook_argv, user_environment

SEED = os.environ.get("FAULTS_SEED", "1")
MARK = "QUORUM_ETCD_FAULTS"  # in the environment of a run and of all that it starts, but not of etcd


class UnderFire:
    """A cluster in which runs of a job are killed, round by round."""

    playbook: Path
    folder: str  # of the job's journals, in the state folder

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._began: dict[str, tuple[str, int]] = {}
        self._let_go: list[str] = []  # marks of runs of which something may still live

    def arguments(self) -> list[str]:
        """What the job is started with in this round."""
        raise NotImplementedError

    def assert_is_done(self) -> None:
        """What must be true once a run has ended well."""
        raise NotImplementedError

    def begin_round(self) -> None:
        """From now on the steps of the journals are this round's."""
        self._began = {member.host: self._place(member) for member in self.bed.members}

    def end(self) -> None:
        """The round is over, and with it what its runs have left alive: a worker without its controller sleeps for ever."""
        while self._let_go:
            _kill_marked(self._let_go.pop())

    def let_go(self, mark: str) -> bool:
        """What a run has left alive may live on until the round is over. Whether there is any."""
        self._let_go.append(mark)
        return bool(_marked(mark))

    # ---- the journals ------------------------------------------------------------------------------------------------

    def journals(self, member: Any) -> Path:
        return self.bed.state(member) / self.folder

    def _place(self, member: Any) -> tuple[str, int]:
        name, entries = self._newest(member)
        return name, len(entries)

    def _newest(self, member: Any) -> tuple[str, list[dict]]:
        """The newest run of the job on this host, and its steps; a line that is being written is not one yet."""
        try:
            name = max(name for name in os.listdir(self.journals(member)) if not name.startswith("."))
            lines = (self.journals(member) / name / "journal.jsonl").read_text().splitlines()
        except (OSError, ValueError):
            return "", []
        entries = []
        for line in lines:
            with suppress(ValueError):
                entries.append(json.loads(line))
        return name, entries

    def entries(self, member: Any) -> list[dict]:
        """What this host's journal says of this round, over all runs."""
        name, entries = self._newest(member)
        known, count = self._began[member.host]
        return entries[count:] if name == known else entries

    def steps(self, member: Any) -> list[str]:
        return [entry["step"] for entry in self.entries(member)]

    def story(self) -> str:
        return "\n".join(f"{member.host}: {' '.join(self.steps(member))}" for member in self.bed.members)


class Run:
    """An ansible-playbook under way. As a context manager it leaves nothing of it behind."""

    def __init__(self, fire: UnderFire, *arguments: str) -> None:
        self._fire = fire
        self.mark = f"{os.getpid()}-{random.getrandbits(64):x}"
        self._argv = playbook_argv(fire.playbook, "-i", fire.bed.inventory, *fire.arguments(), *arguments)
        self._log = (fire.bed.dir / f"play-{self.mark}.log").open("w+")
        self._process = subprocess.Popen(
            self._argv,
            cwd=CHECKOUT,
            env={**user_environment(), MARK: self.mark},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill(modules=True)
        self._log.close()

    def until(self, happened: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        """Wait for something; AssertionError where the run ends without it."""
        deadline = time.monotonic() + seconds
        while not happened():
            over = self._process.poll() is not None and not happened()
            assert not over and time.monotonic() < deadline, (
                f"the run never came to {what}\n{self._fire.story()}\n{self.output}"
            )
            time.sleep(0.002)

    def until_step(self, member: Any, step: str) -> None:
        self.until(lambda: step in self._fire.steps(member), f"{step} on {member.host}")

    def until_point(self, point: Point) -> None:
        everyone = self._fire.bed.members
        members = everyone if point.member == ANYBODY else [everyone[point.member]]
        self.until(lambda: any(point.step in self._fire.steps(member) for member in members), str(point))
        time.sleep(point.after)

    def hold(self) -> None:
        """No task is begun from now on; those that were go on."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until what was begun has ended, and its answers have come to the controller: until its workers are gone."""
        deadline = time.monotonic() + seconds
        while _children(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self, modules: bool) -> bool:
        """SIGKILL for the controller, and for its workers, modules and connections too or not. Whether it still ran."""
        ran = self._process.poll() is None
        if ran:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if modules:
            _kill_marked(self.mark)
        return ran

    def let_go(self) -> bool:
        """What was left alive may live on after the context too, until the round is over. Whether there is any."""
        left = self._fire.let_go(self.mark)
        self.mark = "nothing any more"
        return left

    def end(self, seconds: float = PLAYBOOK_SECONDS) -> Play:
        """Wait until it has ended by itself."""
        try:
            rc = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the run did not end in {seconds:g} s\n{self.output}") from None
        assert "Traceback" not in self.output, self.output
        return Play(rc, self.output)

    @property
    def output(self) -> str:
        self._log.flush()
        return f"$ {' '.join(self._argv)}\n{Path(self._log.name).read_text()}"


def _marked(mark: str) -> list[int]:
    """The processes that a run has started and that still live. etcd's own are started with a clean environment."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0") and _lives(path.parent):
                found.append(int(path.parent.name))
    return found


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == pid and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def _kill_marked(mark: str) -> None:
    while left := _marked(mark):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _lives(process: Path) -> bool:
    return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


def start(fire: UnderFire, *arguments: str) -> Run:
    return Run(fire, *arguments)


def run(fire: UnderFire, *arguments: str) -> Play:
    """The job of this round as its user runs it, to the end."""
    with start(fire, *arguments) as running:
        return running.end()


# ---- where it is killed ----------------------------------------------------------------------------------------------


ANYBODY = -1  # whichever member's journal has it first


class Point(NamedTuple):
    """A place in a run: so many seconds after the step appeared in the journal of member number so and so, or of anybody."""

    step: str
    member: int
    after: float = 0.0
    modules: bool = True  # die with the controller

    def __str__(self) -> str:
        later = f"+{self.after * 1000:.0f}ms" if self.after else ""
        whose = "" if self.member == ANYBODY else f"-m{self.member + 1}"
        return f"{self.step}{later}{whose}{'' if self.modules else '-modules-live'}"


def marks(name: str, sample: Collection[str], group: str) -> list[pytest.MarkDecorator]:
    """Of a point: whose lab it takes, and that it is long where it is none of the sample that `make test` has too."""
    return [pytest.mark.xdist_group(group), *([] if name in sample else [pytest.mark.long])]


def points(found: Sequence[Point], sample: Collection[str], *groups: str) -> list:
    """As parameters of a test; the groups, a cluster for each worker of pytest-xdist, take turns."""
    return [
        pytest.param(point, id=str(point), marks=marks(str(point), sample, groups[number % len(groups)]))
        for number, point in enumerate(found)
    ]


def at_random(steps: list[str], count: int, name: str) -> list[Point]:
    """Moments between the boundaries; the same for the same seed."""
    dice = random.Random(f"{SEED} {name}")
    return [
        Point(dice.choice(steps), dice.randrange(3), round(dice.uniform(0.005, 0.6), 3), dice.random() < 0.5)
        for _point in range(count)
    ]


def killed_at(fire: UnderFire, point: Point, *arguments: str) -> bool:
    """Run the job, and kill it there. Whether something of it still lives, which may yet do what it was told."""
    with start(fire, *arguments) as running:
        running.until_point(point)
        running.kill(point.modules)
        return running.let_go()
