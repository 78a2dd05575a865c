# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mended of a destination that was restored from a snapshot, how far that is told, and where it is compared instead."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import Far
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import seeding
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import Names
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.patience import Patience
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.reporter import far_of, in_words
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.seeding import Mending
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import Seed
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import MENDING, Board
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.mirror.fake_etcd import FakeEtcd

NAMES = Names(b"app/", b"app/", (b"app/quorum.etcd/mirror/", b"app/secret/"))


class Destination(FakeEtcd):
    """Nobody has written to it since it was restored."""

    def leases(self):
        return sorted({kv.lease for kv in self.history[self.revision].values() if kv.lease})

    def keys_of_lease(self, lease):
        return [kv.key for kv in self.history[self.revision].values() if kv.lease == lease]


class Writes:
    def __init__(self, board):
        self.operations, self.board, self.seen = [], board, []

    def write_soon(self, operations):
        self.operations += operations
        self.seen.append(far_of(self.board.status))

    def finish(self):
        pass


class Seeded:
    """A source, a destination that has all of it with its leases, and what is to mend that."""

    def __init__(self, folder, leased):
        self.source, self.target, self.said = FakeEtcd(1), Destination(2), []
        for lease, key in enumerate(leased, 1):
            for etcd in (self.source, self.target):
                etcd.put(key, b"v", lease)
        self.board = Board("m", str(folder))
        self.board.begin(MENDING, "it was restored")
        self.writes, self.checked = Writes(self.board), []
        self.mending = Mending(
            self.source,
            self.target,
            NAMES,
            self.writes,
            self.board,
            Patience(threading.Event(), self.said.append, self.board.error),
            self.said.append,
            lambda: self.checked.append(far_of(self.board.status)),
        )

    def mend(self):
        revision = self.target.revision
        return self.mending.mend(Seed("1", "2", self.source.revision, revision))


def keys(stem, count):
    return [stem + b"%03d" % number for number in range(count)]


@pytest.mark.parametrize("others", [b"aaa/", b"zzz/", b"app/secret/"])
def test_however_many_leased_keys_there_are_besides_those_that_are_mirrored_all_lose_their_lease(
    tmp_path, monkeypatch, others
):
    monkeypatch.setattr(seeding, "MOST", 10)
    seeded = Seeded(tmp_path, [*keys(others, 10), *keys(b"app/", 9)])
    assert seeded.mend(), seeded.said
    assert [(one.key, one.lease) for one in seeded.writes.operations] == [(key, 0) for key in keys(b"app/", 9)]


def test_beyond_what_can_be_mended_both_sides_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(seeding, "MOST", 10)
    seeded = Seeded(tmp_path, keys(b"app/", 10))
    assert not seeded.mend()
    assert seeded.writes.operations == []
    assert "compared by keys after all: 10 keys of the destination or more have a lease" in seeded.said[0]
    status = seeded.board.status
    assert (status.phase, status.keys_done, status.keys_total) == ("scan", 0, 0)


def test_how_far_it_is_can_be_seen_all_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(seeding, "_AT_ONCE", 100)
    seeded = Seeded(tmp_path, keys(b"app/", 250))
    assert seeded.mend(), seeded.said
    leases = [Far("Asked for their keys", done, 250, "leases") for done in (0, 100, 200)]
    assert seeded.checked == [*leases, *(Far("Mended", done, 250) for done in (0, 100, 200))]
    assert [far.done for far in seeded.writes.seen] == sorted(far.done for far in seeded.writes.seen)
    assert in_words(seeded.board.status) == "Mended: 250 of 250 keys."
