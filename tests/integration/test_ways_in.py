# SPDX-License-Identifier: GPL-3.0-or-later
"""Every snapshot that a restore can begin with, and every cluster that it can end in, compared key by key."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Sequence

import pytest
import yaml
from client import GatewayError, differences, dump, seed
from conftest import BACKUP, CONFIRM, PLAIN, RESTORE, Play, play, seeded
from lab import Lab, Member


def taken(lab: Lab) -> Path:
    return next(lab.backup_dir.glob("*.db"))


def restore(lab: Lab, *extra: str, inventory: Path | None = None) -> Play:
    arguments = [word for one in extra for word in (("-e", one) if not one.startswith("-") else (one,))]
    return play(RESTORE, "-i", inventory or lab.inventory, *CONFIRM, *arguments)


def inventory(lab: Lab, only: Sequence[str] = (), **variables: str) -> Path:
    """The lab's inventory with these of its hosts alone, and more variables for each."""
    lines = lab.inventory.read_text().replace("{{ inventory_dir }}", str(lab.dir)).splitlines()
    gone = [member.host for member in lab.members if only and member.host not in only]
    kept = [line for line in lines if not re.match(rf"    ({'|'.join(gone) or '-'}):", line)]
    path = lab.dir / "some.yml"
    path.write_text(
        "\n".join([*kept, *[f"    {name}: {json.dumps(value)}" for name, value in variables.items()]]) + "\n"
    )
    return path


def assert_holds(expected: dict, members: Sequence[Member]) -> None:
    for member in members:
        assert differences(expected, dump(member.client)) == [], member.name
    assert {entry.name for entry in members[0].client.member_list()} == {member.name for member in members}
    for member in members:
        assert re.search("(?i)state.*existing", member.config_file.read_text()), member.name


# ---- more and fewer members ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", [{"line": "3.6"}], indirect=True, ids=["3.6"])
def test_three_members_become_one_which_grows_again(lab: Lab) -> None:
    expected = seeded(lab)
    first, second, third = lab.members
    alone = inventory(lab, only=["m1"])
    lost = '{"etcd_restore_exclude": ["m2", "m3"]}'

    refused = restore(lab, lost, inventory=alone)
    assert (
        refused.rc != 0
        and f"the old member m2 is left out, but it still runs and answers at {second.client_url}" in refused.text
    )

    # Stopped, and started again behind the back of the restore: the proof finds them, and everything goes back.
    lab.stop(second)
    lab.stop(third)
    script = first.dir / "etcd.sh"
    good = script.read_text()
    script.write_text(
        good.replace("start() {", f"start() {{\n    sh {second.dir}/etcd.sh start; sh {third.dir}/etcd.sh start", 1)
    )
    failed = restore(lab, lost, "etcd_restore_prove_timeout=8", inventory=alone)
    assert failed.rc != 0 and "old members that answer: expected []" in failed.text, failed.output
    assert "The old data and configuration are back" in failed.text
    script.write_text(good)
    lab.wait_ready()
    assert differences(expected, dump(first.client)) == []

    lab.stop(second)
    lab.stop(third)
    done = restore(lab, lost, inventory=alone)
    assert done.rc == 0, done.output
    assert "old members that answer none" in done.text
    assert_holds(expected, [first])

    # Grown by etcd's own words, with the configuration that the restore has left on m1.
    first.client.call("cluster/member/add", {"peerURLs": [second.peer_url]})
    shutil.rmtree(second.data_dir)
    text = second.config_file.read_text()
    text = re.sub("initial-cluster: .*", f"initial-cluster: m1={first.peer_url},m2={second.peer_url}", text)
    second.config_file.write_text(text.replace('state: "new"', 'state: "existing"'))
    lab.start(second)
    for _again in range(2):
        lab.stop(first)  # it starts with what is in its configuration now
        lab.start(first)
    for member in (first, second):
        assert differences(expected, _dump_soon(member)) == []
    assert {entry.name for entry in first.client.member_list()} == {"m1", "m2"}


def _dump_soon(member: Member) -> dict:
    for _try in range(200):
        try:
            member.client.get(b"x")
            break
        except GatewayError:
            pass
    return dump(member.client)


@pytest.mark.parametrize(("line", "old", "new"), [("3.5", 1, 3), ("3.7", 3, 5)])
def test_a_clone_on_hosts_that_were_never_started(tmp_path: Path, line: str, old: int, new: int) -> None:
    """More members, other hosts, other names, while the original goes on."""
    with Lab(tmp_path / "original", members=old, line=line) as original:
        expected = seeded(original)
        ids = [member.client.status() for member in original.members]
        with Lab(tmp_path / "clone", members=new, line=line, host_names=[f"b{n}" for n in range(1, new + 1)]) as clone:
            pass
        for member in clone.members:  # as a package leaves it: configured, and never started
            shutil.rmtree(member.data_dir)
            member.log_file.unlink()
            member.config_file.write_text(
                member.config_file.read_text().replace(f'name: "{member.name}"', f'name: "site-{member.host}"')
            )
        text = clone.inventory.read_text().replace("{{ inventory_dir }}", str(clone.dir))
        named = re.sub(
            r"(b\d): {etcd_name: (m\d)}", rf"\1: {{etcd_name: site-\1, lab_member_dir: {clone.dir}/\2}}", text
        )
        clone.inventory.write_text(named)
        try:
            done = restore(clone, f"etcd_restore_snapshot={taken(original)}")
            assert done.rc == 0, done.output + clone.logs()
            assert "was taken from a cluster with other members" in done.text
            for member in clone.members:
                assert differences(expected, dump(member.client)) == [], member.host
            found = {entry.name for entry in clone.members[0].client.member_list()}
            assert found == {f"site-{member.host}" for member in clone.members}
            assert clone.members[0].client.status().cluster_id != ids[0].cluster_id
            assert [member.client.status() for member in original.members] == ids, "the original was disturbed"
        finally:
            clone.down(grace=0)


# ---- what the restore begins with ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", [{"line": "3.7"}], indirect=True, ids=["3.7"])
@pytest.mark.parametrize("how", ["gzip latest on one host", "zstd named"])
def test_all_data_is_gone_and_the_snapshot_is_compressed(lab: Lab, tmp_path: Path, how: str) -> None:
    expected = seeded(lab)
    plain = taken(lab)
    for member in lab.members:
        lab.kill(member)
        shutil.rmtree(member.data_dir)
    packed = compressed(plain, how.split()[0])
    extra = [f"etcd_restore_spool={tmp_path}/spool"]
    where = inventory(lab)
    if "latest" in how:
        folder = lab.member("m2").dir / "backups"
        lab.backup_dir.rename(folder)
        packed = folder / packed.name
        (folder / f"{plain.name}.json").rename(f"{packed}.json")
        where = inventory(lab, etcd_backup_dir="{{ lab_member_dir }}/backups")
    else:
        extra.append(f"etcd_restore_snapshot={packed}")
    beside = sorted(packed.parent.iterdir())

    done = restore(lab, *extra, inventory=where)
    assert done.rc == 0, done.output
    assert f"unpacked ({how.split()[0]}) on the controller" in done.text
    assert_holds(expected, lab.members)
    assert sorted(packed.parent.iterdir()) == beside, "the look left something"
    assert not any((tmp_path / "spool").iterdir()), "the plain snapshot stayed on the controller"
    assert not [path for member in lab.members for path in (member.dir / "state" / "snapshots").glob("*")]


@pytest.mark.parametrize("lab", [{"line": "3.4"}, {"line": "3.7"}], indirect=True, ids=["3.4", "3.7"])
def test_a_copy_with_a_damaged_byte_is_found_out_before_the_stop_and_brought_anew(lab: Lab, tmp_path: Path) -> None:
    """It ends with the SHA-256 that was planned, and is refused by etcd's tool."""
    expected = seeded(lab)
    ids = [member.client.status() for member in lab.members]
    whole = taken(lab).read_bytes()
    extra = [f"etcd_restore_snapshot={compressed(taken(lab), 'gzip')}", f"etcd_restore_spool={tmp_path}/spool"]
    copy = lab.member("m2").dir / "state" / "snapshots" / f"{hashlib.sha256(whole).hexdigest()[:16]}.db"
    copy.parent.mkdir(parents=True)
    middle = len(whole) // 2
    copy.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])

    refused = restore(lab, *extra)
    assert refused.rc != 0 and f"{copy} on this host is not the snapshot that was planned" in refused.text, (
        refused.output
    )
    assert [member.client.status().member_id for member in lab.members] == [status.member_id for status in ids]
    assert not copy.exists()

    done = restore(lab, *extra)
    assert done.rc == 0, done.output
    assert_holds(expected, lab.members)


def compressed(plain: Path, how: str) -> Path:
    packed = plain.with_name(plain.name + (".gz" if how == "gzip" else ".zst"))
    if how == "gzip":
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    else:
        subprocess.run(["zstd", "-q", "--rm", plain], check=True)
    return packed


@pytest.mark.parametrize("lab", [{"line": "3.6", "config_format": "env"}], indirect=True, ids=["3.6"])
def test_a_database_copied_from_a_stopped_member(lab: Lab, tmp_path: Path) -> None:
    """The others still run, and go back in time; the stopped one's last write was only in its WAL."""
    seed(lab.members[0].client, 300)
    expected = dump(lab.members[0].client)
    third = lab.member("m3")
    lab.stop(third)
    with third.config_file.open("a") as settings:
        settings.write('ETCD_BACKEND_BATCH_INTERVAL="1h"\nETCD_BACKEND_BATCH_LIMIT="100000"\n')
    lab.start(third)
    lab.wait_ready()
    third.client.put(b"only in the WAL", b"1")
    lab.kill(third)
    copied = tmp_path / "db"
    shutil.copy(third.data_dir / "member" / "snap" / "db", copied)

    live = lab.members[0].data_dir / "member" / "snap" / "db"
    refused = restore(lab, f"etcd_restore_snapshot={live}", "etcd_restore_skip_hash_check=true")
    assert refused.rc != 0 and f"m1: {live} is the live database of a running member" in refused.text, refused.output
    refused = restore(lab, f"etcd_restore_snapshot={copied}")
    assert refused.rc != 0 and "set etcd_restore_skip_hash_check=true" in refused.text, refused.output
    assert lab.members[0].client.get(b"only in the WAL"), "nothing was touched"

    done = restore(lab, f"etcd_restore_snapshot={copied}", "etcd_restore_skip_hash_check=true")
    assert done.rc == 0, done.output
    assert "what was only in the WAL of the member that it was copied from is not in it and will be lost" in done.text
    assert_holds(expected, lab.members)


# ---- several clusters in one run -------------------------------------------------------------------------------------


def test_several_clusters_in_one_run(tmp_path: Path) -> None:
    with Lab(tmp_path / "east", members=1, line="3.5", host_names=["east1"]) as east, Lab(
        tmp_path / "west", members=1, line="3.7", host_names=["west1"]
    ) as west:
        both = tmp_path / "hosts.yml"
        groups = {}
        for name, lab in (("east", east), ("west", west)):
            text = lab.inventory.read_text().replace("{{ inventory_dir }}", str(lab.dir))
            groups[name] = yaml.safe_load(text)["etcd"]
            groups[name]["vars"]["etcd_cluster"] = name
        both.write_text(yaml.safe_dump({"sites": {"children": groups}}))
        seed(east.members[0].client, 100, seed=1)
        seed(west.members[0].client, 100, seed=2)
        expected = [dump(lab.members[0].client) for lab in (east, west)]
        for name in groups:
            assert play(BACKUP, "-i", both, "-e", f"target={name}", *PLAIN).rc == 0
        for lab in (east, west):
            lab.members[0].client.delete_range()

        def run(target: str, confirm: str = "sites", *more: str) -> Play:
            return play(RESTORE, "-i", both, "-e", f"target={target}", "-e", f"etcd_restore_confirm={confirm}", *more)

        # One is refused: both plans are shown, and neither is touched.
        good = taken(west).read_bytes()
        taken(west).write_bytes(good[:-1])
        refused = run("sites")
        assert refused.rc != 0 and "Nothing was touched." in refused.text
        assert f"snapshot restore {taken(east)} --name=m1" in refused.text, refused.output
        assert "west: no usable snapshot of this cluster" in refused.text and "cut off or damaged" in refused.text
        assert "-e target=" in refused.text
        assert [dict(dump(lab.members[0].client)) for lab in (east, west)] == [{}, {}]

        # One fails: it goes back, and the other is restored.
        taken(west).write_bytes(good)
        script = west.members[0].dir / "etcd.sh"
        text = script.read_text()
        script.write_text(
            text.replace("start() {", 'start() {\n    ls "$here" | grep -q "data.before-" && exit 1\n', 1)
        )
        failed = run("sites")
        assert failed.rc != 0 and "The old data and configuration are back" in failed.text, failed.output
        assert failed.recap("east1")["failed"] == 0
        assert differences(expected[0], dump(east.members[0].client)) == []
        script.write_text(text)
        west.start(west.members[0])
        west.wait_ready()
        assert dump(west.members[0].client) == {}

        # The one that is left, by its own name; the finished one beside it stays as it is.
        east.members[0].client.put(b"since", b"then")
        done = run("sites", "west")
        assert done.rc == 0, done.output
        assert differences(expected[1], dump(west.members[0].client)) == []
        assert east.members[0].client.get(b"since")
        statuses = [lab.members[0].client.status() for lab in (east, west)]
        assert statuses[0].cluster_id != statuses[1].cluster_id
