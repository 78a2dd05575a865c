# SPDX-License-Identifier: GPL-3.0-or-later
"""How the clusters of a run are, in words: each host is named with why, and a monitor is told in one sentence."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.report.status import (
    Seen,
    hazards,
    nothing_runs,
    problem,
    status_in_words,
    unseen,
)

CLUSTERS = {"b1": "blue", "b2": "blue"}
LOOK = {"member": {}}
UNREACHABLE = {"unreachable": True, "msg": "ssh: connect to host b2:\n  Connection refused"}


def view(health="healthy", **more):
    return {"cluster": {"health": health}, "text": [f"it is {health}"], **more}


def seen(look_2=None, view_1=None):
    return {
        "b1": Seen(LOOK, view() if view_1 is None else view_1, {"text": ["newest backup is x"]}),
        "b2": Seen(LOOK if look_2 is None else look_2, {}, {}),
    }


def test_all_is_well():
    assert problem(CLUSTERS, seen()) == ""
    assert status_in_words(CLUSTERS, seen()) == ["it is healthy", "  b1: newest backup is x"]


def test_a_host_that_cannot_be_reached_is_named_with_why():
    why = "cannot be reached: ssh: connect to host b2: Connection refused"
    assert unseen(CLUSTERS, seen(UNREACHABLE)) == {"b2": why}
    assert problem(CLUSTERS, seen(UNREACHABLE)) == f"cluster blue is not well: b2 {why}"
    assert f"  b2: {why}" in status_in_words(CLUSTERS, seen(UNREACHABLE))
    failed = {"failed": True, "msg": "Incorrect sudo password"}
    assert problem(CLUSTERS, seen(failed)).endswith("b2 could not be looked at: Incorrect sudo password")


def test_where_nobody_answers_every_host_is_named():
    nobody = {host: Seen(UNREACHABLE, {}, {}) for host in CLUSTERS}
    assert status_in_words(CLUSTERS, nobody) != []
    assert all(word in problem(CLUSTERS, nobody) for word in ("it could not be asked", "b1 cannot", "b2 cannot"))


@pytest.mark.parametrize("health", ["degraded", "no quorum", "unreachable", "split"])
def test_what_is_not_healthy_is_a_problem(health):
    assert problem(CLUSTERS, seen(view_1=view(health))) == f"cluster blue is not well: it is {health}"


def test_members_that_run_and_cannot_be_asked_are_a_problem():
    assert problem(CLUSTERS, seen(view_1=view("cannot be asked"))) == "cluster blue is not well: it cannot be asked"


def test_why_the_cluster_could_not_be_asked_is_told():
    assert problem(CLUSTERS, seen(view_1={"failed": True, "msg": "no etcdctl"})).endswith(
        "could not be asked: no etcdctl"
    )


def test_a_host_that_was_left_out_on_purpose_is_said_and_no_problem():
    only = {"b1": seen()["b1"]}
    assert problem(CLUSTERS, only) == ""
    assert "  b2: is not part of this run (--limit)" in status_in_words(CLUSTERS, only)


def test_several_clusters_are_told_apart():
    clusters = {**CLUSTERS, "g1": "green"}
    both = {**seen(), "g1": Seen(LOOK, view("no quorum"), {})}
    assert problem(clusters, both) == "cluster green is not well: it is no quorum"
    assert [line for line in status_in_words(clusters, both) if line.startswith("Cluster")] == [
        "Cluster blue",
        "Cluster green",
    ]


RUNS, STOPPED = (
    {"member": {"running": True}},
    {"member": {"running": False}, "view": {"endpoints": [{"state": "down"}]}},
)
HANGS = {"member": {"running": False}, "view": {"endpoints": [{"state": "unaskable"}]}}


@pytest.mark.parametrize("look", [RUNS, HANGS])
@pytest.mark.parametrize("other", [RUNS, STOPPED, UNREACHABLE])
def test_one_member_that_runs_is_enough_to_try(look, other):
    assert nothing_runs(CLUSTERS, {"b1": Seen(look, {}, {}), "b2": Seen(other, {}, {})}) == {}


def test_only_where_all_were_looked_at_and_none_runs_a_restore_is_advised():
    told = nothing_runs(CLUSTERS, {host: Seen(STOPPED, {}, {}) for host in CLUSTERS})
    assert told["blue"].startswith("No member of cluster blue runs") and "restore.yml" in told["blue"]


@pytest.mark.parametrize("first", [UNREACHABLE, STOPPED])
def test_who_could_not_be_looked_at_is_named_with_why_and_nobody_is_told_to_restore(first):
    told = nothing_runs(CLUSTERS, {"b1": Seen(first, {}, {}), "b2": Seen(UNREACHABLE, {}, {})})["blue"]
    assert "b2 cannot be reached: ssh: connect to host b2: Connection refused" in told
    assert ("b1 cannot be reached" in told) == (first is UNREACHABLE)
    assert ("no member runs on b1" in told) == (first is STOPPED)
    assert "restore" not in told and "make these hosts reachable" in told


def test_a_host_that_limit_left_out_is_named():
    told = nothing_runs(CLUSTERS, {"b1": Seen(STOPPED, {}, {})})["blue"]
    assert "b2 is not part of this run (--limit)" in told


def test_the_hazards_of_the_versions_that_run_are_named_and_are_no_problem():
    members = [{"name": name, "version": "3.6.3"} for name in ("m2", "m1")] + [{"name": "m3", "version": "3.6.16"}]
    told = {"cluster": {"health": "healthy", "members": members}, "text": ["it is healthy"]}
    both = {**seen(), "b1": Seen(LOOK, told, {})}
    lines = status_in_words(CLUSTERS, both)
    assert lines[0] == "it is healthy" and problem(CLUSTERS, both) == ""
    (line,) = [line for line in lines if "#20387" in line]
    assert line.startswith("  HAZARD  m1, m2: for a promotion: etcd 3.6.3 does not start")
    assert line.endswith("Upgrade to 3.6.4 or later, which cures it.") and "m3" not in line
    assert "start-replays-promotion" in [one["id"] for one in hazards(CLUSTERS, both)["blue"]]
    assert hazards(CLUSTERS, {"b1": Seen(UNREACHABLE, {}, {})}) == {"blue": []}


def test_the_mirrors_of_a_host_are_told_and_one_that_is_not_well_is_a_problem():
    well = {"mirror": "dr", "state": "ok", "why": "nothing behind"}
    told = {"mirrors": [well], "text": ["mirror dr: OK (nothing behind)"]}
    hosts = {**seen(), "b2": Seen(LOOK, {}, {}, told)}
    assert "  b2: mirror dr: OK (nothing behind)" in status_in_words(CLUSTERS, hosts) and problem(CLUSTERS, hosts) == ""
    told["mirrors"] = [{**well, "state": "silent", "why": "no engine runs"}]
    assert problem(CLUSTERS, hosts) == "cluster blue is not well: the mirror dr of b2 is silent: no engine runs"
    broken = {**hosts, "b2": Seen(LOOK, {}, {}, {"failed": True, "msg": "no root"})}
    assert problem(CLUSTERS, broken).endswith("the mirrors of b2 could not be looked at: no root")


def test_the_mirrors_of_hosts_that_are_no_part_of_the_play_are_told_too():
    well = {"mirror": "dr", "state": "ok", "why": "nothing behind"}
    told = {"mirrors": [well], "text": ["mirror dr: OK (nothing behind)"]}
    engines = {"d1": told, "d2": {"mirrors": [], "text": []}}
    words = ["Mirrors, by the hosts of their engines", "  d1: mirror dr: OK (nothing behind)"]
    assert status_in_words(CLUSTERS, seen(), engines) == [*status_in_words(CLUSTERS, seen()), *words]
    assert problem(CLUSTERS, seen(), engines) == ""
    told["mirrors"] = [{**well, "state": "silent", "why": "no engine runs"}]
    assert problem(CLUSTERS, seen(), engines) == "the mirror dr of d1 is silent: no engine runs"
    assert status_in_words(CLUSTERS, seen(), {"d2": engines["d2"]}) == status_in_words(CLUSTERS, seen())
    lost = {"d1": UNREACHABLE}
    assert "  d1: the mirrors could not be looked at" in status_in_words(CLUSTERS, seen(), lost)
    assert problem(CLUSTERS, seen(), lost).startswith("the mirrors of d1 could not be looked at: ssh: connect to host")


@pytest.mark.parametrize("state", ["failed", "too old", "not proven"])
def test_the_backups_of_an_agent_that_are_not_well_are_a_problem(state):
    told = {"agent": {"state": state, "why": "see whether its timer runs."}, "text": []}
    hosts = {**seen(), "b2": Seen(LOOK, {}, told)}
    assert (
        problem(CLUSTERS, hosts) == f"cluster blue is not well: the backups of b2: {state}: see whether its timer runs"
    )
    for well in (None, {"state": "ok", "why": "saved, 5 min ago"}):
        told["agent"] = well  # a host without an agent, or one whose turn it is not
        assert problem(CLUSTERS, hosts) == ""
