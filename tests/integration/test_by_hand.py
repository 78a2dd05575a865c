# SPDX-License-Identifier: GPL-3.0-or-later
"""What README says of a restore without this software is done as it stands there, and the cluster comes back key by key."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from agents import Agent, made_program
from client import differences, dump, seed
from conftest import CHECKOUT
from lab import Lab

SECTION = "### By hand, without this software"


def blocks() -> list[str]:
    """The blocks of commands of the section."""
    text = (CHECKOUT / "README.md").read_text().partition(SECTION)[2].partition("\n### ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def replaced(text: str, **by: object) -> str:
    """With another path or value for each; every one must be in there."""
    for old, new in by.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def done(commands: str, lab: Lab) -> str:
    env = {**os.environ, "PATH": f"{lab.bin_dir}:{os.environ['PATH']}", "ETCDCTL_API": "3"}
    ran = subprocess.run(
        ["sh", "-eux", "-c", commands], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("line", ["3.6", "3.4"])
def test_what_the_readme_says_is_done(tmp_path: Path, line: str) -> None:
    with Lab(tmp_path / "lab", line=line) as lab:
        seed(lab.members[0].client, 200)
        expected = dump(lab.members[0].client)
        agent = Agent(lab, lab.members[0], made_program(tmp_path), tmp_path / "own", every_member=True, compress="zstd")
        code, saved = agent.run("backup")
        assert code == 0, saved
        lab.members[0].client.put(b"later", b"is lost")

        look, restore = blocks()
        said = done(replaced(look, **{"/var/backups/etcd": agent.folder, "/root/": f"{tmp_path}/"}), lab)
        manifest = json.loads(Path(f"{saved['path']}.json").read_text())
        assert Path(saved["path"]).name in said and '"sha256"' in said, "the catalogue is read"
        assert said.splitlines()[-1] == f"{manifest['sha256']}  {tmp_path}/snapshot.db"
        assert re.search(r"^(\./|kit/)?README", said, re.MULTILINE), said

        for member in lab.members:
            lab.kill(member)
        if line == "3.4":
            assert "etcd 3.4: ETCDCTL_API=3 etcdctl snapshot restore" in restore
            restore = restore.replace("etcdutl snapshot restore", "etcdctl snapshot restore", 1)
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in lab.members)
        for member in lab.members:
            own = replaced(
                restore,
                **{
                    "name=m1 peer=https://10.0.0.1:2380": f"name={member.name} peer={member.peer_url}",
                    "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380,m3=https://10.0.0.3:2380": cluster,
                    "/root/": f"{tmp_path}/",
                    "/var/lib/etcd": member.data_dir,
                },
            )
            done(own, lab)
            lab.start(member)
        lab.wait_ready()
        for member in lab.members:
            assert differences(expected, dump(member.client)) == [], member.name
