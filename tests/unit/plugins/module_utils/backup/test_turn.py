# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn a backup is: one of all agents that see the same cluster, whatever happened to the others' members."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.turn import in_turn, own_id, strays, turn
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of

URLS = {"m1": "http://a:2379", "m2": "http://b:2379", "m3": "http://c:2379"}
IDS = {"m1": "c1", "m2": "a2", "m3": "b3"}


def cluster(leader="m1", down=(), sick=(), learners=()):
    members = [
        {
            "id": IDS[name],
            "name": name,
            "endpoint": url,
            "version": "" if name in down else "3.6.16",
            "healthy": name not in (*down, *sick),
            "is_learner": name in learners,
            "is_leader": name == leader,
        }
        for name, url in URLS.items()
    ]
    endpoints = [{"endpoint": url, "member_id": "" if name in down else IDS[name]} for name, url in URLS.items()]
    return view_of({"members": members, "endpoints": endpoints, "summary": "It is said.", "next_steps": []})


def those_whose_turn_it_is(view):
    return [name for name, url in URLS.items() if turn(view, [url]).mine]


def test_the_follower_with_the_lowest_id_has_the_turn():
    assert those_whose_turn_it_is(cluster()) == ["m2"]
    found = turn(cluster(), [URLS["m2"]])
    assert found.endpoint == URLS["m2"] and found.why == "it is the turn of m2, the member of this host"
    assert turn(cluster(), [URLS["m3"]]).why == "it is the turn of m2, at http://b:2379"


def test_it_is_never_two_and_only_where_nobody_answers_none():
    names = list(URLS)
    groups = [group for size in range(4) for group in itertools.combinations(names, size)]
    for leader, down, sick, learners in itertools.product(names, groups, groups, groups[:4]):
        view = cluster(leader, down, sick, learners)
        if set(down) | set(learners) == set(names):
            with pytest.raises(EtcdError, match="no member answers that a snapshot could be taken from: It is said"):
                turn(view, [URLS["m1"]])
        else:
            (chosen,) = those_whose_turn_it_is(view)
            assert chosen not in down and chosen not in learners


def test_the_next_takes_over_where_the_first_is_down_or_sick():
    assert those_whose_turn_it_is(cluster(down=["m2"])) == ["m3"]
    assert those_whose_turn_it_is(cluster(sick=["m2"])) == ["m3"]


def test_the_leader_is_spared_as_long_as_there_is_another():
    assert [member.name for member in in_turn(cluster("m2"))] == ["m3", "m1", "m2"]
    assert those_whose_turn_it_is(cluster("m2", down=["m1", "m3"])) == ["m2"]


def test_without_a_quorum_whoever_answers_saves_what_is_there():
    assert those_whose_turn_it_is(cluster("", down=["m1", "m2"], sick=["m3"])) == ["m3"]


def test_a_host_whose_member_does_not_answer_has_no_turn():
    assert own_id(cluster(down=["m1"]), [URLS["m1"]]) == ""
    assert own_id(cluster(), ["http://elsewhere:2379", URLS["m1"]]) == "c1"
    assert not turn(cluster(), []).mine


def split(answering, has_quorum=True):
    """Endpoints of members that answer, by name: the ID of the cluster that each is of; ``cc`` is seen as the cluster."""
    endpoints = [{"endpoint": URLS[name], "member_id": IDS[name], "cluster_id": of} for name, of in answering.items()]
    return view_of(
        {"cluster_id": "cc", "endpoints": endpoints, "has_quorum": has_quorum, "summary": "Of 2.", "next_steps": []}
    )


def test_a_member_that_has_founded_a_cluster_of_its_own_is_told_and_keeps_nobody_from_a_backup():
    (told,) = strays(split({"m1": "cc", "m2": "dd", "m3": "cc"}))
    assert told.startswith("at http://b:2379 another cluster answers (dd), which is not in this backup: ")
    assert "member_replace.yml brings it back" in told
    assert strays(split({"m1": "cc", "m2": "cc", "m3": "cc"})) == strays(split({"m1": "cc", "m2": ""})) == ()


@pytest.mark.parametrize(
    "view",
    [
        split({"m1": "cc", "m2": "dd"}),
        split({"m1": "cc", "m2": "dd", "m3": "ee"}),
        split({"m1": "cc", "m2": "dd", "m3": "cc"}, has_quorum=False),
    ],
    ids=["as many of each", "each of its own", "without a quorum"],
)
def test_it_is_refused_where_it_is_not_plain_which_of_several_clusters_is_meant(view):
    with pytest.raises(EtcdError, match="Of 2") as refused:
        strays(view)
    assert "stop what is none of this cluster" in refused.value.next_step
