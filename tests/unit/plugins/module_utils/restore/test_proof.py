# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of a restored cluster: each thing that can be wrong with it is caught, also what health does not show."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.restore.proof import (
    ALARMED,
    COMPACTED,
    NOT_PERMITTED,
    NOT_WRITTEN,
    WRITE,
    check_silent,
    failures,
    judge,
    prove,
)
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import of_cluster

PLANNED = of_cluster(
    cluster_id="c1",
    members={"1": "m1", "2": "m2"},
    revision=1000,
    user_keys=7,
    restore_id="20261124T030000Z",
    snapshot={"alarms": []},
)
SEEN = {
    "cluster_id": "c1",
    "cluster_ids": ["c1"],
    "has_quorum": True,
    "revision": 1003,
    "hashes_equal": True,
    "members": [
        {"id": "1", "name": "m1", "started": True, "healthy": True},
        {"id": "2", "name": "m2", "started": True, "healthy": True},
    ],
}


def test_a_cluster_as_planned_is_proven():
    assert failures(judge(PLANNED, view_of(SEEN), 7)) == []


FAULTS = {
    "another cluster ID": lambda seen: seen.update(cluster_id="c0"),
    "an old member still answers": lambda seen: seen.update(cluster_ids=["c0", "c1"]),
    "an ID that was not predicted": lambda seen: seen["members"][1].update(id="9"),
    "a member that is missing": lambda seen: seen["members"].pop(),
    "a member that has not started": lambda seen: seen["members"][1].update(started=False),
    "a member too many": lambda seen: seen["members"].append(
        {"id": "3", "name": "m3", "started": True, "healthy": True}
    ),
    "an unhealthy member": lambda seen: seen["members"][0].update(healthy=False),
    "a revision that went back": lambda seen: seen.update(revision=999),
    "members that hold different data": lambda seen: seen.update(hashes_equal=False),
    "hashes that nobody could compare": lambda seen: seen.update(hashes_equal=None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_caught(fault):
    seen = copy.deepcopy(SEEN)
    FAULTS[fault](seen)
    assert failures(judge(PLANNED, view_of(seen), 7))


def test_a_wrong_number_of_keys_is_caught_and_an_unknown_one_is_not_judged():
    assert failures(judge(PLANNED, view_of(SEEN), 6))
    assert failures(judge(PLANNED, view_of(SEEN), "etcdctl get failed"))
    assert failures(judge(replace(PLANNED, user_keys=None), view_of(SEEN), "")) == []


def test_an_old_member_that_still_answers_somewhere_else_is_caught():
    of = replace(PLANNED, old_endpoints=["http://10.0.0.3:2379"])
    assert failures(judge(of, view_of(SEEN), 7, alive={})) == []
    assert failures(judge(of, view_of(SEEN), 7, alive={"http://10.0.0.3:2379": "c1"})) == [], (
        "it leads to the restored cluster"
    )
    caught = failures(judge(of, view_of(SEEN), 7, alive={"http://10.0.0.3:2379": "c0"}))
    assert [check.found for check in caught] == [["http://10.0.0.3:2379 (cluster c0)"]]


def test_old_members_are_asked_at_their_old_urls():
    of = replace(PLANNED, user_keys=None, old_endpoints=["http://10.0.0.3:2379", "http://10.0.0.4:2379"])
    asked = []

    def run(argv, env):
        asked.append(argv)
        status = {"header": {"cluster_id": 0xC0, "member_id": 3, "revision": 9}, "version": "3.6.16"}
        return Result(0, json.dumps([{"Endpoint": "http://10.0.0.3:2379", "Status": status}]), "")

    def knock(url, _seconds):
        return "" if "0.3" in url else "refused"

    tools = Tools(etcdctl=Tool("/usr/bin/etcdctl", Version(3, 6, 16)))
    to = Connection(endpoints=["http://127.0.0.1:2379"])
    checks = prove(of, view_of(SEEN), run, tools, to, knock=knock)
    assert [check.what for check in failures(checks)] == ["old members that answer"]
    old = [argv for argv in asked if "--endpoints=http://10.0.0.3:2379" in argv]
    assert len(old) == 1 and not any("put" in argv or "del" in argv for argv in old)
    made = len(asked)
    assert prove(of, view_of(SEEN), run, tools, to, thorough=False, knock=knock) and len(asked) == made


@pytest.mark.parametrize("cluster, refused", [(0xC0, True), (0xC1, False), (0xCB, False)])
def test_old_members_that_this_restore_does_not_stop_are_found_before_it_stops_any(cluster, refused):
    of = replace(PLANNED, old_endpoints=["http://10.0.0.3:2379"], before_id="cb")
    status = {"header": {"cluster_id": cluster, "member_id": 3, "revision": 9}, "version": "3.6.16"}
    answer = Result(0, json.dumps([{"Endpoint": "http://10.0.0.3:2379", "Status": status}]), "")
    given = (of, lambda *_: answer, Tools(etcdctl=Tool("/usr/bin/etcdctl", Version(3, 6, 16))), Connection())
    if refused:
        with pytest.raises(EtcdError, match="still answer at http://10.0.0.3:2379 .cluster c0."):
            check_silent(*given, knock=lambda *_: "")
    else:
        check_silent(*given, knock=lambda *_: "")
    check_silent(*given, knock=lambda *_: "Connection refused")
    check_silent(replace(of, old_endpoints=[]), *given[1:])


def test_a_member_that_was_left_out_of_the_completion_is_not_asked_for():
    seen = {**SEEN, "members": SEEN["members"][:1]}
    assert failures(judge(PLANNED, view_of(seen), 7))
    assert failures(judge(replace(PLANNED, without=["m2"]), view_of(seen), 7)) == []


def test_no_checks_are_no_proof():
    assert failures([])


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Result(0, '{"header":{},"count":7}', ""), 7),
        (Result(0, '{"header":{}}', ""), 0),
        (Result(1, "", "Error: etcdserver: permission denied"), NOT_PERMITTED),
        (Result(1, "", "Error: etcdserver: mvcc: required revision has been compacted"), COMPACTED),
    ],
)
def test_keys_are_counted_at_the_restored_revision(answer, found):
    asked = []

    def run(argv, env):
        asked.append(argv)
        return answer

    tools = Tools(etcdctl=Tool("/usr/bin/etcdctl", Version(3, 6, 16)))
    checks = prove(PLANNED, view_of(SEEN), run, tools, Connection(endpoints=["http://127.0.0.1:2379"]))
    keys = next(check for check in checks if check.what == "keys")
    assert keys.found == found
    assert keys.ok is (found != 0), "what only could not be counted is not judged"
    assert "--rev=1000" in asked[0]


def written(answers, of=None, seen=None):
    """The check of the write, and the words of etcdctl that it took, by what ``put`` and ``del`` answer."""
    asked = []

    def run(argv, env):
        word = next(word for word in argv if word in ("get", "put", "del"))
        asked.append(argv[argv.index(word) : argv.index("-w")])
        return answers.get(word, Result(0, '{"header":{},"count":7}', ""))

    tools = Tools(etcdctl=Tool("/usr/bin/etcdctl", Version(3, 6, 16)))
    checks = prove(of or PLANNED, view_of(seen or SEEN), run, tools, Connection(endpoints=["http://127.0.0.1:2379"]))
    assert checks[-1].what == WRITE
    return checks[-1], asked


def test_the_proof_ends_with_a_write_and_its_deletion():
    check, asked = written({})
    assert check.ok and check.found is True
    key = "quorum.etcd/proof/20261124T030000Z-c1"
    assert [words[0] for words in asked] == ["get", "put", "del"] and asked[1][1] == key and asked[2] == ["del", key]


FULL = Result(1, "", "Error: etcdserver: mvcc: database space exceeded")
DENIED = Result(1, "", "Error: etcdserver: permission denied")
NO_USER = Result(1, "", "Error: etcdserver: user name is empty")


@pytest.mark.parametrize(
    ("answers", "alarms", "found", "ok"),
    [
        ({"put": DENIED}, [], NOT_WRITTEN, True),
        ({"put": NO_USER}, [], NOT_WRITTEN, True),
        ({"put": FULL}, ["NOSPACE"], ALARMED, True),
        ({"put": FULL}, [], "database space exceeded", False),
        ({"del": Result(1, "", "Error: context deadline exceeded")}, [], "context deadline exceeded", False),
    ],
)
def test_why_nothing_could_be_written_is_said_and_what_was_announced_is_not_judged(answers, alarms, found, ok):
    check, asked = written(answers, replace(PLANNED, snapshot=replace(PLANNED.snapshot, alarms=alarms)))
    assert found in check.found and check.ok is ok
    assert ("del" in {words[0] for words in asked}) is ("put" not in answers)


@pytest.mark.parametrize("fault", [{"cluster_ids": ["c0", "c1"]}, {"has_quorum": False}])
def test_nothing_is_written_into_what_may_be_another_cluster(fault):
    check, asked = written({}, seen={**SEEN, **fault})
    assert not check.ok and "not tried" in check.found
    assert {"put", "del"}.isdisjoint(words[0] for words in asked)
