# SPDX-License-Identifier: GPL-3.0-or-later
"""The recovery kit beside a snapshot of real members, and what a restore to empty hosts says by it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

from agents import Agent
from ansible_collections.quorum.etcd.plugins.module_utils.agent.other_members import known_now, text_of
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build
from client import seed
from conftest import BACKUP, CONFIRM, RESTORE, play
from lab import Lab, Member
from test_modules import run_module


def opened(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}


def told_by(lab: Lab, member: Member) -> str:
    """What the member's host tells for the kits of others, as a play asks for it."""
    options = {"name": member.name, "config_file": str(member.config_file), "bin_dir": str(lab.bin_dir)}
    return run_module(lab, "member_info", **options, service_manager="command", kit=True)[0]["kit"]


def test_it_lies_beside_each_snapshot_and_a_restore_to_empty_hosts_tells_what_they_lack(
    lab: Lab, tmp_path: Path
) -> None:
    seed(lab.members[0].client, 50)
    for member in lab.members:
        with member.config_file.open("a") as settings:
            settings.write(f"# of {member.name}: {{{{ lookup('pipe', 'id') }}}}\n# ETCDCTL_PASSWORD=gehe1m\n")
    written = {member.name: member.config_file.read_bytes().replace(b"gehe1m", b"(masked)") for member in lab.members}
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
    own, *others = lab.members
    assert files[f"kit/files{own.config_file}"] == written[own.name] and b"initial-cluster-token" in written[own.name]
    for other in others:
        assert files[f"kit/others/{other.host}{other.config_file}"] == written[other.name]
    assert {one["name"]: one["files"] for one in told["members"]} == {
        member.name: [str(member.config_file)] for member in lab.members
    }
    assert b"gehe1m" not in b"".join(files.values()) and told["notes"] == [] and told["host"] == own.host
    assert b"restore.yml" in files["kit/README"]

    # The agent sees its own host, the same each time, and the kit goes with its snapshot. Of the others it has what a play saw.
    program = tmp_path / "quorum-etcd"
    program.write_bytes(build())
    member = {"config_file": str(lab.members[1].config_file), "service_manager": "command"}
    agent = Agent(lab, lab.members[1], program, tmp_path / "own", every_member=True, keep=1)
    others = {one.host: told_by(lab, one) for one in (lab.members[0], lab.members[2])}
    known = tmp_path / "members.json"
    known.write_text(text_of(known_now(str(known), others, "2026-11-24T03:45:57Z")))
    known.chmod(0o600)
    agent.set(member=member, host=lab.members[1].host, members_file=str(known))
    first = agent.run("backup")[1]
    assert first["result"] == "saved", first
    (before,) = [one.read_bytes() for one in agent.folder.glob("*.kit.tar.gz")]
    files = opened(*agent.folder.glob("*.kit.tar.gz"))
    told = json.loads(files["kit/members.json"])
    assert told["files"] == [str(lab.members[1].config_file)] and told["notes"] == []
    assert {one["name"]: (one["data_dir"], one["seen_at"]) for one in told["members"]} == {
        one.name: (str(one.data_dir), "2026-11-24T03:45:57Z" if one.host in others else "") for one in lab.members
    }
    assert files[f"kit/files{lab.members[1].config_file}"] == written[lab.members[1].name]
    for one in (lab.members[0], lab.members[2]):
        assert files[f"kit/others/{one.host}{one.config_file}"] == written[one.name]
    assert b"gehe1m" not in b"".join(files.values())
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


def test_a_host_that_has_told_what_cannot_be_understood_is_a_note_in_the_kit(lab: Lab, tmp_path: Path) -> None:
    seed(lab.members[0].client, 5)
    own, other, old = lab.members
    members = {own.host: told_by(lab, own), other.host: told_by(lab, other)[:-9], old.host: {"name": old.name}}
    given = {
        "endpoints": [own.client_url],
        "bin_dir": str(lab.bin_dir),
        "host": own.host,
        "members": members,
        "kit": True,
    }
    told, _shown = run_module(lab, "snapshot", dest=str(tmp_path / "b"), state_dir=str(tmp_path / "s"), **given)
    assert told.get("result") == "saved", told
    kit = json.loads(opened(*(tmp_path / "b").glob("*.kit.tar.gz"))["kit/members.json"])
    assert [f"what was seen of {one.host} for" in note for one, note in zip((other, old), kit["notes"])] == [True, True]
    assert kit["host"] == own.host and kit["files"] == [str(own.config_file)]
