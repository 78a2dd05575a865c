# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to the keys, out of the log: which, when, and nothing of a value that was not asked for."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.history import (
    Asked,
    Change,
    Gap,
    history,
    in_words,
    readable,
    told,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.moments import moment
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log

NOON = 1795867200.0  # 2026-11-28T12:00:00Z
SECRET, NEWER = b"hunter2 hunter2", b"hunter3"


@pytest.fixture
def folder(tmp_path):
    """A key of each fate, a minute between the revisions, each in a segment of its own; then another cluster."""
    first = KeyValue(b"/a/1", 11, 11, 1, SECRET, 0x7F)
    second = KeyValue(b"/a/1", 11, 12, 2, NEWER)
    with Log(str(tmp_path), kept=True, segment_bytes=1) as log:
        log.begin(1, 10, NOON)
        log.append(1, 11, NOON + 60, [Event(False, first), Event(False, KeyValue(b"/b\xff\x1b[2J", 11, 11, 1, b""))])
        log.append(1, 12, NOON + 120, [Event(False, second, first)])
        log.append(1, 13, NOON + 180, [Event(True, KeyValue(b"/a/1", 0, 13, 0, b""), second)])
        log.append(1, 20, NOON + 240, [])
        log.begin(2, 5, NOON + 300)
        log.append(2, 6, NOON + 360, [Event(False, KeyValue(b"/a/2", 6, 6, 1, b"x"))])
    return str(tmp_path)


def fates(found):
    return [(one.what, one.event.kv.key) if isinstance(one, Change) else one for one in found.shown]


def test_all_of_it(folder):
    found = history(folder, Asked())
    assert fates(found) == [
        Gap(1, 10, NOON, "the log begins here"),
        ("created", b"/a/1"),
        ("created", b"/b\xff\x1b[2J"),
        ("changed", b"/a/1"),
        ("deleted", b"/a/1"),
        Gap(2, 5, NOON + 300, "the source was another cluster before"),
        ("created", b"/a/2"),
    ]
    assert (found.created, found.changed, found.deleted, found.total) == (3, 1, 1, 5)
    assert (found.first, found.last) == (NOON, NOON + 360)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked(b"/b"), [("created", b"/b\xff\x1b[2J")]),
        (Asked(b"/a/1", since=NOON + 120), [("changed", b"/a/1"), ("deleted", b"/a/1")]),
        (Asked(b"/a/1", since=NOON + 121, until=NOON + 180), [("deleted", b"/a/1")]),
        (Asked(b"/a/1", until=NOON + 60), [("created", b"/a/1")]),
        (Asked(b"/a", since=NOON + 360), [("created", b"/a/2")]),
        (Asked(b"/a", since=NOON + 999), []),
        (Asked(b"/c"), []),
    ],
)
def test_a_part_of_it(folder, asked, expected):
    assert [one for one in fates(history(folder, asked)) if not isinstance(one, Gap)] == expected


def test_the_newest_are_shown_and_all_are_counted(folder):
    found = history(folder, Asked(most=2))
    assert len(found.shown) == 2 and found.total == 5
    assert in_words(found, Asked(most=2), False)[-2:] == [
        "5 changes: 3 created, 1 changed, 1 deleted",
        "  shown are the newest; 4 more with --most",
    ]


def test_values_are_hidden_unless_they_are_asked_for(folder):
    found = history(folder, Asked())
    for values in (False, True):
        text, data = "\n".join(in_words(found, Asked(), values)), json.dumps(told(found, values))
        assert ("hunter" in text) == values
        assert ("aHVudGVy" in data) == values
        assert hashlib.sha256(SECRET).hexdigest() in data and hashlib.sha256(SECRET).hexdigest()[:12] in text
    assert "2026-11-28T12:01:00Z  revision 11         created /b\\xff\\x1b[2J  0 bytes e3b0c44298fc" in text
    deleted = next(one for one in told(found, False)["changes"] if one["what"] == "deleted")
    assert deleted == {
        "what": "deleted",
        "at": "2026-11-28T12:03:00Z",
        "revision": 13,
        "key": "/a/1",
        "key_base64": "L2EvMQ==",
        "version": 0,
        "create_revision": 0,
        "lease": "",
        "value": None,
        "previous": {"bytes": 7, "sha256": hashlib.sha256(NEWER).hexdigest(), "revision": 12},
    }


def test_an_empty_log_is_said_to_be(tmp_path):
    assert in_words(history(str(tmp_path), Asked()), Asked(), False) == [
        "the log is empty: nothing was read yet, or it is not kept"
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"/a b", "/a b"),
        ("/ü".encode(), "/ü"),
        (b"/\\x41", "/\\x5cx41"),
        (b"\x00\n", "\\x00\\x0a"),
        ("\u202e".encode(), "\\xe2\\x80\\xae"),
    ],
)
def test_keys_are_readable_and_none_is_taken_for_another(data, text):
    assert readable(data) == text and readable(data).isprintable()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-28T12:00:00Z", NOON),
        ("2026-11-28T12:00:00.500Z", NOON + 0.5),
        ("2026-11-28 12:00", NOON),
        ("2026-11-28", NOON - 43200),
        ("45s", NOON + 955),
        ("30m", NOON - 800),
        ("30min", NOON - 800),
        ("90", NOON + 910),
        ("2h", NOON - 6200),
        ("3d", NOON + 1000 - 3 * 86400),
    ],
)
def test_moments_as_people_write_them(text, at):
    assert moment(text, NOON + 1000) == at


@pytest.mark.parametrize("text", ["", "now", "-5m", "5 weeks", "12:00", "2026-13-01", "99999999999d"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(EtcdError, match="is no moment"):
        moment(text, NOON)
