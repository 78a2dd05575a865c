# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over gRPC on real members of each line: plain, with mutual TLS, with users whose tokens end, and with members that
fail.
"""

from __future__ import annotations

from typing import Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import (
    Compare,
    Delete,
    KeyValue,
    Put,
    Watched,
    prefix_range,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import (
    Compacted,
    NoLease,
    Refused,
    Stale,
    TooLarge,
    Unavailable,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import Lease, Status
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.ranges import Side, Span
from client import dump, seed
from doors import connection
from lab import Lab

LINES = ("3.4", "3.5", "3.6", "3.7")
ALL = prefix_range(b"")


# ---- one member of each line -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=LINES)
def single(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("single") / "lab", members=1, line=request.param) as lab:
        yield lab


@pytest.fixture
def client(single: Lab) -> Iterator[Client]:
    with Client(connection(single)) as made:
        made.commit([], [Delete(*ALL)])
        yield made


def events(watch: Iterator[Watched], count: int) -> list[tuple[bool, bytes, bytes, int]]:
    found: list[tuple[bool, bytes, bytes, int]] = []
    while len(found) < count:
        found += [(e.deleted, e.kv.key, e.kv.value, e.kv.mod_revision) for e in next(watch).events]
    return found


def test_pages_hold_what_the_json_gateway_says(single: Lab, client: Client) -> None:
    seed(single.members[0].client, 2500)
    found: dict[bytes, KeyValue] = {}
    start, revision, more, pages = b"\0", 0, True, 0
    while more:
        page = client.page(start, b"\0", limit=1000, revision=revision)
        revision = revision or page.header.revision
        found.update((kv.key, kv) for kv in page.kvs)
        start, more, pages = page.kvs[-1].key + b"\0", page.more, pages + 1
    expected = dump(single.members[0].client)
    assert pages == 3
    assert {key: tuple(kv._asdict().values()) for key, kv in found.items()} == {
        key: (kv.key, kv.create_revision, kv.mod_revision, kv.version, kv.value, kv.lease)
        for key, kv in expected.items()
    }
    assert client.page(*ALL, count_only=True) == (page.header, [], False, 2500)
    names = client.page(*ALL, limit=2, keys_only=True, serializable=True)
    assert [(kv.key, kv.value) for kv in names.kvs] == [(key, b"") for key in sorted(expected)[:2]]


def test_a_transaction_is_done_wholly_where_its_conditions_hold_and_else_not_at_all(client: Client) -> None:
    first = client.commit(
        [Compare(b"a", None), Compare(b"b", None)], [Put(b"a", b"1"), Put(b"b", b""), Put(b"c/1", b"2")]
    )
    assert first.succeeded
    assert not client.commit([Compare(b"a", None)], [Put(b"a", b"2")]).succeeded
    assert not client.commit([Compare(b"a", b"")], [Put(b"a", b"2")]).succeeded
    second = client.commit(
        [Compare(b"a", b"1"), Compare(b"b", b""), Compare(b"c/1", None, 1)],
        [Put(b"a", b"3"), Delete(*prefix_range(b"c/"))],
    )
    assert second.succeeded
    assert second.header.revision == first.header.revision + 1
    assert {kv.key: kv.value for kv in client.page(*ALL).kvs} == {b"a": b"3", b"b": b""}


def test_many_transactions_under_way_are_all_done(client: Client) -> None:
    pending = [
        client.commit_soon([], [Put(b"k%03d" % n, b"%d" % n) for n in range(at, at + 128)])
        for at in range(0, 1280, 128)
    ]
    revisions = [one.result().header.revision for one in pending]
    assert len(set(revisions)) == 10
    assert [kv.value for kv in client.page(*ALL).kvs] == sorted(
        (b"%d" % n for n in range(1280)), key=lambda v: b"k%03d" % int(v)
    )


def test_a_watch_gives_each_event_from_its_revision_on(client: Client) -> None:
    start = client.commit([], [Put(b"w/a", b"1"), Put(b"other", b"1")]).header.revision
    with client.watch(*prefix_range(b"w/"), start) as watch:
        assert next(watch).created
        assert events(watch, 1) == [(False, b"w/a", b"1", start)]
        client.commit([], [Delete(b"w/a"), Put(b"w/b", b"x" * 5000)])
        assert events(watch, 2) == [(True, b"w/a", b"", start + 1), (False, b"w/b", b"x" * 5000, start + 1)]


def test_a_watch_that_tells_what_was(single: Lab, client: Client) -> None:
    """From 3.5 on. 3.4 could, and is not asked: it would copy all that is not on its disk yet for each event."""
    start = client.commit([], [Put(b"a", b"1")]).header.revision
    client.commit([], [Put(b"a", b"2")])
    client.commit([], [Delete(b"a")])
    with client.watch(b"a", b"", start, previous=True) as watch:
        found = [event for watched in (next(watch), next(watch)) for event in watched.events]
    told = [None, None, None] if single.line == "3.4" else [None, b"1", b"2"]
    assert [event.previous and event.previous.value for event in found] == told


def test_a_watch_whose_revision_is_gone_says_so_and_ends(client: Client) -> None:
    client.commit([], [Put(b"a", b"1")])
    now = client.commit([], [Put(b"a", b"2")]).header.revision
    client.compact(now)
    with client.watch(*ALL, now - 1) as watch:
        last = list(watch)[-1]
    assert (last.canceled, last.compact_revision) == (True, now)
    with pytest.raises(Compacted):
        client.page(b"a", revision=now - 1)


def test_a_watch_is_closed_from_elsewhere(client: Client) -> None:
    watch = client.watch(*ALL, 0)
    assert next(watch).created
    watch.close()
    assert list(watch) == []


def test_leases(client: Client) -> None:
    own = client.grant(1000)
    assert client.grant(500, 4711) == 4711
    with pytest.raises(NoLease):
        client.grant(500, 4711)
    client.commit([], [Put(b"leased", b"1", 4711)])
    assert client.page(b"leased").kvs[0].lease == 4711
    found = client.time_to_live(4711)
    assert (found.id, found.granted, 0 < found.ttl <= 500) == (4711, 500, True)
    assert (client.keep_alive(4711), client.keep_alive(4712)) == (500, 0)
    assert client.time_to_live(4712) == Lease(4712, -1, 0)
    for lease in (own, 4711):
        client.revoke(lease)
    assert client.page(b"leased").kvs == []
    with pytest.raises(NoLease):
        client.revoke(4711)


def test_what_is_refused_has_a_class(client: Client) -> None:
    now = client.commit([], [Put(b"a", b"1")]).header.revision
    with pytest.raises(TooLarge, match="too many operations"):
        client.commit([], [Put(b"%d" % n, b"") for n in range(129)])
    for size in (1_600_000, 9_000_000):
        with pytest.raises(TooLarge, match=r"too large|larger than max"):
            client.commit([], [Put(b"a", b"x" * size)])
    with pytest.raises(Refused, match="duplicate key"):
        client.commit([], [Put(b"a", b"1"), Put(b"a", b"2")])
    with pytest.raises(Stale):
        client.page(b"a", revision=now + 1)


def test_a_page_is_smaller_where_the_values_are_suddenly_large(client: Client) -> None:
    for first in range(0, 2000, 100):
        client.commit([], [Put(b"a/%04d" % n, b"small") for n in range(first, first + 100)])
    for n in range(80):
        client.commit([], [Put(b"b/%04d" % n, b"x" * 1_000_000)])
    with pytest.raises(TooLarge, match="larger than max"):
        client.page(*ALL)
    side, names, start = Side(client, b""), [], b""
    while start is not None:
        part = side.part(Span(start), 0)
        names += [entry.name for entry in part.entries]
        start = part.rest
    assert names == [b"a/%04d" % n for n in range(2000)] + [b"b/%04d" % n for n in range(80)]


def test_a_page_may_be_larger_than_grpc_would_have_it(client: Client) -> None:
    for number in range(6):
        client.commit([], [Put(b"big%d" % number, bytes([number]) * 1_400_000)])
    assert [kv.value for kv in client.page(*ALL).kvs] == [bytes([n]) * 1_400_000 for n in range(6)]


def test_what_members_say_of_themselves(single: Lab, client: Client) -> None:
    (status,) = client.status().values()
    assert isinstance(status, Status)
    (member,) = client.members()
    assert (status.leader, status.is_learner, status.version[:3]) == (member.id, False, single.line)
    assert member.client_urls == single.endpoints
    assert client.alarms() == []
    assert client.hash_kv().hash == client.hash_kv(client.page(b"a").header.revision).hash
    permissions = client.permissions()
    assert (permissions.enabled, permissions.all) == (False, True)


def test_nobody_there() -> None:
    with Client(connection(Lab("/nonexistent/lab", members=2), command_timeout=1)) as client:
        with pytest.raises(Unavailable, match="failed to connect") as told:
            client.commit([], [Put(b"a", b"1")])
        assert not told.value.unknown
        assert told.value.next_step
        assert all(isinstance(one, Unavailable) for one in client.status().values())
