# SPDX-License-Identifier: GPL-3.0-or-later
"""The leadership goes to a named member: the plan with every reason to refuse it, the phases, and the report."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.claim import ThisRun
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.host_job import Phase
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.membership import Patience
from ansible_collections.quorum.etcd.plugins.module_utils.members.switch_leader import (
    LAG,
    REPORT,
    SWITCH_LEADER,
    WORDS,
    make_plan,
)
from ansible_collections.quorum.etcd.plugins.module_utils.members.switching import SwitchLeader
from ansible_collections.quorum.etcd.plugins.module_utils.report.data import Given, build, gather
from ansible_collections.quorum.etcd.plugins.module_utils.report.page import render
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import ENDPOINT
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import member as member_told

NAMES = ("m1", "m2", "m3")
REACHED = Connection(endpoints=[f"unix://{number}" for number in (1, 2, 3)])
NOW = "2026-11-24T03:15:00Z"


in_words = SWITCH_LEADER.plan_in_words


def view(**changes):
    """A cluster of three, led by m1; ``changes`` by member, or of the view itself."""
    members = [
        {
            "id": f"a{number}",
            "name": name,
            "state": "serves",
            "errors": [],
            "endpoint": f"http://10.0.0.{number}:2379",
            "healthy": True,
            "has_leader": True,
            "is_leader": name == "m1",
            "version": "3.6.0",
            "raft_index": 9000,
            **changes.pop(name, {}),
        }
        for number, name in enumerate(NAMES, 1)
    ]
    whole = {"cluster_id": "c0ffee", "cluster_ids": ["c0ffee"], "members": members, "members_complete": True}
    whole.update(endpoints=[], leader="a1", leader_name="m1", has_quorum=True, quorum_unknown=False)
    return {**whole, **changes}


def hosts(seen=None, state_dir="/var/lib/quorum-etcd", **member):
    return {
        name: {
            "cluster": "etcd",
            "why": "",
            "view": seen or view(),
            "member": {**member_told(number, "3.6.0"), "state_dir": state_dir, **member},
        }
        for number, name in enumerate(NAMES, 1)
    }


def planned(to="m2", seen=None, **member):
    return make_plan(hosts(seen, **member), Asked({"to": to}, NOW))


def test_the_plan_names_who_hands_over_to_whom():
    plan = planned()
    assert plan["refusals"] == [] == plan["warnings"] and list(plan["hosts"]) == list(NAMES)
    assert [own["reports"] for own in plan["hosts"].values()] == [True, False, False], "one does it for all"
    of = plan["hosts"]["m3"]["of"]
    assert (of["to"], of["to_id"]) == ("m2", "a2")
    assert of["members"] == {"a1": "m1", "a2": "m2", "a3": "m3"} and of["endpoints"][1] == "http://10.0.0.2:2379"
    assert in_words(plan) == ["Switch of the leader of cluster etcd", "  leader  m1 -> m2"]
    assert confirmation(plan, WORDS, "etcd") == ""
    assert confirmation(plan, WORDS, "").endswith(
        "This moves the leadership of cluster etcd; to let it happen, run again with -e etcd_switch_leader_confirm=etcd"
    )


def test_who_leads_already_needs_nothing_and_no_confirmation():
    plan = planned("m1")
    assert plan["clusters"]["etcd"]["mode"] == "nothing" and plan["hosts"] == {} and plan["refusals"] == []
    assert confirmation(plan, WORDS, "") == "" and "nothing to do" in in_words(plan)[0]


@pytest.mark.parametrize(
    ("to", "seen", "cause"),
    [
        ("", {}, "nobody is named"),
        ("m9", {}, "no member is called m9"),
        ("m2", {"m2": {"is_learner": True}}, "m2 is a learner"),
        ("m2", {"m2": {"healthy": False, "errors": ["connection refused"]}}, "m2 is not healthy: connection refused"),
        ("m2", {"m2": {"raft_index": 9000 - LAG - 1}}, "m2 is more than 5,000 entries behind"),
        ("m2", {"has_quorum": False}, "the cluster has no quorum"),
        ("m2", {"has_quorum": False, "quorum_unknown": True}, "its members cannot be asked"),
        ("m2", {"members_complete": False, "m2": {"name": ""}}, "the cluster did not tell its members"),
        (
            "m2",
            {
                "cluster_ids": ["c0ffee", "dead"],
                "endpoints": [{**ENDPOINT, "endpoint": "http://10.0.0.3:2379", "cluster_id": "dead", "ok": True}],
            },
            "several clusters answer: c0ffee, dead",
        ),
        ("m2", {"leader": 7}, "what it answered cannot be understood"),
    ],
)
def test_what_would_not_work_is_refused_with_a_next_step(to, seen, cause):
    plan = planned(to, view(**seen))
    assert plan["hosts"] == {} and cause in plan["refusals"][0]["cause"] and plan["refusals"][0]["next_step"]
    assert "Nothing was touched. The switch of the leader is refused" in refusals_in_words(plan, WORDS)


def test_a_member_that_lags_a_little_may_lead():
    assert planned("m2", view(m2={"raft_index": 9000 - LAG}))["refusals"] == []


def test_a_restore_that_was_interrupted_comes_first():
    plan = planned(journal={"restore_id": "r1", "touched": True, "open": True})
    assert "the restore r1 of this cluster was interrupted here" in plan["refusals"][0]["cause"]
    assert planned(journal={"restore_id": "r1", "touched": True, "open": False})["refusals"] == []
    unreadable = planned(journal={"problem": "it is broken.", "next_step": "mend it."})
    assert unreadable["refusals"][0] == {
        "cluster": "etcd",
        "host": "m1",
        "cause": "it is broken.",
        "next_step": "mend it.",
    }


def test_another_run_that_is_at_work_comes_first():
    claim = {"run": "r7", "who": "anna@desk", "since": NOW, "controller": "desk", "process": "7 99"}
    alive = {**claim, "seen": NOW, "at_work": True, "age": 3}
    newest = {"job": "restore", "restore_id": "r1", "step": "staged", "open": True, "holder": "r7", "claim": alive}
    (item,) = planned(newest_job=newest)["refusals"]
    assert item["cause"].startswith("another run is at work on this cluster: restore r1 by anna@desk, since 2026-11-24")
    known = hosts(newest_job={**newest, "open": False})
    mine = {**claim, "run": "r8"}
    plan = make_plan(known, Asked({"to": "m2"}, NOW, run=ThisRun(mine)))
    assert plan["refusals"] == [] and plan["hosts"]["m1"]["claim"] == {**mine, "seen": "r7"}


def test_of_two_that_were_planned_together_one_goes_on(tmp_path):
    claims = [
        {"who": f"{who}@desk", "since": NOW, "controller": "desk", "process": "7 99", "run": who}
        for who in ("anna", "bert")
    ]
    first, second = (
        make_plan(hosts(state_dir=str(tmp_path)), Asked({"to": "m2"}, when, run=ThisRun(claim)))["hosts"]["m1"]
        for when, claim in zip((NOW, "2026-11-24T03:15:09Z"), claims)
    )
    cluster = Cluster()
    SwitchLeader(first, cluster.run, REACHED).answer(Phase("move"), check=False)
    with pytest.raises(EtcdError, match="switch_leader .* by anna@desk"):
        SwitchLeader(second, cluster.run, REACHED).answer(Phase("move"), check=False)
    assert len(moves(cluster)) == 1


def test_a_host_that_tells_nothing_is_left_out_and_said():
    known = hosts()
    known["m3"] = {"cluster": "etcd", "why": "cannot be reached: no route."}
    plan = make_plan(known, Asked({"to": "m2"}, NOW, ["/ro"]))
    assert list(plan["hosts"]) == ["m1", "m2"] and plan["refusals"] == []
    assert [item["host"] for item in plan["warnings"]] == ["", "m3"]
    nobody = {host: {"cluster": "etcd", "why": "cannot be reached: no route."} for host in NAMES}
    assert "no host can tell" in make_plan(nobody, Asked({"to": "m2"}, NOW))["refusals"][0]["cause"]


@pytest.mark.parametrize("member", [None, [], {"name": 7}, {"name": "m1\n"}, {"journal": [7]}, {"connection": {}}])
def test_a_host_that_answers_something_else_is_a_refusal_and_no_traceback(member):
    known = hosts()
    known["m2"]["member"] = {**known["m2"]["member"], **member} if isinstance(member, dict) else member
    plan = make_plan(known, Asked({"to": "m2"}, NOW))
    assert [(item["host"], "cannot be understood" in item["cause"]) for item in plan["refusals"]] == [("m2", True)]


class Cluster:
    """Answers etcdctl as a cluster whose leader it moves, or does not."""

    def __init__(self, obeys=True):
        self.leader, self.obeys, self.argvs = 0xA1, obeys, []

    def run(self, argv, env):
        self.argvs.append(list(argv))
        if "move-leader" in argv:
            self.leader = int(argv[argv.index("move-leader") + 1], 16) if self.obeys else self.leader
            return Result(0, "Leadership transferred", "")
        return Result(0, json.dumps(self.answer(argv)), "")

    def answer(self, argv):
        urls = [f"unix://{number}" for number in (1, 2, 3)]
        if "health" in argv:
            return [{"endpoint": url, "health": True, "took": "2ms"} for url in urls]
        if "status" in argv:
            heads = [{"cluster_id": 7, "member_id": 0xA0 + number} for number in (1, 2, 3)]
            says = [{"header": head, "leader": self.leader, "version": "3.6.0"} for head in heads]
            return [{"Endpoint": url, "Status": said} for url, said in zip(urls, says)]
        if "member" in argv:
            listed = [{"ID": 0xA0 + number, "name": f"m{number}"} for number in (1, 2, 3)]
            return {"members": [{**one, "clientURLs": [url], "peerURLs": [url]} for one, url in zip(listed, urls)]}
        return {}


def job(tmp_path, cluster, host="m1"):
    plan = planned(state_dir=str(tmp_path))["hosts"][host]
    return SwitchLeader(plan, cluster.run, REACHED)


def run_on_all(tmp_path, cluster, check=False):
    """What each host answers, phase by phase, as the role's barriers have them."""
    answers = {host: [] for host in NAMES}
    for phase in SwitchLeader.PHASES:
        for host in NAMES:
            answers[host].append(job(tmp_path / host, cluster, host).answer(Phase(phase, 0.5), check))
    return answers


def moves(cluster):
    return [argv for argv in cluster.argvs if "move-leader" in argv]


def test_one_host_moves_and_all_prove(tmp_path):
    cluster = Cluster()
    answers = run_on_all(tmp_path, cluster)
    assert [[result["changed"] for result in results] for results in answers.values()] == [
        [True, False],
        [False, False],
        [False, False],
    ]
    (argv,) = moves(cluster)
    assert argv[0] == "/usr/bin/etcdctl" and argv[argv.index("move-leader") + 1] == "a2"
    written = [argv for argv in cluster.argvs if "put" in argv]
    assert len(written) == 1, "one host writes"
    journal = answers["m1"][-1]["journal"]
    assert [entry["step"] for entry in journal] == [
        *("planned", "move_begun", "move_done", "prove_begun", "proven", "prove_done", "finished")
    ]
    assert all(check["ok"] for check in journal[4]["checks"])


def test_a_phase_that_was_done_is_not_done_again(tmp_path):
    cluster = Cluster()
    run_on_all(tmp_path, cluster)
    again = run_on_all(tmp_path, cluster)
    assert not any(result["changed"] for results in again.values() for result in results) and len(moves(cluster)) == 1


def test_check_mode_asks_nobody(tmp_path):
    cluster = Cluster()
    answers = run_on_all(tmp_path, cluster, check=True)
    assert cluster.argvs == [] and answers["m1"] == [
        {"changed": True, "journal": []},
        {"changed": False, "journal": []},
    ]


def test_a_leader_that_stays_is_told_of_and_not_proven_away(tmp_path, monkeypatch):
    monkeypatch.setattr(SwitchLeader, "PATIENCE", Patience(healthy=0.05, pause=0.01))
    own = job(tmp_path, Cluster(obeys=False))
    with pytest.raises(EtcdError, match="a2 does not lead, although it was told to") as failed:
        own.answer(Phase("move"), check=False)
    assert failed.value.context["journal"][-1]["step"] == "move_begun" and "status.yml" in failed.value.next_step
    with pytest.raises(EtcdError, match="it is not proven: leader that each member follows") as failed:
        own.answer(Phase("prove", 0.3), check=False)
    assert failed.value.context["journal"][-1]["step"] == "prove_begun" and "status.yml" in failed.value.next_step


def test_a_move_whose_answer_was_lost_with_the_run_is_done(tmp_path):
    cluster = Cluster()
    cluster.leader = 0xA2
    assert job(tmp_path, cluster).answer(Phase("move"), check=False)["changed"] is False and moves(cluster) == []


def test_the_report_is_the_machinerys(tmp_path):
    plan, text = planned(), in_words(planned())
    given = Given(plan=plan, text=text, **gather(run_on_all(tmp_path, Cluster())))
    report = build("etcd", given, NOW, REPORT)
    assert (report["outcome"], report["headline"]) == (
        "switched",
        "The switch of the leader of cluster etcd is done, and proven.",
    )
    assert report["unfinished"] == [] and report["touched"] and report["plan"] == text
    assert [row["phase"] for row in report["hosts"]["m2"]["phases"]] == ["move", "prove"]
    assert report["next_steps"][0]["commands"][0]["command"] == "ansible-playbook status.yml -i INVENTORY"
    page = render(report, REPORT)
    assert "Switched" in page and "move: the leader hands over" in page and "leader that each member follows" in page


def test_the_report_of_what_failed_or_was_not_done():
    journals = {host: [] for host in NAMES}
    failed = build("etcd", Given(planned(), journals=journals, reasons=[{"host": "m1", "text": "no."}]), NOW, REPORT)
    assert failed["outcome"] == "failed" and "is not done" in failed["headline"]
    assert "etcd_switch_leader_confirm=etcd" in failed["next_steps"][1]["commands"][0]["command"]
    nothing = build("etcd", Given(planned("m1")), NOW, REPORT)
    assert nothing["headline"] == "There is nothing to do: the switch of the leader of cluster etcd is done already."
    check = build("etcd", Given(planned(), check=True), NOW, REPORT)
    assert check["headline"] == "Nothing was touched: this is how the run would switch the leader of cluster etcd."
    assert render(check, REPORT) and render(failed, REPORT) and render(nothing, REPORT)
