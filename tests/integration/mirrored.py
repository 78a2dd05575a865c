# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror between two clusters in a test: its engine in this process, what it said, and both sides key by key."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

from ansible_collections.quorum.etcd.plugins.module_utils.core.threads import Beside
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.engine import Outcome, run
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import STATE_STEM
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import State, decoded, state_key
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import MirrorStatus, last

SECONDS = 60.0


class Mirror:
    """``settings`` are those of a mirror but its sides; ``said`` is every line of its engines."""

    def __init__(self, folder: Path, source: Sequence[str], destination: Sequence[str], **settings: Any) -> None:
        given = {"name": "dr", "state_dir": str(folder), **settings}
        self.settings = MirrorSettings(source=Side(tuple(source)), destination=Side(tuple(destination)), **given)
        self.source, self.destination = Client(Connection(list(source))), Client(Connection(list(destination)))
        self.said: list[str] = []

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.source.close()
        self.destination.close()

    def once(self, most: float = 300) -> Outcome:
        """An engine that ends when it has caught up; it is told to end after so many seconds."""
        stop = threading.Event()
        late = threading.Timer(most, stop.set)
        late.start()
        try:
            return run(self.settings, True, self.said.append, stop)
        finally:
            late.cancel()

    @contextmanager
    def running(self) -> Iterator[Beside[Outcome]]:
        """An engine at work, which follows; it is told to end in the end."""
        stop = threading.Event()
        engine = Beside(lambda: run(self.settings, False, self.said.append, stop))
        try:
            yield engine
        finally:
            stop.set()
            engine.result()

    def put(self, numbers: range, value: bytes = b"v", stem: bytes = b"key/", prefix: bytes | None = None) -> None:
        put_many(self.source, self.settings.source_prefix if prefix is None else prefix, numbers, value, stem)

    def sides(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """All names and values of both, but what is left out."""
        names = (STATE_STEM, *(one[len(self.settings.prefix) :].encode() for one in self.settings.exclude))
        both = [
            {name: value for name, value in dump(client, prefix).items() if not name.startswith(names)}
            for client, prefix in (
                (self.source, self.settings.source_prefix),
                (self.destination, self.settings.target_prefix),
            )
        ]
        return both[0], both[1]

    def assert_equal(self) -> int:
        """Key by key; returns how many."""
        source, destination = self.sides()
        differing = [name for name in {**source, **destination} if source.get(name) != destination.get(name)]
        assert not differing, (len(differing), sorted(differing)[:5], self.said)
        return len(source)

    def until_equal(self, seconds: float = SECONDS) -> int:
        """While an engine is at work, and nobody writes."""
        self.until(lambda: self.sides()[0] == self.sides()[1], "both sides are equal", seconds)
        return self.assert_equal()

    def until(self, happened, what: str, seconds: float = SECONDS) -> None:
        until = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < until, (what, self.said, self.status)
            time.sleep(0.05)

    def until_it_follows(self) -> None:
        self.until(lambda: self.state is not None and self.state.phase == "follow", "it follows")

    @property
    def state(self) -> State | None:
        kvs = self.destination.page(state_key(self.settings)).kvs
        return decoded(kvs[0].value) if kvs else None

    @property
    def status(self) -> MirrorStatus | None:
        return last(self.settings.folder)


def dump(client: Client, prefix: bytes, revision: int = 0) -> dict[bytes, bytes]:
    """What is below the prefix, or was at a revision, without the prefix."""
    (key, end), found = prefix_range(prefix), {}
    while True:
        page = client.page(key, end, limit=2000, revision=revision)
        revision = revision or page.header.revision
        found.update({kv.key[len(prefix) :]: kv.value for kv in page.kvs})
        if not page.more:
            return found
        key = page.kvs[-1].key + b"\0"


def put_many(client: Client, prefix: bytes, numbers: range, value: bytes = b"v", stem: bytes = b"key/") -> None:
    """Keys of these numbers, in transactions of a hundred, several under way."""
    under_way = []
    for first in range(0, len(numbers), 100):
        puts = [
            Put(prefix + stem + b"%06d" % number, value + b" of %d" % number) for number in numbers[first : first + 100]
        ]
        under_way.append(client.commit_soon([], puts))
        if len(under_way) > 8:
            under_way.pop(0).result()
    for one in under_way:
        one.result()
