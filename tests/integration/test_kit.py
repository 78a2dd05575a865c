# SPDX-License-Identifier: GPL-3.0-or-later
"""The recovery kit beside a snapshot of real members, and what a restore to empty hosts says by it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

from agents import Agent
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build
from client import seed
from conftest import BACKUP, CONFIRM, RESTORE, play
from lab import Lab


def opened(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read().decode() for one in archive}


def test_it_lies_beside_each_snapshot_and_a_restore_to_empty_hosts_tells_what_they_lack(
    lab: Lab, tmp_path: Path
) -> None:
    seed(lab.members[0].client, 50)
    for member in lab.members:
        with member.config_file.open("a") as settings:
            settings.write("# ETCDCTL_PASSWORD=gehe1m\n")
    assert play(BACKUP, "-i", lab.inventory).rc == 0
    (path,) = lab.backup_dir.glob("*.kit.tar.gz")
    assert path.stat().st_mode & 0o777 == 0o600
    (manifest,) = lab.backup_dir.glob("*.json")
    kit = {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
    assert (
        json.loads(manifest.read_text())["kit"] == kit and path.name.split(".kit")[0] == manifest.name.split(".db")[0]
    )
    files = opened(path)
    told = json.loads(files["kit/members.json"])
    version = str(lab.members[0].client.status().version)
    assert {one["name"]: (one["host"], one["data_dir"], one["version"]) for one in told["members"]} == {
        member.name: (member.host, str(member.data_dir), version) for member in lab.members
    }
    assert set(json.loads(files["kit/settings.json"])) >= {member.host for member in lab.members}
    own = files[f"kit/files{lab.members[0].config_file}"]
    assert "initial-cluster-token" in own and "gehe1m" not in str(files) and "(masked)" in own
    assert "restore.yml" in files["kit/README"]

    # The agent sees its own host, the same each time, and the kit goes with its snapshot.
    program = tmp_path / "quorum-etcd"
    program.write_bytes(build())
    member = {"config_file": str(lab.members[1].config_file), "service_manager": "command"}
    agent = Agent(lab, lab.members[1], program, tmp_path / "own", every_member=True, keep=1)
    agent.set(member=member)
    first = agent.run("backup")[1]
    assert first["result"] == "saved", first
    (before,) = [one.read_bytes() for one in agent.folder.glob("*.kit.tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(before)) as archive:
        told = json.load(archive.extractfile("kit/members.json"))
    assert [one["data_dir"] for one in told["members"]].count(str(lab.members[1].data_dir)) == 1
    assert told["files"] == [str(lab.members[1].config_file)] and told["notes"] == []
    lab.members[0].client.put(b"more", b"1")
    second = agent.run("backup")[1]
    assert second["removed"] == [Path(first["path"]).name]
    (after,) = [one.read_bytes() for one in agent.folder.glob("*.kit.tar.gz")]
    assert after == before, "nothing has changed"
    agent.set(kit_pki=True)
    code, refused = agent.run("backup")
    assert code == 2 and "in a folder that is not encrypted" in refused["cause"]

    # All machines are gone; the new ones have a configuration and nothing else.
    for one in lab.members:
        lab.kill(one)
        shutil.rmtree(one.data_dir)
    with lab.members[2].config_file.open("a") as settings:
        settings.write("client-transport-security:\n  cert-file: /etc/etcd/no-such.crt\n")
    plan = play(RESTORE, "-i", lab.inventory, *CONFIRM, "--check", "--diff")
    assert "old members by the recovery kit, made on" in plan.text, plan.output
    for one in lab.members:
        assert f"{one.name}: {one.client_url}, etcd {version}, data in {one.data_dir}, on {one.host}" in plan.text
    lacking = "m3: its configuration names /etc/etcd/no-such.crt (cert-file), which is not there"
    assert lacking in plan.text, plan.output
    path.write_bytes(path.read_bytes()[:-1])
    plan = play(RESTORE, "-i", lab.inventory, *CONFIRM, "--check", "--diff")
    assert "is not the one that its snapshot was saved with. The snapshot itself is whole." in plan.text, plan.output
