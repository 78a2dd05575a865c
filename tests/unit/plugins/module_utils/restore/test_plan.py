# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a restore: what it computes, and every reason for which it refuses."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Findings, confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import identity
from ansible_collections.quorum.etcd.plugins.module_utils.restore.checks import check_service
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import (
    BUMP_MARGIN,
    Options,
    _corrected,
    make_plan,
)
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words

GIB = 1 << 30
NOW = "2026-11-24T03:00:00Z"
SHA = "ab" * 32
INITIAL = "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380"


def tool(name, version):
    return {"path": f"/usr/bin/{name}", "version": version}


def member(number, version="3.5.35", **changes):
    name = f"m{number}"
    found = {
        "found": True,
        "running": True,
        "pid": 1,
        "service": {
            "manager": "systemd",
            "name": "etcd.service",
            "manifest": "",
            "start_command": "",
            "stop_command": "",
            "status_command": "",
            "state": "running",
            "enabled": True,
            "user": "etcd",
            "group": "",
            "dynamic_user": False,
            "notifies": True,
            "start_timeout": 90.0,
        },
        "name": name,
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "client_urls": [f"http://10.0.0.{number}:2379"],
        "listen_peer_urls": [],
        "listen_client_urls": [],
        "data_dir": "/var/lib/etcd",
        "wal_dir": "",
        "data": {
            "exists": True,
            "empty": False,
            "is_etcd": True,
            "has_member": True,
            "entries": ["member"],
            "foreign": [],
            "contained": "",
            "parent_owner": [0, 0],
            "is_mount": False,
            "owner": 106,
            "group": 112,
            "mode": "0700",
            "db_size": 1000,
            "device": 1,
            "revision": 0,
            "member_ids": [],
        },
        "wal": {"exists": False, "is_mount": False, "device": None},
        "disk": [{"path": "/var/lib/etcd", "device": 1, "noexec": False, "free": 10 * GIB, "total": 20 * GIB}],
        "initial_cluster": INITIAL,
        "initial_cluster_state": "existing",
        "initial_cluster_token": "etcd-cluster",
        "tls": {},
        "tools": {
            "etcd": tool("etcd", version),
            "etcdctl": tool("etcdctl", version),
            "etcdutl": None if version.startswith("3.4") else tool("etcdutl", version),
        },
        "config": {"format": "env", "path": "/etc/default/etcd"},
        "settings": {
            "initial-cluster": {"value": INITIAL, "format": "env", "path": "/etc/default/etcd"},
            "initial-cluster-state": {"value": "existing", "format": "env", "path": "/etc/default/etcd"},
            "initial-cluster-token": {"value": "etcd-cluster", "format": "env", "path": "/etc/default/etcd"},
        },
        "state_dir": "/var/lib/quorum-etcd",
        "connection": {
            "endpoints": [f"http://10.0.0.{number}:2379"],
            "cacert": "",
            "cert": "",
            "key": "",
            "bin_dir": "/usr/bin",
        },
        "journal": {},
        "interrupted_elsewhere": [],
        "kubernetes": {"pods": [], "kubelet": False, "running": [], "keys": None},
        "unsettable": [],
        "shadowed": {},
    }
    found.update(changes)
    return found


def answer(number, state="serves", refusal="", error=""):
    return {
        "endpoint": f"http://10.0.0.{number}:2379",
        "ok": state == "serves",
        "state": state,
        "error": error,
        "refusal": refusal,
        "next_step": f"cure: {refusal}." if refusal else "",
        "member_id": str(number) if state == "serves" else "",
        "cluster_id": "",
    }


def listed(number):
    return {
        "id": str(number),
        "name": f"m{number}",
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "endpoint": f"http://10.0.0.{number}:2379",
        "state": "serves",
        "errors": [],
    }


def view(number=1, revision=120, leader="m2", quorum=True, cluster_id="aaaa"):
    return {
        "cluster_id": cluster_id,
        "members": [listed(n) for n in (1, 2, 3)],
        "members_complete": True,
        "endpoints": [answer(number)],
        "quorum_unknown": False,
        "opens": [],
        "leader": "2",
        "leader_name": leader,
        "has_quorum": quorum,
        "cluster_ids": [cluster_id],
        "revision": revision,
    }


def snapshot(path="/backups/a.db", **changes):
    entry = {
        "path": path,
        "name": path.rsplit("/", 1)[-1],
        "real_path": path,
        "ok": True,
        "verified": True,
        "reason": "",
        "compression": "",
        "packed_size": 0,
        "kind": "snapshot",
        "size": 1000,
        "sha256": SHA,
        "trailer": "ef" * 32,
        "revision": 100,
        "key_revision": 100,
        "taken_at": "2026-11-24T02:30:00Z",
        "cluster_version": "3.5.0",
        "members": [{"id": "1", "name": "m1", "peer_urls": ["http://10.0.0.1:2380"]}],
        "manifest": {"cluster": "etcd", "user_keys": 7},
        "kubernetes": False,
        "encryption_keys": [],
    }
    entry.update(changes)
    return entry


def hosts(snapshots=(), members=None, **views):
    members = members or [member(1), member(2), member(3)]
    return {
        f"host{number}": {
            "cluster": "etcd",
            "why": "",
            "member": found,
            "view": view(number, **views),
            "snapshots": list(snapshots),
        }
        for number, found in enumerate(members, 1)
    }


def options(**changes):
    given = {"now": NOW, "nonce": "0f0f", "spool": "/spool", "spool_free": GIB, "controller_snapshots": [snapshot()]}
    given.update(changes)
    return Options(**given)


def causes(plan):
    return " | ".join(f"{item['host']}: {item['cause']} {item['next_step']}" for item in plan["refusals"])


def test_same_input_same_plan():
    assert make_plan(hosts(), options()) == make_plan(hosts(), options())
    one, two = make_plan(hosts(), options()), make_plan(hosts(), options(nonce="1e1e"))
    assert one["clusters"]["etcd"]["token"] != two["clusters"]["etcd"]["token"]
    assert make_plan(hosts(), options(token="given"))["clusters"]["etcd"]["token"] == "given"


def test_every_host_restores_the_same_bytes_as_itself():
    plan = make_plan(hosts(), options(token="t"))
    assert plan["refusals"] == []
    argv = plan["hosts"]["host2"]["restore"]["argv"]
    assert argv == [
        "/usr/bin/etcdutl",
        "snapshot",
        "restore",
        f"/var/lib/quorum-etcd/snapshots/{SHA[:16]}.db",
        "--name=m2",
        f"--initial-cluster={INITIAL}",
        "--initial-cluster-token=t",
        "--initial-advertise-peer-urls=http://10.0.0.2:2380",
        "--data-dir=/var/lib/etcd.restore-20261124T030000Z-653df72f",
        f"--bump-revision={BUMP_MARGIN + 20}",
        "--mark-compacted",
    ]
    assert {own["snapshot"]["sha256"] for own in plan["hosts"].values()} == {SHA}


def test_identities_are_predicted_from_urls_and_token():
    cluster = make_plan(hosts(), options(token="t"))["clusters"]["etcd"]
    ids = [identity.member_id([f"http://10.0.0.{n}:2380"], "t") for n in (1, 2, 3)]
    assert cluster["members"] == {identity.hex_id(number): f"m{n}" for n, number in enumerate(ids, 1)}
    assert cluster["cluster_id"] == identity.hex_id(identity.cluster_id(ids))


def test_the_loss_is_told_in_seconds_and_revisions():
    assert make_plan(hosts(), options())["clusters"]["etcd"]["loss"] == {
        "seconds": 1800,
        "revisions": 20,
        "unknown": "",
    }


def test_where_no_member_tells_its_revision_the_lost_ones_are_unknown():
    loss = make_plan(hosts(revision=0), options())["clusters"]["etcd"]["loss"]
    assert (loss["revisions"], loss["unknown"]) == (None, "no member can tell")


def test_lost_revisions_are_those_that_were_written_and_not_those_of_a_bump():
    """Seen: "4,000,000,002 revisions will be lost"."""
    first = make_plan(hosts(), options())
    made = first["clusters"]["etcd"]

    def loss(now, **changes):
        given = with_journals(first, all={"step": "finished", "open": False})
        for facts in given.values():
            facts["view"] = view(revision=now, cluster_id=made["cluster_id"])
        plan = make_plan(
            given, options(controller_snapshots=[snapshot(**changes)], again=True, snapshot="/backups/a.db")
        )
        return plan["clusters"]["etcd"]["loss"]["revisions"], "\n".join(plan_in_words(plan))

    proven = made["revision"] + 2  # the proof has written a key and deleted it
    assert loss(proven + 7)[0] == 7, "the snapshot of that restore once more"
    assert loss(proven + 7, revision=90, key_revision=90)[0] == 17, "and one that is older by 10"
    assert loss(made["revision"])[0] == 0, "a proof that could not write"
    after = made["revision"] + 3
    assert loss(made["revision"] + 7, revision=after, key_revision=after)[0] == 4, "and one that was taken since"
    revisions, words = loss(made["revision"] + 4 * BUMP_MARGIN)  # other restores, of which nothing is recorded
    assert revisions is None
    assert "how many revisions that is, cannot be told: a restore has raised the revision in between" in words


def test_a_snapshot_far_above_the_members_is_not_called_no_loss():
    """A snapshot of a restore that was taken back has the higher revision; what was written since is lost all the same."""
    far = 100 + BUMP_MARGIN
    plan = make_plan(hosts(), options(controller_snapshots=[snapshot(revision=far, key_revision=far)]))
    assert plan["clusters"]["etcd"]["loss"]["revisions"] is None


def test_what_would_make_the_restored_cluster_useless_is_said_before():
    small = member(2)
    small["settings"]["quota-backend-bytes"] = {"value": "1000", "format": "env", "path": "/etc/default/etcd"}
    plan = make_plan(hosts(members=[member(1), small, member(3)]), options())
    assert "host2: its quota-backend-bytes is 1000" in causes(plan) and len(plan["refusals"]) == 1
    alarmed = make_plan(hosts(), options(controller_snapshots=[snapshot(alarms=["NOSPACE"])]))
    assert alarmed["refusals"] == []
    assert any("a NOSPACE alarm is in the snapshot" in warning["cause"] for warning in alarmed["warnings"])


def test_the_leader_stops_last():
    plan = make_plan(hosts(), options())["hosts"]
    assert [plan[f"host{number}"]["leads"] for number in (1, 2, 3)] == [False, True, False]
    assert plan["host2"]["others"] == ["http://10.0.0.1:2380", "http://10.0.0.3:2380"]


def test_configuration_goes_to_new_with_the_fresh_token():
    edit = make_plan(hosts(), options(token="t"))["hosts"]["host1"]["config"][0]
    assert edit["path"] == "/etc/default/etcd"
    assert edit["after"]["initial-cluster-token"] == "t"
    assert edit["after"]["initial-cluster-state"] == "new"
    assert edit["before"]["initial-cluster-state"] == "existing"


def pod(number, state, running):
    """A member that a kubelet runs, whose tools are in its container."""
    found = member(number, "3.6.16", running=running)
    found["service"].update(manager="static_pod", manifest="/m/etcd.yaml", kubelet=True, image="e:1", state=state)
    for name, there in found["tools"].items():
        there["path"] = f"/proc/7/root/usr/local/bin/{name}"
    place = {"format": "static_pod", "path": "/m/etcd.yaml"}
    found["config"] = place
    found["settings"] = {"initial-cluster": {"value": "m1=http://10.0.0.1:2380", **place}}
    return found


def test_a_static_pod_starts_once_with_existing_since_its_kubelet_restarts_it_at_each_change():
    plan = make_plan(
        hosts(members=[pod(1, "running", True), pod(2, "failed", False), pod(3, "stopped", False)]), options()
    )
    assert plan["refusals"] == []
    for own in plan["hosts"].values():
        assert own["config"][0]["after"]["initial-cluster-state"] == "existing"
        assert own["restore"]["argv"][0] == "/var/lib/quorum-etcd/bin/3.6.16/etcdutl"
    words = "\n".join(plan_in_words(plan))
    assert "when proven" not in words
    assert "by the kubelet: /m/etcd.yaml -> /var/lib/quorum-etcd/static-pods/etcd.yaml" in words
    assert "by the kubelet: /var/lib/quorum-etcd/static-pods/etcd.yaml -> /m/etcd.yaml" in words


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


def test_a_snapshot_on_one_member_goes_by_way_of_the_controller():
    given = hosts()
    given["host3"]["snapshots"] = [snapshot()]
    plan = make_plan(given, options(controller_snapshots=[]))["hosts"]
    assert plan["host3"]["snapshot"]["fetch_to"] == f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    assert plan["host1"]["snapshot"]["copy_from"] == f"/spool/etcd-20261124T030000Z-653df72f/{SHA}.db"
    assert plan["host1"]["snapshot"]["fetch_to"] == ""


def test_bytes_that_nobody_has_read_are_brought_anew():
    given = hosts()
    given["host1"]["snapshots"] = [snapshot("/var/backups/etcd/a.db", verified=False)]
    assert make_plan(given, options())["hosts"]["host1"]["snapshot"]["transfer"]


def packed(path="/backups/a.db.gz", **changes):
    return snapshot(path, compression="gzip", packed_size=300, **changes)


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
    apart["wal"] = {"exists": True, "is_mount": False, "device": 2}
    apart["disk"] = [*apart["disk"], {"path": "/wal/etcd", "device": 2, "free": GIB, "total": GIB}]
    own = make_plan(hosts(members=[apart, member(2), member(3)]), options())["hosts"]["host1"]
    assert [swap["live"] for swap in own["swaps"]] == ["/var/lib/etcd", "/wal/etcd"]
    assert "--wal-dir=/wal/etcd.restore-20261124T030000Z-653df72f" in own["restore"]["argv"]


def test_a_wal_directory_inside_the_data_directory_moves_with_it():
    within = member(1, wal_dir="/var/lib/etcd/wal")
    own = make_plan(hosts(members=[within, member(2), member(3)]), options())["hosts"]["host1"]
    assert len(own["swaps"]) == 1
    assert "--wal-dir=/var/lib/etcd.restore-20261124T030000Z-653df72f/wal" in own["restore"]["argv"]


def test_no_bump_where_the_tool_cannot_and_a_warning():
    plan = make_plan(
        hosts(members=[member(n, "3.4.23") for n in (1, 2, 3)]),
        options(controller_snapshots=[snapshot(cluster_version="3.4.0")]),
    )
    assert plan["clusters"]["etcd"]["bump"] == 0
    assert "revisions go back" in plan["warnings"][0]["cause"]
    assert plan["hosts"]["host1"]["restore"]["argv"][0] == "/usr/bin/etcdctl"


@pytest.mark.parametrize("seen", [50, 100, 5000])
def test_the_bump_rises_above_all_that_was_ever_seen(seen):
    cluster = make_plan(hosts(revision=seen), options())["clusters"]["etcd"]
    assert cluster["revision"] >= max(seen, 100) + BUMP_MARGIN


RECORDS = {
    "a journal": lambda given: given["host1"]["member"].update(journal={"highest_revision": 5000}),
    "a manifest on a host": lambda given: given["host2"].update(recorded={"etcd": 5000, "other": 6000}),
    "a newer snapshot": lambda given: given["host2"].update(snapshots=[snapshot("/b.db", revision=5000, ok=False)]),
    "the database of a stopped member": lambda given: given["host3"]["member"]["data"].update(revision=5000),
    "a host that is left out": lambda given: (
        given["host3"]["member"].update(running=False),
        given["host3"]["member"]["data"].update(revision=5000),
    ),
    "a manifest on the controller": lambda given: None,
}


@pytest.mark.parametrize("record", RECORDS)
def test_what_is_recorded_anywhere_counts_for_the_bump(record):
    given = hosts()
    RECORDS[record](given)
    on_controller = {"etcd": 5000, "other": 6000} if "controller" in record else {}
    plan = make_plan(
        given,
        options(controller_revisions=on_controller, exclude=["host3", "m3"] if "left out" in record else ()),
    )
    assert plan["refusals"] == []
    assert plan["clusters"]["etcd"]["revision"] == 5000 + BUMP_MARGIN
    assert plan["hosts"]["host1"]["of"]["seen"] == 5000


def test_the_bump_counts_from_the_last_key_which_a_compaction_can_leave_behind():
    plan = make_plan(hosts(), options(controller_snapshots=[snapshot(key_revision=90)]))
    assert plan["clusters"]["etcd"]["revision"] == 120 + BUMP_MARGIN
    assert f"--bump-revision={BUMP_MARGIN + 30}" in plan["hosts"]["host1"]["restore"]["argv"]
    flat = make_plan(hosts(), options(controller_snapshots=[snapshot(key_revision=90)], bump_revision=False))
    assert flat["clusters"]["etcd"]["revision"] == 100


def test_a_revision_that_cannot_be_raised_any_more_is_refused():
    highest = (1 << 63) - 1
    given = hosts(revision=highest - BUMP_MARGIN)
    assert make_plan(given, options())["clusters"]["etcd"]["revision"] == highest
    given["host1"]["recorded"] = {"etcd": highest - BUMP_MARGIN + 1}
    assert "no revision can be 1,000,000,000 above it" in causes(make_plan(given, options()))


def test_the_newest_verified_snapshot_of_this_cluster_is_chosen():
    older = snapshot("/backups/old.db", taken_at="2026-11-24T01:00:00Z", sha256="cd" * 32)
    newer_but_bad = snapshot("/backups/bad.db", taken_at="2026-11-24T02:59:00Z", ok=False, reason="hash mismatch.")
    of_another = snapshot("/backups/other.db", taken_at="2026-11-24T02:59:00Z", manifest={"cluster": "other"})
    plan = make_plan(hosts(), options(controller_snapshots=[older, newer_but_bad, of_another, snapshot()]))
    assert plan["clusters"]["etcd"]["snapshot"]["path"] == "/backups/a.db"


def test_the_newest_is_that_with_the_highest_revision_and_a_disagreement_is_a_warning():
    """Seen: an old snapshot that was copied into the folder was preferred to a newer one with a manifest."""
    told = {"cluster": "etcd", "cluster_id": "aaaa", "taken_at": "2026-11-24T01:00:00Z", "user_keys": 7}
    best = snapshot("/backups/best.db", taken_at="2026-11-24T01:00:00Z", sha256="cd" * 32, manifest=told)
    copied = snapshot("/backups/copied.db", revision=60, taken_at="2026-11-24T02:59:00Z", verified=False, manifest=None)
    plan = make_plan(hosts(), options(controller_snapshots=[copied, best]))
    assert plan["clusters"]["etcd"]["snapshot"]["path"] == "/backups/best.db"
    (warning,) = [item["cause"] for item in plan["warnings"] if "newest" in item["cause"]]
    assert "/backups/best.db on the controller (revision 100, taken 2026-11-24T01:00:00Z) is taken" in warning
    assert "copied.db on the controller (revision 60, taken 2026-11-24T02:59:00Z by its file time)" in warning
    assert "-e etcd_restore_snapshot=/backups/copied.db" in warning
    named = make_plan(hosts(), options(controller_snapshots=[copied, best], snapshot="/backups/best.db"))
    assert not [item for item in named["warnings"] if "newest" in item["cause"]], "who names one has chosen"


def test_a_snapshot_of_a_restore_that_was_taken_back_is_not_the_newest():
    first = make_plan(hosts(), options())
    made = first["clusters"]["etcd"]
    given = with_journals(first, all={"step": "rolled_back", "open": False, "back": True})
    for facts in given.values():
        facts["view"] = None
        facts["member"]["running"] = False
    manifest = {"cluster": "etcd", "cluster_id": made["cluster_id"], "taken_at": "2026-11-24T02:59:00Z"}
    told = {"taken_at": manifest["taken_at"], "manifest": manifest, "revision": made["revision"] + 5}
    members = [{"id": number, "name": name, "peer_urls": []} for number, name in made["members"].items()]
    undone = snapshot("/backups/undone.db", members=members, **told)
    plan = make_plan(given, options(controller_snapshots=[undone, snapshot()]))
    assert plan["clusters"]["etcd"]["snapshot"]["path"] == "/backups/a.db"
    assert any("/backups/undone.db" in item["cause"] for item in plan["warnings"])


def test_a_file_time_is_called_one():
    text = "\n".join(plan_in_words(make_plan(hosts(), options(controller_snapshots=[snapshot(manifest=None)]))))
    assert "taken 2026-11-24T02:30:00Z by its file time" in text and "(30 min ago by its file time)" in text
    told = {"cluster": "etcd", "taken_at": "2026-11-24T02:30:00Z"}
    text = "\n".join(plan_in_words(make_plan(hosts(), options(controller_snapshots=[snapshot(manifest=told)]))))
    assert "file time" not in text


def test_a_snapshot_without_manifest_is_known_by_its_members():
    entry = snapshot(manifest=None)
    assert make_plan(hosts(), options(controller_snapshots=[entry]))["refusals"] == []
    stranger = snapshot(manifest=None, members=[{"id": "9", "name": "x", "peer_urls": ["http://10.9.9.9:2380"]}])
    assert "no usable snapshot" in causes(make_plan(hosts(), options(controller_snapshots=[stranger])))


# ---- refusals --------------------------------------------------------------------------------------------------------


def broken(change):
    given = hosts()
    change(given["host3"]["member"], given["host3"])
    return given


@pytest.mark.parametrize(
    "why", ["is not part of this run (--limit)", "could not be looked at: Incorrect sudo password"]
)
def test_a_host_that_is_missing_is_one_reason_and_not_also_a_stranger_in_its_own_cluster(why):
    given = broken(lambda _member, facts: facts.update(member=None, why=why, view=None, snapshots=[]))
    plan = make_plan(given, options(controller_snapshots=[]))
    assert [(item["host"], item["cause"].startswith(f"it {why}. It is a member")) for item in plan["refusals"]] == [
        ("host3", True)
    ]


REFUSALS = {
    "left out by limit": (
        lambda m, h: h.update(member=None, why="is not part of this run (--limit)"),
        "host3: it is not part of this run (--limit)",
    ),
    "unreachable": (
        lambda m, h: h.update(member=None, why="cannot be reached: Connection refused."),
        "host3: it cannot be reached: Connection refused. It is a member of this cluster",
    ),
    "one name twice": (lambda m, h: m.update(name="m1"), "host3: it has the same name as host1: m1"),
    "one peer URL twice": (
        lambda m, h: m.update(peer_urls=["http://10.0.0.1:2380"]),
        "host3: it has the same peer URL as host1: http://10.0.0.1:2380",
    ),
    "no etcd": (
        lambda m, h: m.update(found=False, tools={"etcd": None, "etcdctl": None, "etcdutl": None}),
        "host3: no etcd was found here",
    ),
    "no tools": (
        lambda m, h: m["tools"].update(etcdctl=None, etcdutl=None),
        "host3: neither etcdutl nor etcdctl was found",
    ),
    "no etcdutl on 3.6": (
        lambda m, h: m.update(
            tools={"etcd": tool("etcd", "3.6.1"), "etcdctl": tool("etcdctl", "3.6.1"), "etcdutl": None}
        ),
        "host3: etcdutl is missing",
    ),
    "no name": (lambda m, h: m.update(name=""), "host3: its name could not be read from the host. set etcd_name"),
    "foreign data dir": (
        lambda m, h: m["data"].update(is_etcd=False, entries=["photos"]),
        "host3: /var/lib/etcd is not a data directory of etcd: it holds photos",
    ),
    "a mount inside": (
        lambda m, h: m["data"].update(inner_mounts=["/var/lib/etcd/member"]),
        "host3: /var/lib/etcd/member is a file system of its own",
    ),
    "full disk": (
        lambda m, h: m["disk"][0].update(free=1 << 20),
        "host3: the file system of /var/lib/etcd has 1 MiB free",
    ),
    "no tools but in an image that cannot be opened": (
        lambda m, h: m.update(
            service={**m["service"], "manager": "static_pod", "image": "e:1"},
            tools={"etcd": tool("etcd", "3.6.1"), "etcdctl": tool("etcdctl", "3.6.1"), "etcdutl": None},
            tools_missing={"etcdutl": "no etcdutl in /usr/bin; the image e:1 could not be opened (ctr: no)"},
        ),
        "can no longer restore a snapshot. Looked for: no etcdutl in /usr/bin; the image e:1 could not be opened",
    ),
    "no kubelet": (
        lambda m, h: m["service"].update(manager="static_pod", manifest="/m/etcd.yaml", kubelet=False),
        "host3: the kubelet does not run here, and only it stops and starts the static pod of /m/etcd.yaml",
    ),
    "command without commands": (
        lambda m, h: m["service"].update(manager="command"),
        "host3: its service manager is 'command', but a command to start or to stop it is missing",
    ),
    "data in a container": (
        lambda m, h: (m.update(data_dir=""), m["data"].update(contained="/var/lib/etcd")),
        "host3: its data directory /var/lib/etcd is in the file system of its container",
    ),
    "what is not etcd's in the data directory": (
        lambda m, h: m["data"].update(foreign=["photos", "backup.db"]),
        "host3: /var/lib/etcd also holds what is not etcd's, which would be moved aside with it: photos, backup.db.",
    ),
    "tools of a container in a folder where nothing runs": (
        lambda m, h: (
            m["tools"].update(etcdutl=tool("../proc/7/root/usr/local/bin/etcdutl", "3.5.35")),
            m["tools"]["etcdutl"].update(path="/proc/7/root/usr/local/bin/etcdutl"),
            m["disk"].append({"path": m["state_dir"], "device": 2, "noexec": True, "free": GIB, "total": GIB}),
        ),
        "host3: /var/lib/quorum-etcd is on a file system where nothing can be run (noexec)",
    ),
    "a setting that cannot be set": (
        lambda m, h: m.update(unsettable=[{"cause": "/e.yml: it is a list.", "next_step": "write it by hand."}]),
        "host3: /e.yml: it is a list. write it by hand.",
    ),
    "force-new-cluster": (
        lambda m, h: m["settings"].update(
            {"force-new-cluster": {"value": "true", "format": "env", "path": "/etc/default/etcd"}}
        ),
        "host3: force-new-cluster is set in /etc/default/etcd: it makes etcd forget all other members",
    ),
    "discovery": (
        lambda m, h: m["settings"].update({"discovery-srv": {"value": "example.com", "format": "flag", "path": ""}}),
        "host3: discovery-srv is set in the command line or the environment of its process: etcd does not start with it"
        " beside initial-cluster",
    ),
    "a flag that shadows a variable": (
        lambda m, h: m.update(shadowed={"name": {"flag": "/u.service", "variable": "/etc/default/etcd"}}),
        "host3: name is set twice, as a flag in /u.service and as a variable in /etc/default/etcd",
    ),
    "no time to start": (
        lambda m, h: m["service"].update(start_timeout=5.0),
        "host3: etcd.service has 5 seconds to start, and etcd reads the 0 MiB of this snapshot before it serves",
    ),
    "settings that live nowhere": (
        lambda m, h: m.update(
            config={"format": "", "path": ""},
            settings={key: {**value, "format": "process", "path": ""} for key, value in m["settings"].items()},
        ),
        "host3: ",
    ),
    "older etcd": (
        lambda m, h: m.update(
            tools={"etcd": tool("etcd", "3.4.23"), "etcdctl": tool("etcdctl", "3.4.23"), "etcdutl": None}
        ),
        "host3: /backups/a.db on the controller was written by etcd 3.5",
    ),
}


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


def test_a_start_that_a_slow_disk_makes_too_long_is_warned_of_and_one_without_a_limit_is_not():
    big = snapshot(size=2 * GIB)
    given = hosts(snapshots=[big])
    for facts in given.values():
        facts["member"]["settings"]["quota-backend-bytes"] = {"value": str(8 * GIB), "format": "env", "path": "/e"}
        facts["member"]["service"]["start_timeout"] = 20.0
    plan = make_plan(given, options(controller_snapshots=[]))
    assert plan["refusals"] == []
    assert "on a slow disk systemd ends it before" in plan["warnings"][0]["cause"]
    for facts in given.values():
        facts["member"]["service"]["start_timeout"] = None
    assert make_plan(given, options(controller_snapshots=[]))["warnings"] == []


def test_a_switch_that_is_off_is_no_reason():
    given = hosts()
    given["host1"]["member"]["settings"]["force-new-cluster"] = {"value": "false", "format": "env", "path": "/e"}
    assert make_plan(given, options())["refusals"] == []


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_host_cause_and_next_step(name):
    change, words = REFUSALS[name]
    plan = make_plan(broken(change), options())
    assert words in causes(plan)
    assert plan["hosts"] == {}, "where there is a refusal nothing may be left to do"
    assert all(item["next_step"] for item in plan["refusals"])
    assert "Nothing was touched" in refusals_in_words(plan, WORDS)


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
    guess = {"id": "3", "name": "", "peer_urls": [], "client_urls": ["http://10.0.0.3:2379"], "version": "3.5.35"}
    for facts in alone.values():
        told = {**guess, "endpoint": "http://10.0.0.3:2379", "state": "serves", "errors": []}
        facts["view"].update(has_quorum=False, members_complete=False, members=[told])
    plan = make_plan(alone, options())
    assert plan["refusals"] == [] and plan["hosts"]["host1"]["of"]["old_endpoints"] == []


def test_old_members_that_are_no_part_of_the_new_cluster_are_to_be_asked():
    given = broken(lambda m, h: m.update(running=False))
    assert make_plan(given, options())["hosts"]["host1"]["of"]["old_endpoints"] == []
    left_out = make_plan(given, options(exclude=["host3", "m3"]))
    assert left_out["hosts"]["host1"]["of"]["old_endpoints"] == ["http://10.0.0.3:2379"]
    past = {"id": "4", "name": "m4", "peer_urls": ["http://10.0.0.4:2380"], "client_urls": ["http://10.0.0.4:2379"]}
    shrunk = make_plan(hosts(), options(controller_snapshots=[snapshot(members=[*snapshot()["members"], past])]))
    assert shrunk["hosts"]["host1"]["of"]["old_endpoints"] == ["http://10.0.0.4:2379"]
    clone = make_plan(hosts(), options(controller_snapshots=[snapshot(members=[past])]))
    assert clone["hosts"]["host1"]["of"]["old_endpoints"] == [], "the original of a clone goes on"


def test_a_member_that_the_inventory_does_not_know_is_refused():
    given = hosts(members=[member(1), member(2)])
    assert "also has the member m3" in causes(make_plan(given, options()))


SNAPSHOT_REFUSALS = {
    "hash mismatch": (snapshot(ok=False, reason="hash mismatch."), "cannot be used: hash mismatch"),
    "a copied database": (snapshot(kind="database"), "is a copied database and not a snapshot"),
    "not there": (snapshot("/elsewhere.db"), "/backups/a.db is neither on the controller nor on a member"),
}


@pytest.mark.parametrize("name", SNAPSHOT_REFUSALS)
def test_a_named_snapshot_that_cannot_be_used_is_refused(name):
    entry, words = SNAPSHOT_REFUSALS[name]
    assert words in causes(make_plan(hosts(), options(snapshot="/backups/a.db", controller_snapshots=[entry])))


def test_authentication_in_the_snapshot_needs_a_user():
    guarded = [snapshot(auth_enabled=True)]
    assert "authentication is on" in causes(make_plan(hosts(), options(controller_snapshots=guarded)))
    assert make_plan(hosts(), options(controller_snapshots=guarded, auth_user="root"))["refusals"] == []
    given = hosts()
    for facts in given.values():
        facts["member"]["connection"]["cert"] = "/etc/etcd/client.crt"
    plan = make_plan(given, options(controller_snapshots=guarded))
    assert plan["refusals"] == [] and "authentication is on" in plan["warnings"][0]["cause"]


def test_the_user_must_be_one_of_the_snapshots_own_with_the_root_role():
    """Users of today are not in a snapshot of last week: the restored cluster would refuse the proof."""
    guarded = [snapshot(auth_enabled=True, users={"root": True, "admin": True, "app": False})]
    today = causes(make_plan(hosts(), options(controller_snapshots=guarded, auth_user="rotated")))
    assert "and rotated is none of its users: the restored cluster could not be proven" in today
    assert "a user of that time with the role root (admin, root), with the password of that time" in today
    weak = causes(make_plan(hosts(), options(controller_snapshots=guarded, auth_user="app")))
    assert "and app has not the role root there" in weak
    plan = make_plan(hosts(), options(controller_snapshots=guarded, auth_user="admin"))
    assert plan["refusals"] == [] and "must be what admin had when it was taken" in plan["warnings"][0]["cause"]
    off = [snapshot(auth_enabled=False, users={"root": True})]
    assert make_plan(hosts(), options(controller_snapshots=off, auth_user="rotated"))["refusals"] == []


def test_a_member_that_started_a_cluster_of_its_own_is_told_of():
    given = hosts()
    assert make_plan(given, options())["warnings"] == []
    given["host1"]["view"]["members"] = given["host1"]["view"]["members"][:1]
    given["host2"]["view"] = None
    plan = make_plan(given, options())
    assert plan["refusals"] == []
    assert "host1 knows m1; host3 knows m1, m2, m3. One that has lost its data" in plan["warnings"][0]["cause"]


def test_a_member_that_is_down_does_not_disagree():
    """Seen: whenever one was down, "the members do not agree … m3 knows ." of a host that knows only its own silent URL."""
    given = hosts()
    silent = {
        "id": "",
        "name": "",
        "peer_urls": [],
        "endpoint": "http://10.0.0.3:2379",
        "state": "down",
        "errors": ["no"],
    }
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


def test_a_copy_of_a_running_members_database_is_refused_and_of_a_stopped_one_is_not():
    given = hosts()
    copied = snapshot("/link/db", kind="database", verified=False, real_path="/var/lib/etcd/member/snap/db")
    given["host2"]["snapshots"] = [copied]
    wanted = options(snapshot="/link/db", controller_snapshots=[], skip_hash_check=True)
    assert "host2: /link/db is the live database of a running member" in causes(make_plan(given, wanted))
    given["host2"]["member"]["running"] = False
    plan = make_plan(given, wanted)
    assert plan["refusals"] == [] and "only in the WAL" in plan["warnings"][0]["cause"]
    assert plan["hosts"]["host2"]["snapshot"]["path"] == "/link/db"
    assert "nothing vouches for its content" in "\n".join(plan_in_words(plan))
    given["host2"]["member"].update(aside_dir="/spare")
    given["host2"]["member"]["disk"].append({"path": "/spare", "device": 9, "free": GIB, "total": GIB})
    assert make_plan(given, wanted)["hosts"]["host2"]["snapshot"]["transfer"], "the data is moved before it is restored"


def test_a_path_that_is_another_file_on_another_host_is_refused():
    given = hosts()
    given["host1"]["snapshots"] = [snapshot()]
    given["host2"]["snapshots"] = [snapshot(sha256="cd" * 32)]
    wanted = options(snapshot="/backups/a.db", controller_snapshots=[])
    assert "is not the same file on host1 and host2" in causes(make_plan(given, wanted))
    given["host2"]["snapshots"][0]["ok"] = False
    assert make_plan(given, wanted)["refusals"] == [], "a damaged copy is passed over"


def test_a_copied_database_needs_the_explicit_word():
    given = options(snapshot="/backups/a.db", controller_snapshots=[snapshot(kind="database")], skip_hash_check=True)
    argv = make_plan(hosts(), given)["hosts"]["host1"]["restore"]["argv"]
    assert "--skip-hash-check=true" in argv


# ---- runs that were interrupted --------------------------------------------------------------------------------------


def with_journals(plan, **changes):
    """The hosts as they are after a run that followed ``plan`` got as far as the journal says."""
    given = hosts()
    for host, facts in given.items():
        own = plan["hosts"][host]
        facts["member"]["journal"] = {
            "restore_id": own["restore_id"],
            "earlier": [],
            "plan": json.loads(json.dumps(own)),
            "step": "swapped",
            "open": True,
            "touched": True,
            "started": False,
            "proven": False,
            **changes.get(host, changes.get("all", {})),
        }
    return given


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


def test_a_second_run_after_success_does_nothing_unless_told():
    first = make_plan(hosts(), options())
    given = with_journals(first, all={"step": "finished", "open": False})
    for facts in given.values():
        facts["view"] = view(revision=2 * BUMP_MARGIN, cluster_id=first["clusters"]["etcd"]["cluster_id"])
    again = make_plan(copy.deepcopy(given), options())
    assert again["clusters"]["etcd"]["mode"] == "nothing"
    assert again["hosts"] == {}
    assert confirmation(again, WORDS, "") == ""
    assert len(make_plan(given, options(again=True))["hosts"]) == 3


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


# ---- several clusters, words -----------------------------------------------------------------------------------------


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


def test_the_words_show_every_argument_and_move():
    plan = make_plan(hosts(), options())
    text = "\n".join(plan_in_words(plan))
    for own in plan["hosts"].values():
        assert all(argument in text for argument in own["restore"]["argv"])
        assert all(swap["aside"] in text and swap["live"] in text for swap in own["swaps"])
    assert "20 revisions" in text and "30 min" in text


def test_the_words_of_a_rollback_tell_of_the_way_back():
    first = make_plan(hosts(), options())
    given = with_journals(first, all={"step": "finished", "open": False})
    text = "\n".join(plan_in_words(make_plan(given, options(rollback=True))))
    assert "/var/lib/etcd.before-20261124T030000Z-653df72f -> /var/lib/etcd\n" in text
    assert "snapshot restore" not in text


POD = {"name": "kube-controller-manager", "manifest": "/etc/kubernetes/manifests/m.yaml", "parked": "/state/m.yaml"}


def on_kubernetes(**changes):
    return {"pods": [POD], "kubelet": True, "running": [POD["name"]], "keys": None, **changes}


def test_controllers_in_static_pods_are_paused_and_resumed_and_the_plan_shows_it():
    members = [member(number, kubernetes=on_kubernetes()) for number in (1, 2, 3)]
    plan = make_plan(hosts(members=members), options(controller_snapshots=[snapshot(kubernetes=True)]))
    assert plan["refusals"] == [] and plan["warnings"] == []
    assert plan["hosts"]["host2"]["controllers"] == [POD]
    words = [" ".join(line.split()) for line in plan_in_words(plan)]
    moves = (
        f"by the kubelet: {POD['manifest']} -> {POD['parked']}",
        f"by the kubelet: {POD['parked']} -> {POD['manifest']}",
    )
    pause, resume = words.index(f"pause {POD['name']} {moves[0]}"), words.index(f"resume {POD['name']} {moves[1]}")
    stop, start = words.index("stop systemctl stop etcd.service"), words.index("start systemctl start etcd.service")
    assert pause < stop < start < resume


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "are on none of these hosts: stop them before the restore"),
        ({"running": ["kube-scheduler"]}, "kube-scheduler runs here, and is no static pod"),
    ],
)
def test_controllers_that_cannot_be_stopped_from_here_are_asked_for_by_name(own, expected):
    members = [member(1, kubernetes=on_kubernetes(pods=[], **{"running": [], **own})), member(2), member(3)]
    plan = make_plan(hosts(members=members), options(controller_snapshots=[snapshot(kubernetes=True)]))
    assert plan["refusals"] == []
    assert [expected in warning["cause"] for warning in plan["warnings"]] == [True]
    without = make_plan(hosts(), options())
    assert without["warnings"] == []


def test_without_a_kubelet_its_pods_cannot_be_paused():
    members = [member(1, kubernetes=on_kubernetes(kubelet=False)), member(2), member(3)]
    plan = make_plan(hosts(members=members), options())
    assert "host1: the kubelet does not run here, and only it can stop kube-controller-manager" in causes(plan)


def test_the_encryption_keys_that_a_snapshot_needs_are_named_and_a_missing_one_is_a_warning():
    wanted = [snapshot(kubernetes=True, encryption_keys=["key1 (aescbc)", "key2 (secretbox)"])]
    members = [member(1, kubernetes=on_kubernetes(keys=["key2"])), member(2), member(3)]
    plan = make_plan(hosts(members=members), options(controller_snapshots=wanted))
    assert "key1 (aescbc), key2 (secretbox) of the API server's" in " ".join(plan_in_words(plan))
    assert [(item["host"], "no key named key1 (aescbc)," in item["cause"]) for item in plan["warnings"]] == [
        ("host1", True)
    ]


def test_a_journal_that_cannot_be_read_is_the_hosts_own_reason_to_refuse():
    given = hosts()
    given["host2"]["member"]["journal"] = {"problem": "line 3 of /x is no step.", "next_step": "see what wrote to it."}
    for asked in (options(), options(rollback=True)):
        plan = make_plan(given, asked)
        assert [(item["host"], item["cause"], item["next_step"]) for item in plan["refusals"]] == [
            ("host2", "line 3 of /x is no step.", "see what wrote to it.")
        ]
        assert any("REFUSED" in line and "host2" in line for line in plan_in_words(plan))


def test_a_version_in_a_snapshot_that_is_none_is_a_reason_to_refuse():
    plan = make_plan(hosts(), options(controller_snapshots=[snapshot(cluster_version="3" * 1000)]))
    (refusal,) = plan["refusals"]
    assert refusal["cause"].startswith("/backups/a.db on the controller: no etcd version can be read from '333")
    assert len(refusal["cause"]) < 200


def test_a_member_that_is_held_still_is_refused_with_what_to_do():
    def halt(found, _facts):
        found["service"]["halted"] = True

    said = causes(make_plan(broken(halt), options()))
    assert "host3: its etcd is held still by a signal" in said and "kill -CONT 1" in said


def test_a_unit_that_waits_between_two_tries_is_to_run():
    def waits(found, _facts):
        found.update(running=False)
        found["service"].update(restarting=True)

    plan = make_plan(broken(waits), options())
    assert plan["hosts"]["host3"]["was_to_run"] and not plan["hosts"]["host3"]["was_running"]
    assert "(it does not run)" not in "\n".join(plan_in_words(plan))


@pytest.mark.parametrize("name", ["host3", "m3", "m1"])
def test_hosts_and_members_can_be_excluded_by_name(name):
    assert "etcd_restore_exclude names" not in causes(make_plan(hosts(), options(exclude=[name])))


def test_a_name_to_exclude_that_nobody_knows_is_refused():
    assert "etcd_restore_exclude names hsot3, which is no host" in causes(
        make_plan(hosts(), options(exclude=["hsot3"]))
    )


def test_a_folder_that_the_report_cannot_be_written_to_is_said_in_the_plan():
    plan = make_plan(hosts(), options(unwritable=["/home/ops/reports"]))
    assert plan["refusals"] == []
    assert any("can be written to /home/ops/reports" in item["cause"] for item in plan["warnings"])


def unowned(**service):
    found = member(1)
    found["service"].update(service)
    return found


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
    check_service("h1", unowned(**service), findings)
    (refusal,) = findings.refusals
    assert cause in str(refusal) and next_step in str(refusal)


def test_a_disabled_unit_is_said_and_its_own_process_is_no_reason():
    findings = Findings("etcd")
    check_service("h1", unowned(owner={"kind": "unit", "name": "etcd.service"}, enabled=False), findings)
    assert findings.refusals == [] and "stays down after a reboot" in str(findings.warnings)


def test_a_restore_that_goes_on_heeds_the_service_that_is_named_now():
    then = {"member": {"name": "m1", "service": {"name": "wrong"}}}
    now = unowned(name="right")
    assert _corrected(then, now)["member"]["service"]["name"] == "right"
    assert _corrected(then, {**now, "running": False})["member"]["service"]["name"] == "wrong"
    now["service"]["named"] = True
    assert _corrected(then, {**now, "running": False})["member"] == {"name": "m1", "service": now["service"]}


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


def test_restores_of_one_second_differ_also_among_the_clusters_of_one_run():
    given = {**hosts(), **{f"w{host}": {**facts, "cluster": "west"} for host, facts in hosts().items()}}
    west = snapshot("/w.db", manifest={"cluster": "west"}, sha256="ef" * 32)
    plan = make_plan(given, options(controller_snapshots=[snapshot(), west]))
    ids = {own["restore_id"] for own in plan["clusters"].values()}
    assert len(ids | {make_plan(hosts(), options(nonce="9999"))["clusters"]["etcd"]["restore_id"]}) == 3


@pytest.mark.parametrize(("cluster", "refused"), [("etcd", True), ("etcd-events", False)])
def test_an_interrupted_restore_in_a_data_directory_of_before_is_ended_first(cluster, refused):
    """Another cluster's on the same host is none of ours."""
    other = {"restore_id": "1", "cluster": cluster, "data_dir": "/var/lib/old"}
    plan = make_plan(broken(lambda found, _facts: found.update(interrupted_elsewhere=[other])), options())
    words = "host3: the restore 1 of this cluster was interrupted here, and its data directory was /var/lib/old"
    assert (words in causes(plan)) is refused and bool(plan["refusals"]) is refused
