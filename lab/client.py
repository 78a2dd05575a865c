# SPDX-License-Identifier: GPL-3.0-or-later
"""A small etcd client over the JSON gateway: seed a cluster, dump it, compare two dumps, keep on writing.

Keys and values are bytes throughout.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from itertools import cycle, islice
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

WRITER_KEY = b"lab/writer"  # moves all the time, so it is left out of every dump
WRITTEN = b"lab/written/"  # and so are the many keys of a RetryingWriter
ALL_KEYS = b"\0"  # as key and range end: every key
PAGE = 1000  # keys a range request
BATCH = 100  # operations a transaction; etcd's limit is 128
MONTH = 30 * 24 * 3600  # seconds
STALE_TOKEN = ("invalid auth token", "revision of auth store is old")


class GatewayError(Exception):
    """A request was refused, failed or timed out; the text names the endpoint and the cause."""


class KeyValue(NamedTuple):
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Status(NamedTuple):
    cluster_id: int
    member_id: int
    revision: int
    version: str
    leader: int  # member ID; 0 when there is none


class MemberEntry(NamedTuple):
    id: int
    name: str  # empty: not started yet
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


class Client:
    """One endpoint, such as http://127.0.0.1:2379; `timeout` in seconds. Every method may raise GatewayError.

    `tls` for https, with the client certificate in it; `user` and `password` where authentication is on.
    """

    def __init__(
        self,
        endpoint: str,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._user, self._password, self._token = user, password, ""
        # A proxy of the caller's environment has no business between the lab and its members.
        handlers = [urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=tls)] if tls else [])]
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if not self._user:
            return self._post(path, body)
        if self._token:
            try:
                return self._post(path, body)
            except GatewayError as error:  # a token ends after some minutes, or with the cluster that gave it
                if not any(cause in str(error) for cause in STALE_TOKEN):
                    raise
        self._token = ""
        self._token = self._post("auth/authenticate", {"name": self._user, "password": self._password})["token"]
        return self._post(path, body)

    def _post(self, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", **({"Authorization": self._token} if self._token else {})}
        request = urllib.request.Request(f"{self.endpoint}/v3/{path}", json.dumps(body or {}).encode(), headers)
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise GatewayError(f"{self.endpoint} {path}: {error.read().decode(errors='replace').strip()}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise GatewayError(f"{self.endpoint} {path}: {getattr(error, 'reason', error)}") from error

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Returns the revision of the write."""
        return _revision(self.call("kv/put", _put(key, value, lease)))

    def put_many(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """One transaction for each BATCH pairs; within a batch no key may come twice."""
        for batch in _batches(pairs, BATCH):
            self.call("kv/txn", {"success": [{"request_put": _put(key, value)} for key, value in batch]})

    def get(self, key: bytes) -> KeyValue | None:
        found = self.call("kv/range", {"key": _encode(key)}).get("kvs", [])
        return _key_value(found[0]) if found else None

    def delete_range(self, key: bytes = ALL_KEYS, range_end: bytes = ALL_KEYS) -> int:
        """Returns how many keys went; without arguments, all of them."""
        answer = self.call("kv/deleterange", {"key": _encode(key), "range_end": _encode(range_end)})
        return int(answer.get("deleted", 0))

    def delete(self, key: bytes) -> int:
        return int(self.call("kv/deleterange", {"key": _encode(key)}).get("deleted", 0))

    def range(
        self, key: bytes = ALL_KEYS, range_end: bytes = ALL_KEYS, revision: int = 0, serializable: bool = False
    ) -> Iterator[KeyValue]:
        """All keys in the range, page by page and at one revision (0: now). Serializable asks this member only."""
        more = True
        while more:
            body = {"key": _encode(key), "range_end": _encode(range_end), "limit": PAGE, "serializable": serializable}
            answer = self.call("kv/range", {**body, "revision": revision})
            revision = revision or _revision(answer)
            page = [_key_value(entry) for entry in answer.get("kvs", [])]
            yield from page
            more = bool(answer.get("more")) and bool(page)
            key = page[-1].key + b"\0" if page else key

    def lease_grant(self, ttl: int) -> int:
        """`ttl` in seconds; returns the lease's ID."""
        return int(self.call("lease/grant", {"TTL": ttl})["ID"])

    def status(self) -> Status:
        """Works without a quorum: it is this member's own view."""
        answer = self.call("maintenance/status")
        header = answer["header"]
        return Status(
            cluster_id=int(header["cluster_id"]),
            member_id=int(header["member_id"]),
            revision=int(header.get("revision", 0)),
            version=answer["version"],
            leader=int(answer.get("leader", 0)),
        )

    def compact(self, revision: int) -> None:
        self.call("kv/compaction", {"revision": revision, "physical": True})

    def member_list(self) -> list[MemberEntry]:
        return [
            MemberEntry(
                id=int(entry["ID"]),
                name=entry.get("name", ""),
                peer_urls=tuple(entry.get("peerURLs", ())),
                client_urls=tuple(entry.get("clientURLs", ())),
                learner=bool(entry.get("isLearner")),
            )
            for entry in self.call("cluster/member/list")["members"]
        ]


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _put(key: bytes, value: bytes, lease: int = 0) -> dict[str, Any]:
    return {"key": _encode(key), "value": _encode(value), "lease": str(lease)}


def _revision(answer: Mapping[str, Any]) -> int:
    return int(answer["header"].get("revision", 0))


def _key_value(entry: Mapping[str, Any]) -> KeyValue:
    # Numbers come as strings, and what is zero or empty does not come at all.
    return KeyValue(
        key=base64.b64decode(entry["key"]),
        value=base64.b64decode(entry.get("value", "")),
        create_revision=int(entry["create_revision"]),
        mod_revision=int(entry["mod_revision"]),
        version=int(entry["version"]),
        lease=int(entry.get("lease", 0)),
    )


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


class Seeded(NamedTuple):
    keys: int  # alive in the end
    revision: int
    lease: int


def seed(client: Client, keys: int = 5000, seed: int = 1) -> Seeded:
    """Write `keys` keys that outlive the seeding, the same for the same `seed`, with a history worth restoring.

    There are binary values, empty values, overwritten and deleted keys, a key that came back, and a key with a lease.
    """
    dice = random.Random(seed)
    names = [b"app/%05d" % number for number in range(keys - 3)]
    doomed = [b"gone/%04d" % number for number in range(max(1, keys // 20))]
    client.put_many((name, _value(dice)) for name in names + doomed)
    for _round in range(3):
        client.put_many((name, _value(dice)) for name in dice.sample(names, len(names) // 20))
    client.delete_range(b"gone/", b"gone0")  # "0" follows "/": the whole prefix

    client.put(b"app/\x00\xff\xfe", bytes(range(256)))
    client.put(b"back", b"first life")
    client.delete(b"back")
    client.put(b"back", b"second life")
    lease = client.lease_grant(MONTH)
    revision = client.put(b"leased", b"for a month", lease)
    return Seeded(keys, revision, lease)


def _value(dice: random.Random) -> bytes:
    kind = dice.randrange(10)
    if kind == 0:
        return b""
    if kind < 4:
        return bytes(dice.getrandbits(8) for _byte in range(dice.randrange(1, 200)))
    return b"text %d" % dice.getrandbits(64)


def dump(client: Client, revision: int = 0, serializable: bool = True) -> dict[bytes, KeyValue]:
    """Every key but the writer's. Serializable: what this one member holds, whatever the others say."""
    found = client.range(revision=revision, serializable=serializable)
    return {entry.key: entry for entry in found if not entry.key.startswith((WRITER_KEY, WRITTEN))}


def differences(expected: Mapping[bytes, KeyValue], found: Mapping[bytes, KeyValue]) -> list[str]:
    """One line for each key that is missing, was not expected, or differs, with the fields that do."""
    lines = []
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            lines.append(f"{key!r} is missing")
        elif key not in expected:
            lines.append(f"{key!r} was not expected")
        elif expected[key] != found[key]:
            pairs = zip(KeyValue._fields, expected[key], found[key])
            lines.append(f"{key!r}: " + ", ".join(f"{name} {a!r} -> {b!r}" for name, a, b in pairs if a != b))
    return lines


class Gap(NamedTuple):
    """Seconds of time.monotonic() between two acknowledged writes; `end` is now while none followed yet."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


class InBackground:
    """A context manager that calls `_work` in a thread of its own; it goes on until `over` says that the block has ended.

    An endpoint is a URL, or a Client where TLS or a user is needed. `interval` and `timeout` (of the clients made here) are
    in seconds.
    """

    def __init__(self, endpoints: Sequence[str | Client], interval: float, timeout: float = 0.5) -> None:
        self._clients = [one if isinstance(one, Client) else Client(one, timeout) for one in endpoints]
        self._interval = interval
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()
        self._thread.join()

    def over(self) -> bool:
        """Whether the block has ended, after at most one interval."""
        return self._end.wait(self._interval)

    def _work(self) -> None:
        raise NotImplementedError


class Writer(InBackground):
    """A context manager that writes a counter through whichever endpoint answers, and times the gaps.

    A gap is known to about the greater of `interval` and `timeout`.
    """

    def __init__(self, endpoints: Sequence[str | Client], interval: float = 0.02, timeout: float = 0.5) -> None:
        super().__init__(endpoints, interval, timeout)
        self.acknowledged: list[float] = []  # times of time.monotonic()
        self.failed = 0

    def _work(self) -> None:
        current = 0
        while not self.over():
            try:
                self._clients[current].put(WRITER_KEY, b"%d" % len(self.acknowledged))
                self.acknowledged.append(time.monotonic())
            except GatewayError:
                self.failed += 1
                current = (current + 1) % len(self._clients)

    def longest_gap(self, since: float = 0.0) -> Gap:
        """The longest time without an acknowledged write that ended after `since` (of time.monotonic())."""
        times = [*self.acknowledged, time.monotonic()]
        gaps = [Gap(a, b) for a, b in zip(times, times[1:]) if b > since]
        return max(gaps, key=lambda gap: gap.seconds, default=Gap(times[-1], times[-1]))

    def wait_for_write(self, timeout: float = 30.0) -> float:
        """Wait for an acknowledged write that began after the call, at most `timeout` seconds; returns its time.

        Raises GatewayError when none came.
        """
        asked = time.monotonic()
        # The write that is under way may have been sent before: two acknowledgements make sure.
        wanted = len(self.acknowledged) + 2
        while len(self.acknowledged) < wanted:
            if time.monotonic() - asked > timeout:
                raise GatewayError(f"no write was acknowledged in {timeout:g} s")
            time.sleep(self._interval)
        return self.acknowledged[wanted - 1]


class RetryingWriter(InBackground):
    """A context manager that writes as a well-behaved client does: through all endpoints in turn, and an operation is tried on
    the next one where one does not answer. Each writes a key of its own, and has `deadline` seconds: what is acknowledged later
    has failed all the same.
    """

    def __init__(self, endpoints: Sequence[str | Client], interval: float = 0.01, deadline: float = 5.0) -> None:
        super().__init__(endpoints, interval, timeout=1.5)
        self._deadline = deadline
        self._in_turn = cycle(self._clients)
        self.acknowledged = 0
        self.failed: list[str] = []

    def _work(self) -> None:
        while not self.over():
            why = self._write(time.monotonic() + self._deadline)
            if why:
                self.failed.append(why)

    def _write(self, until: float) -> str:
        """One operation; why it has failed, or nothing."""
        while True:
            client, why = next(self._in_turn), ""
            try:
                client.put(self._key(self.acknowledged), b"%d" % self.acknowledged)
                self.acknowledged += 1
            except GatewayError as error:
                why = str(error)
            if time.monotonic() > until:
                return why or f"{client.endpoint}: acknowledged after more than {self._deadline:g} s"
            if not why:
                return ""
            time.sleep(0.02)

    @staticmethod
    def _key(number: int) -> bytes:
        return WRITTEN + b"%08d" % number

    def check(self, client: Client) -> None:
        """AssertionError unless no operation failed, and `client` has every acknowledged write."""
        assert not self.failed, f"{len(self.failed)} operations failed: {self.failed[:3]}"
        assert self.acknowledged, "nothing was written"
        there = {entry.key: entry.value for entry in client.range(WRITTEN, WRITTEN[:-1] + b"0")}
        lost = [number for number in range(self.acknowledged) if there.get(self._key(number)) != b"%d" % number]
        assert not lost, f"{len(lost)} of {self.acknowledged} acknowledged writes are lost: {lost[:5]}"
