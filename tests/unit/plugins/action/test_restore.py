# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host must not go on alone."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.action.restore import failed_peers, has_just_started, with_the_gone


def test_nobody_failed():
    assert failed_peers({}) == ""
    assert failed_peers({"m1": {"changed": True}, "m2": {"skipped": True}, "m3": {}}) == ""


def test_the_host_and_its_words_are_told():
    said = failed_peers({"m1": {"changed": True}, "m2": {"failed": True, "msg": "no space left."}})
    assert said == "m2: no space left."


def test_a_host_that_is_gone_counts_as_failed():
    assert failed_peers({"m1": {"unreachable": True}}) == "m1: it could not be reached any more."
    said = failed_peers({"m1": {"unreachable": True, "msg": "Connection timed out"}})
    assert said == "m1: it could not be reached any more: Connection timed out"


def test_a_host_that_left_the_play_in_another_task_is_gone_too():
    """Its last result may be an earlier phase's, or none at all."""
    peers = with_the_gone({"m1": {"changed": True}, "m2": {}, "m3": {"failed": True, "msg": "no space left."}}, ["m1"])
    assert failed_peers(peers) == "m2: it could not be reached any more. m3: no space left."
    assert with_the_gone({"m1": {"changed": True}, "m2": {}}, ["m1", "m2"]) == {"m1": {"changed": True}, "m2": {}}


def test_a_stop_that_went_on_to_the_start_spares_the_cutover():
    started = [{"step": "stopped"}, {"step": "started"}]
    assert has_just_started({"changed": True, "journal": started})
    assert has_just_started({"changed": True, "journal": [*started, {"step": "serving"}]})


def test_only_the_start_of_this_very_run_counts():
    """After a kill the journal may say started, and the host may have been rebooted since."""
    assert not has_just_started({"changed": False, "journal": [{"step": "started"}]})
    assert not has_just_started({"changed": True, "journal": [{"step": "started"}, {"step": "stopped"}]})
    assert not has_just_started({"changed": True, "journal": []})
    assert not has_just_started({})
