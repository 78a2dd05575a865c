# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a client has seen to the numbers of a drill: known samples, known numbers."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.members.measured import Seen, Write, measured

VOTERS = ("m1", "m2", "m3")


def writes(outage=None, away="", back=8.0, until=10.0, lost=()):
    """One each 0.1 s through each voter in turn, acknowledged after 20 ms; none in the ``outage``, and none through ``away``
    from 2 s until it is ``back``. The fault's key is revision 1000: the writes before 2 s have lower ones."""
    found = []
    for turn in range(int(until * 10)):
        start, name = round(turn * 0.1, 3), VOTERS[turn % 3]
        failed = (
            (name == away and 2.0 <= start < back) or bool(outage and outage[0] <= start < outage[1]) or turn in lost
        )
        revision = 0 if failed else turn + 100 + (1000 if start >= 2.0 else 0)
        found.append(Write(name, start, round(start + (1.0 if failed else 0.02), 3), revision))
    return found


def seen(*said, others=("m2", "m3")):
    """``said``: (moment, leaders of the others, term)."""
    return [
        Seen(at, at + 0.02, dict(zip(others, ((leader, term) for leader in leaders)))) for at, leaders, term in said
    ]


LED = seen(
    (0.0, ["m1", "m1"], 4),
    (1.0, ["m1", "m1"], 4),
    (2.5, ["m1", "m1"], 4),
    (3.2, ["", "m1"], 4),
    (3.4, ["m2", ""], 5),
    (3.5, ["m2", "m2"], 5),
)


def test_the_leader_fails():
    numbers = measured(writes(outage=(2.0, 3.4), away="m1"), LED, "m1", 1000, 0.1)
    assert numbers.fault == 1.9 and numbers.grain == 0.3
    assert (numbers.leader_before, numbers.term_before, numbers.leader_after, numbers.term_after) == ("m1", 4, "m2", 5)
    assert numbers.detection == 1.32  # 3.22: one of them has no leader
    assert numbers.election == 1.62  # 3.52: both follow m2
    assert numbers.recovery == 1.52 and numbers.gap == 1.5 and numbers.gap_start == 0.02  # 3.42, after 1.92
    assert numbers.writes == 100 and numbers.acknowledged + numbers.away + numbers.others == 100
    assert numbers.others == 9 and numbers.later == 0
    assert 0 < numbers.later_gap <= 0.3


def test_a_follower_fails_and_nobody_notices():
    still = seen((0.0, ["m1", "m1"], 4), (3.0, ["m1", "m1"], 4), (9.0, ["m1", "m1"], 4), others=("m1", "m3"))
    numbers = measured(writes(away="m2"), still, "m2", 1000, 0.1)
    assert numbers.detection is None and numbers.election is None and numbers.leader_after == "m1"
    assert numbers.gap <= numbers.grain and numbers.recovery <= 0.5
    assert numbers.away == 20 and numbers.others == 0 == numbers.later


def test_writes_that_stop_again_later_are_told_apart():
    numbers = measured(writes(outage=(2.0, 3.4), away="m1", lost=range(60, 75)), LED, "m1", 1000, 0.1)
    assert numbers.recovery == 1.52 and numbers.later == 10 and 1.5 <= numbers.later_gap <= 1.7


def test_writes_that_never_come_back_are_no_recovery():
    numbers = measured(writes(outage=(2.0, 99.0), away="m1"), LED, "m1", 1000, 0.1)
    assert numbers.recovery is None and numbers.gap == 0.0 and numbers.later_gap > 8


def test_an_election_that_not_all_have_seen_is_none():
    half = seen((0.0, ["m1", "m1"], 4), (3.0, ["m2", ""], 5)) + [Seen(3.5, 3.52, {"m2": ("m2", 5)})]
    numbers = measured(writes(outage=(2.0, 3.4), away="m1"), half, "m1", 1000, 0.1)
    assert numbers.detection == 1.12 and numbers.election is None and numbers.recovery == 1.52


def test_who_cannot_be_asked_leaves_the_writes():
    numbers = measured(writes(outage=(2.0, 3.4), away="m1"), [Seen(0.0, 0.1, {})], "m1", 1000, 0.1)
    assert numbers.leader_before == "" and numbers.detection is None and numbers.election is None
    assert numbers.recovery is not None


def test_without_a_write_before_there_is_nothing_to_tell():
    assert measured([Write("m1", 0.0, 0.1, 0)], [], "m1", 1000, 0.1) is None
    assert measured(writes()[20:], [], "m1", 1000, 0.1) is None
