# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a restore as a whole: of several clusters, confirmed, the same for the same input."""

from __future__ import annotations

import copy

from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import hosts, options, snapshot


def test_same_input_same_plan():
    assert make_plan(hosts(), options()) == make_plan(hosts(), options())
    one, two = make_plan(hosts(), options()), make_plan(hosts(), options(nonce="1e1e"))
    assert one["clusters"]["etcd"]["token"] != two["clusters"]["etcd"]["token"]
    assert make_plan(hosts(), options(token="given"))["clusters"]["etcd"]["token"] == "given"


def test_each_cluster_has_a_plan_of_its_own():
    given = hosts()
    other = {f"other{n}": copy.deepcopy(facts) for n, facts in enumerate(hosts().values(), 1)}
    for facts in other.values():
        facts["cluster"] = "west"
    mine = [snapshot(), snapshot("/backups/w.db", manifest={"cluster": "west"}, sha256="ef" * 32)]
    plan = make_plan({**given, **other}, options(controller_snapshots=mine))
    assert plan["clusters"]["west"]["snapshot"]["path"] == "/backups/w.db"
    assert plan["clusters"]["etcd"]["token"] != plan["clusters"]["west"]["token"]
    assert "etcd_restore_confirm=all" in confirmation(plan, WORDS, "etcd", "all")
    assert confirmation(plan, WORDS, "all", "all") == ""


def test_of_several_clusters_the_refusal_says_which_and_how_to_go_on():
    given = hosts()
    for facts in hosts().values():
        given[facts["member"]["name"]] = {**facts, "cluster": "west"}
    given["m3"].update(member=None, why="cannot be reached: Connection refused")
    plan = make_plan(given, options(controller_snapshots=[snapshot(), snapshot("/w.db", manifest={"cluster": "west"})]))
    text = refusals_in_words(plan, WORDS)
    assert (
        "west: m3: it cannot be reached: Connection refused. It is" in text
        and "(etcd), run for their groups alone: -e target=GROUP" in text
    )
    assert any("--name=m2" in line for line in plan_in_words(plan)), "the plan of the other is shown"


def test_confirmation_is_the_name_of_the_cluster():
    plan = make_plan(hosts(), options())
    assert confirmation(plan, WORDS, "etcd") == ""
    assert "run again with -e etcd_restore_confirm=etcd" in confirmation(plan, WORDS, "")
    assert "etcd_restore_confirm is 'Etcd', and that is not its name" in confirmation(plan, WORDS, "Etcd")
    assert "that is not its name" not in confirmation(plan, WORDS, "")


def test_a_folder_that_the_report_cannot_be_written_to_is_said_in_the_plan():
    plan = make_plan(hosts(), options(unwritable=["/home/ops/reports"]))
    assert plan["refusals"] == []
    assert any("can be written to /home/ops/reports" in item["cause"] for item in plan["warnings"])
