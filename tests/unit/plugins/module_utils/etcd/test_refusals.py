# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Header
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import (
    Compacted,
    Denied,
    NoLease,
    NoSpace,
    OtherCluster,
    Refused,
    Stale,
    TokenEnded,
    TooLarge,
    Unavailable,
    Unsupported,
    all_silent,
    error_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.seen import Seen, View, older

URL = "http://10.0.0.1:2379"


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", Compacted),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", Stale),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Denied),
        ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", Denied),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", Denied),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", TokenEnded),
        ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", TokenEnded),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", NoSpace),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", TooLarge),
        ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", TooLarge),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9000018 vs. 2097152)", TooLarge),
        ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (70000000 vs. 67108864)", TooLarge),
        ("NOT_FOUND", "etcdserver: requested lease not found", NoLease),
        ("FAILED_PRECONDITION", "etcdserver: lease already exists", NoLease),
        ("UNIMPLEMENTED", "unknown method AuthStatus for service etcdserverpb.Auth", Unsupported),
        ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", Refused),
    ],
)
def test_each_refusal_has_its_class(code, words, kind):
    assert error_of(code, words, URL, writes=True).__class__ is kind


@pytest.mark.parametrize(
    ("code", "words", "unknown"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused", False),
        ("UNAVAILABLE", "etcdserver: no leader", False),
        ("UNAVAILABLE", "etcdserver: rpc not supported for learner", False),
        ("FAILED_PRECONDITION", "etcdserver: rpc not supported for learner", False),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", False),
        ("UNAVAILABLE", "etcdserver: leader changed", True),
        ("UNAVAILABLE", "etcdserver: request timed out", True),
        ("UNAVAILABLE", "etcdserver: request timed out, possibly due to previous leader failure", True),
        ("UNAVAILABLE", "etcdserver: server stopped", True),
        ("UNAVAILABLE", "Socket closed", True),
        ("UNAVAILABLE", "keepalive watchdog timeout", True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", True),
        ("CANCELLED", "", True),
        ("UNKNOWN", "raft proposal dropped", True),
    ],
)
def test_what_became_of_a_transaction_is_told_as_unknown_unless_it_was_never_begun(code, words, unknown):
    found = error_of(code, words, URL, writes=True)
    assert isinstance(found, Unavailable)
    assert found.unknown is unknown
    asked = error_of(code, words, URL)
    assert isinstance(asked, Unavailable)
    assert asked.unknown is False  # of a read nobody need know


def test_what_a_member_says_is_printed_safely():
    assert "\x1b" not in error_of("UNKNOWN", "\x1b[2Jgone", URL).message


def test_when_all_are_silent_each_says_why_and_one_that_is_behind_is_told_as_that():
    last = Stale(f"{URL} is behind.")
    last.revision = 7
    found = all_silent([Unavailable("http://10.0.0.2:2379: failed to connect."), last, Unavailable("other")])
    assert (found.__class__, found.revision) == (Stale, 7)
    assert all_silent([Unavailable("one"), Unavailable("other")]).__class__ is Unavailable
    assert "10.0.0.2:2379: failed to connect." in found.message
    assert found.next_step


SEEN = View(5, 100, 3)


@pytest.mark.parametrize(
    ("revision", "term", "believed"), [(100, 3, True), (101, 3, True), (100, 4, True), (99, 3, False), (500, 2, False)]
)
def test_an_older_view_is_not_believed(revision, term, believed):
    found = older(Header(5, 1, revision, term), SEEN, URL)
    assert (found is None) == believed
    if found:
        assert (found.revision, found.raft_term) == (revision, term)


def test_another_cluster_is_not_believed():
    found = older(Header(6, 1, 1000, 9), SEEN, URL)
    assert isinstance(found, OtherCluster)
    assert found.cluster_id == 6
    assert older(Header(6, 1, 1, 1), View(), URL) is None


def test_what_was_seen_never_goes_back_and_stays_with_one_cluster():
    seen = Seen()
    for header in (Header(5, 1, 10, 2), Header(5, 2, 8, 3), Header(6, 1, 99, 9), Header(0, 0, 99, 9)):
        seen.add(header)
    assert seen.view == View(5, 10, 3)
