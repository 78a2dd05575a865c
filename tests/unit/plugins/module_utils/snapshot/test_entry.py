# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots as values: what a module answers comes back as the same value, whatever stands in a manifest."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import Misfit, from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest, Snapshot
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import LINES, NOW, put

# What snapshot_info answers of each file: its RETURN names all of these.
KEYS = {
    *("path", "real_path", "name", "ok", "verified", "reason", "kind", "size", "sha256", "trailer", "compression"),
    *("packed_size", "taken_at", "age", "revision", "key_revision", "compact_revision", "consistent_index", "term"),
    *("cluster_version", "storage_version", "members", "removed_members", "auth_enabled", "users", "alarms"),
    *("kubernetes", "encryption_keys", "manifest", "signed_by", "kit", "kit_problem"),
}
MORE = {"hash": None, "tool": {"name": "etcdctl"}, "ticket": ["OPS-1"], "more": 5}  # and more than we know


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("manifest", [{}, {"taken_at": "2026-11-24T03:00:00Z", "cluster": "prod", **MORE}])
def test_a_snapshot_comes_back_from_its_plain_form_the_same(tmp_path, line, manifest):
    found = catalogue.entry(str(put(tmp_path, "s.db", line, **manifest)), now=NOW)
    plain = json.loads(json.dumps(to_plain(found)))
    assert from_plain(Snapshot, plain) == found and found.ok and found.members
    assert to_plain(from_plain(Snapshot, plain)) == plain and set(plain) == KEYS
    assert {"id", "name", "peer_urls", "client_urls", "is_learner"} == set(plain["members"][0])
    if manifest:
        assert {**plain["manifest"], **manifest} == plain["manifest"] and found.manifest.more == MORE


def test_what_is_no_snapshot_comes_back_too(tmp_path):
    put(tmp_path, "s.db").write_bytes(b"x" * 100)
    found = catalogue.entry(str(tmp_path / "s.db"), now=NOW)
    assert not found.ok and found.reason and from_plain(Snapshot, to_plain(found)) == found


def test_what_an_older_version_has_told_is_understood():
    told = [
        "path",
        "real_path",
        "ok",
        "verified",
        "reason",
        "kind",
        "size",
        "sha256",
        "trailer",
        "compression",
        "packed_size",
        "taken_at",
        "revision",
    ]
    plain = to_plain(catalogue.entry("/srv/no/such/s.db", now=NOW))
    old = {key: plain[key] for key in (*told, "key_revision", "members")}
    assert from_plain(Snapshot, old) == from_plain(Snapshot, {**plain, "name": "", "age": 0})


def test_a_manifest_that_says_nothing_is_none_of_ours():
    assert to_plain(from_plain(Manifest, {})) == {}
    with pytest.raises(Misfit, match="taken_at is 'yesterday' and not a time"):
        from_plain(Manifest, {"taken_at": "yesterday"})
