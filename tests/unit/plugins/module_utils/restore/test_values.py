# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a host as a value, and as the plan.json that it keeps, also of a version before."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import Misfit, from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.values import HostPlan, PlannedCluster
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    disk,
    folder,
    hosts,
    member,
    on_kubernetes,
    options,
    packed,
    pod,
    with_journals,
)

APART = member(1, wal_dir="/wal/etcd", wal=folder(exists=True, device=2), disk=[disk(), disk("/wal/etcd", 2)])


def again(asked):
    return make_plan(with_journals(make_plan(hosts(), options())), asked)


PLANS = {
    "new": lambda: make_plan(hosts(), options()),
    "static pods": lambda: make_plan(hosts(members=[pod(n, "running", True) for n in (1, 2, 3)]), options()),
    "two swaps": lambda: make_plan(hosts(members=[APART, member(2), member(3)]), options()),
    "Kubernetes": lambda: make_plan(
        hosts(members=[member(n, kubernetes=on_kubernetes()) for n in (1, 2, 3)]), options()
    ),
    "a compressed snapshot of a host": lambda: make_plan(hosts([packed()]), options(controller_snapshots=[])),
    "one that goes on": lambda: again(options()),
    "a rollback": lambda: again(options(rollback=True)),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_comes_back_the_same(name):
    plan = PLANS[name]()
    assert plan["refusals"] == [] and plan["hosts"]
    for own in plan["hosts"].values():
        kept = json.loads(json.dumps({**own, "sequence": 3}))
        assert to_plain(from_plain(HostPlan, own)) == own and to_plain(from_plain(HostPlan, kept)) == kept
    for cluster in plan["clusters"].values():
        assert PlannedCluster.of_plain(cluster).as_plain() == cluster


# What a plan of an earlier version has not, by place.
LATER = {
    (): ["controllers"],
    ("of",): ["own_revisions"],
    ("of", "loss"): ["unknown"],
    ("of", "snapshot"): ["kubernetes", "encryption_keys", "alarms", "users", "auth_enabled"],
    ("member",): ["data_dir"],
    ("member", "service"): ["named", "owner", "masked", "transient", "restarting", "halted", "kubelet", "image"],
    ("snapshot",): ["trailer"],
}


def test_a_plan_of_an_earlier_version_is_understood():
    own = make_plan(hosts(), options())["hosts"]["host1"]
    for place, names in LATER.items():
        part = own
        for key in place:
            part = part[key]
        for name in names:
            del part[name]
    plan = from_plain(HostPlan, own)
    assert plan.controllers == [] and plan.settled is None and plan.of.own_revisions == 0 and plan.of.without is None
    assert plan.member.service.named is False and plan.member.service.owner.kind == ""
    assert plan.snapshot.trailer == "" and plan.of.loss.revisions == 20


def test_a_plan_that_is_none_is_refused_with_the_place():
    own = make_plan(hosts(), options())["hosts"]["host1"]
    own["swaps"][0]["existed"] = "yes"
    with pytest.raises(Misfit, match=r"the plan.swaps\[0\].existed is 'yes' and not true or false"):
        from_plain(HostPlan, own, "the plan")
