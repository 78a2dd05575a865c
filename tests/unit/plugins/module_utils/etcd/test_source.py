# SPDX-License-Identifier: GPL-3.0-or-later
"""Which member a snapshot is taken from where their data differs; the rest of the choice is tested with the view."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.source import choose_endpoint, sides, source_endpoint
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of


def view(*hashes, best=True):
    members = [
        {
            "id": str(number),
            "name": f"m{number}",
            "endpoint": f"http://10.0.0.{number}:2379",
            "version": "3.6.16" if value else "",
            "hash": value,
            "is_learner": False,
            "is_leader": number == 1,
            "has_leader": True,
            "healthy": True,
            "raft_applied_index": 100,
        }
        for number, value in enumerate(hashes, 1)
    ]
    equal = len({value for value in hashes if value}) == 1
    found = {"members": members, "voters": len(members), "alarms": [], "hash_revision": 120, "hashes_equal": equal}
    found.update(summary="No endpoint answers.", next_steps=[])
    seen = view_of(found)
    return replace(seen, best_endpoint=choose_endpoint(seen))


def test_equal_members_are_all_to_be_chosen_from():
    assert source_endpoint(view(7, 7, 7)) == "http://10.0.0.3:2379"
    assert source_endpoint(view(7, 7, 7), "http://10.0.0.1:2379") == "http://10.0.0.1:2379"


def test_no_backup_of_members_that_differ_unless_it_is_accepted_and_then_of_the_majority():
    """Seen: the last follower by name was chosen, whatever it held, and the backup looked like any other."""
    differ = view(7, 7, 8)
    with pytest.raises(EtcdError, match="at revision 120 m3 differs from m1, m2, so no snapshot is taken") as raised:
        source_endpoint(differ)
    assert "etcd_backup_accept_divergence=true" in raised.value.next_step
    assert source_endpoint(differ, accept_divergence=True) == "http://10.0.0.2:2379"
    assert source_endpoint(differ, "http://10.0.0.1:2379", accept_divergence=True) == "http://10.0.0.1:2379"
    with pytest.raises(EtcdError, match="m3 differs"):
        source_endpoint(differ, "http://10.0.0.3:2379", accept_divergence=True)


@pytest.mark.parametrize("hashes", [(7, 8, 9), (7, 8, None), (7, 8), (7, 7, 8, 8)])
def test_without_a_majority_nobody_knows_whose_data_is_right(hashes):
    differ = view(*hashes)
    assert sides(differ).majority == [] and differ.best_endpoint == ""
    with pytest.raises(EtcdError, match="the same on more than half of them"):
        source_endpoint(differ, accept_divergence=True)


def test_where_nobody_can_be_asked_the_next_step_is_what_helps():
    silent = replace(view(None, None, None), hashes_equal=None, best_endpoint="")
    with pytest.raises(EtcdError, match="no snapshot can be saved: No endpoint answers"):
        source_endpoint(silent)
    with pytest.raises(EtcdError) as raised:
        source_endpoint(replace(silent, next_steps=["correct etcd_auth_user and etcd_auth_password."]))
    assert raised.value.next_step == "correct etcd_auth_user and etcd_auth_password."
