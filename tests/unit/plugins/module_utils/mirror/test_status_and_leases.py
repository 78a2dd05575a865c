# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine tells of itself, and the leases that it keeps alive."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import Far
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import NoLease
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import leases as leases_module
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.leases import Leases
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.patience import Patience
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.reporter import Reporter, in_words, nobody_looks
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import FOLLOW, SCAN
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import Board, last
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.mirror.fake_etcd import together


def test_the_lag_is_told_while_it_follows(tmp_path):
    now = [1000.0]
    board = Board("m", str(tmp_path), clock=lambda: now[0])
    board.heard(50)
    board.begin(SCAN, "it is new")
    board.set(keys_done=1000, keys_total=20_000, keys_changed=7)
    assert board.status.lag_revisions == 0  # nobody can say
    assert in_words(board.status) == "Compared: 1,000 of 20,000 keys, 7 changed."
    board.begin(FOLLOW, "it was compared")
    board.applied(40, 3, 1000.0)
    now[0] = 1002.5
    assert (board.status.lag_revisions, board.status.lag_seconds) == (10, 2.5)
    assert "10 revisions and 2.5 s behind, 3 changes of keys applied since it began." in in_words(board.status)
    board.heard(45)  # of an answer that was late
    assert board.status.source_revision == 50
    board.applied(50, 1, 1002.0)
    assert (board.status.lag_revisions, board.status.lag_seconds) == (0, 0.0)
    assert "level" in in_words(board.status)
    assert (board.status.keys, board.status.keys_age) == (-1, -1)
    board.counted(40_112)
    now[0] += 7.9
    assert (board.status.keys, board.status.keys_age) == (40_112, 7)
    assert in_words(board.status).endswith("4 changes of keys applied since it began, 40,112 keys mirrored.")
    board.write()
    assert last(str(tmp_path)) == board.status


def reported(tmp_path, seconds, change, shows=nobody_looks):
    """What a reporter says in so many seconds, each with its second; ``change`` gets the board in each of them."""
    now, said = [5000.0], []
    board = Board("m", str(tmp_path), clock=lambda: now[0])
    reporter = Reporter(
        board, SimpleNamespace(size=0), lambda line: said.append((now[0] - 5000, line)), shows, lambda: now[0]
    )
    for second in range(seconds):
        now[0] = 5000.0 + second
        change(board, second)
        reporter.tick()
    return said


def compared(board, second):
    if not second:
        board.begin(SCAN, "it is new")
    board.set(keys_done=100 * second, keys_total=20_000, keys_changed=second)


def followed(board, second):
    if not second:
        board.begin(FOLLOW, "it was compared")
        board.heard(1000)
        board.counted(300)
    board.applied(second, 2, 5000.0 + second)


def test_each_thirty_seconds_it_says_how_many_keys_are_done(tmp_path):
    assert reported(tmp_path, 100, compared) == [
        (30, "Compared: 3,000 of 20,000 keys, 30 changed."),
        (60, "Compared: 6,000 of 20,000 keys, 60 changed."),
        (90, "Compared: 9,000 of 20,000 keys, 90 changed."),
    ]


def test_each_thirty_seconds_it_says_how_many_keys_were_followed(tmp_path):
    behind, keys = "revisions and 0.0 s behind", "changes of keys applied since it began, 300 keys mirrored."
    assert reported(tmp_path, 70, followed) == [
        (30, f"Follows: at revision 30, 970 {behind}, 62 {keys}"),
        (60, f"Follows: at revision 60, 940 {behind}, 122 {keys}"),
    ]


def test_what_is_seen_at_a_terminal_is_not_said_besides(tmp_path):
    shown = []

    def shows(far):
        shown.append(far)
        return far is not None

    def both(board, second):
        (compared if second < 50 else followed)(board, second % 50)

    said = reported(tmp_path, 100, both, shows)
    assert [second for second, _line in said] == [50, 80] and all("Follows" in line for _second, line in said)
    assert shown[49:51] == [Far("Compared", 4900, 20_000), None], "and the bar is taken away"


def test_a_status_that_is_none(tmp_path):
    assert last(str(tmp_path)) is None
    (tmp_path / "status.json").write_text(json.dumps({"mirror": 7}))
    with pytest.raises(EtcdError, match="cannot be understood: mirror is 7"):
        last(str(tmp_path))


def test_a_status_that_cannot_be_written_is_said_once(tmp_path):
    said = []
    reporter = Reporter(Board("m", str(tmp_path / "gone")), SimpleNamespace(size=0), said.append)
    reporter.close()
    reporter.close()
    assert said == ["The status could not be written: No such file or directory."]


class Cluster:
    def __init__(self, **leases):
        self.leases, self.kept = {int(name[1:]): ttl for name, ttl in leases.items()}, []

    def grant(self, ttl, id):
        if id in self.leases:
            raise NoLease("there is one.")
        self.leases[id] = ttl

    def time_to_live(self, id):
        return SimpleNamespace(granted=self.leases.get(id, 0))

    def keep_alive(self, id):
        self.kept.append(id)
        return self.leases.get(id, 0)


@pytest.fixture
def kept(monkeypatch):
    """Source, destination and the leases between them, which are renewed as soon as they are looked at."""
    monkeypatch.setattr(leases_module, "_TICK", 0.01)
    source, target, over, reached, now = Cluster(l7=60, l8=30), Cluster(l8=30), threading.Event(), [10], [0.0]
    patience = Patience(over, lambda _line: None, lambda _line: None)
    leases = Leases(source, target, patience, over, lambda: reached[0], lambda: 20, clock=lambda: now[0])
    yield SimpleNamespace(source=source, target=target, over=over, reached=reached, now=now, leases=leases)
    leases.close()


def key(lease):
    return KeyValue(b"k", 1, 1, 1, b"v", lease)


def test_leases_have_the_ids_and_times_of_the_source(kept):
    assert [kept.leases.of(key(lease)) for lease in (7, 8, 9, 0)] == [7, 8, 0, 0]  # 8 was there, 9 is over
    assert kept.target.leases == {7: 60, 8: 30}
    assert kept.leases.without({7, 9}) == {9}


def test_a_lease_is_kept_alive_until_its_end_in_the_source_is_applied(kept):
    kept.leases.of(key(7))
    kept.leases.start()
    _until(lambda: kept.target.kept == [7])
    del kept.source.leases[7]
    kept.now[0] = 30.0
    _until(lambda: kept.target.kept == [7, 7])  # its keys are still there: their deletion is revision 20 at most
    kept.reached[0], kept.now[0] = 20, 60.0
    _until(lambda: not kept.leases._held)
    assert kept.target.kept == [7, 7]
    assert not kept.over.is_set()


def test_a_lease_that_the_destination_has_lost_ends_it(kept):
    kept.leases.of(key(7))
    kept.target.leases.clear()
    kept.leases.start()
    assert kept.over.wait(20)
    assert kept.leases.lost == "the lease 7 has run out in the destination"


def test_many_leases_are_asked_for_granted_and_renewed_side_by_side(kept):
    many = set(range(100, 116))
    kept.source.leases.update(dict.fromkeys(many, 60))
    kept.source.time_to_live = together(kept.source.time_to_live)
    kept.target.grant, kept.target.keep_alive = together(kept.target.grant), together(kept.target.keep_alive)
    assert kept.leases.without(many) == set()
    assert set(kept.target.leases) == many | {8}
    kept.leases.start()
    _until(lambda: set(kept.target.kept) == many)
    assert not kept.leases.lost


def _until(happened):
    for _look in range(2000):
        if happened():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")
