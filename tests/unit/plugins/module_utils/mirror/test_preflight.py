# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Findings
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import Permission
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.preflight import SOON, Access, Looked, judge, lacking
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side

NOW = 1_800_000_000.0
SETTINGS = MirrorSettings("west", Side(("http://a:2379",)), Side(("http://b:2379",)), prefix="app/")
SOURCE = Looked(1, {"http://a:2379": "3.6.4"})
DESTINATION = Looked(2, {"http://b:2379": "3.6.4"})
APP = Access("app", ("app",), (Permission(True, True, *prefix_range(b"app/")),), False)


def found(source=SOURCE, destination=DESTINATION, settings=SETTINGS):
    """(refusals, warnings), each as (host, cause)."""
    findings = Findings("west")
    judge(settings, source, destination, NOW, findings)
    assert all(one["next_step"] for one in findings.refusals)
    return [[(one["host"], one["cause"]) for one in kind] for kind in (findings.refusals, findings.warnings)]


def test_nothing_is_said_where_all_is_well():
    assert found() == [[], []]
    assert found(SOURCE._replace(access=APP), DESTINATION._replace(access=APP)) == [[], []]


def test_a_short_history_is_told_where_the_log_is_kept():
    short = SOURCE._replace(shallow=True)
    assert found(short) == [[], []], "it is compared then, and nothing is missed"
    refusals, ((side, cause),) = found(short, settings=replace(SETTINGS, keep_log=True))
    assert (refusals, side) == ([], "source") and "will be missing in the log" in cause


@pytest.mark.parametrize(
    ("source", "destination", "host", "words"),
    [
        ({}, {"cluster_id": 1}, "", "source and destination are the same cluster, 1"),
        ({}, {"learners": ["http://b:2379"]}, "destination", "is a learner"),
        ({}, {"alarms": ["NOSPACE"]}, "destination", "the alarm NOSPACE"),
        ({"alarms": ["CORRUPT"]}, {}, "source", "hold different data"),
        ({}, {"alarms": ["CORRUPT"], "begun": True}, "destination", "the alarm CORRUPT"),
        ({"versions": {"http://a:2379": "3.3.27"}}, {}, "source", "older than 3.4"),
        ({"certificates": {"/pki/client.crt": NOW - 60}}, {}, "source", "/pki/client.crt has ended 1 min ago"),
        (
            {},
            {"access": APP._replace(denied="etcdserver: permission denied.")},
            "destination",
            "the user app may not read and",
        ),
        ({}, {"access": Access(denied="permission denied")}, "destination", "who the mirror logs in as may not"),
        ({"access": APP._replace(permissions=())}, {}, "source", "may not read all keys below 'app/'"),
        ({}, {"access": APP._replace(trouble="too many operations")}, "destination", "too many operations"),
    ],
)
def test_what_is_refused(source, destination, host, words):
    refusals, _warnings = found(SOURCE._replace(**source), DESTINATION._replace(**destination))
    ((side, cause),) = refusals
    assert side == host
    assert words in cause


@pytest.mark.parametrize(
    ("source", "destination", "host", "words"),
    [
        ({"silent": {"http://c:2379": "failed to connect."}}, {}, "source", "http://c:2379 does not answer: failed"),
        ({}, {"learners": ["http://b:2379"], "versions": {"x": "3.6.4", "y": "3.6.4"}}, "destination", "of no use"),
        ({"versions": {"http://a:2379": "3.4.23"}}, {}, "source", "cannot say how far a quiet watch is"),
        (
            {},
            {"versions": {"http://b:2379": "3.5.1"}},
            "destination",
            "http://b:2379: etcd 3.5.1 can corrupt data under load",
        ),
        ({"alarms": ["NOSPACE"]}, {}, "source", "the alarm NOSPACE"),
        ({}, {"alarms": ["NOSPACE"], "begun": True}, "destination", "is full, and is waited for"),
        ({}, {"certificates": {"/pki/ca.crt": NOW + SOON - 1}}, "destination", "/pki/ca.crt ends in 13 d"),
    ],
)
def test_what_is_only_warned_of(source, destination, host, words):
    refusals, warnings = found(SOURCE._replace(**source), DESTINATION._replace(**destination))
    assert refusals == []
    ((side, cause),) = warnings
    assert side == host
    assert words in cause


def test_the_same_cluster_with_keys_apart_is_right():
    other = MirrorSettings("west", SETTINGS.source, SETTINGS.destination, prefix="app/", destination_prefix="copy/")
    assert found(destination=DESTINATION._replace(cluster_id=1), settings=other) == [[], []]


def test_the_next_step_grants_what_is_missing():
    findings = Findings("west")
    reader = APP._replace(permissions=(Permission(True, False, *prefix_range(b"app/")),))
    judge(SETTINGS, SOURCE._replace(access=reader), DESTINATION._replace(access=reader), NOW, findings)
    (refusal,) = findings.refusals
    assert refusal["next_step"] == "etcdctl role grant-permission app readwrite --prefix=true 'app/', by root."


def may(*ranges, reads=True, writes=True):
    return [Permission(reads, writes, key, end) for key, end in ranges]


@pytest.mark.parametrize(
    ("permissions", "wanted", "gaps"),
    [
        (may((b"a", b"c")), (b"a", b"c"), []),
        (may((b"a", b"b"), (b"b", b"c")), (b"a", b"c"), []),
        (may((b"b", b"c"), (b"a", b"bb")), (b"a", b"c"), []),
        (may((b"\0", b"\0")), (b"\0", b"\0"), []),
        (may((b"", b"\0")), (b"\0", b"\0"), []),
        (may((b"a", b"\0")), (b"b", b"c"), []),
        (may((b"a", b"b")), (b"a", b"c"), [(b"b", b"c")]),
        (may((b"b", b"c")), (b"a", b"d"), [(b"a", b"b"), (b"c", b"d")]),
        (may((b"b", b"c")), (b"\0", b"\0"), [(b"", b"b"), (b"c", b"\0")]),
        (may((b"a", b"")), (b"a", b"b"), [(b"a\0", b"b")]),
        (may((b"x", b"z")), (b"a", b"b"), [(b"a", b"b")]),
        (may((b"a", b"c"), writes=False), (b"a", b"c"), [(b"a", b"c")]),
        (may((b"a", b"c"), reads=False), (b"a", b"c"), [(b"a", b"c")]),
        ([], (b"a", b"b"), [(b"a", b"b")]),
    ],
)
def test_what_permissions_do_not_reach(permissions, wanted, gaps):
    assert lacking(permissions, wanted, True) == gaps


def test_reading_wants_no_writing():
    assert lacking(may((b"a", b"c"), writes=False), (b"a", b"c"), False) == []
