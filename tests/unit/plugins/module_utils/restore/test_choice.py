# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshot is taken, and what speaks against it."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    causes,
    disk,
    hosts,
    in_snapshot,
    member,
    options,
    setting,
    snapshot,
    with_journals,
)


def test_what_would_make_the_restored_cluster_useless_is_said_before():
    small = member(2)
    small["settings"]["quota-backend-bytes"] = setting("1000")
    plan = make_plan(hosts(members=[member(1), small, member(3)]), options())
    assert "host2: its quota-backend-bytes is 1000" in causes(plan) and len(plan["refusals"]) == 1
    alarmed = make_plan(hosts(), options(controller_snapshots=[snapshot(alarms=["NOSPACE"])]))
    assert alarmed["refusals"] == []
    assert any("a NOSPACE alarm is in the snapshot" in warning["cause"] for warning in alarmed["warnings"])


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
    members = [in_snapshot(0, id=number, name=name, peer_urls=[]) for number, name in made["members"].items()]
    undone = snapshot("/backups/undone.db", members=members, **told)
    plan = make_plan(given, options(controller_snapshots=[undone, snapshot()]))
    assert plan["clusters"]["etcd"]["snapshot"]["path"] == "/backups/a.db"
    assert any("/backups/undone.db" in item["cause"] for item in plan["warnings"])


def test_a_snapshot_without_manifest_is_known_by_its_members():
    entry = snapshot(manifest=None)
    assert make_plan(hosts(), options(controller_snapshots=[entry]))["refusals"] == []
    stranger = snapshot(manifest=None, members=[in_snapshot(9, peer_urls=["http://10.9.9.9:2380"])])
    assert "no usable snapshot" in causes(make_plan(hosts(), options(controller_snapshots=[stranger])))


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
    given["host2"]["member"]["disk"].append(disk("/spare", 9))
    assert make_plan(given, wanted)["hosts"]["host2"]["snapshot"]["transfer"], "the data is moved before it is restored"


@pytest.mark.parametrize(
    "of", [{}, {"kind": "database", "verified": False}, {"ok": False, "reason": "it is not signed."}]
)
def test_with_signers_only_what_one_of_them_has_signed_is_restored(of):
    wanted = options(
        snapshot="/backups/a.db", controller_snapshots=[snapshot(**of)], signers="ops", skip_hash_check=True
    )
    words = of.get("reason") or "it is not known who has signed it"
    assert f"/backups/a.db on the controller cannot be used: {words}" in causes(make_plan(hosts(), wanted))
    good = make_plan(hosts(), options(controller_snapshots=[snapshot(signed_by="ops@prod")], signers="ops"))
    assert good["refusals"] == [] and "verified, signed by ops@prod" in "\n".join(plan_in_words(good))


def test_a_path_that_is_another_file_on_another_host_is_refused():
    given = hosts()
    given["host1"]["snapshots"] = [snapshot()]
    given["host2"]["snapshots"] = [snapshot(sha256="cd" * 32)]
    wanted = options(snapshot="/backups/a.db", controller_snapshots=[])
    assert "is not the same file on host1 and host2" in causes(make_plan(given, wanted))
    given["host2"]["snapshots"][0]["ok"] = False
    assert make_plan(given, wanted)["refusals"] == [], "a damaged copy is passed over"


def test_a_version_in_a_snapshot_that_is_none_is_a_reason_to_refuse():
    plan = make_plan(hosts(), options(controller_snapshots=[snapshot(cluster_version="3" * 1000)]))
    (refusal,) = plan["refusals"]
    assert refusal["cause"].startswith("/backups/a.db on the controller: no etcd version can be read from '333")
    assert len(refusal["cause"]) < 200
