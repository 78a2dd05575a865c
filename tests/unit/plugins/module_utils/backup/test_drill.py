# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a drill comes on a host that cannot do all of it, and what it records then. With real etcd: tests/integration."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections import namedtuple
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.drill import PREFIX, Terms, drill_all
from ansible_collections.quorum.etcd.plugins.module_utils.backup.folder_store import Folder
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import Busy, locked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.picking import Picked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import DRILLS
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import BACKUPS, SAVED, Attempt
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import Policy
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import Shipping, ship
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import Member, run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot import keys
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import content

V36 = Version(3, 6, 16)
ALL = Tools(Tool("/etcd", V36), Tool("/etcdctl", V36), Tool("/etcdutl", V36))
Usage = namedtuple("Usage", "total used free")


class Bed:
    def __init__(self, root):
        self.root, self.calls, self.answer = root, [], Result(1, "it says no", "")
        self.snapshot = root / "a.db"
        self.snapshot.write_bytes(content("3.6"))
        self.terms = Terms("etcd", str(root / "scratch"), str(root / "state"))

    def run(self, argv, env):
        self.calls.append((list(argv), env))
        return self.answer

    def drilled(self, tools=ALL, **picked):
        (drill,) = drill_all(self.run, tools, [Picked(str(self.snapshot), "it was named", **picked)], self.terms)
        assert drill.result == "failed" and drill.next_step and self.left() == []
        assert DRILLS.last(self.terms.state_dir, "etcd")[0] == drill
        return drill

    def left(self):
        return [name for name in os.listdir(self.terms.scratch) if name.startswith(PREFIX)]

    def manifest(self, **more):
        (self.root / "a.db.json").write_text(json.dumps({"schema": 1, "size": self.snapshot.stat().st_size, **more}))


@pytest.fixture
def bed(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(1 << 40, 1 << 30, (1 << 40) - (1 << 30)))
    return Bed(tmp_path)


def test_without_tools_it_comes_as_far_as_reading(bed):
    drill = bed.drilled(Tools())
    assert (drill.level, drill.damaged, drill.revision) == ("read", False, 44)
    assert "neither etcdutl nor etcdctl was found" in drill.cause
    assert "etcd is missing on this host" in bed.drilled(Tools(None, *[Tool("/etcdctl", V36)] * 2)).cause
    assert bed.calls == [] and not (bed.root / "scratch" / "data").exists()


def test_without_room_nothing_is_restored(bed, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(1 << 40, 1 << 40, 1 << 36))
    drill = bed.drilled()
    assert (drill.level, drill.damaged) == ("read", False) and "besides a tenth of the disk" in drill.cause
    assert bed.calls == []


def test_nothing_is_begun_once_its_time_is_up(bed):
    bed.terms = replace(bed.terms, seconds=0.0)
    drill = bed.drilled()
    assert (drill.cause, drill.level, drill.damaged, drill.parts) == ("the time is up.", "none", False, {})
    assert "etcd_backup_drill_timeout" in drill.next_step


def test_a_store_gives_nothing_more_once_the_time_is_up(bed, tmp_path):
    """Of a long chain of increments, say: what was asked for before it comes, and no more."""
    member, folder = Member(tmp_path / "member"), tmp_path / "store"
    folder.mkdir()
    store = Folder("nfs", str(folder), "etcd", mounted=False)
    for _half_hour in range(3):
        path, told = member.save()
        BACKUPS.add(
            str(tmp_path), Attempt(told.taken_at, "h", "etcd", "f", SAVED, cluster_id=told.cluster_id, path=path)
        )
        keep = Policy(everything=True)
        ship(run, Shipping("etcd", str(member.folder), str(tmp_path), (store,), keep), lambda: member.now)
    asked = []

    class Slow:
        name = "nfs"

        def names(self):
            return store.names()

        def get_many(self, names, to):
            store.get_many(names, to)

        def get(self, name, path):
            asked.append(name)
            store.get(name, path)
            if name.endswith((".zst", ".gz")):
                time.sleep(2.1)

    bed.terms = replace(bed.terms, seconds=2.0)
    picked = Picked(max(member.bytes_of), "it was named", store="nfs")
    (drill,) = drill_all(run, ALL, [picked], bed.terms, [Slow()])
    assert (drill.result, drill.damaged) == ("failed", False) and "the time is up." in drill.cause
    assert len([name for name in asked if name.endswith((".zst", ".gz"))]) == 1, asked


def test_what_its_tool_refuses_is_told_in_the_tools_words(bed):
    drill = bed.drilled()
    assert f"{bed.snapshot} cannot be restored: it says no (exit code 1)" in drill.cause and not drill.damaged
    ((argv, env),) = bed.calls
    assert argv[1:4] == ["-I", "-S", "-c"] and argv[6:8] == ["/etcdutl", "snapshot"] and "--data-dir=data" in argv
    bounds = json.loads(argv[5])
    assert bounds["memory"] == 2 << 30 and 3590 < bounds["seconds"] <= 3600 and bounds["folder"].startswith("/proc/")
    assert env["QUORUM_ETCD_DRILL"].startswith(f"{bed.terms.scratch}/{PREFIX}")


def test_what_is_not_what_it_should_be_is_damaged(bed):
    assert "is not what was saved under this name" in bed.drilled(sha256="ab").cause
    bed.manifest(sha256="ab")
    drill = bed.drilled()
    assert (drill.level, drill.damaged) == ("none", True) and "written for other content" in drill.cause
    (bed.root / "a.db.json").write_text("{")
    assert bed.drilled().damaged
    (bed.root / "a.db.json").unlink()
    bed.snapshot.write_bytes(content("3.6")[:-32])
    drill = bed.drilled()
    assert (drill.level, drill.damaged) == ("none", True) and "it has no hash" in drill.cause


def test_what_was_saved_before_there_were_signers_is_no_proof_and_not_damaged(bed, tmp_path):
    bed.terms = replace(bed.terms, signers=keys.make(tmp_path / "key").signer("ops@prod"))
    for _time in range(2):
        drill = bed.drilled()
        assert (
            not drill.damaged and "is not signed" in drill.cause and "delete" not in f"{drill.cause} {drill.next_step}"
        )
        bed.manifest(sha256="ab")
    assert "it was saved before snapshots were signed here" in drill.cause


def test_an_archive_that_cannot_be_unpacked_is_damaged(bed):
    """Also where no manifest says so: somebody has compressed it."""
    bed.snapshot.write_bytes(gzip.compress(content("3.6"))[:-100])
    drill = bed.drilled()
    assert drill.damaged and f"{bed.snapshot} is cut off" in drill.cause


def test_a_wrong_revision_in_the_manifest_is_found_by_reading(bed):
    drill = bed.drilled(Tools())
    bed.manifest(sha256=drill.sha256, revision=43, cluster="etcd", taken_at="2026-11-24T03:16:40Z")
    drill = bed.drilled()
    assert (drill.level, drill.damaged, drill.taken_at) == ("verified", True, "2026-11-24T03:16:40Z")
    assert drill.cause == "its revision should be 43, and is 44."
    assert "of cluster etcd, and not of shop" in bed.drilled(cluster="shop").cause


def test_one_that_is_removed_meanwhile_is_nobodys_fault(bed):
    bed.snapshot.unlink()
    drill = bed.drilled()
    assert drill.cause == f"{bed.snapshot} was removed meanwhile." and not drill.damaged


def test_its_folder_must_not_be_in_a_data_directory(bed):
    (bed.root / "data" / "member" / "snap").mkdir(parents=True)
    for name in ("data", "data/x", "data/member/snap", "data/member/snap/x/y"):
        bed.terms = Terms("etcd", str(bed.root / name), str(bed.root / "state"))
        with pytest.raises(EtcdError, match="lies in the data directory"):
            drill_all(bed.run, ALL, [], bed.terms)
    assert not (bed.root / "state").exists()


def test_one_at_a_time_and_a_killed_one_is_recorded(bed):
    os.makedirs(bed.terms.scratch)
    with locked(bed.terms.scratch), pytest.raises(Busy):
        drill_all(bed.run, ALL, [], bed.terms)
    left = bed.root / "scratch" / f"{PREFIX}left"
    (left / "data").mkdir(parents=True)
    (bed.root / "scratch" / "kept").mkdir()
    lock = {"host": "m1", "pid": 7, "since": "2026-11-24T03:16:40Z"}
    (bed.root / "scratch" / ".quorum-etcd-backup.lock").write_text(json.dumps(lock))
    assert drill_all(bed.run, ALL, [], bed.terms) == []
    (killed,) = DRILLS.last(bed.terms.state_dir, "etcd")
    assert killed.at == lock["since"] and "process 7 of m1 ended in the middle of its drill" in killed.cause
    assert bed.left() == [] and (bed.root / "scratch" / "kept").exists()
