# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a new restore: as which cluster, at which revision, and what is lost by it."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import identity
from ansible_collections.quorum.etcd.plugins.module_utils.restore.new_restore import BUMP_MARGIN
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    INITIAL,
    SHA,
    causes,
    hosts,
    journal,
    member,
    options,
    pod,
    snapshot,
    view,
    with_journals,
)


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


def taken_back(**changes):
    own = make_plan(hosts(), options())["hosts"]["host1"]
    return journal(own, step="rolled_back", open=False, back=True, **changes)


RECORDS = {
    "a journal": lambda given: given["host1"]["member"].update(journal=taken_back(highest_revision=5000)),
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


def test_a_copied_database_needs_the_explicit_word():
    given = options(snapshot="/backups/a.db", controller_snapshots=[snapshot(kind="database")], skip_hash_check=True)
    argv = make_plan(hosts(), given)["hosts"]["host1"]["restore"]["argv"]
    assert "--skip-hash-check=true" in argv


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


def test_restores_of_one_second_differ_also_among_the_clusters_of_one_run():
    given = {**hosts(), **{f"w{host}": {**facts, "cluster": "west"} for host, facts in hosts().items()}}
    west = snapshot("/w.db", manifest={"cluster": "west"}, sha256="ef" * 32)
    plan = make_plan(given, options(controller_snapshots=[snapshot(), west]))
    ids = {own["restore_id"] for own in plan["clusters"].values()}
    assert len(ids | {make_plan(hosts(), options(nonce="9999"))["clusters"]["etcd"]["restore_id"]}) == 3
