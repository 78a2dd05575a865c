# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a restored cluster that did not prove itself in full: whether it stays, or the old data comes back."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Entry
from ansible_collections.quorum.etcd.plugins.module_utils.restore import verdict
from ansible_collections.quorum.etcd.plugins.module_utils.restore.proof import judge
from ansible_collections.quorum.etcd.plugins.module_utils.restore.verdict import (
    INCOMPLETE,
    NOTHING_SERVES,
    PROVEN,
    WRONG,
    Coming,
    aftermath,
    cannot_agree,
    classify,
    together,
    urls_by_name,
)
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import of_cluster

OF = of_cluster(
    cluster_id="c1",
    members={"1": "m1", "2": "m2", "3": "m3"},
    revision=1000,
    user_keys=7,
    old_endpoints=["http://10.0.0.9:2379"],
)
SEEN = {
    "cluster_id": "c1",
    "cluster_ids": ["c1"],
    "has_quorum": True,
    "members_complete": True,
    "revision": 1003,
    "hashes_equal": True,
    "members": [
        {"id": str(number), "name": f"m{number}", "started": True, "healthy": True, "hash": 5} for number in (1, 2, 3)
    ],
}


def found(change=lambda seen: None, keys=7, alive=None, looks=0, of=None):
    of = of or OF
    seen = copy.deepcopy(SEEN)
    change(seen)
    view = view_of(seen)
    return classify(of, view, judge(of, view, keys, True, alive), looks)


def down(seen, *numbers):
    for number in numbers:
        seen["members"][number - 1].update(healthy=False, hash=None)
    seen["has_quorum"] = len(numbers) < 2


def unknown(seen, **changes):
    """What is seen when nobody answers."""
    seen.update(cluster_id="", cluster_ids=[], has_quorum=False, revision=0, hashes_equal=None, members=[], **changes)


def test_a_cluster_as_planned_is_proven():
    assert found() == PROVEN


CASES = {
    "a member is late": (lambda seen: down(seen, 2), INCOMPLETE),
    "a member has not published its name": (lambda seen: seen["members"][1].update(started=False, name=""), INCOMPLETE),
    "no list of members could be had": (
        lambda seen: (seen["members"][0].update(name=""), seen.update(members_complete=False)),
        INCOMPLETE,
    ),
    "a hash could not be had": (lambda seen: seen.update(hashes_equal=None), INCOMPLETE),
    "two of three are down": (lambda seen: down(seen, 2, 3), NOTHING_SERVES),
    "nobody answers": (lambda seen: unknown(seen, members_complete=False), NOTHING_SERVES),
    "another cluster": (lambda seen: seen.update(cluster_id="c0", cluster_ids=["c0"]), WRONG),
    "an old member answers at a planned URL": (lambda seen: seen["cluster_ids"].append("c0"), WRONG),
    "it does, and the others are down": (lambda seen: (down(seen, 2, 3), seen["cluster_ids"].append("c0")), WRONG),
    "an ID that was not planned": (lambda seen: seen["members"][1].update(id="9"), WRONG),
    "an ID that was not planned, of a member that is down": (
        lambda seen: seen["members"][1].update(id="9", healthy=False, started=False),
        WRONG,
    ),
    "a name that was not planned": (lambda seen: seen["members"][1].update(name="m9"), WRONG),
    "a revision that went back": (lambda seen: seen.update(revision=999), WRONG),
    "members that hold different data": (lambda seen: seen.update(hashes_equal=False), WRONG),
    "those that answer do, and one is late": (lambda seen: (down(seen, 3), seen.update(hashes_equal=False)), WRONG),
}


@pytest.mark.parametrize("case", CASES)
def test_time_mends_some_and_nothing_else(case):
    change, expected = CASES[case]
    assert found(change) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [(6, WRONG), ("etcdctl get failed with exit code 1: context deadline exceeded", INCOMPLETE)],
)
def test_another_number_of_keys_is_wrong_and_one_that_could_not_be_counted_is_not(keys, expected):
    assert found(keys=keys) == expected


def test_an_old_member_that_answers_is_wrong():
    assert found(alive={"http://10.0.0.9:2379": "c0"}) == WRONG
    assert found(alive={"http://10.0.0.9:2379": "c1"}) == PROVEN


def test_hashes_that_can_never_be_compared_are_wrong_and_a_compaction_in_between_is_not():
    never = view_of({**SEEN, "hashes_equal": None})
    assert cannot_agree(never, judge(OF, never, 7))
    silent = replace(never, members=[replace(never.members[0], hash=None), *never.members[1:]])
    assert not cannot_agree(silent, judge(OF, silent, 7)), "a member that told no hash in time says nothing"
    assert found(lambda seen: seen.update(hashes_equal=None), looks=2) == INCOMPLETE
    assert found(lambda seen: seen.update(hashes_equal=None), looks=3) == WRONG


TOGETHER = [
    ([PROVEN, PROVEN, PROVEN], INCOMPLETE),  # all proven, and something else failed
    ([PROVEN, None, NOTHING_SERVES], INCOMPLETE),  # one cannot be reached, one cannot ask
    ([INCOMPLETE, INCOMPLETE, NOTHING_SERVES], INCOMPLETE),
    ([INCOMPLETE, PROVEN, WRONG], WRONG),
    ([NOTHING_SERVES, NOTHING_SERVES, None], NOTHING_SERVES),
    ([None, None, None], NOTHING_SERVES),  # a phase failed before any member was started
]


@pytest.mark.parametrize(("verdicts", "expected"), TOGETHER)
def test_all_hosts_come_to_one_verdict(verdicts, expected):
    results = {f"host{n}": {"verdict": one} if one else {} for n, one in enumerate(verdicts)}
    assert together(results) == expected
    assert together(results, settled=True) == INCOMPLETE, "who has served for long is only taken back by the operator"


class Ears:
    def __init__(self, monkeypatch):
        self.now, self.open = 0.0, set()
        monkeypatch.setattr(verdict.time, "monotonic", lambda: self.now)
        self.coming = Coming(urls_by_name("m1=http://a:1,m2=http://b:1,m3=http://c:1"), lambda url: url in self.open)

    def over(self, after, *absent):
        self.now += after
        return self.coming.is_over(OF, list(absent))


def test_who_never_listens_is_not_waited_for(monkeypatch):
    ears = Ears(monkeypatch)
    assert not ears.over(0, "m2") and not ears.over(29, "m2")
    assert ears.over(2, "m2")


def test_who_reads_its_data_listens_already_and_is_waited_for(monkeypatch):
    ears = Ears(monkeypatch)
    ears.open = {"http://b:1"}
    assert not any(ears.over(29, "m2") for _look in range(4))
    ears.open = set()
    assert not ears.over(1, "m2") and not ears.over(29, "m2") and ears.over(1, "m2")


def test_a_quorum_that_cannot_come_is_not_waited_for(monkeypatch):
    ears = Ears(monkeypatch)
    ears.open = {"http://a:1"}
    assert not ears.over(0, "m1", "m2", "m3") and ears.over(31, "m1", "m2", "m3")
    assert not Ears(monkeypatch).over(99), "nobody is absent"


SERVED = [
    Entry("started", "2026-11-24T03:00:00.000000Z"),
    Entry("serving", "2026-11-24T03:00:01.000000Z"),
]


def test_after_a_rollback_it_is_said_what_clients_have_seen_and_what_to_restart():
    back = [Entry("rolling_back", "2026-11-24T03:00:09.000000Z")]
    assert aftermath([SERVED[0], *back]) == "", "nobody can have written anything"
    asked = aftermath([*SERVED, *back])
    assert asked.startswith("CLIENTS MAY HAVE WRITTEN to the restored cluster from 03:00:01 UTC to 03:00:09 UTC; ")
    assert "every kube-apiserver first, then kube-controller-manager" in asked
    wrong = aftermath([*SERVED, Entry("wrong", "2026-11-24T03:00:05.000000Z"), *back])
    assert wrong.startswith("CLIENTS MAY HAVE SEEN AND WRITTEN THE WRONG DATA from 03:00:01 UTC to 03:00:09 UTC; ")
