# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which a membership changes: a pure function, held against every small cluster that there can be."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.members.sequence import (
    DONE,
    PROMOTE,
    REMOVE,
    Action,
    Change,
    Seat,
    after_action,
    next_action,
    objection,
    quorum_of,
    sequence,
)

GATE = 1000


def seat(number, **changes):
    return replace(Seat(f"a{number}", f"m{number}", (f"http://10.0.0.{number}:2380",)), **changes)


def cluster(count, dead=(), leader=1):
    return [seat(number, healthy=number not in dead, leads=number == leader) for number in range(1, count + 1)]


def comes(number, goes=0, first=False):
    gone = {"goes": f"a{goes}", "goes_name": f"m{goes}", "goes_first": first} if goes else {}
    return Change(f"h{number}", comes=f"m{number}", peer_urls=[f"http://10.0.0.{number}:2380"], **gone)


def leaves(number):
    return Change("h1", goes=f"a{number}", goes_name=f"m{number}", goes_first=True)


def told(number):
    return replace(leaves(number), told=True)


def kinds(seats, changes):
    return [step.action.kind for step in sequence(seats, changes, GATE)[0]]


JOIN = ["add", "start", "catch_up", "promote"]


@pytest.mark.parametrize(
    ("seats", "change", "expected"),
    [
        (cluster(3, dead=[3]), comes(3, goes=3, first=True), ["remove", *JOIN]),
        (cluster(3, dead=[3]), comes(4, goes=3, first=True), ["remove", *JOIN]),
        (cluster(3), comes(4, goes=2), [*JOIN, "remove"]),
        (cluster(3), comes(4, goes=1), [*JOIN, "hand_over", "remove"]),
        (cluster(3), comes(1, goes=1, first=True), ["hand_over", "remove", *JOIN]),
        (cluster(1), comes(2), JOIN),
        (cluster(5), leaves(5), ["remove"]),
        (cluster(5), leaves(1), ["hand_over", "remove"]),
    ],
)
def test_the_order(seats, change, expected):
    assert kinds(seats, [change]) == expected


def test_whatever_was_done_is_not_done_again():
    """Cut off after any action, the same question about the list as it is then goes on with the next one."""
    for first, (seats, change) in itertools.product(
        (True, False), [(cluster(3, dead=[3]), comes(3, goes=3)), (cluster(3), comes(4, goes=1))]
    ):
        change = replace(change, goes_first=first or change.comes == "m3")
        whole, left = kinds(seats, [change]), list(seats)
        for number, kind in enumerate(whole):
            action = next_action(left, change, GATE)
            assert action.kind == kind
            left = after_action(left, action, change)
            assert kinds(left, [change]) == whole[number + 1 :]
        assert next_action(left, change, GATE).kind == DONE


def test_an_arrival_is_judged_by_what_it_lacks():
    learner = seat(4, learner=True, lag=GATE + 1)
    assert next_action([*cluster(3), learner], comes(4), GATE).kind == "catch_up"
    assert next_action([*cluster(3), replace(learner, lag=None)], comes(4), GATE).kind == "catch_up"
    assert next_action([*cluster(3), replace(learner, lag=GATE)], comes(4), GATE).kind == "promote"
    assert next_action([*cluster(3), seat(4, healthy=False)], comes(4), GATE).kind == "recover"


def test_the_heir_is_the_healthy_voter_that_lacks_least():
    seats = [seat(1, leads=True), seat(2, lag=5), seat(3, lag=2), seat(4, lag=0, learner=True), seat(5, healthy=False)]
    action = next_action(seats, leaves(1), GATE)
    assert (action.kind, action.seat.name) == ("hand_over", "m3")


@pytest.mark.parametrize(
    ("seats", "changes", "why"),
    [
        (cluster(3, dead=[3]), [told(2)], "3 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 2, quorum 2."),
        (cluster(2), [comes(2, goes=2, first=True)], "2 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 1"),
        (cluster(1), [told(1)], "removing m1 leaves 0 of 0"),
        (cluster(5, dead=[4, 5]), [comes(6, goes=1, first=True)], "5 voters, 3 healthy, quorum 3: removing m1 leaves 2 of 4"),
        ([*cluster(3), seat(4, learner=True)], [comes(5)], "m4 was added, and is no voter yet; nobody else can be added"),
        ([*cluster(3), seat(4, started=False, healthy=False)], [comes(5)], "m4 was added, and is no voter yet"),
    ],
)  # fmt: skip
def test_a_step_that_would_cost_the_quorum_or_be_refused_is_not_planned(seats, changes, why):
    with pytest.raises(EtcdError) as refused:
        sequence(seats, changes, GATE)
    assert why in refused.value.message


def test_two_become_one_only_where_that_is_asked_for():
    assert kinds(cluster(2), [told(2)]) == ["remove"]
    with pytest.raises(EtcdError, match="which none can replace"):
        sequence(cluster(2), [leaves(2)], GATE)


def test_no_plan_ever_passes_a_cluster_without_a_quorum():
    """Of every cluster of up to seven with any of its members dead, and any one change: the quorum holds after each step."""
    planned = refused = 0
    for count in range(1, 8):
        for dead in itertools.chain.from_iterable(itertools.combinations(range(1, count + 1), n) for n in range(count)):
            leader = next(number for number in range(1, count + 1) if number not in dead)
            seats = cluster(count, dead, leader)
            if not quorum_of(seats).held:
                continue
            for change in [
                comes(9),
                *(comes(9, n, n in dead) for n in range(1, count + 1)),
                *map(told, range(1, count + 1)),
            ]:
                try:
                    steps, last = sequence(seats, [change], GATE)
                except EtcdError:
                    refused += 1
                    continue
                planned += 1
                assert all(step.before.held and step.after.held for step in steps)
                # Nobody is removed for a newcomer's sake before the newcomer votes, unless it was dead.
                if change.comes and not change.goes_first and change.goes:
                    order = [step.action.kind for step in steps]
                    assert order.index(REMOVE) > order.index(PROMOTE)
                assert not any(change.goes and one.id == change.goes for one in last)
    assert planned > 500 and refused > 50, (planned, refused)


def test_several_changes_follow_each_other():
    steps, last = sequence(cluster(1), [comes(2), comes(3)], GATE)
    assert [(step.number, step.action.kind) for step in steps] == [(n, kind) for n in (0, 1) for kind in JOIN]
    assert [one.name for one in last] == ["m1", "m2", "m3"] and quorum_of(last).may_fail == 1


def test_a_learner_takes_no_vote_from_anybody():
    seats = [*cluster(3, dead=[3]), seat(4, learner=True)]
    assert objection(seats, Action(REMOVE, seats[-1])) == ""
    assert quorum_of(seats) == (3, 2)
