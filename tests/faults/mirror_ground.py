# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clusters with a mirror between them, each behind proxies that can be a bad network, and a source that is written to."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Sequence

from client import Client, GatewayError, InBackground
from lab import Lab
from mirrors import Engine
from proxy import Proxy

KEYS = 400
EQUAL_SECONDS = 90


class Load(InBackground):
    """Puts and deletes keys below a prefix, some of them in one transaction, as long as the block lasts."""

    def __init__(self, url: str, prefix: bytes, interval: float = 0.01, seed: int = 1) -> None:
        super().__init__([url], interval, timeout=5)
        self._prefix, self._dice = prefix, random.Random(seed)
        self.done = 0

    def _work(self) -> None:
        while not self.over():
            numbers = self._dice.sample(range(KEYS), 3)
            try:
                self._clients[0].put_many(
                    [(self.key(number), b"%d" % self._dice.getrandbits(60)) for number in numbers[:2]]
                )
                self._clients[0].delete(self.key(numbers[2]))
            except GatewayError:
                continue
            self.done += 1

    def key(self, number: int) -> bytes:
        return self._prefix + b"%04d" % number

    def wait_for(self, more: int) -> None:
        """Until so many rounds more were written."""
        wanted, until = self.done + more, time.monotonic() + 60
        while self.done < wanted:
            assert time.monotonic() < until, f"only {self.done} of {wanted} rounds were written"
            time.sleep(0.02)


class Mirrored:
    """One mirror: below ``NAME/`` in the source, ``copy-NAME/`` in the destination. It is written to inside the block.

    ``source`` and ``destination``: their members' URLs; each is reached by a proxy of its own.
    """

    def __init__(
        self, folder: Path, name: str, source: Sequence[str], destination: Sequence[str], **settings: Any
    ) -> None:
        self.prefix, self.copy = f"{name}/".encode(), f"copy-{name}/".encode()
        self.source_client, self.destination_client = Client(source[0]), Client(destination[0])
        self.source = [Proxy(url.partition("://")[2]) for url in source]
        self.destination = [Proxy(url.partition("://")[2]) for url in destination]
        self.load = Load(source[0], self.prefix)
        self._engines = (folder, name, settings)
        self._stack = ExitStack()

    def __enter__(self) -> Mirrored:
        for proxy in (*self.source, *self.destination):
            self._stack.enter_context(proxy)
        self.source_client.put_many([(self.load.key(number), b"seed %d" % number) for number in range(KEYS)])
        self._stack.enter_context(self.load)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def engine(self, number: int = 1) -> Engine:
        """On a host of its own; all of them are of the same mirror."""
        folder, name, settings = self._engines
        return Engine(
            folder / f"engine-{number}",
            [proxy.url for proxy in self.source],
            [proxy.url for proxy in self.destination],
            name,
            prefix=self.prefix.decode(),
            destination_prefix=self.copy.decode(),
            **settings,
        )

    def held(self, client: Client, prefix: bytes) -> dict[bytes, bytes]:
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        found = {entry.key[len(prefix) :]: entry.value for entry in client.range(prefix, end)}
        return {name: value for name, value in found.items() if not name.startswith(b"quorum.etcd/mirror/")}

    def assert_equal_in_the_end(self, engine: Engine, meanwhile: Callable[[], None] = lambda: None) -> None:
        """The writing ends, the mirror catches up, and both sides are equal, key by key; ``meanwhile`` is done all the time."""
        self.load.__exit__()
        wanted = self.held(self.source_client, self.prefix)
        until = time.monotonic() + EQUAL_SECONDS
        while self.held(self.destination_client, self.copy) != wanted and time.monotonic() < until:
            meanwhile()
            time.sleep(0.2)
        found = self.held(self.destination_client, self.copy)
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        assert wrong == [], f"{len(wrong)} keys differ: {wrong[:5]}\n{engine.status()}\n{engine.log[-3000:]}"
        assert len(wanted) > KEYS // 2 and self.load.done, "there is nothing to compare"


class Small(Lab):
    """A lab whose members take so many bytes."""

    quota = 24 << 20

    def config_text(self, *arguments: Any, **named: Any) -> str:
        return super().config_text(*arguments, **named).replace(f": {2 * 1024**3}", f": {self.quota}")
