# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A view of a cluster for the tests of what reads one: they name what matters to them, and the rest is empty."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.view import ClusterView

NOTHING = {
    "cluster_id": "",
    "cluster_ids": [],
    "members": [],
    "members_complete": False,
    "endpoints": [],
    "leader": "",
    "leader_name": "",
    "has_quorum": False,
    "quorum_unknown": False,
}
MEMBER = {"id": "", "name": "", "state": "serves", "errors": []}
ENDPOINT = {"endpoint": "", "state": "serves", "error": "", "refusal": "", "next_step": "", "member_id": ""}


def view_of(plain):
    """The view that a plain one, in which most is left out, stands for."""
    filled = {
        **NOTHING,
        **plain,
        "members": [{**MEMBER, **member} for member in plain.get("members", [])],
        "endpoints": [{**ENDPOINT, **endpoint} for endpoint in plain.get("endpoints", [])],
    }
    return from_plain(ClusterView, filled)
