# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's commands of a mirror, as a host runs them, between two labs: until it has caught up, as a service, and compared."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build
from client import dump, seed
from lab import Lab
from test_alerts import RULES, SERIES, names, series_and_rules, told, values

PATIENCE = 60.0  # seconds
NAME = re.compile(r"\betcd_mirror_\w+")
LEFT_OUT = b"quorum.etcd/mirror/"


class Mirror:
    """One with settings, state and metrics of its own, and the program as one file, under the Python that has grpcio."""

    def __init__(self, source: Lab, destination: Lab, home: Path, **settings: Any) -> None:
        self.source, self.destination, self.metrics = source, destination, home / "metrics"
        for folder in (home, self.metrics):
            folder.mkdir()
        (home / "quorum-etcd").write_bytes(build())
        self.config = home / "dr.json"
        given = {
            "name": "dr",
            "source": {"endpoints": source.endpoints},
            "destination": {"endpoints": destination.endpoints},
            "state_dir": str(home / "state"),
            "metrics_dir": str(self.metrics),
        }
        self.config.write_text(json.dumps({**given, **settings}))
        self._argv = [sys.executable, str(home / "quorum-etcd"), "mirror"]

    def begin(self, *words: str) -> subprocess.Popen:
        argv = [*self._argv, *words, "--config", str(self.config)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *words: str) -> tuple[int, str]:
        process = self.begin(*words)
        said, _nothing = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def told(self) -> tuple[int, dict[str, Any]]:
        code, said = self.run("status", "dr", "--json")
        return code, json.loads(said)["mirrors"][0]

    def monitored(self) -> str:
        (path,) = self.metrics.iterdir()
        assert path.name == "quorum-etcd-mirror-dr.prom"
        return path.read_text()

    def equal(self) -> bool:
        return held(self.source) == held(self.destination)


def held(lab: Lab) -> dict[bytes, bytes]:
    found = dump(lab.members[0].client, serializable=False)
    return {key: entry.value for key, entry in found.items() if LEFT_OUT not in key}


def wait_for(what: str, is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, f"{what} has not come true"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    folder = tmp_path_factory.mktemp("mirror")
    with Lab(folder / "source", members=1) as source, Lab(folder / "destination", members=1) as destination:
        seed(source.members[0].client, 300)
        yield source, destination


@pytest.fixture
def mirror(labs: tuple[Lab, Lab], tmp_path: Path) -> Mirror:
    return Mirror(*labs, tmp_path / "host")


def test_once_until_it_has_caught_up_and_then_compared(mirror: Mirror) -> None:
    code, health = mirror.told()
    assert (code, health["state"]) == (1, "never run")
    code, said = mirror.run("run", "dr", "--once")
    assert code == 0 and "caught up" in said, said
    assert mirror.equal()
    code, said = mirror.run("verify", "dr")
    assert code == 0 and "mirror dr is equal to its source" in said, said

    # What somebody else does to the mirror is found, named, and told to a monitor.
    mirror.destination.members[0].client.put(b"app/stranger", b"1")
    code, said = mirror.run("verify", "dr")
    assert code == 1 and "DIFFERS" in said and "app/stranger" in said, said
    code, health = mirror.told()
    assert (code, health["state"], health["differences"]) == (1, "silent", 1), "as a service it should run"
    found = values(mirror.monitored())
    assert found['etcd_mirror_verified_differing_keys{mirror="dr"}'] == 1
    mirror.destination.members[0].client.delete(b"app/stranger")
    assert mirror.run("verify", "dr")[0] == 0


def test_as_a_service_it_tells_a_monitor_and_ends_when_told(mirror: Mirror) -> None:
    process = mirror.begin("run", "dr")
    try:
        wait_for("a mirror that follows", lambda: mirror.told()[1]["state"] == "ok")
        assert mirror.told()[0] == 0
        mirror.source.members[0].client.put(b"app/new", b"1")
        mirror.source.members[0].client.delete(b"app/gone")
        wait_for("what was written", mirror.equal)
        assert mirror.run("verify", "dr")[0] == 0
        wait_for("the metrics", lambda: 'phase="follow"} 1' in mirror.monitored())
        text = mirror.monitored()
        assert told("check", "metrics", given=text) == "", "promtool has nothing to say of the names, types and words"
        read = {word for file in (RULES, SERIES) for word in NAME.findall(series_and_rules(file))}
        assert read and read <= names(text), "rules and series have the names that are written, and no others"
    finally:
        process.send_signal(signal.SIGTERM)
        said, _nothing = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "stopped" in said, said
    assert mirror.told()[1]["state"] == "silent" and 'phase="stopped"} 1' in mirror.monitored()


def test_of_two_engines_the_first_ends_and_says_so(mirror: Mirror, labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    other = Mirror(*labs, tmp_path / "other")
    first = mirror.begin("run", "dr")
    try:
        wait_for("a mirror that follows", lambda: mirror.told()[1]["state"] == "ok")
        assert other.run("run", "dr", "--once")[0] == 0
        mirror.source.members[0].client.put(b"app/two", b"1")
        said, _nothing = first.communicate(timeout=PATIENCE)
    finally:
        first.kill()
    assert first.returncode == 4 and "OVERTAKEN" in said, said
    code, health = mirror.told()
    assert (code, health["state"]) == (1, "failed") and "taken over" in health["why"]


def test_a_destination_of_others_is_refused_in_words(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, destination = labs
    destination.members[0].client.put(b"theirs/1", b"1")
    mirror = Mirror(source, destination, tmp_path / "host", prefix="app/", destination_prefix="theirs/")
    code, said = mirror.run("run", "dr", "--once")
    assert code == 1 and "FAILED" in said and "no mirror has written" in said, said
    assert mirror.told()[1]["state"] == "failed"
    destination.members[0].client.delete(b"theirs/1")
