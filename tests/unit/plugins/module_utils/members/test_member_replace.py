# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of the members, and the plan of it: from the live member list, and with every reason to refuse."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.members.member_replace import MEMBER_REPLACE, OPTIONS, WORDS
from ansible_collections.quorum.etcd.plugins.module_utils.members.parts import OfReplace, ReplacePart
from ansible_collections.quorum.etcd.plugins.module_utils.report.data import Given, build
from ansible_collections.quorum.etcd.plugins.module_utils.report.page import render
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import data, service
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import member as told_member

NOW = "2026-11-24T03:15:00Z"
DEFAULTS = {name: spec["default"] for name, spec in OPTIONS.items()}
STOPPED = {"running": False, "pid": None, "service": service(state="stopped")}

OLD = told_member(3, "3.4.23")["tools"]


def seat(number, **changes):
    return {
        "id": f"a{number}",
        "name": f"m{number}",
        "state": "serves",
        "errors": [],
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "endpoint": f"http://10.0.0.{number}:2379",
        "healthy": True,
        "has_leader": True,
        "is_leader": number == 1,
        "version": "3.5.35",
        "raft_index": 9000,
        "raft_applied_index": 9000,
        **changes,
    }


DEAD = {"healthy": False, "state": "down", "version": "", "raft_index": 0, "raft_applied_index": 0}
DEAD_AND_STARTED_NEVER = {**DEAD, "started": False, "name": ""}


def view(*seats, **changes):
    return {
        "cluster_id": "c0ffee",
        "cluster_ids": ["c0ffee"],
        "members": list(seats),
        "members_complete": True,
        "endpoints": [],
        "leader": "a1",
        "leader_name": "m1",
        "has_quorum": True,
        "quorum_unknown": False,
        **changes,
    }


def plan(seats, hosts=(), unreachable=(), changed=None, seen=None, sees=None, **asked):
    """``hosts``: numbers of those that answer; ``changed``: what is otherwise with their members, by number. ``seen``: what is
    otherwise with their view, and ``sees`` with that of one, by number."""
    seen = view(*seats, **(seen or {}))
    told = {
        f"h{number}": {
            "cluster": "etcd",
            "why": "",
            "view": {**seen, **(sees or {}).get(number, {})},
            "member": {**told_member(number), **(changed or {}).get(number, {})},
        }
        for number in hosts or range(1, 4)
    }
    told.update({f"h{number}": {"cluster": "etcd", "why": "did not answer"} for number in unreachable})
    return MEMBER_REPLACE.plan(told, Asked({**DEFAULTS, **asked}, NOW))


def changes_of(plan):
    return [
        (change.host, change.goes_name, change.comes)
        for change in from_plain(OfReplace, plan["clusters"]["etcd"]).changes
    ]


def refusals(plan):
    assert plan["refusals"] and plan["hosts"] == {}
    assert all(one["next_step"] for one in plan["refusals"])
    return " ".join(one["cause"] for one in plan["refusals"])


LOST = [seat(1), seat(2), seat(3, **DEAD)]
WELL = [seat(1), seat(2), seat(3)]


def test_a_lost_disk_is_replaced_on_its_own_host():
    made = plan(LOST, dead=["m3"], changed={3: STOPPED})
    assert changes_of(made) == [("h3", "m3", "m3")] and made["refusals"] == []
    assert made["phases"] == ["claim", "change", "retire", "settle", "prove"]
    own = from_plain(ReplacePart, made["hosts"]["h3"])
    assert [folder.live for folder in own.folders] == ["/var/lib/etcd"] and own.owner.user == "etcd"
    assert own.config[0].after == {
        "initial-cluster-state": "existing",
        "initial-cluster": "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380",
    }
    assert not made["hosts"]["h1"]["folders"] and [one["reports"] for one in made["hosts"].values()] == [
        True,
        False,
        False,
    ]
    text = " ".join(" ".join(MEMBER_REPLACE.plan_in_words(made)).split())
    assert "because m3 is dead" in text and "/var/lib/etcd, as far as there is data, -> /var/lib/etcd.before-" in text
    assert "changes the members of cluster etcd" in confirmation(made, WORDS, "")


def quorum(healthy, voters, size, spare):
    return f"{healthy} of {voters} voters, {size} needed, {spare} may fail"


TWO, THREE, FOUR = quorum(2, 2, 2, "none"), quorum(3, 3, 2, 1), quorum(4, 4, 3, 1)


def test_the_plan_shows_every_step_with_the_quorum_before_and_after_it():
    """A dead member goes before its successor comes; the leader leaves after its own has, and hands over first."""
    made = plan(LOST, hosts=(1, 2, 3, 4), changed={3: STOPPED, 4: STOPPED}, dead=["m3"], move={"m1": "h4"})
    lines = [" ".join(line.split()) for line in MEMBER_REPLACE.plan_in_words(made)]
    assert [line for line in lines if line.partition(".")[0].isdigit()] == [
        f"1. remove m3, which is dead {quorum(2, 3, 2, 'none')} -> {TWO}",
        f"2. add m3 as a learner, at http://10.0.0.3:2380 {TWO} -> {TWO}",
        f"3. h3: move old data aside, write 'existing' and the members, start m3 {TWO} -> {TWO}",
        f"4. wait until m3 has caught up {TWO} -> {TWO}",
        f"5. promote m3 to a voter {TWO} -> {THREE}",
        f"6. add m4 as a learner, at http://10.0.0.4:2380 {THREE} -> {THREE}",
        f"7. h4: move old data aside, write 'existing' and the members, start m4 {THREE} -> {THREE}",
        f"8. wait until m4 has caught up {THREE} -> {THREE}",
        f"9. promote m4 to a voter {THREE} -> {FOUR}",
        f"10. m1 hands the leadership over to m2 {FOUR} -> {FOUR}",
        f"11. remove m1 {FOUR} -> {THREE}",
    ]


@pytest.mark.parametrize("word", ["m3", "a3", "http://10.0.0.3:2380"])
def test_a_host_that_does_not_answer_is_left_alone_and_a_free_one_takes_its_place(word):
    made = plan(LOST, hosts=(1, 2, 4), unreachable=(3,), changed={4: STOPPED}, dead=[word])
    assert changes_of(made) == [("h4", "m3", "m4")] and "h3" not in made["hosts"]
    assert "h3" in str(made["warnings"])


GUESSED = {"members_complete": False, "members": [{**one, "name": "", "peer_urls": []} for one in LOST]}


def test_nothing_is_planned_by_a_list_that_is_not_whole():
    """Where no list was had, the members are guessed: nobody has a name, and every host seems to be free."""
    asked = {"hosts": (1, 2, 3, 4), "changed": {3: STOPPED, 4: STOPPED}, "dead": ["m3"]}
    assert "the cluster did not tell its members" in refusals(plan(LOST, seen=GUESSED, **asked))
    assert changes_of(plan(LOST, sees={1: GUESSED, 2: GUESSED}, **asked)) == [("h3", "m3", "m3")]


def test_who_takes_the_place_can_be_named():
    made = plan(LOST, hosts=(1, 2, 4, 5), changed={4: STOPPED, 5: STOPPED}, dead=["m3"], by=["h5"])
    assert changes_of(made) == [("h5", "m3", "m5")] and "h4" not in made["hosts"]


def test_a_name_that_is_only_a_part_of_another_is_not_that_one():
    made = plan([seat(1), seat(2), seat(3, **DEAD, **{"name": "m33"})], dead=["m3"], hosts=(1, 2))
    assert made["clusters"]["etcd"]["mode"] == "nothing" and "has no member m3" in str(made["warnings"])


def test_who_serves_is_not_dead():
    made = plan(WELL, dead=["m3"])
    assert made["clusters"]["etcd"]["mode"] == "nothing" and "etcd_member_replace_rebuild=m3" in str(made["warnings"])
    made = plan(WELL, rebuild=["m3"])
    assert changes_of(made) == [("h3", "m3", "m3")]


def test_a_run_that_was_cut_off_after_the_removal_goes_on():
    made = plan([seat(1), seat(2)], dead=["m3"], changed={3: STOPPED})
    assert changes_of(made) == [("h3", "", "m3")]
    made = plan(
        [seat(1), seat(2), seat(9, **DEAD_AND_STARTED_NEVER, **{"peer_urls": ["http://10.0.0.3:2380"]})], dead=["m3"]
    )
    assert changes_of(made) == [("h3", "", "m3")]
    learner = seat(9, name="m3", is_learner=True, peer_urls=["http://10.0.0.3:2380"])
    assert changes_of(plan([seat(1), seat(2), learner], dead=["m3"])) == [("h3", "", "m3")]
    for ours in (newest({"a9": 5}), cut_off(told_to("h3", comes="m3"))):
        changed = {3: {"newest_job": ours}}
        assert changes_of(plan([seat(1), seat(2), learner], changed=changed)) == [("h3", "", "m3")], "nothing is named"


def at(number, cluster_id):
    """What an endpoint has answered."""
    return {
        "endpoint": f"http://10.0.0.{number}:2379",
        "state": "serves",
        "error": "",
        "refusal": "",
        "next_step": "",
        "member_id": f"a{number}",
        "cluster_id": cluster_id,
        "ok": True,
    }


def test_who_has_founded_a_cluster_of_its_own_is_replaced_only_where_it_is_named():
    """As the first member of kubeadm's does when its data is lost: its manifest says ``new``, of itself alone."""
    split = {"cluster_ids": ["bad", "c0ffee"], "endpoints": [at(1, "c0ffee"), at(2, "c0ffee"), at(3, "bad")]}
    for asked in ({}, {"dead": ["m2"]}, {"remove": ["m3"]}):
        assert "several clusters answer: bad, c0ffee" in refusals(plan(LOST, seen=split, **asked))
    made = plan(LOST, seen=split, dead=["m3"])
    assert changes_of(made) == [("h3", "m3", "m3")]
    assert "at http://10.0.0.3:2379 another cluster answers (bad)" in str(made["warnings"])
    two = {**split, "endpoints": [at(1, "c0ffee"), at(2, "bad"), at(3, "bad")]}
    assert "several clusters answer" in refusals(plan(LOST, seen=two, dead=["m3"]))


def test_what_runs_on_a_host_makes_way_only_where_its_member_is_called_dead():
    """A member that was removed, and that systemd or the kubelet starts again and again."""
    stranger = {4: {"running": True, "pid": 77}}
    hosts = [1, 2, 4]
    assert changes_of(plan([seat(1), seat(2)], hosts=hosts, changed=stranger, dead=["m4"])) == [("h4", "", "m4")]
    assert "etcd runs here (process 77) and is no member" in refusals(
        plan([seat(1), seat(2)], hosts=hosts, changed=stranger, add=["h4"])
    )
    assert "etcd runs here (process 77) and is no member" in refusals(
        plan([seat(1), seat(2)], hosts=hosts, changed=stranger, dead=["m9"], by=["h4"])
    )


def test_the_order_is_by_health_and_by_zones():
    seats = [seat(1), seat(2), seat(3), seat(4), seat(5, **DEAD)]
    moves = {"m1": "h11", "m2": "h12", "m3": "h13", "m4": "h14"}
    made = plan(
        seats,
        hosts=(*range(1, 5), *range(11, 16)),
        changed=dict.fromkeys(range(11, 16), STOPPED),
        move=moves,
        dead=["m5"],
        by=["h15"],
        zones={"h12": "a", "h13": "a", "h14": "b", "h11": "a", "h15": "b"},
    )
    assert [goes for _host, goes, _comes in changes_of(made)] == ["m5", "m2", "m4", "m3", "m1"], made["refusals"]


@pytest.mark.parametrize("version", ["3.4.43", "3.5.35"])
def test_of_several_all_that_are_dead_leave_before_the_first_one_comes(version):
    """Many versions add nobody, not even a learner, while any voter is down."""
    seats = [seat(number, version=version) for number in (1, 2, 3)] + [seat(4, **DEAD), seat(5, **DEAD)]
    tools = told_member(1, version)["tools"]
    changed = {number: {"tools": tools, **(STOPPED if number > 3 else {})} for number in range(1, 6)}
    made = plan(seats, hosts=range(1, 6), changed=changed, dead=["m4", "m5"])
    assert changes_of(made) == [("h1", "m4", ""), ("h1", "m5", ""), ("h4", "m4", "m4"), ("h5", "m5", "m5")]
    assert [step[0] for step in made["clusters"]["etcd"]["steps"]][:3] == [
        "remove m4, which is dead",
        "remove m5, which is dead",
        "add m4 as a learner, at http://10.0.0.4:2380",
    ]
    # Cut off after the first removal, and after both.
    job = cut_off(told_to("h4", "a4", "m4", "m4"), told_to("h5", "a5", "m5", "m5"))
    changed = {number: {**one, "newest_job": job} for number, one in changed.items()}
    made = plan([*seats[:3], seats[4]], hosts=range(1, 6), changed=changed, dead=["m4", "m5"])
    assert changes_of(made) == [("h5", "m5", "m5"), ("h4", "", "m4")]
    made = plan(seats[:3], hosts=range(1, 6), changed=changed, dead=["m4", "m5"])
    assert changes_of(made) == [("h4", "", "m4"), ("h5", "", "m5")]


@pytest.mark.parametrize("asked", [["m1", "m2"], ["a1", "http://10.0.0.2:2380"]])
def test_who_leaves_does_not_remove_others(asked):
    """Two hosts would be at it at once, and each would wait for the other's member, which is none any more."""
    seats = [seat(number) for number in range(1, 6)]
    made = plan(seats, hosts=range(1, 6), remove=asked)
    assert sorted(changes_of(made)) == [("h3", "m1", ""), ("h3", "m2", "")]
    made = plan(
        [*seats[:4], seat(5, **DEAD)], hosts=(1, 2, 3, 4, 5, 6), move={"m1": "h6"}, remove=["m5"], changed={6: STOPPED}
    )
    assert changes_of(made)[0] == ("h2", "m5", "")


def test_one_that_is_on_its_way_comes_before_the_place_of_one_that_died_since():
    """Of learners there is only one at a time."""
    seats = [seat(1), seat(2), seat(3), seat(5, **DEAD), LEARNER]
    changed = {**with_open(cut_off(told_to("h4", "a4", "m4", "m4")), 4), 5: STOPPED}
    made = plan(seats, hosts=range(1, 6), changed=changed, dead=["m4", "m5"])
    assert changes_of(made) == [("h1", "m5", ""), ("h4", "", "m4"), ("h5", "m5", "m5")]


def test_one_with_an_alarm_is_not_down():
    """etcd asks for a connection to each voter, which it has; and a version that refuses while one is down says nothing."""
    seats = [seat(1, version="3.5.20", healthy=False, errors=["NOSPACE"])]
    seats += [seat(number, version="3.5.20") for number in (2, 3, 4)] + [seat(5, **DEAD)]
    changed = {number: {"tools": told_member(1, "3.5.20")["tools"]} for number in range(1, 6)}
    changed[5].update(STOPPED)
    made = plan(seats, hosts=range(1, 6), changed=changed, dead=["m5"])
    assert changes_of(made) == [("h5", "m5", "m5")], made["refusals"]


def test_nobody_is_added_where_the_version_refuses_it_for_one_that_is_down_and_stays():
    def made(version, **asked):
        seats = [seat(number, version=version) for number in (1, 2, 3)] + [seat(4, **DEAD), seat(5, **DEAD)]
        changed = {number: {"tools": told_member(1, version)["tools"]} for number in range(1, 7)}
        changed.update({number: {**changed[number], **STOPPED} for number in (4, 5, 6)})
        return plan(seats, hosts=range(1, 7), changed=changed, **asked)

    refused = made("3.5.20", dead=["m4"])
    assert "m5 does not serve, and etcd 3.5.20 refuses to add a member" in refusals(refused)
    assert "3.5.30" in refused["refusals"][0]["next_step"]
    assert "m4, m5 does not serve" in refusals(made("3.5.20", add=["h6"]))
    assert changes_of(made("3.5.20", remove=["m4"])) == [("h1", "m4", "")], "nobody is added"
    assert changes_of(made("3.5.30", dead=["m4"])) == [("h4", "m4", "m4")]


def test_the_zone_of_a_removal_is_that_of_the_one_that_leaves():
    """And not that of the host that asks for it, which is the same for all."""
    zones = {"h2": "a", "h3": "a", "h4": "b", "h5": "b", "h1": "c"}
    seats, hosts = [seat(number) for number in range(1, 8)], range(1, 8)
    made = plan(seats, hosts=hosts, remove=["m2", "m3", "m4"], zones=zones)
    assert [goes for _host, goes, _comes in changes_of(made)] == ["m2", "m4", "m3"]
    asked = {"hosts": range(1, 11), "changed": dict.fromkeys((8, 9, 10), STOPPED)}
    made = plan(
        seats, move={"m2": "h8", "m3": "h9", "m4": "h10"}, zones={**zones, "h8": "c", "h9": "d", "h10": "c"}, **asked
    )
    assert [goes for _host, goes, _comes in changes_of(made)] == ["m2", "m4", "m3"], (
        "a move is of the place that it empties"
    )


def test_what_is_clear_is_proposed_and_what_is_only_down_is_not():
    lost = {**STOPPED, "data": data(has_member=False, empty=True)}
    assert changes_of(plan(LOST, changed={3: lost})) == [("h3", "m3", "m3")]
    assert changes_of(plan(LOST, hosts=(1, 2, 4), changed={4: STOPPED})) == [("h4", "m3", "m4")]
    assert "nothing tells whether it is lost" in refusals(plan(LOST, changed={3: STOPPED}))
    assert "nothing tells" in refusals(plan(LOST, hosts=(1, 2, 4), unreachable=(3,), changed={4: STOPPED}))
    assert plan(WELL)["clusters"]["etcd"]["mode"] == "nothing"


def newest(added):
    return {"job": "member_replace", "restore_id": "x", "step": "added", "open": True, "holder": "x", "added": added}


def test_what_was_left_behind_is_cleaned_up_only_if_it_is_ours_and_will_not_start():
    left = seat(9, **DEAD_AND_STARTED_NEVER, **{"peer_urls": ["http://10.0.0.9:2380"]})
    seats = [*LOST[:2], left]
    assert "was added and is no voter yet" in refusals(plan(seats, add=["h3"], changed={3: STOPPED}))
    young = plan(seats, add=["h3"], changed={3: {**STOPPED, "newest_job": newest({"a9": 60})}})
    refusals(young)
    assert "run again in 60 seconds" in young["refusals"][0]["next_step"]
    old = plan(seats, add=["h3"], changed={3: {**STOPPED, "newest_job": newest({"a9": 130})}})
    assert changes_of(old) == [("h1", "a9", ""), ("h3", "", "m3")], old["refusals"]
    assert changes_of(plan(seats, hosts=(1, 2), remove=["a9"])) == [("h1", "a9", "")]


def test_a_learner_of_ours_that_serves_and_is_not_wanted_any_more_leaves_first():
    """Of a move that was cut off: as long as it is there nobody can be added."""
    learner = seat(9, is_learner=True)
    changed = {3: STOPPED, 9: {"newest_job": newest({"a9": 130})}}
    made = plan([*LOST, learner], hosts=(1, 2, 3, 9), changed=changed, dead=["m3"])
    assert changes_of(made) == [("h1", "m9", ""), ("h3", "m3", "m3")], made["refusals"]
    made = plan([*WELL, learner], hosts=(1, 2, 3, 9), add=["h4"], remove=["m9"], changed={4: STOPPED})
    assert "h4 is no host" in refusals(made)
    made = plan([*WELL, learner], hosts=(1, 2, 3, 4, 9), add=["h4"], remove=["m9"], changed={4: STOPPED})
    assert changes_of(made) == [("h1", "m9", ""), ("h4", "", "m4")]


@pytest.mark.parametrize("state", [{}, DEAD_AND_STARTED_NEVER])
def test_a_learner_that_somebody_else_has_added_is_left_alone_until_it_is_named(state):
    """It may be on its way, as by kubeadm join."""
    seats, asked = [*WELL, seat(4, is_learner=True, **state)], {"hosts": (1, 2, 3, 4), "changed": {4: STOPPED}}
    made = plan(seats, **asked)
    assert "was added and is no voter yet" in refusals(made)
    assert "name it in etcd_member_replace_dead" in made["refusals"][0]["next_step"]
    goes = "a4" if state else ""
    assert changes_of(plan(seats, dead=["a4"], **asked)) == [("h4", goes, "m4")]


@pytest.mark.parametrize(
    ("asked", "changed", "cause"),
    [
        ({"dead": ["m3"], "by": ["h9"]}, {}, "h9 is no host of this cluster's group"),
        ({"add": ["h9"]}, {}, "h9 is no host of this cluster's group"),
        ({"rebuild": ["m9"]}, {}, "the cluster has no member m9"),
        ({"dead": ["m3"]}, {3: {**STOPPED, "peer_urls": []}}, "on h3 no etcd is set up; neither a unit, nor a manifest"),
        ({"dead": ["m3"]}, {3: {**STOPPED, "data_dir": ""}}, "etcd is not set up here: its data directory is not known."),
        ({"dead": ["m3"]}, {3: {**STOPPED, "tools": {"etcd": None, "etcdctl": None, "etcdutl": None}}}, "the etcd executable is"),
        ({"dead": ["m3"]}, {3: {**STOPPED, "name": "m2"}}, "its member is called m2, as the one at http://10.0.0.2:2380 is"),
        ({"dead": ["m3"]}, {3: {**STOPPED, "tools": OLD}}, "it has etcd 3.4.23, and the members run 3.5"),
        ({"dead": ["m3"]}, {3: {**STOPPED, "service": service(state="stopped", masked=True)}}, "is masked"),
        ({"move": {"m3": "h1"}}, {}, "m3 does not serve, so it is not moved"),
        ({"dead": ["m3"], "remove": ["m3"]}, {3: STOPPED}, "m3 is named for several changes"),
        ({"remove": ["m2"]}, {}, "3 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 2"),
    ],
)  # fmt: skip
def test_what_would_not_work_is_refused_before_anything_is_touched(asked, changed, cause):
    made = plan(LOST, changed=changed, **asked)
    assert cause in refusals(made), made["refusals"]
    assert "Nothing was touched. The change of the members is refused" in refusals_in_words(made, WORDS)


def test_a_name_that_several_members_have_is_no_name():
    made = plan([seat(1), seat(2), seat(3, **DEAD), seat(4, name="m3")], dead=["m3"])
    assert "several members are called m3: a3 at http://10.0.0.3:2380, a4 at" in refusals(made)


def test_who_leaves_stays_stopped_and_its_configuration_says_existing():
    made = plan(WELL, hosts=(1, 2, 3, 4), changed={4: STOPPED}, move={"m3": "h4"})
    own = from_plain(ReplacePart, made["hosts"]["h3"])
    assert (
        own.retires
        and own.folders
        and own.config[0].after == {"initial-cluster-state": "existing"}
        and not own.settling
    )
    assert made["hosts"]["h1"]["settling"][0]["after"]["initial-cluster"].count("10.0.0.4") == 1
    assert "it stays stopped" in " ".join(MEMBER_REPLACE.plan_in_words(made))


def test_a_version_that_loses_newcomers_is_refused_with_the_one_that_cures_it():
    changed = {number: {"tools": told_member(number, "3.6.2")["tools"]} for number in (1, 2, 3)}
    made = plan([{**one, "version": one["version"] and "3.6.2"} for one in LOST], changed=changed, dead=["m3"])
    assert "log has a promotion in it" in refusals(made) and "3.6.4" in made["refusals"][0]["next_step"]


def entry(step, second, **more):
    return {"step": step, "time": f"2026-11-24T03:15:{second:02}.500000Z", **more}


def test_the_report_says_who_came_and_who_left():
    made = plan(LOST, hosts=(1, 2, 4), changed={4: STOPPED}, dead=["m3"])
    journals = {"h4": [entry("removed", 1, member="a3", name="m3"), entry("added", 2, member="a9", name="m4")]}
    journals["h4"] += [
        entry("promoted", 8, member="a9", name="m4"),
        entry("proven", 9, checks=[]),
        entry("finished", 9),
    ]
    journals.update({host: [entry("finished", 9)] for host in ("h1", "h2")})
    report = build("etcd", Given(made, journals=journals), NOW, MEMBER_REPLACE.report)
    assert report["outcome"] == "changed" and report["came"] == [{"member": "m4", "seconds": 6.0, "tries": 1}]
    said = {one["title"]: (one["value"], one["note"]) for one in report["facts"]}
    assert said["Members"][0] == "m1, m2 and m4" and said["Left"][0] == "m3"
    assert said["Came"] == ("m4", "m4: 6 s from a learner's seat to a vote")
    assert "m1, m2 and m4" in render(report, MEMBER_REPLACE.report)


# ---- what a run that was cut off has left ------------------------------------------------------------------------------


def cut_off(*changes, retires=False, restore_id="20261124T031500Z-x", **more):
    plan = {"job": "member_replace", "restore_id": restore_id, "retires": retires, "of": {"changes": list(changes)}}
    return {**newest({}), "restore_id": restore_id, "plan": plan, **more}


def told_to(host, goes="a3", goes_name="m3", comes="m4", **more):
    change = {"host": host, "goes": goes, "goes_name": goes_name, "goes_first": True, "comes": comes}
    return {**change, "peer_urls": [f"http://10.0.0.{host[1:]}:2380"], "why": f"{goes_name} is dead", **more}


LEARNER = seat(9, is_learner=True, **DEAD_AND_STARTED_NEVER, peer_urls=["http://10.0.0.4:2380"])
CAME = seat(4)


def with_open(job, *numbers, **more):
    return {number: {**(STOPPED if number > 2 else {}), **more, "newest_job": job} for number in numbers}


@pytest.mark.parametrize("word", ["m3", "a3", "http://10.0.0.3:2380"])
@pytest.mark.parametrize("seats", [[seat(1), seat(2)], [seat(1), seat(2), LEARNER]])
def test_the_place_of_who_is_gone_goes_to_the_host_that_the_earlier_run_had_chosen(word, seats):
    changed = {**with_open(cut_off(told_to("h4")), 4), 5: STOPPED}
    made = plan(seats, hosts=(1, 2, 5, 4), changed=changed, dead=[word])
    assert changes_of(made) == [("h4", "", "m4")], "a host that is only free, as h5, takes no place"


def test_once_the_place_is_filled_no_free_host_fills_it_once_more():
    made = plan([seat(1), seat(2), CAME], hosts=(1, 2, 4, 5), changed={5: STOPPED}, dead=["m3"])
    assert made["clusters"]["etcd"]["mode"] == "nothing" and "no host is known to take its place" in str(
        made["warnings"]
    )
    made = plan([seat(1), seat(2), CAME], hosts=(1, 2, 4, 5), changed={5: STOPPED}, dead=["m3"], by=["h4"])
    assert made["clusters"]["etcd"]["mode"] == "nothing"


def test_what_is_left_after_the_last_change_is_done_by_the_next_run():
    """Settled, retired and proven it is only then: the list alone would say that nothing is to do."""
    job = cut_off(told_to("h4"))
    leaves = cut_off(told_to("h4"), retires=True)
    changed = {**{number: {"newest_job": job} for number in (1, 2, 4)}, 3: {**STOPPED, "newest_job": leaves}}
    for asked in ({"move": {"m3": "h4"}}, {"dead": ["m3"]}, {"remove": ["m3"]}, {}):
        made = plan([seat(1), seat(2), CAME], hosts=(1, 2, 3, 4), changed=changed, **asked)
        assert made["clusters"]["etcd"]["mode"] == "run" and changes_of(made) == [], made
        assert made["phases"] == ["claim", "retire", "settle", "prove"] and set(made["hosts"]) == {
            "h1",
            "h2",
            "h3",
            "h4",
        }
        assert [host for host, own in made["hosts"].items() if own["retires"]] == ["h3"]
        assert "an earlier run was interrupted here" in str(made["warnings"])
    done = {number: {"newest_job": {**job, "open": False, "plan": {}}} for number in (1, 2, 4)}
    assert plan([seat(1), seat(2), CAME], hosts=(1, 2, 4), changed=done)["clusters"]["etcd"]["mode"] == "nothing"


def test_the_same_command_without_the_variable_goes_on_but_throws_nobody_out():
    changed = with_open(cut_off(told_to("h4")), 4)
    assert changes_of(plan([seat(1), seat(2)], hosts=(1, 2, 4), changed=changed)) == [("h4", "", "m4")]
    assert plan(WELL, hosts=(1, 2, 3, 4), changed=changed)["clusters"]["etcd"]["mode"] == "nothing", "m3 is back"
    # Of several runs that were cut off, the last one counts.
    other = cut_off(told_to("h5", goes="", comes="m5"), restore_id="20261123T031500Z-x")
    several = {**changed, **with_open(other, 5)}
    assert changes_of(plan([seat(1), seat(2)], hosts=(1, 2, 4, 5), changed=several)) == [("h4", "", "m4")]


@pytest.mark.parametrize(
    ("seats", "asked", "order"),
    [
        # It leads now, and so would come last, behind a move that would begin with one more learner.
        (
            [seat(1, is_leader=False), seat(2, is_leader=True), seat(3), LEARNER],
            {"move": {"m2": "h4", "m1": "h5"}},
            [("h4", "m2", "m4"), ("h5", "m1", "m5")],
        ),
        (
            [seat(1), seat(2), seat(3), LEARNER],
            {"add": ["h5"], "move": {"m1": "h4"}},
            [("h4", "m1", "m4"), ("h5", "", "m5")],
        ),
        # One that died meanwhile leaves, and its place waits.
        (
            [seat(1), seat(2), seat(3, **DEAD), LEARNER],
            {"dead": ["m3"], "by": ["h5"], "move": {"m1": "h4"}},
            [("h2", "m3", ""), ("h4", "m1", "m4"), ("h5", "m3", "m5")],
        ),
    ],
)
def test_a_move_that_was_cut_off_goes_on_before_anybody_else_comes(seats, asked, order):
    changed = {**with_open(cut_off(told_to("h4", "a1", "m1", "m4")), 4), 5: STOPPED}
    made = plan(seats, hosts=range(1, 6), changed=changed, seen={"leader": "a1"}, **asked)
    assert changes_of(made) == order, made["refusals"]


def test_of_two_one_that_is_to_be_replaced_is_no_more_thrown_out_than_if_nobody_were_on_its_way():
    """It leaves before anybody comes, and so by itself; but nobody has asked for a cluster of one."""
    ours = {"newest_job": cut_off(told_to("h4", "", "", "m4")), **STOPPED}
    asked = {"hosts": (1, 2, 4), "changed": {2: STOPPED, 4: ours}, "seen": {"serving_voters": 2}}
    alarmed = seat(2, healthy=False)
    made = plan([seat(1), alarmed, LEARNER], dead=["m2", LEARNER["id"]], **asked)
    assert "removing m2 leaves 1 of 1, quorum 1, which none can replace" in refusals(made), made
    made = plan([seat(1), alarmed, LEARNER], remove=["m2", LEARNER["id"]], **asked)
    assert not made["refusals"], "that is asked for"


@pytest.mark.parametrize("word", ["m3", "a3"])
def test_who_was_made_anew_by_the_run_that_was_cut_off_is_not_made_anew_again(word):
    job = cut_off(told_to("h3", comes="m3"))
    new = {"peer_urls": ["http://10.0.0.3:2380"]}
    places = [
        ([seat(1), seat(2)], [("h3", "", "m3")]),
        ([seat(1), seat(2), seat(9, **DEAD_AND_STARTED_NEVER, is_learner=True, **new)], [("h3", "", "m3")]),
        ([seat(1), seat(2), seat(9, name="m3", **new)], []),
        (WELL, [("h3", "m3", "m3")]),
    ]
    for seats, wanted in places:
        made = plan(seats, changed={3: {**STOPPED, "newest_job": job}}, rebuild=[word])
        assert changes_of(made) == wanted, (seats, made["refusals"])


def test_an_etcd_of_ours_that_still_runs_is_no_stranger():
    """It is a member no more, and was told nothing of that, as one that is held still."""
    assert "has data of another one" in refusals(plan([seat(1), seat(2)], dead=["m5"], by=["h3"]))
    job = {3: {"newest_job": cut_off(told_to("h3", comes="m3"))}}
    assert changes_of(plan([seat(1), seat(2)], dead=["a3"], changed=job)) == [("h3", "", "m3")]


@pytest.mark.parametrize("changes", [None, "no list", [7, {"host": 1}, {"goes": "a3"}]])
def test_a_plan_that_another_version_has_made_tells_what_can_be_understood(changes):
    job = {**cut_off(), "plan": {"of": {"changes": changes}}}
    assert plan(WELL, changed={1: {"newest_job": job}})["refusals"] == []


class TestClients:
    """Who names the members elsewhere must know who was one, also after a run that was cut off."""

    URLS = {number: [f"http://10.0.0.{number}:2379"] for number in (1, 2, 3, 4)}

    def seats(self, *numbers, dead=()):
        return [seat(number, client_urls=self.URLS[number], **(DEAD if number in dead else {})) for number in numbers]

    def of(self, plan):
        return from_plain(OfReplace, plan["clusters"]["etcd"])

    def test_the_client_urls_before_and_after(self):
        of = self.of(plan(self.seats(1, 2, 3, dead=[3]), hosts=(1, 2, 4), changed={4: STOPPED}, dead=["m3"]))
        assert of.was == {f"m{number}": self.URLS[number] for number in (1, 2, 3)}
        assert of.clients == {f"m{number}": self.URLS[number] for number in (1, 2, 4)}

    @pytest.mark.parametrize(("is_open", "known"), [(True, {"m1", "m2", "m3"}), (False, {"m1", "m2"})])
    def test_who_was_removed_by_a_run_that_was_cut_off_is_remembered(self, is_open, known):
        newest = {
            "job": "member_replace",
            "restore_id": "20261124T030000Z-0a1b2c3d",
            "step": "removed",
            "open": is_open,
            "holder": "",
            "was": {"m3": self.URLS[3], "m1": ["http://old:2379"]},
        }
        changed = {1: {"newest_job": newest}, 4: STOPPED}
        of = self.of(plan(self.seats(1, 2), hosts=(1, 2, 4), changed=changed, dead=["m3"], by=["h4"]))
        assert set(of.was) == known and of.was["m1"] == self.URLS[1]
