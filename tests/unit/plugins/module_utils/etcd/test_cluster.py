# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The view of a cluster from what etcdctl prints, in the shapes that were seen on etcd 3.4 to 3.7."""

from __future__ import annotations

import json
import socket

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import cluster
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.view import ClusterView
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.words import cluster_in_words

V34, V35, V36 = Version(3, 4, 23), Version(3, 5, 35), Version(3, 6, 16)
CLUSTER = 0xA9B7A22AEB5C8521
REFUSED = "Connection refused"


def url(number):
    return f"http://10.0.0.{number}:2379"


def status(number, leader=1, cluster_id=CLUSTER, **more):
    header = {"cluster_id": cluster_id, "member_id": number, "revision": 100, "raft_term": 2}
    said = {"header": header, "version": "3.6.16", "dbSize": 20480, "raftIndex": 50, "raftTerm": 2}
    said.update(raftAppliedIndex=50, **({"leader": leader} if leader else {}))
    header["revision"] = more.pop("revision", 100)
    return {**said, **more}


def listed(number, **more):
    peer = f"http://10.0.0.{number}:2380"
    return {"ID": number, "name": f"m{number}", "peerURLs": [peer], "clientURLs": [url(number)], **more}


class Etcd:
    """An etcdctl. ``up`` maps a member's number to its status; a member that is not in it refuses connections."""

    def __init__(self, up, members=(1, 2, 3), version=V36, quorum=True, alarms=(), hashes=None, strings=False):
        self.up = {url(number): said for number, said in up.items()}
        self.members = [member if isinstance(member, dict) else listed(member) for member in members]
        self.version, self.quorum, self.alarms, self.strings = version, quorum, list(alarms), strings
        self.hashes = hashes if hashes is not None else {}
        self.calls = []

    def knock(self, endpoint, _seconds):
        return "" if endpoint in self.up else REFUSED

    def __call__(self, argv, env):
        words = [word for word in argv[1:] if not word.startswith("-") and word != "json"]
        endpoints = argv[1].partition("=")[2].split(",")
        self.calls.append((" ".join(words), endpoints, [word for word in argv if word.startswith("--rev")], dict(env)))
        return getattr(self, "_".join(words))(endpoints, argv)

    def print(self, value, rc=0, err=""):
        if self.strings:
            value = json.loads(json.dumps(value), parse_int=str)
        return Result(rc, json.dumps(value), err)

    def endpoint_status(self, endpoints, _argv):
        rows = [{"Endpoint": one, "Status": self.up[one]} for one in endpoints if isinstance(self.up[one], dict)]
        errors = [f"Failed to get the status of endpoint {one} ({self.up[one]})" for one in endpoints]
        errors = [line for one, line in zip(endpoints, errors) if not isinstance(self.up[one], dict)]
        empty = None if self.version >= V36 else []
        return self.print(rows or empty, 1 if errors else 0, '{"level":"warn"}\n' + "\n".join(errors))

    def member_list(self, endpoints, argv):
        if not self.quorum and self.version >= V35 and "--consistency=s" not in argv:
            return Result(1, "", "Error: context deadline exceeded")
        return self.print({"header": {}, "members": self.members})

    def alarm_list(self, _endpoints, _argv):
        return self.print({"header": {}, "alarms": self.alarms} if self.alarms else {})

    def endpoint_hashkv(self, endpoints, argv):
        at = next(int(word[6:]) for word in argv if word.startswith("--rev="))
        if ("compacted", at) in self.hashes.items() or at == self.hashes.get("compacted"):
            return Result(1, "null", "Failed to get the hash of endpoint (required revision has been compacted)")
        rows = []
        for one in endpoints:
            told = self.hashes.get(one, {"hash": 7})
            told = {"compact_revision": -1, **({"hash_revision": at or 100} if self.version >= V36 else {}), **told}
            rows.append({"Endpoint": one, "HashKV": {"header": {"revision": 101}, **told}})
        return self.print(rows)


def observe(etcd, endpoints=(1, 2, 3), **more):
    tools = Tools(etcdctl=Tool("/bin/etcdctl", etcd.version))
    to = Connection(endpoints=[url(number) for number in endpoints], user="root", password="geheim")
    view = to_plain(cluster.observe(etcd, tools, to, **{"knock": etcd.knock, "look": lambda *_: "", **more}))
    assert to_plain(from_plain(ClusterView, view)) == view, "it goes through a door and comes in by another"
    return view


def three(**more):
    return {number: status(number, **more) for number in (1, 2, 3)}


def test_a_healthy_cluster():
    etcd = Etcd(three())
    view = observe(etcd)
    assert (view["health"], view["has_quorum"], view["quorum"], view["may_fail"]) == ("healthy", True, 2, 1)
    assert (view["cluster_id"], view["leader"], view["leader_name"]) == ("a9b7a22aeb5c8521", "1", "m1")
    assert (view["voters"], view["healthy_voters"], view["learners"], view["term"]) == (3, 3, 0, 2)
    assert (view["revision"], view["hash_revision"], view["hashes_equal"]) == (100, 100, True)
    assert view["alarms"] == [] and view["members_complete"]
    assert view["summary"] == (
        "Cluster a9b7a22aeb5c8521 is healthy, revision 100, leader m1."
        " 3 of 3 voters are up, 2 are needed: 1 more may fail."
    )
    assert view["members"][0] == {
        "id": "1",
        "name": "m1",
        "peer_urls": ["http://10.0.0.1:2380"],
        "client_urls": [url(1)],
        "is_learner": False,
        "started": True,
        "endpoint": url(1),
        "state": "serves",
        "refusal": "",
        "healthy": True,
        "has_leader": True,
        "is_leader": True,
        "version": "3.6.16",
        "storage_version": "",
        "revision": 100,
        "raft_term": 2,
        "raft_index": 50,
        "raft_applied_index": 50,
        "db_size": 20480,
        "db_size_in_use": 0,
        "db_size_quota": 0,
        "errors": [],
        "hash": 7,
        "hash_compact_revision": -1,
    }
    assert json.dumps(view)


def test_each_question_is_asked_once_and_the_password_is_in_the_environment():
    etcd = Etcd(three())
    observe(etcd)
    assert [words for words, *_rest in etcd.calls] == [
        "endpoint status",
        "member list",
        "alarm list",
        "endpoint hashkv",
    ]
    assert all(env["ETCDCTL_PASSWORD"] == "geheim" for *_rest, env in etcd.calls)


def test_numbers_may_be_strings():
    assert observe(Etcd(three(), strings=True)) == observe(Etcd(three()))


@pytest.mark.parametrize("version", [V34, V35, V36])
def test_with_a_member_down_it_is_degraded_and_the_dead_one_costs_no_time(version):
    up = three()
    del up[3]
    etcd = Etcd(up, version=version)
    view = observe(etcd)
    assert (view["health"], view["has_quorum"], view["may_fail"]) == ("degraded", True, 0)
    dead = view["members"][2]
    assert (dead["name"], dead["healthy"], dead["errors"]) == ("m3", False, [REFUSED])
    assert view["endpoints"][2] == {
        "endpoint": url(3),
        "ok": False,
        "error": REFUSED,
        "state": "down",
        "refusal": "",
        "next_step": "",
        "member_id": "",
        "cluster_id": "",
    }
    assert all(url(3) not in endpoints for _words, endpoints, *_rest in etcd.calls)
    assert "Not healthy: m3." in view["summary"]


def test_a_member_that_hangs_keeps_etcds_own_words():
    up = {**three(), 3: "context deadline exceeded"}
    view = observe(Etcd(up))
    assert view["endpoints"][2]["error"] == "context deadline exceeded"
    assert [member["healthy"] for member in view["members"]] == [True, True, False]


def test_a_login_that_one_endpoint_refuses_takes_no_other_with_it():
    etcd = Etcd({**three(), 3: None})
    plain = etcd.endpoint_status

    def refuse_learners(endpoints, argv):
        if url(3) in endpoints:
            return Result(1, "", "Error: etcdserver: rpc not supported for learner")
        return plain(endpoints, argv)

    etcd.endpoint_status = refuse_learners
    view = observe(etcd)
    assert [member["healthy"] for member in view["members"]] == [True, True, False]
    assert view["members"][2]["errors"] == ["Error: etcdserver: rpc not supported for learner"]


@pytest.mark.parametrize("version, complete", [(V34, True), (V35, False), (V36, True)])
def test_without_a_quorum_the_view_is_what_can_be_known(version, complete):
    up = {1: status(1, leader=0, errors=["etcdserver: no leader"])}
    etcd = Etcd(up, version=version, quorum=False)
    view = observe(etcd, member_names={url(1): "m1", url(2): "m2", url(3): "m3"})
    assert (view["health"], view["has_quorum"], view["leader"], view["voters"]) == ("no quorum", False, "", 3)
    assert view["members_complete"] is complete
    assert sorted(member["name"] for member in view["members"]) == ["m1", "m2", "m3"]
    assert not any(member["healthy"] for member in view["members"])
    assert view["best_endpoint"] == url(1)
    assert "alarm list" not in [words for words, *_rest in etcd.calls]
    assert "there is no quorum" in view["summary"]


@pytest.mark.parametrize("version", [V34, V36])
def test_a_cluster_that_cannot_be_reached_is_an_answer(version):
    for up, health in (({}, "unreachable"), (dict.fromkeys((1, 2, 3), "context deadline exceeded"), "cannot be asked")):
        view = observe(Etcd(up, version=version))
        assert (view["health"], view["cluster_id"], view["best_endpoint"]) == (health, "", "")
        assert (view["has_quorum"], view["hashes_equal"], view["revision"]) == (False, None, 0)
        assert view["quorum_unknown"] is bool(up)
        assert url(2) in view["summary"]


def test_members_that_refuse_are_no_dead_ones():
    """Seen: a wrong password made a healthy cluster one WITHOUT a quorum, and the backup advised to restore it."""
    etcd = Etcd(dict.fromkeys((1, 2, 3), None))
    etcd.endpoint_status = lambda *_: Result(
        2, "", "Error: etcdserver: authentication failed, invalid user ID or password"
    )
    view = observe(etcd)
    assert (view["health"], view["has_quorum"], view["quorum_unknown"]) == ("cannot be asked", False, True)
    assert view["next_steps"] == ["correct etcd_auth_user and etcd_auth_password."]
    assert "there is no quorum" not in view["summary"] and "invalid user ID or password" in view["summary"]
    lines = cluster_in_words(from_plain(ClusterView, view))
    assert sum("(name unknown)" in line and "runs, refuses the password" in line for line in lines) == 3
    assert not [line for line in lines if "not started" in line or "DOWN" in line]


def test_a_quorum_that_answers_is_one_whatever_the_third_refuses():
    view = observe(Etcd({**three(), 3: "connection closed"}), look=lambda *_: "its certificate is not trusted: expired")
    assert (view["health"], view["has_quorum"], view["quorum_unknown"]) == ("degraded", True, False)
    assert (view["members"][2]["state"], view["members"][2]["refusal"]) == (
        "unaskable",
        "has a certificate that is not trusted",
    )
    assert view["endpoints"][2]["error"] == "its certificate is not trusted: expired (connection closed)"
    assert "m3" in next(
        line for line in cluster_in_words(from_plain(ClusterView, view)) if "runs, has a certificate" in line
    )


def test_a_member_that_keeps_silent_is_not_looked_at_again_which_would_cost_a_restart_seconds():
    looked = []
    up = {**three(), 2: "connection closed", 3: "context deadline exceeded"}
    observe(Etcd(up), look=lambda endpoint, _connection: looked.append(endpoint) or "")
    assert looked == [url(2)]


def test_one_that_answers_without_a_leader_beside_dead_ones_has_no_quorum():
    view = observe(Etcd({1: status(1, leader=0)}, quorum=False))
    assert (view["health"], view["quorum_unknown"]) == ("no quorum", False)


def test_a_name_that_leads_nowhere_tells_nothing_of_its_member():
    view = observe(Etcd({}), knock=lambda *_: "Name or service not known")
    assert (view["health"], view["quorum_unknown"]) == ("cannot be asked", True)
    assert view["members"][0]["refusal"] == "has a name that does not resolve"


def test_members_that_the_endpoints_do_not_name_are_asked_too():
    view = observe(Etcd(three()), endpoints=(2,))
    assert (view["health"], view["healthy_voters"]) == ("healthy", 3)
    assert [found["endpoint"] for found in view["endpoints"]] == [url(2), url(1), url(3)]


def test_members_out_of_reach_do_not_take_away_a_quorum_that_answers():
    view = observe(Etcd({2: status(2)}), endpoints=(2,))
    assert (view["has_quorum"], view["health"], view["may_fail"]) == (True, "degraded", 0)
    assert [found["endpoint"] for found in view["endpoints"]] == [url(2)]
    assert "too few of its voters are reached" in view["summary"]


def test_two_clusters_behind_the_endpoints_are_seen():
    up = {**three(), 3: status(3, leader=3, cluster_id=99)}
    view = observe(Etcd(up, members=(1, 2)))
    assert view["health"] == "split" and view["cluster_ids"] == ["63", "a9b7a22aeb5c8521"]
    assert view["cluster_id"] == "a9b7a22aeb5c8521" and len(view["members"]) == 2
    assert "2 clusters" in view["summary"]


def test_learners_and_unstarted_members_do_not_vote():
    unstarted = {"ID": 5, "peerURLs": ["http://10.0.0.5:2380"], "isLearner": True}
    members = (1, 2, 3, listed(4, isLearner=True), unstarted)
    etcd = Etcd({**three(), 4: status(4, leader=1, isLearner=True)}, members=members)
    view = observe(etcd, endpoints=(1, 2, 3, 4))
    assert (view["voters"], view["learners"], view["may_fail"]) == (3, 2, 1)
    assert [(member["name"], member["started"], member["healthy"]) for member in view["members"]] == [
        ("", False, False),
        ("m1", True, True),
        ("m2", True, True),
        ("m3", True, True),
        ("m4", True, True),
    ]
    asked = {words: endpoints for words, endpoints, *_rest in etcd.calls}
    assert url(4) in asked["endpoint status"]
    assert all(url(4) not in asked[words] for words in ("member list", "alarm list", "endpoint hashkv"))


@pytest.mark.parametrize("space", [" ", "  "])
def test_an_alarm_is_an_error_of_the_member_that_raised_it(space):
    error = f"memberID:2{space}alarm:NOSPACE "
    etcd = Etcd(three(errors=[error]), alarms=[{"memberID": 2, "alarm": 1}])
    view = observe(etcd)
    assert [member["healthy"] for member in view["members"]] == [True, False, True]
    assert (view["health"], view["has_quorum"], view["may_fail"]) == ("degraded", True, 1)
    assert view["alarms"] == [{"member": "2", "alarm": "NOSPACE"}]
    assert view["hashes_equal"] is True
    assert "Alarms: NOSPACE." in view["summary"]


def test_members_with_other_data_are_told_by_their_hashes():
    view = observe(Etcd(three(), hashes={url(2): {"hash": 8}}))
    assert (view["hashes_equal"], view["health"]) == (False, "degraded")
    assert "do not hold the same data" in view["summary"]


def test_the_hash_is_asked_at_the_least_revision():
    etcd = Etcd({1: status(1), 2: status(2, revision=98), 3: status(3)})
    assert observe(etcd)["hash_revision"] == 98
    assert etcd.calls[-1][2] == ["--rev=98"]


@pytest.mark.parametrize(
    "version, hashes, equal",
    [
        (V36, {"compacted": 100}, True),
        (V36, {"compacted": 100, url(2): {"hash": 8}}, False),
        (V36, {"compacted": 100, url(2): {"hash": 8, "hash_revision": 99}}, None),
        (V35, {"compacted": 100}, True),
        (V35, {"compacted": 100, url(2): {"hash": 8}}, None),
        (V36, {url(2): {"hash": 8, "compact_revision": 90}}, None),
    ],
)
def test_a_compaction_in_between_leads_to_no_false_verdict(version, hashes, equal):
    assert observe(Etcd(three(), version=version, hashes=hashes))["hashes_equal"] is equal


def test_the_hash_can_be_left_out():
    etcd = Etcd(three())
    assert observe(etcd, hash_check=False)["hashes_equal"] is None
    assert "endpoint hashkv" not in [words for words, *_rest in etcd.calls]


@pytest.mark.parametrize(
    "up, alarms, best",
    [
        (three(), [], 3),
        ({**three(), 3: status(3, raftAppliedIndex=49)}, [], 2),
        ({1: status(1, raftAppliedIndex=5000), 2: status(2), 3: status(3)}, [], 1),
        ({1: status(1)}, [], 1),
        (three(), [{"memberID": 3, "alarm": 2}], 2),
        (three(), [{"memberID": 3, "alarm": "CORRUPT"}], 2),
        (three(leader=0), [], 3),
        (three(), [{"memberID": number, "alarm": 2} for number in (1, 2, 3)], 0),
    ],
    ids=["follower", "behind", "all behind", "leader", "corrupt", "corrupt as a word", "no leader", "all corrupt"],
)
def test_the_best_endpoint(up, alarms, best):
    assert observe(Etcd(up, alarms=alarms))["best_endpoint"] == (url(best) if best else "")


def test_what_makes_it_fail():
    etcd = Etcd(three())
    with pytest.raises(EtcdError, match="etcdctl is missing"):
        cluster.observe(etcd, Tools(), Connection(endpoints=[url(1)]))
    with pytest.raises(EtcdError, match="no endpoints"):
        observe(etcd, endpoints=())


@pytest.mark.parametrize(
    "out",
    [
        "panic: x",
        "{}",
        '["x"]',
        '[{"Endpoint": "http://10.0.0.1:2379", "Status": {"leader": "x"}}]',
        '[{"Endpoint": "http://10.0.0.1:2379", "Status": []}]',
    ],
)
def test_what_is_not_etcds_json_is_an_error_and_no_traceback(out):
    etcd = Etcd(three())
    etcd.endpoint_status = lambda *_: Result(0, out, "")
    with pytest.raises(EtcdError):
        observe(etcd)


def test_knocking():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert cluster.reach(f"http://127.0.0.1:{port}", 1) == cluster.reach(f"127.0.0.1:{port}", 1) == ""
    assert cluster.reach(f"https://127.0.0.1:{port}", 1)
    assert cluster.reach("unix:///run/etcd.sock", 1) == ""
    assert cluster.reach("http://127.0.0.1:bad", 1)
