# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a mirror follows, compares or stops, and the state by which it knows."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.governor import (
    COMPARE,
    MEND,
    NEAR,
    SEED_FROM,
    Kept,
    Source,
    Target,
    decide,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Seed, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import FOLLOW, SCAN, begun, decoded, state_key

SETTINGS = MirrorSettings("west", Side(("a",)), Side(("b",)), "/a/", "/b/", ("/a/x/", "/a/e/"))
SCANNING = begun(SETTINGS, "e1", 0xABC, 100, None)
FOLLOWING = SCANNING.at(100, 7).knowing(7, 5000)
RESTORED = Source(
    0xABC, 1_000_000_200, True, 2, 12
)  # by hand: the same token, a bumped revision, what was before compacted
NOTHING, THERE = Kept(), Target(0xDEF)


def decided(state=FOLLOWING, source=None, kept=NOTHING, target=THERE, **changed):
    settings = dataclasses.replace(SETTINGS, **changed)
    return decide(settings, state, source or Source(0xABC, 200), kept, target)


def test_a_state_is_what_was_written():
    for state in (SCANNING, FOLLOWING):
        assert decoded(state.encode()) == state
    assert (SCANNING.phase, FOLLOWING.phase, FOLLOWING.index) == (SCAN, FOLLOW, 7)
    assert begun(SETTINGS, "e1", 0xABC, 100, FOLLOWING).encode() != SCANNING.encode()
    assert state_key(SETTINGS) == b"/b/quorum.etcd/mirror/west"


@pytest.mark.parametrize(
    "change, words",
    [
        ((b'"version":1', b'"version":2'), "this engine knows 1"),
        ((b'"phase":"scan"', b'"phase":"?"'), "its phase is"),
        ((b'"revision":100', b'"revision":-1'), "negative"),
        ((b'"raft_index":0', b'"raft_index":-1'), "negative"),
        ((b'"cluster":"abc"', b'"cluster":"xyz"'), "no ID in hexadecimal"),
        ((b'"epoch"', b'"none"'), "epoch is missing"),
        ((b"{", b""), "Extra data"),
        ((b"{", b"\xff"), "UTF-8"),
    ],
)
def test_what_no_engine_has_written_is_no_state(change, words):
    with pytest.raises(ValueError, match=words):
        decoded(SCANNING.encode().replace(*change, 1))


def test_what_is_near_is_followed():
    assert decided().action == FOLLOW
    assert decided(source=Source(0xABC, 100 + NEAR)).action == FOLLOW


@pytest.mark.parametrize(
    "given, words",
    [
        ({"state": None}, "new"),
        ({"state": SCANNING}, "did not come to its end"),
        ({"source": Source(0xABC, 101 + NEAR)}, "10,001 revisions behind"),
        ({"source": Source(0xABC, 200, compacted=True)}, "compacted away"),
        ({"source": Source(0xABC, 200, True), "kept": Kept(True, 150)}, "after revision 150 is compacted"),
        ({"leases": "keep"}, "settings"),
        ({"exclude": ()}, "settings"),
        ({"on_restore": "resync", "source": Source(0x123, 200)}, "restored"),
        ({"on_restore": "resync", "source": Source(0xABC, 99)}, "restored"),
        ({"on_restore": "resync", "source": RESTORED}, "restored"),
        ({"kept": Kept(True, 150), "source": Source(0xABC, 151 + NEAR)}, "not read yet"),
        ({"state": None, "target": Target(0xDEF, True), "overwrite": True}, "new"),
    ],
)
def test_what_is_far_or_unknown_is_compared(given, words):
    decision = decided(**given)
    assert decision.action == COMPARE
    assert words in decision.why


def test_what_the_log_has_is_followed_however_old():
    assert decided(source=Source(0xABC, 500_000), kept=Kept(True, 499_000)).action == FOLLOW
    assert decided(exclude=("/a/e/", "/a/x/")).action == FOLLOW  # in another order


@pytest.mark.parametrize(
    "given, words",
    [
        ({"source": Source(0x123, 200)}, "the source was restored, or these are other endpoints"),
        ({"source": Source(0xABC, 99)}, "the mirror has it up to 100"),
        ({"source": Source(0xABC, 149), "kept": Kept(True, 150)}, "the mirror has it up to 150"),
        ({"source": RESTORED}, "in raft term 2, and the mirror has seen it in raft term 7: the source was restored"),
        ({"source": RESTORED._replace(compacted=False, revision=150)}, "in raft term 2"),
        (
            {"source": RESTORED._replace(term=7)},
            "at raft index 12, and the mirror has seen it at raft index 5,000",
        ),
        ({"state": None, "target": Target(0xDEF, True)}, "keys that no mirror has written"),
        ({"target": Target(0xABC), "destination_prefix": "/a/b/"}, "the same cluster"),
    ],
)
def test_what_may_not_go_on_is_refused(given, words):
    with pytest.raises(EtcdError, match=words) as refused:
        decided(**given)
    assert refused.value.next_step


def test_a_mirror_within_one_cluster_is_none_of_itself():
    assert decided(target=Target(0xABC)).action == FOLLOW


@pytest.mark.parametrize("term, raft_index", [(7, 5000), (8, 5001), (0, 0)])
def test_terms_and_indexes_that_rise_or_are_unknown_are_of_the_same_history(term, raft_index):
    source = Source(0xABC, 200, False, term, raft_index)
    assert decided(source=source).action == FOLLOW
    assert decided(state=SCANNING.at(100), source=source).action == FOLLOW, "an older engine knew neither"


def test_what_a_state_of_an_older_engine_does_not_say_is_unknown():
    said = json.loads(FOLLOWING.encode())
    del said["term"], said["raft_index"]
    old = decoded(json.dumps(said).encode())
    assert (old.term, old.raft_index) == (0, 0)
    assert old.knowing(7, 5000) == FOLLOWING
    assert FOLLOWING.knowing(0, -3) == FOLLOWING, "what was known stays so"


def test_only_a_log_that_covers_what_is_missing_is_applied_before_a_comparison_that_is_held_back():
    far = Source(0xABC, 151 + NEAR)
    for source in (far, Source(0xABC, 200, True)):
        assert decided(source=source, kept=Kept(True, 150), delay=1800).log_to == 150
        assert decided(source=source, kept=NOTHING, delay=1800).log_to == 0
    assert decided(source=RESTORED, kept=Kept(True, 150), delay=1800, on_restore="resync").log_to == 0


@pytest.mark.parametrize(
    "given, held",
    [
        ({"source": Source(0xABC, 200, True)}, True),
        ({"source": RESTORED, "on_restore": "resync"}, True),
        ({"exclude": ()}, True),
        ({}, False),  # it follows
        ({"source": Source(0xABC, 200, True), "delay": 0}, False),
        ({"state": None}, False),
        ({"state": SCANNING}, False),
    ],
)
def test_a_comparison_is_held_back_where_the_destination_is_an_earlier_source(given, held):
    decision = decided(**{"delay": 1800, **given})
    assert decision.held is held
    assert ("nothing is held back" in decision.why) is (given.get("state") is SCANNING)


SEED = Seed("abc", "0000000000000def", 150, 1_000_000_150, 7, 5000)
WHOLE = {"state": None, "target": Target(0xDEF, True), "overwrite": True, "destination_prefix": None}
LATER = Source(0xABC, 200, term=7, raft_index=6000)


def test_a_destination_that_was_restored_from_a_snapshot_of_the_source_goes_on_from_it():
    decision = decided(seed=SEED, source=LATER, **WHOLE)
    assert (decision.action, decision.held) == (MEND, False)
    assert "from a snapshot of the source at revision 150, 50 revisions ago" in decision.why
    assert decided(seed=SEED, source=LATER, delay=60, **WHOLE).action == MEND
    assert (
        decided(seed=SEED, source=LATER._replace(revision=1000 + NEAR), kept=Kept(True, 1000), **WHOLE).action == MEND
    )
    assert decided(seed=SEED, source=LATER).action == FOLLOW, "later on the state says how far it is"


@pytest.mark.parametrize(
    "given, words",
    [
        ({"seed": None}, "the destination is new"),
        ({"seed": dataclasses.replace(SEED, source="abd")}, "the destination is new"),
        ({"seed": dataclasses.replace(SEED, destination="dee")}, "the destination is new"),
        ({"destination_prefix": "/b/"}, "the destination is new"),
        ({"source": LATER._replace(revision=149)}, "the source was restored since"),
        ({"source": LATER._replace(term=6)}, "the source was restored since"),
        ({"source": LATER._replace(raft_index=4999)}, "the source was restored since"),
        ({"source": LATER._replace(compacted=True)}, "compacted away"),
        ({"source": LATER._replace(revision=151 + NEAR)}, "10,001 were not read since"),
        ({"source": LATER._replace(revision=1001 + NEAR), "kept": Kept(True, 1000)}, "10,001 were not read since"),
        ({"kept": Kept(True, 201)}, "the source was restored since"),
        ({"leases": "keep"}, "leases may have run out"),
    ],
)
def test_where_it_cannot_both_sides_are_compared(given, words):
    decision = decided(**{"seed": SEED, "source": LATER, **WHOLE, **given})
    assert decision.action == COMPARE
    assert words in decision.why


@pytest.mark.parametrize(
    "given, is_named",
    [
        ({}, True),
        ({"source": Source(0xABC, 200, keys=SEED_FROM - 1)}, False),
        ({"destination_prefix": "copy/"}, False),
        ({"exclude": ("secret/",)}, False),  # a snapshot would bring that too
        ({"state": SCANNING, "prefix": SETTINGS.prefix}, False),  # most of it is there by now
    ],
)
def test_where_a_snapshot_would_begin_a_whole_mirror_sooner_its_playbook_is_named(given, is_named):
    large = {
        "state": None,
        "source": Source(0xABC, 200, keys=2_000_000),
        "prefix": "",
        "destination_prefix": "",
        "exclude": (),
    }
    decision = decided(**{**large, **given})
    assert decision.action == COMPARE
    assert ("2,000,000 keys" in decision.why and "run mirror_seed.yml" in decision.why) == is_named
