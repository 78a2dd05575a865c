# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both sides compared key by key, and the answers of a watch as whole revisions."""

from __future__ import annotations

import itertools
import random
import threading
import time

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import (
    Delete,
    Event,
    Header,
    KeyValue,
    Page,
    Put,
    Watched,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Compacted, OtherCluster, Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import patience as patience_module
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.compare import Pinned, changes, differences, slices
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.governor import NEAR
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import Names
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.patience import Patience
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.ranges import Entry, Part, Side, Span
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.reading import Reading, Revisions, mirrored
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_writing import Full
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.mirror.fake_etcd import FakeEtcd

HEADER = Header(1, 1, 50, 1)


def filled(keys, prefix=b"", cluster=1):
    etcd = FakeEtcd(cluster)
    for first in range(0, len(keys), 100):
        etcd.txn([(prefix + name, value) for name, value in list(keys.items())[first : first + 100]])
    return etcd


def compared(source, target, prefix=b"", target_prefix=b"", left_out=(), before_part=None):
    """The changes, applied to the target as they come; and the last revision of the source that was read."""
    pinned = Pinned(Side(source, prefix), source.revision, lambda: source.revision)
    side, told, made = Side(target, target_prefix, beside=False), [], []

    def read_source(span):
        if before_part:
            before_part()
        return pinned.part(span)

    for change in differences(
        read_source, lambda span: side.part(span, 0), target_prefix, left_out, lambda _kv: 0, told.append
    ):
        made.append(change)
        target.txn([change[:2]] if isinstance(change, Put) else (), [change.key] if isinstance(change, Delete) else ())
    return made, pinned.revision, told


def now(etcd, prefix=b""):
    kvs = etcd.page(prefix or b"\0", fake_end(prefix)).kvs
    return {kv.key[len(prefix) :]: kv.value for kv in kvs}


def fake_end(prefix):
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b"\0"


@pytest.mark.parametrize("seed", range(12))
def test_a_comparison_makes_the_destination_the_source_and_no_change_more(seed):
    dice = random.Random(seed)
    names = [bytes(dice.choices(b"ab\0\xff", k=dice.randrange(1, 8))) for _key in range(500)]
    mine = {name: b"%d" % dice.randrange(2) * dice.choice([1, 10, 3000]) for name in dice.sample(names, 300)}
    theirs = {name: b"%d" % dice.randrange(2) for name in dice.sample(names, 300)}
    source, target = filled(mine, b"/a/"), filled(theirs, b"/b/", 2)
    source.put(b"/aa", b"not ours")
    target.put(b"/c", b"not ours either")
    made, revision, _told = compared(source, target, b"/a/", b"/b/")
    assert now(target, b"/b/") == mine
    assert target.page(b"/c").kvs[0].value == b"not ours either"
    different = {name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)}
    assert len(made) == len(different) == len({change.key for change in made})
    assert revision == source.revision


def test_what_is_left_out_is_touched_on_neither_side():
    source = filled({b"a": b"1", b"events/1": b"1", b"z": b"1"})
    target = filled({b"events/2": b"1", b"quorum.etcd/mirror/m": b"{}", b"zz": b"1"}, cluster=2)
    made, _revision, _told = compared(source, target, left_out=(b"quorum.etcd/mirror/", b"events/"))
    assert made == [Put(b"a", b"1"), Put(b"z", b"1"), Delete(b"zz")]


def test_it_goes_on_after_a_compaction_at_a_newer_revision():
    source, target = filled({b"%05d" % number: b"v" * 40_000 for number in range(400)}), filled({}, cluster=2)
    parts = []

    def compact_in_the_middle():
        parts.append(1)
        if len(parts) == 5:
            source.put(b"99999", b"later")
            source.compact()

    first = source.revision
    _made, last, told = compared(source, target, before_part=compact_in_the_middle)
    assert (first, last) == (source.revision - 1, source.revision)
    assert now(target) == now(source)
    assert told[-1] == 401


@pytest.mark.parametrize(
    "source, target, change",
    [
        ((b"v", 0), None, Put(b"k", b"v")),
        ((b"v", 0), (b"v", 0), None),
        ((b"v", 0), (b"w", 0), Put(b"k", b"v")),
        ((b"v", 0), (b"v", 9), Put(b"k", b"v")),
        ((b"v", 9), (b"v", 0), Put(b"k", b"v", 9)),
        ((b"v", 9), (b"v", 9), None),
        (None, (b"v", 9), Delete(b"k")),
    ],
)
def test_value_and_lease_are_compared(source, target, change):
    sides = [[Entry(b"k", KeyValue(b"in/k", 1, 1, 1, *one))] if one else [] for one in (source, target)]
    assert list(changes(*sides, b"", lambda kv: kv.lease)) == ([change] if change else [])


def test_what_was_put_later_stays_as_it_is():
    sides = [[Entry(b"k", KeyValue(b"in/k", 1, revision, 1, value, 0))] for revision, value in ((7, b"v"), (90, b"w"))]
    assert list(changes(*sides, b"", lambda kv: kv.lease, 7)) == [Put(b"k", b"v")]
    assert list(changes(*sides, b"", lambda kv: kv.lease, 6)) == []
    assert list(changes(sides[0], [], b"", lambda kv: kv.lease, 6)) == []
    assert list(changes([], sides[1], b"", lambda kv: kv.lease, 6)) == [Delete(b"k")]


@pytest.mark.parametrize("seed", range(20))
def test_slices_are_between_the_same_names_whatever_parts_each_side_comes_in(seed):
    dice = random.Random(seed)
    sides = [sorted(dice.sample(range(1000), dice.randrange(300))) for _side in range(2)]

    def part_of(numbers):
        def part(span):
            left, many = [n for n in numbers if b"%03d" % n >= span.start], dice.randrange(60)
            first, then = [Entry(b"%03d" % n, KeyValue(b"", 1, 1, 1, b"", 0)) for n in left[:many]], left[many:]
            begin = int(first[-1].name) + 1 if first else int(span.start or 0)
            return Part(first, b"%03d" % dice.randrange(begin, then[0] + 1) if then else None)

        return part

    found, before = ([], []), b""
    for cuts in slices(part_of(sides[0]), part_of(sides[1]), Span(b"")):
        names = [entry.name for cut in cuts for entry in cut]
        assert all(name >= before for name in names), "it belongs to an earlier slice"
        before = max([before, *names])
        for all_of_it, cut in zip(found, cuts):
            all_of_it += [int(entry.name) for entry in cut]
    assert list(found) == sides


# ---- reading -----------------------------------------------------------------------------------------------------------


def event(key, revision, lease=0):
    return Event(False, KeyValue(key, revision, revision, 1, b"v", lease))


def watched(*events, created=False, canceled=False, compacted=0, fragment=False, revision=50):
    return Watched(HEADER._replace(revision=revision), created, canceled, compacted, "", fragment, list(events))


def test_the_last_revision_of_a_fragment_is_held_back_for_its_rest():
    revisions = Revisions()
    a, b, c, d = event(b"a", 5), event(b"b", 6), event(b"c", 6), event(b"d", 7)
    assert revisions.add(watched(created=True)) == []
    assert revisions.add(watched(a, b, fragment=True)) == [(5, [a])]
    assert revisions.add(watched(fragment=True)) == []
    assert revisions.add(watched(c, d)) == [(6, [b, c]), (7, [d])]
    assert revisions.add(watched(revision=60)) == [(60, [])]


def test_of_revisions_without_a_mirrored_key_the_last_one_tells_of_progress():
    names = Names(b"", b"", (b"x/",))
    groups = [(5, [event(b"x/1", 5)]), (6, [event(b"a", 6), event(b"x/2", 6)]), (7, [event(b"x/3", 7)])]
    assert list(mirrored(groups, names)) == [(6, [event(b"a", 6)]), (7, [])]


class Kept:
    """``full``: so many times it takes nothing."""

    def __init__(self, revision, full=0):
        self.revision, self.full, self.records = revision, full, []

    def append(self, cluster, revision, wall, events):
        if self.full:
            self.full -= 1
            raise Full("the log is full.")
        self.records.append((cluster, revision, events))
        self.revision = revision

    def sync(self):
        pass


class Watch:
    def __init__(self, answers):
        self.answers, self.closed = answers, False

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def __iter__(self):
        for one in self.answers:
            if isinstance(one, Exception):
                raise one
            yield one

    def close(self):
        self.closed = True


def read(*watches, full=0, most=None, newest=(), now=time.monotonic):
    """Read until the last of the watches; the log, the revisions at which they began, and the reading."""
    log, began, over, met = Kept(10, full), [], threading.Event(), []
    left, revisions = list(watches), list(newest)

    class Source:
        def page(self, _key):
            return Page(HEADER._replace(revision=revisions.pop(0) if revisions else 50), [], False, 0)

        def watch(self, _key, _end, start_revision, previous):
            began.append(start_revision)
            one = left.pop(0)
            if isinstance(one, Exception):
                raise one
            return Watch(one)

    patience = Patience(over, lambda _line: None, lambda _line: None, most)
    reading = Reading(
        Source(), log, Names(b"", b"", ()), (b"\0", b"\0"), patience, over, lambda _revision: None, met.extend, now=now
    )
    reading.start(1)
    over.wait(20)
    reading.close()
    return log, began, reading, met


def test_it_goes_on_behind_what_is_in_the_log():
    log, began, reading, met = read(
        [watched(created=True), watched(event(b"a", 12, 77)), Unavailable("gone.")],
        Unavailable("nobody."),
        [watched(revision=20), watched(canceled=True)],
        [watched(canceled=True, compacted=30)],
    )
    assert began == [11, 13, 13, 21]
    assert log.records == [(1, 12, [event(b"a", 12, 77)]), (1, 20, [])]
    assert "compacted before it was read" in reading.lost
    assert met == [77]


@pytest.mark.parametrize(
    "error, lost, failed",
    [
        (Compacted("gone."), "compacted", None),
        (OtherCluster("another."), "another", None),
        (EtcdError("no."), "", "no."),
    ],
)
def test_what_ends_it_is_told(error, lost, failed):
    _log, _began, reading, _met = read(error)
    assert lost in reading.lost
    assert (str(reading.failed) if reading.failed else None) == failed


def test_what_the_log_has_no_room_for_is_waited_with_and_read_no_further(monkeypatch):
    """Whatever time it takes: what makes room is the applying, which has a patience of its own."""
    monkeypatch.setattr(patience_module, "FIRST_PAUSE", 0.0)
    log, began, reading, _met = read(
        [watched(event(b"a", 12)), watched(event(b"b", 13))],
        [watched(event(b"b", 13))],
        [watched(canceled=True, compacted=30)],
        full=3,
        most=0.0,
    )
    assert [revision for _cluster, revision, _events in log.records] == [12, 13]
    assert began[:2] == [11, 13]  # what came behind it was not taken from the first watch
    assert reading.full is None and reading.failed is None


def test_what_is_far_behind_after_a_partition_is_not_followed():
    log, began, reading, _met = read(
        [watched(event(b"a", 12)), Unavailable("gone.")],
        newest=[10 + NEAR, 13 + NEAR],
    )
    assert (began, log.revision) == ([11], 12)
    assert "10,001 revisions were not read yet" in reading.lost


def test_a_watch_that_does_not_catch_up_is_left():
    answers = [watched(event(b"a", 11 + n), revision=20_000 + n) for n in range(100)]
    log, began, reading, _met = read(
        [*answers, Compacted("the end of this test.")], now=itertools.count(0, 10).__next__
    )
    assert began == [11] and log.revision < 30
    assert "revisions were not read yet" in reading.lost
