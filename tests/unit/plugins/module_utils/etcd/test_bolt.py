# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bbolt reader on snapshots that etcd 3.4 to 3.7 wrote, on files made by hand, and on broken ones."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import database
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.bolt import Bolt, fnv1a
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.kubernetes import kubernetes_in

FIXTURES = Path(__file__).parents[3] / "fixtures"
LINES = ("3.4", "3.5", "3.6", "3.7")
SIZE = 4096


@pytest.fixture(params=LINES)
def real(request, tmp_path):
    path = tmp_path / (request.param + ".db")
    path.write_bytes(gzip.decompress((FIXTURES / f"snapshot-{request.param}.db.gz").read_bytes()))
    return path


def meta(txid, root, pages, order="<", magic=0xED0CDAED, page_size=SIZE):
    body = struct.pack(order + "4I5Q", magic, 2, page_size, 0, root, 0, 0, pages, txid)
    header = struct.pack(order + "QHHI", txid % 2, 4, 0, 0)
    return (header + body + struct.pack(order + "Q", fnv1a(body))).ljust(SIZE, b"\0")


def leaf(number, items, order="<", bucket=False, size=SIZE):
    table, data = b"", b""
    for index, (key, value) in enumerate(items):
        position = 16 * (len(items) - index) + len(data)
        table += struct.pack(order + "4I", int(bucket), position, len(key), len(value))
        data += key + value
    page = struct.pack(order + "QHHI", number, 2, len(items), max(0, size // SIZE - 1)) + table + data
    return page.ljust(size, b"\0") if size else page


def branch(number, children, order="<"):
    table, data = b"", b""
    for index, (key, child) in enumerate(children):
        table += struct.pack(order + "IIQ", 16 * (len(children) - index) + len(data), len(key), child)
        data += key
    return (struct.pack(order + "QHHI", number, 1, len(children), 0) + table + data).ljust(SIZE, b"\0")


def write(tmp_path, pages, metas=None, order="<"):
    path = tmp_path / "made.db"
    metas = metas or meta(2, 2, 2 + sum(len(page) // SIZE for page in pages), order) + meta(1, 9, 9, order)
    path.write_bytes(metas + b"".join(pages))
    return str(path)


def bucket(root, order="<"):
    return struct.pack(order + "QQ", root, 0)


def test_it_reads_what_etcd_wrote(real):
    with Bolt(str(real)) as bolt:
        assert {b"key", b"meta", b"members", b"cluster"} <= set(bolt.buckets())
        keys = [key for key, _value in bolt.items(b"key")]
        assert keys == sorted(keys) and keys
        assert bolt.last_key(b"key") == keys[-1]
        assert all(bolt.get(b"key", key) == value for key, value in bolt.items(b"key"))
        assert bolt.get(b"key", b"no such") is None and bolt.get(b"no such", b"key") is None
        assert list(bolt.items(b"no such")) == [] and bolt.last_key(b"no such") is None
        assert bolt.get(b"cluster", b"clusterVersion").decode().startswith(real.stem)


def test_a_tree_with_branches_and_an_inline_bucket_and_an_overflow_page(tmp_path):
    big = b"v" * 6000
    inline = struct.pack("<QQ", 0, 0) + leaf(0, [(b"k", b"inline")], size=0)
    path = write(
        tmp_path,
        [
            leaf(2, [(b"deep", bucket(3)), (b"small", inline)], bucket=True),
            branch(3, [(b"a", 4), (b"m", 5)]),
            leaf(4, [(b"a", b"1"), (b"b", b"2")]),
            leaf(5, [(b"m", b"3"), (b"z", big)], size=2 * SIZE),
        ],
    )
    with Bolt(path) as bolt:
        assert list(bolt.items(b"deep")) == [(b"a", b"1"), (b"b", b"2"), (b"m", b"3"), (b"z", big)]
        assert [bolt.get(b"deep", key) for key in (b"a", b"b", b"m", b"z", b"0", b"c", b"zz")] == [
            b"1",
            b"2",
            b"3",
            big,
            None,
            None,
            None,
        ]
        assert bolt.last_key(b"deep") == b"z" and bolt.last_key(b"small") == b"k"
        assert bolt.get(b"small", b"k") == b"inline"


def test_a_file_of_a_big_endian_machine(tmp_path):
    pages = [leaf(2, [(b"b", bucket(3, ">"))], ">", bucket=True), leaf(3, [(b"k", b"v")], ">")]
    with Bolt(write(tmp_path, pages, order=">")) as bolt:
        assert bolt.get(b"b", b"k") == b"v"


def test_the_newer_of_the_valid_meta_pages_counts(tmp_path):
    pages = [leaf(2, [], bucket=True), leaf(3, [(b"b", bucket(4))], bucket=True), leaf(4, [(b"k", b"new")])]
    good, old = meta(9, 3, 5), meta(8, 2, 5)
    broken = bytearray(good)
    broken[70] ^= 1
    with Bolt(write(tmp_path, pages, old + good)) as bolt:
        assert bolt.buckets() == [b"b"]
    with Bolt(write(tmp_path, pages, old + bytes(broken))) as bolt:
        assert bolt.buckets() == []
    with Bolt(write(tmp_path, pages, bytes(broken) + good)) as bolt:
        assert bolt.buckets() == [b"b"]


@pytest.mark.parametrize(
    "pages",
    [
        [branch(2, [(b"a", 2)])],
        [branch(2, [(b"a", 3)]), branch(3, [(b"a", 2)])],
        [branch(2, [(b"a", 3), (b"b", 3)]), leaf(3, [(b"a", b"1")])],
        [branch(2, [(b"a", 99)])],
        [branch(2, [])],
        [leaf(7, [(b"a", b"1")])],
        [struct.pack("<QHHI", 2, 2, 65535, 0).ljust(SIZE, b"\0")],
        [struct.pack("<QHHI4I", 2, 2, 1, 0, 0, 16, 1, 0xFFFFFFFF).ljust(SIZE, b"\0")],
        [struct.pack("<QHHI", 2, 2, 0, 0xFFFFFFFF).ljust(SIZE, b"\0")],
        [struct.pack("<QHHI", 2, 16, 0, 0).ljust(SIZE, b"\0")],
    ],
    ids=["self", "cycle", "twice", "outside", "empty branch", "wrong id", "count", "length", "overflow", "freelist"],
)
def test_a_damaged_tree_is_an_error_and_never_a_hang(tmp_path, pages):
    with pytest.raises(EtcdError), Bolt(write(tmp_path, pages)) as bolt:
        bolt.buckets()


def test_what_is_no_bolt_file_is_said_to_be_none(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"text", b"\0" * 100000, meta(1, 2, 3, magic=1) * 2):
        path.write_bytes(content)
        with pytest.raises(EtcdError, match="not a bbolt file"):
            Bolt(str(path))
    with pytest.raises(EtcdError, match="cannot be opened"):
        Bolt(str(tmp_path / "missing"))


def test_a_file_that_was_cut_off_is_told_from_its_meta_page(real):
    data = real.read_bytes()
    real.write_bytes(data[: len(data) // 2])
    with pytest.raises(EtcdError, match="cut off"):
        Bolt(str(real))


def test_noise_in_a_real_file_never_ends_in_a_traceback(real):
    data, chance = real.read_bytes(), random.Random(1)
    for _round in range(150):
        noisy = bytearray(data)
        for _flip in range(chance.choice((1, 20, 400))):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        real.write_bytes(bytes(noisy))
        try:
            with Bolt(str(real)) as bolt:
                for name in bolt.buckets():
                    list(bolt.items(name))
                    bolt.last_key(name)
                    bolt.get(name, b"x")
        except EtcdError:
            pass


def sparse(tmp_path, pages, size, metas=None):
    """A file that takes as many bytes on the disk as are written, and says that it has ``size``."""
    path = write(tmp_path, pages, metas or meta(2, 2, size // SIZE) + meta(1, 9, 9))
    os.truncate(path, size)
    return path


def same_place(number, keys, size, pages):
    """A leaf page whose elements all have the same value, of ``size`` bytes: a few bytes on the disk, many to read."""
    table, data_at = b"", 16 * len(keys)
    for index, key in enumerate(keys):
        table += struct.pack("<4I", 0, data_at - 16 * index, len(key), size)
    return (struct.pack("<QHHI", number, 2, len(keys), pages - 1) + table + keys[0]).ljust(SIZE, b"\0")


@pytest.fixture
def bounded():
    """Reading takes less than two seconds and 32 MiB, whatever the file says."""
    tracemalloc.start()
    began = time.process_time()
    yield
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - began < 2
    assert peak < 32 << 20


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", [b"meta", b"members", b"key", b"cluster"])
def test_a_small_file_does_not_unpack_to_gigabytes(tmp_path, name):
    """Seen: 24 kB on the disk, whose values are 2 GB, since they all lie in one place of a sparse file."""
    keys = [b"term" + bytes([65 + number]) for number in range(40)]
    path = sparse(tmp_path, [leaf(2, [(name, bucket(3))], bucket=True), same_place(3, keys, 60 << 20, 16000)], 80 << 20)
    with contextlib.suppress(EtcdError):
        database.describe(path)
    with contextlib.suppress(EtcdError):
        kubernetes_in(path)
    with pytest.raises(EtcdError, match="not in order"), Bolt(path) as bolt:
        sum(len(value) for _key, value in bolt.items(name, 1 << 20))


@pytest.mark.usefixtures("bounded")
def test_pages_that_overlap_are_not_read_again_and_again(tmp_path):
    count = 400
    children = [(b"%04d" % number, number) for number in range(4, 4 + 200)]
    pages = [leaf(2, [(b"key", bucket(3))], bucket=True), branch(3, children)]
    for number in range(4, 4 + count):
        key = b"%04d" % number
        head = struct.pack("<QHHI", number, 2, 1, 400 + 4 - number - 1) + struct.pack("<4I", 0, 16, 4, 4000) + key
        pages.append(head.ljust(SIZE, b"\0"))
    with pytest.raises(EtcdError, match="overlap"), Bolt(write(tmp_path, pages)) as bolt:
        list(bolt.items(b"key"))


@pytest.mark.usefixtures("bounded")
def test_a_cycle_ends_at_once_however_many_pages_the_file_says_it_has(tmp_path):
    """Seen: 17 s, a page for each that the file could have."""
    pages = [leaf(2, [(b"key", bucket(3))], bucket=True), branch(3, [(b"a" * 1000, 4)]), branch(4, [(b"a" * 1000, 3)])]
    path = sparse(tmp_path, pages, 1 << 40)
    with Bolt(path) as bolt:
        for look in (lambda: bolt.last_key(b"key"), lambda: bolt.get(b"key", b"b"), lambda: list(bolt.items(b"key"))):
            with pytest.raises(EtcdError, match="cycle"):
                look()


@pytest.mark.parametrize(
    "items",
    [[(b"b", b"1"), (b"a", b"2")], [(b"a", b"1"), (b"a", b"2")]],
    ids=["backwards", "twice"],
)
def test_keys_out_of_order_are_damage(tmp_path, items):
    pages = [leaf(2, [(b"key", bucket(3))], bucket=True), leaf(3, items)]
    with pytest.raises(EtcdError, match="not in order"), Bolt(write(tmp_path, pages)) as bolt:
        list(bolt.items(b"key"))


@pytest.mark.parametrize(
    "name, items, words",
    [
        (b"meta", [(b"term", b"1" * 2000)], "2000 bytes"),
        (b"meta", [(b"finishedCompactRev", b"\xff" * 17)], "cannot be a revision"),
        (b"key", [(b"\xff" * 17, b"v")], "cannot be a revision"),
        (b"members", [(b"1", b"[" * 3000)], "nested deeper"),
        (b"members", [(b"1", b'{"id": NaN}')], "NaN is in it"),
        (b"members", [(b"1", b'{"id": 1e400}')], "infinite"),
        (b"members", [(b"1", b'{"id": 1.5}')], "id is 1.5"),
        (b"members", [(b"1", b'{"id": %s}' % (b"9" * 3000))], "3000 digits"),
        (b"members", [(b"1", b'{"name": "m1"}')], "id is missing"),
        (b"members", [(b"1", b'{"id": 1, "name": {"a": 1}}')], "name is an object"),
        (b"members", [(b"1", b'{"id": 1, "peerURLs": "http://a"}')], "peerURLs is 'http://a' and not a list"),
        (b"members", [(b"1", b'{"id": 1, "peerURLs": [7]}')], r"peerURLs\[0\] is 7"),
        (b"members", [(b"1", b"\xff\xfe")], "utf-8"),
        (b"cluster", [(b"clusterVersion", b"3" * 2000)], "2000 bytes"),
    ],
)
def test_values_that_are_not_what_etcd_writes_are_said(tmp_path, name, items, words):
    path = write(tmp_path, [leaf(2, [(name, bucket(3))], bucket=True), leaf(3, items)])
    with pytest.raises(EtcdError, match=words):
        database.describe(path)
