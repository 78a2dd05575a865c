# SPDX-License-Identifier: GPL-3.0-or-later
"""Members replaced, moved, added and removed in one run, while clients write: no operation fails, and no key is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import tarfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import instant
from client import RetryingWriter, differences, dump, seed
from conftest import CHECKOUT, Play, play, report_of
from lab import Lab

MEMBER_REPLACE = CHECKOUT / "playbooks" / "member_replace.yml"
CONFIRM = ("-e", "etcd_member_replace_confirm=etcd")
LINES = ["3.4", "3.5", "3.6", "3.7"]
KEYS = 400


def change(lab: Lab, *arguments: str) -> Play:
    return play(MEMBER_REPLACE, "-i", lab.inventory, *CONFIRM, *arguments)


def asking(**variables: object) -> list[str]:
    return ["-e", json.dumps({f"etcd_member_replace_{name}": value for name, value in variables.items()})]


def lose(lab: Lab, name: str) -> None:
    """As a disk that is gone: the process and all that it had."""
    lab.kill(lab.member(name))
    shutil.rmtree(lab.member(name).data_dir)


def writer_of(lab: Lab) -> RetryingWriter:
    """Through all endpoints: also those of members that are dead, and of hosts that have none yet."""
    return RetryingWriter([one.client_url for one in lab.everyone])


class Gone:
    """A host that is lost: whoever comes by SSH is counted, and hung up on. ``inventory`` is one more, in which it is that."""

    def __init__(self, lab: Lab, name: str, door: socket.socket) -> None:
        self.contacts, self._door = 0, door
        self.inventory = str(lab.dir / f"{name}-is-gone.yml")
        host = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": door.getsockname()[1]}
        Path(self.inventory).write_text(json.dumps({"etcd": {"hosts": {name: host}}}))

    def hang_up(self) -> None:
        while True:
            try:
                caller, _address = self._door.accept()
            except OSError:  # the door is shut
                return
            self.contacts += 1
            caller.close()


@contextmanager
def gone(lab: Lab, name: str) -> Iterator[Gone]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        host = Gone(lab, name, door)
        thread = threading.Thread(target=host.hang_up, daemon=True)
        thread.start()
        yield host
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


def files(lab: Lab) -> dict[str, str]:
    """All that lies on the hosts, with its hash: data, configuration, journals, backups. But for logs, and for the WAL: a member
    that is asked for its alarms writes the question there."""
    found = (path for path in lab.dir.rglob("*") if path.is_file() and path.suffix not in (".log", ".wal", ".tmp"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def replacing(lab: Lab, name: str) -> str:
    """The whole sequence for a dead one of three, as the plan shows it."""
    two = "2 of 2 voters, 2 needed, none may fail"
    steps = [
        f"remove {name}, which is dead 2 of 3 voters, 2 needed, none may fail -> {two}",
        f"add {name} as a learner, at {lab.member(name).peer_url} {two} -> {two}",
        f"{lab.member(name).host}: move old data aside, write 'existing' and the members, start {name} {two} -> {two}",
        f"wait until {name} has caught up {two} -> {two}",
        f"promote {name} to a voter {two} -> 3 of 3 voters, 2 needed, 1 may fail",
    ]
    return " ".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def members(lab: Lab, at: str = "m1") -> dict[str, str]:
    """Name to peer URL of the voters that have started."""
    listed = lab.member(at).client.member_list()
    assert all(one.name and not one.learner for one in listed), listed
    return {one.name: one.peer_urls[0] for one in listed}


def check_equal(lab: Lab, expected: dict, *names: str) -> None:
    assert members(lab, names[0]) == {name: lab.member(name).peer_url for name in names}
    for name in names:
        assert differences(expected, dump(lab.member(name).client)) == [], name


def configuration(lab: Lab, name: str) -> str:
    return lab.member(name).config_file.read_text()


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest):
    """A lab of founders and two hosts that are prepared; a parameter is its line, or Lab's arguments."""
    given = getattr(request, "param", {})
    with Lab(tmp_path / "lab", **{"spares": 1, **({"line": given} if isinstance(given, str) else given)}) as lab:
        seed(lab.members[0].client, KEYS)
        yield lab


def check_backup(lab: Lab, ids: dict[str, str]) -> None:
    """There is one, taken before the first change, and in its kit are the members of then with their IDs of then."""
    (manifest,) = (json.loads(path.read_text()) for path in lab.backup_dir.glob("*.json"))
    (kit,) = lab.backup_dir.glob("*.kit.tar.gz")
    assert (lab.backup_dir / manifest["file"]).exists() and manifest["user_keys"] >= KEYS, manifest
    with tarfile.open(kit) as archive:
        told = json.load(archive.extractfile("kit/members.json"))["members"]
    assert {one["name"]: one["id"] for one in told if one["id"]} == ids  # a host that has no seat has no ID
    journals = "".join(path.read_text() for path in lab.dir.glob("*/state/restores/*/journal.jsonl"))
    entries = [json.loads(line) for line in journals.splitlines() if line]
    (removed,) = (entry for entry in entries if entry["step"] == "removed")
    assert instant(manifest["taken_at"]) < instant(removed["time"])


@pytest.mark.essential
@pytest.mark.parametrize("cluster", LINES, indirect=True)
def test_a_lost_disk_is_replaced_and_then_a_dead_host_by_another(cluster: Lab) -> None:
    expected = dump(cluster.members[0].client)
    ids = {one.name: f"{one.id:x}" for one in cluster.members[0].client.member_list()}
    lose(cluster, "m3")
    with writer_of(cluster) as writer:
        done = change(cluster, *asking(dead="m3"))
        assert done.rc == 0, done.output
        check_equal(cluster, expected, "m1", "m2", "m3")
        assert replacing(cluster, "m3") in done.text and report_of(done)["outcome"] == "changed"
        check_backup(cluster, ids)

        # The host is gone for good, and another takes its place: nobody needs to go near it.
        cluster.kill(cluster.member("m3"))
        with gone(cluster, "m3") as host:
            done = change(cluster, "-i", host.inventory, *asking(dead="m3", by="m4"))
        assert done.rc == 0 and host.contacts == 0, done.output
    check_equal(cluster, expected, "m1", "m2", "m4")
    writer.check(cluster.member("m4").client)
    for name in ("m1", "m2", "m4"):
        text = configuration(cluster, name)
        assert "existing" in text and cluster.member("m4").peer_url in text
        assert f"m3={cluster.member('m3').peer_url}" not in text
    again = change(cluster, *asking(dead="m4"))
    assert again.rc == 0 and "There is nothing to do" in again.text and "m4 serves" in again.text, again.output


@pytest.mark.parametrize("cluster", [LINES[0], LINES[-1]], indirect=True)
def test_a_healthy_leader_moves_to_another_host(cluster: Lab) -> None:
    expected = dump(cluster.members[0].client)
    leader = cluster.leader()
    stay = [member.name for member in cluster.members if member.name != leader]
    with writer_of(cluster) as writer:
        done = change(cluster, *asking(move={leader: "m4"}))
        assert done.rc == 0, done.output
    check_equal(cluster, expected, *stay, "m4")
    writer.check(cluster.member("m4").client)
    assert cluster.member(leader).pid() is None, "it has left, and stays stopped"
    assert list(cluster.member(leader).dir.glob("data.before-*")), "its data is kept"
    assert 'initial-cluster-state: "existing"' in configuration(cluster, leader)


@pytest.mark.parametrize("cluster", [{"members": 1, "spares": 2, "line": "3.6"}], indirect=True)
def test_one_becomes_three_and_one_again(cluster: Lab) -> None:
    expected = dump(cluster.members[0].client)
    with writer_of(cluster) as writer:
        done = change(cluster, *asking(add=["m2", "m3"]))
        assert done.rc == 0, done.output
        check_equal(cluster, expected, "m1", "m2", "m3")
        done = change(cluster, *asking(remove=["m2"]))
        assert done.rc == 0, done.output
        check_equal(cluster, expected, "m1", "m3")
    writer.check(cluster.member("m3").client)


@pytest.mark.parametrize("cluster", [{"spares": 2, "line": "3.5"}], indirect=True)
def test_three_become_five_and_three_again_and_two_are_replaced_in_one_run(cluster: Lab) -> None:
    expected = dump(cluster.members[0].client)
    with writer_of(cluster) as writer:
        done = change(cluster, *asking(add=["m4", "m5"]))
        assert done.rc == 0, done.output
        check_equal(cluster, expected, "m1", "m2", "m3", "m4", "m5")
        done = change(cluster, *asking(remove=["m1", "m2"]))
        assert done.rc == 0, done.output
        check_equal(cluster, expected, "m3", "m4", "m5")

        # Who is left out of the play is not even tried.
        cluster.kill(cluster.member("m3"))
        asked = asking(dead="m3", by="m1", move={"m4": "m2"})
        with gone(cluster, "m3") as host:
            done = change(cluster, "-i", host.inventory, "--limit", "!m3", *asked)
        assert done.rc == 0 and host.contacts == 0, done.output
    check_equal(cluster, expected, "m1", "m2", "m5")
    writer.check(cluster.member("m2").client)
    report = report_of(done)
    assert report["left"] == ["m3", "m4"] and [one["member"] for one in report["came"]] == ["m1", "m2"]


@pytest.mark.parametrize("cluster", [{"members": 5, "spares": 0, "line": "3.4"}], indirect=True)
def test_two_of_five_that_are_dead_are_replaced_in_one_run(cluster: Lab) -> None:
    """This version adds nobody while any voter is down: both leave first."""
    expected = dump(cluster.members[0].client)
    for name in ("m4", "m5"):
        lose(cluster, name)
    done = change(cluster, *asking(dead=["m4"]))
    assert done.rc != 0 and "m5 does not serve, and etcd 3.4" in done.text, done.output
    with RetryingWriter(cluster.endpoints) as writer:
        done = change(cluster, *asking(dead=["m4", "m5"]))
        assert done.rc == 0, done.output
    check_equal(cluster, expected, "m1", "m2", "m3", "m4", "m5")
    writer.check(cluster.member("m5").client)


def test_what_is_clear_is_proposed_and_what_is_not_is_refused(cluster: Lab) -> None:
    """A disk that is lost can be seen; a member that is only down must not be thrown away. To look changes no byte."""
    cluster.stop(cluster.member("m2"))
    done = play(MEMBER_REPLACE, "-i", cluster.inventory, *CONFIRM)
    assert done.rc != 0 and "m2 does not serve, and nothing tells whether it is lost." in done.text, done.output
    assert "-e etcd_member_replace_dead=m2" in done.text
    shutil.rmtree(cluster.member("m2").data_dir)
    before = files(cluster), cluster.members[0].client.member_list()
    for only in (("--check", "--diff"), ("--tags", "plan")):
        done = play(MEMBER_REPLACE, "-i", cluster.inventory, *only)
        assert done.rc == 0 and replacing(cluster, "m2") in done.text, done.output
        assert report_of(done)["outcome"] == "check" and "Nothing was touched: this is how" in done.text
    done = play(MEMBER_REPLACE, "-i", cluster.inventory)
    assert done.rc != 0 and "because m2 has lost its data" in done.text, done.output
    assert "This changes the members of cluster etcd; to let it happen" in done.text
    assert (files(cluster), cluster.members[0].client.member_list()) == before


def test_what_would_cost_the_quorum_is_refused_with_its_arithmetic(cluster: Lab) -> None:
    lose(cluster, "m3")
    before = cluster.members[0].client.member_list()
    done = change(cluster, *asking(remove=["m2"]))
    assert done.rc != 0 and "3 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 2, quorum 2" in done.text, (
        done.output
    )
    assert cluster.members[0].client.member_list() == before
    cluster.stop(cluster.member("m2"))
    done = change(cluster, *asking(dead=["m2", "m3"]))
    assert done.rc != 0 and "no quorum" in done.text and "restore.yml" in done.text, done.output
