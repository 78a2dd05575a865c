# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of a restore tells by the recovery kit: of the old members, and of what new hosts lack."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    hosts,
    member,
    options,
    snapshot,
)

OLD = {
    "name": "m1",
    "peer_urls": ["https://10.0.0.1:2380"],
    "client_urls": ["https://10.0.0.1:2379"],
    "version": "3.3.9",
    "host": "db1",
    "data_dir": "/srv/etcd",
    "tls_files": {"cert-file": "/etc/etcd/pki/server.crt"},
}
KIT = {"format": 1, "cluster": "etcd", "cluster_id": "cafe", "host": "db1", "members": [OLD]}


def planned(new=True, **of):
    members = [member(1), member(2), member(3)]
    for one in members:
        one["running"] = not new
        one["data"]["has_member"] = not new
    given = hosts(members=members)
    if new:
        for facts in given.values():
            facts["view"] = None
    return make_plan(given, options(controller_snapshots=[snapshot(**of)]))


def warned(plan):
    return [f"{one['host']}: {one['cause']}" if one["host"] else one["cause"] for one in plan["warnings"]]


def test_new_hosts_are_told_what_the_old_members_had():
    plan = planned(kit=KIT)
    said = [one for one in warned(plan) if "recovery kit" in one]
    assert said and all(one.startswith("host1: by the recovery kit the old member m1 ") for one in said)
    assert any("ran etcd 3.3.9, and here is" in one for one in said)
    assert any("had cert-file /etc/etcd/pki/server.crt, and the configuration here names none" in one for one in said)
    assert any("had its data in /srv/etcd, and here it will be in" in one for one in said)
    text = "\n".join(plan_in_words(plan))
    assert "by the recovery kit, made on db1:" in text
    assert "m1: https://10.0.0.1:2379, etcd 3.3.9, data in /srv/etcd, on db1" in text


def test_members_that_have_their_data_need_no_kit():
    plan = planned(new=False, kit=KIT)
    assert not [one for one in warned(plan) if "recovery kit" in one]
    assert "old members" not in "\n".join(plan_in_words(plan))


@pytest.mark.parametrize("new", [True, False])
def test_a_kit_that_cannot_be_read_is_a_warning(new):
    said = warned(planned(new, kit_problem="the recovery kit x is not the one that its snapshot was saved with."))
    assert "the recovery kit x is not the one that its snapshot was saved with. The snapshot itself is whole." in said


def test_certificates_that_are_not_there_are_named():
    lacking = member(2)
    lacking["missing_files"] = {"peer-key-file": "/etc/etcd/pki/peer.key"}
    plan = make_plan(hosts(members=[member(1), lacking, member(3)]), options(controller_snapshots=[snapshot()]))
    (said,) = [one for one in warned(plan) if "not there" in one]
    assert said.startswith("host2: its configuration names /etc/etcd/pki/peer.key (peer-key-file), which is not there")
