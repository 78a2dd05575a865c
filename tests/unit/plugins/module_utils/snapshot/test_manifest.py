# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: whose they are, and what is no manifest."""

from __future__ import annotations

import itertools
import json
import os
import stat

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import manifest as manifests
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, put


@pytest.mark.parametrize(
    "manifest, word",
    [({"sha256": "0" * 64}, "other content"), ({"size": 1}, "1 bytes"), ({"schema": 99}, "schema")],
)
def test_a_manifest_that_is_not_the_files_own_is_a_refusal(tmp_path, manifest, word):
    put(tmp_path, "s.db", taken_at="2026-11-24T03:00:00Z", **manifest)
    (entry,) = catalogue.catalogue(str(tmp_path), now=NOW)
    assert not entry.ok and word in entry.reason


@pytest.mark.parametrize(
    "manifest, words",
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"schema": 1, "x": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper"),
        (b'{"schema": 1, "revision": NaN}', "NaN"),
        (b'{"schema": 1, "revision": -Infinity}', "Infinity"),
        (b'{"schema": 1, "revision": 1e999}', "infinite"),
        (b'{"schema": 1, "revision": 1.5}', "revision is 1.5"),
        (b'{"schema": 1, "revision": %s}' % (b"9" * 10_000), "10000 digits"),
        (b'{"schema": 1, "revision": 99999999999999999999999}', "revision is 9999"),
        (b'{"schema": 1, "revision": [7]}', "revision is a list"),
        (b'{"schema": 1, "size": {"a": 7}}', "size is an object"),
        (b'{"schema": 1, "size": true}', "size is True"),
        (b'{"schema": 1, "cluster": ["etcd"]}', "cluster is a list"),
        (b'{"schema": 1, "cluster": 7}', "cluster is 7"),
        (b'{"schema": 1, "cluster": "\\u001b[2Jetcd"}', "cluster is"),
        (b'{"schema": 1, "cluster": "\\ud800"}', "no Unicode"),
        (b'{"schema": 1, "taken_at": 7}', "taken_at is 7"),
        (b'{"schema": 1, "taken_at": "yesterday"}', "yesterday"),
        (b'{"schema": 1, "etcd_version": {}}', "etcd_version is an object"),
        (b'{"schema": 1, "sha256": 7}', "sha256 is 7"),
        (b'{"schema": [1]}', "schema"),
        (b"[]", "schema"),
        (b"7", "schema"),
        (b" " * (2 << 20), "more than 1,048,576 bytes"),
    ],
    ids=itertools.count(),
)
def test_a_manifest_that_cannot_be_understood_is_a_refusal_and_hides_no_other_file(tmp_path, manifest, words):
    path = put(tmp_path, "s.db")
    put(tmp_path, "good.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=44)
    (tmp_path / "s.db.json").write_bytes(manifest)
    found = {entry.name: entry for entry in catalogue.catalogue(str(tmp_path), now=NOW)}
    reason = found["s.db"].reason
    assert not found["s.db"].ok and str(path) + ".json" in reason and words in reason and len(reason) < 400
    assert found["good.db"].ok and found["good.db"].verified
    assert manifests.recorded_revisions(str(tmp_path)) == {"etcd": 44}
    json.dumps(to_plain(found), allow_nan=False).encode()


def test_a_manifest_is_never_waited_for(tmp_path):
    path = put(tmp_path, "s.db")
    os.mkfifo(tmp_path / "s.db.json")
    assert "not a regular file" in catalogue.entry(str(path)).reason
    (tmp_path / "s.db.json").unlink()
    (tmp_path / "s.db.json").mkdir()
    assert "not a regular file" in catalogue.entry(str(path)).reason


def test_a_manifest_is_for_its_owner_alone(tmp_path):
    path = put(tmp_path, "s.db", taken_at="2026-11-24T03:00:00Z")
    assert stat.S_IMODE(os.stat(str(path) + ".json").st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["s.db", "s.db.json"]


def test_manifests_record_revisions_also_of_snapshots_that_are_damaged_or_gone(tmp_path):
    put(tmp_path, "a.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=10)
    put(tmp_path, "gone.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=30)
    (tmp_path / "gone.db").unlink()
    put(tmp_path, "damaged.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=20)
    (tmp_path / "damaged.db").write_bytes(b"")
    put(tmp_path, "other.db", taken_at="2026-11-24T03:00:00Z", cluster="other", revision=99)
    (tmp_path / "broken.db.json").write_text("{")
    (tmp_path / "foreign.json").write_text('{"revision": 1000}')
    assert manifests.recorded_revisions(str(tmp_path)) == {"etcd": 30, "other": 99}
    assert manifests.recorded_revisions(str(tmp_path / "none")) == {}
