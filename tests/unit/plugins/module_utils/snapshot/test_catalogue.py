# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a folder of snapshots holds, and how much of it is read to its end."""

from __future__ import annotations

import os

from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, verify
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.words import backups_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import (
    NOW,
    at_revision,
    content,
    flipped,
    put,
)


def counted(monkeypatch):
    """The names of the files that are read to their end, as they are."""
    read = []
    real = verify.verify
    monkeypatch.setattr(catalogue, "verify", lambda path: read.append(os.path.basename(path)) or real(path))
    return read


def test_an_old_snapshot_that_was_copied_here_is_not_the_newest(tmp_path, monkeypatch):
    """Seen: by its file time it was, and the newer one was not even read to its end."""
    (tmp_path / "newer.db").write_bytes(at_revision(70))
    os.utime(tmp_path / "newer.db", (NOW - 3600, NOW - 3600))
    put(tmp_path, "copied.db", age=5)
    read = counted(monkeypatch)
    found = catalogue.catalogue(str(tmp_path), now=NOW)
    assert [(entry.name, entry.revision) for entry in found] == [("copied.db", 44), ("newer.db", 70)]
    newest = catalogue.newest_good(found)
    assert newest.name == "newer.db" and newest.verified and read == ["newer.db"]
    assert backups_in_words(found, newest, str(tmp_path)) == [
        f"newest backup is {tmp_path}/newer.db, 1 h old by its file time, revision 70"
    ]


def test_the_newest_is_first_by_its_manifest_else_by_its_time(tmp_path):
    put(tmp_path, "a.db", taken_at="2026-11-24T03:00:00Z", age=0)
    put(tmp_path, "b.db", age=60)
    put(tmp_path, "c.db", taken_at="2026-11-24T03:45:00Z", age=5000)
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    found = catalogue.catalogue(str(tmp_path), now=NOW)
    assert [(entry.name, entry.age) for entry in found] == [("b.db", 60), ("c.db", 100), ("a.db", 2800)]
    assert all(entry.ok and entry.revision == 44 for entry in found)
    assert catalogue.newest_good(found).name == "c.db", "of one revision, a manifest goes before a file time"
    assert found[0].manifest is None and found[1].manifest.schema == 1


def test_only_the_newest_that_is_good_is_read_to_its_end(tmp_path, monkeypatch):
    read = counted(monkeypatch)
    put(tmp_path, "oldest.db", age=400)
    put(tmp_path, "older.db", age=300)
    put(tmp_path, "good.db", age=200)
    damaged = put(tmp_path, "damaged.db", age=100)
    damaged.write_bytes(flipped(damaged.read_bytes(), 9000))
    os.utime(damaged, (NOW - 100, NOW - 100))
    put(tmp_path, "cut.db", age=50).write_bytes(b"x" * 5000)
    found = {entry.name: entry for entry in catalogue.catalogue(str(tmp_path), now=NOW)}
    assert read == ["damaged.db", "good.db"], "what a few reads tell is not read to its end either"
    assert {name: entry.ok for name, entry in found.items()} == {
        **dict.fromkeys(("cut.db", "damaged.db"), False),
        **dict.fromkeys(("good.db", "older.db", "oldest.db"), True),
    }
    assert catalogue.newest_good(list(found.values())).name == "good.db" and found["good.db"].verified
    assert "SHA-256" in found["damaged.db"].reason
    del read[:]
    catalogue.catalogue(str(tmp_path), catalogue.ALL, now=NOW)
    assert len(read) == 4
    del read[:]
    catalogue.catalogue(str(tmp_path), catalogue.NONE, now=NOW)
    assert read == []


def test_the_newest_of_each_cluster_in_a_folder_is_read(tmp_path, monkeypatch):
    read = counted(monkeypatch)
    told = {"taken_at": "2026-11-24T03:00:00Z"}
    put(tmp_path, "east-2.db", taken_at="2026-11-24T03:30:00Z", cluster="east")
    put(tmp_path, "east-1.db", **told, cluster="east")
    put(tmp_path, "west-1.db", **told, cluster="west")
    catalogue.catalogue(str(tmp_path), now=NOW)
    assert sorted(read) == ["east-2.db", "west-1.db"]


def test_only_a_good_snapshot_is_the_newest_good_one(tmp_path):
    put(tmp_path, "good.db", age=500)
    put(tmp_path, "unfinished.db.part", age=1)
    put(tmp_path, "copied.db", age=2).write_bytes(content()[:-32])
    put(tmp_path, "cut.db", age=3).write_bytes(content()[:-512])
    found = catalogue.catalogue(str(tmp_path), now=NOW)
    assert {entry.name: entry.ok for entry in found} == {
        "good.db": True,
        "unfinished.db.part": False,
        "copied.db": True,
        "cut.db": False,
    }
    assert all(entry.reason for entry in found if not entry.ok)
    assert catalogue.newest_good(found).name == "good.db"


def test_without_verifying_a_flipped_byte_is_not_seen_but_a_cut_is(tmp_path):
    path = put(tmp_path, "s.db")
    path.write_bytes(flipped(content(), len(content()) - 1))
    entry = catalogue.entry(str(path), thorough=False)
    assert (entry.ok, entry.verified, entry.sha256) == (True, False, "")
    path.write_bytes(content()[:-512])
    assert not catalogue.entry(str(path), thorough=False).ok


def test_a_missing_folder_is_an_empty_catalogue_with_a_reason(tmp_path):
    missing = str(tmp_path / "missing")
    assert catalogue.catalogue(missing) == [] and missing in catalogue.folder_problem(missing)
    assert catalogue.newest_good([]) is None and catalogue.folder_problem(str(tmp_path)) == ""
