# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that is killed is simply run again; it goes on where its journal stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from client import differences, dump, seed
from conftest import CHECKOUT, play
from lab import Lab

ARGUMENTS = (CHECKOUT / "playbooks" / "restore.yml", "-e", "etcd_restore_confirm=etcd")


def steps(lab: Lab) -> str:
    journals = lab.dir.glob("m*/state/restores/*/journal.jsonl")
    return "".join(path.read_text() for path in journals)


def killed_at(lab: Lab, step: str) -> None:
    """Run the restore and kill it, controller and modules, as soon as a member's journal has ``step``."""
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), *map(str, ARGUMENTS), "-i", str(lab.inventory)]
    run = subprocess.Popen(
        argv, cwd=CHECKOUT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while f'"step": "{step}"' not in steps(lab):
            assert time.monotonic() < deadline and run.poll() is None, f"the run never came to {step}"
            time.sleep(0.005)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


@pytest.mark.parametrize(
    "step", ["planned", "staged", "stopping", "stopped", "set_aside", "swapped", "started", "proven"]
)
def test_killed_and_run_again(lab: Lab, step: str) -> None:
    seed(lab.members[0].client, 300)
    expected = dump(lab.members[0].client)
    assert play(CHECKOUT / "playbooks" / "backup.yml", "-i", lab.inventory).rc == 0
    lab.members[0].client.put(b"after the backup", b"1")

    killed_at(lab, step)
    done = play(*ARGUMENTS, "-i", lab.inventory)
    assert done.rc == 0, done.output + steps(lab)
    for member in lab.members:
        assert differences(expected, dump(member.client)) == [], f"{member.name} after a kill at {step}"
        assert "existing" in next(
            line for line in member.config_file.read_text().splitlines() if "cluster-state" in line
        )
    kept = [path for member in lab.members for path in member.dir.glob("data.before-*")]
    assert len(kept) >= 3, "the old data of every member lies beside the new"
