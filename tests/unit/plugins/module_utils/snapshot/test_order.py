# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshot is the newest, where revisions, manifests and file times do and do not agree."""

from __future__ import annotations

import itertools
from dataclasses import replace

from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.order import clock_of, disagreeing, lineages, newest
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import snapshot

BUMP = 1_000_000_000


def taken(name, revision, hour, manifest=True, cluster="aa", members=("a1", "a2"), of="etcd"):
    told = {"cluster": of, "cluster_id": cluster, "taken_at": f"2026-11-24T{hour:02}:00:00Z", "revision": revision}
    return snapshot(
        path=name,
        revision=revision,
        taken_at=told["taken_at"],
        manifest=told if manifest else None,
        members=[{"id": number} for number in members],
    )


def after_restore(name, revision, hour, **more):
    return taken(name, revision, hour, **{"cluster": "bb", "members": ("b1", "b2"), **more})


def chosen(*entries, **known):
    """The newest one, in whatever order a folder lists them."""
    found = {newest(list(order), **known).path for order in itertools.permutations(entries)}
    assert len(found) == 1, found
    return found.pop()


def test_within_one_cluster_the_highest_revision_is_the_newest_whatever_the_clocks_say():
    """Seen: an old snapshot that was copied into the folder was preferred to a newer one with a manifest."""
    copied = taken("copied", 50, 9, manifest=False)
    assert chosen(taken("newer", 100, 3), taken("older", 60, 2), copied) == "newer"
    assert chosen(taken("clock was ahead", 60, 9), taken("newer", 100, 3)) == "newer"


def test_of_one_revision_a_manifest_goes_before_a_file_time_and_the_later_before_the_earlier():
    assert chosen(taken("told", 100, 3), taken("copy", 100, 9, manifest=False)) == "told"
    assert chosen(taken("later", 100, 4), taken("told", 100, 3)) == "later"


def test_a_restore_makes_a_new_cluster_whose_snapshots_are_newer_by_time():
    raised = after_restore("raised", 60 + BUMP, 5)
    assert chosen(taken("before", 100, 3), raised) == "raised"
    # Where the tools could not raise the revision, it is lower after a restore.
    assert chosen(taken("before", 100, 3), after_restore("not raised", 70, 5)) == "not raised"


def test_a_restore_that_was_taken_back_leaves_snapshots_with_the_highest_revision_that_are_not_the_newest():
    back, wrong = taken("old data goes on", 120, 6), after_restore("of the wrong data", 60 + BUMP, 5)
    assert chosen(back, wrong) == "old data goes on"
    # Where no backup was taken since, the time alone would be wrong too.
    before = taken("before", 100, 3)
    assert chosen(before, wrong) == "of the wrong data", "nothing is known of the rollback"
    assert chosen(before, wrong, undone={"bb"}) == "before"
    assert chosen(before, wrong, living={"aa"}) == "before"
    assert chosen(before, wrong, living={"a2"}) == "before", "a stopped member knows the IDs of members alone"


def test_without_manifests_the_members_tell_the_cluster():
    old, new = taken("old", 100, 9, manifest=False), after_restore("new", 70, 5, manifest=False)
    assert len(lineages([old, new])) == 2
    assert chosen(old, new, living={"b1"}) == "new"
    # A member was replaced in between: the chain of snapshots tells that it is one cluster.
    moved = [
        taken("1", 10, 1),
        taken("2", 20, 2, manifest=False, members=("a2", "a3")),
        taken("3", 30, 3, manifest=False, members=("a3",)),
    ]
    for order in itertools.permutations(moved):
        (lineage,) = lineages(order)
        assert [entry.path for entry in lineage.newest_first()] == ["3", "2", "1"]


def test_members_that_an_old_tool_left_in_the_store_do_not_make_two_clusters_one():
    zombies = after_restore("new", 70, 5, members=("a1", "a2", "b1", "b2"))
    copied = after_restore("copied", 80, 6, manifest=False, members=("a1", "a2", "b1", "b2"))
    found = lineages([taken("old", 100, 3), zombies, copied])
    assert sorted(sorted(entry.path for entry in one.entries) for one in found) == [["copied", "new"], ["old"]]


def test_clusters_of_different_names_are_never_one():
    assert len(lineages([taken("e", 1, 1, cluster="", of="east"), taken("w", 1, 1, cluster="", of="west")])) == 2


def test_a_manifest_goes_before_a_file_time_also_between_clusters():
    assert chosen(taken("told", 100, 3), after_restore("copied", 9 * BUMP, 9, manifest=False)) == "told"


def test_what_was_not_unpacked_is_known_by_its_manifest():
    packed = replace(taken("packed", 100, 3), revision=0, members=[])
    unknown = replace(taken("unknown", 0, 9, manifest=False), members=[])
    assert chosen(packed, taken("older", 60, 2), unknown) == "packed"


def test_a_disagreement_is_told_once_for_each_order():
    best, copied = taken("best", 100, 3), taken("copied", 50, 9, manifest=False)
    assert disagreeing(best, [best, copied]) == [copied]
    same = taken("the same elsewhere", 100, 9, manifest=False)
    assert disagreeing(best, [best, same, taken("older", 60, 2)]) == []
    higher = after_restore("higher", BUMP, 2)
    assert disagreeing(best, [best, copied, higher]) == [copied, higher]
    both = after_restore("both", BUMP, 9)
    assert disagreeing(best, [best, both]) == [both]


def test_a_file_time_is_called_one():
    assert clock_of(taken("a", 1, 1)) == "" and clock_of(taken("a", 1, 1, manifest=False)) == " by its file time"
