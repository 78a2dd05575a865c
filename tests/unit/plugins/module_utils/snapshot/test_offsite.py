# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies off-site of a snapshot is told by its manifest, and put together by hand as it is by this software."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import pages
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.offsite import (
    Offsite,
    header_of,
    needed_for,
    offsite_of,
    with_offsite,
)
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.packed import SUFFIXES, pack
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import at_revision
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.test_packed import run

SCRIPT = Path(__file__).parents[5] / "docs" / "put_together.py"


def manifest(name, **told):
    plain = {"kind": "full", "object": f"{name}.zst", "sha256": "o", "size": 1, "chain": "a.db", **told}
    return from_plain(Manifest, {"schema": 1, "sha256": f"sha of {name}", "size": 5, "offsite": plain})


def increment(name, base_name, **told):
    return manifest(name, **{"kind": "pages", "base_name": base_name, "base": f"sha of {base_name}", **told})


def test_it_is_told_as_it_was_written():
    told = Offsite("pages", "b.pages.zst", "ab", 7, "a.db", "cd", "a.db")
    written = with_offsite(Manifest(schema=1, sha256="ef", size=9), told)
    read = from_plain(Manifest, json.loads(json.dumps(to_plain(written))))
    assert offsite_of(read) == told and header_of(read) == pages.Header(1, "cd", "ef", 9)


@pytest.mark.parametrize(
    "told",
    [
        {"object": "../x"},
        {"object": "/etc/passwd"},
        {"object": ".x"},
        {"object": ""},
        {"object": "x\n"},
        {"kind": "half"},
        {"chain": "a/b"},
        {"size": -1},
        {"kind": "pages", "base_name": "../a"},
        {"kind": "pages"},
    ],
)
def test_no_path_comes_out_of_a_manifest(told):
    with pytest.raises(EtcdError):
        offsite_of(manifest("a.db", **told))


def test_what_is_needed_begins_with_a_full_one():
    known = {"a.db": manifest("a.db"), "b.db": increment("b.db", "a.db"), "c.db": increment("c.db", "b.db")}
    known["d.db"] = increment("d.db", "b.db")  # after a run that was killed between two steps
    assert needed_for("a.db", known) == ["a.db"]
    assert needed_for("c.db", known) == ["a.db", "b.db", "c.db"]
    assert needed_for("d.db", known) == ["a.db", "b.db", "d.db"]


@pytest.mark.parametrize(
    "known, words",
    [
        ({}, "manifest of c.db is missing"),
        ({"c.db": increment("c.db", "b.db")}, "b.db, which c.db needs, is missing"),
        ({"c.db": increment("c.db", "b.db"), "b.db": increment("b.db", "c.db")}, "no beginning"),
        ({"c.db": increment("c.db", "a.db", base="another"), "a.db": manifest("a.db")}, "not the snapshot that c.db"),
        ({"c.db": Manifest(schema=1)}, "says not what lies off-site"),
    ],
)
def test_a_chain_that_is_broken_is_refused(known, words):
    with pytest.raises(EtcdError, match=words):
        needed_for("c.db", known)


def test_a_chain_longer_than_any_is_refused(monkeypatch):
    known = {f"{n}.db": increment(f"{n}.db", f"{n - 1}.db") for n in range(1, 20_000)}
    with pytest.raises(EtcdError, match="no beginning"):
        needed_for("19999.db", known)


def chain(folder, how):
    """Five snapshots, as code of this collection makes them, and the wanted bytes by name."""
    full, inner = how
    wanted, before, hashes = {}, "", b""
    for n in range(5):
        name, data = f"{n}.db", at_revision(50 + n) + bytes(4096 * n)
        (folder / "plain").write_bytes(data)
        own, records = io.BytesIO(), io.BytesIO()
        seen = pages.compare(str(folder / "plain"), io.BytesIO(hashes), own, records, 1 << 30)
        kind, suffix = ("pages", f".pages{SUFFIXES[inner]}") if before else ("full", f".db{SUFFIXES[full]}")
        told = Offsite(kind, f"{n}{suffix}", "", 0, "0.db")
        if before:
            told = Offsite(kind, f"{n}{suffix}", "", 0, "0.db", pages.sha256_of(str(folder / "base")), before)
        made = with_offsite(Manifest(schema=1, sha256=seen.sha256, size=seen.size), told)
        if before:
            (folder / "plain").write_bytes(pages.header_line(header_of(made)) + records.getvalue())
        pack(str(folder / "plain"), str(folder / told.object), inner if before else full, run)
        (folder / f"{name}.json").write_text(json.dumps(to_plain(made)))
        (folder / "base").write_bytes(data)
        wanted[name], before, hashes = data, name, own.getvalue()
    return wanted


def put_together(folder, name):
    (folder / "result").unlink(missing_ok=True)
    argv = [sys.executable, str(SCRIPT), str(folder / f"{name}.json"), str(folder / "result")]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", [("zstd", "zstd"), ("gzip", "xz")])
def test_the_script_of_the_documentation_puts_every_one_together(tmp_path, how):
    for name, data in chain(tmp_path, how).items():
        done = put_together(tmp_path, name)
        assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "result").read_bytes() == data


def test_the_script_notices_what_is_damaged(tmp_path):
    chain(tmp_path, ("zstd", "zstd"))
    pack(str(tmp_path / "base"), str(tmp_path / "other"), "zstd", run)
    (tmp_path / "other").rename(tmp_path / "0.db.zst")
    done = put_together(tmp_path, "3.db")
    assert done.returncode == 1 and "damaged: 0.db.zst" in done.stderr


def test_the_script_is_short():
    assert len(SCRIPT.read_text().splitlines()) <= 30
