# SPDX-License-Identifier: GPL-3.0-or-later
"""What the phases of a restore need not do again, and what stays."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.action.restore import is_done_already, is_judged, what_stays

STARTED = [{"step": "stopped"}, {"step": "started"}]
SERVES, PROVEN = [*STARTED, {"step": "serving"}], [*STARTED, {"step": "serving"}, {"step": "proven"}]


@pytest.mark.parametrize(
    "journal, spared", [(STARTED, ["cutover"]), (SERVES, ["cutover"]), (PROVEN, ["cutover", "prove"])]
)
def test_a_stop_that_went_on_spares_what_it_did(journal, spared):
    phases = ("stage", "stop", "cutover", "prove", "agree", "finish", "rollback")
    assert [phase for phase in phases if is_done_already(phase, {"changed": True, "journal": journal})] == spared


def test_only_what_was_done_in_this_very_run_counts():
    """After a kill the journal may say started, and the host may have been rebooted since."""
    assert not is_done_already("cutover", {"changed": False, "journal": STARTED})
    assert not is_done_already("prove", {"changed": False, "journal": PROVEN})
    assert not is_done_already("cutover", {"changed": True, "journal": [{"step": "started"}, {"step": "stopped"}]})
    assert not is_done_already("cutover", {"changed": True, "journal": []})
    assert not is_done_already("cutover", {})


PROVED = {"verdict": "proven", "thorough": True, "missing": [], "proven": True}
ALONE = {**PROVED, "verdict": "incomplete", "missing": ["m2"]}


def test_who_has_judged_need_not_look_again_once_somebody_has_compared_the_data():
    hasty = {**PROVED, "thorough": False}
    assert is_judged(hasty, {"m1": PROVED, "m2": hasty})
    assert not is_judged(hasty, {"m1": {"unreachable": True}, "m2": hasty})
    assert not is_judged({"failed": True, "msg": "no space left."}, {"m1": PROVED})


def test_a_proven_quorum_stays_whoever_is_lost_and_what_is_wrong_does_not():
    plan = {"of": {"cluster": "etcd"}}
    said = what_stays(plan, {"m1": ALONE, "m2": {**ALONE, "proven": False}, "m3": PROVED}, ["m1", "m2"])
    assert "STAYS" in said and "What is missing: m2, m3." in said and "etcd_restore_rollback=true" in said
    assert what_stays(plan, {"m1": PROVED, "m2": {}}, ["m1"])
    wrong = {"verdict": "wrong", "thorough": True, "missing": [], "proven": False}
    assert what_stays(plan, {"m1": wrong, "m2": PROVED}, ["m2"]) == "", "also where who has seen it is gone since"
    assert what_stays(plan, {"m1": {}, "m2": {"verdict": "nothing serves"}}, ["m1", "m2"]) == ""
    assert what_stays({**plan, "settled": True}, {"m1": wrong, "m2": PROVED}, ["m1", "m2"])
