# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshot ``latest`` is, on real snapshots: by revision, across a restore and what was written since; and etcd's own
tools as the judge of what is read of snapshots with mutated pages."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import database
from conftest import BACKUP, CHECKOUT, CONFIRM, PLAIN, RESTORE, STATUS, play, seeded
from etcd_binaries import obtain
from lab import Lab

FIXTURES = CHECKOUT / "tests" / "unit" / "fixtures"
SEED = int(os.environ.get("FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "60"))


def test_the_newest_is_told_by_its_revision_and_lost_revisions_are_those_that_were_written(lab: Lab) -> None:
    seeded(lab, 50)
    (first,) = lab.backup_dir.glob("*.db")
    for number in range(20):
        lab.members[0].client.put(b"since the first", b"%d" % number)
    assert play(BACKUP, "-i", lab.inventory, *PLAIN).rc == 0
    second = next(path for path in lab.backup_dir.glob("*.db") if path != first)
    copied = lab.backup_dir / "copied.db"
    shutil.copy(first, copied)  # with the time of the copy, and without its manifest
    later = second.stat().st_mtime + 2  # times are told in seconds
    os.utime(copied, (later, later))

    told = play(STATUS, "-i", lab.inventory)
    assert f"newest backup is {second}" in told.text, told.output
    lab.members[0].client.put(b"lost", b"1")
    plan = play(RESTORE, "-i", lab.inventory, "--check", "--diff")
    assert plan.rc == 0, plan.output
    assert f"snapshot {second}" in plan.text, plan.output
    assert "revisions and times do not agree" in plan.text and "by its file time" in plan.text
    assert f"-e etcd_restore_snapshot={copied}" in plan.text
    assert ": 1 revisions" in plan.text

    copied.unlink()
    done = play(RESTORE, "-i", lab.inventory, *CONFIRM)
    assert done.rc == 0, done.output + lab.logs()
    for number in range(3):
        lab.members[0].client.put(b"since the restore", b"%d" % number)
    # The snapshot of that restore, and the one of 20 revisions before: both are below a bump of a thousand million.
    for path, lost in ((second, 3), (first, 23)):
        plan = play(
            *(RESTORE, "-i", lab.inventory, "--check", "--diff"),
            *("-e", f"etcd_restore_snapshot={path}", "-e", "etcd_restore_again=true"),
        )
        assert plan.rc == 0 and f": {lost} revisions" in plan.text, plan.output


def harmed(data: bytes, chance: random.Random) -> bytes:
    """Another number where a page or an element says how long something is, or where, and a hash that is right again."""
    body = bytearray(data[:-32])
    for _change in range(chance.randint(1, 3)):
        page = chance.randrange(2, len(body) // 4096) * 4096
        count = max(1, min(200, struct.unpack_from("<H", body, page + 10)[0]))
        place = page + chance.choice((10, 12, 16 + 16 * chance.randrange(count) + chance.choice((0, 4, 8, 12))))
        struct.pack_into("<H", body, place, chance.choice((0, 1, 2, 17, 18, 255, 4096, 65535)))
    return bytes(body) + hashlib.sha256(body).digest()


@pytest.mark.parametrize("line", ["3.5", "3.6"])
def test_what_etcds_own_tool_reads_of_a_harmed_snapshot_is_read_the_same_or_refused(line: str, tmp_path: Path) -> None:
    """FUZZ_SEED draws others, FUZZ_ROUNDS more of them."""
    tool = obtain(line) / "etcdutl"
    real = gzip.decompress((FIXTURES / f"snapshot-{line}.db.gz").read_bytes())
    path, same, refused = tmp_path / "s.db", 0, 0
    for number in range(ROUNDS):
        chance = random.Random(f"{SEED}-{line}-{number}")
        path.write_bytes(harmed(real, chance) if number else real)
        try:
            mine = database.describe(str(path))
        except EtcdError:
            refused += 1
            continue
        # Of some it makes a loop without an end, which is no answer either.
        argv = ["timeout", "5", tool, "snapshot", "status", path, "-w", "json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            its = json.loads(done.stdout)["revision"]
            assert mine.key_revision == its, f"FUZZ_SEED={SEED}, round {number} of {line}"
            same += 1
    print(f"{line}: {same} the same, {refused} refused of {ROUNDS}")
    assert same and refused
