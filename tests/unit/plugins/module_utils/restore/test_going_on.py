# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that were interrupted, or are taken back: by the plans that the hosts have kept."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    broken,
    causes,
    hosts,
    options,
    with_journals,
)


def test_a_run_killed_after_the_stop_goes_on_with_the_plan_it_has():
    first = make_plan(hosts(), options())
    again = make_plan(with_journals(first), options(now="2026-11-24T04:00:00Z", nonce="9999"))
    assert again["clusters"]["etcd"]["mode"] == "resume"
    assert {own["of"]["token"] for own in again["hosts"].values()} == {first["clusters"]["etcd"]["token"]}


def test_a_run_killed_while_staging_is_planned_anew():
    """What it staged may differ from what would be staged now: the revision to rise above goes on while the cluster lives."""
    first = make_plan(hosts(), options())
    staged = with_journals(first, all={"step": "staged", "touched": False})
    again = make_plan(staged, options(now="2026-11-24T04:00:00Z", nonce="9999"))
    assert again["clusters"]["etcd"]["mode"] == "restore"
    assert again["clusters"]["etcd"]["token"] != first["clusters"]["etcd"]["token"]
    assert {own["restore_id"] for own in again["hosts"].values()} == {"20261124T040000Z-b7b6a35e"}


def test_a_member_that_was_late_is_completed_with_the_plan_it_has_also_where_it_was_never_stopped():
    """The others serve since then: a new plan would throw away what was written."""
    first = make_plan(hosts(), options())
    done = {"step": "finished", "open": False, "started": True, "proven": True}
    for late in ({"step": "started", "started": True}, {"step": "staged", "touched": False}):
        given = with_journals(first, host1=late, host2=done, host3=done)
        again = make_plan(given, options(now="2026-11-24T04:00:00Z", nonce="9999"))
        assert again["refusals"] == [] and again["clusters"]["etcd"]["mode"] == "resume"
        assert all(own["settled"] and own["of"]["without"] == [] for own in again["hosts"].values())
        assert [host for host, own in again["hosts"].items() if own["reports"]] == ["host1"]


def test_a_late_member_that_is_lost_for_good_is_left_out_of_the_completion():
    first = make_plan(hosts(), options())
    done = {"step": "finished", "open": False, "started": True, "proven": True}
    given = with_journals(first, host2={"step": "started", "started": True, "proven": False}, host3=done)
    given["host1"]["member"] = None
    again = make_plan(given, options(exclude=["host1"]))
    assert again["refusals"] == [] and sorted(again["hosts"]) == ["host2", "host3"]
    assert {tuple(own["of"]["without"]) for own in again["hosts"].values()} == {("m1",)}
    assert [host for host, own in again["hosts"].items() if own["reports"]] == ["host2"], "somebody compares the data"


def test_a_host_that_vanished_while_the_others_rolled_back_is_rolled_back_too():
    first = make_plan(hosts(), options())
    back = {"step": "rolled_back", "open": False, "back": True}
    given = with_journals(first, host1=back, host2=back, host3={"step": "stopped"})
    plan = make_plan(given, options(now="2026-11-24T04:00:00Z"))
    assert plan["clusters"]["etcd"]["mode"] == "rollback"
    assert "run again" in plan["warnings"][0]["cause"]


def test_a_host_that_had_only_staged_when_the_others_rolled_back_is_planned_anew():
    """Its host died before it was touched, and all others are back: nothing is left to be ended."""
    first = make_plan(hosts(), options())
    given = with_journals(first, all={"step": "rolled_back", "open": False, "touched": True, "back": True})
    given["host1"]["member"]["journal"].update(step="staged", open=True, touched=False, back=False)
    plan = make_plan(given, options(nonce="9999"))
    assert plan["refusals"] == [] and plan["clusters"]["etcd"]["mode"] == "restore"


def test_a_rollback_that_was_killed_goes_on_rolling_back():
    first = make_plan(hosts(), options())
    given = with_journals(first, host2={"step": "put_back", "back": True})
    assert make_plan(given, options())["clusters"]["etcd"]["mode"] == "rollback"


def test_another_snapshot_than_the_interrupted_one_is_refused():
    given = with_journals(make_plan(hosts(), options()))
    assert "was interrupted" in causes(make_plan(given, options(snapshot="/backups/b.db")))


def test_rollback_on_request_uses_the_kept_plans():
    first = make_plan(hosts(), options())
    given = with_journals(first, all={"step": "finished", "open": False, "started": True, "proven": True})
    plan = make_plan(given, options(rollback=True))
    assert {own["mode"] for own in plan["hosts"].values()} == {"rollback"}
    assert "its revisions go back" in plan["warnings"][0]["cause"]
    assert "kube-apiserver first, then kube-controller-manager" in plan["warnings"][0]["cause"]
    unserved = make_plan(with_journals(first, all={"step": "stopped"}), options(rollback=True))
    assert unserved["warnings"] == []
    assert "nothing to roll back" in causes(make_plan(hosts(), options(rollback=True)))


def test_a_journal_that_cannot_be_read_is_the_hosts_own_reason_to_refuse():
    given = hosts()
    given["host2"]["member"]["journal"] = {"problem": "line 3 of /x is no step.", "next_step": "see what wrote to it."}
    for asked in (options(), options(rollback=True)):
        plan = make_plan(given, asked)
        assert [(item["host"], item["cause"], item["next_step"]) for item in plan["refusals"]] == [
            ("host2", "line 3 of /x is no step.", "see what wrote to it.")
        ]
        assert any("REFUSED" in line and "host2" in line for line in plan_in_words(plan))


def test_a_restore_that_goes_on_heeds_the_service_that_is_named_now():
    given = with_journals(make_plan(hosts(), options()))
    for facts in given.values():
        facts["member"]["journal"]["plan"]["member"]["service"]["name"] = "wrong"
    now = given["host1"]["member"]

    def planned():
        return make_plan(given, options())["hosts"]["host1"]["member"]

    now["service"]["name"] = "right"
    assert planned()["service"]["name"] == "right"
    now["running"] = False
    assert planned()["service"]["name"] == "wrong"
    now["service"]["named"] = True
    assert planned()["service"] == now["service"] and planned()["name"] == "m1"


def test_a_host_that_was_left_out_of_the_last_restore_does_not_decide_which_is_the_newest():
    """Its own newest is older on all others, whatever the clock of the controller said when it was made."""
    first = make_plan(hosts(), options(now="2026-11-24T09:00:00Z"))
    older = first["clusters"]["etcd"]["restore_id"]
    second = make_plan(hosts(), options(now="2026-11-24T04:00:00Z", nonce="9999"))
    given = with_journals(second, all={"step": "finished", "open": False, "earlier": [older]})
    given["host3"]["member"]["journal"] = with_journals(first)["host3"]["member"]["journal"]
    plan = make_plan(given, options(rollback=True))
    assert plan["clusters"]["etcd"]["restore_id"] == second["clusters"]["etcd"]["restore_id"]
    assert [item["host"] for item in plan["refusals"]] == ["host3"]


def test_hosts_that_cannot_say_which_restore_is_the_newest_are_told_apart_by_the_operator():
    first, second = make_plan(hosts(), options()), make_plan(hosts(), options(nonce="9999"))
    given = with_journals(second, all={"step": "finished", "open": False})
    given["host3"]["member"]["journal"] = with_journals(first)["host3"]["member"]["journal"]
    plan = make_plan(given, options(rollback=True))
    assert "do not agree which restore is the newest" in causes(plan) and plan["hosts"] == {}
    for own in (first, second):
        assert own["clusters"]["etcd"]["restore_id"] in causes(plan)
    assert make_plan(given, options(rollback=True, exclude=("host3",)))["refusals"] == []


@pytest.mark.parametrize(("cluster", "refused"), [("etcd", True), ("etcd-events", False)])
def test_an_interrupted_restore_in_a_data_directory_of_before_is_ended_first(cluster, refused):
    """Another cluster's on the same host is none of ours."""
    other = {"restore_id": "1", "cluster": cluster, "data_dir": "/var/lib/old"}
    plan = make_plan(broken(lambda found, _facts: found.update(interrupted_elsewhere=[other])), options())
    words = "host3: the restore 1 of this cluster was interrupted here, and its data directory was /var/lib/old"
    assert (words in causes(plan)) is refused and bool(plan["refusals"]) is refused
