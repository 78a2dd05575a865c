# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys become again as they were, from the log or from a delayed mirror; all else stays, and what was changed meanwhile too.

FUZZ_SEED draws other histories, FUZZ_ROUNDS more of them.
"""

from __future__ import annotations

import os
import random

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import Far
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import (
    Committed,
    Delete,
    Event,
    Header,
    KeyValue,
    Page,
    Put,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Compacted, Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import Lease
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import ranges, recovering
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.log_place import Keys, Place, place_at
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.recover import MOST_BYTES, Step, batches
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_reader import NotCovered
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log

SEED, ROUNDS = int(os.environ.get("FUZZ_SEED", "1")), int(os.environ.get("FUZZ_ROUNDS", "60"))
CLUSTER, NOON = 5, 1795867200.0
ALL = Keys(b"")


class Etcd:
    """A cluster with its history; each revision goes into the log, read a second after the one before."""

    def __init__(self, log, with_previous=True):
        self.log, self.with_previous = log, with_previous
        self.revision, self.compacted = 1, 0
        self.states = {1: {}}
        self.living, self.lost = set(), 0
        self.before_commit = []
        if log:
            log.begin(CLUSTER, 1, NOON)

    def header(self):
        return Header(CLUSTER, 1, self.revision, 2)

    def page(self, key, end=b"", *, limit=0, revision=0, count_only=False, serializable=False):
        assert not (count_only and end == b"\0"), "etcd counts the whole cluster, and not everybody may ask for it"
        if revision and revision < self.compacted:
            raise Compacted("required revision has been compacted.")
        state = self.states[revision or self.revision]
        if not end:
            names = [key] if key in state else []
        else:
            names = [one for one in sorted(state) if key <= one and (end == b"\0" or one < end)]
        kvs = [] if count_only else [state[one] for one in names[: limit or None]]
        return Page(self.header(), kvs, bool(limit) and len(names) > limit, len(names))

    def time_to_live(self, id):
        return Lease(id, 60 if id in self.living else -1, 60)

    def commit(self, compares, operations):
        if self.before_commit:
            self.before_commit.pop()()
        assert (
            len(compares) <= 128 and len(operations) <= 128 and len({one.key for one in operations}) == len(operations)
        )
        state = self.states[self.revision]
        for one in compares:
            now = state[one.key].mod_revision if one.key in state else 0
            if now != one.mod_revision:
                return Committed(self.header(), False)
        self.change(*operations)
        if self.lost:
            self.lost -= 1
            error = Unavailable("the answer is lost.")
            error.unknown = True
            raise error
        return Committed(self.header(), True)

    def change(self, *operations):
        state = dict(self.states[self.revision])
        self.revision += 1
        events = []
        for one in operations:
            old = state.pop(one.key, None)
            if isinstance(one, Put):
                assert not one.lease or one.lease in self.living
                created, version = (old.create_revision, old.version + 1) if old else (self.revision, 1)
                state[one.key] = KeyValue(one.key, created, self.revision, version, one.value, one.lease)
                events.append(Event(False, state[one.key], old if self.with_previous else None))
            elif old:
                gone = KeyValue(one.key, 0, self.revision, 0, b"")
                events.append(Event(True, gone, old if self.with_previous else None))
        if not events:
            self.revision -= 1
            return
        self.states[self.revision] = state
        if self.log:
            self.log.append(CLUSTER, self.revision, NOON + self.revision, events)

    def values(self, revision=0, keys=ALL):
        state = self.states[revision or self.revision]
        return {key: kv.value for key, kv in state.items() if keys.has(key)}


@pytest.fixture
def log(tmp_path):
    with Log(str(tmp_path / "log"), kept=True, segment_bytes=800) as log:
        yield log


def planned(etcd, keys, revision, **more):
    place = place_at(etcd.log.folder, CLUSTER, keys, None, revision, NOON)
    return recovering.plan_from_log(etcd, etcd.log.folder, place, keys, wait=0.0, **more)


def test_a_prefix_that_was_deleted_by_mistake_comes_back_key_by_key(log):
    etcd = Etcd(log)
    for number in range(300):
        etcd.change(Put(b"/a/%03d" % number, b"%d" % number), Put(b"/b/%03d" % number, b"x"))
    good = etcd.revision
    etcd.change(*[Delete(b"/a/%03d" % number) for number in range(300)])
    etcd.change(Put(b"/b/new", b"y"))
    read = []
    plan = planned(etcd, Keys(b"/a/"), good, told=read.append)
    assert read == [Far("Read of the log", number, 2, "revisions") for number in (1, 2)]
    assert plan.difference[:3] == (300, 0, 0) and plan.difference.keys[0] == ("create", b"/a/000")
    assert etcd.values(good, Keys(b"/a/")) != etcd.values(0, Keys(b"/a/"))
    told = []
    assert recovering.do(etcd, plan, told.append) == (300, [], 0)
    assert told[-1] == Far("Brought back", 300, 300) and len(told) > 1
    assert etcd.values(0, Keys(b"/a/")) == etcd.values(good, Keys(b"/a/"))
    assert etcd.values(0, Keys(b"/b/")) == {**etcd.values(good, Keys(b"/b/")), b"/b/new": b"y"}
    assert planned(etcd, Keys(b"/a/"), good).difference.total == 0


@pytest.mark.parametrize("with_previous", [True, False])
def test_any_history_can_be_taken_back_to_any_revision(tmp_path, with_previous):
    for number in range(ROUNDS):
        draw = random.Random(SEED * 1000 + number)
        with Log(str(tmp_path / f"{number}"), kept=True, segment_bytes=draw.choice([1, 900, 1 << 20])) as log:
            etcd = Etcd(log, with_previous)
            names = [b"/%c/%d" % (draw.choice(b"ab"), one) for one in range(12)]
            for _change in range(draw.randrange(2, 40)):
                some = draw.sample(names, draw.randrange(1, 4))
                etcd.change(
                    *[Put(one, b"%d" % draw.randrange(3)) if draw.random() < 0.6 else Delete(one) for one in some]
                )
            revision, keys = draw.randrange(1, etcd.revision + 1), draw.choice([ALL, Keys(b"/a"), Keys(names[0], True)])
            others = {key: value for key, value in etcd.values().items() if not keys.has(key)}
            plan = planned(etcd, keys, revision)
            before, wanted = etcd.values(0, keys), etcd.values(revision, keys)
            created, deleted = len(set(wanted) - set(before)), len(set(before) - set(wanted))
            changed = sum(before[key] != wanted[key] for key in set(before) & set(wanted))
            assert plan.difference[:3] == (created, changed, deleted), f"FUZZ_SEED={SEED} round {number}"
            assert recovering.do(etcd, plan).done == plan.difference.total
            assert etcd.values(0, keys) == wanted, f"FUZZ_SEED={SEED} round {number}"
            assert {key: value for key, value in etcd.values().items() if not keys.has(key)} == others
            # And the undo is undone.
            recovering.do(etcd, planned(etcd, keys, plan.source_revision))
            assert etcd.values(0, keys) == before


def test_what_was_changed_meanwhile_is_told_and_not_overwritten(log):
    etcd = Etcd(log)
    etcd.change(*[Put(b"/a/%d" % one, b"good") for one in range(5)])
    good = etcd.revision
    etcd.change(*[Put(b"/a/%d" % one, b"bad") for one in range(3)], Delete(b"/a/3"), Delete(b"/a/4"))
    plan = planned(etcd, ALL, good)
    etcd.change(Put(b"/a/1", b"bad"), Put(b"/a/3", b"new"), Put(b"/a/4", b"good"), Delete(b"/a/2"))
    outcome = recovering.do(etcd, plan)
    assert sorted(outcome.meanwhile) == [b"/a/1", b"/a/2", b"/a/3"]
    assert etcd.values() == {b"/a/0": b"good", b"/a/1": b"bad", b"/a/3": b"new", b"/a/4": b"good"}
    assert outcome.done == 2


def test_a_change_between_two_transactions_is_told_too(log):
    etcd = Etcd(log)
    etcd.change(*[Put(b"/a/%03d" % one, b"good") for one in range(120)])
    etcd.change(*[Put(b"/b/%03d" % one, b"good") for one in range(120)])
    good = etcd.revision
    etcd.change(*[Delete(b"/a/%03d" % one) for one in range(120)])
    etcd.change(*[Delete(b"/b/%03d" % one) for one in range(120)])
    plan = planned(etcd, ALL, good)
    etcd.before_commit = [lambda: etcd.change(Put(b"/b/050", b"theirs")), lambda: None]
    assert recovering.do(etcd, plan) == (239, [b"/b/050"], 0)
    assert etcd.values() == {**etcd.values(good), b"/b/050": b"theirs"}


@pytest.mark.parametrize("lost", [1, 3])
def test_an_answer_that_is_lost_is_no_change_by_others(log, lost):
    etcd = Etcd(log)
    etcd.change(Put(b"/a", b"1"), Put(b"/b", b"2"), Put(b"/d", b"4"))
    good = etcd.revision
    etcd.change(Delete(b"/a"), Put(b"/b", b"x"), Put(b"/c", b"3"))
    etcd.change(Put(b"/d", b"y"))
    plan = planned(etcd, ALL, good)
    etcd.lost = lost
    assert recovering.do(etcd, plan).meanwhile == []
    assert etcd.values() == etcd.values(good)


def test_an_answer_that_is_lost_for_good_is_an_error_and_the_rest_is_done_by_another_run(log):
    etcd = Etcd(log)
    etcd.change(Put(b"/a", b"1"))
    etcd.change(Delete(b"/a"))

    def gone(_compares, _operations):
        raise Unavailable("nobody answers.")

    plan = planned(etcd, ALL, 2)
    etcd.commit, commit = gone, etcd.commit
    with pytest.raises(Unavailable):
        recovering.do(etcd, plan)
    etcd.commit = commit
    assert recovering.do(etcd, planned(etcd, ALL, 2)).done == 1


def test_a_lease_that_lives_is_kept_and_one_that_has_ended_is_left_out(log):
    etcd = Etcd(log)
    etcd.living = {7, 8}
    etcd.change(Put(b"/a", b"1", 7), Put(b"/b", b"2", 8), Put(b"/c", b"3"))
    etcd.change(Delete(b"/a"), Delete(b"/b"), Delete(b"/c"))
    etcd.living = {7}
    assert recovering.do(etcd, planned(etcd, ALL, 2)) == (3, [], 1)
    assert {key: kv.lease for key, kv in etcd.states[etcd.revision].items()} == {b"/a": 7, b"/b": 0, b"/c": 0}


def test_what_neither_the_log_nor_the_source_knows_is_refused_or_left(tmp_path):
    etcd = Etcd(None)
    etcd.change(Put(b"/a", b"1"), Put(b"/b", b"2"))
    with Log(str(tmp_path), kept=True) as log:
        etcd.log, etcd.with_previous = log, False
        log.begin(CLUSTER, etcd.revision, NOON)
        etcd.change(Put(b"/c", b"3"))
        good = etcd.revision
        etcd.change(Delete(b"/a"), Delete(b"/c"))
        assert planned(etcd, ALL, good).difference[:3] == (2, 0, 0)  # the source still knows
        etcd.compacted = etcd.revision
        with pytest.raises(
            EtcdError, match=r"neither the log nor the source knows what 1 key had been at revision 3: /a\."
        ):
            planned(etcd, ALL, good)
        plan = planned(etcd, ALL, good, partly=True)
        assert plan.left == [b"/a"]
        recovering.do(etcd, plan)
        assert etcd.values() == {b"/b": b"2", b"/c": b"3"}


def test_keys_that_are_left_out_are_not_touched(log):
    etcd = Etcd(log)
    etcd.change(Put(b"/a", b"1"), Put(b"quorum.etcd/mirror/east", b"state"))
    etcd.change(Put(b"/a", b"2"), Put(b"quorum.etcd/mirror/east", b"newer"))
    recovering.do(etcd, planned(etcd, ALL, 2, left_out=(b"quorum.etcd/mirror/",)))
    assert etcd.values() == {b"/a": b"1", b"quorum.etcd/mirror/east": b"newer"}


def test_a_log_that_does_not_reach_the_present_is_refused(log):
    etcd = Etcd(log)
    etcd.change(Put(b"/a", b"1"))
    etcd.log = None
    etcd.change(Put(b"/a", b"2"))
    etcd.log = log
    with pytest.raises(EtcdError, match="the log ends at revision 2, and the source is at 3.*start the mirror"):
        planned(etcd, ALL, 2)
    log.append(CLUSTER, 3, NOON, [])
    assert planned(etcd, ALL, 2).difference.total == 0


# ---- which place of the log ----------------------------------------------------------------------------------------------


def test_a_time_is_the_last_revision_that_was_read_by_then(log):
    etcd = Etcd(log)
    for number in range(20):
        etcd.change(Put(b"/a", b"%d" % number))  # revision N was read at NOON + N
    for at, revision in ((0, 1), (1.9, 1), (2, 2), (7.5, 7), (21, 21), (5000, 21)):
        place = place_at(log.folder, CLUSTER, ALL, NOON + at, 0, NOON + 9999)
        assert (place.cluster, place.revision) == (CLUSTER, revision), at
        assert place_at(log.folder, CLUSTER, ALL, None, revision, NOON) == place


@pytest.mark.parametrize(
    ("at", "revision", "why"),
    [
        (NOON - 1, 0, "does not reach back to 2026-11-28T11:59:59Z, but to 2026-11-28T12:01:40Z.*nobody was reading"),
        (NOON + 50, 0, "does not reach back .*nobody was reading for a while.*choose a later time"),
        (NOON + 99999, 0, "is yet to come"),
        (None, 5, "does not have all that happened after revision 5: nobody was reading"),
        (None, 999, "the log ends at revision 51, before 999"),
    ],
)
def test_what_the_log_does_not_cover_is_refused_with_the_reason(log, at, revision, why):
    etcd = Etcd(log)
    etcd.change(Put(b"/a", b"1"))
    log.begin(CLUSTER, 50, NOON + 100)
    log.append(CLUSTER, 51, NOON + 110, [])
    with pytest.raises(EtcdError, match=why):
        place_at(log.folder, CLUSTER, ALL, at, revision, NOON + 9999)


def test_what_is_pruned_or_of_another_cluster_is_refused(log):
    etcd = Etcd(log)
    with pytest.raises(EtcdError, match="there is no log in"):
        place_at(log.folder + "/none", CLUSTER, ALL, NOON, 0, NOON)
    for number in range(60):
        etcd.change(Put(b"/a", b"%d" % number))
    with pytest.raises(EtcdError, match="is of cluster 5, and the source is cluster 6 now: it was restored"):
        place_at(log.folder, 6, ALL, NOON + 3, 0, NOON + 99)
    kept = Log.forget_up_to
    log._max_bytes = 1500
    assert kept(log, 999) > 0
    with pytest.raises(EtcdError, match="does not reach back.*what was before is forgotten"):
        place_at(log.folder, CLUSTER, ALL, NOON + 3, 0, NOON + 99)
    with pytest.raises(NotCovered, match="what was before is forgotten"):
        place_at(log.folder, CLUSTER, ALL, None, 3, NOON + 99)


@pytest.mark.parametrize(
    ("keys", "covered"),
    [
        (Keys(b"/a/"), True),
        (Keys(b"/a/b"), True),
        (Keys(b"/a/x", True), True),
        (Keys(b"/a"), False),
        (Keys(b"/b/"), False),
        (Keys(b"/a0", True), False),
        (ALL, False),
    ],
)
def test_keys_that_the_log_does_not_have_are_refused(tmp_path, keys, covered):
    with Log(str(tmp_path), b"/a/", b"/a0", kept=True) as log:
        log.begin(CLUSTER, 1, NOON)
    if covered:
        assert place_at(str(tmp_path), CLUSTER, keys, NOON, 0, NOON).revision == 1
        return
    with pytest.raises(EtcdError, match="the log has only keys from /a/ on, up to /a0, and not"):
        place_at(str(tmp_path), CLUSTER, keys, NOON, 0, NOON)


# ---- from a delayed mirror -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [3, 1000])
def test_the_source_becomes_as_its_delayed_mirror_is(monkeypatch, page):
    monkeypatch.setattr(ranges, "_FIRST_KEYS", page)
    for number in range(ROUNDS):
        draw = random.Random(SEED * 1000 + number)
        source, mirror = Etcd(None), Etcd(None)
        for etcd, stem in ((source, b"/src/"), (mirror, b"/dst/")):
            for one in range(25):
                if draw.random() < 0.7:
                    etcd.change(Put(stem + b"%02d" % one, b"%d" % draw.randrange(2)))
            etcd.change(Put(b"/other", b"o"))
        mirror.change(Put(b"/dst/quorum.etcd/mirror/east", b"state"))
        keys = draw.choice([Keys(b"/src/"), Keys(b"/src/1"), Keys(b"/src/11", True)])
        wanted = {b"/src/" + key[5:]: value for key, value in mirror.values(0, Keys(b"/dst/")).items()}
        wanted = {key: value for key, value in wanted.items() if keys.has(key) and b"quorum" not in key}
        rest = {key: value for key, value in source.values().items() if not keys.has(key)}
        held, told = mirror.revision, []
        left_out = (b"/src/quorum.etcd/mirror/",)
        plan = recovering.plan_from_mirror(
            source, mirror, Place(CLUSTER, 1, 0.0), keys, (b"/src/", b"/dst/"), left_out, held, told.append
        )
        there = len(source.values(0, keys))
        assert told == [Far("Compared", number, 1 if keys.exact else there) for number in range(there)]
        mirror.change(Put(b"/dst/11", b"later"))
        outcome = recovering.do(source, plan)
        assert outcome.done == plan.difference.total and not outcome.meanwhile
        assert source.values() == {**rest, **wanted}, f"FUZZ_SEED={SEED} round {number}"


def test_keys_that_the_mirror_has_not_are_refused():
    source = Etcd(None)
    with pytest.raises(EtcdError, match="the mirror has only keys that begin with /src/, and not all keys"):
        recovering.plan_from_mirror(source, source, Place(CLUSTER, 1, 0.0), ALL, (b"/src/", b""), (), 1)


def test_a_transaction_takes_no_more_than_etcd_does():
    value = KeyValue(b"/k", 1, 1, 1, b"x" * 500_000)
    many = [Step(b"/k/%04d" % one, value if one < 500 and one % 50 == 0 else None, 3) for one in range(1000)]
    found = list(batches(many))
    assert [step for batch in found for step in batch] == many
    assert max(map(len, found)) == 128
    assert all(sum(len(step.was.value) for step in batch if step.was) < MOST_BYTES for batch in found)
    huge = [Step(b"/k", value._replace(value=b"x" * 2 * MOST_BYTES), 0)]
    assert list(batches(huge)) == [huge]
