# SPDX-License-Identifier: GPL-3.0-or-later
"""Reasons to refuse that lie in the cluster as a whole, or in who runs a member."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Findings
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts
from ansible_collections.quorum.etcd.plugins.module_utils.restore.checks import check_service
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    answer,
    broken,
    causes,
    hosts,
    in_snapshot,
    listed,
    member,
    options,
    snapshot,
    unowned,
    view,
)


def test_an_excluded_host_is_no_part_of_the_cluster():
    plan = make_plan(broken(lambda m, h: h.update(member=None)), options(exclude=["host3", "m3"]))
    assert plan["refusals"] == []
    assert sorted(plan["hosts"]) == ["host1", "host2"]
    assert plan["hosts"]["host1"]["of"]["old_endpoints"] == [], "nothing is known of it"
    assert "m3" not in plan["clusters"]["etcd"]["initial_cluster"]


def test_a_member_that_is_left_out_and_still_runs_is_refused():
    running = hosts()
    assert "the old member m3 is left out, but it still runs" in causes(
        make_plan(running, options(exclude=["host3", "m3"]))
    )
    gone = broken(lambda m, h: h.update(member=None))
    for facts in gone.values():
        facts["view"]["members"][2].update(version="3.5.35", endpoint="http://10.0.0.3:2379")
    assert "answers at http://10.0.0.3:2379" in causes(make_plan(gone, options(exclude=["host3", "m3"])))


def test_a_survivor_that_cannot_list_its_cluster_is_no_stranger():
    """etcd 3.5 without a quorum: all that is known is that somebody answers at the host's own URL."""
    alone = broken(lambda m, h: None)
    told = listed(3, name="", peer_urls=[], client_urls=["http://10.0.0.3:2379"], version="3.5.35")
    for facts in alone.values():
        facts["view"].update(has_quorum=False, members_complete=False, members=[told])
    plan = make_plan(alone, options())
    assert plan["refusals"] == [] and plan["hosts"]["host1"]["of"]["old_endpoints"] == []


def test_old_members_that_are_no_part_of_the_new_cluster_are_to_be_asked():
    given = broken(lambda m, h: m.update(running=False))
    assert make_plan(given, options())["hosts"]["host1"]["of"]["old_endpoints"] == []
    left_out = make_plan(given, options(exclude=["host3", "m3"]))
    assert left_out["hosts"]["host1"]["of"]["old_endpoints"] == ["http://10.0.0.3:2379"]
    past = in_snapshot(4, client_urls=["http://10.0.0.4:2379"])
    shrunk = make_plan(hosts(), options(controller_snapshots=[snapshot(members=[*snapshot()["members"], past])]))
    assert shrunk["hosts"]["host1"]["of"]["old_endpoints"] == ["http://10.0.0.4:2379"]
    clone = make_plan(hosts(), options(controller_snapshots=[snapshot(members=[past])]))
    assert clone["hosts"]["host1"]["of"]["old_endpoints"] == [], "the original of a clone goes on"


def test_a_member_that_the_inventory_does_not_know_is_refused():
    given = hosts(members=[member(1), member(2)])
    assert "also has the member m3" in causes(make_plan(given, options()))


def test_a_member_that_started_a_cluster_of_its_own_is_told_of():
    given = hosts()
    assert make_plan(given, options())["warnings"] == []
    given["host1"]["view"]["members"] = given["host1"]["view"]["members"][:1]
    given["host2"]["view"] = None
    plan = make_plan(given, options())
    assert plan["refusals"] == []
    assert "host1 knows m1; host3 knows m1, m2, m3. One that has lost its data" in plan["warnings"][0]["cause"]


def test_a_version_that_corrupts_data_is_warned_of_with_the_one_that_cures_it():
    for version, warned in (("3.5.2", True), ("3.5.3", False)):
        given = hosts()
        given["host3"]["member"]["tools"]["etcd"]["version"] = version
        told = " | ".join(f"{item['host']}: {item['cause']}" for item in make_plan(given, options())["warnings"])
        assert (
            "host3: etcd 3.5.2 can corrupt data under load" in told and "Upgrade to 3.5.3 or later" in told
        ) is warned


def test_a_member_that_is_down_does_not_disagree():
    """Seen: whenever one was down, "the members do not agree … m3 knows ." of a host that knows only its own silent URL."""
    given = hosts()
    silent = listed(3, id="", name="", peer_urls=[], state="down", errors=["no"])
    given["host3"]["view"].update(members=[silent], members_complete=False, has_quorum=False, cluster_id="", leader="")
    given["host3"]["view"]["endpoints"] = [answer(3, "down", error="Connection refused")]
    given["host3"]["member"]["running"] = False
    plan = make_plan(given, options())
    assert plan["refusals"] == plan["warnings"] == []


def test_members_that_cannot_be_asked_are_refused_and_never_without_quorum():
    given = hosts(quorum=False)
    for number, facts in enumerate(given.values(), 1):
        one = answer(number, "unaskable", "refuses the password", "etcdserver: authentication failed")
        facts["view"].update(members=[], members_complete=False, endpoints=[one], quorum_unknown=True, cluster_id="")
    plan = make_plan(given, options())
    assert (
        "host2: its etcd runs and cannot be asked: http://10.0.0.2:2379 refuses the password: etcdserver: authentication"
        " failed. cure: refuses the password." in causes(plan)
    )
    assert plan["clusters"]["etcd"]["before"]["quorum_unknown"] is True
    for facts in given.values():
        facts["view"]["endpoints"][0].update(refusal="", error="context deadline exceeded")
    plan = make_plan(given, options())
    assert plan["refusals"] == [], "it hangs, or has no quorum to log in with: that is what a restore is for"
    assert "context deadline exceeded. It hangs, or there is no quorum" in plan["warnings"][0]["cause"]
    shown = "\n".join(plan_in_words(plan))
    assert "WITHOUT" not in shown and "nothing is known of a quorum" in shown


def test_two_clusters_in_one_group_are_not_made_one():
    given = hosts()
    stranger = given["host3"]
    stranger["member"].update(initial_cluster="m3=http://10.0.0.3:2380")
    for host in ("host1", "host2"):
        given[host]["member"].update(initial_cluster="m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380")
    stranger["view"] = {**view(), "cluster_id": "bbbb", "cluster_ids": ["bbbb"]}
    assert "belong to different clusters (aaaa, bbbb)" in causes(make_plan(given, options()))


def test_a_member_that_is_held_still_is_refused_with_what_to_do():
    def halt(found, _facts):
        found["service"]["halted"] = True

    said = causes(make_plan(broken(halt), options()))
    assert "host3: its etcd is held still by a signal" in said and "kill -CONT 1" in said


@pytest.mark.parametrize("name", ["host3", "m3", "m1"])
def test_hosts_and_members_can_be_excluded_by_name(name):
    assert "etcd_restore_exclude names" not in causes(make_plan(hosts(), options(exclude=[name])))


def test_a_name_to_exclude_that_nobody_knows_is_refused():
    assert "etcd_restore_exclude names hsot3, which is no host" in causes(
        make_plan(hosts(), options(exclude=["hsot3"]))
    )


@pytest.mark.parametrize(
    ("service", "cause", "next_step"),
    [
        (
            {"state": "stopped"},
            "process 1, and the unit etcd.service does not own it: stopped",
            "etcd_service_manager=command",
        ),
        ({"owner": {"kind": "unit", "name": "x.service"}}, "of the unit x.service", "set etcd_service_name=x.service"),
        ({"owner": {"kind": "session", "name": "session-1.scope"}}, "started by hand", "start it by its unit"),
        ({"owner": {"kind": "supervisor", "name": "supervisord"}}, "started by supervisord", "etcd_stop_command"),
        ({"owner": {"kind": "distribution", "name": "rke2"}}, "a part of rke2", "rke2 server --cluster-reset "),
        ({"owner": {"kind": "distribution", "name": "k3s"}}, "a part of k3s", "k3s server --cluster-reset "),
        ({"owner": {"kind": "distribution", "name": "k0s"}}, "a part of k0s", "k0s restore"),
        ({"masked": True}, "is masked", "systemctl unmask etcd.service"),
        ({"transient": True}, "is a transient one", "a file in /etc/systemd/system"),
    ],
)
def test_a_member_that_its_manager_does_not_own_is_refused(service, cause, next_step):
    findings = Findings("etcd")
    check_service("h1", from_plain(MemberFacts, unowned(**service)), findings)
    (refusal,) = findings.refusals
    assert cause in str(refusal) and next_step in str(refusal)


def test_of_a_generated_unit_it_is_said_what_the_drop_in_hides():
    for command, said in (("podman run img etcd", True), ("", False)):
        findings = Findings("etcd")
        quadlet = unowned(
            made_from="/etc/containers/systemd/etcd.container",
            exec_start=command,
            owner={"kind": "unit", "name": "etcd.service"},
        )
        check_service("h1", from_plain(MemberFacts, quadlet), findings)
        assert (
            findings.refusals == []
            and ("made from /etc/containers/systemd/etcd.container" in str(findings.warnings)) == said
        )


def test_a_disabled_unit_is_said_and_its_own_process_is_no_reason():
    findings = Findings("etcd")
    disabled = unowned(owner={"kind": "unit", "name": "etcd.service"}, enabled=False)
    check_service("h1", from_plain(MemberFacts, disabled), findings)
    assert findings.refusals == [] and "stays down after a reboot" in str(findings.warnings)
