# SPDX-License-Identifier: GPL-3.0-or-later
"""verify on real clusters: what differs is found and named, and what is only late is not, whoever writes meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import ranges
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import begun, state_key
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.verify import verify_mirror
from lab import Lab
from mirrors import Engine

KEYS = 2500
BATCH = 100
TIMES = 4


class Copied:
    """Two clusters, and a mirror between them that is as late as the test wants it. It writes as the engine does."""

    def __init__(self, name: str, source_urls, destination_urls) -> None:
        self.settings = MirrorSettings(
            name=name,
            source=Side(tuple(source_urls)),
            destination=Side(tuple(destination_urls)),
            prefix=f"{name}/",
            destination_prefix=f"copy-of-{name}/",
            exclude=(f"{name}/events/",),
        )
        self.source, self.destination = Client(Connection(source_urls)), Client(Connection(destination_urls))
        self.late: deque = deque()
        self._state = None

    def __enter__(self) -> Copied:
        return self

    def __exit__(self, *_exc: object) -> None:
        for client in (self.source, self.destination):
            client.__exit__(None, None, None)

    def write(self, *operations) -> None:
        """A transaction of the source, which the mirror has yet to apply."""
        committed = self.source.commit([], operations)
        header = committed.header
        if self._state is None:
            self._state = begun(self.settings, "epoch", header.cluster_id, header.revision, None)
        self.late.append((header.revision, operations))

    def apply(self, most: int = 0) -> None:
        """The oldest of what is late, or all of it."""
        for _one in range(most or len(self.late)):
            revision, operations = self.late.popleft()
            moved = [operation._replace(key=self.in_mirror(operation.key)) for operation in operations]
            state = Put(state_key(self.settings), self._state.at(revision).encode())
            self.destination.commit([], [*moved, state])

    def in_mirror(self, key: bytes) -> bytes:
        assert key.startswith(self.settings.source_prefix)
        return self.settings.target_prefix + key[len(self.settings.source_prefix) :]

    def seed(self) -> None:
        for first in range(0, KEYS, BATCH):
            self.write(*[Put(self.key(n), b"value of %d" % n) for n in range(first, first + BATCH)])
        self.apply()

    def key(self, number: int) -> bytes:
        return self.settings.source_prefix + b"%06d" % number

    def verify(self, **options):
        return verify_mirror(self.settings, self.source, self.destination, **{"rest": 0.1, "patience": 6, **options})


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory):
    """The oldest line and the newest: three members, and one."""
    folder = tmp_path_factory.mktemp("verify")
    with Lab(folder / "source", line="3.4") as source, Lab(
        folder / "destination", members=1, line="3.7"
    ) as destination:
        yield source, destination


@pytest.fixture
def copied(clusters, request: pytest.FixtureRequest):
    source, destination = clusters
    name = f"v{abs(hash(request.node.name)) % 10**9}"
    with Copied(name, source.endpoints, destination.endpoints) as made:
        made.seed()
        yield made


def differing(found) -> set[tuple[str, str]]:
    return {(one.key, one.how) for one in found.differing}


def test_both_sides_are_equal_and_what_differs_is_named(copied):
    found = copied.verify()
    assert found.equal and found.source_keys == found.mirror_keys == KEYS
    assert found.digest == found.mirror_digest
    mirror = copied.settings.target_prefix
    copied.destination.commit(
        [], [Delete(mirror + b"000000"), Put(mirror + b"001234", b"wrong"), Put(mirror + b"\xff\n", b"extra")]
    )
    copied.source.commit([], [Put(copied.settings.source_prefix + b"events/1", b"not mirrored")])
    found = copied.verify()
    name = copied.settings.prefix
    assert differing(found) == {(f"{name}000000", "missing"), (f"{name}001234", "other"), (f"{name}\\xff\\n", "extra")}
    assert (found.missing, found.other, found.extra, found.digest == found.mirror_digest) == (1, 1, 1, False)


@pytest.mark.parametrize("wrong", [False, True])
def test_under_load_a_lag_is_no_difference_and_a_difference_is_one(copied, wrong, monkeypatch):
    """The source is written to, deleted from and compacted all the time; the mirror is always behind, by 1 to 30 writes."""
    monkeypatch.setattr(ranges, "PART_KEYS", 50)  # so that much is written between the first slice and the last
    rng, end = random.Random(3), threading.Event()
    hurt = copied.key(KEYS + 5)
    copied.write(Put(hurt, b"stays"))
    copied.apply()
    errors: list[BaseException] = []

    def load() -> None:
        try:
            while not end.is_set():
                numbers = rng.sample(range(KEYS), 3)
                copied.write(
                    Put(copied.key(numbers[0]), b"%d" % rng.randrange(10**6)),
                    Put(copied.key(numbers[1]), b"%d" % rng.randrange(10**6)),
                    Delete(copied.key(numbers[2])),
                )
                if len(copied.late) > rng.randrange(1, 30):
                    copied.apply(1)
                if rng.random() < 0.05:
                    _compact_behind(copied)
        except BaseException as error:  # shown by the test
            errors.append(error)

    writer = threading.Thread(target=load)
    writer.start()
    try:
        if wrong:
            copied.destination.commit([], [Put(copied.in_mirror(hurt), b"differs")])
        found = [copied.verify(rest=2) for _time in range(TIMES)]
    finally:
        end.set()
        writer.join()
    assert not errors, errors
    expected = {(hurt.decode(), "other")} if wrong else set()
    assert [differing(one) for one in found] == [expected] * TIMES
    assert all(one.unsettled == 0 for one in found)
    assert any(one.rounds > 1 for one in found), "nothing was compacted meanwhile"
    copied.apply()
    assert differing(copied.verify()) == expected


def _compact_behind(copied: Copied) -> None:
    """As much as can go while the mirror can still follow."""
    copied.source.compact(copied.late[0][0] - 1 if copied.late else copied.source.page(b"x").header.revision)


def test_a_mirror_that_is_held_back_is_judged_by_what_has_not_changed(copied):
    """The source has compacted what the mirror is at."""
    same, wrong, changed, gone, extra = (copied.key(number) for number in (1, 2, 3, 4, KEYS + 9))
    copied.destination.commit([], [Put(copied.in_mirror(wrong), b"wrong"), Put(copied.in_mirror(extra), b"extra")])
    copied.write(Put(changed, b"changed"), Delete(gone))
    copied.source.compact(copied.source.page(b"x").header.revision)
    found = copied.verify(patience=1)
    assert differing(found) == {(wrong.decode(), "other")}
    assert found.unsettled == 3 and found.source_revision > found.applied_revision

    late = threading.Timer(2, copied.apply)
    late.start()
    try:
        found = copied.verify(patience=60)
    finally:
        late.join()
    assert differing(found) == {(wrong.decode(), "other"), (extra.decode(), "extra")} and found.unsettled == 0
    assert same.decode() not in str(found.differing)


def test_a_mirror_without_a_state_is_wrong_where_a_difference_stays(copied):
    """As etcd's own make-mirror leaves it."""
    copied.destination.commit([], [Delete(state_key(copied.settings))])
    assert copied.verify().equal
    late, wrong = copied.key(7), copied.key(8)
    copied.destination.commit([], [Put(copied.in_mirror(late), b"old"), Put(copied.in_mirror(wrong), b"wrong")])
    timer = threading.Timer(2, lambda: copied.destination.commit([], [Put(copied.in_mirror(late), b"value of 7")]))
    timer.start()
    try:
        found = copied.verify()
    finally:
        timer.join()
    assert differing(found) == {(wrong.decode(), "other")}


def test_a_restored_source_is_not_compared(copied):
    header = copied.source.page(b"x").header
    state = begun(copied.settings, "e", header.cluster_id + 1, header.revision, None).at(header.revision)
    copied.destination.commit([], [Put(state_key(copied.settings), state.encode())])
    with pytest.raises(EtcdError, match="is one of cluster"):
        copied.verify()


def test_large_values_are_read_in_small_parts(copied):
    """A thousand keys of a page would be more than gRPC takes in one message."""
    for number in range(KEYS, KEYS + 40):
        copied.write(Put(copied.key(number), bytes([number % 256]) * 1_000_000))
    copied.apply()
    assert copied.verify(rest=0).equal


def test_a_follower_answers_where_it_is_not_behind(clusters, copied):
    """One member of the source is down: the others answer, and a lagging one is not believed."""
    source, _destination = clusters
    down = source.members[0]
    source.kill(down)
    try:
        written(copied, Put(copied.key(1), b"while it was down"))
        copied.apply()
        assert copied.verify().equal
    finally:
        source.start(down)
        source.wait_ready()
    assert copied.verify().equal


def written(copied: Copied, put: Put) -> None:
    """The member may have led: then there is nobody to write to for a while."""
    until = time.monotonic() + 60
    while True:
        try:
            copied.write(put)
            return
        except Unavailable:
            if time.monotonic() > until:
                raise


def test_while_the_engine_itself_follows(clusters, tmp_path, monkeypatch):
    """It puts many revisions into one transaction, and cuts large ones: what it is verified at is what its state says then."""
    monkeypatch.setattr(ranges, "PART_KEYS", 50)
    source, destination = clusters
    engine = Engine(
        tmp_path, source.endpoints, destination.endpoints, "live", prefix="live/", destination_prefix="copy-of-live/"
    )
    with Copied("live", source.endpoints, destination.endpoints) as sides, engine.running():
        engine.wait_until_it_follows()
        end, errors = threading.Event(), []

        def load() -> None:
            rng = random.Random(11)
            try:
                while not end.is_set():
                    numbers = rng.sample(range(600), rng.choice([1, 3, 128]))
                    sides.source.commit([], [Put(sides.key(n), b"%d" % rng.getrandbits(60)) for n in numbers])
                    sides.source.commit([], [Delete(sides.key(rng.randrange(600)))])
            except BaseException as error:  # shown by the test
                errors.append(error)

        writer = threading.Thread(target=load)
        writer.start()
        try:
            while sides.source.page(*prefix_range(b"live/"), count_only=True).total < 500:
                time.sleep(0.05)
            settings = replace(sides.settings, exclude=())
            found = [verify_mirror(settings, sides.source, sides.destination, rest=1) for _time in range(4)]
            sides.destination.commit([], [Put(b"copy-of-live/zz", b"nobody has written this to the source")])
            wrong = verify_mirror(settings, sides.source, sides.destination, rest=1)
        finally:
            end.set()
            writer.join()
        assert not errors, errors
        assert [differing(one) for one in found] == [set()] * 4
        assert len({one.applied_revision for one in found}) > 1, "nothing was written meanwhile"
        assert differing(wrong) == {("live/zz", "extra")}
