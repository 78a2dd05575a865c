# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests, journals and snapshots with mutated bytes: what is read is what is there, or it is an EtcdError.

FUZZ_SEED draws others, FUZZ_ROUNDS more of them; both are printed with a failure. Each round is bounded in time and memory.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.restore import steps
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, manifest

FIXTURES = Path(__file__).parents[3] / "fixtures"
SEED = int(os.environ.get("FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "200"))
SECONDS, BYTES = 2.0, 16 << 20  # at most, of one round

MANIFEST = {
    "schema": 1,
    "cluster": "etcd",
    "cluster_id": "a1b2c3",
    "etcd_version": "3.6.16",
    "members": [{"id": "1", "name": "m1", "peer_urls": ["http://10.0.0.1:2380"], "is_learner": False}],
    "revision": 44,
    "sha256": "ab" * 32,
    "size": 20512,
    "taken_at": "2026-11-24T03:00:00Z",
    "user_keys": 40,
}
# What a hand or a program that means harm would put in; the rest are single bytes.
PIECES = [
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n", b"\0", b"\xff", b"\xe4", b"NaN", b"-Infinity", b"1e999"),
    *(b"null", b"true", b"[]", b"{}", b"-1", b"0.5", b"1" * 30, b"\\ud800", b"\\u001b", b"[" * 3000, b'{"a":' * 3000),
]


def rounds(kind):
    for number in range(ROUNDS):
        yield random.Random(f"{SEED}-{kind}-{number}"), f"FUZZ_SEED={SEED}, round {number}"


def mutated(data, chance):
    data = bytearray(data)
    for _change in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.choice((0, 0, 1, 5, 40))
        data[at : at + length] = chance.choice([*PIECES, bytes([chance.randrange(256)]), bytes(data[at // 2 : at])])
    return bytes(data)


class Bounded:
    """A context in which nothing takes longer, or more memory, than it is worth."""

    def __init__(self, told):
        self.told = told

    def __enter__(self):
        tracemalloc.start()
        self.began = time.process_time()

    def __exit__(self, kind, error, _trace):
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert error is None or issubclass(kind, EtcdError), f"{kind.__name__}: {error}, {self.told}"
        assert time.process_time() - self.began < SECONDS and peak < BYTES, self.told
        return error is not None


def test_a_manifest_is_what_stands_there_or_an_error(tmp_path):
    path = tmp_path / "s.db"
    read = 0
    for chance, told in rounds("manifest"):
        data = mutated(json.dumps(MANIFEST, indent=chance.choice((None, 2))).encode(), chance)
        (tmp_path / "s.db.json").write_bytes(data)
        found = None
        with Bounded(told):
            found = manifest.read_manifest(str(path))
        with Bounded(told):
            manifest.recorded_revisions(str(tmp_path))
        if found is not None:
            read += 1
            assert to_plain(found) == json.loads(data), told
            json.dumps(to_plain(found), allow_nan=False).encode("utf-8")
            assert isinstance(found.revision or 0, int) and isinstance(found.cluster or "", str), told
    assert 0 < read < ROUNDS, "some mutations must harm, and some must not"


def test_a_journal_is_what_stands_there_or_an_error(tmp_path):
    journal = steps.journal_of(str(tmp_path), "20261124T030000Z")
    member = {"data_dir": "/var/lib/etcd"}
    journal.open({"member": member, "of": {"revision": 44, "seen": 40}, "restore_id": "20261124T030000Z"})
    for step in (steps.STAGED, steps.STOPPING, steps.STOPPED, steps.STARTED):
        journal.record(step, checks={"cluster": "etcd"})
    folder = tmp_path / "restores" / "20261124T030000Z"
    lines, plan = (folder / "journal.jsonl").read_bytes(), (folder / "plan.json").read_bytes()
    for chance, told in rounds("journal"):
        (folder / "journal.jsonl").write_bytes(mutated(lines, chance))
        (folder / "plan.json").write_bytes(mutated(plan, chance) if chance.random() < 0.3 else plan)
        entries = []
        with Bounded(told):
            entries = journal.entries()
        assert all(isinstance(entry.step, str) and isinstance(entry.time, str) for entry in entries), told
        with Bounded(told):
            assert isinstance(steps.highest_revision(str(tmp_path), "/var/lib/etcd"), int)
            found = steps.told(str(tmp_path), "/var/lib/etcd")["journal"]
            if not found:  # it names another member's data now
                assert json.loads((folder / "plan.json").read_text(errors="replace"))["member"] != member, told
                continue
            assert set(found) == {"problem", "next_step"} or {"step", "open", "touched", "back"} <= set(found), told
            json.dumps(found, allow_nan=False)


def harmed(data, chance):
    """A snapshot with changes where they hurt, in what its pages say of themselves, and a hash that is right again."""
    body = bytearray(data[:-32])
    pages = len(body) // 4096
    for _change in range(chance.randint(1, 6)):
        page = chance.randrange(2, pages) * 4096
        count = max(1, min(200, struct.unpack_from("<H", body, page + 10)[0]))
        place = page + chance.choice((8, 10, 12, 16 + 16 * chance.randrange(count) + chance.choice((0, 4, 8, 12))))
        number = chance.choice((0, 1, 2, 3, 16, 255, 4096, 65535, 1 << 20, 1 << 26, (1 << 31) - 1, (1 << 32) - 1))
        struct.pack_into("<I", body, place, number)
    if chance.random() < 0.3:
        for _flip in range(chance.randint(1, 20)):
            body[chance.randrange(8192, len(body))] = chance.randrange(256)
    return bytes(body) + hashlib.sha256(body).digest()


@pytest.mark.parametrize("line", ["3.4", "3.6"])
def test_a_snapshot_with_a_right_hash_and_wrong_pages_is_described_or_an_error(tmp_path, line):
    real = gzip.decompress((FIXTURES / f"snapshot-{line}.db.gz").read_bytes())
    path = tmp_path / "s.db"
    for chance, told in rounds(f"snapshot-{line}"):
        path.write_bytes(harmed(real, chance))
        with Bounded(told):
            found = catalogue.entry(str(path), now=0.0)
            json.dumps(to_plain(found), allow_nan=False)
            assert found.ok or found.reason, told
            assert 0 <= found.revision < 1 << 63, told
