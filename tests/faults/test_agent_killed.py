# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent is killed at 60 moments: before its steps, and a moment after some; it is simply run again.

What lies here and in the store is whole at every moment, and after the next run it is what it would have been without the kill.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from agents import PYTHON, Agent, made_program
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import NAME as LOCK
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import ALL, catalogue
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.names import kit_path, manifest_path
from client import seed
from conftest import CHECKOUT
from killing import SEED
from lab import Lab

pytestmark = pytest.mark.xdist_group("agent-killed")
MOMENTS, KEEP = 60, 3
DYING, TOGETHER = Path(__file__).with_name("dying.py"), CHECKOUT / "docs" / "put_together.py"
LATER = 12  # of them are a moment after a step
# Each of these is one of the moments, and of the others some that are drawn.
NAMED = (
    "lock",
    "os.mkdir .quorum-etcd-saving",
    "etcdctl snapshot save",
    "os.rename",
    "os.rmdir",
    "os.remove etcd-TIME",
    "open prunes.jsonl",
    "open backups.jsonl",
    "open uploads.jsonl",
)


class Death(NamedTuple):
    """Before which step, so many seconds later, and whether its children die with it."""

    step: int
    seconds: float
    children: bool


class Bed:
    """One member and its agent, whose every run has something to save and something to remove."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.home, self._client, self._round = home, lab.members[0].client, 0
        self.program = made_program(home)
        self.metrics = home / "metrics"
        self.metrics.mkdir()
        self.store = home / "store"
        self.store.mkdir()
        settings = {"keep": KEEP, "metrics_dir": str(self.metrics), "compress": "gzip", "kit": True}
        settings["offsite"] = [{"name": "nas", "folder": str(self.store), "mounted": False}]
        self.agent = Agent(lab, lab.members[0], self.program, home / "own", **settings)
        self.begin()
        self.write()
        self.steps = self.dies(Death(0, 0.0, False))
        assert len(self.snapshots()) == KEEP

    def begin(self) -> None:
        """A folder in which all is well, whatever was there."""
        for folder in (self.agent.folder, self.store / "etcd", self.agent.config.parent / "state"):
            shutil.rmtree(folder, ignore_errors=True)
        self.saved: set[str] = set()
        for _one in range(KEEP):
            self.write()
            assert self.agent.run("backup")[1]["result"] == "saved"
        self.saved = set(self.snapshots())

    def write(self) -> None:
        self._round += 1
        self._client.put(b"round", b"%d" % self._round)

    def revision(self) -> int:
        return self._client.status().revision

    def dies(self, death: Death) -> list[str]:
        """A run that dies so, and its steps until then; with step 0 it lives."""
        log = self.home / "steps.log"
        words = [str(self.home), str(log), str(death.step), str(death.seconds), *self.agent.argv[1:]]
        argv = [PYTHON, str(DYING), *words, "backup", "--config", str(self.agent.config)]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        _out, err = process.communicate(timeout=60) if death.step == 0 else (process.wait(60), "")
        if death.children:
            with_children(process.pid)
        steps = log.read_text().splitlines()
        # Where it should have died a moment later, or at a step that this run does not have, it may have ended before.
        lives = death.step == 0 or death.seconds or len(steps) < death.step
        assert process.returncode in ([0, -signal.SIGKILL] if lives else [-signal.SIGKILL]), err
        return steps

    def snapshots(self) -> list[str]:
        """The names of the snapshots, each of which is whole and has its manifest."""
        found = catalogue(str(self.agent.folder), ALL)
        assert [(one.name, one.reason) for one in found if not (one.ok and one.verified and one.manifest)] == []
        return sorted(one.name for one in found)

    def shipped(self) -> set[str]:
        """The snapshots in the store, by the names that they have there; what each one's manifest speaks of is whole."""
        found = set()
        for path in (self.store / "etcd").glob("*.json"):
            offsite = json.loads(path.read_text())["offsite"]
            object_ = path.with_name(offsite["object"])
            assert hashlib.sha256(object_.read_bytes()).hexdigest() == offsite["sha256"], object_
            assert offsite["kind"] == "full" or path.with_name(f"{offsite['base_name']}.json").exists(), path
            found.add(path.name[: -len(".json")])
        return found

    def put_together(self, name: str) -> str:
        """The SHA-256 of what the script of thirty lines makes of the store's objects."""
        result = self.home / "together.db"
        result.unlink(missing_ok=True)
        argv = [PYTHON, str(TOGETHER), str(self.store / "etcd" / f"{name}.json"), str(result)]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        return hashlib.sha256(result.read_bytes()).hexdigest()

    def names(self) -> set[str]:
        return {path.name for path in self.agent.folder.iterdir()}

    def records(self, name: str) -> list[dict]:
        path = self.agent.config.parent / "state" / name
        return [json.loads(line) for line in path.read_text().splitlines() if line]

    def holder(self) -> int:
        """The process that has the lock, or had it when it died; 0 for none."""
        text = (self.agent.folder / LOCK).read_text()
        return json.loads(text)["pid"] if text else 0


def plain(name: str) -> str:
    """The name of a snapshot that is compressed here, as it is called off-site."""
    return name[: -len(".gz")]


def with_children(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def deaths(steps: list[str]) -> list[Death]:
    """Before each step of those that matter most and before others, and a moment after some; the same for the same seed."""
    dice = random.Random(f"{SEED} agent")
    numbers = range(1, len(steps) + 1)
    named = [number for number in numbers if steps[number - 1].startswith(NAMED)]
    others = dice.sample([number for number in numbers if number not in named], len(steps) - len(named))
    before = [Death(step, 0.0, dice.random() < 0.5) for step in [*named, *others]][: MOMENTS - LATER]
    after = [Death(dice.choice(numbers), dice.uniform(0.001, 0.08), dice.random() < 0.5) for _one in range(LATER)]
    return [*before, *after]


@pytest.fixture(scope="module")
def only_bed(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("agent-killed")
    with Lab(home / "lab", members=1) as lab:
        seed(lab.members[0].client, 50)
        yield Bed(lab, home)


@pytest.fixture
def bed(only_bed: Bed, request: pytest.FixtureRequest):
    """What one test leaves behind when it fails is no other's."""
    failed = request.session.testsfailed
    yield only_bed
    if request.session.testsfailed > failed:
        only_bed.begin()


def test_these_are_its_steps(bed: Bed) -> None:
    assert [name for name in NAMED if not any(step.startswith(name) for step in bed.steps)] == []
    moments = {death.step for death in deaths(bed.steps) if not death.seconds}
    assert [step for number, step in enumerate(bed.steps, 1) if step.startswith(NAMED) and number not in moments] == []
    assert len(deaths(bed.steps)) == MOMENTS


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_and_run_again(bed: Bed, moment: int, record_property) -> None:
    death = deaths(bed.steps)[moment]
    before = bed.snapshots()
    bed.write()
    recorded = len(bed.records("backups.jsonl"))
    bed.dies(death)
    where = f"killed {death.seconds * 1000:.0f} ms after {bed.steps[death.step - 1]} had to begin (FAULTS_SEED={SEED})"

    left, holder, in_store = bed.snapshots(), bed.holder(), bed.shipped()
    assert len(left) >= KEEP and set(before[1:]) <= set(left), f"{where}: what is to be kept is there, and whole"
    assert not (told := bed.metrics / "quorum-etcd.prom").exists() or told.read_text().endswith("\n"), where

    code, again = bed.agent.run("backup")
    assert code == 0, f"{where}: {again}"
    new = [name for name in left if name not in before]
    assert again["result"] == ("unchanged" if new else "saved"), f"{where}: {again}"
    found = bed.snapshots()
    assert found == sorted({*before, *new, Path(again["path"]).name})[-KEEP:], f"{where}: no more, and no others"
    assert again["revision"] == bed.revision(), where
    beside = {other for name in found for other in (manifest_path(name), kit_path(name))}
    assert bed.names() == {*found, *beside, LOCK}, f"{where}: nothing half is left"
    assert {path.name for path in bed.metrics.iterdir()} == {"quorum-etcd.prom"}, where

    bed.saved |= {*new, *found}
    assert in_store <= bed.shipped() == {plain(name) for name in bed.saved}, (
        f"{where}: the store has every one that was saved"
    )
    assert bed.put_together(plain(found[-1])) == again["sha256"], where
    waiting = {path.name for path in (bed.agent.config.parent / "state" / "spool").iterdir()}
    assert waiting == {LOCK, ".page-hashes"}, f"{where}: nothing waits, and nothing half is left"

    records = bed.records("backups.jsonl")[recorded:]
    killed = [one for one in records if "ended in the middle of its backup: it was killed" in one["cause"]]
    assert [f"process {holder} of" in one["cause"] for one in killed] == ([True] if holder else []), (
        f"{where}: {records}"
    )
    assert records[-1]["result"] == again["result"] and bed.agent.run("status")[0] == 0, where
    record_property("what became of it", "had saved" if new else "had saved nothing")
