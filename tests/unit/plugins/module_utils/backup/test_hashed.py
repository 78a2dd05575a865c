# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup whose members hash their data while it is saved: it gets its name only where they have nothing against it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup import run as run_room
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
    BACKUPS,
    FAILED,
    NOT_ITS_TURN,
    SAVED,
    UNCHANGED,
)
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import DEFAULT
from ansible_collections.quorum.etcd.plugins.module_utils.backup.run import Job, back_up, foreseen, refused
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import cluster
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.cluster import observe
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.test_cluster import V36, Etcd, three, url
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, content

REVISION = 44  # of the snapshot
ODD = {url(2): {"hash": 8}}
TOOLS = Tools(etcdctl=Tool("/bin/etcdctl", V36), etcdutl=Tool("/bin/etcdutl", V36))
TO = Connection(endpoints=[url(number) for number in (1, 2, 3)])


class Cluster(Etcd):
    """Three members; a save ends once the members were asked for their hashes, or ``alone`` at once."""

    def __init__(self, hashes=None, revision=REVISION, alone=False):
        super().__init__(three(revision=revision), hashes=hashes)
        self.saved, self.alone, self.hashed = [], alone, threading.Event()

    def __call__(self, argv, env):
        if "save" in argv:
            self.saved.append(argv[1].partition("=")[2])
            assert self.alone or self.hashed.wait(20), "nobody asked for the hashes meanwhile"
            Path(argv[-1]).write_bytes(content())
            return Result(0, "", "")
        if "hashkv" in argv:
            self.hashed.set()
        if "get" in argv:
            return Result(0, json.dumps({"header": {}, "count": 40}), "")
        if argv[0].endswith("etcdutl"):
            return Result(0, json.dumps({"hash": 1, "revision": REVISION, "totalKey": 41}), "")
        return super().__call__(argv, env)

    def asked(self, words):
        return len([call for call in self.calls if call[0] == words])


@pytest.fixture
def attempted(tmp_path, monkeypatch):
    def job(**more):
        places = (str(tmp_path / "backups"), str(tmp_path / "state"))
        return Job("etcd", *places, DEFAULT, **{"every_member": True, **more})

    def attempted(etcd, **more):
        monkeypatch.setattr(cluster, "reach", etcd.knock)
        return back_up(etcd, TOOLS, TO, job(**more), clock=lambda: NOW)

    def foretold(etcd, force=False):
        monkeypatch.setattr(cluster, "reach", etcd.knock)
        return foreseen(etcd, TOOLS, TO, job(chosen=True), force, NOW)

    attempted.job, attempted.foretold = job, foretold
    return attempted


def there(attempt):
    return sorted(name for name in os.listdir(attempt.folder) if not name.startswith(".quorum-etcd-backup"))


def manifest(attempt):
    return json.loads(Path(f"{attempt.path}.json").read_text())


def test_the_members_are_asked_once_and_hash_while_it_is_saved(attempted):
    etcd = Cluster()
    attempt = attempted(etcd)
    assert (attempt.result, attempt.cause) == (SAVED, "")
    told = manifest(attempt)
    assert (told["hashkv"], told["hashkv_revision"], told["hashkv_compact_revision"]) == (7, REVISION, -1)
    assert [etcd.asked(words) for words in ("member list", "alarm list", "endpoint hashkv")] == [1, 1, 1]


def test_where_the_data_differs_nothing_gets_a_name(attempted):
    attempt = attempted(Cluster(ODD), here=(url(3),))
    assert attempt.result == FAILED and "m2 differs from m1, m3, so no snapshot is taken" in attempt.cause
    assert "etcd_backup_accept_divergence" in attempt.next_step and there(attempt) == []


def test_where_that_is_accepted_it_is_of_the_majority(attempted):
    """This host's own member was read first, and is the one that differs."""
    etcd = Cluster(ODD)
    attempt = attempted(etcd, here=(url(2),), accept_divergence=True)
    assert attempt.result == SAVED, attempt.cause
    assert [attempt.endpoint] == etcd.saved[1:] and etcd.saved[0] == url(2) != attempt.endpoint
    name = os.path.basename(attempt.path)
    assert there(attempt) == [name, f"{name}.json"] and manifest(attempt)["hashkv"] == 7
    assert manifest(attempt)["source_endpoint"] == attempt.endpoint


def test_where_it_is_accepted_and_this_member_is_right_it_is_read_once(attempted):
    etcd = Cluster(ODD)
    attempt = attempted(etcd, here=(url(3),), accept_divergence=True)
    assert (attempt.result, etcd.saved, attempt.endpoint) == (SAVED, [url(3)], url(3))


def test_a_hash_of_what_was_written_later_is_not_the_snapshots(attempted):
    """A compaction came between the two questions, so that the members were asked for their newest."""
    etcd = Cluster(hashes={"compacted": REVISION, **{url(n): {"hash_revision": REVISION + 1} for n in (1, 2, 3)}})
    attempt = attempted(etcd)
    assert attempt.result == SAVED and etcd.asked("endpoint hashkv") == 2
    assert not {"hashkv", "hashkv_revision"} & set(manifest(attempt))


def test_hashes_that_cannot_be_had_are_no_reason_to_have_no_backup(attempted):
    class Mute(Cluster):
        def endpoint_hashkv(self, _endpoints, _argv):
            return Result(1, "", "Error: context deadline exceeded")

    attempt = attempted(Mute())
    assert attempt.result == SAVED and "hashkv" not in manifest(attempt)


def test_a_save_that_fails_fails_before_the_hashes_are_there(attempted, monkeypatch):
    class Slow(Cluster):
        def endpoint_hashkv(self, endpoints, argv):
            assert self.go.wait(20)
            return super().endpoint_hashkv(endpoints, argv)

        def __call__(self, argv, env):
            return Result(1, "", "Error: no space left on device") if "save" in argv else super().__call__(argv, env)

    etcd = Slow()
    etcd.go = threading.Event()
    monkeypatch.setattr("ansible_collections.quorum.etcd.plugins.module_utils.backup.run.time.sleep", lambda _s: None)
    attempt = attempted(etcd)
    etcd.go.set()
    assert attempt.result == FAILED and "no space left" in attempt.cause and there(attempt) == []


def test_a_host_that_is_chosen_saves_from_the_same_follower_each_time_though_it_is_not_its_turn(attempted, tmp_path):
    etcd = Cluster()
    attempt = attempted(etcd, every_member=False, chosen=True)
    assert (attempt.result, attempt.mine, etcd.saved) == (SAVED, True, [attempt.endpoint])
    follower = min((one for one in observe(etcd, TOOLS, TO).members if not one.is_leader), key=lambda one: one.id)
    assert attempt.endpoint == follower.endpoint, "the same one each time, since the pages of two members differ"
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == [attempt]
    named = attempted(Cluster(), every_member=False, chosen=True, endpoint=url(1), name="mine.db")
    assert (named.endpoint, Path(named.path).name) == (url(1), "mine.db")
    assert attempted(Cluster(), every_member=False).result == NOT_ITS_TURN


def test_what_would_be_done_is_told_and_neither_done_nor_recorded(attempted, tmp_path, monkeypatch):
    etcd = Cluster()
    foretold = attempted.foretold(etcd)
    assert (foretold.result, foretold.path, etcd.saved) == (SAVED, "", []) and foretold.endpoint and foretold.size
    assert etcd.asked("endpoint hashkv") == 1, "what speaks against it is seen"
    with pytest.raises(EtcdError, match="m2 differs from m1, m3"):
        attempted.foretold(Cluster(ODD))
    assert list(tmp_path.iterdir()) == []

    made = attempted(Cluster(), chosen=True)
    kept = there(made), BACKUPS.last(str(tmp_path / "state"), "etcd")
    monkeypatch.setattr(run_room, "is_current", lambda *_seen: True)
    again = attempted.foretold(Cluster())
    assert (again.result, again.path) == (UNCHANGED, made.path)
    assert attempted.foretold(Cluster(), force=True).result == SAVED, "it is asked for all the same"
    assert (there(made), BACKUPS.last(str(tmp_path / "state"), "etcd")) == kept


def test_what_was_seen_before_it_was_begun_is_recorded_as_a_failure(attempted, tmp_path):
    attempt = refused(attempted.job(), EtcdError("no member runs.", "start one."), NOW)
    assert (attempt.result, attempt.cause, attempt.next_step) == (FAILED, "no member runs.", "start one.")
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == [attempt]
