# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients move to the mirror and back: refused while somebody writes, equal key by key, and no engine writes there any more."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client import dump
from lab import Lab
from test_mirror_agent import Mirror, held, wait_for

DO = ("cutover", "dr", "--confirm", "dr", "--settle", "1")
BACK = (*DO, "--back")


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    folder = tmp_path_factory.mktemp("cutover")
    with Lab(folder / "old", members=1, line="3.5") as old, Lab(folder / "new", members=1, line="3.6") as new:
        yield old, new


@pytest.fixture
def mirror(labs: tuple[Lab, Lab], tmp_path: Path) -> Iterator[Mirror]:
    """A mirror below a prefix of this test's own, which has caught up."""
    prefix = f"{uuid.uuid4().hex}/"
    made = Mirror(*labs, tmp_path / "host", prefix=prefix)
    for number in range(50):
        made.source.members[0].client.put(f"{prefix}{number:03d}".encode(), b"old")
    assert made.run("run", "dr", "--once")[0] == 0
    yield made


def below(mirror: Mirror, lab: Lab) -> dict[bytes, bytes]:
    prefix = prefix_of(mirror)
    return {key: value for key, value in held(lab).items() if key.startswith(prefix)}


def prefix_of(mirror: Mirror) -> bytes:
    return json.loads(mirror.config.read_text())["prefix"].encode()


def put(mirror: Mirror, lab: Lab, name: str, value: bytes) -> None:
    lab.members[0].client.put(prefix_of(mirror) + name.encode(), value)


def told(said: str) -> dict[str, Any]:
    return json.loads(said.strip().splitlines()[-1])


def test_it_is_shown_before_it_is_done_and_only_done_where_nobody_writes(mirror: Mirror) -> None:
    code, said = mirror.run("cutover", "dr")
    assert code == 0 and "nothing was touched: confirm with the mirror's name, dr" in said, said
    assert "Revisions are each cluster's own" in said and "Users and roles are not mirrored" in said
    assert mirror.run("cutover", "dr", "--confirm", "other")[0] == 1
    put(mirror, mirror.source, "later", b"the mirror lacks it yet")

    waiting = mirror.begin(*DO[:4], "--settle", "4")
    time.sleep(1.5)
    writes = 0
    while waiting.poll() is None and writes < 400:
        put(mirror, mirror.source, "busy", b"%d" % writes)
        writes += 1
        time.sleep(0.02)
    said, _nothing = waiting.communicate(timeout=60)
    assert (
        waiting.returncode == 1 and "Somebody still writes" in said and f"{prefix_of(mirror).decode()}busy" in said
    ), said
    assert "stop whoever writes these keys" in said

    code, said = mirror.run(*DO)
    assert code == 0 and "HANDED OVER" in said, said
    assert below(mirror, mirror.source) == below(mirror, mirror.destination) != {}
    assert prefix_of(mirror) + b"later" in below(mirror, mirror.destination)

    # Nothing writes there any more but clients.
    before = below(mirror, mirror.destination)
    put(mirror, mirror.source, "late", b"by somebody who was not stopped")
    for words in (("run", "dr", "--once"), ("run", "dr")):
        code, said = mirror.run(*words)
        assert code == 1 and "was handed over at revision" in said, said
    assert below(mirror, mirror.destination) == before
    code, said = mirror.run("verify", "dr")
    assert code == 1 and "is no mirror any more" in said, said
    code, said = mirror.run(*DO)
    assert code == 0 and "nothing to do" in said, said


def test_a_monitor_hears_that_it_was_handed_over(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    code, health = mirror.told()
    assert (code, health["state"]) == (0, "ok") and "clients use the destination" in health["why"]
    assert list(mirror.metrics.iterdir()) == [], "what was told of it would grow old"


def test_back_again_before_anything_was_written(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    code, said = mirror.run("cutover", "dr", "--back")
    assert code == 0 and "Nothing was written since: the mirror only follows again" in said, said
    code, said = mirror.run(*BACK)
    assert code == 0 and "taken back" in said, said
    put(mirror, mirror.source, "new", b"1")
    code, said = mirror.run("run", "dr", "--once")
    assert code == 0 and below(mirror, mirror.source) == below(mirror, mirror.destination), said
    assert "nothing to do" in mirror.run(*BACK)[1]


def test_back_again_with_all_that_was_written_since(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    expected = below(mirror, mirror.destination)
    prefix = prefix_of(mirror)
    new = mirror.destination.members[0].client
    for number in range(20):
        put(mirror, mirror.destination, f"{number:03d}", b"new %d" % number)
        expected[prefix + b"%03d" % number] = b"new %d" % number
    new.delete(prefix + b"049")
    del expected[prefix + b"049"]

    # What came to the old cluster meanwhile would be undone: it is not, unless that is accepted.
    put(mirror, mirror.source, "030", b"late")
    code, said = mirror.run(*BACK)
    assert code == 1 and "Both clusters were written to" in said and f"{prefix.decode()}030" in said, said
    assert below(mirror, mirror.source)[prefix + b"030"] == b"late"
    code, said = mirror.run(*BACK, "--accept", "late")
    assert code == 0 and "taken back" in said, said
    assert below(mirror, mirror.source) == expected
    states = [key for key in everything(mirror.source) if b"quorum.etcd/mirror/" in key and key.startswith(prefix)]
    assert states == [], "the mirror of a moment has left its state behind"

    # And it is the mirror that it was.
    put(mirror, mirror.source, "after", b"1")
    code, said = mirror.run("run", "dr", "--once")
    assert code == 0 and below(mirror, mirror.source) == below(mirror, mirror.destination), said


def everything(lab: Lab) -> list[bytes]:
    return list(dump(lab.members[0].client, serializable=False))


def test_leases_that_would_be_lost_are_named(mirror: Mirror, labs: tuple[Lab, Lab]) -> None:
    old = labs[0].members[0].client
    lease = old.lease_grant(600)
    old.put(prefix_of(mirror) + b"session", b"1", lease=lease)
    try:
        code, said = mirror.run(*DO)
        assert code == 1 and "has 1 lease, and this mirror drops them" in said, said
        code, said = mirror.run(*DO, "--accept", "leases")
        assert code == 0, said
        assert below(mirror, labs[0]) == below(mirror, labs[1])
    finally:
        old.call("lease/revoke", {"ID": lease})


def test_one_that_is_being_compared_or_of_another_source_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    fresh = Mirror(mirror.source, mirror.destination, tmp_path / "fresh", prefix="none/")
    code, said = fresh.run(*DO)
    assert code == 1 and "has no state of this mirror" in said, said
    with Lab(tmp_path / "other", members=1, line="3.6") as other:
        settings = json.loads(mirror.config.read_text())
        mirror.config.write_text(json.dumps({**settings, "source": {"endpoints": other.endpoints}}))
        code, said = mirror.run(*DO)
    assert code == 1 and "it was restored, or these are other endpoints" in said, said


@pytest.mark.parametrize("way", ["there", "back"])
def test_killed_at_any_moment_and_run_again(mirror: Mirror, way: str) -> None:
    dice = random.Random(way)
    words = DO if way == "there" else BACK
    if way == "back":
        assert mirror.run(*DO)[0] == 0
        put(mirror, mirror.destination, "000", b"new")
    expected = below(mirror, mirror.destination)
    killed = 0
    for number in range(20):
        process = mirror.begin(*words)
        try:
            process.wait(0.2 * (1 + number) + dice.uniform(0, 0.2))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        finally:
            process.communicate()
    assert killed >= 4
    code, said = mirror.run(*words)
    assert code == 0, said
    assert below(mirror, mirror.source) == below(mirror, mirror.destination) == expected
    code, said = mirror.run("run", "dr", "--once")
    assert code == (1 if way == "there" else 0), said
    wait_for("equality", lambda: below(mirror, mirror.source) == below(mirror, mirror.destination))
