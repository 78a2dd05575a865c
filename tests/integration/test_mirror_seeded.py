# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine whose destination was restored from a snapshot of the source goes on from it, whatever was done there since."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import seeding
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import Seed
from lab import Lab
from mirrored import Mirror
from seeded import begin_with_snapshot

KEYS = 500


@pytest.fixture(scope="module", params=("3.4", "3.7"))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("seeded") / "source", members=1, line=request.param) as lab:
        yield lab


@pytest.fixture
def destination(source: Lab, tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "destination", members=1, line=source.line) as lab:
        yield lab


def begun(source: Lab, destination: Lab, folder: Path) -> Mirror:
    """With what came with leases, and what strangers did in the destination before the engine began."""
    client = Mirror(folder, source.endpoints, destination.endpoints).source
    for kv in client.page(b"\0", b"\0").kvs:
        client.commit([], [Delete(kv.key)])
    leases = [client.grant(3600), client.grant(2)]
    client.commit([], [Put(b"leased/%d" % number, b"v", leases[0]) for number in range(20)])
    client.commit([], [Put(b"short", b"kept alive", leases[1])])
    client.keep_alive(leases[1])
    for number in range(0, KEYS, 100):
        client.commit([], [Put(b"key/%04d" % one, b"v") for one in range(number, number + 100)])
    mirror = Mirror(
        folder / "state",
        source.endpoints,
        destination.endpoints,
        overwrite=True,
        seed=Seed(**begin_with_snapshot(source, destination, folder)),
    )
    until = time.monotonic() + 30
    while mirror.destination.page(b"short").kvs:  # nobody keeps it alive there
        client.keep_alive(leases[1])
        assert time.monotonic() < until
        time.sleep(0.5)
    client.commit([], [Put(b"short", b"for good")])
    mirror.destination.commit([], [Put(b"key/0001", b"a stranger"), Put(b"new", b"a stranger"), Delete(b"key/0002")])
    client.commit([], [Put(b"key/0003", b"later"), Delete(b"key/0004"), Delete(b"leased/7")])
    return mirror


def test_it_goes_on_from_the_snapshot_and_mends_what_differs_from_it(
    source: Lab, destination: Lab, tmp_path: Path
) -> None:
    with begun(source, destination, tmp_path) as mirror:
        mirror.once()
        assert mirror.assert_equal() == KEYS + 19
        assert [line for line in mirror.said if "ompare" in line] == [], "the whole of both was not read"
        assert any("Of 24 keys the snapshot was mended" in line for line in mirror.said), mirror.said
        revoke_all(mirror.destination)
        assert mirror.assert_equal() == KEYS + 19, "no key goes with a lease that nobody keeps alive there"
        mirror.put(range(10))
        mirror.once()
        assert mirror.assert_equal() == KEYS + 29


def revoke_all(client: Client) -> None:
    for lease in client.leases():
        client.revoke(lease)


@pytest.mark.parametrize("what", ["the source", "the destination", "too many"])
def test_what_cannot_be_told_is_compared(
    source: Lab, destination: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with begun(source, destination, tmp_path) as mirror:
        if what == "too many":
            monkeypatch.setattr(seeding, "MOST", 10)
        else:
            client = mirror.source if what == "the source" else mirror.destination
            client.compact(client.page(b"a").header.revision)
        mirror.once()
        assert mirror.assert_equal() == KEYS + 19
        assert any(line.startswith("Compared") for line in mirror.said), mirror.said
