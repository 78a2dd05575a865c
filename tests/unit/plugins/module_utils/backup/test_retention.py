# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a folder's snapshots, and what is never removed, whatever the rules and the clocks say."""

from __future__ import annotations

import calendar
import copy
import os
import random
import time
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import (
    DEFAULT,
    KEEP,
    LEAVE,
    REMOVE,
    Policy,
    decide,
    newest_first,
    policy_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.save import default_name
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import snapshot

SEED = int(os.environ.get("FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("QUORUM_FUZZ_ROUNDS", "300"))
HOUR, DAY = 3600, 86400
NOON = calendar.timegm((2026, 11, 24, 12, 0, 0))
FOLDER = "/srv/no/such/folder"


def taken(revision, at, cluster="etcd", cluster_id="aa", verified=False, ok=True, name="", manifest=True, **more):
    own = default_name(cluster, at, revision)
    name = name or own
    told = {"cluster": cluster, "cluster_id": cluster_id, "taken_at": rfc3339(at), "revision": revision, "file": name}
    plain = {
        "path": f"{FOLDER}/{name}",
        "name": name,
        "ok": ok,
        "verified": verified and ok,
        "reason": "" if ok else f"{FOLDER}/{name} is damaged",
        "kind": "snapshot" if ok else "",
        "revision": revision,
        "taken_at": rfc3339(at),
        "manifest": told if manifest else None,
        "members": [{"id": f"{cluster_id}1"}],
    }
    return snapshot(**{**plain, **more})


def half_hours(count, verified=True, **more):
    """So many snapshots, one each half hour, the newest at noon."""
    return [taken(1000 - n, NOON - n * HOUR // 2, verified=verified and n == 0, **more) for n in range(count)]


def sorted_out(entries, keep, now=NOON, cluster="etcd", cluster_id="aa"):
    """By verdict, the revisions."""
    found = {KEEP: [], REMOVE: [], LEAVE: []}
    for decision in decide(entries, policy_of(keep), cluster, cluster_id, now):
        found[decision.verdict].append(decision.entry.revision)
    return found


def kept(*arguments, **more):
    return sorted_out(*arguments, **more)[KEEP]


def test_the_last_ten_are_kept_by_default():
    assert policy_of(10) == DEFAULT == Policy(last=10)
    found = sorted_out(half_hours(25), 10)
    assert found[KEEP] == [1000 - n for n in range(10)] and len(found[REMOVE]) == 15 and found[LEAVE] == []


@pytest.mark.parametrize(
    "given, policy",
    [
        (3, Policy(last=3)),
        ("3", Policy(last=3)),
        ("all", Policy(everything=True)),
        ({"last": "2", "daily": 7}, Policy(last=2, daily=7)),
        ({"days": 30, "hourly": 24, "weekly": 4, "monthly": 12}, Policy(days=30, hourly=24, weekly=4, monthly=12)),
        (Policy(days=3), Policy(days=3)),
        ('{"last": 10, "hourly": 24}', Policy(last=10, hourly=24)),  # as -e etcd_backup_keep='...' and a survey give it
    ],
)
def test_what_a_variable_can_say(given, policy):
    assert policy_of(given) == policy


@pytest.mark.parametrize(
    "given",
    [
        0,
        -1,
        "",
        "ten",
        None,
        True,
        1.5,
        {},
        {"last": 0},
        {"last": 10, "daly": 7},
        {"last": [1]},
        [],
        "{",
        '{"last": 0}',
    ],
)
def test_what_says_nothing_that_can_be_kept_is_refused(given):
    with pytest.raises(EtcdError, match="does not say how many snapshots are kept"):
        policy_of(given)


def test_everything_can_be_kept():
    assert len(kept(half_hours(25), "all")) == 25


def test_by_age():
    assert kept(half_hours(100), {"days": 1}) == [1000 - n for n in range(49)], "48 half hours are a day"
    old = half_hours(5)
    assert kept(old, {"days": 1}, now=NOON + 30 * DAY) == [1000], "the newest verified one has no age"


def test_by_the_hour_and_the_day_the_newest_of_each_is_kept():
    # The newest of the hours 12, 11, 10, ... : that of noon itself, and those of half past.
    assert kept(half_hours(100), {"hourly": 3}) == [1000, 999, 997]
    daily = kept(half_hours(200), {"daily": 3})
    assert daily == [1000, 1000 - 25, 1000 - 25 - 48], "of each day before the one of 23:30"


def test_by_the_week_and_the_month():
    days = [taken(1000 - n, NOON - n * DAY, verified=n == 0) for n in range(120)]
    # 2026-11-24 is a Tuesday: the Sundays before are 2, 9 and 16 days ago.
    assert kept(days, {"weekly": 4}) == [1000, 998, 991, 984]
    # The last days of October, September and August are 24, 55 and 85 days ago.
    assert kept(days, {"monthly": 4}) == [1000, 976, 945, 915]
    union = kept(days, {"last": 2, "weekly": 2, "monthly": 2})
    assert union == [1000, 999, 998, 976]


def test_periods_from_which_there_is_none_do_not_count():
    sparse = [taken(3, NOON, verified=True), taken(2, NOON - 40 * DAY), taken(1, NOON - 400 * DAY)]
    assert kept(sparse, {"daily": 2}) == [3, 2]


def test_the_week_is_that_of_the_calendar_also_over_a_new_year():
    last, first = calendar.timegm((2026, 12, 31, 1, 0, 0)), calendar.timegm((2027, 1, 1, 1, 0, 0))
    days = [taken(2, first, verified=True), taken(1, last)]
    assert kept(days, {"weekly": 5}) == [2], "both are of week 53 of 2026"
    assert kept(days, {"monthly": 5}) == [2, 1]


def test_the_newest_verified_one_is_never_removed():
    """Newer ones may be damaged in a way that a glance does not show."""
    entries = half_hours(20, verified=False)
    entries[15] = replace(entries[15], verified=True)
    assert kept(entries, 3) == [1000, 999, 998, 985]


def test_where_none_is_known_to_be_verified_none_is_removed():
    assert len(kept(half_hours(20, verified=False), 3)) == 20


def test_damaged_ones_are_told_and_left_and_not_counted():
    entries = half_hours(4)
    entries[1] = replace(entries[1], ok=False, kind="", reason="it is damaged")
    found = decide(entries, Policy(last=2), "etcd", "aa", NOON)
    assert [one.verdict for one in found] == [KEEP, LEAVE, KEEP, REMOVE]
    assert found[1].why == "not usable: it is damaged"


@pytest.mark.parametrize(
    "change, why",
    [
        ({"name": "before-upgrade.db"}, "not saved by this software"),
        ({"manifest": False}, "not saved by this software"),
        ({"compression": "gzip"}, "not saved by this software"),
        ({"kind": "database"}, "not saved by this software"),
        ({"real_path": "/elsewhere/etcd-20261124T120000Z-rev7.db"}, "not saved by this software"),
        ({"cluster": "shop"}, "of another cluster, shop"),
        ({"cluster_id": "bb"}, "of another etcd cluster, bb, perhaps of this one before a restore"),
    ],
)
def test_what_is_not_this_clusters_own_is_left_and_not_counted(change, why):
    strange = taken(7, NOON - 5 * DAY, **change)
    entries = [*half_hours(3), strange]
    found = decide(entries, Policy(last=1), "etcd", "aa", NOON)
    assert [one.verdict for one in found] == [KEEP, REMOVE, REMOVE, LEAVE]
    assert why in found[-1].why
    assert strange not in newest_first(entries, "etcd", "aa")


def test_a_copy_under_the_name_of_another_is_not_taken_for_that():
    """Somebody keeps one by renaming it, with its manifest: the name is not the one that its manifest makes."""
    renamed = taken(7, NOON - DAY, name=default_name("etcd", NOON - 2 * DAY, 7))
    assert sorted_out([*half_hours(2), renamed], 1)[LEAVE] == [7]


def test_old_data_that_was_put_back_has_lower_revisions_and_its_snapshots_are_kept():
    """By the revision alone the snapshot that was just saved would be the oldest of all, and go at once."""
    entries = [taken(5, NOON + HOUR, verified=True), *half_hours(12, verified=False)]
    found = kept(entries, 3, now=NOON + HOUR)
    assert 5 in found and found == [5, 1000, 999, 998]


def test_a_clock_that_was_wrong_removes_nothing_of_the_last_by_revision():
    far = [taken(1000 - n, NOON - n * HOUR + (400 * DAY if n % 2 else 0), verified=n == 0) for n in range(12)]
    assert {1000, 999, 998} <= set(kept(far, 3))


def test_whatever_the_folder_holds_and_the_rules_say():
    dice = random.Random(SEED)
    removed = 0
    for _round in range(ROUNDS):
        entries = a_folder(dice)
        policy = a_policy(dice)
        now = NOON + dice.choice([0, 0, -400 * DAY, 400 * DAY])
        before = copy.deepcopy(entries)
        decisions = decide(entries, policy, "etcd", "aa", now)
        removed += assert_safe(entries, policy, decisions)
        assert entries == before, "it only decides"
        # Once removed, nothing more goes: a second run changes nothing.
        rest = [one.entry for one in decisions if one.verdict != REMOVE]
        assert [one for one in decide(rest, policy, "etcd", "aa", now) if one.verdict == REMOVE] == []
    assert removed > ROUNDS, "the rules have never removed anything, so that nothing was tested"


def a_folder(dice):
    entries = {}
    for _one in range(dice.randrange(40)):
        revision, at = dice.randrange(1, 60), NOON - dice.randrange(60 * DAY) + dice.choice([0, 0, 0, 500 * DAY])
        entry = taken(
            revision,
            at,
            cluster=dice.choice(["etcd"] * 5 + ["shop"]),
            cluster_id=dice.choice(["aa"] * 5 + ["bb"]),
            verified=dice.random() < 0.3,
            ok=dice.random() < 0.85,
            name=dice.choice([""] * 6 + [f"named-{revision}-{at}.db"]),
            manifest=dice.random() < 0.9,
            **dice.choice([{}] * 8 + [{"compression": "zstd"}, {"kind": "database"}, {"real_path": "/elsewhere"}]),
        )
        entries[entry.path] = entry
    return list(entries.values())


def a_policy(dice):
    if dice.random() < 0.05:
        return Policy(everything=True)
    rules = dice.sample(["last", "days", "hourly", "daily", "weekly", "monthly"], dice.randrange(1, 4))
    return Policy(**{rule: dice.randrange(1, 6) for rule in rules})


def assert_safe(entries, policy, decisions):
    """What must hold of every decision; returns how many are removed."""
    assert [one.entry for one in decisions] == entries and all(one.why for one in decisions)
    gone = [one.entry for one in decisions if one.verdict == REMOVE]
    for entry in gone:
        told = entry.manifest
        assert entry.ok and told and (told.cluster, told.cluster_id) == ("etcd", "aa")
        at = calendar.timegm(time.strptime(told.taken_at, "%Y-%m-%dT%H:%M:%SZ"))
        assert entry.name == default_name("etcd", at, told.revision)
        assert entry.kind == "snapshot" and not entry.compression and entry.real_path == entry.path
    own = [one.entry for one in decisions if one.verdict != LEAVE]
    good = [entry for entry in own if entry.verified]
    assert good or not gone
    if good:
        assert max(good, key=lambda entry: (entry.revision, entry.taken_at)) not in gone
        assert max(good, key=lambda entry: (entry.taken_at, entry.revision)) not in gone
    assert len(own) - len(gone) >= min(len(own), policy.last)
    assert not (gone and policy.everything)
    return len(gone)
