# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup, disaster, restore: the playbooks that users run, on real etcd members, compared key by key."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from client import Client, differences, dump
from conftest import BACKUP, CHECKOUT, CONFIRM, RESTORE, STATUS, play, seeded, user_environment
from lab import Lab


def destroy(lab: Lab) -> None:
    """Two data directories gone, and every key deleted on the survivor."""
    Client(lab.endpoints[0]).delete_range()
    for member in lab.members[:2]:
        lab.kill(member)
        shutil.rmtree(member.data_dir)


def assert_restored(lab: Lab, expected: dict) -> None:
    for member in lab.members:
        assert differences(expected, dump(member.client)) == [], member.name
        assert "existing" in state_line(member), member.name


def state_line(member) -> str:
    lines = member.config_file.read_text().splitlines()
    return next(line for line in lines if "state" in line.lower() and not line.startswith("#"))


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` that a restore could touch, with a hash; not what etcd itself writes all the time."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "data/" not in str(path.relative_to(folder)) and path.suffix not in (".log",)
    }


# A profile that speaks to etcd's tools: each of these alone made every answer of etcdctl an error.
PROFILE = {
    "ETCDCTL_ENDPOINTS": "x",
    "ETCDCTL_USER": "root:wrong",
    "ETCDCTL_CACERT": "/no/such.crt",
    "http_proxy": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
}

LINES = [{"line": "3.4"}, {"line": "3.5"}, {"line": "3.6", "config_format": "env"}, {"line": "3.7"}]


@pytest.mark.parametrize("lab", LINES, ids=lambda given: given["line"], indirect=True)
def test_a_destroyed_cluster_comes_back_key_by_key(lab: Lab) -> None:
    expected = seeded(lab, **PROFILE)
    before = lab.members[2].client.status()
    destroy(lab)

    untouched = fingerprint(lab.dir)
    shown = play(RESTORE, "-i", lab.inventory, "--check", "--diff", **PROFILE)
    assert shown.rc == 0, shown.output
    assert fingerprint(lab.dir) == untouched, "check mode touched something"
    for words in ("snapshot restore", "--name=m2", "initial-cluster-state new -> existing", "--initial-cluster-token="):
        assert words in shown.text, words

    refused = play(RESTORE, "-i", lab.inventory)
    assert refused.rc != 0 and "run again with -e etcd_restore_confirm=etcd" in refused.text
    assert fingerprint(lab.dir) == untouched, "an unconfirmed run touched something"

    done = play(RESTORE, "-i", lab.inventory, *CONFIRM, **PROFILE)
    assert done.rc == 0, done.output + lab.logs()
    assert_restored(lab, expected)
    after = lab.members[0].client.status()
    assert after.cluster_id != before.cluster_id
    assert f"{after.cluster_id:x}" in done.text, "the plan or the closing table names the new cluster ID"
    assert list(lab.members[2].dir.glob("data.before-*")), "the survivor's old data lies beside the new"
    assert "proven: a write and its deletion True" in done.text
    assert not list(lab.members[0].client.range(b"quorum.etcd/", b"quorum.etcd0")), "nothing of the proof's is left"

    # Once more, by mistake: nothing is lost that was written since.
    lab.members[0].client.put(b"since", b"then")
    again = play(RESTORE, "-i", lab.inventory, *CONFIRM)
    assert again.rc == 0, again.output
    assert all(again.recap(member.host)["changed"] == 0 for member in lab.members)
    assert "was already restored" in again.text
    assert lab.members[1].client.get(b"since").value == b"then"

    # `existing` holds: every member starts with it.
    for member in lab.members:
        lab.stop(member)
    for member in lab.members:
        lab.start(member)
    lab.wait_ready()
    assert lab.members[1].client.get(b"since").value == b"then"


def test_rolled_back_on_request_the_old_data_is_back(lab: Lab) -> None:
    seeded(lab)
    lab.members[0].client.put(b"after the backup", b"1")
    old = dump(lab.members[0].client)
    configuration = [member.config_file.read_bytes() for member in lab.members]
    before = lab.members[0].client.status()
    assert play(RESTORE, "-i", lab.inventory, *CONFIRM).rc == 0
    assert lab.members[0].client.get(b"after the backup") is None

    done = play(RESTORE, "-i", lab.inventory, *CONFIRM, "-e", "etcd_restore_rollback=true")
    assert done.rc == 0, done.output
    lab.wait_ready()
    for member in lab.members:
        assert differences(old, dump(member.client)) == []
    assert lab.members[0].client.status().cluster_id == before.cluster_id
    assert [member.config_file.read_bytes() for member in lab.members] == configuration


def test_a_backup_of_a_restored_cluster_is_restored_as_well(lab: Lab) -> None:
    """Its revisions were raised, and what that leaves in the store is no key of anybody's."""
    seeded(lab)
    destroy(lab)
    first = play(RESTORE, "-i", lab.inventory, *CONFIRM)
    assert first.rc == 0, first.output
    expected = seeded(lab, 40)
    destroy(lab)
    second = play(RESTORE, "-i", lab.inventory, *CONFIRM)
    assert second.rc == 0, second.output
    assert_restored(lab, expected)


def test_status_works_with_and_without_a_quorum(lab: Lab) -> None:
    seeded(lab)
    healthy = play(STATUS, "-i", lab.inventory)
    assert healthy.rc == 0, healthy.output
    assert all(member.name in healthy.text for member in lab.members)
    destroy(lab)
    alone = play(STATUS, "-i", lab.inventory)
    assert alone.rc == 2, "a monitor must see it"
    assert "cluster etcd is not well: it is no quorum" in alone.text, alone.output
    assert "newest backup is" in alone.text


def test_status_looks_for_mirrors_where_their_engines_run(lab: Lab) -> None:
    seeded(lab)
    text = lab.inventory.read_text()
    lost = "ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1"
    here = (
        "ansible_connection: local, ansible_become: false, ansible_python_interpreter: '{{ ansible_playbook_python }}'"
    )
    group = "etcd_mirror: {{hosts: {{d1: {{{}}}}}}}\n".format
    lab.inventory.write_text(text + group(here))
    none = play(STATUS, "-i", lab.inventory)
    assert none.rc == 0 and none.recap("d1")["ok"] > 0 and "Mirrors" not in none.text, none.output
    lab.inventory.write_text(text + group(lost))
    gone = play(STATUS, "-i", lab.inventory)
    assert gone.rc == 2 and "the mirrors of d1 could not be looked at: " in gone.text, gone.output
    # Of another cluster's mirror nobody asked, and whose it is, is said by the variable that mirror.yml is given.
    other = play(STATUS, "-i", lab.inventory, "-e", "target=etcd:!etcd_mirror")
    assert other.rc == 0 and "Mirrors" not in other.text, other.output
    named = play(
        STATUS, "-i", lab.inventory, "-e", "target=etcd:!etcd_mirror", "-e", "etcd_mirror_destination=etcd_mirror"
    )
    assert named.rc == 2 and "the mirrors of d1 could not be looked at: " in named.text, named.output
    # The engine may run on a host of neither cluster.
    given = ("-i", lab.inventory, "-e", "etcd_mirror_engine_host=e1")
    lab.inventory.write_text(text + group(here) + f"engines: {{hosts: {{e1: {{{lost}}}}}}}\n")
    gone = play(STATUS, *given)
    assert gone.rc == 2 and "the mirrors of e1 could not be looked at: " in gone.text, gone.output
    lab.inventory.write_text(text + group(here) + f"engines: {{hosts: {{e1: {{{here}}}}}}}\n")
    well = play(STATUS, *given, "-e", "target=etcd:!etcd_mirror")
    assert well.rc == 0 and well.recap("e1")["ok"] > 0, well.output


def test_status_names_the_hosts_that_cannot_be_reached_and_a_group_that_is_not_there(lab: Lab) -> None:
    lost = "ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1"
    text = lab.inventory.read_text()
    lab.inventory.write_text(text.replace("m3: {etcd_name: m3}", f"m3: {{etcd_name: m3, {lost}}}"))
    one = play(STATUS, "-i", lab.inventory)
    assert one.rc == 2 and "3 of 3 voters are up" in one.text, one.output
    assert "cluster etcd is not well: m3 cannot be reached: " in one.text and "Connection refused" in one.text
    lab.inventory.write_text(re.sub(r"{(etcd_name: \w+)}", rf"{{\1, {lost}}}", text))
    none = play(STATUS, "-i", lab.inventory)
    assert none.rc == 2, none.output
    assert all(f"{name} cannot be reached: " in none.text for name in ("m1", "m2", "m3")), none.output
    # It is not for a backup to say that nothing runs where nothing was seen, nor to advise a restore of what may serve.
    backup = play(BACKUP, "-i", lab.inventory)
    assert backup.rc != 0 and "restore the newest" not in backup.text, backup.output
    assert all(f"{name} cannot be reached: " in backup.text for name in ("m1", "m2", "m3")), backup.output
    for playbook in (STATUS, BACKUP, RESTORE):
        typo = play(playbook, "-i", lab.inventory, "-e", "target=typo")
        assert typo.rc == 2 and "The inventory has no host in typo" in typo.text, typo.output


def test_a_host_that_is_lost_for_good_is_left_out(lab: Lab) -> None:
    """m3 cannot be reached any more: named in etcd_restore_exclude, it is no part of the restored cluster."""
    expected = seeded(lab)
    for member in lab.members[1:]:
        lab.kill(member)
    lost = "m3: {etcd_name: m3, ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}"
    lab.inventory.write_text(lab.inventory.read_text().replace("m3: {etcd_name: m3}", lost))
    done = play(RESTORE, "-i", lab.inventory, *CONFIRM, "-e", '{"etcd_restore_exclude": ["m3"]}')
    assert done.rc == 0, done.output
    for member in lab.members[:2]:
        assert differences(expected, dump(member.client)) == []
    assert sorted(member.name for member in lab.members[0].client.member_list()) == ["m1", "m2"]


def test_inventory_names_that_differ_from_the_members(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", host_names=["db-a", "db-b", "db-c"]) as lab:
        expected = seeded(lab)
        destroy(lab)
        done = play(RESTORE, "-i", lab.inventory, *CONFIRM)
        assert done.rc == 0, done.output
        assert_restored(lab, expected)


def test_a_snapshot_of_one_line_restores_on_the_next(tmp_path: Path) -> None:
    """Upwards it is right; the way back is among the refusals."""
    with Lab(tmp_path / "old", line="3.6") as older:
        expected = seeded(older)
        taken = next(older.backup_dir.glob("*.db"))
    with Lab(tmp_path / "new", line="3.7") as newer:
        done = play(RESTORE, "-i", newer.inventory, *CONFIRM, "-e", f"etcd_restore_snapshot={taken}")
        assert done.rc == 0, done.output
        assert_restored(newer, expected)


# ---- the ways in -----------------------------------------------------------------------------------------------------


def prod_inventory(lab: Lab, folder: Path) -> Path:
    """The lab's inventory as a file named prod in another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = lab.inventory.read_text().replace("{{ inventory_dir }}", str(lab.dir))
    (folder / "prod").write_text(text)
    return folder / "prod"


def tracked_copy(to: Path) -> Path:
    """The checkout's files without what was made in it."""
    left_out = shutil.ignore_patterns(".git", ".cache", ".venv", "__pycache__", ".ansible", ".*_cache")
    shutil.copytree(CHECKOUT, to, symlinks=True, ignore=left_out)
    return to


def test_from_a_checkout_by_its_literal_commands(lab: Lab, tmp_path: Path) -> None:
    checkout = tracked_copy(tmp_path / "checkout")
    expected = seeded(lab)

    destroy(lab)
    prod_inventory(lab, checkout / "playbooks")
    done = play("restore.yml", "-i", "prod", *CONFIRM, cwd=checkout / "playbooks")
    assert done.rc == 0, done.output
    assert_restored(lab, expected)

    destroy(lab)
    shutil.rmtree(checkout / "inventories" / "prod", ignore_errors=True)
    prod_inventory(lab, checkout / "inventories")
    done = play("playbooks/restore.yml", "-i", "inventories/prod", *CONFIRM, cwd=checkout)
    assert done.rc == 0, done.output
    assert_restored(lab, expected)


def galaxy(*arguments: str | Path, cwd: Path) -> None:
    argv = [Path(sys.executable).parent / "ansible-galaxy", "collection", *arguments]
    subprocess.run(argv, cwd=cwd, env=user_environment(), check=True, capture_output=True)


def test_from_the_tarball_installed_into_an_empty_folder(lab: Lab, tmp_path: Path) -> None:
    made, empty = tmp_path / "made", tmp_path / "empty"
    empty.mkdir()
    galaxy("build", "--output-path", made, cwd=CHECKOUT)
    galaxy("install", "--offline", next(made.glob("quorum-etcd-*.tar.gz")), "-p", empty / "collections", cwd=empty)
    expected = seeded(lab)
    destroy(lab)
    prod_inventory(lab, empty)
    done = play(
        "quorum.etcd.restore", "-i", "prod", *CONFIRM, cwd=empty, ANSIBLE_COLLECTIONS_PATH=str(empty / "collections")
    )
    assert done.rc == 0, done.output
    assert_restored(lab, expected)
