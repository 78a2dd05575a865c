# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An increment is what changed, and gives the very bytes again; one that is damaged gives nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import struct

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import pages
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.pages import PAGE, Header, apply, compare, prove
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import (
    LINES,
    at_revision,
    content,
    flipped,
)

ROUNDS = int(os.environ.get("QUORUM_FUZZ_ROUNDS", "60"))
RECORD = 12


def sha(data):
    return hashlib.sha256(data).hexdigest()


def made(tmp_path, before, after, most=1 << 40):
    """The increment from one to the other as bytes, its header, and what was seen."""
    hashes, records = io.BytesIO(), io.BytesIO()
    (tmp_path / "new.db").write_bytes(before)
    compare(str(tmp_path / "new.db"), io.BytesIO(), hashes, io.BytesIO(), 0)
    (tmp_path / "new.db").write_bytes(after)
    again = io.BytesIO()
    seen = compare(str(tmp_path / "new.db"), io.BytesIO(hashes.getvalue()), again, records, most)
    assert (seen.sha256, seen.size) == (sha(after), len(after))
    assert len(again.getvalue()) == pages.HASH * -(-len(after) // PAGE)
    header = Header(1, sha(before), sha(after), len(after))
    return pages.header_line(header) + records.getvalue(), header, seen


def applied(tmp_path, before, increment, header):
    (tmp_path / "increment").write_bytes(increment)
    (tmp_path / "result").write_bytes(before)
    apply(str(tmp_path / "increment"), str(tmp_path / "result"), header)
    prove(str(tmp_path / "result"), header.sha256)
    return (tmp_path / "result").read_bytes()


@pytest.mark.parametrize("line", LINES)
def test_of_one_changed_page_it_is_that_page_and_the_hash(tmp_path, line):
    before = content(line)
    body = flipped(before[:-32], len(before) // 2)
    after = body + hashlib.sha256(body).digest()
    increment, header, seen = made(tmp_path, before, after)
    assert applied(tmp_path, before, increment, header) == after
    assert seen.changed == PAGE + 32 and len(increment) < PAGE + 400


def test_from_one_database_to_quite_another(tmp_path):
    before, after = content("3.4"), content("3.7")
    increment, header, seen = made(tmp_path, before, after)
    assert applied(tmp_path, before, increment, header) == after
    assert seen.changed > len(after) // 2


def test_where_nothing_changed_it_is_its_first_line(tmp_path):
    increment, header, seen = made(tmp_path, content(), content())
    assert seen.changed == 0 and increment == pages.header_line(header)
    assert applied(tmp_path, content(), increment, header) == content()


def test_the_first_line_and_the_records_are_as_documented(tmp_path):
    before = bytes(3 * PAGE)
    after = before[:PAGE] + b"x" * PAGE + before[2 * PAGE :] + b"end"
    increment, _header, _seen = made(tmp_path, before, after)
    line, _newline, records = increment.partition(b"\n")
    assert json.loads(line) == {"format": 1, "base": sha(before), "sha256": sha(after), "size": len(after)}
    wanted = struct.pack(">QI", PAGE, PAGE) + b"x" * PAGE + struct.pack(">QI", 3 * PAGE, 3) + b"end"
    assert records == wanted


def test_of_too_many_changes_nothing_more_is_written(tmp_path):
    before, after = bytes(600 * PAGE), b"x" * (600 * PAGE)
    increment, _header, seen = made(tmp_path, before, after, most=300 * PAGE)
    assert seen.changed == 600 * PAGE and len(increment) < 301 * PAGE


def some(chance, count):
    """So many bytes; Python 3.8 has no randbytes."""
    return chance.getrandbits(8 * count + 1).to_bytes(count + 1, "little")[:count]


def changed(chance, data):
    """Some pages written anew, and the file longer or shorter, by no, some or part of a page."""
    data = bytearray(data)
    for _one in range(chance.randrange(40)):
        page = chance.randrange(max(1, len(data) // PAGE))
        data[page * PAGE : (page + 1) * PAGE] = some(chance, PAGE)
    if chance.random() < 0.3:
        data = data[: -chance.randrange(1, len(data) // 2)]
    if chance.random() < 0.3:
        data += some(chance, chance.randrange(1, 20 * PAGE))
    return bytes(data)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_chain_of_changes_is_put_together_again(tmp_path, seed):
    print(f"seed {seed}")
    chance = random.Random(seed)
    before = content(chance.choice(LINES)) + some(chance, chance.randrange(300 * PAGE))
    kept = before
    for _one in range(3):
        after = changed(chance, before)
        increment, header, _seen = made(tmp_path, before, after)
        kept = applied(tmp_path, kept, increment, header)
        assert kept == after, f"seed {seed}"
        before = after


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_one_that_is_cut_flipped_or_longer_is_never_taken(tmp_path, seed):
    print(f"seed {seed}")
    chance = random.Random(seed)
    before = content()
    after = changed(chance, before) + b"."  # at least the end differs
    increment, header, _seen = made(tmp_path, before, after)
    how = chance.randrange(3)
    if how == 0:
        spoilt = increment[: chance.randrange(len(increment))]
    elif how == 1:
        at = chance.randrange(len(increment))
        spoilt = increment[:at] + bytes([increment[at] ^ (1 << chance.randrange(8))]) + increment[at + 1 :]
    else:
        spoilt = increment + some(chance, chance.randrange(1, 40))
    with pytest.raises(EtcdError) as refused:
        applied(tmp_path, before, spoilt, header)
    assert refused.value.next_step
    assert (tmp_path / "result").stat().st_size <= max(len(before), len(after)), "it grew beyond what was announced"


BASE = bytes(4 * PAGE)


def record(offset, data):
    return struct.pack(">QI", offset, len(data)) + data


@pytest.mark.parametrize(
    "records, words",
    [
        (record(4 * PAGE, b"x"), "beyond the end"),
        (record((1 << 64) - 1, b"xx"), "beyond the end"),
        (record(PAGE, b"x") + record(PAGE, b"y"), "out of order"),
        (record(PAGE, b"x") + record(0, b"y"), "out of order"),
        (record(0, b"") * 5, "out of order"),
        (struct.pack(">QI", 0, 4 * PAGE) + b"x", "cut off"),
        (b"\0\0\0", "cut off"),
    ],
)
def test_hostile_records_are_refused(tmp_path, records, words):
    header = Header(1, sha(BASE), sha(BASE), len(BASE))
    with pytest.raises(EtcdError, match=words):
        applied(tmp_path, BASE, pages.header_line(header) + records, header)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"format": 1}',
        b"[" * 4000 + b"\n",
        b"x" * 10_000,
        b'{"format": 2, "base": "a", "sha256": "b", "size": 1}\n',
        b'{"format": 1, "base": "a", "sha256": "b", "size": 1e400}\n',
        b'{"format": 1, "base": "a", "sha256": "b", "size": 1}\n',  # another one's
        b"\xff\xfe\n",
    ],
)
def test_another_first_line_is_refused(tmp_path, line):
    header = Header(1, sha(BASE), sha(BASE), len(BASE))
    with pytest.raises(EtcdError):
        applied(tmp_path, BASE, line, header)


def test_the_base_must_be_the_right_one(tmp_path):
    increment, header, _seen = made(tmp_path, content(), at_revision(77))
    with pytest.raises(EtcdError, match="is not the snapshot"):
        applied(tmp_path, content("3.4"), increment, header)
