# SPDX-License-Identifier: GPL-3.0-or-later
"""What deleted keys were, from the source's own history: all of them, in few questions."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, Header, KeyValue, Page, Watched
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Compacted, TooLarge, Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import past
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import Names
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.patience import Patience
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.reading import Reading

HEADER = Header(1, 1, 50, 1)


class Source:
    def __init__(self, *keys, most=5000):
        self.keys, self.asked, self.most = sorted(keys), 0, most

    def page(self, key, end=b"", *, limit=0, revision=0):
        self.asked += 1
        assert revision == 41
        names = [one for one in self.keys if (key <= one < end if end else one == key)]
        kvs = [kv(one) for one in (names[:limit] if limit else names)]
        if len(kvs) > self.most:
            raise TooLarge("larger than max.")
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


@pytest.mark.parametrize("most", [1, 7, 300])
def test_values_that_are_too_large_for_a_page_come_in_smaller_ones(most):
    keys = [b"/a/%05d" % one for one in range(400)]
    assert filled(Source(*keys, most=most), *keys) == {key: kv(key) for key in keys}


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(past, "MOST_BYTES", 5000)
    keys = [b"/a/%05d" % one for one in range(5000)]
    known = [one for one in filled(Source(*keys), *keys).values() if one]
    assert 0 < len(known) <= 1000


class Kept:
    """A log."""

    def __init__(self):
        self.revision, self.records = 10, []

    def append(self, _cluster, revision, _wall, events):
        self.revision = revision
        self.records.append((revision, events))

    def sync(self):
        pass


class Watch:
    def __init__(self, answers):
        self.answers = answers

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def __iter__(self):
        for one in self.answers:
            if isinstance(one, Exception):
                raise one
            yield one

    def close(self):
        pass


def test_a_revision_at_which_the_watch_dies_is_read_without_the_past_and_what_follows_with_it():
    """etcd is busy with the past of all that one revision has deleted until the watch seems to be dead, each time anew."""
    keys = [b"/a/%02d" % one for one in range(30)]
    silent = Unavailable("a watch has given no answer for 12 s.")
    later = Event(False, kv(b"/later")._replace(mod_revision=43), kv(b"/later"))
    opened, over = [], threading.Event()

    class Both(Source):
        def page(self, key, end=b"", *, limit=0, revision=0):
            return super().page(key, end, limit=limit, revision=revision) if revision else Page(HEADER, [], False, 0)

        def watch(self, _key, _end, start_revision, previous):
            opened.append((start_revision, previous))
            if start_revision == 11 and previous:
                return Watch([silent])
            if start_revision == 11:
                return Watch([Watched(HEADER, False, False, 0, "", False, [deleted(key) for key in keys]), None])
            return Watch([Watched(HEADER, False, False, 0, "", False, [later]), Compacted("the end of this test.")])

    def quiet(*_words):
        pass

    log = Kept()
    reading = Reading(
        Both(*keys),
        log,
        Names(b"", b"", ()),
        (b"\0", b"\0"),
        Patience(over, quiet, quiet),
        over,
        quiet,
        quiet,
        previous=True,
    )
    reading.start(1)
    assert over.wait(60)
    reading.close()
    assert opened == [(11, True), (11, False), (43, True)]
    assert log.records == [(42, [deleted(key, kv(key)) for key in keys]), (43, [later])]
