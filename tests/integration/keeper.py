# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that keeps every write that it was told of, so that none is lost without a word."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

from client import Client, GatewayError, InBackground

PREFIX = b"kept/"


class Kept(NamedTuple):
    """An acknowledged write: the cluster that said so, by its ID."""

    key: bytes
    cluster_id: int


class Keeper(InBackground):
    """A context manager that writes a new key each time, through whichever endpoint answers, and keeps what was acknowledged."""

    def __init__(self, endpoints: Sequence[str], interval: float = 0.05) -> None:
        super().__init__(endpoints, interval)
        self.acknowledged: list[Kept] = []

    def _work(self) -> None:
        number = current = 0
        while not self.over():
            key, number = b"%s%s-%06d" % (PREFIX, b"%x" % id(self), number), number + 1
            try:
                answer = self._clients[current].call("kv/put", {"key": base64.b64encode(key).decode()})
                self.acknowledged.append(Kept(key, int(answer["header"]["cluster_id"])))
            except GatewayError:
                current = (current + 1) % len(self._clients)

    def by(self, cluster_id: int) -> set[bytes]:
        """The keys that this cluster has acknowledged."""
        return {kept.key for kept in self.acknowledged if kept.cluster_id == cluster_id}

    def lost(self, client: Client) -> set[bytes]:
        """What the cluster that answers here has acknowledged once and has no more: there may be nothing."""
        acknowledged = self.by(client.status().cluster_id)  # before it is read: more may be acknowledged meanwhile
        return acknowledged - {entry.key for entry in client.range(PREFIX, PREFIX[:-1] + b"0")}
