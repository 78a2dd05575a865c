# SPDX-License-Identifier: GPL-3.0-or-later
"""Where there is no room for old and new data on one file system, the old data is moved to another after the stop."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from client import differences, dump
from conftest import CONFIRM, RESTORE, play, seeded
from lab import Lab


@pytest.fixture
def elsewhere(lab: Lab):
    """A folder on another file system than the lab's."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="quorum-etcd-"))
    assert folder.stat().st_dev != lab.dir.stat().st_dev, "the test needs two file systems"
    yield folder
    shutil.rmtree(folder)


def restore(lab: Lab, folder: Path, *arguments: str):
    return play(
        RESTORE, "-i", lab.inventory, "-e", f"etcd_restore_aside={folder}/{{{{ inventory_hostname }}}}", *arguments
    )


def test_moved_restored_and_taken_back(lab: Lab, elsewhere: Path) -> None:
    expected = seeded(lab, 300)
    lab.members[0].client.put(b"after the backup", b"1")
    old = dump(lab.members[0].client, serializable=False)
    configuration = [member.config_file.read_bytes() for member in lab.members]

    plan = restore(lab, elsewhere, "--check")
    assert plan.rc == 0, plan.output
    assert "the slow way, for want of room: the cluster is down while" in plan.text
    assert not any(elsewhere.iterdir()), "a check moves nothing"

    done = restore(lab, elsewhere, *CONFIRM)
    assert done.rc == 0, done.output
    for member in lab.members:
        assert differences(expected, dump(member.client)) == [], member.name
        moved = [path.name for path in (elsewhere / member.host).iterdir()]
        assert len(moved) == 1 and ".before-" in moved[0]
        assert not list(member.dir.glob("data.*")), "nothing is left on the small file system"

    back = restore(lab, elsewhere, *CONFIRM, "-e", "etcd_restore_rollback=true")
    assert back.rc == 0, back.output
    lab.wait_ready()
    for member in lab.members:
        assert differences(old, dump(member.client)) == [], member.name
        assert any(".rolled-back-" in path.name for path in (elsewhere / member.host).iterdir())
    assert [member.config_file.read_bytes() for member in lab.members] == configuration


def test_a_folder_on_the_same_file_system_is_refused(lab: Lab) -> None:
    seeded(lab, 50)
    refused = restore(lab, lab.dir, *CONFIRM)
    assert refused.rc != 0 and "is on the same file system as the data" in refused.text, refused.output
