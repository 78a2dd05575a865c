# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof of a restored member, the judgement after a failure, and the end."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.restore import steps
from ansible_collections.quorum.etcd.plugins.module_utils.restore.proof import Check
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import (
    BAD,
    DOWN,
    GOOD,
    Clock,
    to_cutover,
    view,
)


def test_the_proof_looks_at_the_others_only_when_this_member_serves_or_the_time_is_over(host, monkeypatch):
    restore = to_cutover(host)
    clock = Clock(monkeypatch)
    asked = []
    good, bad = (DOWN, [GOOD]), (DOWN, [BAD])
    monkeypatch.setattr(restore.proving, "look", lambda thorough: asked.append(clock.now) or answers.pop(0))
    answers = [good, good]
    host.service.ascents = iter(["starting"] * 9)
    restore.prove(60)
    assert asked[0] == asked[-1] == pytest.approx(1.4, abs=0.5)
    asked.clear()
    answers = [bad]
    host.service.ascents = iter(["starting"] * 99)
    with pytest.raises(EtcdError, match="did not prove itself: a: expected 1, found 2"):
        restore.prove(10)
    assert len(asked) == 1 and asked[0] >= clock.now - 1


@pytest.mark.parametrize("stays_up", [True, False])
def test_a_member_that_did_not_stay_up_is_started_once_more(host, monkeypatch, stays_up):
    restore = to_cutover(host)
    host.service.running = stays_up
    good = (DOWN, [GOOD])
    monkeypatch.setattr(restore.proving, "look", lambda thorough: good)
    restore.prove(0)
    assert host.service.calls == ["stop", "start"] + ([] if stays_up else ["start"])


def check(what, expected, found):
    return Check(what, expected, found, expected == found)


LATE = check("healthy members", ["m1", "m2", "m3"], ["m1", "m3"])
DIFFERENT = check("equal hash of all members at one revision", True, False)
EQUAL = check("equal hash of all members at one revision", True, True)


def seen(monkeypatch, restore, brief, thorough):
    """The cluster answers ever the same; returns the times of the looks, and whether they compared the data."""
    clock = Clock(monkeypatch)
    looks = []

    def look(compares):
        looks.append((clock.now, compares))
        return thorough if compares else brief

    monkeypatch.setattr(restore.proving, "look", look)
    monkeypatch.setattr(restore.proving.coming, "is_over", lambda _of, _absent, _hope: False)
    return looks


def test_a_late_member_does_not_unprove_those_that_serve(host, monkeypatch):
    """The data of those that are there is compared before the time is over, and this member is proven with them."""
    restore = to_cutover(host)
    looks = seen(monkeypatch, restore, (view("m1", "m3"), [LATE]), (view("m1", "m3", hashes_equal=True), [LATE, EQUAL]))
    with pytest.raises(EtcdError, match=r"did not prove itself in full: healthy members: .* \(m2: refused\)") as failed:
        restore.prove(20)
    told = failed.value.context
    assert told == {"verdict": "incomplete", "thorough": True, "missing": ["m2"], "proven": True}
    assert [when for when, compares in looks if compares] == [pytest.approx(5, abs=1)] and looks[-1][0] > 19
    assert "serving" in restore.journal.steps() and restore.journal.entries()[-1].more["missing"] == ["m2"]
    assert host.service.running and restore.finish()


def test_the_late_member_itself_is_not_proven_and_its_journal_stays_open(host, monkeypatch):
    restore = to_cutover(host)
    late = check("healthy members", ["m1", "m2", "m3"], ["m2", "m3"])
    seen(monkeypatch, restore, (view("m2", "m3"), [late]), (view("m2", "m3", hashes_equal=True), [late, EQUAL]))
    with pytest.raises(EtcdError) as failed:
        restore.prove(20)
    assert failed.value.context["verdict"] == "incomplete" and failed.value.context["proven"] is False
    assert restore.journal.is_open() and "proven" not in restore.journal.steps()
    with pytest.raises(EtcdError, match="'proven' is not in its journal"):
        restore.finish()


@pytest.mark.parametrize(
    ("brief", "thorough", "within"),
    [
        ((view("m1", "m2", "m3"), [GOOD]), (view("m1", "m2", "m3", hashes_equal=False), [DIFFERENT]), 1),
        ((view("m1", "m3"), [LATE]), (view("m1", "m3", hashes_equal=False), [LATE, DIFFERENT]), 7),
        ((view("m1", cluster_ids=["c0", "c1"]), [check("cluster IDs that answer", ["c1"], ["c0", "c1"])]), None, 1),
    ],
)
def test_what_is_wrong_is_stopped_within_seconds_and_only_the_way_back_is_left(
    host, monkeypatch, brief, thorough, within
):
    restore = to_cutover(host)
    looks = seen(monkeypatch, restore, brief, thorough)
    with pytest.raises(EtcdError, match="is not the planned one") as failed:
        restore.prove(120)
    assert failed.value.context["verdict"] == "wrong" and looks[-1][0] < within
    assert not host.service.running and restore.journal.goes_back()
    assert restore.judge(20) == {}
    assert restore.rollback() and host.db() == "old" and host.service.running


def test_what_was_left_to_its_clients_is_not_stopped_by_a_later_run(host, monkeypatch):
    to_cutover(host)
    restore = host.restore(settled=True)
    restore.journal.record(steps.PROVEN, checks=[])
    wrong = (view("m1", "m2", "m3", hashes_equal=False), [DIFFERENT])
    seen(monkeypatch, restore, (view("m1", "m2", "m3"), [GOOD]), wrong)
    told = restore.judge(20)
    assert told == {"verdict": "incomplete", "thorough": True, "missing": [], "proven": False}
    assert host.service.running and not restore.journal.goes_back()


def test_the_member_that_came_late_with_other_data_is_stopped_alone(host, monkeypatch):
    to_cutover(host)
    restore = host.restore(settled=True)
    wrong = (view("m1", "m2", "m3", hashes_equal=False), [DIFFERENT])
    seen(monkeypatch, restore, (view("m1", "m2", "m3"), [GOOD]), wrong)
    assert restore.judge(20)["verdict"] == "incomplete"
    assert not host.service.running and not restore.journal.goes_back()


def test_what_has_not_been_started_is_not_judged(host, monkeypatch):
    restore = host.restore()
    monkeypatch.setattr(restore.proving, "look", lambda thorough: pytest.fail("it was asked"))
    restore.stage()
    assert restore.judge(20) == {} and host.service.calls == []


def test_finish_says_existing(host):
    restore = to_cutover(host)
    restore.journal.record(steps.PROVEN, checks=[])
    assert restore.finish()
    assert "ETCD_INITIAL_CLUSTER_STATE=existing" in host.config.read_text()
    assert restore.finish() is False
    assert steps.told(str(host.root / "state"), str(host.live))["journal"]["open"] is False


def test_who_had_finished_and_proves_it_again_for_the_others_is_closed_again(host):
    restore = to_cutover(host)
    restore.journal.record(steps.PROVEN, checks=[])
    restore.finish()
    restore.journal.record(steps.PROVEN, checks=[])  # the run was killed before another member had finished
    restore.finish()
    assert steps.told(str(host.root / "state"), str(host.live))["journal"]["open"] is False
