# SPDX-License-Identifier: GPL-3.0-or-later
"""drill.yml, which needs no agent, and what status.yml says of proofs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agents import Agent, made_program
from client import seed
from conftest import BACKUP, CHECKOUT, STATUS, play
from lab import Lab

DRILL = CHECKOUT / "playbooks" / "drill.yml"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return made_program(tmp_path)


def drills(lab: Lab) -> list[dict]:
    lines = [path.read_text().splitlines() for path in lab.dir.rglob("drills.jsonl")]
    return [json.loads(line) for one in lines for line in one if line]


def test_a_drill_at_once_and_what_is_said_of_it(lab: Lab, tmp_path: Path) -> None:
    refused = play(DRILL, "-i", lab.inventory)
    assert refused.rc != 0 and "No host that could be looked at has a snapshot of cluster etcd in" in refused.text
    assert "Next: take one with backup.yml" in refused.text

    seed(lab.members[0].client, 200)
    for number in range(2):
        lab.members[0].client.put(b"drill", b"%d" % number)
        assert play(BACKUP, "-i", lab.inventory, "-e", "etcd_backup_compress=none").rc == 0
    older, newest = sorted(lab.backup_dir.glob("*.db"))
    before = play(STATUS, "-i", lab.inventory)
    assert "Newest verified backup: " in before.text, before.output
    assert "No backup was ever proven by a drill: see drill.yml." in before.text, before.output

    shown = play(DRILL, "-i", lab.inventory, "--check")
    assert shown.rc == 0 and f"would drill {newest}: it is the newest" in shown.text, shown.output
    assert f"would drill {older}: it was drawn of 1 older ones by seed" in shown.text and drills(lab) == []

    check = json.dumps({"etcd_backup_drill_check": ["/bin/sh", "-c", "etcdctl get drill --print-value-only"]})
    done = play(DRILL, "-i", lab.inventory, "-e", check, ANSIBLE_SHOW_CUSTOM_STATS="1")
    assert done.rc == 0, done.output
    assert f": proven: {newest}, " in done.text and f": proven: {older}, " in done.text, done.output
    assert "a restore of it takes about" in done.text and "check: 1" in done.text and "check: 0" in done.text
    found = drills(lab)
    assert [(one["result"], one["keys"]) for one in found] == [("proven", 201)] * 2, found
    stats = done.output[done.output.index("CUSTOM STATS") :]
    assert "etcd_drill:" in stats and "result: proven" in stats and str(newest) in stats, stats

    after = play(STATUS, "-i", lab.inventory)
    assert (
        after.rc == 0 and "Newest proven backup: " in after.text and "where a restore of it takes about" in after.text
    )

    spoilt = bytearray(newest.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    newest.write_bytes(spoilt)
    failed = play(DRILL, "-i", lab.inventory, "-e", "etcd_drill_newest_only=true")
    assert failed.rc != 0 and "FAILED: " in failed.text and "is damaged: the SHA-256 at its end" in failed.text
    named = play(DRILL, "-i", lab.inventory, "-e", f"etcd_drill_snapshot={older.name}")
    assert named.rc == 0 and f"proven: {older}" in named.text and "(it was named)" in named.text, named.output
    assert not list(lab.dir.rglob(".quorum-etcd-drill-*"))


@pytest.mark.parametrize("lab", [{"members": 1}], indirect=True)  # of several, one ships in turn
def test_of_a_store_that_no_agent_knows(lab: Lab, program: Path, tmp_path: Path) -> None:
    """As after the loss of all hosts: nothing lies here but what the stores have."""
    seed(lab.members[0].client, 100)
    store = tmp_path / "store"
    store.mkdir()
    settings = {"name": "nfs", "folder": str(store), "mounted": False}
    agent = Agent(lab, lab.members[0], program, tmp_path / "own", every_member=True, offsite=[settings])
    assert agent.run("backup")[0] == 0
    told = ("-e", json.dumps({"etcd_backup_offsite": [settings], "etcd_drill_offsite": True}))
    done = play(DRILL, "-i", lab.inventory, *told)
    assert done.rc == 0 and "of the store nfs, " in done.text and "proven: etcd-" in done.text, done.output
    shown = play(DRILL, "-i", lab.inventory, *told, "--check")
    assert shown.rc == 0 and "of the store nfs: it is the newest in the store nfs" in shown.text, shown.output
