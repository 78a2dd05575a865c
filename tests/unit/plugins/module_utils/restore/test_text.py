# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan in words."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    hosts,
    options,
    snapshot,
    with_journals,
)


def test_a_file_time_is_called_one():
    text = "\n".join(plan_in_words(make_plan(hosts(), options(controller_snapshots=[snapshot(manifest=None)]))))
    assert "taken 2026-11-24T02:30:00Z by its file time" in text and "(30 min ago by its file time)" in text
    told = {"cluster": "etcd", "taken_at": "2026-11-24T02:30:00Z"}
    text = "\n".join(plan_in_words(make_plan(hosts(), options(controller_snapshots=[snapshot(manifest=told)]))))
    assert "file time" not in text


def test_the_words_show_every_argument_and_move():
    plan = make_plan(hosts(), options())
    text = "\n".join(plan_in_words(plan))
    for own in plan["hosts"].values():
        assert all(argument in text for argument in own["restore"]["argv"])
        assert all(swap["aside"] in text and swap["live"] in text for swap in own["swaps"])
    assert "20 revisions" in text and "30 min" in text


def test_the_words_of_a_rollback_tell_of_the_way_back():
    first = make_plan(hosts(), options())
    given = with_journals(first, all={"step": "finished", "open": False})
    text = "\n".join(plan_in_words(make_plan(given, options(rollback=True))))
    assert "/var/lib/etcd.before-20261124T030000Z-653df72f -> /var/lib/etcd\n" in text
    assert "snapshot restore" not in text
