# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills with real etcd: what is good is proven, what is not is told, nobody else sees it, and nothing is left behind."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from agents import PYTHON, Agent, ended, made_program
from client import seed
from lab import Lab
from servers import S3
from waiting import until

MARK = "QUORUM_ETCD_DRILL"
CHECK = Path(__file__).with_name("drill_check.py")
SEED = int(os.environ.get("FAULTS_SEED", "1"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_program(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory):
    with Lab(tmp_path_factory.mktemp("drill") / "lab", members=1, line="3.6") as made:
        seed(made.members[0].client, 300)
        yield made


@pytest.fixture
def open_folder():
    """One that every user of this host can read, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def agent(lab: Lab, program: Path, tmp_path: Path, open_folder: Path):
    own = {"every_member": True, "drill_memory": 1024, "drill_dir": str(open_folder / "drill"), "compress": "none"}
    made = Agent(lab, lab.members[0], program, tmp_path / "own", **own)
    yield made
    assert marked(made) == [] and left(made) == [], "a drill leaves neither processes nor data"


def scratch(agent: Agent) -> Path:
    return Path(json.loads(agent.config.read_text())["drill_dir"])


def left(agent: Agent) -> list[str]:
    return [path.name for path in scratch(agent).glob(".quorum-etcd-drill-*")]


def marked(agent: Agent) -> list[int]:
    """The processes of drills of this agent."""
    found, mark = [], f"{MARK}={scratch(agent)}/".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if any(one.startswith(mark) for one in environment.split(b"\0")):
            found.append(int(pid))
    return found


def backed_up(lab: Lab, agent: Agent, count: int) -> list[Path]:
    """So many snapshots, the newest last."""
    for number in range(count):
        lab.members[0].client.put(b"drill", b"%d" % number)
        assert agent.run("backup")[1]["result"] == "saved"
        time.sleep(1.1)  # names tell seconds
    return [agent.folder / name for name in agent.snapshots()]


@pytest.mark.parametrize("line", ["3.4", "3.7"])
def test_of_other_lines_and_with_users_it_is_proven_too(
    program: Path, tmp_path: Path, open_folder: Path, line: str
) -> None:
    with Lab(tmp_path / "lab", members=1, line=line) as lab:
        seed(lab.members[0].client, 200)
        secret = tmp_path / "secret"
        secret.write_text("it is a secret\n")
        secret.chmod(0o600)
        ctl = [lab.bin_dir / "etcdctl", f"--endpoints={lab.endpoints[0]}"]
        for words in (
            ["user", "add", "root:it is a secret"],
            ["user", "grant-role", "root", "root"],
            ["auth", "enable"],
        ):
            subprocess.run([*ctl, *words], env={**os.environ, "ETCDCTL_API": "3"}, check=True, capture_output=True)
        own = {"every_member": True, "user": "root", "password_file": str(secret), "drill_memory": 1024}
        own["drill_dir"] = str(open_folder / "drill")
        agent = Agent(lab, lab.members[0], program, tmp_path / "own", drill_check=[PYTHON, str(CHECK)], **own)
        assert agent.run("backup")[0] == 0
        code, told = agent.run("drill")
        (drill,) = told["drills"]
        assert (code, drill["result"], drill["keys"]) == (0, "proven", 200), drill
        assert "200 keys" in drill["compared"] and any(one.startswith("hash ") for one in drill["compared"]), drill
        assert drill["not_compared"] == ["authentication is on in it, and was off while it was looked at"]
        assert drill["check"] == ["200 keys, and nobody else sees them"]
        assert drill["etcd_version"].startswith(line)

        (packed,) = [agent.folder / name for name in agent.snapshots()]
        assert packed.suffix in (".zst", ".gz")
        spoil(packed)
        code, told = agent.run("drill")
        (drill,) = told["drills"]
        assert (code, drill["result"], drill["level"], drill["damaged"]) == (1, "failed", "none", True), drill
        assert f"{packed} is damaged" in drill["cause"]
        assert marked(agent) == [] and left(agent) == []


def test_the_newest_and_an_older_one_are_proven_and_it_is_known_how_long_that_is_ago(lab: Lab, agent: Agent) -> None:
    code, told = agent.run("drill")
    assert (code, told["result"], told["drills"]) == (0, "nothing", [])
    assert "nothing to drill: no snapshot of cluster etcd lies in" in agent.words("drill")

    paths = backed_up(lab, agent, 4)
    agent.set(drill_check=[PYTHON, str(CHECK)])
    code, told = agent.run("drill", "--seed", "5")
    newest, older = told["drills"]
    assert (code, told["result"], told["seed"]) == (0, "proven", 5), told
    assert newest["path"] == str(paths[-1]) and newest["picked"] == "it is the newest"
    assert Path(older["path"]) in paths[:-1] and older["picked"] == "it was drawn of 3 older ones by seed 5"
    assert agent.run("drill", "--seed", "5")[1]["drills"][1]["path"] == older["path"]
    manifest = json.loads(Path(f"{paths[-1]}.json").read_text())
    assert (newest["revision"], newest["keys"]) == (manifest["revision"], manifest["user_keys"])
    assert f"hash {manifest['hashkv']} of all keys at revision {manifest['hashkv_revision']}" in newest["compared"]
    assert newest["check"] == [f"{newest['keys']} keys, and nobody else sees them"]
    assert set(newest["parts"]) == {"unpack", "verify", "read", "restore", "start", "compare", "check"}
    assert 0 < newest["restore_seconds"] <= newest["seconds"]
    assert "a restore of it takes about" in agent.words("drill", "--newest-only")

    levels = {row["name"]: row["level"] for row in agent.run("list")[1]["snapshots"]}
    assert levels[paths[-1].name] == "proven" and sorted(levels.values())[:2] == ["proven", "proven"]
    assert "restored and compared" in agent.words("list")
    code, told = agent.run("status")
    assert (code, told["state"], told["proven"]["path"]) == (0, "ok", str(paths[-1])), told
    assert 0 <= told["proven_age"] < 120 and 0 <= told["verified_age"] < 120

    # Days later.
    log = agent.config.parent / "state" / "drills.jsonl"
    log.write_text(log.read_text().replace(newest["at"][:10], "2026-01-01"))
    code, told = agent.run("status")
    assert (code, told["state"]) == (3, "not proven") and "7 days are allowed" in told["why"]
    agent.set(proof_age=0)
    assert agent.run("status")[0] == 0

    lines = agent.words("drill", "--export").splitlines()
    assert [json.loads(line)["result"] for line in lines] == ["proven"] * 5
    rows = list(csv.DictReader(agent.words("drill", "--export", "csv").splitlines()))
    assert [row["sha256"] for row in rows] == [json.loads(line)["sha256"] for line in lines]


def spoil(path: Path) -> None:
    """One bit of a value, where no structure is."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def other_manifest(path: Path) -> None:
    other = min(path.parent.glob("*.json"))
    shutil.copy(other, f"{path}.json")


def other_clusters(path: Path) -> None:
    """Wholly: with a manifest of its own."""
    manifest = json.loads(Path(f"{path}.json").read_text())
    Path(f"{path}.json").write_text(json.dumps({**manifest, "cluster": "shop", "cluster_id": "1234567890abcdef"}))


def older_one(path: Path) -> None:
    """Wholly: with its manifest, so that only what was recorded tells."""
    older = min(path.parent.glob("*.db"))
    shutil.copy(older, path)
    shutil.copy(f"{older}.json", f"{path}.json")


def fewer_keys(path: Path) -> None:
    manifest = json.loads(Path(f"{path}.json").read_text())
    Path(f"{path}.json").write_text(json.dumps({**manifest, "user_keys": manifest["user_keys"] - 1}))


def other_hash(path: Path) -> None:
    manifest = json.loads(Path(f"{path}.json").read_text())
    Path(f"{path}.json").write_text(json.dumps({**manifest, "hashkv": manifest["hashkv"] ^ 1}))


def other_kit(path: Path) -> None:
    spoil(Path(str(path).replace(".db", ".kit.tar.gz")))


BROKEN = [
    (other_kit, "proven", "is not the one that its snapshot was saved with"),
    (spoil, "none", "is damaged: the SHA-256 at its end does not match"),
    (cut, "none", "so it was cut off"),
    (other_manifest, "none", "its manifest was written for"),
    (other_clusters, "none", "is a snapshot of cluster shop, and not of etcd"),
    (older_one, "none", "is not what was saved under this name"),
    (fewer_keys, "read", "its number of keys should be"),
    (other_hash, "read", "its hash of all keys at revision"),
]


def test_what_is_corrupt_cut_or_exchanged_fails(lab: Lab, agent: Agent) -> None:
    backed_up(lab, agent, 2)
    keep = agent.folder.with_name("keep")
    shutil.copytree(agent.folder, keep)
    for change, level, cause in BROKEN:
        newest = agent.folder / agent.snapshots()[-1]
        change(newest)
        code, told = agent.run("drill", "--newest-only")
        (drill,) = [drill for drill in told["drills"] if drill["path"] == str(newest)]
        found = (code, drill["result"], drill["path"], drill["level"], drill["damaged"])
        assert found == (1, "failed", str(newest), level, True), (change, drill)
        assert cause in drill["cause"] and drill["next_step"], (change, drill)
        code, told = agent.run("status")
        assert (code, told["state"]) == (1, "failed") and cause in told["why"], (change, told)
        shutil.rmtree(agent.folder)
        shutil.copytree(keep, agent.folder)
    assert agent.run("drill")[0] == 0
    assert agent.run("status")[0] == 0


def test_the_sites_own_check_has_a_say_and_a_time(lab: Lab, agent: Agent) -> None:
    backed_up(lab, agent, 1)
    agent.set(drill_check=["/bin/sh", "-c", "echo one; echo the orders are missing >&2; exit 4"])
    code, told = agent.run("drill")
    (drill,) = told["drills"]
    assert (code, drill["result"], drill["level"]) == (1, "failed", "read"), drill
    assert "the check /bin/sh says no: the orders are missing (exit code 4)" in drill["cause"]
    assert drill["check"] == ["one", "the orders are missing"] and agent.run("status")[0] == 1

    # It and what it begins end with the drill's time, and so does all the rest.
    agent.set(drill_check=["/bin/sh", "-c", "sleep 300 & sleep 300"], drill_timeout=6)
    began = time.monotonic()
    code, told = agent.run("drill")
    assert code == 1 and "its time is up" in told["drills"][0]["cause"], told
    assert time.monotonic() - began < 60
    agent.set(drill_check=[], drill_timeout=3600)
    assert agent.run("drill")[0] == 0 and agent.run("status")[0] == 0


def test_what_is_not_signed_as_it_must_be_fails(lab: Lab, agent: Agent, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    public = Path(f"{key}.pub").read_text().strip()
    agent.set(signing_key=str(key), signers=f"backup@lab {public}\n")
    (path,) = backed_up(lab, agent, 1)
    code, told = agent.run("drill")
    assert code == 0 and "signed by backup@lab" in told["drills"][0]["compared"], told
    manifest = Path(f"{path}.json")
    manifest.write_text(manifest.read_text().replace('"schema": 1', '"schema":  1'))
    code, told = agent.run("drill")
    (drill,) = told["drills"]
    assert (code, drill["level"], drill["damaged"]) == (1, "none", True) and "sign" in drill["cause"], drill
    Path(f"{manifest}.sig").unlink()
    code, told = agent.run("drill")
    (drill,) = told["drills"]
    assert code == 1 and "is not signed" in drill["cause"] and not drill["damaged"], told


def test_two_at_once_and_in_a_place_where_it_must_not_be(lab: Lab, agent: Agent, tmp_path: Path) -> None:
    backed_up(lab, agent, 1)
    agent.set(drill_check=["/bin/sh", "-c", f"touch {tmp_path}/begun; sleep 3"])
    first = agent.begin("drill")
    until((tmp_path / "begun").exists, "the check began")
    code, told = agent.run("drill")
    assert (code, told["result"]) == (2, "refused") and "another run is at work in" in told["cause"], told
    assert agent.run("backup", "--force")[0] == 0, "a drill keeps no backup from being made"
    assert ended(first)[0] == 0
    good = str(scratch(agent))
    agent.set(drill_check=[], drill_dir=str(lab.members[0].data_dir / "x"))
    code, told = agent.run("drill")
    assert code == 1 and "lies in the data directory" in told["cause"]
    assert not (lab.members[0].data_dir / "x").exists()
    agent.set(drill_dir=good)


def test_killed_in_the_middle_it_leaves_nothing_that_the_next_one_does_not_clear(
    lab: Lab, agent: Agent, tmp_path: Path
) -> None:
    backed_up(lab, agent, 2)
    dice = random.Random(SEED)
    agent.set(drill_check=["/bin/sh", "-c", "sleep 300"])
    for moment in ("restoring", "serving", "checking"):
        process = agent.begin("drill", "--newest-only")
        sign = {"restoring": "data", "serving": "client:1", "checking": "life-*"}[moment]
        until(lambda sign=sign: list(scratch(agent).glob(f".quorum-etcd-drill-*/{sign}")), sign)
        time.sleep(dice.uniform(0, 0.1) + (0.5 if moment == "checking" else 0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        until(lambda: not marked(agent), "nothing of the drill runs", 20)
    assert left(agent), "its data is still there"

    # One of its processes that had got away is ended, and nobody else's.
    folder = scratch(agent) / left(agent)[0]
    away = subprocess.Popen(["sleep", "300"], env={MARK: str(folder)})
    others = subprocess.Popen(["sleep", "300"], env={MARK: f"{folder}-of-somebody-else"})
    try:
        agent.set(drill_check=[])
        assert agent.run("drill")[0] == 0
        assert away.wait(timeout=10) == -signal.SIGKILL and others.poll() is None and left(agent) == []
    finally:
        away.kill()
        others.kill()
        others.wait()
        away.wait()
    records = agent.words("drill", "--export")
    assert "ended in the middle of its drill: it was killed" in records and agent.run("status")[0] == 0

    # Told to end, it clears away by itself.
    agent.set(drill_check=["/bin/sh", "-c", "sleep 300"])
    process = agent.begin("drill", "--newest-only")
    until(lambda: list(scratch(agent).glob(".quorum-etcd-drill-*/client:1")), "a throwaway etcd")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    until(lambda: not marked(agent), "nothing of the drill runs", 20)


def test_what_lies_off_site_is_fetched_wholly_and_proven(lab: Lab, agent: Agent, open_folder: Path) -> None:
    """A store that flips a bit and keeps the length is found out by nothing less."""
    stores = [open_folder / "one", open_folder / "two"]
    for folder in stores:
        folder.mkdir()
    agent.set(offsite=[{"name": folder.name, "folder": str(folder), "mounted": False} for folder in stores])
    paths = backed_up(lab, agent, 3)
    code, told = agent.run("drill", "--offsite", "--seed", "1")
    first, second, older = told["drills"]
    assert (code, told["result"]) == (0, "proven"), told
    assert [(one["source"], one["path"]) for one in (first, second)] == [(one.name, paths[-1].name) for one in stores]
    assert older["path"] in {path.name for path in paths[:-1]} and "drawn of 4 older ones by seed 1" in older["picked"]
    assert {"fetch", "restore"} < set(first["parts"]) and "of the store one" in agent.words("drill", "--offsite")
    assert any(one.startswith("hash ") for one in first["compared"]), first

    # Here or there: seeds draw of both.
    sources = {agent.run("drill", "--seed", str(seed))[1]["drills"][-1]["source"] for seed in range(6)}
    assert "local" in sources and len(sources) > 1, sources

    packed = [path for path in stores[1].rglob("*") if path.suffix in (".zst", ".gz", ".xz")]
    objects = sorted(path for path in packed if ".kit." not in path.name)
    assert len(objects) == 3, objects
    whole = objects[-1].read_bytes()
    spoil(objects[-1])
    code, told = agent.run("drill", "--offsite", "--newest-only")
    good, bad = told["drills"]
    assert (code, good["result"], bad["result"], bad["level"]) == (1, "proven", "failed", "none"), told
    assert bad["source"] == "two" and objects[-1].name in bad["cause"] and bad["damaged"], bad
    assert agent.run("status")[0] == 1
    code, told = agent.run("drill", "--offsite", paths[0].name, "--newest-only")
    assert (code, {one["path"] for one in told["drills"]}) == (0, {paths[0].name}), told
    assert agent.run("drill", "--newest-only")[0] == 0
    code, told = agent.run("status")
    assert code == 1 and f"the drill of {paths[-1].name} of the store two failed" in told["why"], told
    objects[-1].write_bytes(whole)
    assert agent.run("drill", "--offsite", paths[-1].name)[0] == 0 and agent.run("status")[0] == 0

    # The store that comes first is proven later by nothing but itself; or it is deleted there, and that is seen.
    (first_one,) = stores[0].rglob(objects[-1].name)
    spoil(first_one)
    code, told = agent.run("drill", "--offsite", "--newest-only")
    assert (code, [one["result"] for one in told["drills"]]) == (1, ["failed", "proven"]), told
    assert agent.run("status")[0] == 1
    kept = Path(f"{first_one.parent / paths[-1].name}.json")
    manifest = kept.read_bytes()
    kept.unlink()
    assert agent.run("list", "--offsite")[0] == 0 and agent.run("status")[0] == 0
    kept.write_bytes(manifest)
    shutil.rmtree(stores[0])
    code, told = agent.run("drill", "--offsite")
    assert code == 1 and "one" in told["cause"], told
    assert agent.run("drill")[0] == 0, "what lies here can be drilled all the same"


def test_what_lies_in_a_bucket_is_fetched_decrypted_and_proven(lab: Lab, agent: Agent, tmp_path: Path) -> None:
    """By rclone, from a real S3 server, which keeps what it was given, flips a bit of it, or loses the end."""
    with S3(tmp_path / "s3") as cloud:
        for name, text in {"cloud.conf": cloud.config, "cloud.password": "only for this test"}.items():
            (tmp_path / name).touch(mode=0o600)
            (tmp_path / name).write_text(text)
        own = {"rclone_config": str(tmp_path / "cloud.conf"), "password_file": str(tmp_path / "cloud.password")}
        agent.set(offsite=[{"name": "cloud", "remote": cloud.remote, **own}])
        newest = backed_up(lab, agent, 2)[-1]
        code, told = agent.run("drill", "--offsite", "--newest-only")
        (drill,) = told["drills"]
        assert (code, drill["result"], drill["source"], drill["path"]) == (0, "proven", "cloud", newest.name), told
        assert {"fetch", "restore"} < set(drill["parts"]) and any(one.startswith("hash ") for one in drill["compared"])

        objects = [path for path in cloud.files.rglob("*") if newest.stem in path.name and path.is_file()]
        kept = max(objects, key=lambda path: path.stat().st_size)
        whole = kept.read_bytes()
        for how in (spoil, cut):
            how(kept)
            code, told = agent.run("drill", "--offsite", "--newest-only")
            (drill,) = told["drills"]
            assert (code, drill["result"], drill["level"]) == (1, "failed", "none"), told
            assert newest.stem in drill["cause"], drill
            kept.write_bytes(whole)
        assert agent.run("drill", "--offsite", "--newest-only")[0] == 0
