# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which snapshots are drilled, how far each is proven, and what an auditor gets."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.picking import (
    candidates,
    candidates_offsite,
    drawn,
    named,
)
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import (
    FAILED,
    PROVEN,
    READ,
    VERIFIED,
    Drill,
    Proof,
    as_csv,
    as_json_lines,
    newest_proven,
    proofs,
)
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import SAVED, UNCHANGED, Attempt
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import epoch
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest, Snapshot
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.save import default_name

OWN_ID, OTHER_ID = "aa", "bb"


def snapshot(revision, at="2026-11-24T03:00:00Z", cluster="etcd", cluster_id=OWN_ID, name="", ok=True, manifest=True):
    name = name or default_name(cluster, epoch(at), revision)
    plain = {"path": f"/b/{name}", "real_path": f"/b/{name}", "name": name, "ok": ok, "verified": False, "reason": ""}
    plain.update(kind="snapshot", size=1, sha256="", trailer="", compression="", packed_size=0, taken_at=at)
    plain.update(revision=revision if ok else 0, key_revision=0, members=[])
    told = Manifest(revision=revision, cluster=cluster, cluster_id=cluster_id, taken_at=at) if manifest else None
    return replace(from_plain(Snapshot, plain), manifest=told)


def saved(entry, at="2026-11-24T03:00:00Z", sha256="", cluster_id=OWN_ID):
    return Attempt(at, "m1", "etcd", "/b", SAVED, path=entry.path, sha256=sha256, cluster_id=cluster_id)


def pick(entries, attempts, cluster, seed, name="", one=False):
    if name:
        return [named(entries, attempts, cluster, name)]
    found = candidates(entries, attempts, cluster)
    return found.first + ([] if one else drawn(found.older, seed))


def picked(entries, attempts=(), seed=1, **more):
    return [one.path for one in pick(entries, attempts, "etcd", seed, **more)]


FIVE = [snapshot(revision) for revision in (1, 2, 3, 4, 5)]


def test_the_newest_and_an_older_one_that_the_seed_draws():
    assert {picked(FIVE, seed=seed)[0] for seed in range(20)} == {FIVE[4].path}
    assert picked(FIVE, seed=7) == picked(list(reversed(FIVE)), seed=7)
    drawn = {picked(FIVE, seed=seed)[1] for seed in range(50)}
    assert drawn == {entry.path for entry in FIVE[:4]}
    why = [one.why for one in pick(FIVE, [], "etcd", 7)]
    assert why == ["it is the newest", "it was drawn of 4 older ones by seed 7"]
    assert picked(FIVE, one=True) == [FIVE[4].path]
    assert picked(FIVE[:1]) == [FIVE[0].path] and picked([]) == []


def test_what_is_damaged_is_drilled_too():
    assert picked([*FIVE, snapshot(6, ok=False)])[0].endswith("-rev6.db")


def test_what_others_have_there_is_passed_over():
    foreign = snapshot(9, cluster="shop", cluster_id=OTHER_ID)
    plain = snapshot(9, name="before-upgrade.db", manifest=False)
    assert picked([foreign, plain]) == [] and picked([*FIVE, foreign, plain], one=True) == [FIVE[4].path]
    nearly = snapshot(9, cluster="a-b")
    assert pick([nearly], [], "a b", 1) == [], "another cluster's name may look the same in a file's name"


def test_what_was_put_in_its_place_is_drilled_and_not_passed_over():
    foreign = snapshot(9, cluster="shop", cluster_id=OTHER_ID)
    under_its_name = replace(foreign, name=FIVE[4].name, path=FIVE[4].path)
    (one,) = pick([under_its_name], [], "etcd", 1)
    assert (one.path, one.cluster) == (FIVE[4].path, "etcd")
    (one,) = pick(
        [replace(foreign, path="/b/x.db", name="x.db")], [saved(snapshot(1, name="x.db"), sha256="ab")], "etcd", 1
    )
    assert (one.path, one.cluster, one.sha256) == ("/b/x.db", "etcd", "ab")


def test_what_was_exchanged_is_drilled_although_it_looks_older():
    old = replace(FIVE[0], path=FIVE[4].path, name=FIVE[4].name, manifest=replace(FIVE[0].manifest, sha256="old"))
    entries = [*FIVE[:4], old]
    found = pick(entries, [saved(FIVE[4], sha256="new")], "etcd", 1, one=True)
    assert [(one.path, one.sha256) for one in found] == [(FIVE[3].path, ""), (FIVE[4].path, "new")]
    foreign = replace(old, manifest=replace(old.manifest, cluster="shop", cluster_id=OTHER_ID))
    assert picked([*FIVE[:4], foreign], [saved(FIVE[3])], one=True) == [FIVE[3].path, FIVE[4].path]


def test_after_a_restore_the_newest_is_the_living_clusters():
    before = snapshot(100, cluster_id=OTHER_ID, at="2026-11-24T04:00:00Z")
    assert picked([*FIVE, before], one=True) == [before.path]
    assert picked([*FIVE, before], [saved(FIVE[4])], one=True) == [FIVE[4].path]


def test_one_by_its_name():
    (one,) = pick(FIVE, [saved(FIVE[1], sha256="cd")], "etcd", 1, FIVE[1].name)
    assert (one.path, one.sha256, one.cluster, one.why) == (FIVE[1].path, "cd", "etcd", "it was named")
    (plain,) = pick([snapshot(9, name="mine.db", manifest=False)], [], "etcd", 1, "/b/mine.db")
    assert plain.cluster == ""
    with pytest.raises(EtcdError, match="there is no snapshot none.db") as error:
        pick(FIVE, [], "etcd", 1, "none.db")
    assert "quorum-etcd list" in error.value.next_step


def test_off_site_the_newest_of_each_store_and_one_of_all_others():
    told = {entry.name: entry.manifest for entry in FIVE}
    told[FIVE[4].name] = replace(FIVE[4].manifest, taken_at="2026-11-24T05:00:00Z", sha256="ab", size=7)
    found = candidates_offsite({"s3": told, "nfs": {FIVE[0].name: FIVE[0].manifest}}, "etcd")
    assert [(one.store, one.path) for one in found.first] == [("nfs", FIVE[0].name), ("s3", FIVE[4].name)]
    assert found.first[1].why == "it is the newest in the store s3"
    assert (found.first[1].sha256, found.first[1].size, found.first[1].cluster) == ("ab", 7, "etcd")
    assert {drawn(found.older, seed)[0].path for seed in range(50)} == {entry.name for entry in FIVE[:4]}
    assert drawn([], 1) == [] and candidates_offsite({}, "etcd") == ([], [])
    told[FIVE[4].name] = replace(told[FIVE[4].name], taken_at="2026-11-20T05:00:00Z")  # the clock was set back
    assert [one.path for one in candidates_offsite({"s3": told}, "etcd").first] == [FIVE[4].name]


# Levels.

DRILL = Drill("2026-11-24T05:00:00Z", "m1", "etcd", PROVEN, PROVEN, path="/b/a.db", sha256="ab")


def test_the_highest_level_counts_and_of_that_the_last_time():
    older = replace(DRILL, at="2026-11-23T05:00:00Z")
    fell = replace(DRILL, at="2026-11-25T05:00:00Z", result=FAILED, level=VERIFIED)
    attempts = [
        Attempt("2026-11-24T06:00:00Z", "m1", "etcd", "/b", UNCHANGED, sha256="cd"),
        Attempt("2026-11-24T03:00:00Z", "m1", "etcd", "/b", SAVED, sha256="cd"),
        Attempt("2026-11-24T03:00:00Z", "m1", "etcd", "/b", SAVED, sha256="ab"),
        Attempt("2026-11-24T03:00:00Z", "m1", "etcd", "/b", "failed", sha256="ef"),
    ]
    found = proofs([fell, DRILL, older, replace(DRILL, sha256="gh", level=READ, result=FAILED)], attempts)
    assert found == {
        "ab": Proof(PROVEN, DRILL.at),
        "cd": Proof(VERIFIED, "2026-11-24T06:00:00Z"),
        "gh": Proof(READ, DRILL.at),
    }


def test_the_newest_proven_is_that_of_the_youngest_snapshot():
    young = replace(DRILL, taken_at="2026-11-24T04:00:00Z")
    old = replace(DRILL, at="2026-11-24T05:10:00Z", taken_at="2026-11-20T04:00:00Z")
    again = replace(young, at="2026-11-25T05:00:00Z")
    failed = replace(young, result=FAILED, taken_at="2026-11-25T04:00:00Z")
    assert newest_proven([failed, old, again, young]) == again
    assert newest_proven([failed]) is None and newest_proven([]) is None


def test_an_auditor_gets_every_field_and_no_formula():
    drills = [DRILL, replace(DRILL, cause='=cmd|"x"', compared=("revision 7", "3 keys"), parts={"verify": 0.5})]
    assert [json.loads(line)["level"] for line in as_json_lines(drills)] == ["proven", "proven"]
    rows = list(csv.DictReader(as_csv(drills)))
    assert len(rows) == 2 and rows[0]["at"] == DRILL.at and rows[0]["compared"] == ""
    assert rows[1]["cause"] == '\'=cmd|"x"' and json.loads(rows[1]["compared"]) == ["revision 7", "3 keys"]
    assert json.loads(rows[1]["parts"]) == {"verify": 0.5}
