# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot that lies off-site, by the words of a person at night."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.selecting import (
    Selector,
    in_doubt,
    newest_of,
    pick,
    selector,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest

NAME = "prod-20261128T100000Z-rev7.db"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("latest", "latest", ""),
        ("offsite:latest", "latest", ""),
        (" offsite:latest ", "latest", ""),
        (NAME, "name", NAME),
        (f"offsite:{NAME}.zst", "name", NAME),
        (f"{NAME}.json", "name", NAME),
        ("rev4711", "revision", "4711"),
        ("offsite:rev:4711", "revision", "4711"),
        ("2026-11-28T10:00:00Z", "time", "2026-11-28T10:00:00Z"),
        ("offsite:2026-11-28 10:00Z", "time", "2026-11-28T10:00:00Z"),
        ("2026-11-28T10:00:00.75+01:00", "time", "2026-11-28T09:00:00Z"),
        ("2026-03-01T00:30:00-08:00", "time", "2026-03-01T08:30:00Z"),
    ],
)
def test_ways_to_say_it(text, kind, value):
    assert selector(text) == Selector(kind, value)


@pytest.mark.parametrize(
    "text",
    ["", "offsite:", "newest", "2026-11-28", "2026-11-28T10:00:00", "2026-02-30T10:00:00Z", "2026-11-28T25:00:00Z",
     "../x.db", "/var/x.db", "4711", "rev", "rev-1", "a b.db/"],
)  # fmt: skip
def test_what_is_none_is_refused_with_all_the_ways(text):
    with pytest.raises(EtcdError) as refused:
        selector(text)
    assert "latest" in refused.value.next_step and "2026-11-28T10:00:00Z" in refused.value.next_step


def manifest(taken_at, revision):
    return from_plain(Manifest, {"taken_at": taken_at, "revision": revision})


MANIFESTS = {
    "a.db": manifest("2026-11-28T09:00:00Z", 100),
    "b.db": manifest("2026-11-28T09:30:00Z", 150),
    "c.db": manifest("2026-11-28T10:00:00Z", 120),  # old data were put back, and the revision went back
    "d.db": manifest("2026-11-28T10:30:00Z", 200),
}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latest", "d.db"),
        ("b.db", "b.db"),
        ("2026-11-28T10:00:00Z", "c.db"),
        ("2026-11-28T10:29:59Z", "c.db"),
        ("2026-11-28T10:30:00+01:00", "b.db"),
        ("2027-01-01T00:00:00Z", "d.db"),
        ("rev150", "b.db"),
        ("rev199", "b.db"),
        ("rev130", "c.db"),
        ("rev5000", "d.db"),
    ],
)
def test_the_last_one_that_is_not_later(text, name):
    assert pick(selector(text), MANIFESTS, "prod") == name


BACK = {
    "a.db": manifest("2026-11-28T09:30:00Z", 100),
    "b.db": manifest("2026-11-28T10:00:00Z", 150),
    "c.db": manifest("2026-11-28T09:15:00Z", 200),  # the clock was set back
    "d.db": manifest("2026-11-28T09:45:00Z", 250),
}


@pytest.mark.parametrize(
    ("text", "name"), [("latest", "d.db"), ("2026-11-28T10:00:00Z", "b.db"), ("rev249", "c.db"), ("rev9999", "d.db")]
)
def test_the_newest_is_the_one_with_the_last_writes_and_a_time_is_the_clocks(text, name):
    assert pick(selector(text), BACK, "prod") == name


def test_after_a_restore_the_newest_is_of_the_cluster_that_was_saved_last():
    before = from_plain(Manifest, {"taken_at": "2026-11-28T10:00:00Z", "revision": 9000, "cluster_id": "c1"})
    after = from_plain(Manifest, {"taken_at": "2026-11-28T10:30:00Z", "revision": 40, "cluster_id": "c2"})
    assert newest_of({"a.db": before, "b.db": after}) == "b.db"
    (said,) = in_doubt("b.db", {"a.db": before, "b.db": after})
    assert said.startswith("offsite:a.db (taken 2026-11-28T10:00:00Z, revision 9,000)")


def test_what_would_be_the_newest_by_the_clock_is_told():
    (said,) = in_doubt("d.db", BACK)
    assert said == (
        "offsite:b.db (taken 2026-11-28T10:00:00Z, revision 150): by its time or by its revision alone it would be the newest,"
        " and d.db is not (taken 2026-11-28T09:45:00Z, revision 250). If it is the one that is wanted, name it."
    )
    assert in_doubt("d.db", MANIFESTS) == [] and newest_of({}) == ""


@pytest.mark.parametrize("text", ["e.db", "2026-11-28T08:59:59Z", "rev99"])
def test_none_is_told_with_what_there_is(text):
    with pytest.raises(EtcdError) as refused:
        pick(selector(text), MANIFESTS, "prod")
    assert "there are 4, from a.db (taken 2026-11-28T09:00:00Z, revision 100) to d.db" in refused.value.next_step
    with pytest.raises(EtcdError, match="no snapshot of cluster prod is off-site"):
        pick(selector(text), {}, "prod")
