# SPDX-License-Identifier: GPL-3.0-or-later
"""What deleted keys were, from the source's own history: all of them, in few questions."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, Header, KeyValue, Page
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Compacted
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import past


class Source:
    def __init__(self, *keys):
        self.keys, self.asked = sorted(keys), 0

    def page(self, key, end=b"", *, limit=0, revision=0):
        self.asked += 1
        assert revision == 41
        names = [one for one in self.keys if (key <= one < end if end else one == key)]
        kvs = [kv(one) for one in (names[:limit] if limit else names)]
        return Page(Header(1, 1, 42, 1), kvs, len(names) > len(kvs), len(names))


def kv(key):
    return KeyValue(key, 5, 40, 2, b"was " + key, 7)


def deleted(key, previous=None):
    return Event(True, KeyValue(key, 0, 42, 0, b""), previous)


def filled(source, *keys):
    return {event.kv.key: event.previous for event in past.with_past(source, 42, [deleted(key) for key in keys])}


@pytest.mark.parametrize("count", [1, past.FEW, past.FEW + 1, 2500])
def test_each_deletion_gets_what_its_key_was(count):
    keys = [b"/a/%05d" % one for one in range(count)]
    source = Source(*keys, b"/b", *[b"/a/%05d/other" % one for one in range(0, count, 3)])
    assert filled(source, *reversed(keys)) == {key: kv(key) for key in keys}
    assert source.asked <= max(past.FEW, 5)


def test_what_lies_far_apart_is_not_read_through():
    many = [b"/m/%05d" % one for one in range(20000)]
    keys = [b"/a/%d" % one for one in range(10)] + [b"/z/%d" % one for one in range(10)]
    source = Source(*keys, *many)
    assert filled(source, *keys) == {key: kv(key) for key in keys}
    assert source.asked == 2


def test_what_is_known_or_no_deletion_is_not_asked_for():
    source = Source()
    events = [Event(False, kv(b"/a")), deleted(b"/b", kv(b"/b"))]
    assert past.with_past(source, 42, events) == events and source.asked == 0


def test_what_is_compacted_nobody_knows(monkeypatch):
    source = Source(b"/a")

    def gone(*_key, **_more):
        raise Compacted("gone.")

    monkeypatch.setattr(source, "page", gone)
    assert filled(source, b"/a") == {b"/a": None}
    assert filled(source, *[b"/%d" % one for one in range(20)]) == {b"/%d" % one: None for one in range(20)}


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(past, "MOST_BYTES", 5000)
    keys = [b"/a/%05d" % one for one in range(5000)]
    known = [one for one in filled(Source(*keys), *keys).values() if one]
    assert 0 < len(known) <= 1000
