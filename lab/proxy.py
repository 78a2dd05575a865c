# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy that is a worse network: each direction is delayed, connections are cut, or nothing comes through any more.

The delay is that of a long way and not of a narrow one: what comes in at once goes out at once, later, and the throughput stays.

    with Proxy("127.0.0.1:2379", delay=0.010) as proxy:  # a round trip takes 20 ms
        client = Client(proxy.url)
        proxy.blackhole()  # a partition: connections stand, and are silent
        proxy.heal()

As a program, for who measures and wants it in a process of its own: python lab/proxy.py 127.0.0.1:2379 --delay 10
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Coroutine

CHUNK = 1 << 18  # bytes
ON_THE_WAY = 64 << 20  # bytes of a direction; a sender that has more out waits, as for TCP's window
ANSWER_SECONDS = 10


class Proxy:
    """Listens on a port of loopback from the beginning of the block to its end, and forwards to ``target``, ``host:port``.

    ``delay`` is that of each direction, in seconds, and may be changed at any time. Thread-safe.
    """

    def __init__(self, target: str, delay: float = 0.0) -> None:
        self.delay = delay
        self.port = 0
        self.accepted = 0  # connections
        self._host, _colon, port = target.rpartition(":")
        self._target_port = int(port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: asyncio.Server | None = None
        self._ways: set[_Way] = set()
        self._passing: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(self, *_exc: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def blackhole(self) -> None:
        """A partition: nothing comes through any more, and nobody is told. What is sent meanwhile arrives after ``heal``."""
        self._do(self._shut())

    def cut(self) -> None:
        """All connections are reset, and new ones refused until ``heal``: the process at the other end is gone."""
        self._do(self._cut())

    def reset(self) -> None:
        """All connections are reset; new ones are served."""
        self._do(self._reset())

    def heal(self) -> None:
        """The network is as it was before ``blackhole`` or ``cut``; the delay stays."""
        self._do(self._heal())

    @property
    def connections(self) -> int:
        """Those that stand."""
        return len(self._ways) // 2

    def _do(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)

    async def _begin(self) -> None:
        self._passing = asyncio.Event()
        self._passing.set()
        await self._listen()

    async def _end(self) -> None:
        await self._cut()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._passing.clear()

    async def _cut(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
        await self._reset()

    async def _reset(self) -> None:
        for way in list(self._ways):
            way.reset()
        self._ways.clear()

    async def _heal(self) -> None:
        self._passing.set()
        if self._listener is None:
            await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            # Whoever connects into a partition is not told either that there is nobody at the other end.
            await self._passing.wait()
            far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        ways = {_Way(self, reader, far_writer), _Way(self, far_reader, writer)}
        self._ways |= ways
        try:
            await asyncio.gather(*(way.forward(self._passing) for way in ways))
        except (OSError, asyncio.CancelledError):
            for way in ways:
                way.reset()
        finally:
            self._ways -= ways
            for way in ways:
                way.writer.close()


class _Way:
    """One direction of a connection."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._reader, self.writer = proxy, reader, writer
        self._sent: deque[tuple[float, bytes]] = deque()  # (when it is due, what; empty: the end)
        self._bytes = 0
        self._moved = asyncio.Event()

    async def forward(self, passing: asyncio.Event) -> None:
        taking = asyncio.ensure_future(self._take())
        try:
            await self._give(passing)
            await taking
        finally:
            taking.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await taking

    async def _take(self) -> None:
        chunk = b" "
        try:
            while chunk:
                chunk = await self._reader.read(CHUNK)
                self._bytes += len(chunk)
                self._sent.append((time.monotonic() + self._proxy.delay, chunk))
                self._moved.set()
                while self._bytes > ON_THE_WAY:
                    self._moved.clear()
                    await self._moved.wait()
        except OSError:
            self.reset()
            raise

    async def _give(self, passing: asyncio.Event) -> None:
        while True:
            while not self._sent:
                self._moved.clear()
                await self._moved.wait()
            due, chunk = self._sent.popleft()
            left = due - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
            await passing.wait()
            if not chunk:
                self.writer.write_eof()
                return
            self.writer.write(chunk)
            await self.writer.drain()
            self._bytes -= len(chunk)
            self._moved.set()

    def reset(self) -> None:
        """With a RST, as after the end of a process or a restart of a host."""
        taken = self.writer.get_extra_info("socket")
        if taken is not None:
            with suppress(OSError):
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="host:port")
    parser.add_argument("--delay", type=float, default=0, help="ms, of each direction")
    wanted = parser.parse_args(argv)
    with Proxy(wanted.target, wanted.delay / 1000) as proxy:
        print(proxy.port, flush=True)
        sys.stdin.read()  # whoever has started it ends it by closing this, or by its own end
    return 0


if __name__ == "__main__":
    sys.exit(main())
