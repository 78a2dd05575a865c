# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies off-site of a snapshot is told by its manifest, and put together by hand as it is by this software."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import pages
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import read_manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.offsite import (
    Offsite,
    header_of,
    needed_for,
    offsite_of,
    with_offsite,
)
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.packed import SUFFIXES, pack
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.together import put_together as put_together_by_code
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
        there = str(folder / told.object)
        told = replace(told, sha256=pages.sha256_of(there), size=os.stat(there).st_size)
        (folder / f"{name}.json").write_text(json.dumps(to_plain(with_offsite(made, told))))
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
    assert done.returncode == 1 and done.stderr == f"damaged: {tmp_path / '0.db.zst'}\n"


def test_the_script_ends_where_a_chain_has_no_full_one(tmp_path):
    chain(tmp_path, ("zstd", "zstd"))
    shutil.copyfile(tmp_path / "2.db.json", tmp_path / "0.db.json")  # 2 from 1, 1 from 0, and that from 1 again
    done = put_together(tmp_path, "4.db")
    assert (done.returncode, done.stderr) == (1, f"no full snapshot to begin with: {tmp_path / '4.db.json'}\n")
    assert not (tmp_path / "result").exists()


def known(folder):
    return {path.name[: -len(".json")]: read_manifest(str(path)[: -len(".json")]) for path in folder.glob("*.json")}


def together(folder, name, spoil=lambda _name, _path: None):
    def get(name, path):
        shutil.copyfile(folder / name, path)
        spoil(name, path)

    put_together_by_code(name, known(folder), get, str(folder / "out" / "x.db"), run)
    made = folder / "out" / "x.db"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600 and os.listdir(folder / "out") == ["x.db"]
    data = made.read_bytes()
    made.unlink()
    return data


@pytest.mark.parametrize("how", [("zstd", "zstd"), ("gzip", "xz")])
def test_the_code_puts_every_one_together(tmp_path, how):
    for name, data in chain(tmp_path, how).items():
        assert together(tmp_path, name) == data


@pytest.mark.parametrize("what", ["0.db.zst", "2.pages.zst", "4.pages.zst"])
@pytest.mark.parametrize("how", ["cut", "flipped", "exchanged", "gone"])
def test_the_code_refuses_what_is_damaged_exchanged_or_gone(tmp_path, what, how):
    chain(tmp_path, ("zstd", "zstd"))

    def spoil(name, path):
        if name == what and how == "gone":
            raise FileNotFoundError(2, "No such file or directory")
        if name == what:
            with open(path, "rb") as file:
                data = file.read()
            other = (tmp_path / "1.pages.zst").read_bytes()
            changed = {"cut": data[:-3], "flipped": data[:90] + bytes([data[90] ^ 1]) + data[91:], "exchanged": other}
            with open(path, "wb") as file:
                file.write(changed[how])

    with pytest.raises(EtcdError, match="is damaged or another one|could not be put together"):
        together(tmp_path, "4.db", spoil)
    assert os.listdir(tmp_path / "out") == []
    assert together(tmp_path, "4.db") == (tmp_path / "base").read_bytes()


@pytest.mark.parametrize("name", ["0.db.zst", "1.pages.zst"])
def test_a_bomb_with_the_right_hash_is_stopped(tmp_path, name):
    """Who can write a manifest can name any object in it."""
    chain(tmp_path, ("zstd", "zstd"))
    (tmp_path / "bomb").write_bytes(bytes(64 << 20))
    (tmp_path / name).unlink()
    pack(str(tmp_path / "bomb"), str(tmp_path / name), "zstd", run)
    manifest = tmp_path / f"{name[0]}.db.json"
    plain = json.loads(manifest.read_text())
    plain["offsite"].update(sha256=pages.sha256_of(str(tmp_path / name)), size=(tmp_path / name).stat().st_size)
    manifest.write_text(json.dumps(plain))
    with pytest.raises(EtcdError, match="unpacks to|not a bbolt"):
        together(tmp_path, "1.db")
    assert os.listdir(tmp_path / "out") == []


def test_the_script_is_short():
    assert len(SCRIPT.read_text().splitlines()) <= 30
