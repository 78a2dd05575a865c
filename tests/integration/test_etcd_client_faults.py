# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over gRPC while members are killed, stopped or behind: nothing old is believed, nothing is done twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import client as client_file
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import watching
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Compare, Header, Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import OtherCluster, Stale, Unavailable
from doors import connection
from lab import Lab, Member

ALL = prefix_range(b"")
WAIT = 60  # seconds at most, for anything


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("trio") / "lab") as lab:
        yield lab


@pytest.fixture
def lab(trio: Lab) -> Lab:
    """All three members run and follow one leader."""
    for member in trio.members:
        if member.pid() is None:
            trio.start(member)
    return trio.wait_ready()


@pytest.fixture(scope="module", params=("3.4", "3.5", "3.6", "3.7"))
def single(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("single") / "lab", members=1, line=request.param) as lab:
        yield lab


@contextmanager
def stopped(*members: Member) -> Iterator[None]:
    """They neither answer nor close: what a host looks like that hangs, or that the network has lost."""
    pids = [member.pid() for member in members]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for pid in pids:  # each thread stops at its own time
            until = time.monotonic() + 10
            while not all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in _threads(pid)):
                assert time.monotonic() < until
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*/stat"))


def follower(lab: Lab, *others: Member) -> Member:
    leader = lab.leader()
    return next(member for member in lab.members if member.name != leader and member not in others)


def at(lab: Lab, *members: Member, **settings: object):
    """A connection to these members, the first of which is asked first."""
    return connection(lab, endpoints=[member.client_url for member in members], **settings)


def test_a_counter_is_exact_while_each_member_is_killed_in_turn(lab: Lab) -> None:
    """What is not known is found out by a look, and neither counted twice nor left out."""
    with Client(connection(lab)) as client:
        client.commit([], [Put(b"n", b"0")])
        done, unknown, end = 0, 0, threading.Event()

        def kill_each() -> None:
            for member in lab.members:
                time.sleep(1)
                lab.kill(member)
                time.sleep(1)
                lab.start(member)
                lab.wait_ready()
            end.set()

        killer = threading.Thread(target=kill_each)
        killer.start()
        try:
            while not end.is_set():
                try:
                    assert client.commit([Compare(b"n", b"%d" % done)], [Put(b"n", b"%d" % (done + 1))]).succeeded
                    done += 1
                except Unavailable as error:
                    unknown += error.unknown
                    done = int(_sure(client, b"n"))
        finally:
            killer.join()
        assert int(_sure(client, b"n")) == done > 100
        assert client.page(b"n").kvs[0].version == done + 1


def _sure(client: Client, key: bytes) -> bytes:
    until = time.monotonic() + WAIT
    while True:
        try:
            return client.page(key).kvs[0].value
        except Unavailable:
            assert time.monotonic() < until


def test_a_member_that_hangs_is_left_for_another(lab: Lab) -> None:
    one = follower(lab)
    others = [member for member in lab.members if member is not one]
    said: list[str] = []
    with Client(at(lab, one, *others), say=said.append) as client:
        client.commit([], [Put(b"a", b"1")])
        assert client.endpoint == one.client_url
        with stopped(one):
            assert client.page(b"a").kvs[0].value == b"1"
            assert client.commit([], [Put(b"a", b"2")]).succeeded
            assert client.endpoint == others[0].client_url
        assert f"{others[0].client_url} is asked from now on." in said[0]


def test_a_transaction_whose_answer_is_lost_is_told_as_unknown_and_not_repeated(single: Lab, monkeypatch) -> None:
    monkeypatch.setattr(client_file, "LONG", 1.0)
    with Client(connection(single, command_timeout=1)) as client:
        client.commit([], [Put(b"once", b"0")])
        before = client.page(b"once").kvs[0].version
        with stopped(single.members[0]):
            for ask in (
                lambda: client.commit([], [Put(b"once", b"1")]),
                lambda: client.commit_soon([], [Put(b"once", b"2")]).result(),
            ):
                with pytest.raises(Unavailable) as told:
                    ask()
                assert told.value.unknown
            with pytest.raises(Unavailable) as told:
                client.page(b"once")
            assert not told.value.unknown
        _sure(client, b"once")
        time.sleep(1)
        assert client.page(b"once").kvs[0].version - before <= 2


def test_a_watch_on_a_member_that_hangs_ends_and_goes_on_elsewhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ASK_AFTER", 1.0)
    monkeypatch.setattr(watching, "END_AFTER", 3.0)
    one = follower(lab)
    others = [member for member in lab.members if member is not one]
    with Client(at(lab, one, *others)) as client, Client(at(lab, *others)) as writer:
        start = writer.commit([], [Put(b"w", b"0")]).header.revision
        seen: list[bytes] = []
        with client.watch(b"w", b"", start) as watch, stopped(one):
            for number in range(1, 50):
                writer.commit([], [Put(b"w", b"%d" % number)])
            with pytest.raises(Unavailable):
                for watched in watch:
                    seen += [event.kv.value for event in watched.events]
            client_goes_on(client, seen, start, writer)
        assert seen == [b"%d" % number for number in range(50)]


def client_goes_on(client: Client, seen: list[bytes], start: int, writer: Client) -> None:
    """From what was seen on, by another member."""
    with client.watch(b"w", b"", start + len(seen)) as watch:
        assert watch.endpoint != client._caller.doors.all[0].endpoint
        for watched in watch:
            seen += [event.kv.value for event in watched.events]
            if len(seen) == 50:
                return


def test_a_watch_on_a_member_without_a_leader_ends(lab: Lab) -> None:
    one = follower(lab)
    with Client(at(lab, one, command_timeout=1)) as client, client.watch(*ALL, 0) as watch:
        assert next(watch).created
        with stopped(*(member for member in lab.members if member is not one)):
            with pytest.raises(Unavailable, match="no leader"):
                list(watch)
            with pytest.raises(Unavailable):
                client.page(b"a")
            with pytest.raises(Unavailable) as told:
                client.commit([], [Put(b"a", b"1")])
            assert not told.value.unknown


def test_a_member_that_is_behind_is_not_believed(lab: Lab) -> None:
    """A serializable read has no quorum to ask: the member that was cut off knows nothing of what was written since."""
    one = follower(lab)
    others = [member for member in lab.members if member is not one]
    with Client(at(lab, others[0], one, command_timeout=1)) as client:
        with stopped(one):
            written = client.commit([], [Put(b"behind", b"new")]).header
        for member in others:
            lab.kill(member)
        with Client(at(lab, one)) as ignorant:
            old = ignorant.page(b"behind", serializable=True)
        if old.header.revision < written.revision:  # it may have heard in the instant between
            with pytest.raises(Stale) as told:
                client.page(b"behind", serializable=True)
            assert told.value.revision == old.header.revision
        client._caller.seen.add(written._replace(revision=written.revision + 1000))
        with pytest.raises(Stale) as told:
            client.page(b"behind", serializable=True)
        assert told.value.raft_term >= old.header.raft_term


class WithoutPreVote(Lab):
    """A member that is cut off begins one election after the other, each in a higher term of its own. 3.4's default."""

    def config_text(self, *arguments: Any, **named: Any) -> str:
        return super().config_text(*arguments, **named) + ("" if self.line == "3.4" else "pre-vote: false\n")


@pytest.mark.parametrize("line", ["3.4", "3.7"])
def test_a_member_that_is_cut_off_shows_no_term_that_its_cluster_has_not_agreed_on(line: str, tmp_path: Path) -> None:
    """What was seen is believed of the whole cluster, and a lower term later on would mean that it was restored."""
    with WithoutPreVote(tmp_path / "lab", line=line) as lab, Client(connection(lab)) as every:
        agreed = every.commit([], [Put(b"a", b"1")]).header.raft_term
        one = follower(lab)
        with Client(at(lab, one)) as client, client.watch(*ALL, 0):
            with stopped(*(member for member in lab.members if member is not one)):
                time.sleep(8)  # several elections
                (status,) = client.status().values()
                local = client.page(b"a", serializable=True)
                assert (status.leader, status.header.raft_term, status.raft_term) == (0, agreed, agreed)
                assert (local.header.raft_term, client.term) == (agreed, agreed)
            lab.wait_ready()
            every.commit([], [Put(b"a", b"2")])
            assert every.page(b"a").header.raft_term > agreed + 1, "it had counted on, and told nobody"


@pytest.mark.parametrize("ahead", [(1000, 0), (0, 5)])
def test_a_watch_that_is_behind_is_not_believed(
    single: Lab, monkeypatch: pytest.MonkeyPatch, ahead: tuple[int, int]
) -> None:
    """Others have shown more, and this member does not in the time that it is given."""
    monkeypatch.setattr(watching, "CATCH_UP", 1.0)
    with Client(connection(single)) as client:
        header: Header = client.commit([], [Put(b"a", b"1")]).header
        with client.watch(*ALL, header.revision) as watch:
            client._caller.seen.add(
                header._replace(revision=header.revision + ahead[0], raft_term=header.raft_term + ahead[1])
            )
            with pytest.raises(Stale) as told:
                list(watch)
        assert (told.value.revision, told.value.raft_term) == (header.revision, header.raft_term)


@pytest.mark.parametrize("behind", [0, 1])
def test_a_quiet_watch_lives(single: Lab, monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
    """Longer than silence is borne: it answers when it is asked, on each line, also where all of it is still to come."""
    monkeypatch.setattr(watching, "ASK_AFTER", 0.5)
    monkeypatch.setattr(watching, "END_AFTER", 2.0)
    with Client(connection(single)) as client:
        start = client.commit([], [Put(b"elsewhere", b"1")]).header.revision
        with client.watch(*prefix_range(b"quiet/"), start + behind) as watch:
            timer = threading.Timer(5, lambda: client.commit([], [Put(b"quiet/a", b"1")]))
            timer.start()
            found = next(watched for watched in watch if watched.events)
            timer.join()
        assert found.events[0].kv.key == b"quiet/a"


def test_a_slow_reader_is_not_taken_for_a_silent_member(single: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ASK_AFTER", 0.2)
    monkeypatch.setattr(watching, "END_AFTER", 1.0)
    with Client(connection(single)) as client:
        start = client.commit([], [Put(b"slow", b"1")]).header.revision
        with client.watch(b"slow", b"", start) as watch:
            assert next(watch).created
            time.sleep(2.5)
            assert next(watch).events[0].kv.value == b"1"


def test_the_endpoints_of_two_clusters_are_not_one(lab: Lab, single: Lab) -> None:
    """Whichever is asked first is the cluster; the others are no members of it."""
    with Client(connection(lab, endpoints=[lab.endpoints[0], *single.endpoints], command_timeout=1)) as client:
        client.page(b"a")
        lab.kill(lab.members[0])
        with pytest.raises(EtcdError) as told:
            client.page(b"a", serializable=True)
        assert isinstance(told.value, OtherCluster)
        assert told.value.cluster_id == next(iter(Client(connection(single)).status().values())).header.cluster_id
        with pytest.raises(Unavailable):
            client.watch(*ALL, 0)
