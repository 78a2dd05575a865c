# SPDX-License-Identifier: GPL-3.0-or-later
"""A member fails, as a drill: the plan with every reason to refuse it, and the report in words."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.members.failover_drill import (
    FAILOVER_DRILL,
    REPORT,
    WORDS,
    make_plan,
)
from ansible_collections.quorum.etcd.plugins.module_utils.members.measured import Measured
from ansible_collections.quorum.etcd.plugins.module_utils.members.sparing import LAG
from ansible_collections.quorum.etcd.plugins.module_utils.report.data import Given, build
from ansible_collections.quorum.etcd.plugins.module_utils.report.page import render
from ansible_collections.quorum.etcd.plugins.module_utils.report.text import closing_lines
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import member as member_told
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import service

NAMES = ("m1", "m2", "m3")
NOW = "2026-11-24T03:15:00Z"
CLAIM = {"run": "r7", "who": "anna@desk", "since": NOW, "controller": "desk", "process": "7 99"}


def view(names=NAMES, **changes):
    """A cluster that m1 leads; ``changes`` by member, or of the view itself."""
    members = [
        {
            "id": f"a{name[1:]}",
            "name": name,
            "state": "serves",
            "errors": [],
            "peer_urls": [f"http://10.0.0.{name[1:]}:2380"],
            "client_urls": [f"http://10.0.0.{name[1:]}:2379"],
            "endpoint": f"http://10.0.0.{name[1:]}:2379",
            "healthy": True,
            "has_leader": True,
            "is_leader": name == "m1",
            "version": "3.6.0",
            "raft_index": 9000,
            "raft_applied_index": 9000,
            **changes.pop(name, {}),
        }
        for name in names
    ]
    whole = {"cluster_id": "c0ffee", "cluster_ids": ["c0ffee"], "members": members, "members_complete": True}
    whole.update(endpoints=[], leader="a1", leader_name="m1", has_quorum=True, quorum_unknown=False)
    return {**whole, **changes}


def hosts(seen=None, only=NAMES, **member):
    seen = seen or view()
    return {
        f"h{name[1:]}": {
            "cluster": "etcd",
            "why": "",
            "view": seen,
            "member": {**member_told(int(name[1:]), "3.6.0"), "packet_filter": "nft", "systemd": True, **member},
        }
        for name in only
    }


def planned(known=None, **options):
    return make_plan(known or hosts(), Asked({"who": "leader", "how": "stop", "seconds": 20, **options}, NOW))


def causes(plan):
    assert plan["hosts"] == {} and all(item["next_step"] for item in plan["refusals"])
    assert "Nothing was touched. The failover drill is refused" in refusals_in_words(plan, WORDS)
    return " | ".join(item["cause"] for item in plan["refusals"])


def test_the_plan_says_what_will_happen_and_for_how_long():
    plan = planned(how="kill")
    assert plan["refusals"] == [] == plan["warnings"] and list(plan["hosts"]) == ["h2", "h1", "h3"]
    of = plan["hosts"]["h3"]["of"]
    assert (of["away"], of["away_id"], of["away_host"], of["measures"]) == ("m1", "a1", "h1", "h2")
    assert of["voters"] == {name: f"http://10.0.0.{name[1]}:2379" for name in NAMES}
    assert [own["reports"] for own in plan["hosts"].values()] == [True, False, False]
    assert [own["stops"] for own in plan["hosts"].values()] == [False, True, False], "whose service its journal knows"
    text = "\n".join(FAILOVER_DRILL.plan_in_words(plan))
    assert "Failover drill of cluster etcd" in text and "m1, the leader, on h1" in text
    assert "killed (SIGKILL), and kept down: systemd would start it again at once" in text
    assert "a timer on h1 puts it back 35 s after the begin, whatever becomes of this run; so does a reboot" in text
    assert "3 voters, 3 healthy, quorum 2: without m1 2 of 3 are left" in text
    assert "on h2: writes through m1, m2 and m3 in turn, below quorum.etcd/failover_drill/" in text
    assert confirmation(plan, WORDS, "").endswith(
        "This takes a member away from cluster etcd; to let it happen, run again with -e etcd_failover_drill_confirm=etcd"
    )


@pytest.mark.parametrize(
    ("own", "how"),
    [
        (service(manager="command", start_command="/s", stop_command="/t"), "stop"),
        (service(manager="static_pod", manifest="/m/etcd.yaml", kubelet=True), "kill"),
    ],
)
def test_without_systemd_the_plan_says_what_a_reboot_does_not_put_back(own, how):
    plan = planned(hosts(service=own, systemd=False), how=how)
    text = "\n".join(FAILOVER_DRILL.plan_in_words(plan))
    assert "whatever becomes of this run; a reboot does not" in text
    (warned,) = plan["warnings"]
    script = f"{plan['hosts']['h1']['member']['state_dir']}/restores/{plan['hosts']['h1']['restore_id']}/put_back.sh"
    assert warned["host"] == "h1" and "it has no systemd. If it is rebooted" in warned["cause"]
    assert f"run 'sh {script}' on it then" in warned["cause"] and script in text
    # The kernel's rules do not survive it.
    cut = planned(hosts(service=own, systemd=False), how="cut")
    assert cut["warnings"] == [] and "so does a reboot" in "\n".join(FAILOVER_DRILL.plan_in_words(cut))


@pytest.mark.parametrize(("who", "away"), [("leader", "m1"), ("follower", "m2"), ("m3", "m3")])
def test_who_fails(who, away):
    of = planned(who=who)["hosts"]["h1"]["of"]
    assert of["away"] == away and of["away_host"] == f"h{away[1]}" != of["measures"]


SICK = "the voter m3 is not healthy: refused. | 3 voters, 2 healthy, quorum 2: without m1 1 of 3 is left: the cluster could not"


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (view(m3={"healthy": False, "errors": ["refused"], "state": "down"}), SICK),
        (view(names=("m1", "m2")), "2 voters, 2 healthy, quorum 2: without m1 1 of 2 is left: the cluster could not write"),
        (view(names=("m1",)), "1 voter, 1 healthy, quorum 1: without m1 0 of 1 are left"),
        (view(m3={"is_learner": True}), "2 voters, 2 healthy, quorum 2: without m1 1 of 2 is left"),
        (view(alarms=[{"member": "a2", "alarm": "NOSPACE"}]), "m2 has raised the alarm NOSPACE"),
        (view(m2={"raft_applied_index": 9000 - LAG - 1}), "m2 is 1,001 entries behind, of which 1,000 will do"),
        (view(hashes_equal=False, hash_revision=7), "their hashes differ at revision 7"),
        (view(members_complete=False), "did not tell its members"),
        (view(has_quorum=False), "has no quorum"),
        (view(leader="", m1={"is_leader": False}), "no leader is known"),
    ],
)  # fmt: skip
def test_a_cluster_that_can_spare_none_is_refused_with_its_arithmetic(seen, cause):
    assert cause in causes(planned(hosts(seen)))


def test_five_members_one_down_have_a_quorum_to_spare_and_are_refused_all_the_same():
    names = ("m1", "m2", "m3", "m4", "m5")
    seen = view(names=names, m5={"healthy": False, "errors": ["refused"]})
    said = causes(planned(hosts(seen, names)))
    assert (
        "5 voters, 4 healthy, quorum 3: without m1 3 of 5 are left: it would have nothing to spare for a real" in said
    )


@pytest.mark.parametrize(
    ("options", "changes", "cause"),
    [
        ({"seconds": 4}, {}, "4 s is no time for a drill"),
        ({"seconds": 301}, {}, "301 s is no time for a drill"),
        ({"who": "m9"}, {}, "no member is called m9"),
        ({"who": "m9", "how": "cut"}, {}, "no member is called m9"),
        ({"how": "cut"}, {"packet_filter": ""}, "neither nft nor iptables is here"),
        ({}, {"service": service(masked=True)}, "is masked"),
        ({}, {"service": service(halted=True)}, "held still"),
        ({}, {"service": service(manager="command", start_command="/s", stop_command="")}, "nothing tells how to stop it"),
        ({"how": "kill"}, {"service": service(manager="command")}, "nothing could start it after a kill"),
        ({"how": "kill"}, {"service": service(manager="static_pod", kubelet=False)}, "its static pod has no kubelet"),
        ({}, {"peer_urls": ["http://10.9.9.9:2380"]}, "no host of the inventory runs m1, whose peer URLs are http://10.0.0.1"),
    ],
)  # fmt: skip
def test_what_could_not_be_done_or_put_back_is_refused(options, changes, cause):
    assert cause in causes(planned(hosts(**changes), **options))


def test_a_learner_is_no_drill():
    seen = view(names=(*NAMES, "m4"), m4={"is_learner": True})
    assert "m4 is a learner" in causes(planned(hosts(seen), who="m4"))


def test_to_cut_members_that_share_a_host_would_cut_them_all():
    seen = view(m2={"peer_urls": ["http://127.0.0.1:2380"]})
    assert "its peers are at the loopback" in causes(planned(hosts(seen), how="cut"))
    of = planned(how="cut")["hosts"]["h1"]["of"]
    assert of["peer_urls"] == ["http://10.0.0.2:2380", "http://10.0.0.3:2380"] and of["filter"] == "nft"
    assert "http://10.0.0.1:2380" in of["own_urls"] and "http://10.0.0.1:2379" in of["own_urls"]


def test_nobody_else_could_measure():
    assert "no other host than h1 can measure" in causes(planned(hosts(only=("m1",))))


def test_what_an_earlier_drill_has_left_away_is_put_back_first():
    known = hosts(view(m3={"healthy": False, "errors": ["refused"], "state": "down"}))
    dead = {**CLAIM, "seen": NOW, "at_work": False, "age": 900}
    newest = {"job": "failover_drill", "restore_id": "r1", "step": "taken", "open": True, "holder": "r7", "claim": dead}
    known["h3"]["member"]["newest_job"] = newest
    plan = planned(known, who="follower")
    assert plan["refusals"] == [] and plan["hosts"]["h1"]["of"]["unfinished"] == ["h3"]
    assert plan["hosts"]["h1"]["of"]["away"] == "m2", "not the one that must come back first"
    assert "put back first" in plan["warnings"][0]["cause"]
    alive = {**newest, "claim": {**dead, "at_work": True}}
    known["h3"]["member"]["newest_job"] = alive
    assert "another run is at work on this cluster: failover_drill r1 by anna@desk" in causes(planned(known))


# ---- the report ------------------------------------------------------------------------------------------------------

NUMBERS = Measured(
    fault=2.5, grain=0.3, leader_before="m1", leader_after="m2", term_before=4, term_after=5, detection=1.1, election=1.3,
    recovery=1.42, gap=1.4, gap_start=0.02, writes=220, acknowledged=180, away=30, others=10, later=0, later_gap=0.2,
)  # fmt: skip


def journal(*entries):
    return [
        {"time": f"2026-11-24T03:15:{number:02}.000000Z", **(one if isinstance(one, dict) else {"step": one})}
        for number, one in enumerate(entries, 1)
    ]


CHECKS = [{"what": "equal hashes at one revision", "expected": True, "found": True, "ok": True}]
CLIENT = journal(
    "planned", "ready_begun", "ready_done", "drill_begun", "measuring",
    {"step": "measured", "at": 1795490104.0, "numbers": to_plain(NUMBERS), "version": 180},
    "drill_done", "prove_begun", {"step": "proven", "checks": CHECKS}, "prove_done", "finished",
)  # fmt: skip
AWAY = journal(
    "planned", "ready_begun", "ready_done", "drill_begun", "armed", "taking", "taken", {"step": "put_back", "by": "run"},
    {"step": "caught_up", "seconds": 0.8, "behind": 0}, "drill_done", "prove_begun", {"step": "proven", "checks": []},
    "prove_done", "finished",
)  # fmt: skip


def report_of(journals, **given):
    plan = planned(how="kill")
    return build("etcd", Given(plan, FAILOVER_DRILL.plan_in_words(plan), journals=journals, **given), NOW, REPORT)


def test_the_numbers_are_in_the_report_its_page_and_the_end_of_the_run():
    report = report_of({"h1": AWAY, "h2": CLIENT, "h3": journal("planned", "finished")})
    assert report["outcome"] == "drilled" and report["unfinished"] == [] and report["touched"]
    assert report["headline"] == (
        "m1, the leader of cluster etcd, was killed for 20 s: m2 led after 1.30 s, and writes went on after 1.42 s."
        " All is as before, and proven."
    )
    text = "\n".join(closing_lines(report))
    for words in (
        "Detected after",
        "1.10 s",
        "New leader after",
        "40 of 220",
        "10 through the others (0 after the recovery)",
    ):
        assert words in text and words in render(report, REPORT)
    assert [row["phase"] for row in report["hosts"]["h1"]["phases"]] == ["ready", "away", "return", "prove"]
    assert [row["phase"] for row in report["hosts"]["h2"]["phases"]] == ["ready", "measure", "prove"]
    assert report["outage"]["at_most"] == 1.4 and report["outage"]["start"] == "2026-11-24T03:15:04.020000Z"
    page = render(report, REPORT)
    assert "no writes: at most 1.4 s" in page and "What was drilled" in page and "away: the member is gone" in page
    json.dumps(report)


def test_a_follower_that_nobody_missed():
    quiet = {
        **to_plain(NUMBERS),
        "detection": None,
        "election": None,
        "leader_before": "m3",
        "leader_after": "m3",
        "gap": 0.2,
    }
    client = [{**one, "numbers": quiet} if one["step"] == "measured" else one for one in CLIENT]
    report = report_of({"h1": AWAY, "h2": client, "h3": journal("finished")})
    text = "\n".join(closing_lines(report))
    assert "Election" in text and "m3 went on leading" in text and "no gap that the client could see" in text
    assert report["outage"]["start"] is None and report["drill"]["role"] == "follower"


def test_what_failed_says_whether_a_member_was_taken_away_and_who_puts_it_back():
    reasons = [{"host": "h1", "text": "no."}]
    untouched = report_of({"h1": AWAY[:4], "h2": CLIENT[:4], "h3": []}, reasons=reasons)
    assert untouched["headline"] == "The failover drill of cluster etcd is not done: no member was taken away."
    assert not untouched["touched"]
    dead = report_of({"h1": AWAY[:7], "h2": CLIENT[:5], "h3": []}, reasons=reasons)
    assert "m1 is put back by a timer on h1. It needs another run." in dead["headline"] and dead["touched"]
    back = report_of({"h1": AWAY[:9], "h2": CLIENT[:6], "h3": []}, reasons=reasons)
    assert "is not proven: m1 is put back." in back["headline"]
    assert all(render(one, REPORT) for one in (untouched, dead, back))


def test_before_anything_is_done_there_are_no_numbers():
    check = build("etcd", Given(planned(), check=True), NOW, REPORT)
    assert check["headline"] == "Nothing was touched: this is how the run would drill a failure in cluster etcd."
    refused = build("etcd", Given(planned(seconds=1), refusal="no."), NOW, REPORT)
    assert refused["outcome"] == "refused" and render(check, REPORT) and render(refused, REPORT)
