# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.yml: one backup now, and what it keeps, records and ships; and what sets the agent up."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import locked
from client import seed
from conftest import BACKUP, Play, play
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


def once(lab: Lab, *words: str, **variables: Any) -> Play:
    return play(BACKUP, "-i", lab.inventory, "-e", json.dumps({"etcd_backup_schedule": "never", **variables}), *words)


def recorded(lab: Lab, name: str) -> list[dict]:
    """The records of the runs of the host that makes the backups, the first one first."""
    path = lab.members[0].dir / "state" / name
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def test_one_backup_is_recorded_and_shipped_and_nothing_is_saved_again(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab") as lab:
        seed(lab.members[0].client, 1000)
        near, far = tmp_path / "near", tmp_path / "far"
        near.mkdir()
        stores = [{"name": path.name, "folder": str(path), "mounted": False} for path in (near, far)]

        shown = once(lab, "--check", etcd_backup_offsite=stores)
        assert shown.rc == 0 and shown.recap("m1")["changed"] == 1, shown.output
        assert list(lab.backup_dir.iterdir()) == [] and recorded(lab, "backups.jsonl") == []

        # One store is there, the other is not: there is a backup, and the run says what is missing.
        first = once(lab, etcd_backup_offsite=stores)
        assert first.rc != 0 and "There is a backup, and it could not be shipped to far: " in first.text, first.output
        assert f"{far} of the store far is not there" in first.text and "Next: " in first.text, first.output
        assert (
            "off-site near: 1 snapshot shipped" in first.text and "1 snapshot still to be shipped to it" in first.text
        )
        (snapshot,) = lab.backup_dir.glob("*.db.zst")
        assert f"in {snapshot}: " in first.text and "Nothing was written" not in first.text

        # Nothing was written: nothing is saved again, that it was looked is recorded, and what waited is shipped.
        far.mkdir()
        second = once(lab, etcd_backup_offsite=stores)
        assert second.rc == 0 and second.recap("m1")["changed"] == 1, second.output
        assert "Nothing was written since it was taken" in second.text and f"in {snapshot}: " in second.text
        assert "off-site near: up to date" in second.text and "off-site far: 1 snapshot shipped" in second.text
        third = once(lab, etcd_backup_offsite=stores)
        assert third.rc == 0 and third.recap("m1")["changed"] == 0, third.output
        shown = once(lab, "--check")
        assert shown.rc == 0 and shown.recap("m1")["changed"] == 0, shown.output
        assert list(lab.backup_dir.glob("*.db.zst")) == [snapshot]
        runs = recorded(lab, "backups.jsonl")
        assert [one["result"] for one in runs] == ["saved", "unchanged", "unchanged"]
        assert {one["path"] for one in runs} == {str(snapshot)}
        assert [(one["store"], one["result"]) for one in recorded(lab, "uploads.jsonl")] == [
            ("near", "shipped"), ("far", "failed"), ("near", "up to date"), ("far", "shipped"),
            ("near", "up to date"), ("far", "up to date"),
        ]  # fmt: skip

        # What is asked for all the same is saved, in the form that is asked for; the next one goes as what has changed.
        asked = once(lab, etcd_backup_force=True, etcd_backup_compress="none", etcd_backup_offsite=stores)
        assert asked.rc == 0 and len(list(lab.backup_dir.glob("*.db"))) == 1, asked.output
        for store in (near, far):
            manifests = [json.loads(path.read_text()) for path in sorted((store / "etcd").glob("*.db.json"))]
            assert [one["offsite"]["kind"] for one in manifests] == ["full", "pages"], store

        # Failures are in the records with their cause: of what was tried, and of what was not even begun.
        for member in lab.members:
            lab.kill(member)
        lost = once(lab)
        assert lost.rc != 0 and "No member of cluster etcd runs" in lost.text, lost.output
        last = recorded(lab, "backups.jsonl")[-1]
        assert (last["result"], last["next_step"][:17]) == ("failed", "start the members")
        assert last["cause"] == "No member of cluster etcd runs, so there is nothing to take a snapshot from."


def test_a_member_that_founded_a_cluster_of_its_own_keeps_nobody_from_a_backup(tmp_path: Path) -> None:
    """Its data lost, and its file says ``new``, of itself alone, as kubeadm writes it for the first: it serves, at an endpoint
    of this cluster. Without the backup no member can be replaced, and it is how one is when it is to be replaced.
    """
    with Lab(tmp_path / "lab") as lab:
        seed(lab.members[0].client, 100)
        stray = lab.members[1]
        lab.kill(stray)
        shutil.rmtree(stray.data_dir)
        stray.config_file.write_text(lab.config_text(stray, "new", f"{stray.name}={stray.peer_url}"))
        lab.start(stray)
        lab.wait_ready()
        done = once(lab)
        assert done.rc == 0, done.output
        assert f"at {stray.client_url} another cluster answers (" in done.text, done.output
        (made,) = recorded(lab, "backups.jsonl")
        assert made["result"] == "saved" and int(made["cluster_id"], 16) == lab.members[0].client.status().cluster_id

        # With another member down there is one of each, and nothing tells which is meant.
        lab.kill(lab.members[2])
        refused = once(lab)
        assert refused.rc != 0 and "The endpoints belong to 2 clusters (" in refused.text, refused.output
        assert "stop what is none of this cluster" in refused.text
        assert len(list(lab.backup_dir.glob("*.db.zst"))) == 1


def test_a_store_alone_sets_the_agent_up_with_its_defaults(tmp_path: Path) -> None:
    """Only shown here: the lab's hosts are this machine."""
    with Lab(tmp_path / "lab", members=1) as lab:
        stores = [{"name": "nas", "folder": str(tmp_path / "nas"), "mounted": False}]
        given = json.dumps({"etcd_backup_offsite": stores})
        shown = play(BACKUP, "-i", lab.inventory, "-e", given, "--check", "--diff")
        assert shown.rc == 0, shown.output
        assert '+ "keep": 10,' in shown.text and '"offsite_keep": { + "days": 31 + }' in shown.text, shown.output
        assert '"name": "nas",' in shown.text, shown.output
        assert "OnCalendar=*:0/30" in shown.text or "*/30 * * * * root /usr/local/bin/quorum-etcd backup" in shown.text
        assert (
            "OnCalendar=daily" in shown.text
            or "0 0 * * * root nice -n 19 /usr/local/bin/quorum-etcd drill" in shown.text
        )
        assert list(lab.backup_dir.iterdir()) == []
