# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror's engine between real clusters: whatever happens in between, both sides are equal in the end, key by key."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.threads import Beside
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import governor, segments, session
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.applying import Overtaken
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.engine import run
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_files import name_of
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_format import Record
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_reader import entries, segments_of
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import SEGMENT
from lab import Lab
from mirrored import Mirror, dump, put_many
from proxy import Proxy
from seeded import restore_by_hand, save

LINES = ["3.4", "3.5", "3.6", "3.7"]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("three"), members=3) as lab:
        yield lab


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("one"), members=1) as lab:
        yield lab


@pytest.fixture
def mirror(three, one, tmp_path, request):
    """Of a prefix of the test's own, to a destination prefix of its own."""
    prefix = f"{request.node.name}/"
    with Mirror(tmp_path, three.endpoints, one.endpoints, prefix=prefix, destination_prefix=f"copy of {prefix}") as it:
        yield it


def test_it_is_made_resumed_exactly_and_compared_where_it_must_be(mirror):
    mirror.put(range(20_000))
    mirror.once()
    assert "compares both sides by keys: the destination is new" in mirror.said[0]
    assert mirror.assert_equal() == 20_000

    mirror.put(range(100, 200), b"changed while it was away")
    mirror.source.commit(
        [], [Delete(mirror.settings.source_prefix + b"key/0010", mirror.settings.source_prefix + b"key/0012")]
    )
    outcome = mirror.once()
    assert (outcome.how, outcome.events) == ("caught up", 100 + 200)
    assert mirror.assert_equal() == 19_800
    assert not any("compares" in line for line in mirror.said[3:])

    mirror.source.commit(
        [], [Delete(mirror.settings.source_prefix + b"key/0100", mirror.settings.source_prefix + b"key/0101")]
    )
    mirror.put(range(300, 400), b"and again")
    mirror.source.compact(mirror.source.page(b"a").header.revision)
    mirror.once()
    assert any("is compacted away" in line for line in mirror.said)
    assert mirror.status.keys_changed == 100 + 100
    assert mirror.assert_equal() == 19_700
    assert mirror.status.phase == "stopped"
    assert mirror.state.is_exact


def test_it_follows_everything_that_a_transaction_can_do(mirror):
    dice, prefix = random.Random(15), mirror.settings.source_prefix
    with mirror.running() as engine:
        mirror.until_it_follows()
        for _txn in range(200):
            keys = dice.sample(range(300), dice.choice([1, 2, 128]))
            mirror.source.commit(
                [],
                [
                    Delete(prefix + b"%d" % key)
                    if dice.random() < 0.3
                    else Put(prefix + b"%d" % key, dice.randbytes(40))
                    for key in keys
                ],
            )
        mirror.source.commit([], [Put(prefix + bytes([0, 255, 10]), b""), Put(prefix, b"the prefix itself")])
        for number in range(4):
            mirror.source.commit([], [Put(prefix + b"large %d" % number, dice.randbytes(1_200_000))])
        mirror.put(range(1000))
        mirror.source.commit(
            [], [Delete(prefix + b"key/", prefix + b"key0")]
        )  # more of one revision than a transaction takes
        assert mirror.until_equal() > 100
    assert engine.result().how == "stopped"
    assert mirror.state.is_exact


def test_it_never_writes_outside_its_prefix_and_leaves_out_what_it_is_told(mirror, one):
    mirror.settings = replace(mirror.settings, exclude=(f"{mirror.settings.prefix}events/",))
    put_many(mirror.destination, b"copy of another/", range(10))
    before = dump(mirror.destination, b"")
    mirror.put(range(100))
    mirror.put(range(100), stem=b"events/")
    with mirror.running():
        mirror.until_it_follows()
        mirror.put(range(100, 200))
        mirror.put(range(100, 200), stem=b"events/")
        assert mirror.until_equal() == 200
    mine = mirror.settings.target_prefix
    after = dump(mirror.destination, b"")
    assert {key: value for key, value in after.items() if not key.startswith(mine)} == before
    assert not [key for key in after if b"/events/" in key]


def test_the_source_is_compacted_while_it_is_compared(mirror):
    mirror.put(range(10_000), b"v" * 300)
    over = threading.Event()

    def compact():
        number = 0
        while not over.wait(0.02):
            mirror.put(range(number % 10_000, number % 10_000 + 100), b"changed")
            mirror.source.compact(mirror.source.page(b"a").header.revision)
            number += 700

    compacting = Beside(compact)
    try:
        assert mirror.once(most=60).how == "caught up"
        assert mirror.state.is_exact
    finally:
        over.set()
        compacting.result()
    mirror.once()
    assert mirror.assert_equal() >= 10_000


def test_it_ends_once_it_has_caught_up_though_the_source_is_written_all_the_time(mirror):
    mirror.put(range(2_000))
    over = threading.Event()

    def write():
        number = 0
        while not over.wait(0.01):
            mirror.put(range(number % 2_000, number % 2_000 + 10), b"changed")
            number += 10

    writing = Beside(write)
    try:
        for _time in range(2):  # compared, and followed
            wanted = mirror.source.page(b"a").header.revision
            assert mirror.once(most=60).how == "caught up"
            assert mirror.state.revision >= wanted and mirror.state.is_exact
    finally:
        over.set()
        writing.result()
    mirror.once()
    assert mirror.assert_equal() == 2_000


def test_the_leader_is_killed_while_it_is_followed(mirror, three):
    with mirror.running():
        mirror.until_it_follows()
        writing = Beside(lambda: [mirror.put(range(first, first + 100)) for first in range(0, 1000, 100)])
        writing.result()
        leader = three.member(three.leader())
        three.kill(leader)
        three_left = [member.client_url for member in three.members if member is not leader]
        with Mirror(mirror_folder(mirror), three_left, mirror.settings.destination.endpoints) as writer:
            mirror.until(lambda: _writes(writer, mirror.settings.source_prefix), "the source has a leader again")
            put_many(writer.source, mirror.settings.source_prefix, range(1000, 3000))
            three.start(leader)
            three.wait_ready()
        assert mirror.until_equal() == 3000
    assert mirror.state.is_exact


def mirror_folder(mirror):
    return mirror.settings.folder


def _writes(mirror, prefix):
    try:
        mirror.source.commit([], [Put(prefix + b"key/001000", b"v")])
    except EtcdError:
        return False
    return True


def test_two_engines_at_once_of_which_the_second_goes_on(mirror, three, one, tmp_path):
    mirror.put(range(1000))
    other_settings = replace(mirror.settings, state_dir=str(tmp_path / "other"))
    with Mirror(tmp_path, three.endpoints, one.endpoints) as other:
        other.settings = other_settings
        first = Beside(lambda: _outcome(mirror))
        mirror.until_it_follows()
        with other.running():
            other.until(lambda: other.said, "the other one has begun")
            mirror.put(range(1000, 2000))
            assert isinstance(first.result(), Overtaken)
            mirror.put(range(2000, 3000))
            assert other.until_equal() == 3000
    assert mirror.status.phase == "failed"


def _outcome(mirror):
    try:
        with mirror.running() as engine:
            return engine.result()
    except EtcdError as error:
        return error


def test_another_source_is_refused_or_becomes_what_is_mirrored(mirror, one, tmp_path_factory):
    mirror.put(range(500))
    mirror.once()
    with Lab(tmp_path_factory.mktemp("restored"), members=1) as restored:
        it = Mirror(mirror_folder(mirror), restored.endpoints, one.endpoints)
        with it:
            it.settings = replace(mirror.settings, source=it.settings.source)
            put_many(it.source, it.settings.source_prefix, range(250, 750))
            with pytest.raises(EtcdError, match="the source was restored, or these are other endpoints"):
                it.once()
            assert len(dump(it.destination, it.settings.target_prefix)) == 501  # and the state
            it.settings = replace(it.settings, on_restore="resync")
            it.once()
            assert it.assert_equal() == 500


def test_a_source_whose_revision_went_back_is_refused(one, tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("back")
    with Lab(folder, members=1) as lab, Mirror(tmp_path, lab.endpoints, one.endpoints, prefix="back/") as mirror:
        mirror.put(range(100))
        lab.stop(lab.members[0])
        shutil.copytree(lab.members[0].data_dir, tmp_path / "saved")
        lab.start(lab.members[0])
        lab.wait_ready()
        mirror.put(range(100, 400))
        mirror.once()
        lab.stop(lab.members[0])
        shutil.rmtree(lab.members[0].data_dir)
        shutil.copytree(tmp_path / "saved", lab.members[0].data_dir)
        lab.start(lab.members[0])
        lab.wait_ready()
        with pytest.raises(EtcdError, match="the mirror has it up to"):
            mirror.once()
        mirror.settings = replace(mirror.settings, on_restore="resync")
        with Mirror(tmp_path, lab.endpoints, one.endpoints) as now:
            now.settings = mirror.settings
            now.once()
            assert now.assert_equal() == 100


def put_each(mirror, numbers, value=b"v"):
    """Each at a revision of its own."""
    for number in numbers:
        mirror.source.commit([], [Put(mirror.settings.source_prefix + b"each/%06d" % number, value)])


def restored_by_hand(lab, snapshot, *more):
    """With the token and the URLs that it had: the cluster's ID stays."""
    token = yaml.safe_load(lab.members[0].config_file.read_text())["initial-cluster-token"]
    restore_by_hand(lab, snapshot, token, *more)


@pytest.mark.parametrize("how", ["bumped", "written on"])
def test_a_source_that_was_restored_with_the_same_token_is_refused(one, tmp_path, how):
    """Scenarios of a restore by hand: a bumped revision looks like a compaction, and one that was written on looks near."""
    settings = {"prefix": f"{how}/", "state_dir": str(tmp_path / "state")}
    with Lab(tmp_path / "lab", members=1) as lab:
        with Mirror(tmp_path, lab.endpoints, one.endpoints, **settings) as mirror:
            put_each(mirror, range(100))
            save(lab, tmp_path / "old.db")
            put_each(mirror, range(100, 300))
            mirror.once()
            known = mirror.state
        flags = ["--bump-revision=1000000", "--mark-compacted"] if how == "bumped" else []
        restored_by_hand(lab, tmp_path / "old.db", *flags)
        with Mirror(tmp_path, lab.endpoints, one.endpoints, **settings) as mirror:
            put_each(mirror, range(1000, 1250 if how == "written on" else 1010))
            header = mirror.source.page(b"a").header
            assert f"{header.cluster_id:x}" == known.cluster and header.revision > known.revision
            with pytest.raises(EtcdError, match="at raft index .*: the source was restored"):
                mirror.once()
            assert len(mirror.sides()[1]) == 300
            mirror.settings = replace(mirror.settings, on_restore="resync")
            mirror.once()
            assert mirror.assert_equal() == (350 if how == "written on" else 110)
            mirror.once()
            assert "follows" in mirror.said[-1] or any("follows" in line for line in mirror.said)


def test_a_term_and_an_index_are_kept_while_it_follows(mirror, three):
    with mirror.running():
        mirror.until_it_follows()
        before = mirror.state
        assert before.term and before.raft_index
        leader = three.member(three.leader())
        three.kill(leader)
        three.start(leader)
        three.wait_ready()
        put_each(mirror, range(100))
        mirror.until_equal()
        mirror.until(lambda: mirror.state.term > before.term, "it knows of the election")
    assert mirror.state.raft_index >= before.raft_index + 100
    assert mirror.source.raft_index(b"a") >= mirror.state.raft_index, "never more than there was"
    mirror.once()
    assert mirror.assert_equal() == 100


def test_what_others_have_written_is_not_overwritten_unasked(mirror):
    mirror.put(range(10))
    put_many(mirror.destination, mirror.settings.target_prefix, range(5, 15), b"theirs")
    before = dump(mirror.destination, b"")
    with pytest.raises(EtcdError, match="keys that no mirror has written"):
        mirror.once()
    assert dump(mirror.destination, b"") == before
    mirror.settings = replace(mirror.settings, overwrite=True)
    mirror.once()
    assert mirror.assert_equal() == 10


def test_a_mirror_of_itself_is_refused(three, tmp_path):
    with Mirror(tmp_path, three.endpoints, three.endpoints, prefix="a/", destination_prefix="b/") as mirror:
        mirror.put(range(10))
        itself = replace(mirror.settings, destination_prefix="a/b/")
        beside, mirror.settings = mirror.settings, itself
        with pytest.raises(EtcdError, match="are the same cluster"):
            mirror.once()
        mirror.settings = beside
        mirror.once()
        assert mirror.assert_equal() == 10


def test_what_is_far_behind_is_compared_and_not_followed(mirror, monkeypatch):
    monkeypatch.setattr(governor, "NEAR", 50)
    mirror.put(range(100))
    mirror.once()
    for number in range(60):
        mirror.source.commit([], [Put(mirror.settings.source_prefix + b"one", b"%d" % number)])
    mirror.once()
    assert "revisions were not read yet" in mirror.said[-1] or any("not read yet" in line for line in mirror.said)
    assert mirror.assert_equal() == 101


def test_what_is_far_behind_after_a_partition_is_compared_and_not_followed(one, three, tmp_path, monkeypatch):
    monkeypatch.setattr(governor, "NEAR", 50)
    with Proxy(three.endpoints[0].partition("://")[2]) as way:
        settings = {"prefix": "far/", "destination_prefix": "copy of far/"}
        with Mirror(tmp_path, [way.url], one.endpoints, **settings) as mirror, Mirror(
            tmp_path, three.endpoints, one.endpoints, **settings
        ) as beside, mirror.running():
            mirror.until_it_follows()
            way.cut()
            put_each(beside, range(60))
            way.heal()
            beside.until(lambda: beside.sides()[0] == beside.sides()[1], "both sides are equal")
        compared = [line for line in mirror.said if "compares both sides by keys" in line]
        assert "not read yet" in compared[-1] and len(compared) == 2


def test_what_is_held_back_is_applied_when_its_time_has_come(mirror):
    mirror.put(range(10))
    mirror.once()
    mirror.settings = replace(mirror.settings, delay=3600)
    with mirror.running():
        mirror.until(lambda: len(mirror.said) > 2, "it has begun")
        mirror.put(range(10, 20))
        mirror.until(lambda: mirror.status.lag_revisions > 0, "it was read")
        assert len(mirror.sides()[1]) == 10
    mirror.source.compact(mirror.source.page(b"a").header.revision)  # it needs the source no more
    mirror.settings = replace(mirror.settings, delay=0)
    assert mirror.once().events == 10
    assert mirror.assert_equal() == 20


def test_a_log_that_has_lost_its_end_has_no_gap_where_the_source_still_has_what_is_missing(mirror):
    """The power failed before the disk of the log had what the destination had already."""
    mirror.settings = replace(mirror.settings, keep_log=True)
    prefix, folder = mirror.settings.source_prefix, f"{mirror.settings.folder}/log"
    mirror.put(range(10))
    mirror.once()
    for number in range(50):
        mirror.source.commit([], [Put(prefix + b"key/%06d" % (number % 10), b"changed to %d" % number)])
    mirror.once()
    newest = segments_of(folder)[-1]
    os.truncate(os.path.join(folder, name_of(newest.sequence)), newest.size * 2 // 3)
    mirror.put(range(10, 20))
    mirror.once()
    assert mirror.assert_equal() == 20
    assert sum("compares" in line for line in mirror.said) == 1
    assert [one.head.goes_on for one in segments_of(folder)].count(False) == 1
    changed = [one for one in entries(folder) if isinstance(one, Record)]
    assert sum(len(one.events) for one in changed) == 50 + 10
    assert [one.revision for one in changed] == sorted({one.revision for one in changed})


@pytest.mark.parametrize("keep_log", [False, True])
def test_what_is_read_and_not_applied_is_bounded_and_goes_on_when_some_of_it_is(mirror, keep_log):
    mirror.put(range(10))
    mirror.once()
    mirror.settings = replace(mirror.settings, delay=3600, keep_log=keep_log, log_max_bytes=1 << 20)
    with mirror.running():
        mirror.until(lambda: len(mirror.said) > 2, "it has begun")
        for number in range(120):
            mirror.source.commit([], [Put(mirror.settings.source_prefix + b"large/%d" % (number % 3), bytes(500_000))])
        mirror.until(lambda: "the log is full" in mirror.status.last_error, "it reads no more")
    assert mirror.status.log_bytes < 2 * (SEGMENT + 500_100)
    assert len(mirror.sides()[1]) == 10
    mirror.settings = replace(mirror.settings, delay=0)
    mirror.once()
    assert mirror.assert_equal() == 13
    assert sum("compares" in line for line in mirror.said) == 1


def test_a_disk_that_is_full_is_waited_for_and_ends_a_run_that_is_to_end(mirror, monkeypatch):
    mirror.settings = replace(mirror.settings, keep_log=True)
    mirror.put(range(10))
    mirror.once()
    with mirror.running(), monkeypatch.context() as full:
        full.setattr(segments, "SPARE_PART", 1)
        full.setattr(segments, "SPARE", 1 << 62)
        mirror.put(range(10, 20))
        mirror.until(lambda: "is to stay free" in mirror.status.last_error, "it reads no more")
        full.undo()
        assert mirror.until_equal() == 20
        mirror.until(lambda: not mirror.status.last_error, "all is well again")
    mirror.put(range(20, 30))
    monkeypatch.setattr(segments, "SPARE_PART", 1)
    monkeypatch.setattr(segments, "SPARE", 1 << 62)
    monkeypatch.setattr(session, "FULL_FOR", 0.0)
    with pytest.raises(EtcdError, match="is to stay free"):
        mirror.once()
    monkeypatch.undo()
    mirror.once()
    assert mirror.assert_equal() == 30
    assert sum("compares" in line for line in mirror.said) == 1
    assert [one.head.goes_on for one in segments_of(f"{mirror.settings.folder}/log")].count(False) == 1


class Held:
    """A mirror that holds back for an hour, by a clock that goes on where the test says so."""

    def __init__(self, mirror):
        mirror.settings = replace(mirror.settings, delay=3600)
        self.mirror, self.ahead = mirror, 0.0

    @contextmanager
    def running(self):
        stop, mirror = threading.Event(), self.mirror
        engine = Beside(lambda: run(mirror.settings, False, mirror.said.append, stop, lambda: time.time() + self.ahead))
        try:
            yield
        finally:
            stop.set()
            engine.result()

    def until_it_is_held_back(self):
        self.mirror.until(lambda: self.mirror.status.phase == "held back", "it is held back")

    def delete(self, number):
        self.mirror.source.commit([], [Delete(self.mirror.settings.source_prefix + b"each/%06d" % number)])

    def compact(self):
        self.mirror.source.compact(self.mirror.source.page(b"a").header.revision)


@pytest.fixture
def held(mirror):
    put_each(mirror, range(10))
    mirror.once()
    return Held(mirror)


def test_a_comparison_of_a_delayed_mirror_is_held_back(held, mirror):
    held.delete(3)  # a mistake, while no engine looks
    put_each(mirror, [100])
    held.compact()
    with held.running():
        held.until_it_is_held_back()
        assert "is compacted away; the comparison is held back until" in mirror.status.why
        assert b"each/000003" in mirror.sides()[1] and mirror.state.is_exact
        held.ahead = 1800
        held.delete(4)
        mirror.until(lambda: mirror.status.lag_revisions == 3, "it was read")
        assert len(mirror.sides()[1]) == 10
        held.ahead = 3700
        mirror.until(lambda: mirror.status.phase == "follow", "it was compared")
        mirror.until(
            lambda: set(mirror.sides()[1]) == {b"each/%06d" % n for n in (0, 1, 2, 4, 5, 6, 7, 8, 9, 100)}, "as it was"
        )
        held.ahead = 5500
        mirror.until_equal()
    assert mirror.state.is_exact


def test_what_the_log_has_is_applied_while_a_comparison_is_held_back(held, mirror):
    with held.running():
        mirror.until(lambda: mirror.status.phase == "follow", "it follows")
        held.delete(3)
        mirror.until(lambda: mirror.status.lag_revisions > 0, "it was read")
    held.ahead = 1800
    held.delete(4)
    put_each(mirror, [100])
    held.compact()
    with held.running():
        held.until_it_is_held_back()
        assert len(mirror.sides()[1]) == 10
        held.ahead = 3700
        mirror.until(
            lambda: set(mirror.sides()[1]) == {b"each/%06d" % n for n in (0, 1, 2, 4, 5, 6, 7, 8, 9)}, "the log's"
        )
        assert mirror.status.phase == "held back"
        put_each(mirror, [101])
        put_each(mirror, [5], b"changed by mistake")
        held.delete(6)
        held.compact()  # what it is to be compared with is gone when it is due
        held.ahead = 5500
        mirror.until(lambda: mirror.status.phase == "follow", "it was compared")
        expected = {b"each/%06d" % n: b"v" for n in (0, 1, 2, 5, 6, 7, 8, 9, 100)}
        assert mirror.sides()[1] == expected, "all that was so when the waiting began, and nothing later"
        assert not mirror.state.is_exact
        held.ahead = 7400
        mirror.until_equal()
        mirror.until(lambda: mirror.state.is_exact, "nothing is missing any more")


def test_what_is_resynced_with_another_cluster_is_held_back_too(held, mirror, every_line, tmp_path):
    """What the restored source has lost is in the destination for that long, whatever happens to the engine."""
    other = every_line["3.6"]
    with Mirror(tmp_path, other.endpoints, mirror.settings.destination.endpoints) as now:
        now.settings = replace(mirror.settings, source=now.settings.source, on_restore="resync")
        put_each(now, range(5))
        held.mirror = now
        for _time in range(2):
            with held.running():
                held.until_it_is_held_back()
                assert len(now.sides()[1]) == 10 and now.state.cluster == mirror.state.cluster
        with held.running():
            held.until_it_is_held_back()
            held.ahead = 3700
            now.until_equal()
            put_each(now, [7])
            now.until(lambda: now.status.lag_revisions > 0, "it reads on")
        assert now.state.cluster == f"{now.source.page(b'a').header.cluster_id:x}"


@pytest.mark.parametrize("leases", ["drop", "keep"])
def test_leases_are_dropped_or_kept(mirror, leases):
    mirror.settings = replace(mirror.settings, leases=leases, keep_log=True)
    prefix, target = mirror.settings.source_prefix, mirror.settings.target_prefix
    early, late, brief = (mirror.source.grant(600), mirror.source.grant(300), mirror.source.grant(2))
    mirror.source.commit([], [Put(prefix + b"early", b"v", early), Put(prefix + b"brief", b"v", brief)])
    with mirror.running():
        mirror.until_it_follows()
        mirror.source.commit([], [Put(prefix + b"late", b"v", late)])
        mirror.until(lambda: mirror.destination.page(target + b"late").kvs, "it was mirrored")
        kept = [mirror.destination.page(target + name).kvs[0].lease for name in (b"early", b"late")]
        assert kept == ([early, late] if leases == "keep" else [0, 0])
        if leases == "keep":
            assert [mirror.destination.time_to_live(one).granted for one in (early, late)] == [600, 300]
        mirror.until(lambda: not mirror.destination.page(target + b"brief").kvs, "it was deleted as it ran out")
        mirror.source.revoke(early)
        assert mirror.until_equal() == 1
    mirror.once()
    assert mirror.assert_equal() == 1
    assert sum("compares" in line for line in mirror.said) == (2 if leases == "keep" else 1)
    begun = [one.head.goes_on for one in segments_of(f"{mirror.settings.folder}/log")].count(False)
    assert begun == 1  # the history has no gap, though it was compared again


@pytest.mark.parametrize("number", range(4), ids=[f"{LINES[n - 1]}-to-{LINES[n]}" for n in range(4)])
def test_every_line_on_either_side(every_line, number, tmp_path):
    source, destination = every_line[LINES[number - 1]], every_line[LINES[number]]
    with Mirror(
        tmp_path, source.endpoints, destination.endpoints, prefix="from/", destination_prefix="to/", keep_log=True
    ) as mirror:
        mirror.put(range(3000))
        with mirror.running():
            mirror.until_it_follows()
            mirror.put(range(2000, 5000), b"changed")
            mirror.source.commit([], [Delete(b"from/key/000", b"from/key/001")])
            assert mirror.until_equal() == 4000
        mirror.put(range(1000), b"again")
        mirror.once()
        assert mirror.assert_equal() == 5000
        assert mirror.status.applied_events == 1000


@pytest.fixture(scope="module")
def every_line(tmp_path_factory):
    labs = {line: Lab(tmp_path_factory.mktemp(f"line-{line}"), members=1, line=line) for line in LINES}
    try:
        for lab in labs.values():
            lab.up()
        yield labs
    finally:
        for lab in labs.values():
            lab.down(grace=0)


@pytest.fixture
def whole(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("whole"), members=1) as lab:
        yield lab


def test_a_whole_cluster_of_three_members_on_one(three, whole, tmp_path):
    with Mirror(tmp_path, three.endpoints, whole.endpoints) as mirror:
        mirror.put(range(1000), prefix=b"whole/")
        mirror.source.commit([], [Put(b"\0", b"first"), Put(b"\xff\xff", b"last")])
        with mirror.running():
            mirror.until_it_follows()
            mirror.put(range(1000), b"changed", prefix=b"\xff")
            mirror.source.commit([], [Delete(b"\0")])
            assert mirror.until_equal() > 2000
