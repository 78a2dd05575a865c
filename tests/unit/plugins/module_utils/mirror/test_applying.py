# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine writes: once, in its order and from one engine alone, whatever becomes of the answers."""

from __future__ import annotations

import dataclasses
import itertools
import threading

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import (
    Committed,
    Delete,
    Header,
    KeyValue,
    Page,
    Put,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import (
    Denied,
    NoSpace,
    OtherCluster,
    Unavailable,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import patience as patience_module
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.applying import (
    IN_FLIGHT,
    IN_FLIGHT_BYTES,
    Applying,
    Overtaken,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.patience import Anew, Patience, Stopping
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import begun, decoded

KEY = b"quorum.etcd/mirror/m"
STATE = begun(MirrorSettings("m", Side(("a",)), Side(("b",))), "e1", 1, 100, None)
HEADER = Header(1, 1, 1, 1)
LOST, LANDED, WELL = "lost", "landed and lost", "well"


class Destination:
    """Keeps the keys; of each commit in turn is said what becomes of it: WELL where nothing is."""

    def __init__(self, *fates):
        self.store, self.fates = {}, list(fates)
        self.committed, self.under_way, self.most_under_way = [], 0, 0

    def page(self, key):
        found = [KeyValue(key, 1, 1, 1, self.store[key])] if key in self.store else []
        return Page(HEADER, found, False, len(found))

    def commit(self, compares, operations):
        fate = (self.fates or [WELL]).pop(0)
        if isinstance(fate, Exception):
            raise fate
        succeeded = all(self.store.get(one.key) == one.value for one in compares)
        if fate != LOST and succeeded:
            self.committed.append(operations)
            for one in operations:
                if isinstance(one, Put):
                    self.store[one.key] = one.value
                else:
                    self.store.pop(one.key, None)
        if fate != WELL:
            raise Unavailable("the answer was lost.")
        return Committed(HEADER, succeeded)

    def commit_soon(self, compares, operations):
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        outer = self

        class Pending:
            size = sum(len(one.key) + len(one.value) for one in operations)

            def result(self):
                outer.under_way -= 1
                return outer.commit(compares, operations)

        return Pending()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(patience_module, "FIRST_PAUSE", 0.0)


def patience(said=None, noted=None, most=None, stop=None):
    say, note = (said if said is not None else []).append, (noted if noted is not None else []).append
    return Patience(stop or threading.Event(), say, note, most)


def begun_on(destination):
    applying = Applying(destination, KEY, patience())
    assert applying.read() is None
    applying.advance([], STATE)
    return applying


@pytest.mark.parametrize(
    "fates", [[], [LOST], [LANDED], [LOST, LOST, LANDED], [LANDED, LOST], [NoSpace("full"), LANDED]]
)
def test_a_transaction_lands_once_whatever_becomes_of_the_answers(fates):
    destination = Destination()
    applying = begun_on(destination)
    destination.fates = list(fates)
    before = len(destination.committed)
    applying.advance([Put(b"a", b"1")], STATE.at(101))
    applying.advance([Delete(b"a"), Put(b"b", b"2")], STATE.at(102))
    assert destination.store == {b"b": b"2", KEY: STATE.at(102).encode()}
    assert len(destination.committed) == before + 2


@pytest.mark.parametrize("fates", [[], [LOST], [LANDED]])
def test_what_another_engine_has_taken_over_is_not_written(fates):
    destination = Destination()
    applying = begun_on(destination)
    other = Applying(destination, KEY, patience())
    other.read()
    other.advance([], dataclasses.replace(STATE, epoch="e2"))
    destination.fates = list(fates)
    with pytest.raises(Overtaken):
        applying.advance([Put(b"a", b"1")], STATE.at(101))
    with pytest.raises(Overtaken):
        applying.write_soon([Put(b"a", b"1")])
        applying.finish()
    assert b"a" not in destination.store


def test_a_comparison_has_several_under_way_and_repeats_what_was_lost():
    destination = Destination()
    applying = begun_on(destination)
    destination.fates = [LOST, LANDED, WELL] * 20
    for number in range(IN_FLIGHT + 10):
        applying.write_soon([Put(b"%d" % number, b"v")])
    applying.finish()
    assert destination.most_under_way == IN_FLIGHT
    assert len(destination.store) == 1 + IN_FLIGHT + 10


def test_large_values_have_fewer_under_way_at_once():
    destination = Destination()
    applying = begun_on(destination)
    for number in range(IN_FLIGHT):
        applying.write_soon([Put(b"%d" % number, b"v" * (1 << 20))])
    applying.finish()
    assert destination.most_under_way == IN_FLIGHT_BYTES >> 20
    assert len(destination.store) == 1 + IN_FLIGHT


def test_what_waits_is_told_and_ends_when_it_is_told_to():
    said, noted = [], []
    errors = [Unavailable("nobody is there."), Unavailable("nobody is there.")]

    def work():
        if errors:
            raise errors.pop()
        return 7

    assert patience(said, noted).until_done(work) == 7
    assert len(said) == 1
    assert "nobody is there. It is tried again." in said[0]
    assert noted == ["nobody is there.", "nobody is there.", ""]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopping):
        patience(stop=stop).until_done(work)


@pytest.mark.parametrize("error, raised", [(Denied("no."), Denied), (OtherCluster("another."), Anew)])
def test_what_does_not_pass_is_not_waited_for(error, raised):
    def work():
        raise error

    with pytest.raises(raised):
        patience().until_done(work)


def test_a_run_that_is_to_end_waits_no_longer_than_it_may():
    def work():
        raise Unavailable("nobody is there.")

    with pytest.raises(EtcdError, match="nobody"):
        patience(most=0.0).until_done(work)


def test_an_engine_at_work_is_taken_over():
    """It moves the state on all the time: what was looked at before is older by then."""
    destination = Destination()
    destination.store[KEY] = STATE.at(100).encode()
    applying = Applying(destination, KEY, patience())
    applying.read()
    moved = iter([101, 102])

    def mine(value):
        revision = next(moved, None)
        if revision:  # the other one is quicker
            destination.store[KEY] = STATE.at(revision).encode()
        return dataclasses.replace(decoded(value), epoch="e2")

    assert applying.take_over(mine) == dataclasses.replace(STATE.at(102), epoch="e2")
    assert decoded(destination.store[KEY]).epoch == "e2"
    applying.advance([Put(b"a", b"1")], dataclasses.replace(STATE.at(103), epoch="e2"))
    assert destination.store[b"a"] == b"1"


def test_an_engine_that_is_always_quicker_is_not_taken_over():
    destination = Destination()
    applying = Applying(destination, KEY, patience())
    numbers = itertools.count(1)

    def mine(_value):
        destination.store[KEY] = b"%d" % next(numbers)
        return STATE

    with pytest.raises(Overtaken):
        applying.take_over(mine)
