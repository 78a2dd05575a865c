# SPDX-License-Identifier: GPL-3.0-or-later
"""What writes and watches beside a mirror: as little work as can be, so that the members and the mirror have the machine.

Requests are made before the clock starts, and go as they are through gRPC. As a program it writes at a pace.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, Sequence

import grpc

sys.path.append(str(Path(__file__).resolve().parents[1] / ".collections"))

from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Put
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import txn_request

OPERATIONS = 128  # of a transaction, etcd's own limit
BYTES = 1_500_000  # of a request, below etcd's limit
LIMIT_WRITERS = 8
ANSWER_SECONDS = 60


def full_batches(prefix: str, keys: int, value: int) -> Iterator[bytes]:
    """Transactions that put so many keys with values of so many bytes: as full as etcd takes them."""
    each = max(1, min(OPERATIONS, BYTES // (value + len(prefix) + 40)))
    filler = bytes(range(256)) * (value // 256 + 2)
    for first in range(0, keys, each):
        numbers = range(first, min(keys, first + each))
        yield txn_request([], [Put(b"%s%08d" % (prefix.encode(), n), filler[n % 256 :][:value]) for n in numbers])


def write(urls: Sequence[str], requests: Sequence[bytes], writers: int = LIMIT_WRITERS) -> float:
    """Send them by so many writers, each of which waits for its answer; the seconds that it took."""
    left, lock = iter(requests), threading.Lock()
    with Channels(urls, writers) as channels:

        def send(number: int) -> None:
            call = channels.txn(number)
            while True:
                with lock:
                    request = next(left, None)
                if request is None:
                    return
                call(request, timeout=ANSWER_SECONDS)

        with ThreadPoolExecutor(writers) as pool:
            began = time.monotonic()
            list(pool.map(send, range(writers)))
            return time.monotonic() - began


class Channels:
    """A connection for each writer, to the members in turns. As a context manager it closes them."""

    def __init__(self, urls: Sequence[str], count: int = 1) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self._channels = [
            grpc.insecure_channel(urls[number % len(urls)].partition("://")[2], options) for number in range(count)
        ]
        for channel in self._channels:
            grpc.channel_ready_future(channel).result(ANSWER_SECONDS)

    def __enter__(self) -> Channels:
        return self

    def __exit__(self, *_exc: object) -> None:
        for channel in self._channels:
            channel.close()

    def txn(self, number: int = 0) -> Any:
        return self._channels[number].unary_unary("/etcdserverpb.KV/Txn")


class Paced:
    """Puts at a pace, whether or not the ones before were answered. ``sent``: when each went, ``took``: its seconds."""

    def __init__(self, urls: Sequence[str], prefix: str, per_second: float, seconds: float, value: int) -> None:
        self.sent: dict[bytes, float] = {}
        self.took: list[float] = []
        self.failed = 0
        keys = [b"%s%08d" % (prefix.encode(), number) for number in range(int(per_second * seconds))]
        self._requests = [(key, txn_request([], [Put(key, b"v" * value)])) for key in keys]
        self._urls, self._pause = urls, 1 / per_second

    def run(self) -> Paced:
        """Returns when all are answered."""
        open_calls = threading.Semaphore(0)
        with Channels(self._urls) as channels:
            call, due = channels.txn(), time.monotonic()
            for key, request in self._requests:
                due += self._pause
                left = due - time.monotonic()
                if left > 0:
                    time.sleep(left)
                began = self.sent[key] = time.monotonic()

                def answered(future: Any, began: float = began) -> None:
                    if future.exception() is None:
                        self.took.append(time.monotonic() - began)
                    else:
                        self.failed += 1
                    open_calls.release()

                call.future(request, timeout=ANSWER_SECONDS).add_done_callback(answered)
            for _request in self._requests:
                open_calls.acquire()
        return self


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them is."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--pace", type=float, required=True, help="writes a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--value", type=int, required=True, help="bytes")
    given = parser.parse_args(argv)
    load = Paced(given.urls, given.prefix, given.pace, given.seconds, given.value)
    print("it writes", flush=True)
    load.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
