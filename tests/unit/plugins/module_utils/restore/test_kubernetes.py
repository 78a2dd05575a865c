# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore does with the controllers of a Kubernetes, and says of it."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    POD,
    causes,
    hosts,
    member,
    on_kubernetes,
    options,
    snapshot,
)


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
