# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many keys a mirror has, and how seldom its destination is asked."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.counting import Counting
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.names import STATE_STEM, Names
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import Board
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.mirror.fake_etcd import FakeEtcd


class Counted:
    """A destination that takes its time to count, and may not answer."""

    def __init__(self, now, takes=0.0):
        self.etcd, self.now, self.takes, self.times, self.gone = FakeEtcd(), now, takes, [], False
        keys = [b"m/%d" % number for number in range(5)] + [b"m/out/1", b"m/quorum.etcd/mirror/m", b"n"]
        self.etcd.txn([(key, b"") for key in keys])

    def page(self, key, end=b"", **how):
        assert how["count_only"]
        if self.gone:
            raise Unavailable("nobody answers.")
        self.times.append(self.now[0])
        self.now[0] += self.takes
        return self.etcd.page(key, end, **how)


def counting_of(tmp_path, takes=0.0):
    now = [0.0]
    target, board = Counted(now, takes), Board("m", str(tmp_path))
    return now, target, board, Counting(target, Names(b"", b"m/", (STATE_STEM, b"out/")), board, lambda: now[0])


def test_the_keys_of_the_mirror_are_counted_each_minute_without_its_own(tmp_path):
    now, target, board, counting = counting_of(tmp_path)
    for second in range(0, 150, 2):
        now[0] = float(second)
        counting.look()
        counting._beside.result()
    assert board.status.keys == 5
    assert sorted(set(target.times)) == [0.0, 60.0, 120.0]
    target.etcd.put(b"m/new", b"")
    counting.count()
    assert board.status.keys == 6, "at once where it is wanted"


def test_what_takes_long_to_count_is_counted_seldom(tmp_path):
    now, target, board, counting = counting_of(tmp_path, takes=0.1)  # three ranges
    counting.count()
    now[0] = 299.0
    counting.look()
    assert counting._beside is None, "300 ms, a thousand times"
    now[0] = 301.0
    counting.look()
    counting._beside.result()
    assert max(target.times) > 300


def test_a_destination_that_does_not_answer_is_not_counted(tmp_path):
    now, target, board, counting = counting_of(tmp_path)
    counting.count()
    target.gone = True
    target.etcd.put(b"m/new", b"")
    counting.count()
    assert board.status.keys == 5, "as it was last counted"
