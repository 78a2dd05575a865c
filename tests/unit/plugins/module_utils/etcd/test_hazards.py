# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of hazards, row by row: below, at and above each boundary."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Findings
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import hazards as h
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import parse_version

# By row: versions that have it, and versions that have not, on both sides of every boundary; when; what it does; whose number.
ROWS = {
    "inconsistent-data": ("3.5.0 3.5.2", "3.4.45 3.5.3 3.5.35 3.6.0 3.7.3", [h.ALWAYS], h.WARNS, "#13766"),
    "defragmented-while-it-receives": (
        "3.4.0 3.4.37 3.5.0 3.5.22 3.6.0 3.6.4",
        "3.4.38 3.5.23 3.6.5 3.7.0",
        [h.DEFRAGMENTATION, h.MEMBERSHIP],
        h.WARNS,
        "#20271",
    ),
    "promotion-not-stored": ("3.5.1 3.5.19", "3.4.45 3.5.0 3.5.20 3.6.0", [h.PROMOTION, h.UPGRADE], h.WARNS, "#19557"),
    "promotion-lost-by-snapshot": (
        "3.5.1 3.5.24",
        "3.4.45 3.5.0 3.5.25 3.6.0",
        [h.PROMOTION, h.UPGRADE],
        h.WARNS,
        "#20793",
    ),
    "removed-come-back": ("3.5.0 3.5.26", "3.4.45 3.5.27 3.6.0", [h.MEMBERSHIP, h.UPGRADE], h.WARNS, "#20967"),
    "restored-with-old-members": ("3.4.0 3.4.45", "3.5.0 3.6.0", [h.UPGRADE], h.WARNS, "#20967"),
    "start-replays-promotion": (
        "3.6.0 3.6.3",
        "3.5.35 3.6.4 3.6.16 3.7.0",
        [h.PROMOTION],
        h.REFUSES,
        "#20387",
    ),
    "promotion-asked-of-a-follower": (
        "3.4.45 3.5.0 3.5.27 3.6.0 3.6.5",
        "3.5.28 3.6.6 3.7.0",
        [h.PROMOTION],
        h.HANDLED,
        "#20874",
    ),
    "updated-learner": (
        "3.4.45 3.5.0 3.5.30 3.6.0 3.6.11",
        "3.5.31 3.6.12 3.7.0",
        [h.MEMBERSHIP],
        h.HANDLED,
        "#21694",
    ),
    "forced-new-cluster-keeps-learners": (
        "3.5.0 3.5.24 3.6.0 3.6.5",
        "3.4.45 3.5.25 3.6.6 3.7.0",
        [h.RESTORE],
        h.HANDLED,
        "#20896",
    ),
    "fresh-learner-dies": ("3.4.0 3.5.35 3.6.16 3.7.3", "3.3.27 3.8.0", [h.MEMBERSHIP], h.HANDLED, "#21178"),
    "removal-lost": ("3.4.0 3.5.35 3.6.16 3.7.3", "3.3.27 3.8.0", [h.MEMBERSHIP], h.HANDLED, "k3s #12908"),
    "addition-needs-all": (
        "3.4.0 3.4.45 3.5.0 3.5.29 3.6.0 3.6.10",
        "3.5.30 3.6.11 3.7.0",
        [h.MEMBERSHIP],
        h.HANDLED,
        "#21640",
    ),
    "cluster-flag-with-authentication": (
        "3.4.0 3.4.42 3.5.0 3.5.28 3.6.0 3.6.9",
        "3.4.43 3.5.29 3.6.10 3.7.0",
        [h.AUTHENTICATION],
        h.HANDLED,
        "#21516",
    ),
    "default-quota-reads-0": ("3.6.0 3.6.5", "3.5.35 3.6.6 3.7.0", [h.STATUS], h.WARNS, "#20790"),
    "no-more-fixes": ("3.4.0 3.4.45", "3.5.0 3.6.0 3.7.0", [h.STATUS], h.WARNS, ""),
    "3.6-wants-a-late-3.5": ("3.5.0 3.5.31", "3.4.45 3.5.32 3.6.0", [h.UPGRADE], h.REFUSES, "#20967"),
    "3.7-wants-a-late-3.6": ("3.6.0 3.6.10", "3.5.35 3.6.11 3.7.0", [h.UPGRADE], h.REFUSES, ""),
    "settings-lost": ("3.5.0 3.5.35 3.6.16", "3.4.45 3.7.0", [h.UPGRADE], h.WARNS, ""),
    "short-log": ("3.6.0 3.7.3", "3.5.35", [h.UPGRADE], h.WARNS, ""),
    "progress-is-wrong": ("3.4.0 3.4.24 3.5.0 3.5.7", "3.4.25 3.5.8 3.6.0", [h.MIRROR], h.HANDLED, ""),
    "no-progress-of-a-quiet-watch": ("3.4.0 3.4.30 3.5.0 3.5.12", "3.4.31 3.5.13 3.6.0", [h.MIRROR], h.HANDLED, ""),
    "catching-up-blocks-writes": ("3.4.0 3.5.35 3.6.16 3.7.3", "3.3.27 3.8.0", [h.MIRROR], h.HANDLED, "#22264"),
    "make-mirror-writes-elsewhere": ("3.6.0 3.7.3", "3.5.35 3.4.45", [h.MIRROR], h.HANDLED, "#22421"),
    "v2-data-missing-on-later-members": ("3.4.0 3.4.45", "3.5.0", [h.MIGRATION], h.WARNS, "#8804"),
}


def ids(version, during=()):
    return [hazard.id for hazard in h.hazards_of(parse_version(version), during)]


def test_each_row_has_its_lines_here():
    assert [hazard.id for hazard in h.HAZARDS] == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row(row):
    has, has_not, during, effect, issue = ROWS[row]
    (hazard,) = [one for one in h.HAZARDS if one.id == row]
    assert [version for version in has.split() if row not in ids(version)] == []
    assert [version for version in has_not.split() if row in ids(version)] == []
    assert (list(hazard.during), hazard.effect) == (during, effect) and issue in hazard.issue
    assert bool(hazard.issue) == bool(issue)


@pytest.mark.parametrize("row", ROWS)
def test_what_it_says_is_a_sentence_with_a_next_step_and_the_version_that_cures(row):
    has, has_not, *_rest = ROWS[row]
    (hazard,) = [one for one in h.HAZARDS if one.id == row]
    for version in map(parse_version, has.split()):
        assert hazard.cause(version).startswith(f"etcd {version} ") and hazard.cause(version).endswith(".")
        assert hazard.next_step(version).endswith("."), "somebody must know what to do"
        cure = hazard.cure(version)
        assert (f"Upgrade to {cure} or later" in hazard.next_step(version)) == bool(cure)
        assert not cure or (cure in has_not and not hazard.has(parse_version(cure)))


def test_they_are_asked_for_by_what_is_done():
    assert ids("3.6.3", [h.MEMBERSHIP]) == [
        "defragmented-while-it-receives",
        "updated-learner",
        "fresh-learner-dies",
        "removal-lost",
        "addition-needs-all",
    ]
    assert ids("3.5.2", [h.RESTORE]) == ["inconsistent-data", "forced-new-cluster-keeps-learners"]
    assert ids("3.7.3", [h.RESTORE]) == [] and set(ids("3.5.2")) > set(ids("3.5.2", [h.MEMBERSHIP]))


def judged(version, *during):
    findings = Findings("etcd")
    h.judge(parse_version(version), during, findings, "host1")
    return findings


def test_members_are_not_replaced_on_3_6_0_to_3_6_3_and_the_version_that_cures_it_is_named():
    (refusal,) = judged("3.6.3", h.MEMBERSHIP, h.PROMOTION).refusals
    assert refusal["host"] == "host1" and "etcd 3.6.3 does not start" in refusal["cause"]
    assert "(etcd #20387)" in refusal["cause"] and refusal["next_step"].startswith("Upgrade to 3.6.4 or later")
    assert judged("3.6.4", h.MEMBERSHIP, h.PROMOTION).refusals == []
    assert judged("3.6.3", h.RESTORE).refusals == judged("3.6.3", h.MEMBERSHIP).refusals == [], "what is dead may go"


@pytest.mark.parametrize("during", [h.RESTORE, h.MEMBERSHIP, h.UPGRADE, h.DEFRAGMENTATION])
def test_3_5_0_to_3_5_2_are_a_warning_whatever_is_done(during):
    warnings = [item["cause"] for item in judged("3.5.2", during).warnings]
    assert any("can corrupt data under load" in cause and "Upgrade to 3.5.3" in cause for cause in warnings)
    assert not any("can corrupt data under load" in item["cause"] for item in judged("3.5.3", during).warnings)


@pytest.mark.parametrize("version, to", [("3.5.31", "3.5.32"), ("3.6.10", "3.6.11")])
def test_an_upgrade_to_the_next_line_wants_a_late_patch(version, to):
    (refusal,) = judged(version, h.UPGRADE).refusals
    assert f"Upgrade to {to} or later" in refusal["next_step"]
    assert judged(to, h.UPGRADE).refusals == []


def test_what_is_handled_is_not_spoken_of():
    assert judged("3.7.3", h.MEMBERSHIP, h.PROMOTION, h.AUTHENTICATION) == Findings("etcd")


def test_what_is_met_names_the_members_and_what_an_upgrade_in_the_line_cures():
    members = [{"name": "m2", "version": "3.6.3"}, {"name": "m1", "version": "3.6.3"}, {"name": "m3", "version": ""}]
    found = h.met([*members, {"name": "m4", "version": "3.6.16"}])
    assert {one.version for one in found} == {"3.6.3"} and {tuple(one.members) for one in found} == {("m1", "m2")}
    assert "start-replays-promotion" in [one.id for one in found]
    assert not {"fresh-learner-dies", "settings-lost", "addition-needs-all"} & {one.id for one in found}


@pytest.mark.parametrize("version", ["3.5.35", "3.6.16", "3.7.3"])
def test_of_the_newest_of_a_line_that_is_alive_nothing_is_said(version):
    assert h.met([{"name": "m1", "version": version}]) == []
