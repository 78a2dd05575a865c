# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules by themselves, as people use them in their own playbooks, on a running lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, play
from lab import Lab

BIN = Path(sys.executable).parent
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (CHECKOUT / "roles").iterdir())


def run_module(lab: Lab, module: str, *flags: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    """Run one module on the lab's m1; its result, and what was printed."""
    playbook = lab.dir / "module.yml"
    result = lab.dir / "result.json"
    task = {f"quorum.etcd.{module}": arguments, "register": "result"}
    keep = {
        "ansible.builtin.copy": {"content": "{{ result | to_json }}", "dest": str(result)},
        "check_mode": False,
        "diff": False,
    }
    playbook.write_text(yaml.safe_dump([{"hosts": "m1", "gather_facts": False, "tasks": [task, keep]}]))
    done = play(playbook, "-i", lab.inventory, *flags)
    assert done.rc == 0, done.output
    return json.loads(result.read_text()), done.output


def connection(lab: Lab) -> dict[str, Any]:
    return {"endpoints": lab.endpoints, "bin_dir": str(lab.bin_dir)}


@pytest.mark.parametrize(
    "lab", [{"config_format": "yaml"}, {"config_format": "env"}], ids=["yaml", "env"], indirect=True
)
def test_member_config_changes_one_value_and_nothing_else(lab: Lab) -> None:
    member = lab.members[0]
    before = member.config_file.read_text()
    arguments = {
        "config_file": str(member.config_file),
        "state_dir": str(lab.dir / "state"),
        "bin_dir": str(lab.bin_dir),
        "settings": {"initial-cluster-state": "existing"},
    }
    checked, shown = run_module(lab, "member_config", "--check", "--diff", **arguments)
    assert checked["changed"] and "existing" in shown
    assert member.config_file.read_text() == before, "check mode wrote"

    done, _shown = run_module(lab, "member_config", **arguments)
    assert done["changed"]
    changed = [
        (old, new) for old, new in zip(before.splitlines(), member.config_file.read_text().splitlines()) if old != new
    ]
    assert len(changed) == 1 and "existing" in changed[0][1]
    assert Path(done["files"][0]["backup"]).read_text() == before

    again, _shown = run_module(lab, "member_config", **arguments)
    assert not again["changed"]


def test_member_info_tells_what_runs_and_what_does_not(lab: Lab) -> None:
    member = lab.members[0]
    arguments = {"config_file": str(member.config_file), "bin_dir": str(lab.bin_dir)}
    running = run_module(lab, "member_info", **arguments)[0]["member"]
    assert running["running"] and running["pid"] == member.pid()
    assert running["peer_urls"] == [member.peer_url]
    assert running["data_dir"] == str(member.data_dir)
    lab.kill(member)
    stopped = run_module(lab, "member_info", **arguments)[0]["member"]
    assert not stopped["running"]
    for key in ("name", "peer_urls", "client_urls", "data_dir", "initial_cluster", "settings"):
        assert stopped[key] == running[key], key


def test_cluster_info_counts_what_may_fail(lab: Lab) -> None:
    whole = run_module(lab, "cluster_info", **connection(lab))[0]["cluster"]
    assert (whole["health"], whole["may_fail"], whole["hashes_equal"]) == ("healthy", 1, True)
    lab.kill(lab.members[1])
    lab.kill(lab.members[2])
    broken = run_module(lab, "cluster_info", **connection(lab))[0]["cluster"]
    assert not broken["has_quorum"] and broken["health"] == "no quorum"


def test_snapshot_in_check_mode_saves_nothing(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    planned, _shown = run_module(lab, "snapshot", "--check", dest=str(folder), **connection(lab))
    assert planned["changed"] and not folder.exists()
    saved, _shown = run_module(lab, "snapshot", dest=str(folder), **connection(lab))
    assert Path(saved["path"]).stat().st_mode & 0o777 == 0o600
    listed, _shown = run_module(lab, "snapshot_info", path=str(folder))
    assert listed["newest"]["sha256"] == saved["manifest"]["sha256"]


def test_every_module_and_role_has_a_manual() -> None:
    env = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    for kind, names in (("module", MODULES), ("role", ROLES)):
        wanted = [f"quorum.etcd.{name}" for name in names]
        argv = [BIN / "ansible-doc", "-t", kind, "--json", *wanted]
        shown = subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=True)
        assert sorted(json.loads(shown.stdout)) == wanted, shown.stderr
