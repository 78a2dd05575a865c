# SPDX-License-Identifier: GPL-3.0-or-later
"""Half hours of a real member, shipped by the agent into folders: each is put together again, byte for byte, in two ways."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, ended, made_program
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import read_manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.together import put_together
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from client import Writer, seed
from conftest import CHECKOUT
from lab import Lab
from servers import S3, Sftp

SCRIPT = CHECKOUT / "docs" / "put_together.py"
SEED = int(os.environ.get("FAULTS_SEED", "1"))
HALF_HOURS = 5
KILLS = 6


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory):
    with Lab(tmp_path_factory.mktemp("chain") / "lab", members=1) as made:
        seed(made.members[0].client, 4000)
        yield made


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_program(tmp_path_factory.mktemp("program"))


def store(root: Path, name: str, **more: Any) -> dict[str, Any]:
    (root / name).mkdir(exist_ok=True)
    return {"name": name, "folder": str(root / name), "mounted": False, **more}


def write(lab: Lab, number: int) -> None:
    """Some keys overwritten, and what was before compacted away."""
    client = lab.members[0].client
    client.put_many((b"changed/%03d" % key, b"%d" % (number * 1000 + key) * 40) for key in range(60))
    client.compact(client.status().revision)
    time.sleep(0.3)


def names(folder: Path) -> list[str]:
    """The snapshots in a store, the oldest first."""
    return sorted(path.name[: -len(".json")] for path in (folder / "etcd").glob("*.db.json"))


def by_script(folder: Path, name: str, to: Path) -> bytes:
    to.unlink(missing_ok=True)
    argv = [sys.executable, str(SCRIPT), str(folder / "etcd" / f"{name}.json"), str(to)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return to.read_bytes()


def by_code(folder: Path, name: str, to: Path) -> bytes:
    to.unlink(missing_ok=True)
    objects = folder / "etcd"
    known = {one: read_manifest(str(objects / one)) for one in names(folder)}
    put_together(name, known, lambda each, path: shutil.copyfile(objects / each, path), str(to), run)
    return to.read_bytes()


def test_each_half_hour_is_put_together_again_byte_for_byte(lab: Lab, program: Path, tmp_path: Path) -> None:
    near, far = store(tmp_path, "near"), store(tmp_path, "far")
    agent = Agent(lab, lab.members[0], program, tmp_path / "m1", offsite=[near, far], keep=2, compress="none")
    kept = {}
    for number in range(HALF_HOURS):
        if number == 2:
            (tmp_path / "far").rename(tmp_path / "away")  # for a day
        if number == 4:
            (tmp_path / "away").rename(tmp_path / "far")
        write(lab, number)
        with Writer(lab.endpoints) as writer:  # and while somebody writes
            writer.wait_for_write()
            code, told = agent.run("backup")
        missing = number in (2, 3)
        assert (code, [one["result"] for one in told["uploads"]]) == (
            (1, ["shipped", "failed"]) if missing else (0, ["shipped", "shipped"])
        ), told
        if missing:
            assert "is not there" in told["uploads"][1]["cause"] and told["uploads"][1]["waiting"] == number - 1
        name = os.path.basename(told["path"])
        kept[name] = Path(told["path"]).read_bytes()
    assert len(agent.snapshots()) == 2, "here two are kept"
    objects = sorted(path.name for path in (tmp_path / "near" / "etcd").iterdir())
    assert [sum(name.endswith(end) for name in objects) for end in (".db.zst", ".pages.zst", ".db.json")] == [1, 4, 5]
    for folder in (tmp_path / "near", tmp_path / "far"):
        assert names(folder) == sorted(kept)
        for name, data in kept.items():
            assert by_script(folder, name, tmp_path / "script.db") == data
            assert by_code(folder, name, tmp_path / "code.db") == data
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "far" / "etcd").iterdir()}
    full = max(size for name, size in sizes.items() if name.endswith(".db.zst"))
    pages = [size for name, size in sizes.items() if ".pages." in name]
    print(f"full {full:,} bytes, increments {pages}")
    assert max(pages) < full / 3
    assert [path for path in (tmp_path / "m1" / "state" / "spool").iterdir() if not path.name.startswith(".")] == []

    # What was put together is a snapshot as any: etcd's own tool restores it, and finds it whole.
    data_dir = tmp_path / "restored"
    tool = lab.bin_dir / ("etcdutl" if (lab.bin_dir / "etcdutl").exists() else "etcdctl")
    done = subprocess.run(
        [str(tool), "snapshot", "restore", str(tmp_path / "script.db"), "--data-dir", str(data_dir)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 and (data_dir / "member").is_dir()

    # Nothing was written: nothing is shipped again.
    code, told = agent.run("backup")
    code, told = agent.run("backup")
    assert (code, told["result"]) == (0, "unchanged") and [one["result"] for one in told["uploads"]] == [
        "up to date"
    ] * 2


def test_killed_at_any_moment_the_stores_are_right_after_the_next_run(lab: Lab, program: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    near, far = store(tmp_path, "near"), store(tmp_path, "far")
    agent = Agent(lab, lab.members[0], program, tmp_path / "m1", offsite=[near, far], keep=40, compress="none")
    began = time.monotonic()
    assert agent.run("backup")[0] == 0
    lasts = time.monotonic() - began
    for number in range(KILLS):
        write(lab, number)
        process = agent.begin("backup")
        time.sleep(chance.uniform(0.5, 1.3) * lasts)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    write(lab, KILLS)
    code, told = agent.run("backup")
    assert code == 0 and [one["waiting"] for one in told["uploads"]] == [0, 0], told
    local = {path.name: path.read_bytes() for path in agent.folder.glob("*.db")}
    print(f"{len(local)} of {KILLS + 2} were saved")
    for folder in (tmp_path / "near", tmp_path / "far"):
        assert set(names(folder)) == set(local), "each that was saved is in each store"
        for name in names(folder):
            assert by_script(folder, name, tmp_path / "script.db") == local[name]
        objects = {path.name for path in (folder / "etcd").iterdir() if not path.name.startswith(".")}
        manifests = [json.loads((folder / "etcd" / f"{name}.json").read_text()) for name in local]
        told_of = {one[part][key] for one in manifests for part, key in (("offsite", "object"), ("kit", "name"))}
        assert objects == told_of | {f"{name}.json" for name in local}, "and nothing else"


def test_what_somebody_does_to_the_store_is_noticed(lab: Lab, program: Path, tmp_path: Path) -> None:
    near = store(tmp_path, "near")
    agent = Agent(lab, lab.members[0], program, tmp_path / "m1", offsite=[near], compress="none")
    for number in range(3):
        write(lab, number)
        code, told = agent.run("backup")
        assert code == 0
    last = os.path.basename(told["path"])
    folder = tmp_path / "near"
    (full,) = (folder / "etcd").glob("*.db.zst")
    good = full.read_bytes()
    for spoilt in (good[:-9], good[:200] + bytes([good[200] ^ 1]) + good[201:], b""):
        full.write_bytes(spoilt)
        with pytest.raises(EtcdError):
            by_code(folder, last, tmp_path / "code.db")
        assert not (tmp_path / "code.db").exists()
    full.unlink()
    # The next one could not be put together from what is there: it is a full one again.
    write(lab, 4)
    agent.run("backup")
    write(lab, 5)
    code, told = agent.run("backup")
    assert code == 0 and told["uploads"][0]["whole"] >= 1
    newest = os.path.basename(told["path"])
    assert (
        newest == told["uploads"][0]["newest"]
        and by_script(folder, newest, tmp_path / "script.db") == Path(told["path"]).read_bytes()
    )
    code, told = agent.run("ship")
    assert (code, told["uploads"][0]["result"]) == (0, "up to date")


def test_what_somebody_exchanges_in_the_store_is_refused_by_whoever_asks_for_signatures(
    lab: Lab, program: Path, tmp_path: Path
) -> None:
    """A well-made backup, an old one in the place of the newest, even with a signature: of somebody else."""
    keys = {name: tmp_path / name for name in ("ops", "other")}
    for key in keys.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers = "ops@prod " + Path(f"{keys['ops']}.pub").read_text()
    given = {"offsite": [store(tmp_path, "near")], "signing_key": str(keys["ops"]), "signers": signers}
    agent = Agent(lab, lab.members[0], program, tmp_path / "m1", **given)
    for number in range(2):
        write(lab, number)
        code, told = agent.run("backup")
        assert code == 0, told
    code, told = agent.run("list", "--offsite")
    assert code == 0 and [(one["whole"], one["refused"]) for one in told["snapshots"]] == [(["near"], {})] * 2, told
    old, newest = names(tmp_path / "near")
    place = tmp_path / "near" / "etcd" / f"{newest}.json"
    genuine, older = json.loads(place.read_text()), json.loads((place.parent / f"{old}.json").read_text())
    forged = {**genuine, **{key: older[key] for key in ("sha256", "size", "offsite")}}
    for signed in (False, True):
        place.write_text(json.dumps(forged))
        if signed:
            Path(f"{place}.sig").unlink()
            argv = ["ssh-keygen", "-Y", "sign", "-q", "-f", keys["other"], "-n", "quorum-etcd-snapshot", place]
            subprocess.run(argv, check=True)
        code, told = agent.run("list", "--offsite")
        assert code == 1 and [one["whole"] for one in told["snapshots"]] == [[], ["near"]], told
        words = "which is not among etcd_backup_signers" if signed else "was altered after it was signed"
        assert words in told["snapshots"][0]["refused"]["near"]
        assert f"REFUSED in near: the manifest of {newest}" in agent.words("list", "--offsite")
        code, told = agent.run("fetch", "latest", "--to", str(tmp_path / "elsewhere"))
        assert code == 1 and words in json.dumps(told), told
        assert not list((tmp_path / "elsewhere").glob("*.db"))
        code, told = agent.run("drill", "--offsite", "--newest-only")
        assert (code, told["result"]) == (1, "failed") and words in told["drills"][0]["cause"], told


def test_two_hosts_that_ship_to_one_store_at_once_spoil_nothing(lab: Lab, program: Path, tmp_path: Path) -> None:
    """Each with its own snapshots and chains, and rules that remove old ones; what they save is never of one second."""
    near = store(tmp_path, "near")
    agents = [Agent(lab, lab.members[0], program, tmp_path / name, compress="none", keep=40) for name in ("m1", "m2")]
    for number in range(5):
        for agent in agents:
            write(lab, number)
            agent.set(offsite=[])
            assert agent.run("backup")[0] == 0
            time.sleep(1.1)
            agent.set(offsite=[near], offsite_keep={"last": 3})
        begun = [agent.begin("ship") for agent in agents]
        made = [ended(process) for process in begun]
        assert [(code, one["uploads"][0]["result"]) for code, one in made] == [(0, "shipped")] * 2, made
    saved = {path.name: path.read_bytes() for agent in agents for path in agent.folder.glob("*.db")}
    there = names(tmp_path / "near")
    assert len(saved) == 10 and set(there) <= set(saved) and there[-3:] == sorted(saved)[-3:]
    for name in there:
        assert by_script(tmp_path / "near", name, tmp_path / "script.db") == saved[name]
        assert by_code(tmp_path / "near", name, tmp_path / "code.db") == saved[name]


def test_a_bucket_that_is_down_for_some_half_hours_is_caught_up(lab: Lab, program: Path, tmp_path: Path) -> None:
    """A real S3 server, stopped and started; the folder beside it misses nothing."""
    with S3(tmp_path / "s3") as cloud:
        (tmp_path / "cloud.conf").touch(mode=0o600)
        (tmp_path / "cloud.conf").write_text(cloud.config)
        bucket = {"name": "cloud", "remote": cloud.remote, "rclone_config": str(tmp_path / "cloud.conf")}
        stores = [store(tmp_path, "near"), bucket]
        agent = Agent(lab, lab.members[0], program, tmp_path / "m1", offsite=stores, compress="none", keep=1)
        saved = {}
        for number, waits in enumerate((0, 1, 2, 0)):
            if number in (1, 3):
                (cloud.stop if waits else cloud.start)()
            write(lab, number)
            code, told = agent.run("backup")
            assert code == (1 if waits else 0) and [one["waiting"] for one in told["uploads"]] == [0, waits], told
            saved[os.path.basename(told["path"])] = Path(told["path"]).read_bytes()
        assert len(told["uploads"][1]["sent"]) == 3
        agent.set(offsite=[bucket])
        for name, data in saved.items():
            assert agent.run("fetch", name, "--to", str(tmp_path / "back"))[0] == 0
            assert (tmp_path / "back" / name).read_bytes() == data
            assert by_script(tmp_path / "near", name, tmp_path / "script.db") == data


def test_what_an_upload_has_left_cut_off_where_nothing_is_replaced_costs_no_half_hour(
    lab: Lab, program: Path, tmp_path: Path
) -> None:
    """By SFTP, where rclone before 1.63 gives an object its name at once: of a full one and of an increment, encrypted."""
    with Sftp(tmp_path / "sftp") as away:
        for name, content in (("away.conf", away.config), ("away.password", "for tests")):
            (tmp_path / name).touch(mode=0o600)
            (tmp_path / name).write_text(content)
        own = {"rclone_config": str(tmp_path / "away.conf"), "password_file": str(tmp_path / "away.password")}
        stores = [{"name": "away", "remote": away.remote, "append_only": True, **own}]
        agent = Agent(lab, lab.members[0], program, tmp_path / "m1", offsite=stores, compress="none", keep=9)
        there, spool, cut = away.files / "etcd", tmp_path / "m1" / "state" / "spool", {}
        there.mkdir()
        for number, end in enumerate((".db.zst", ".pages.zst", "")):
            write(lab, number)
            (tmp_path / "away.conf").rename(tmp_path / "gone")  # as if it could not be reached, which takes longer
            assert agent.run("backup")[0] == 1
            (tmp_path / "gone").rename(tmp_path / "away.conf")
            for made in [one for one in spool.iterdir() if end and one.name.endswith(end)]:
                left = there / f"{made.name}.bin"
                cut[left] = made.read_bytes()[: made.stat().st_size // 2]
                left.write_bytes(cut[left])
            write(lab, 10 + number)
            code, told = agent.run("backup")
            assert code == 0 and [(one["result"], one["waiting"]) for one in told["uploads"]] == [("shipped", 0)], told
        assert len(cut) == 2 and all(left.read_bytes() == data for left, data in cut.items())
        for name in agent.snapshots():
            assert agent.run("fetch", name, "--to", str(tmp_path / "back"))[0] == 0
            assert (tmp_path / "back" / name).read_bytes() == (agent.folder / name).read_bytes()
        assert len(agent.snapshots()) == 6
