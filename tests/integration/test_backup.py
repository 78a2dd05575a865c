# SPDX-License-Identifier: GPL-3.0-or-later
"""The one-shot backup.yml: what it keeps, what it never removes, and that it waits for another run."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import locked
from client import seed
from conftest import BACKUP, play
from lab import Lab


def test_it_keeps_what_it_was_told_to_and_waits_for_another_run(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", members=1) as lab:
        seed(lab.members[0].client, 50)
        assert play(BACKUP, "-i", lab.inventory).rc == 0
        (first,) = lab.backup_dir.glob("*.db.zst")
        # Somebody keeps one: a copy under a name of his own, with its manifest.
        shutil.copy(first, lab.backup_dir / "before-upgrade.db.zst")
        shutil.copy(f"{first}.json", lab.backup_dir / "before-upgrade.db.zst.json")
        (lab.backup_dir / "broken.db.zst").write_bytes(first.read_bytes()[:500])
        shutil.copy(f"{first}.json", lab.backup_dir / "broken.db.zst.json")

        lab.members[0].client.put(b"more", b"1")
        refused = play(BACKUP, "-i", lab.inventory, "-e", "etcd_backup_keep=none")
        assert refused.rc != 0 and "'none' does not say how many snapshots are kept" in refused.text, refused.output
        shown = play(BACKUP, "-i", lab.inventory, "-e", "etcd_backup_keep=1", "--check")
        assert shown.rc == 0 and first.exists(), shown.output

        with locked(str(lab.backup_dir)):
            release = threading.Event()
            done: list = []
            worker = threading.Thread(
                target=lambda: done.append(play(BACKUP, "-i", lab.inventory, "-e", "etcd_backup_keep=1"))
            )
            worker.start()
            release.wait(6)
            assert not done and first.exists(), "it did not wait for the one that has the lock"
        worker.join()
        assert done[0].rc == 0, done[0].output
        assert f"Removed, as no rule keeps it: {first.name}" in done[0].text, done[0].output
        assert "broken.db.zst is cut off or damaged: its manifest was written for" in done[0].text
        kept = sorted(path.name for path in lab.backup_dir.glob("*.db.zst"))
        assert len(kept) == 3 and {"before-upgrade.db.zst", "broken.db.zst"} < set(kept) and first.name not in kept
        assert not Path(f"{first}.json").exists()
