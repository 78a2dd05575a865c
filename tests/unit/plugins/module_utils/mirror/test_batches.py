# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events of the source as transactions of the destination: within etcd's bounds, in their order, and exactly resumed."""

from __future__ import annotations

import random

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Event, KeyValue, Put
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.batches import (
    MOST_BYTES,
    MOST_OPERATIONS,
    Batch,
    Filling,
    of_a_comparison,
    size_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import Names, names_of, overlap
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side

ALL = Names(b"", b"", ())


def put(key, revision, value=b"v", lease=0):
    return Event(False, KeyValue(key, revision, revision, 1, value, lease))


def gone(key, revision):
    return Event(True, KeyValue(key, 0, revision, 0, b""))


def filled(records, names=ALL, revision=0, index=0, keep_lease=False):
    filling = Filling(names, revision, index, keep_lease)
    batches = [batch for record in records for batch in filling.add(record[0], 1.0, record[1])]
    return [*batches, filling.rest()]


def history(dice, revisions):
    """Revisions of one to three hundred events, of few keys, so that batches end for each of their reasons."""
    records = []
    for revision in range(1, revisions + 1):
        keys = dice.sample(range(400), dice.choice([0, 1, 1, 2, 5, 300]))
        size = dice.choice([1, 10, 40_000])
        records.append(
            (
                revision,
                [
                    gone(b"%d" % key, revision) if dice.random() < 0.2 else put(b"%d" % key, revision, b"x" * size)
                    for key in keys
                ],
            )
        )
    return records


def applied(operations, store):
    for one in operations:
        if isinstance(one, Put):
            store[one.key] = one.value
        else:
            store.pop(one.key, None)
    return store


@pytest.mark.parametrize("seed", range(20))
def test_a_history_is_cut_within_the_bounds_and_resumed_at_any_batch(seed):
    dice = random.Random(seed)
    records = history(dice, 30)
    wanted = {}
    for _revision, events in records:
        for event in events:
            applied([Delete(event.kv.key) if event.deleted else Put(event.kv.key, event.kv.value)], wanted)
    batches = filled(records)
    for batch in batches:
        assert len(batch.operations) < MOST_OPERATIONS  # the state goes with them
        assert sum(map(size_of, batch.operations)) < MOST_BYTES
        assert len({one.key for one in batch.operations}) == len(batch.operations)
    store = {}
    for number, batch in enumerate(batches):
        applied(batch.operations, store)
        later = dict(store)
        rest = [record for record in records if record[0] > batch.revision]
        for one in filled(rest, revision=batch.revision, index=batch.index):
            applied(one.operations, later)
        assert later == wanted, number
    assert store == wanted
    assert (batches[-1].revision, batches[-1].index) == (30, 0)


def test_a_revision_is_cut_at_its_index_and_what_was_applied_is_not_applied_again():
    events = [put(b"%03d" % number, 7) for number in range(300)]
    first, second, third = filled([(7, events)], revision=5)
    assert [(one.revision, one.index, len(one.operations)) for one in (first, second, third)] == [
        (5, 127, 127),
        (5, 254, 127),
        (7, 0, 46),
    ]
    (again,) = filled([(6, []), (7, events)], revision=5, index=254)
    assert again == third


def test_progress_is_a_batch_without_operations():
    assert filled([(9, [])], revision=5) == [Batch([], 9, 0, 1.0)]


def test_a_key_twice_begins_the_next_transaction():
    batches = filled([(1, [put(b"a", 1), put(b"b", 1)]), (2, [gone(b"a", 2)]), (3, [put(b"c", 3)])])
    assert [one.operations for one in batches] == [
        [Put(b"a", b"v"), Put(b"b", b"v")],
        [Delete(b"a"), Put(b"c", b"v")],
    ]
    assert [(one.revision, one.index) for one in batches] == [(1, 0), (3, 0)]


def test_a_value_that_fills_a_transaction_goes_alone():
    batches = filled([(1, [put(b"a", 1), put(b"b", 1, b"x" * MOST_BYTES), put(b"c", 1)])])
    assert [[one.key for one in batch.operations] for batch in batches] == [[b"a"], [b"b"], [b"c"]]


def test_leases_are_dropped_or_kept():
    record = (1, [put(b"a", 1, lease=77)])
    assert filled([record])[0].operations == [Put(b"a", b"v", 0)]
    assert filled([record], keep_lease=True)[0].operations == [Put(b"a", b"v", 77)]


def test_names_are_those_of_the_destination_and_what_is_left_out_has_none():
    settings = MirrorSettings("m", Side(("a",)), Side(("b",)), "/a/", "/west/", ("/a/events/",))
    names = names_of(settings)
    assert names.in_target(b"/a/\xff\0") == b"/west/\xff\0"
    for key in (b"/b/x", b"/a/events/1", b"/a/quorum.etcd/mirror/other"):
        assert names.in_target(key) is None
    assert names.left_out_names() == (b"quorum.etcd/mirror/", b"events/")
    events = [put(b"/a/events/1", 1), put(b"/a/x", 1)]
    assert filled([(1, events)], names) == [Batch([Put(b"/west/x", b"v")], 1, 0, 1.0)]


@pytest.mark.parametrize("one, other, both", [(b"", b"/a", True), (b"/a/", b"/a/b", True), (b"/a/", b"/b/", False)])
def test_overlap(one, other, both):
    prefixes = (one, other)
    assert overlap(*prefixes) is overlap(*reversed(prefixes)) is both


def test_a_comparison_gathers_whole_transactions():
    found = list(of_a_comparison(Put(b"%d" % number, b"v") for number in range(300)))
    assert [len(one) for one in found] == [128, 128, 44]
    assert list(of_a_comparison([])) == []
    large, other = Put(b"a", b"x" * (MOST_BYTES - 5000)), Put(b"b", b"x" * 5000)
    assert list(of_a_comparison([large, other])) == [[large], [other]]
