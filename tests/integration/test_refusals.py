# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: each is refused before anything is stopped, in one message with the host, the cause and the next step."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest
from client import differences, dump
from conftest import CONFIRM, RESTORE, play, seeded
from lab import Lab


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("refusals") / "lab", line="3.6") as lab:
        seeded(lab)
        yield lab


@contextmanager
def unharmed(lab: Lab) -> Iterator[None]:
    """Whatever happens inside: the same processes run, hold the same keys, and no file of theirs has moved."""
    pids = [member.pid() for member in lab.members]
    keys = [dump(member.client) for member in lab.members]
    configuration = [member.config_file.read_bytes() for member in lab.members]
    yield
    assert [member.pid() for member in lab.members] == pids, "a member was stopped"
    for member, old in zip(lab.members, keys):
        assert differences(old, dump(member.client)) == []
    assert [member.config_file.read_bytes() for member in lab.members] == configuration
    assert not [path for member in lab.members for path in member.dir.glob("data.*")], "something was staged or moved"


def refused(
    lab: Lab, *words: str, arguments: tuple = (), inventory: Path | None = None, playbook: Path = RESTORE, **env: str
) -> None:
    """The confirmed restore is refused with each of ``words``, before anything is touched."""
    with unharmed(lab):
        done = play(playbook, "-i", inventory or lab.inventory, *CONFIRM, *arguments, **env)
        assert done.rc != 0, done.output
        for word in ("Nothing was touched.", "Next:", *words):
            assert word in done.text, f"{word!r} is not in:\n{done.output}"


def taken(lab: Lab) -> Path:
    return next(lab.backup_dir.glob("*.db"))


def damaged(lab: Lab, folder: Path, how: str) -> Path:
    good = taken(lab).read_bytes()
    middle = len(good) // 2
    path = folder / ("broken.db.part" if how == "part" else "broken.db")
    path.write_bytes(
        {
            "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "flipped hash": good[:-1] + bytes([good[-1] ^ 1]),
            "truncated": good[:middle],
            "empty": b"",
            "part": good,
        }[how]
    )
    return path


@pytest.mark.parametrize("how", ["flipped", "flipped hash", "truncated", "empty", "part"])
def test_a_corrupt_snapshot(cluster: Lab, tmp_path: Path, how: str) -> None:
    path = damaged(cluster, tmp_path, how)
    refused(cluster, str(path), "choose another snapshot", arguments=("-e", f"etcd_restore_snapshot={path}"))


def test_a_snapshot_that_is_not_there(cluster: Lab) -> None:
    refused(cluster, "neither on the controller nor on a member", arguments=("-e", "etcd_restore_snapshot=/no/such.db"))


def test_no_snapshot_at_all(cluster: Lab, tmp_path: Path) -> None:
    refused(cluster, "no usable snapshot of this cluster", arguments=("-e", f"etcd_backup_dir={tmp_path}"))


def test_a_snapshot_of_a_newer_etcd(cluster: Lab, tmp_path: Path) -> None:
    with Lab(tmp_path / "newer", members=1, line="3.7") as newer:
        seeded(newer, 100)
        path = taken(newer)
        # Also without its manifest: the file itself tells which etcd wrote it.
        bare = tmp_path / "bare.db"
        shutil.copy(path, bare)
    for snapshot in (path, bare):
        arguments = ("-e", f"etcd_restore_snapshot={snapshot}")
        refused(cluster, "m1: ", "was written by etcd 3.7", "an older etcd must not open it", arguments=arguments)


def variant(lab: Lab, folder: Path, host: str, **variables: str) -> Path:
    """The lab's inventory with other variables for one host."""
    text = lab.inventory.read_text().replace("{{ inventory_dir }}", str(lab.dir))
    values = ", ".join(f"{key}: {value!r}" for key, value in variables.items())
    line = next(line for line in text.splitlines() if line.strip().startswith(f"{host}:"))
    path = folder / "inventory.yml"
    changed = line.replace("}", f", {values}}}")
    path.write_text(text.replace(line, changed))
    return path


def test_two_hosts_with_one_name(cluster: Lab, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    text = cluster.inventory.read_text().replace("{{ inventory_dir }}", str(cluster.dir))
    inventory.write_text(text.replace("m2: {etcd_name: m2}", "m2: {etcd_name: m1}"))
    refused(cluster, "m2: it has the same name as m1: m1", inventory=inventory)


def test_two_hosts_with_one_peer_url(cluster: Lab, tmp_path: Path) -> None:
    url = cluster.members[0].peer_url
    inventory = tmp_path / "inventory.yml"
    text = cluster.inventory.read_text().replace("{{ inventory_dir }}", str(cluster.dir))
    inventory.write_text(text.replace("m3: {etcd_name: m3}", f"m3: {{etcd_name: m3, etcd_peer_urls: ['{url}']}}"))
    refused(cluster, f"m3: it has the same peer URL as m1: {url}", inventory=inventory)


def test_two_hosts_with_one_client_url(cluster: Lab, tmp_path: Path) -> None:
    """As behind one balancer: whoever answers, the others could not be proven."""
    inventory = variant(cluster, tmp_path, "m3", etcd_client_urls=[cluster.members[0].client_url])
    refused(cluster, f"m3: it has the same client URL as m1: {cluster.members[0].client_url}", inventory=inventory)


def test_a_variable_that_nobody_reads(cluster: Lab) -> None:
    refused(cluster, "write etcd_restore_snapshot, if that is", arguments=("-e", "etcd_restore_snapshots=/x.db"))


def test_a_wrong_confirmation_and_a_survey_that_was_not_answered(cluster: Lab) -> None:
    """Empty answers are the defaults, so that the plan itself is what it is without them."""
    names = (
        "snapshot",
        "exclude",
        "bump_revision",
        "again",
        "rollback",
        "skip_hash_check",
        "aside",
        "prove_timeout",
        "spool",
    )
    empty = [f"etcd_restore_{name}=" for name in (*names, "token")] + ["etcd_report_dir="]
    arguments = tuple(word for answer in (*empty, "etcd_restore_confirm=prod") for word in ("-e", answer))
    refused(cluster, "etcd_restore_confirm is 'prod', and that is not its name", "raised by", arguments=arguments)


def test_limit_that_leaves_out_a_member(cluster: Lab) -> None:
    refused(cluster, "m3: it is not part of this run (--limit)", arguments=("--limit", "m1,m2"))


@pytest.mark.parametrize("how", ["strategy: host_pinned", "serial: 1", "ANSIBLE_STRATEGY"])
def test_a_play_that_does_not_keep_its_hosts_in_step(cluster: Lab, tmp_path: Path, how: str) -> None:
    if how == "ANSIBLE_STRATEGY":
        refused(cluster, "the play's strategy is free", ANSIBLE_STRATEGY="free")
        return
    playbook = tmp_path / "own.yml"
    playbook.write_text(f"- hosts: etcd\n  gather_facts: false\n  {how}\n  roles: [quorum.etcd.disaster_restore]\n")
    cause = "the play has serial" if "serial" in how else f"the play's strategy is {how.partition(' ')[2]}"
    refused(cluster, cause, playbook=playbook)


def test_a_host_that_cannot_be_reached(cluster: Lab, tmp_path: Path) -> None:
    # A port of this machine on which nobody listens.
    inventory = variant(cluster, tmp_path, "m3", ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port="1")
    refused(cluster, "m3: it cannot be reached: ", "etcd_restore_exclude", inventory=inventory)


def test_a_data_directory_that_is_not_etcds(cluster: Lab, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    inventory = variant(cluster, tmp_path, "m2", etcd_data_dir=str(tmp_path / "photos"))
    refused(cluster, "m2: ", "is not a data directory of etcd: it holds cat.jpg", inventory=inventory)
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_a_host_without_etcd(cluster: Lab, tmp_path: Path) -> None:
    text = cluster.inventory.read_text().replace("{{ inventory_dir }}", str(cluster.dir))
    inventory = tmp_path / "inventory.yml"
    variables = {
        "etcd_name": "m4",
        **dict.fromkeys(("lab_member_dir", "etcd_bin_dir", "etcd_data_dir"), f"{tmp_path}/none"),
    }
    inventory.write_text(text.replace("    m3:", f"    m4: {variables}\n    m3:"))
    refused(cluster, "m4: no etcd was found here", "install etcd", inventory=inventory)


def test_tools_that_are_missing(cluster: Lab, tmp_path: Path) -> None:
    """From 3.6 only etcdutl restores: a host that has etcd and etcdctl alone cannot."""
    few = tmp_path / "few"
    few.mkdir()
    for tool in ("etcd", "etcdctl"):
        shutil.copy(cluster.bin_dir / tool, few)
    with Lab(tmp_path / "lab", members=1, bin_dir=few) as lab:
        arguments = ("-e", f"etcd_restore_snapshot={taken(cluster)}")
        refused(lab, "m1: etcdutl is missing", "install etcdutl", arguments=arguments)


def test_too_little_disk_for_the_staging(cluster: Lab, small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "data").mkdir(exist_ok=True)
    inventory = variant(cluster, tmp_path, "m3", etcd_data_dir=str(small_disk / "data"))
    refused(cluster, "m3: the file system of", "make room", inventory=inventory)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB, less than the WAL segment of a restore needs."""
    import subprocess

    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], check=True)
    yield mount
    subprocess.run(["umount", mount], check=True)
