# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages of keyspaces of all kinds: each key is read once, in its order, and etcd counts little more than is read."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Header, KeyValue, Page
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.horizon import Horizon
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.ranges import Side, Span

MOST = 100


class Counting:
    """An etcd that says how many keys it has counted, as etcd does: to the end of the range, whatever the limit is."""

    def __init__(self, keys):
        self.keys, self.counted, self.asked = sorted(keys), 0, 0

    def page(self, key, end=b"", *, limit=0, revision=0, count_only=False, serializable=False):
        first, behind = bisect_left(self.keys, key), len(self.keys) if end == b"\0" else bisect_left(self.keys, end)
        self.counted += max(0, behind - first)
        self.asked += 1
        found = self.keys[first : max(first, min(behind, first + limit))]
        return Page(
            Header(1, 1, 1, 1),
            [KeyValue(one, 1, 1, 1, b"v", 0) for one in found],
            behind > first + limit,
            behind - first,
        )


ALL = Span(b"")


def read(etcd, prefix=b"", span=ALL):
    side, found, start = Side(etcd, prefix, most=MOST), [], span.start
    while start is not None:
        part = side.part(Span(start, span.end), 1)
        assert len(part.entries) <= MOST
        found += [prefix + entry.name for entry in part.entries]
        start = part.rest
    return found


def kubernetes(draw):
    for kind, count in (
        ("configmaps", 300),
        ("events", 9000),
        ("leases", 40),
        ("pods", 6000),
        ("secrets", 900),
        ("zones", 1),
    ):
        for _one in range(count):
            yield b"/registry/%s/ns-%d/name-%08x" % (kind.encode(), draw.randrange(40), draw.getrandbits(32))


def spaces():
    draw = random.Random(7)
    return {
        "numbers": [b"app/key/%08d" % n for n in range(20_000)],
        "numbers without zeros": [b"app/%d" % n for n in range(20_000)],
        "random bytes": {
            bytes(draw.getrandbits(8) for _byte in range(draw.randrange(1, 12))) for _key in range(20_000)
        },
        "hexadecimal": [b"app/%016x" % draw.getrandbits(64) for _key in range(20_000)],
        "as kubernetes has it": set(kubernetes(draw)),
        "the highest bytes": {b"\xff" * (n % 9) + bytes([n % 251]) + b"%d" % n for n in range(5_000)},
        "one tree in the other": {b"a" * (n % 200) + b"/%d" % n for n in range(10_000)},
        "two heaps far apart": [b"\0%06d" % n for n in range(5_000)] + [b"\xf0%06d" % n for n in range(5_000)],
        "long keys with one beginning": [b"/" + b"x" * 300 + b"%09d" % (n * n) for n in range(10_000)],
        "none": [],
        "one": [b"app/1"],
    }


UNEVEN = ("the highest bytes", "one tree in the other")  # no guess holds there, and none does harm


@pytest.mark.parametrize("name, keys", spaces().items(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_key_once_and_little_counted(name, keys):
    etcd = Counting(keys)
    assert read(etcd) == sorted(keys)
    pages = len(keys) // MOST + 8  # the first ones are smaller
    assert etcd.asked <= 3 * pages, "each guess that fails costs a question"
    plainly = sum(range(0, len(keys) + 1, MOST))
    assert etcd.counted <= (plainly + 2 * len(keys) if name in UNEVEN else 15 * len(keys) + 100)


@pytest.mark.parametrize("round", range(60))
def test_any_keys_below_any_prefix_and_in_any_span(round):
    draw = random.Random(round)
    letters = bytes(draw.sample(range(256), draw.choice([1, 2, 5, 256])))
    keys = {bytes(draw.choice(letters) for _byte in range(draw.randrange(1, 9))) for _key in range(3_000)}
    prefix = draw.choice([b"", draw.choice(sorted(keys))[: draw.randrange(3)], b"\xff"])
    low, high = sorted(draw.choice(sorted(keys)) for _side in range(2))
    span = draw.choice([Span(b""), Span(low), Span(low, high or None)])
    wanted = sorted(
        key
        for key in keys
        if key.startswith(prefix)
        and key[len(prefix) :] >= span.start
        and (span.end is None or key[len(prefix) :] < span.end)
    )
    assert read(Counting(keys), prefix, span) == wanted


def test_it_ends_soon_behind_what_is_wanted():
    horizon = Horizon()
    assert horizon.end(b"a/", b"a0", 100) == b"a0", "nothing is known"
    horizon.saw([b"a/%04d" % n for n in range(100)], 100, True)
    near = horizon.end(b"a/0099\0", b"a0", 100)
    assert b"a/0199" < near < b"a/1000"
    assert horizon.end(b"a/0099\0", b"a/0100", 100) == b"a/0100", "never behind the end"


def test_it_reaches_further_where_nothing_is_found_and_gives_up_in_the_end():
    horizon = Horizon()
    horizon.saw([b"pods/ns-1/name-%04d" % n for n in range(100)], 100, True)
    start, ends = b"pods/ns-1/name-0099\0", []
    while not ends or ends[-1] != b"q":
        ends.append(horizon.end(start, b"q", 100))
        assert ends[-1] > start
        horizon.saw([], 100, False)
        start = ends[-1]
    assert 2 <= len(ends) <= 4
    horizon.saw([b"pods/zz/%04d" % n for n in range(100)], 100, True)
    assert horizon.end(b"pods/zz/0099\0", b"q", 100) != b"q"
