# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session of an engine over clusters in memory: where its log goes on, what it keeps, and what it asks at once."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import mirror_health
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.threads import Beside
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Committed, Event, KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import met
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import session as session_module
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.patience import Patience, Stopping
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_format import Lease
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_reader import entries
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_writing import Full
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.session import Session
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Seed, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import begun, decoded, state_key
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import Board
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.mirror.fake_etcd import FakeEtcd, together

SETTINGS = MirrorSettings("m", Side(("a",)), Side(("b",)), keep_log=True)


class Destination(FakeEtcd):
    def commit(self, _compares, operations):
        for one in operations:
            self.put(one.key, one.value, one.lease)
        return Committed(self.page(b"k").header, True)

    def commit_soon(self, compares, operations):
        done = self.commit(compares, operations)
        return SimpleNamespace(size=1, result=lambda: done)


def source_at(revision):
    source = FakeEtcd()
    while source.revision < revision:
        source.put(b"k", b"v")
    return source


def session_of(log, source, settings=SETTINGS, state=None, once=False, clock=time.time):
    target, over, said = Destination(2), threading.Event(), []
    if state:
        target.put(state_key(settings), state.encode())
    board = Board("m", log.folder, settings.delay, clock)
    patience = Patience(over, said.append, board.error)
    return Session(settings, once, said.append, source, target, log, board, patience, over, clock)


def filled(log, first, last):
    log.begin(1, first, 1000.0)
    for revision in range(first + 1, last + 1):
        log.append(1, revision, 1000.0, [Event(False, KeyValue(b"k", revision, revision, 1, b"v", 0))])


@pytest.mark.parametrize("compacted, ends", [(0, 200), (200, 200), (202, 203)])
def test_a_log_that_lacks_what_is_applied_goes_on_at_its_own_end_where_the_source_has_what_is_missing(
    tmp_path, compacted, ends
):
    """The destination was quicker than the disk of the log when the power failed."""
    source, state = source_at(210), begun(SETTINGS, "e1", 1, 100, None).at(203)
    source.compacted = compacted
    with Log(str(tmp_path), kept=True) as log:
        filled(log, 150, 200)
        session = session_of(log, source, state=state)
        assert session._take_over().source.revision == 210
        assert log.revision == ends
        assert log.covers(150) == (ends == 200)
        for revision in range(ends + 1, 206):  # it is read once more
            log.append(1, revision, 2000.0, [])
        with log.read(203) as reader:  # and what is applied is passed over
            assert reader.take().revision == 204


def test_what_is_applied_is_forgotten_while_both_sides_are_compared(tmp_path):
    with Log(str(tmp_path), segment_bytes=1) as log:
        filled(log, 10, 20)
        session = session_of(log, source_at(20))
        session._state = begun(SETTINGS, "e1", 1, 18, None)
        session._check()
        assert not log.covers(17) and log.covers(18)


def test_a_run_that_is_to_end_does_so_with_an_error_where_the_log_takes_no_more(tmp_path, monkeypatch):
    source = source_at(20)
    source.status = dict  # a source that cannot tell how far it is
    monkeypatch.setattr(session_module, "QUIET", 0.0)
    with Log(str(tmp_path)) as log:
        filled(log, 10, 15)
        session = session_of(log, source, once=True)
        session._state = begun(SETTINGS, "e1", 1, 10, None).at(10)
        session._reading.full = Full("the disk is full.")
        monkeypatch.setattr(session_module, "FULL_FOR", 0.5)
        with pytest.raises(Full):
            session._follow(20)
        assert session._state.revision == 15  # what was read is applied
        session._reading.full = None
        session._follow(20)


def test_the_times_to_live_of_leases_are_asked_for_side_by_side_and_logged_once(tmp_path):
    source, asked = source_at(10), []
    source.time_to_live = together(lambda lease: asked.append(lease) or SimpleNamespace(granted=60 if lease % 2 else 0))
    with Log(str(tmp_path), kept=True) as log:
        log.begin(1, 10, 1000.0)
        session = session_of(log, source)
        session._met.add(range(1, 17))
        session._met.add(range(1, 17))
        assert sorted(asked) == list(range(1, 17))
        assert sorted(one.id for one in entries(str(tmp_path)) if isinstance(one, Lease)) == list(range(1, 17, 2))


def test_leases_that_were_met_are_not_remembered_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(met, "MOST", 10)
    source, asked = source_at(10), []
    source.time_to_live = lambda lease: asked.append(lease) or SimpleNamespace(granted=60)
    with Log(str(tmp_path), kept=True) as log:
        log.begin(1, 10, 1000.0)
        session = session_of(log, source)
        for first in range(0, 100, 5):
            session._met.add(range(first, first + 5))
            session._met.add(range(first, first + 5))
            assert len(session._met._before) <= 10
        assert len(asked) == 100


def test_what_could_not_be_logged_of_a_lease_is_asked_for_again(tmp_path, monkeypatch):
    source = source_at(10)
    source.time_to_live = lambda _lease: SimpleNamespace(granted=60)
    with Log(str(tmp_path), kept=True) as log:
        log.begin(1, 10, 1000.0)
        session = session_of(log, source)
        with monkeypatch.context() as patched:
            patched.setattr(log, "lease", refuse)
            with pytest.raises(Full):
                session._met.add({5})
        session._met.add({5})
        assert [one.id for one in entries(str(tmp_path)) if isinstance(one, Lease)] == [5]


def refuse(_lease):
    raise Full("the disk is full.")


def test_leases_of_what_is_compared_are_granted_a_page_at_a_time(tmp_path):
    settings = replace(SETTINGS, leases="keep")
    source = FakeEtcd()
    for number in range(16):
        source.put(b"k%02d" % number, b"v", lease=number + 1)
    source.time_to_live = together(lambda _lease: SimpleNamespace(granted=60))
    with Log(str(tmp_path)) as log:
        session = session_of(log, source, settings)
        session._target.grant = lambda _ttl, lease: lease
        session._state = begun(settings, "e1", 1, source.revision, None)
        session._compare()
        assert {kv.lease for kv in session._target.page(b"k", b"l").kvs} == set(range(1, 17))


HALF_AN_HOUR = 1800
QUIET_FOR = 3 * 3600


class Held:
    """A mirror that is held back for half an hour, and level with a source in which nothing has happened for three hours."""

    def __init__(self, log):
        self.now, self.log = 1_800_000_000.0, log
        self.settings = replace(SETTINGS, delay=HALF_AN_HOUR, max_lag=60, verified_age=0)
        self.session = session_of(log, source_at(20), self.settings, clock=lambda: self.now)
        self.board = self.session._board
        log.begin(1, 20, self.now)
        self.board.heard(20)
        self.session._advance([], begun(self.settings, "e1", 1, 20, None).at(20), self.now)
        self.board.begin("follow", "it was compared")
        self.now += QUIET_FOR

    def write(self, revision):
        self.board.heard(revision)
        self.log.append(1, revision, self.now, [Event(False, KeyValue(b"k", revision, revision, 1, b"v", 0))])

    def is_told(self, lag, state):
        def told():
            status = self.board.status
            health = mirror_health.judge(self.settings, status, None, self.now)
            return (status.lag_seconds, health.state) == (lag, state)

        until = time.monotonic() + 20
        while not told() and time.monotonic() < until:
            time.sleep(0.01)
        assert told(), (self.board.status, lag, state)


def test_the_lag_is_that_of_the_oldest_change_that_waits_however_quiet_it_was_before(tmp_path):
    with Log(str(tmp_path), kept=True) as log:
        held = Held(log)
        following = Beside(lambda: held.session._follow(22))
        try:
            held.is_told(0, "ok")
            held.write(21)
            held.is_told(0, "ok")
            held.now += 1000
            held.write(22)
            held.is_told(1000, "ok")
            held.now += HALF_AN_HOUR - 1001
            held.is_told(HALF_AN_HOUR - 1, "ok")
            held.now += 2  # the first is applied, and the second is waited for since it was read
            held.is_told(HALF_AN_HOUR + 1 - 1000, "ok")
            held.session._applying.advance = lambda *_: time.sleep(0.5)  # a slow destination
            held.now += HALF_AN_HOUR + 61 - (HALF_AN_HOUR + 1 - 1000)
            held.is_told(HALF_AN_HOUR + 61, "behind")
        finally:
            held.session.end()
            with pytest.raises(Stopping):
                following.result()


def test_a_comparison_that_is_held_back_is_not_late(tmp_path):
    """What it is about has been known since it was needed, and not since the last change was read."""
    with Log(str(tmp_path), kept=True) as log:
        held = Held(log)
        held.board.heard(50_000)
        seen = SimpleNamespace(begun=lambda settings, epoch, before: begun(settings, epoch, 1, 50_000, before))
        holding = Beside(lambda: held.session._hold(seen, SimpleNamespace(why="it is far behind", log_to=0)))
        try:
            held.is_told(0, "copying")
            held.now += HALF_AN_HOUR - 1
            held.is_told(HALF_AN_HOUR - 1, "copying")
        finally:
            held.now += HALF_AN_HOUR + 2
            holding.result()


FOREIGN = replace(
    begun(SETTINGS, "e1", 9, 100, None), destination="1"
)  # of a mirror from cluster 9 to what is the source now


@pytest.mark.parametrize("state", [FOREIGN, FOREIGN.at(100), replace(FOREIGN, phase="handed over", cluster="2")])
def test_a_state_that_a_snapshot_of_the_source_has_brought_is_not_the_mirrors_own(tmp_path, state):
    """The source is another mirror's destination; or was this mirror's, and its clients have stayed there."""
    with Log(str(tmp_path), kept=True) as log:
        session = session_of(log, source_at(20), replace(SETTINGS, overwrite=True), state)
        assert session._take_over().state is None
        written = decoded(session._target.page(state_key(SETTINGS)).kvs[0].value)
        assert (written.cluster, written.destination, written.phase) == ("1", "2", "scan")


# Of a mirror from cluster 9 to cluster 77: both of them were restored since, and are called 1 and 2 now.
RESTORED = replace(FOREIGN, destination="77").at(100)
AWAY = replace(RESTORED, phase="handed over")
SEED = Seed("1", "2", 19, 19)


@pytest.mark.parametrize(
    "state, given, cause, next_step",
    [
        (RESTORED, {}, "the source was restored", "etcd_mirror_on_restore"),
        (replace(RESTORED, phase="scan"), {}, "the source was restored", "etcd_mirror_on_restore"),
        (RESTORED, {"seed": replace(SEED, destination="77")}, "the source was restored", "etcd_mirror_on_restore"),
        (AWAY, {"on_restore": "resync"}, "was handed over", "delete quorum.etcd/mirror/m in it"),
        (replace(AWAY, cluster="1"), {"on_restore": "resync"}, "was handed over", "etcd_mirror_cutover_back"),
    ],
)
def test_a_mirror_of_which_both_clusters_were_restored_is_not_taken_for_a_new_one(
    tmp_path, state, given, cause, next_step
):
    """``overwrite`` stays set where a seed has begun it."""
    with Log(str(tmp_path), kept=True) as log:
        session = session_of(log, source_at(20), replace(SETTINGS, overwrite=True, **given), state)
        with pytest.raises(EtcdError, match=cause) as refused:
            session._take_over()
        assert next_step in refused.value.next_step
        assert session._target.page(state_key(SETTINGS)).kvs[0].value == state.encode()


def test_a_mirror_of_which_both_clusters_were_restored_becomes_the_source_where_that_is_wanted(tmp_path):
    with Log(str(tmp_path), kept=True) as log:
        session = session_of(log, source_at(20), replace(SETTINGS, on_restore="resync"), RESTORED)
        assert session._take_over().state == RESTORED
        written = decoded(session._target.page(state_key(SETTINGS)).kvs[0].value)
        assert (written.cluster, written.destination, written.phase) == ("1", "2", "scan")


@pytest.mark.parametrize("state", [RESTORED, AWAY, replace(AWAY, destination="")])
def test_what_came_with_the_snapshot_that_the_destination_began_with_is_not_the_mirrors_own(tmp_path, state):
    """The source had another ID when it was another mirror's destination."""
    with Log(str(tmp_path), kept=True) as log:
        session = session_of(log, source_at(20), replace(SETTINGS, overwrite=True, seed=SEED), state)
        assert session._take_over().state is None
        written = decoded(session._target.page(state_key(SETTINGS)).kvs[0].value)
        assert (written.cluster, written.destination, written.revision) == ("1", "2", 19)


@pytest.mark.parametrize("seeded_at", [160, 200, 205])
def test_the_log_of_a_mirror_that_is_seeded_anew_goes_on_without_a_gap(tmp_path, seeded_at):
    """So that what it has from before can be brought back still."""
    with Log(str(tmp_path), kept=True) as log:
        filled(log, 150, 200)
        settings = replace(SETTINGS, seed=replace(SEED, revision=seeded_at))
        session = session_of(log, source_at(210), settings)
        session._take_over()
        assert (session._seed, session._state.revision) == (settings.seed, seeded_at)
        assert (log.revision, log.covers(150)) == (200, True)


@pytest.mark.parametrize("change", ["other keys", "no put", "further on"])
def test_a_log_of_what_the_source_was_before_it_was_restored_is_not_followed(tmp_path, change):
    """By hand, with the same token: it is the same cluster by its ID. What was restored is the snapshot, of later."""
    source = source_at(180 if change == "further on" else 210)
    with Log(str(tmp_path), kept=True) as log:
        filled(log, 150, 199)
        lost = KeyValue(b"k", 200, 200, 1, b"lost since", 0)
        log.append(1, 200, 1000.0, [Event(False, lost)] if change != "no put" else [])
        seed = replace(SEED, revision=199 if change == "no put" else 170)
        session = session_of(log, source, replace(SETTINGS, seed=seed))
        seen = session._take_over()
        assert (session._seed is None) == (change == "further on"), "which is compared"
        assert seen.kept.revision == (200 if change == "further on" else 0)
        assert log.revision == session._state.revision and not log.covers(150), "what comes after it is read anew"


def test_a_destination_that_was_restored_goes_on_from_where_its_backup_was(tmp_path):
    with Log(str(tmp_path), kept=True) as log:
        session = session_of(
            log, source_at(20), state=replace(begun(SETTINGS, "e1", 1, 15, None).at(15), destination="77")
        )
        assert session._take_over().state.revision == 15
        written = decoded(session._target.page(state_key(SETTINGS)).kvs[0].value)
        assert (written.revision, written.destination, written.phase) == (15, "2", "follow")
