# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's commands of a mirror, as a host runs them, between two labs: until it has caught up, as a service, and compared."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import typing_extensions
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build
from client import dump, seed
from conftest import CHECKOUT, play
from lab import Lab
from test_alerts import RULES, SERIES, names, series_and_rules, told, values
from waiting import until

PATIENCE = 60.0  # seconds
NAME = re.compile(r"\betcd_mirror_\w+")
LEFT_OUT = b"quorum.etcd/mirror/"


class Mirror:
    """One with settings, state and metrics of its own, and the program as one file, under a Python that has grpcio."""

    def __init__(
        self, source: Lab, destination: Lab, home: Path, python: str = sys.executable, **settings: Any
    ) -> None:
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
        self._argv = [python, str(home / "quorum-etcd")]

    def argv(self, *words: str, command: str = "mirror") -> list[str]:
        return [*self._argv, command, *words, "--config", str(self.config)]

    def begin(self, *words: str, command: str = "mirror") -> subprocess.Popen:
        argv = self.argv(*words, command=command)
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *words: str, command: str = "mirror") -> tuple[int, str]:
        process = self.begin(*words, command=command)
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
        until(lambda: mirror.told()[1]["state"] == "ok", "a mirror that follows")
        assert mirror.told()[0] == 0
        mirror.source.members[0].client.put(b"app/new", b"1")
        mirror.source.members[0].client.delete(b"app/gone")
        until(mirror.equal, "what was written")
        assert mirror.run("verify", "dr")[0] == 0
        until(lambda: 'phase="follow"} 1' in mirror.monitored(), "the metrics")
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
        until(lambda: mirror.told()[1]["state"] == "ok", "a mirror that follows")
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


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A Python with nothing but its own library, and a folder that has grpcio as it is unpacked of wheels."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "python", symlinks=True)
    modules = folder / "modules"
    modules.mkdir(mode=0o700)
    for module in (Path(grpc.__file__).parent, Path(typing_extensions.__file__)):
        (modules / module.name).symlink_to(module.resolve())
    return str(folder / "python" / "bin" / "python"), modules


def test_a_host_that_has_grpcio_of_wheels_alone(bare: tuple[str, Path], labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    """By hand too, and by the playbooks: only the mirror's settings say where it is unpacked."""
    python, modules = bare
    without = Mirror(*labs, tmp_path / "without", python)
    for words in (("run", "dr", "--once"), ("verify", "dr"), ("cutover", "dr")):
        code, said = without.run(*words)
        assert code == 1 and "cannot load grpcio" in said and "etcd_mirror_grpcio_wheels" in said, said

    settings = {"prefix": "app/", "overwrite": True, "keep_log": True, "modules": str(modules)}
    mirror = Mirror(*labs, tmp_path / "host", python, **settings)
    code, said = mirror.run("run", "dr", "--once")
    assert code == 0 and "caught up" in said, said
    code, said = mirror.run("verify", "dr")
    assert code == 0 and "mirror dr is equal to its source" in said, said
    code, said = mirror.run("cutover", "dr", "--accept", "leases")
    assert code == 0 and "nothing was touched: confirm" in said, said
    revision = str(mirror.told()[1]["status"]["applied_revision"])
    code, said = mirror.run("dr", "--all", "--revision", revision, command="recover")
    assert code == 0 and "it is as it was" in said, said

    inventory = tmp_path / "hosts.json"
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": python}
    engine = {**local, "etcd_mirror_name": "dr", "etcd_mirror_config": str(mirror.config)}
    inventory.write_text(json.dumps({"all": {"children": {"etcd_mirror": {"hosts": {"engine": engine}}}}}))
    accepts = ("-e", json.dumps({"etcd_mirror_cutover_accept": ["leases"]}))
    moves = play(CHECKOUT / "playbooks" / "mirror_cutover.yml", "-i", inventory, *accepts)
    assert moves.rc == 0 and "nothing was touched: confirm" in moves.text, moves.output
    recovers = ("-e", "etcd_mirror_recover_all=true", "-e", f"etcd_mirror_recover_revision={revision}")
    found = play(CHECKOUT / "playbooks" / "mirror_recover.yml", "-i", inventory, *recovers)
    assert found.rc == 0 and "it is as it was" in found.text, found.output

    modules.chmod(0o777)
    code, said = mirror.run("verify", "dr")
    assert code == 1 and f"the Python modules in {modules} are not believed" in said, said
    modules.chmod(0o700)
