# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: what every other integration test stands on."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from client import Client, GatewayError, Writer, differences, dump, seed
from lab import COMMITTED_INVENTORY, Lab, LabError, committed_inventory_text

BIN = Path(sys.executable).parent  # Ansible's commands, also when the virtual environment is not on the PATH


def script(lab: Lab, name: str, action: str) -> subprocess.CompletedProcess[str]:
    argv = ["sh", str(lab.dir / name / "etcd.sh"), action]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_the_committed_inventory_is_what_the_lab_would_write() -> None:
    assert COMMITTED_INVENTORY.read_text() == committed_inventory_text()


def test_every_member_holds_what_was_seeded(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        seeded = seed(lab.members[0].client)
        dumps = []
        for member in lab.members:
            member.client.get(b"leased")  # linearizable: the member has caught up afterwards
            dumps.append(dump(member.client))
        assert len(dumps[0]) == seeded.keys == 5000
        assert dumps[0] == dumps[1] == dumps[2]
        assert dumps[0][b"leased"].lease == seeded.lease
        assert dumps[0][b"back"].value == b"second life"
        assert max(entry.version for entry in dumps[0].values()) > 1
        assert dump(lab.members[0].client, revision=seeded.revision) == dumps[0]
        assert all(member.pid() for member in lab.members)
    assert not any(member.pid() for member in lab.members)
    assert not any(lab.status().values())


def test_differences_name_the_key_and_the_field(tmp_path: Path) -> None:
    with Lab(tmp_path, members=1) as lab:
        client = lab.members[0].client
        client.put_many([(b"same", b"1"), (b"other", b"1"), (b"lost", b"1")])
        before = dump(client)
        client.put(b"other", b"2")
        client.put(b"new", b"1")
        client.delete(b"lost")
        lines = differences(before, dump(client))
    assert lines[0] == "b'lost' is missing"
    assert lines[1] == "b'new' was not expected"
    assert lines[2].startswith("b'other': value b'1' -> b'2', mod_revision")
    assert len(lines) == 3


def test_two_labs_run_side_by_side(tmp_path: Path) -> None:
    with Lab(tmp_path / "one") as one, Lab(tmp_path / "two", members=1) as two:
        one.members[0].client.put(b"only here", b"1")
        assert one.members[1].client.get(b"only here") is not None
        assert two.members[0].client.get(b"only here") is None
        assert one.members[0].client.status().cluster_id != two.members[0].client.status().cluster_id


def test_a_lab_whose_ports_are_taken_touches_nobody(lab: Lab, tmp_path: Path) -> None:
    """The other one would be seeded and destroyed for ours."""
    port = int(lab.members[0].client_url.rpartition(":")[2])
    other = Lab(tmp_path / "other", members=1, base_port=port)
    with pytest.raises(LabError, match=f"port {port} of m1 is taken, perhaps by the lab of another checkout"):
        other.up()
    assert not other.dir.exists()
    assert all(lab.status().values())
    lab.up()  # its own members are no strangers


@pytest.mark.parametrize("config_format", ["yaml", "env"])
def test_members_come_and_go_by_their_script(tmp_path: Path, config_format: str) -> None:
    with Lab(tmp_path, config_format=config_format) as lab:
        member = lab.members[1]
        assert member.config_file.exists()
        lab.members[0].client.put(b"kept", b"1")

        running = script(lab, "m2", "status")
        assert (running.returncode, running.stdout) == (0, f"running {member.pid()}\n")
        for _twice in range(2):
            assert script(lab, "m2", "stop").returncode == 0
            assert script(lab, "m2", "status").returncode == 3
        for _twice in range(2):
            assert script(lab, "m2", "start").returncode == 0
        old = member.pid()
        assert script(lab, "m2", "restart").returncode == 0
        assert member.pid() not in (None, old)
        assert lab.wait_ready().members[1].client.get(b"kept") is not None


def test_a_stale_pid_file_harms_nobody(tmp_path: Path) -> None:
    with Lab(tmp_path, members=1) as lab, subprocess.Popen(["sleep", "60"]) as bystander:
        lab.kill(lab.members[0])
        (lab.members[0].dir / "etcd.pid").write_text(f"{bystander.pid}\n")
        assert script(lab, "m1", "status").returncode == 3
        assert script(lab, "m1", "stop").returncode == 0
        lab.down()
        assert bystander.poll() is None
        bystander.kill()


def test_a_member_that_cannot_start_is_not_running(tmp_path: Path) -> None:
    lab = Lab(tmp_path, members=1).write()
    lab.members[0].config_file.unlink()
    script(lab, "m1", "start")  # may succeed: it does not wait for what etcd makes of it
    until = time.monotonic() + 10
    while script(lab, "m1", "status").returncode != 3:
        assert time.monotonic() < until
    assert "etcd.conf.yml" in lab.logs()


def test_a_configuration_that_was_edited_stays(tmp_path: Path) -> None:
    lab = Lab(tmp_path, members=1).write()
    edited = lab.members[0].config_file
    edited.write_text("# edited\n")
    again = Lab(tmp_path).write()
    assert edited.read_text() == "# edited\n"
    assert again.members == lab.members  # also the ports


def test_the_writer_measures_an_outage(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab, Writer(lab.endpoints) as writer:
        writer.wait_for_write()
        for member in lab.members[1:]:
            lab.kill(member)
        down = time.monotonic()
        time.sleep(1.5)
        with pytest.raises(GatewayError):
            writer.wait_for_write(timeout=0.5)
        assert lab.members[0].client.status().revision > 1  # its own view needs no quorum
        lab.start(lab.members[1])
        back = writer.wait_for_write()
        assert 1.5 < writer.longest_gap(since=down).seconds < back - down + 1
        assert dump(lab.members[0].client) == {}  # the writer's key is in no dump


def test_a_wiped_member_is_another_story_than_a_killed_one(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        member = lab.members[2]
        lab.kill(member)
        assert member.pid() is None
        assert member.data_dir.exists()
        lab.start(member)
        lab.wait_ready()
        with Writer(lab.endpoints[:2]) as writer:
            lab.kill(member)
            shutil.rmtree(member.data_dir)
            assert lab.status()["m3"] is None
            assert writer.wait_for_write()  # where it led, after the election of another


def test_host_names_may_differ_from_member_names(tmp_path: Path) -> None:
    lab = Lab(tmp_path, host_names=["east", "west", "north"]).write()
    inventory = subprocess.run(
        [str(BIN / "ansible-inventory"), "-i", str(lab.inventory), "--list"], capture_output=True, text=True, check=True
    )
    hosts = json.loads(inventory.stdout)["_meta"]["hostvars"]
    assert {host: values["etcd_name"] for host, values in hosts.items()} == {"east": "m1", "west": "m2", "north": "m3"}


@pytest.mark.parametrize("inventory", ["inventories/lab", "inventories/lab/hosts.yml"])
def test_the_inventory_resolves_to_the_lab(inventory: str) -> None:
    root = COMMITTED_INVENTORY.parents[2]
    variables = "etcd_start_command, etcd_config_file, etcd_bin_dir, etcd_backup_dir"
    words = [
        str(BIN / "ansible"),
        "m2",
        "-i",
        inventory,
        "-m",
        "debug",
        "-a",
        f"msg={{{{ [{variables}] | join(' ') }}}}",
    ]
    answer = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    lab = root.resolve() / ".cache" / "lab"
    script = shlex.quote(f"{lab}/m2/etcd.sh")
    assert f"sh {script} start {lab}/m2/etcd.conf.yml {lab}/bin {lab}/backups" in " ".join(answer)


def test_the_lab_from_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, str(COMMITTED_INVENTORY.parents[2] / "lab" / "lab.py")]
    options = ["--dir", str(tmp_path / "lab"), "--members", "1", "--base-port", str(Lab(tmp_path).members[0].port)]
    try:
        up = subprocess.run([*command, "up", *options], capture_output=True, text=True, timeout=60, check=False)
        assert up.returncode == 0, up.stderr
        lab = Lab(tmp_path / "lab")
        assert Client(lab.members[0].client_url).put(b"alive", b"1") == 2
        subprocess.run([*command, "down", *options], check=True, timeout=60)
        assert subprocess.run([*command, "status", *options], timeout=60, check=False).returncode == 3
        assert lab.members[0].data_dir.exists()
    finally:
        subprocess.run([*command, "destroy", *options], check=True, timeout=60)
    assert not (tmp_path / "lab").exists()
