# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compressed snapshots are the plain ones, and neither bombs nor damaged archives do harm."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import stat
import subprocess
import zlib

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import Damaged, EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, scratch
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import packed as _packed
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, content, put


def pack(path, how):
    """By other hands than ours."""
    packed = path.with_name(path.name + _packed.SUFFIXES[how])
    if how == "gzip":
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    elif how == "xz":
        packed.write_bytes(lzma.compress(path.read_bytes()))
    else:
        run(["zstd", "-q", str(path), "-o", str(packed)], {})
    path.unlink()
    return packed


def run(argv, env):
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["gzip", "xz", "zstd"])
def how(request):
    return request.param


@pytest.mark.parametrize("named", ["x.db.json", "x.db.gz.json"])
def test_a_compressed_snapshot_is_the_plain_one(tmp_path, how, named):
    path = put(tmp_path, "x.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd")
    wanted = catalogue.entry(str(path))
    packed = pack(path, how)
    (tmp_path / "x.db.json").rename(tmp_path / named.replace(".gz", packed.suffix))
    found = catalogue.entry(str(packed), run=run)
    for key in ("ok", "verified", "size", "sha256", "trailer", "revision", "members", "manifest", "taken_at", "kind"):
        assert getattr(found, key) == getattr(wanted, key), key
    assert (found.compression, found.packed_size) == (how, packed.stat().st_size)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [packed.name, *[p.name for p in tmp_path.glob("*.json")]]
    )
    assert catalogue.catalogue(str(tmp_path), run=run)[0].verified


def test_what_is_unpacked_is_private_and_goes(tmp_path, how):
    packed = pack(put(tmp_path, "x.db"), how)
    packed.chmod(0o644)
    with scratch.plain(str(packed), run, str(tmp_path / "spool")) as copy:
        assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(copy)).st_mode) == 0o700
    assert not any((tmp_path / "spool").iterdir())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "cut off|ends too early|premature end|unexpected end|truncated"),
        (lambda data: data[:200] + b"\0" * 300 + data[500:], "is damaged|SHA-256|not a bbolt"),
        (lambda data: data[:4], "cut off|damaged|end"),
    ],
)
def test_a_damaged_archive_is_refused_with_its_reason(tmp_path, how, damage, words):
    packed = pack(put(tmp_path, "x.db"), how)
    packed.write_bytes(damage(packed.read_bytes()))
    found = catalogue.entry(str(packed), run=run)
    assert not found.ok and re.search(words, found.reason, re.IGNORECASE) and str(packed) in found.reason
    assert [entry.name for entry in tmp_path.iterdir()] == [packed.name]


def test_an_archive_may_not_fill_the_disk(tmp_path, how, monkeypatch):
    packed = pack(put(tmp_path, "x.db"), how)
    monkeypatch.setattr(scratch, "room", lambda _folder: 8192)
    found = catalogue.entry(str(packed), run=run)
    assert not found.ok and "unpacks to" in found.reason and "more than 8,192 bytes" in found.reason
    assert [entry.name for entry in tmp_path.iterdir()] == [packed.name]
    (tmp_path / "large").write_bytes(b"x" * 100_000)  # the limit is over


def test_what_is_no_database_is_not_unpacked(tmp_path, monkeypatch):
    """Nor is a database that goes on after its end: neither fills the disk before somebody finds out."""
    written = []
    monkeypatch.setattr(_packed, "_too_large", lambda path, limit: written.append(limit) or EtcdError("too large"))
    (tmp_path / "log.db.gz").write_bytes(gzip.compress(b"a line of a log\n" * 4_000_000, 1))
    found = catalogue.entry(str(tmp_path / "log.db.gz"))
    assert not found.ok and "not a bbolt file" in found.reason and not written
    monkeypatch.setattr(_packed, "_GROWTH", 1 << 20)
    (tmp_path / "bomb.db.gz").write_bytes(gzip.compress(content() + bytes(64 << 20), 1))
    found = catalogue.entry(str(tmp_path / "bomb.db.gz"))
    assert not found.ok and found.reason == "too large" and 0 < written[0] < 3 << 20
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bomb.db.gz", "log.db.gz"]


def test_without_zstd_it_says_what_to_install(tmp_path):
    packed = pack(put(tmp_path, "x.db"), "zstd")

    def missing(argv, env):
        raise FileNotFoundError(argv[0])

    for there_is_none in (missing, None):
        found = catalogue.entry(str(packed), run=there_is_none)
        assert not found.ok and "install zstd on this host" in found.reason


def test_archives_that_are_older_than_a_good_one_are_not_unpacked(tmp_path, how):
    for age in (100, 200):
        packed = pack(put(tmp_path, f"{age}.db"), how)
        os.utime(packed, (NOW - age, NOW - age))
    put(tmp_path, "300.db", age=300)
    unpacked = []
    found = catalogue.catalogue(str(tmp_path), now=NOW, run=lambda argv, env: unpacked.append(argv) or run(argv, env))
    assert found[0].verified and not found[1].verified and len(unpacked) == (how == "zstd")


@pytest.fixture(params=["module", "program"])
def zstd_by(request, monkeypatch):
    """Whether this Python has a module for zstd, as it may or not, or the program is there."""
    if request.param == "program":
        monkeypatch.setattr(_packed, "_ZSTD_MODULES", ())
    return request.param


@pytest.mark.usefixtures("zstd_by")
def test_what_was_packed_is_unpacked_to_the_same_bytes(tmp_path, how):
    path = put(tmp_path, "x.db")
    path.chmod(0o644)
    packed, back = tmp_path / "packed", tmp_path / "back"
    _packed.pack(str(path), str(packed), how, run)
    assert _packed.compression_of(str(packed)) == how and packed.stat().st_size < path.stat().st_size // 5
    _packed.unpack(str(packed), str(back), 1 << 20, run)
    assert back.read_bytes() == path.read_bytes()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (packed, back)] == [0o600, 0o600]


def test_other_programs_unpack_it(tmp_path, how):
    path = put(tmp_path, "x.db")
    packed = tmp_path / f"y{_packed.SUFFIXES[how]}"
    _packed.pack(str(path), str(packed), how, run)
    if how == "zstd":
        plain = subprocess.run(["zstd", "-d", "-c", str(packed)], capture_output=True, check=True).stdout
    else:
        plain = {"gzip": gzip, "xz": lzma}[how].decompress(packed.read_bytes())
    assert plain == path.read_bytes()


@pytest.mark.parametrize(
    ("rc", "says", "damaged"),
    [
        (70, "zstd: error 70 : Write error : cannot write block : Disk quota exceeded", False),
        (70, "zstd: error 70 : Write error : Input/output error (cannot write decoded block)", False),
        (11, "zstd: error 11 : Allocation error : not enough memory", False),
        (36, "x.db.zst : Decoding error (36) : Allocation error : not enough memory", False),
        (104, "zstd: error 104 : Failed creating I/O thread pool", False),
        (-9, "", False),
        (127, "sh: 1: exec: zstd: not found", False),
        (1, "x.db.zst : Decoding error (36) : Data corruption detected", True),
        (1, "zstd: x.db.zst: unsupported format", True),
        (39, "zstd: error 39 : Read error (39) : premature end", True),
    ],
)
def test_what_the_host_cannot_do_is_no_damage(tmp_path, monkeypatch, rc, says, damaged):
    monkeypatch.setattr(_packed, "_ZSTD_MODULES", ())
    packed = pack(put(tmp_path, "x.db"), "zstd")
    for do in (
        lambda: _packed.unpack(str(packed), str(tmp_path / "plain"), 1 << 30, lambda _argv, _env: Result(rc, "", says)),
        lambda: _packed.plain_sha256(str(packed), lambda _argv, _env: Result(rc, "", says)),
    ):
        with pytest.raises(EtcdError) as why:
            do()
        assert isinstance(why.value, Damaged) == damaged and why.value.next_step
    assert [entry.name for entry in tmp_path.iterdir()] == [packed.name]


@pytest.mark.usefixtures("zstd_by")
def test_what_cannot_be_packed_leaves_nothing_and_nothing_is_overwritten(tmp_path, how):
    with pytest.raises(EtcdError, match="could not be packed"):
        _packed.pack(str(tmp_path / "missing"), str(tmp_path / "packed"), how, run)
    path = put(tmp_path, "x.db")
    with pytest.raises(EtcdError, match="could not be packed"):
        _packed.pack(str(path), str(tmp_path / "no" / "packed"), how, run)
    assert [one.name for one in tmp_path.iterdir()] == ["x.db"]


def test_a_host_says_what_it_can_pack(monkeypatch):
    monkeypatch.setattr(_packed, "_ZSTD_MODULES", ())

    def missing(argv, env):
        raise FileNotFoundError(argv[0])

    assert all(_packed.can_pack(how, run) for how in _packed.SUFFIXES)
    assert [_packed.can_pack(how, missing) for how in ("gzip", "xz", "zstd")] == [True, True, False]


def test_without_zstd_packing_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(_packed, "_ZSTD_MODULES", ())
    path = put(tmp_path, "x.db")
    with pytest.raises(EtcdError, match="no zstd here to pack"):
        _packed.pack(str(path), str(tmp_path / "packed"), "zstd")
    assert not (tmp_path / "packed").exists()


def test_an_xz_archive_that_wants_gigabytes_of_memory_is_refused(tmp_path):
    small = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    data = small.compress(content()) + small.flush()
    # The dictionary's size is a byte of the block's header (ID 0x21, its size 1, the byte), which has a CRC32 of its own.
    assert data[14:16] == b"\x21\x01"
    block = data[12:16] + bytes([36]) + data[17:20]
    (tmp_path / "x.db.xz").write_bytes(data[:12] + block + zlib.crc32(block).to_bytes(4, "little") + data[24:])
    found = catalogue.entry(str(tmp_path / "x.db.xz"))
    assert not found.ok and "Memory usage limit" in found.reason


def test_what_goes_on_behind_an_xz_archive_is_refused(tmp_path):
    (tmp_path / "x.db.xz").write_bytes(lzma.compress(content()) + b"more")
    assert "goes on after its end" in catalogue.entry(str(tmp_path / "x.db.xz")).reason
