# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror's engine is killed at 60 moments under load: nothing is lost, nothing comes back, and its state tells the truth.

After each kill the destination is what its state says: at any revision that it names, the source as it was at that revision. The
next engine then makes both sides equal, key by key, and to what the writer was told is written.
"""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from typing import NamedTuple

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.threads import Beside
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import STATE_STEM
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import decoded
from killing import SEED, marks
from lab import Lab
from mirrored import dump
from mirrors import Engine

MOMENTS, KEYS = 60, 3000
STATE = STATE_STEM + b"dr"
SAMPLE = 3  # of each way
# Followed; compared, since what came next is compacted away; begun anew on another host, without the log of the one before.
FOLLOWED, COMPARED, ELSEWHERE = "followed", "compared", "elsewhere"


class Moment(NamedTuple):
    """So many seconds after the first sign of life of an engine that begins in this way."""

    way: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.way}+{self.seconds * 1000:.0f}ms"


def moments() -> list[Moment]:
    dice = random.Random(f"{SEED} mirror")
    ways = [FOLLOWED, COMPARED, ELSEWHERE] * (MOMENTS // 3)
    return [Moment(way, round(dice.uniform(0.0, 0.2 if dice.random() < 0.5 else 1.2), 3)) for way in ways]


def parameters() -> list:
    found = moments()
    sample = {str(moment) for moment in found[:SAMPLE]}
    return [pytest.param(one, id=str(one), marks=marks(str(one), sample, "mirror-killed")) for one in found]


class Writer:
    """Writes and deletes keys, one transaction after the other. ``told`` is what the source has acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client, self._dice = client, random.Random(f"{SEED} writer")
        self.told: dict[bytes, bytes] = {}
        self.written = 0

    def write(self, operations: int) -> None:
        keys = self._dice.sample(range(KEYS), operations)
        made = [
            Delete(b"key/%06d" % key)
            if self._dice.random() < 0.2
            else Put(b"key/%06d" % key, self._dice.randbytes(self._dice.choice([10, 200, 4000])))
            for key in keys
        ]
        self._client.commit([], made)
        for one in made:
            if isinstance(one, Put):
                self.told[one.key] = one.value
            else:
                self.told.pop(one.key, None)
        self.written += 1

    def until(self, over: threading.Event) -> None:
        while not over.wait(0.002):
            self.write(self._dice.choice([1, 1, 5, 128]))


class Bed:
    def __init__(self, source: Lab, destination: Lab, engine: Engine) -> None:
        self.engine = engine
        self.source, self.destination = Client(Connection(source.endpoints)), Client(Connection(destination.endpoints))
        self.writer = Writer(self.source)
        for _txn in range(KEYS // 100):
            self.writer.write(128)

    def close(self) -> None:
        self.source.close()
        self.destination.close()

    def prepare(self, way: str) -> None:
        if way == FOLLOWED:
            return
        for _txn in range(20):
            self.writer.write(100)
        if way == COMPARED:
            self.source.compact(self.source.page(b"a").header.revision)
        shutil.rmtree(self.engine.state_dir)
        self.engine.state_dir.mkdir()

    def kill_at(self, moment: Moment) -> None:
        """Under load; until then it must have lived."""
        self.prepare(moment.way)
        said, over = len(self.engine.log), threading.Event()
        writing = Beside(lambda: self.writer.until(over))
        try:
            process = self.engine.begin()
            self.until(lambda: len(self.engine.log) > said, "it has begun")
            time.sleep(moment.seconds)
            assert process.poll() is None, self.engine.log
            process.send_signal(signal.SIGKILL)
            process.wait()
        finally:
            over.set()
            writing.result()

    def until(self, happened, what: str, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < until and self.engine.process.poll() is None, (what, self.engine.log)
            time.sleep(0.005)

    def assert_the_state_tells_the_truth(self) -> bool:
        """Whether it names a revision of the source, which the destination then is."""
        there = dump(self.destination, b"")
        state = decoded(there.pop(STATE)) if STATE in there else None
        if state is None or not state.is_exact:
            return False
        assert there == dump(self.source, b"", state.revision), state
        return True

    def assert_all_is_there(self) -> None:
        there = dump(self.destination, b"")
        assert there.pop(STATE)
        assert dump(self.source, b"") == self.writer.told
        assert there == self.writer.told


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror-killed")
    with Lab(folder / "source", members=1) as source, Lab(folder / "destination", members=1) as destination:
        bed = Bed(source, destination, Engine(folder / "engine", source.endpoints, destination.endpoints))
        bed.engine.once(60)
        yield bed
        bed.close()


@pytest.mark.parametrize("moment", parameters())
def test_nothing_is_lost_and_nothing_comes_back(bed, moment):
    bed.kill_at(moment)
    bed.assert_the_state_tells_the_truth()
    bed.engine.once(60)
    bed.assert_all_is_there()
    assert bed.assert_the_state_tells_the_truth()
