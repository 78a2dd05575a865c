# SPDX-License-Identifier: GPL-3.0-or-later
"""How the snapshot comes to the hosts that have it not."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    GIB,
    SHA,
    causes,
    hosts,
    options,
    packed,
    snapshot,
)


def test_a_snapshot_on_one_member_goes_by_way_of_the_controller():
    given = hosts()
    given["host3"]["snapshots"] = [snapshot()]
    plan = make_plan(given, options(controller_snapshots=[]))["hosts"]
    assert plan["host3"]["snapshot"]["fetch_to"] == f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    assert plan["host1"]["snapshot"]["copy_from"] == f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    assert plan["host1"]["snapshot"]["fetch_to"] == ""


def test_a_compressed_snapshot_is_unpacked_on_the_controller_once():
    plan = make_plan(hosts(), options(controller_snapshots=[packed()]))
    spool = f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    found = [plan["hosts"][host]["snapshot"] for host in ("host1", "host2", "host3")]
    assert [own["unpack_from"] for own in found] == ["/backups/a.db.gz", "", ""]
    assert [own["spool"] for own in found] == [spool, "", ""]
    assert {own["copy_from"] for own in found} == {spool} and {own["fetch_to"] for own in found} == {""}
    assert plan["clusters"]["etcd"]["spool"] == {
        "path": "/spool/etcd-20261124T030000Z-653df72f",
        "need": 1100,
        "unpacks": True,
    }
    assert "unpacked (gzip) on the controller" in "\n".join(plan_in_words(plan))


def test_a_compressed_snapshot_on_a_host_goes_to_the_controller_as_it_is():
    given = hosts()
    given["host3"]["snapshots"] = [packed()]
    plan = make_plan(given, options(controller_snapshots=[]))["hosts"]
    at = f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    third, first = plan["host3"]["snapshot"], plan["host1"]["snapshot"]
    assert (third["fetch_from"], third["fetch_to"], third["fetch_size"]) == ("/backups/a.db.gz", at + ".packed", 300)
    assert third["transfer"] and third["spool"] == at and third["path"].endswith(f"/snapshots/{SHA[:16]}.db")
    assert first["unpack_from"] == at + ".packed" and first["copy_from"] == at


def test_too_little_room_to_unpack_is_refused():
    plan = make_plan(hosts(), options(controller_snapshots=[packed(size=GIB)]))
    assert "etcd_restore_spool" in causes(plan) and "on the controller" in causes(plan)


def test_what_the_controller_cannot_unpack_the_host_unpacks_on_its_way():
    given = hosts()
    given["host3"]["snapshots"] = [snapshot("/backups/a.db.zst", compression="zstd", packed_size=300)]
    plan = make_plan(given, options(controller_snapshots=[], can_unpack=["gzip"]))
    at = f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    third, first = plan["hosts"]["host3"]["snapshot"], plan["hosts"]["host1"]["snapshot"]
    assert (third["fetch_to"], third["fetch_size"], third["fetch_unpacked"]) == (at, 1000, "zstd")
    assert (first["unpack_from"], first["copy_from"], first["fetch_unpacked"]) == ("", at, "")
    assert plan["clusters"]["etcd"]["spool"]["unpacks"] is False and plan["refusals"] == []
    refused = make_plan(hosts(), options(controller_snapshots=[snapshot(compression="zstd")], can_unpack=["gzip"]))
    assert "is packed by zstd, and there is no zstd on the controller" in causes(refused)
