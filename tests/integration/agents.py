# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a host runs it, one file of Python, for the tests: under the oldest Python that there is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build
from conftest import CHECKOUT
from lab import Lab, Member

OLDEST = CHECKOUT / ".cache" / "venv-oldest" / "bin" / "python"
PYTHON = str(OLDEST) if OLDEST.exists() else sys.executable


def made_program(folder: Path) -> Path:
    """The agent, built of this checkout, with the bytecode of the Python that runs it, as the installation adds it."""
    path = folder / "quorum-etcd"
    path.write_bytes(build())
    script = f"""\
import sys
sys.path.insert(0, {str(path)!r})
from quorum_etcd.module_utils.agent.compiled import compiled
with open({str(path)!r}, "rb") as program:
    sys.stdout.buffer.write(compiled(program.read(), {str(path)!r}))
"""
    path.write_bytes(subprocess.run([PYTHON, "-c", script], capture_output=True, check=True).stdout)
    return path


def whose_turn(lab: Lab) -> Member:
    """The member that makes the backups: of those that do not lead the one with the lowest ID."""
    told = [(member, member.client.status()) for member in lab.members]
    followers = [
        (format(status.member_id, "x"), member) for member, status in told if status.leader != status.member_id
    ]
    return min(followers, key=lambda one: one[0])[1]


class Agent:
    """The agent of one member's host, with a folder and a state of its own."""

    def __init__(self, lab: Lab, member: Member, program: Path, home: Path, **settings: Any) -> None:
        self.folder = Path(settings.get("folder", home / "backups"))
        self.argv = [PYTHON, str(program)]
        self.config = home / "agent.json"
        home.mkdir()
        given = {
            "cluster": "etcd",
            "endpoints": lab.endpoints,
            "here": [member.client_url],
            "folder": str(self.folder),
            "state_dir": str(home / "state"),
            "bin_dir": str(lab.bin_dir),
        }
        self.config.write_text(json.dumps({**given, **settings}))

    def set(self, **settings: Any) -> None:
        self.config.write_text(json.dumps({**json.loads(self.config.read_text()), **settings}))

    def begin(self, command: str, *options: str) -> subprocess.Popen:
        argv = [*self.argv, command, "--config", str(self.config), "--json", *options]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, command: str, *options: str) -> tuple[int, dict[str, Any]]:
        return ended(self.begin(command, *options))

    def words(self, command: str, *options: str) -> str:
        argv = [*self.argv, command, "--config", str(self.config), *options]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout

    def snapshots(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.db*") if path.suffix in (".db", ".gz", ".zst"))


def ended(process: subprocess.Popen) -> tuple[int, dict[str, Any]]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, json.loads(out)
