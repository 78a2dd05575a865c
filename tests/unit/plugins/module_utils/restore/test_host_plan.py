# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a restore on one host: where it reads the snapshot, what changes places, and whose the new data is."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    broken,
    disk,
    folder,
    hosts,
    member,
    options,
    pod,
    snapshot,
)


def test_a_rollback_starts_a_static_pod_whose_manifest_was_in_its_place():
    members = [pod(1, "running", True), pod(2, "failed", False), pod(3, "stopped", False)]
    plan = make_plan(hosts(members=members), options())["hosts"]
    assert [plan[host]["was_to_run"] for host in sorted(plan)] == [True, True, False]
    assert [plan[host]["was_running"] for host in sorted(plan)] == [True, False, False]


def test_a_host_that_has_the_bytes_gets_no_copy():
    given = hosts()
    given["host1"]["snapshots"] = [snapshot("/var/backups/etcd/other-name.db")]
    plan = make_plan(given, options())["hosts"]
    assert plan["host1"]["snapshot"]["path"] == "/var/backups/etcd/other-name.db"
    assert not plan["host1"]["snapshot"]["transfer"]
    assert plan["host2"]["snapshot"]["copy_from"] == "/backups/a.db"


def test_bytes_that_nobody_has_read_are_brought_anew():
    given = hosts()
    given["host1"]["snapshots"] = [snapshot("/var/backups/etcd/a.db", verified=False)]
    assert make_plan(given, options())["hosts"]["host1"]["snapshot"]["transfer"]


def test_data_is_swapped_beside_the_old_and_a_mount_point_by_its_contents():
    mounted = member(1)
    mounted["data"] = {**mounted["data"], "is_mount": True}
    plan = make_plan(hosts(members=[mounted, member(2), member(3)]), options())["hosts"]
    inside, beside = plan["host1"]["swaps"][0], plan["host2"]["swaps"][0]
    assert inside["kind"] == "contents"
    assert inside["staged"] == "/var/lib/etcd/.restore-20261124T030000Z-653df72f"
    assert inside["aside"] == "/var/lib/etcd/.before-20261124T030000Z-653df72f"
    assert beside["aside"] == "/var/lib/etcd.before-20261124T030000Z-653df72f"


def test_a_wal_directory_of_its_own_is_swapped_too():
    apart = member(1, wal_dir="/wal/etcd")
    apart["wal"] = folder(exists=True, device=2)
    apart["disk"] = [*apart["disk"], disk("/wal/etcd", 2)]
    own = make_plan(hosts(members=[apart, member(2), member(3)]), options())["hosts"]["host1"]
    assert [swap["live"] for swap in own["swaps"]] == ["/var/lib/etcd", "/wal/etcd"]
    assert "--wal-dir=/wal/etcd.restore-20261124T030000Z-653df72f" in own["restore"]["argv"]


def test_a_wal_directory_inside_the_data_directory_moves_with_it():
    within = member(1, wal_dir="/var/lib/etcd/wal")
    own = make_plan(hosts(members=[within, member(2), member(3)]), options())["hosts"]["host1"]
    assert len(own["swaps"]) == 1
    assert "--wal-dir=/var/lib/etcd.restore-20261124T030000Z-653df72f/wal" in own["restore"]["argv"]


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({}, {"user": "etcd", "group": "etcd", "mode": "0700"}),
        ({"data": {"owner": 0, "group": 0}}, {"user": "etcd", "group": "etcd", "mode": "0700"}),
        ({"service": {"group": "store"}}, {"user": "etcd", "group": "store", "mode": "0700"}),
        ({"service": {"user": ""}}, {"user": 106, "group": 112, "mode": "0700"}),
        ({"service": {"user": "root"}}, {"user": 106, "group": 112, "mode": "0700"}),
        ({"service": {"dynamic_user": True}}, {"user": 106, "group": 112, "mode": "0700"}),
        (
            {"service": {"dynamic_user": True}, "data": {"exists": False, "has_member": False, "parent_owner": [0, 0]}},
            {"user": 0, "group": 0, "mode": "0700"},
        ),
        (
            {"service": {"user": ""}, "data": {"exists": False, "has_member": False, "owner": None}},
            {"user": None, "group": None, "mode": "0700"},
        ),
    ],
)
def test_new_data_is_given_to_whom_the_service_runs_as_and_else_to_the_owner_of_the_old(changes, owner):
    given = hosts()
    for key, values in changes.items():
        given["host1"]["member"][key].update(values)
    assert make_plan(given, options())["hosts"]["host1"]["owner"] == owner


def test_a_unit_that_waits_between_two_tries_is_to_run():
    def waits(found, _facts):
        found.update(running=False)
        found["service"].update(restarting=True)

    plan = make_plan(broken(waits), options())
    assert plan["hosts"]["host3"]["was_to_run"] and not plan["hosts"]["host3"]["was_running"]
    assert "(it does not run)" not in "\n".join(plan_in_words(plan))
