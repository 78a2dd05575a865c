# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watch whose other side is a queue, and whose clock goes as it is told."""

from __future__ import annotations

import queue
import threading
from typing import Any, Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import watching, wire
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Header
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import OtherCluster, Stale, Stopped, Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.seen import Seen
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.watching import Watch

CLUSTER = 5
SECONDS = 10  # that a test waits for another thread


class Member:
    """What a watch talks to. ``say`` gives the next answer; ``asked`` has what the watch has sent."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._answers: queue.Queue[Any] = queue.Queue()
        self.asked: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._hear, args=(requests,), daemon=True).start()

    def _hear(self, requests: Iterator[bytes]) -> None:
        for request in requests:
            self.asked.put(request)

    def say(self, revision: int, *, term: int = 2, cluster: int = CLUSTER, fields: bytes = b"") -> None:
        header = wire._number(1, cluster) + wire._number(2, 1) + wire._number(3, revision) + wire._number(4, term)
        self._answers.put(wire._message(1, header) + fields)

    def __iter__(self) -> Member:
        return self

    def __next__(self) -> bytes:
        answer = self._answers.get(timeout=SECONDS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> bool:
        self._answers.put(RuntimeError("cancelled"))
        return True


CREATED, ASKED_FOR, CANCELED = b"\x18\x01", b"\x10" + b"\xff" * 9 + b"\x01", b"\x20\x01\x28\x07"


def event(revision: int) -> bytes:
    """A field of an answer: a key was put at this revision."""
    return wire._message(11, wire._message(2, wire._message(1, b"k") + wire._number(3, revision)))


class Bed:
    def __init__(self, tells_right: bool = True) -> None:
        self.now, self.looks, self.seen, self.left = 0.0, 0, Seen(), []
        self.watch = Watch(self._start, self._error, "m1", self.seen, self._clock, tells_right, self.left.append)

    def _clock(self) -> float:
        self.looks += 1
        return self.now

    def _start(self, requests: Iterator[bytes]) -> Member:
        self.member = Member(requests)
        return self.member

    @staticmethod
    def _error(error: BaseException) -> EtcdError:
        return error if isinstance(error, EtcdError) else Unavailable(str(error))

    def opened(self, revision: int = 10) -> Bed:
        self.member.say(revision, fields=CREATED)
        self.watch.open(b"a", b"b", 3, False)
        assert self.member.asked.get(timeout=SECONDS) == wire.watch_create_request(b"a", b"b", 2)
        assert next(self.watch).created
        return self

    def reads(self) -> queue.Queue[Any]:
        """What the next answer is, or raises, in a thread of its own that waits for it."""
        found: queue.Queue[Any] = queue.Queue()

        def read() -> None:
            try:
                found.put(next(self.watch, None))
            except EtcdError as error:
                found.put(error)

        threading.Thread(target=read, daemon=True).start()
        while self.watch._waits_since is None and found.empty():
            pass
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_TICK", 0.005)
    monkeypatch.setattr(watching, "_LATE", 1000.0)  # as if it had looked all the time


def test_silence_is_asked_for_progress_and_ended_when_nothing_comes():
    bed = Bed().opened()
    found = bed.reads()
    bed.now = watching.ASK_AFTER + 1
    assert bed.member.asked.get(timeout=SECONDS) == wire.watch_progress_request()
    bed.now = watching.END_AFTER + 1
    error = found.get(timeout=SECONDS)
    assert isinstance(error, Unavailable)
    assert bed.left == [error]


def test_it_is_asked_again_since_one_that_catches_up_does_not_answer():
    bed = Bed().opened()
    found = bed.reads()
    for bed.now in (watching.ASK_AFTER + 1, watching.ASK_AFTER + 1.1 + watching.ASK_AGAIN):
        assert bed.member.asked.get(timeout=SECONDS) == wire.watch_progress_request()
    bed.member.say(11, fields=ASKED_FOR)
    assert found.get(timeout=SECONDS).header.revision == 11
    assert bed.member.asked.empty()


def test_the_time_in_which_this_process_did_not_run_is_not_the_members(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "_LATE", 2.0)
    bed = Bed().opened()
    found = bed.reads()
    bed.now = 10 * watching.END_AFTER
    looked = bed.looks
    while bed.looks < looked + 3:
        pass
    assert found.empty()
    assert bed.member.asked.empty()
    while bed.now < 12 * watching.END_AFTER and found.empty():
        bed.now += 0.5
        looked = bed.looks
        while bed.looks == looked and found.empty():
            pass
    assert isinstance(found.get(timeout=SECONDS), Unavailable)


def test_what_stands_before_the_first_revision_is_neither_shown_nor_progress():
    bed = Bed().opened()
    bed.member.say(90, fields=event(2))
    bed.member.say(90, fields=event(2) + event(3))
    assert [one.kv.mod_revision for one in next(bed.watch).events] == [3]


def test_a_watch_from_now_on_begins_there():
    bed = Bed()
    bed.member.say(10, fields=CREATED)
    bed.watch.open(b"a", b"b", 0, False)
    assert bed.member.asked.get(timeout=SECONDS) == wire.watch_create_request(b"a", b"b", 0)


def test_an_answer_ends_the_silence():
    bed = Bed().opened()
    found = bed.reads()
    bed.now = watching.ASK_AFTER + 1
    bed.member.asked.get(timeout=SECONDS)
    bed.member.say(11, fields=ASKED_FOR)
    assert found.get(timeout=SECONDS).header == Header(CLUSTER, 1, 11, 2)
    found = bed.reads()
    bed.now += watching.END_AFTER - 1
    bed.member.say(12)
    assert found.get(timeout=SECONDS).header.revision == 12


def test_the_time_of_a_slow_reader_is_not_the_members():
    bed = Bed().opened()
    bed.now = 10 * watching.END_AFTER
    bed.member.say(11)
    assert next(bed.watch).header.revision == 11
    assert bed.member.asked.empty()


def test_progress_that_may_not_be_true_is_a_sign_of_life_only():
    bed = Bed(tells_right=False).opened()
    bed.member.say(50, fields=ASKED_FOR)
    bed.member.say(11)
    assert next(bed.watch).header.revision == 11


def test_a_watch_that_does_not_show_what_others_have_shown_is_not_believed():
    bed = Bed().opened(revision=10)
    bed.seen.add(Header(CLUSTER, 2, 90, 2))
    found = bed.reads()
    assert bed.member.asked.get(timeout=SECONDS) == wire.watch_progress_request()
    bed.member.say(40, fields=ASKED_FOR)
    assert found.get(timeout=SECONDS).header.revision == 40
    found = bed.reads()
    bed.now = watching.CATCH_UP + 1
    stale = found.get(timeout=SECONDS)
    assert (type(stale), stale.revision) == (Stale, 40)


def test_a_watch_that_catches_up_is_believed():
    bed = Bed().opened(revision=10)
    bed.seen.add(Header(CLUSTER, 2, 90, 3))
    found = bed.reads()
    bed.member.asked.get(timeout=SECONDS)
    bed.member.say(90, term=3, fields=ASKED_FOR)
    assert found.get(timeout=SECONDS).header.revision == 90
    found = bed.reads()
    bed.now = watching.CATCH_UP + 1
    bed.member.asked.get(timeout=SECONDS)  # for it is silent
    assert found.empty()
    bed.watch.close()
    assert found.get(timeout=SECONDS) is None
    assert bed.left == []


def test_another_cluster_is_not_believed():
    bed = Bed().opened()
    bed.member.say(11, cluster=6)
    with pytest.raises(OtherCluster):
        next(bed.watch)


def test_what_ends_a_watch():
    bed = Bed().opened()
    bed.member.say(0, fields=CANCELED)
    last = next(bed.watch)
    assert (last.canceled, last.compact_revision) == (True, 7)
    assert list(bed.watch) == []
    bed = Bed().opened()
    bed.member.cancel()
    with pytest.raises(Unavailable, match="cancelled"):
        next(bed.watch)
    bed = Bed()
    bed.watch.close()
    with pytest.raises(Stopped):
        bed.watch.open(b"a", b"b", 3, False)


def test_one_that_is_not_created_in_time_is_given_up():
    bed = Bed()
    bed.now = 100.0
    opens = threading.Thread(target=_opens, args=(bed,), daemon=True)
    opens.start()
    assert bed.member.asked.get(timeout=SECONDS)
    while bed.watch._waits_since is None:
        pass
    bed.now += watching.OPEN_AFTER + 1
    opens.join(SECONDS)
    assert not opens.is_alive()


def _opens(bed: Bed) -> None:
    with pytest.raises(Unavailable):
        bed.watch.open(b"a", b"b", 3, False)
