# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of a cluster in words: the newest verified and the newest proven of all hosts, and what is off-site."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.quorum.etcd.plugins.module_utils.backup.ages import Aged, Ages, Stored, ages
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import FAILED, PROVEN, Drill
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import Upload
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.report.backups import ages_in_words, newest_on
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest, Snapshot

NOW = 1795492000.0  # 2026-11-24T03:46:40Z
TAKEN = "2026-11-24T03:16:40Z"
DRILL = Drill("2026-11-24T03:36:40Z", "m1", "etcd", PROVEN, PROVEN, path="/b/a.db", taken_at=TAKEN, restore_seconds=4.2)
UPLOAD = Upload("2026-11-24T03:40:00Z", "m1", "etcd", "s3", "shipped", newest="a", newest_at=TAKEN)


def snapshot(revision=7, cluster="etcd", ok=True, verified=True):
    name = f"rev{revision}.db"
    plain = {
        "path": f"/b/{name}",
        "real_path": f"/b/{name}",
        "ok": ok,
        "verified": verified,
        "reason": "",
        "kind": "snapshot",
    }
    plain.update(size=1, sha256="", trailer="", compression="", packed_size=0, taken_at=TAKEN, revision=revision)
    found = from_plain(Snapshot, {**plain, "key_revision": 0, "members": [], "age": 1800})
    return replace(found, manifest=Manifest(cluster=cluster, revision=revision, cluster_id="aa", taken_at=TAKEN))


# What a host knows.


def test_what_a_host_knows():
    told = ages(snapshot(), [DRILL], [UPLOAD], NOW)
    assert told.verified == Aged("/b/rev7.db", TAKEN, 1800)
    assert told.proven == Aged("/b/a.db", TAKEN, 1800, 600, 4.2)
    assert told.offsite == [Stored("s3", "a", 1800, 400)]
    assert from_plain(Ages, to_plain(told)) == replace(told, offsite=list(told.offsite))
    assert ages(None, [replace(DRILL, result=FAILED)], [], NOW) == Ages(None, None, [])
    assert ages(snapshot(verified=False), [], [], NOW).verified is None


def test_what_was_fetched_is_proven_there_and_not_here():
    there = replace(DRILL, source="s3", path="a")
    told = ages(None, [there], [UPLOAD], NOW)
    assert told.proven is None and told.offsite[0].proven == Aged("a", TAKEN, 1800, 600, 4.2)


def test_a_store_that_is_down_holds_what_it_held():
    failed = replace(UPLOAD, at="2026-11-24T03:45:00Z", result="failed", cause="it is full.", newest="", newest_at="")
    assert ages(None, [], [failed, UPLOAD], NOW).offsite == [Stored("s3", "a", 1800, 400, "it is full.")]
    assert ages(None, [], [failed], NOW).offsite == [Stored("s3", "", -1, 100, "it is full.")]
    other = replace(UPLOAD, store="nfs")
    assert [one.store for one in ages(None, [], [other, UPLOAD], NOW).offsite] == ["nfs", "s3"]


# What is said of them all.


def answered(**told):
    return {"ages": to_plain(Ages(**told))}


def test_the_youngest_of_all_hosts_is_told():
    old, young = Aged("/b/a.db", TAKEN, 7200, 3600, 5.0), Aged("/b/b.db", TAKEN, 600, 60, 4.2)
    answers = {"m1": answered(verified=old, proven=young), "m2": answered(verified=young, proven=old), "m3": {}}
    assert ages_in_words(answers) == [
        "Newest verified backup: 10 min old, on m2.",
        "Newest proven backup: 10 min old, proven 1 min ago on m1, where a restore of it takes about 4.2 s.",
    ]


def test_what_there_is_none_of_is_said():
    assert ages_in_words({"m1": answered()}) == [
        "No verified backup lies on its hosts.",
        "No backup was ever proven by a drill: see drill.yml.",
    ]
    assert ages_in_words({"m1": {}, "m2": {"failed": True, "msg": "no"}}) == []


def test_each_store_is_told_once_by_who_knows_of_the_youngest():
    s3 = Stored("s3", "a", 1800, 400)
    down = Stored("nfs", "", -1, 100, "it is full.")
    proven = replace(s3, proven=Aged("b", TAKEN, 7200, 3600))
    answers = {"m1": answered(offsite=[proven, down]), "m2": answered(offsite=[replace(s3, age=60, told_age=30)])}
    lines = ages_in_words(answers)
    assert lines[2:] == [
        "Newest backup in the store nfs: none, as m1 saw 1 min 40 s ago; the last run of m1 failed: it is full."
        " None of it was ever proven by a drill.",
        "Newest backup in the store s3: 1 min old, as m2 saw 30 s ago. Newest proven there: 2 h old, proven 1 h ago.",
    ]


# Who has the newest.


def listed(*found):
    return {"snapshots": to_plain(list(found))}


def test_the_host_with_the_newest_is_found_also_where_that_is_damaged():
    answers = {"m1": listed(snapshot(7)), "m2": listed(snapshot(5), snapshot(9, ok=False)), "m3": {}}
    assert newest_on("etcd", answers) == "m2"
    assert newest_on("etcd", {"m1": listed(snapshot(9, cluster="shop"))}) == "" and newest_on("etcd", {}) == ""
