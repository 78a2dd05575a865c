# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The view of a cluster goes out by a door and comes in by another."""

from __future__ import annotations

import json

from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.view import ClusterView

# Two of three members, seen on 3.6.16: one has an alarm, and one refuses its endpoint.
ANSWER = {
    "health": "degraded",
    "summary": "Cluster a9b7a22aeb5c8521 is degraded, revision 100, leader m1.",
    "cluster_id": "a9b7a22aeb5c8521",
    "cluster_ids": ["a9b7a22aeb5c8521"],
    "members": [
        {
            "id": "8a762b3c52a83885",
            "name": "m1",
            "peer_urls": ["http://10.0.0.1:2380"],
            "client_urls": ["http://10.0.0.1:2379"],
            "is_learner": False,
            "started": True,
            "endpoint": "http://10.0.0.1:2379",
            "state": "serves",
            "refusal": "",
            "healthy": False,
            "has_leader": True,
            "is_leader": True,
            "version": "3.6.16",
            "storage_version": "3.6.0",
            "revision": 100,
            "raft_term": 2,
            "raft_index": 50,
            "raft_applied_index": 50,
            "db_size": 20480,
            "db_size_in_use": 16384,
            "db_size_quota": 2147483648,
            "hash": 3260193388,
            "errors": ["memberID:10501334649042878790 alarm:NOSPACE"],
        }
    ],
    "members_complete": True,
    "endpoints": [
        {
            "endpoint": "http://10.0.0.2:2379",
            "ok": False,
            "error": "invalid user ID or password\nand a second line",
            "state": "unaskable",
            "refusal": "refuses the password",
            "next_step": "correct etcd_auth_user and etcd_auth_password.",
            "member_id": "",
            "cluster_id": "",
        }
    ],
    "next_steps": ["correct etcd_auth_user and etcd_auth_password."],
    "leader": "8a762b3c52a83885",
    "leader_name": "m1",
    "term": 2,
    "voters": 3,
    "learners": 0,
    "healthy_voters": 1,
    "serving_voters": 2,
    "quorum": 2,
    "has_quorum": True,
    "quorum_unknown": False,
    "may_fail": 0,
    "revision": 100,
    "alarms": [{"member": "91bc3c398fb3c146", "alarm": "NOSPACE"}],
    "hash_revision": None,
    "hashes_equal": None,
    "best_endpoint": "http://10.0.0.1:2379",
}


def test_a_view_is_the_same_after_both_doors():
    assert to_plain(from_plain(ClusterView, ANSWER)) == ANSWER
    assert to_plain(from_plain(ClusterView, json.loads(json.dumps(ANSWER)))) == ANSWER


def test_where_a_silent_member_listens_is_only_said_by_who_has_looked():
    assert "opens" not in to_plain(from_plain(ClusterView, ANSWER))
    looked = {**ANSWER, "opens": []}
    assert to_plain(from_plain(ClusterView, looked)) == looked
