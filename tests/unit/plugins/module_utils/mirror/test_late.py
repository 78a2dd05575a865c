# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came to a cluster that was left: by its keys, and by a watch that may be silent."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, Header, KeyValue, Page, Watched
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import Status
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import written as module
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.late import late
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.ranges import Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.written import Written, written


class Cluster:
    """Keys with the revision at which each was put."""

    def __init__(self, cluster, **keys):
        self.cluster = cluster
        self.kvs = [
            KeyValue(name.replace("_", "/").encode(), at, at, 1, value.encode())
            for name, (at, value) in sorted(keys.items())
        ]

    def page(self, key, end=b"", *, limit=0, **_more):
        found = [kv for kv in self.kvs if kv.key >= key and (end == b"\0" or kv.key < end)]
        cut = found[:limit] if limit else found
        return Page(Header(self.cluster, 1, 99, 2), cut, len(found) > len(cut), len(found))


def test_what_was_done_in_the_old_cluster_alone():
    """It was left at its revision 100, when the new one was at 50."""
    old = Cluster(
        1, a_same=(90, "1"), b_newer_there=(80, "1"), c_late=(101, "late"), d_both=(105, "old"), e_mirrored=(103, "9")
    )
    new = Cluster(
        2,
        a_same=(40, "1"),
        b_newer_there=(60, "2"),
        d_both=(61, "new"),
        e_mirrored=(62, "9"),
        f_new=(63, "1"),
        g_gone=(30, "1"),
    )
    found = late(Side(old, b""), Side(new, b""), [], 100, 50)
    assert found == Written(3, (b"c/late", b"d/both", b"g/gone"))
    assert late(Side(old, b""), Side(new, b""), [b"c/", b"d"], 100, 50).keys == (b"g/gone",)
    assert late(Side(old, b""), Side(new, b""), [], 105, 20) == Written(0, ())


# ---- by a watch --------------------------------------------------------------------------------------------------------


class Watch:
    """Gives these answers, and then nothing until it is closed; or, of one that tells progress, what the guard raises."""

    def __init__(self, answers, tells=True):
        self.endpoint, self.tells_progress = "http://a:2379", tells
        self.answers, self.closed = list(answers), threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        if self.answers:
            return self.answers.pop(0)
        if self.tells_progress:
            raise Unavailable("a watch has given no answer for 12 s.")
        self.closed.wait(10)
        raise StopIteration

    def close(self):
        self.closed.set()

    def ask_progress(self):
        pass


class Client:
    def __init__(self, *watches, at=100):
        self.watches, self.at = list(watches), at

    def watch(self, _key, _end, _start):
        return self.watches.pop(0)

    def status(self):
        told = Status(Header(1, 1, self.at, 2), "3.4.23", 0, 1, 0, 2, 0, [], 0, False, "", 0)
        return {"http://a:2379": told if self.at else Unavailable("refused")}


def at(revision, *keys, created=False):
    events = [Event(False, KeyValue(key, revision, revision, 1, b"1")) for key in keys]
    return Watched(Header(1, 1, revision, 2), created, False, 0, "", False, events)


CREATED = at(100, created=True)


def test_a_member_that_goes_silent_is_not_taken_for_one_that_has_told_everything():
    whole = Watch([CREATED, at(90, b"a"), at(100)])
    assert written(Client(Watch([CREATED]), whole), b"", [], 80, 100) == Written(1, (b"a",))
    with pytest.raises(Unavailable, match="no answer"):
        written(Client(*(Watch([CREATED]) for _each in range(3))), b"", [], 80, 100)


def test_silence_of_a_member_that_never_tells_is_believed_while_it_is_there_and_not_behind(monkeypatch):
    monkeypatch.setattr(module, "_SILENT", 0.2)
    monkeypatch.setattr(module, "_ASK_EVERY", 0.05)
    old = [Watch([CREATED, at(90, b"a")], tells=False) for _each in range(7)]
    assert written(Client(old.pop()), b"", [], 80, 100).changes == 1
    for client in (Client(*(old.pop() for _each in range(3)), at=99), Client(*(old.pop() for _each in range(3)), at=0)):
        with pytest.raises(EtcdError, match="does not say what was written up to revision 100"):
            written(client, b"", [], 80, 100)


def test_what_is_later_or_left_out_does_not_count():
    watch = Watch([CREATED, at(90, b"a", b"tmp/1"), at(101, b"b")])
    assert written(Client(watch), b"", [b"tmp/"], 80, 100) == Written(1, (b"a",))
    assert written(Client(), b"", [], 100, 100) == Written(0, ())
