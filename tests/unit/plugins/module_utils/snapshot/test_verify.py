# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of etcd 3.4 to 3.7, whole and damaged."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, verify
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import LINES, content, flipped


@pytest.fixture(params=LINES)
def real(request, tmp_path):
    path = tmp_path / (request.param + ".db")
    path.write_bytes(content(request.param))
    return path


def test_a_snapshot_of_every_version_is_whole(real):
    data = real.read_bytes()
    assert verify.verify(str(real)) == (True, "snapshot", len(data), hashlib.sha256(data).hexdigest(), "")


def test_a_snapshot_ends_with_the_hash_of_what_stands_before(real):
    assert verify.trailer(str(real)) == hashlib.sha256(real.read_bytes()[:-32]).hexdigest()
    assert catalogue.entry(str(real)).trailer == verify.trailer(str(real))


def test_a_copied_database_has_no_hash(real):
    real.write_bytes(real.read_bytes()[:-32])
    assert verify.trailer(str(real)) == ""
    verdict = verify.verify(str(real))
    assert (verdict.ok, verdict.kind) == (True, "database")


@pytest.mark.parametrize(
    "damage, word",
    [
        (lambda data: flipped(data, len(data) - 1), "SHA-256"),
        (lambda data: flipped(data, len(data) - 32), "SHA-256"),
        (lambda data: flipped(data, len(data) // 2), "SHA-256"),
        (lambda data: flipped(data, 0), "SHA-256"),
        (lambda data: flipped(data, 20), "SHA-256"),
        (lambda data: data[:-1], "neither"),
        (lambda data: data[:-31], "neither"),
        (lambda data: data + b"x", "neither"),
        (lambda data: data[:-512], "cut off"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: data[:4096], "cut off"),
        (lambda data: data[:10], "not a bbolt file"),
        (lambda data: b"x" * len(data), "not a bbolt file"),
        (lambda data: b"", "empty"),
    ],
)
def test_every_damage_is_refused_in_words(real, damage, word):
    real.write_bytes(damage(real.read_bytes()))
    verdict = verify.verify(str(real))
    assert not verdict.ok and word in verdict.reason and str(real) in verdict.reason


def test_what_cannot_be_a_snapshot_is_refused(real, tmp_path):
    part = real.rename(str(real) + ".part")
    assert ".part" in verify.verify(str(part)).reason
    assert "cannot be read" in verify.verify(str(tmp_path / "missing")).reason
    assert "not a regular file" in verify.verify(str(tmp_path)).reason
