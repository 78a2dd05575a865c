# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of etcd 3.4 to 3.7 as the tests put them into folders."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest, Snapshot
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import write_manifest

FIXTURES = Path(__file__).parents[3] / "fixtures"
LINES = ("3.4", "3.5", "3.6", "3.7")
NOW = 1795492000.0  # 2026-11-24T03:46:40Z


def content(line="3.6"):
    return gzip.decompress((FIXTURES / f"snapshot-{line}.db.gz").read_bytes())


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def at_revision(revision, line="3.6"):
    """The same snapshot with another last revision, and a hash that is right."""
    body = content(line)[:-32].replace((44).to_bytes(8, "big") + b"_", revision.to_bytes(8, "big") + b"_")
    return body + hashlib.sha256(body).digest()


def put(folder, name, line="3.6", taken_at=None, age=0, **manifest):
    path = folder / name
    path.write_bytes(content(line))
    os.utime(path, (NOW - age, NOW - age))
    if taken_at:
        told = {"schema": 1, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        write_manifest(str(path), from_plain(Manifest, {**told, "taken_at": taken_at, **manifest}))
    return path


def snapshot(**told):
    """A value as ``snapshot_info`` tells it, of a good snapshot but for what is ``told``."""
    members = [{"name": "", "peer_urls": [], **member} for member in told.pop("members", [])]
    path = told.get("path", "/srv/no/such/folder/s.db")
    plain = {
        "path": path,
        "real_path": path,
        "ok": True,
        "verified": True,
        "reason": "",
        "kind": "snapshot",
        "size": 20512,
        "sha256": "ab" * 32,
        "trailer": "cd" * 32,
        "compression": "",
        "packed_size": 0,
        "taken_at": "2026-11-24T03:00:00Z",
        "revision": 44,
        "key_revision": 44,
        "members": members,
    }
    return from_plain(Snapshot, {**plain, **told})
