# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stores get what they lack, each by itself; what they do to it is noticed, and what is old goes in whole chains."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.copies import copies_folder
from ansible_collections.quorum.etcd.plugins.module_utils.backup.holding import content_of, doomed
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import NAME, Busy, locked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import BACKUPS, SAVED, UPLOADS, Attempt, Upload
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import Policy
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import Shipping, ship
from ansible_collections.quorum.etcd.plugins.module_utils.backup.spool import base_of, waiting
from ansible_collections.quorum.etcd.plugins.module_utils.backup.stores import check_changeable, differs
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.offsite import offsite_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import (
    HALF_HOUR,
    Member,
    put_together,
    run,
)

DAY = 86400.0
MONTH = Policy(days=31)


class Shelf:
    """A store that does what it is told, or what is wrong with it; it compares what it was given by the hash that it tells."""

    def __init__(self, folder, name="shelf", tells="sha256", append_only=False):
        self.folder, self.name, self.tells, self.append_only = Path(folder), name, tells, append_only
        self.down, self.spoil, self.log = False, None, []
        self.folder.mkdir()

    def _answer(self):
        if self.down:
            raise EtcdError(f"the store {self.name} does not answer.", "see to it.")

    def names(self):
        self._answer()
        return {one.name: one.stat().st_size for one in self.folder.iterdir()}

    def put(self, path, name):
        self._answer()
        self.log.append(name)
        given, there = Path(path).read_bytes(), self.folder / name
        if self.append_only and there.exists():
            check_changeable(self.name, there.read_bytes() != given, name)
            return
        data = self.spoil(name, given) if self.spoil else given
        if data is not None:
            (self.folder / name).write_bytes(data)
        if self.tells and data is not None and data != given:
            raise differs(self.name, name)

    def get(self, name, path):
        self._answer()
        self.log.append(f"get {name}")
        shutil.copyfile(self.folder / name, path)

    def get_many(self, names, folder):
        for name in names:
            self.get(name, f"{folder}/{name}")

    def delete(self, name):
        self._answer()
        self.log.append(f"delete {name}")
        (self.folder / name).unlink()

    def digest(self, name):
        self._answer()
        data = (self.folder / name).read_bytes() if (self.folder / name).exists() else b""
        return f"{self.tells}:{hashlib.new(self.tells, data).hexdigest()}" if self.tells else ""


class Agent:
    """A host that saves and ships."""

    def __init__(self, folder, *stores, keep=MONTH):
        self.member = Member(folder / "m")
        self.state_dir = str(folder / "state")
        self.job = Shipping("etcd", str(self.member.folder), self.state_dir, stores, keep)
        self.spool = self.job.spool

    def saved(self, **more):
        path, told = self.member.save(**more)
        BACKUPS.add(
            self.state_dir, Attempt(told.taken_at, "h", "etcd", "f", SAVED, cluster_id=told.cluster_id, path=path)
        )

    def ship(self):
        return ship(run, self.job, lambda: self.member.now)

    def half_hour(self, **more):
        self.saved(**more)
        return self.ship()

    def check(self, store, scratch, names=None):
        """Every snapshot of the store is put together, by the script, to the very bytes."""
        told = [name[: -len(".json")] for name in store.names() if name.endswith(".db.json")]
        assert sorted(told) == sorted(names if names is not None else self.member.bytes_of)
        for name in told:
            assert put_together(store.folder, name, scratch / "result") == self.member.bytes_of[name]


def test_each_half_hour_is_in_each_store_and_the_spool_is_empty(tmp_path):
    stores = Shelf(tmp_path / "a", "a"), Shelf(tmp_path / "b", "b", "md5"), Shelf(tmp_path / "c", "c", "")
    agent = Agent(tmp_path, *stores)
    for _half_hour in range(4):
        uploads = agent.half_hour()
        assert [(one.store, one.result, one.waiting, len(one.sent)) for one in uploads] == [
            (name, "shipped", 0, 1) for name in "abc"
        ]
    assert waiting(agent.spool) == []
    assert (uploads[0].newest, uploads[0].whole) == (max(agent.member.bytes_of), 4)
    assert uploads[0].newest_at == rfc3339(agent.member.now)
    for store in stores:
        agent.check(store, tmp_path)
    assert UPLOADS.last(agent.state_dir, "etcd", 1) == [uploads[2]]
    again = agent.ship()
    assert [(one.result, one.sent) for one in again] == [("up to date", ())] * 3


def test_the_data_goes_first_and_the_manifest_last(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    agent.half_hour()
    first, second = sorted(agent.member.bytes_of)
    assert store.log == [
        f"{first}.zst",
        f"{first}.json",
        f"{second[: -len('.db')]}.pages.zst",
        f"{second}.json",
    ]


def test_after_an_outage_of_a_day_a_store_is_caught_up_by_itself(tmp_path):
    """It goes down half a day into a chain, and comes back half a day into the next one, which it needs the full one of."""
    good, bad = Shelf(tmp_path / "a", "a"), Shelf(tmp_path / "b", "b")
    agent = Agent(tmp_path, good, bad)
    for _hour in range(12):
        agent.half_hour(later=2 * HALF_HOUR)
    bad.down = True
    for hour in range(24):
        uploads = agent.half_hour(later=2 * HALF_HOUR)
        assert [one.result for one in uploads] == ["shipped", "failed"]
        assert "b does not answer" in uploads[1].cause and uploads[1].waiting == hour + 1
    assert len(waiting(agent.spool)) == 24
    bad.down = False
    uploads = agent.half_hour()
    assert [(one.result, len(one.sent)) for one in uploads] == [("shipped", 1), ("shipped", 25)]
    assert waiting(agent.spool) == []
    names = sorted(agent.member.bytes_of)
    for store in (good, bad):
        told = content_of(store, copies_folder(agent.state_dir, store.name)).told
        assert [name for name in names if told[name].kind == "full"] == [names[0], names[24]]
        bases = [told[name].base_name for name in names if told[name].kind == "pages"]
        assert bases == names[:23] + names[24:-1], "each starts from the one before, and none from the day before"
        agent.check(store, tmp_path)


@pytest.mark.parametrize(
    "spoil, tells",
    [
        (lambda data: None, ""),
        (lambda data: data[:-7], ""),
        (lambda data: data[:-7], "md5"),
        (lambda data: data[:50] + bytes([data[50] ^ 4]) + data[51:], "sha256"),
    ],
)
@pytest.mark.parametrize("what", [".db.zst", ".pages.zst", ".db.json"])
def test_a_store_that_loses_cuts_or_flips_is_noticed_at_once_and_mended_by_the_next(tmp_path, spoil, tells, what):
    store = Shelf(tmp_path / "a", tells=tells)
    agent = Agent(tmp_path, store)
    store.spoil = lambda name, data: spoil(data) if name.endswith(what) else data
    if what == ".pages.zst":
        agent.half_hour()
    (upload,) = agent.half_hour()
    assert upload.result == "failed" and "has not kept" in upload.cause and not upload.sent and upload.waiting == 1
    if tells and what != ".db.json":
        assert f"{max(agent.member.bytes_of)}.json" not in store.names()
    store.spoil = None
    (upload,) = agent.half_hour()
    assert upload.result == "shipped" and len(upload.sent) >= 1
    agent.check(store, tmp_path)


def test_what_a_store_loses_later_is_no_base_and_the_next_is_a_full_one(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    (store.folder / f"{min(agent.member.bytes_of)}.zst").write_bytes(b"cut")
    (upload,) = agent.ship()
    assert upload.whole == 0 and base_of(agent.spool) is None
    agent.half_hour()
    newest = max(agent.member.bytes_of)
    assert put_together(store.folder, newest, tmp_path / "result") == agent.member.bytes_of[newest]


def test_what_a_store_will_not_take_holds_up_no_later_chain(tmp_path):
    """As one that may replace nothing, and has damaged what it was given."""
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)

    def refuse(name, data):
        if name.startswith(min(agent.member.bytes_of)):
            raise EtcdError("it is not replaced.", "see to it.")
        return data

    store.spoil = refuse
    results = [agent.half_hour(later=DAY / 4)[0] for _one in range(6)]
    assert [one.result for one in results] == ["failed"] * 6 and "it is not replaced" in results[5].cause
    assert [len(one.sent) for one in results] == [0, 0, 0, 0, 1, 1]
    agent.check(store, tmp_path, sorted(agent.member.bytes_of)[4:])


def test_a_store_that_is_added_later_begins_with_a_full_one(tmp_path):
    old, new = Shelf(tmp_path / "a", "a"), Shelf(tmp_path / "b", "b")
    agent = Agent(tmp_path, old)
    for _half_hour in range(3):
        agent.half_hour()
    agent.job = Shipping("etcd", agent.job.folder, agent.state_dir, (old, new), MONTH)
    agent.half_hour()  # an increment, which the new one could not use
    agent.half_hour()
    agent.check(old, tmp_path)
    agent.check(new, tmp_path, sorted(agent.member.bytes_of)[-1:])
    assert waiting(agent.spool) == []


def test_a_snapshot_that_is_damaged_here_holds_up_no_other(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    agent.saved()
    with open(agent.member.folder / max(agent.member.bytes_of), "r+b") as file:
        file.seek(9000)
        file.write(b"???")
    agent.saved()
    (upload,) = agent.ship()
    assert upload.result == "failed" and "not what its manifest was written for" in upload.cause
    (upload,) = agent.half_hour()
    assert upload.result == "shipped"
    names = sorted(agent.member.bytes_of)
    agent.check(store, tmp_path, [names[0], names[2], names[3]])


def test_what_no_store_takes_leaves_the_spool_when_it_is_older_than_what_is_kept(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store, keep=Policy(days=2))
    store.down = True
    for _one in range(12):
        agent.half_hour(later=6 * 3600)
    assert 8 <= len(waiting(agent.spool)) <= 9
    store.down = False
    agent.half_hour()
    names = [name for name in store.names() if name.endswith(".json")]
    assert names  # and each of them can be put together
    agent.check(store, tmp_path, [name[: -len(".json")] for name in names])


def test_where_another_ships_everything_is_spooled_and_left_to_it(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    os.makedirs(os.path.join(agent.state_dir, "shipping"))
    agent.saved()
    with locked(os.path.join(agent.state_dir, "shipping")), pytest.raises(Busy):
        agent.ship()
    assert len(waiting(agent.spool)) == 1 and not store.names()
    assert agent.ship()[0].result == "shipped"


def test_one_that_was_killed_is_recorded_of_the_store_that_it_was_at(tmp_path):
    agent = Agent(tmp_path, Shelf(tmp_path / "a", "one"), Shelf(tmp_path / "b", "two"), Shelf(tmp_path / "c", "three"))
    agent.half_hour()
    agent.saved()
    began = rfc3339(agent.member.now)
    UPLOADS.add(agent.state_dir, Upload(began, "h", "etcd", "one", "shipped"))
    note = {"host": "h", "pid": 5, "since": began, "work": "upload", "cluster": "etcd"}
    Path(agent.state_dir, "shipping", NAME).write_text(json.dumps(note))
    assert {one.result for one in agent.ship()} == {"shipped"}
    (killed,) = [one for one in UPLOADS.last(agent.state_dir, "etcd") if not one.is_good]
    assert (killed.store, killed.at) == ("two", began) and "in the middle of its upload: it was killed" in killed.cause


def test_one_that_is_told_to_end_says_so_of_the_store_that_it_was_at(tmp_path, monkeypatch):
    one, two = Shelf(tmp_path / "a", "one"), Shelf(tmp_path / "b", "two")
    agent = Agent(tmp_path, one, two)
    agent.saved()

    def end(_path, _name):
        raise SystemExit(143)

    monkeypatch.setattr(two, "put", end)
    with pytest.raises(SystemExit):
        agent.ship()
    (failed, well) = UPLOADS.last(agent.state_dir, "etcd")
    assert (well.store, well.result) == ("one", "shipped")
    assert (failed.store, failed.result) == ("two", "failed") and "was interrupted in its upload" in failed.cause
    monkeypatch.undo()
    assert {one.result for one in agent.ship()} == {"shipped", "up to date"}
    assert len(UPLOADS.last(agent.state_dir, "etcd")) == 4, "nobody is told to have been killed"


@pytest.mark.parametrize("done", [[], ["one"]])
def test_one_of_another_cluster_with_the_same_state_folder_is_recorded_as_that(tmp_path, done):
    agent = Agent(tmp_path, Shelf(tmp_path / "a", "own"))
    agent.half_hour()
    agent.saved()
    began = rfc3339(agent.member.now)
    for day, stores in (("21", ["old", "one", "two"]), ("22", ["one", "two"]), ("23", ["one", "two"])):
        for store in stores:
            UPLOADS.add(agent.state_dir, Upload(f"2026-11-{day}T03:00:00Z", "h", "shop", store, "shipped"))
    for store in done:
        UPLOADS.add(agent.state_dir, Upload(began, "h", "shop", store, "shipped"))
    note = {"host": "h", "pid": 5, "since": began, "work": "upload", "cluster": "shop"}
    Path(agent.state_dir, "shipping", NAME).write_text(json.dumps(note))
    agent.ship()
    assert [one.result for one in UPLOADS.last(agent.state_dir, "etcd")] == ["shipped"] * 2
    (killed,) = [one for one in UPLOADS.last(agent.state_dir, "shop") if not one.is_good]
    assert (killed.store, killed.at) == ("two" if done else "one", began)


def days(agent, count, each=4):
    for _part in range(count * each):
        uploads = agent.half_hour(later=DAY / each)
    return uploads


def test_old_chains_go_as_a_whole(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store, keep=Policy(days=2))
    days(agent, 4)
    names = sorted(agent.member.bytes_of)
    left = sorted(name[: -len(".json")] for name in store.names() if name.endswith(".json"))
    # Two days, and what else is in the chain of the oldest of them.
    assert left == names[4:]
    agent.check(store, tmp_path, left)
    assert len(store.names()) == 2 * len(left)
    removed = [name for upload in UPLOADS.last(agent.state_dir, "etcd") for name in upload.removed]
    assert sorted(removed) == names[:4]
    gone = [line for line in store.log if line.startswith("delete")]
    assert gone[0] == f"delete {names[3]}.json" and gone[-1] == f"delete {names[0]}.zst"


def test_what_a_killed_run_has_left_goes_once_it_is_older_than_everything(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store, keep=Policy(days=2))
    days(agent, 1)
    deletes, left = store.delete, [3]

    def until(name):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        deletes(name)

    store.delete = until
    with contextlib.suppress(KeyboardInterrupt):
        days(agent, 3)
    store.delete = deletes
    half = [name for name in store.names() if not name.endswith(".json") and not _manifest_of(store, name)]
    assert len(half) == 1
    others = ["other-20200101T000000Z-rev1.db.zst", "etcd-20990101T000000Z-rev1.db.zst", "notes.txt", "etcd-1.db.zst"]
    for name in others:
        (store.folder / name).write_text("not ours, or under way")
    days(agent, 1)
    assert half[0] in store.names(), "it may be another host's, under way"
    days(agent, 1)
    names = set(store.names())
    assert set(others) <= names and half[0] not in names
    assert not [name for name in names - set(others) if not name.endswith(".json") and not _manifest_of(store, name)]


def _manifest_of(store, name):
    return (store.folder / f"{name.partition('.')[0]}.db.json").exists()


def test_where_nothing_may_be_deleted_nothing_is(tmp_path):
    store = Shelf(tmp_path / "a", append_only=True)
    agent = Agent(tmp_path, store, keep=Policy(days=1))
    days(agent, 4)
    agent.check(store, tmp_path)


def test_the_newest_whole_one_stays_whatever_its_age(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store, keep=Policy(days=1))
    days(agent, 2)
    held = content_of(store, copies_folder(agent.state_dir, "shelf"))
    later = agent.member.now + 400 * DAY
    left = set(held.manifests) - set(doomed(held, "etcd", "c1", Policy(days=1), later))
    newest = max(held.manifests)
    assert newest in left and {offsite_of(held.manifests[one]).chain for one in left} == {
        offsite_of(held.manifests[newest]).chain
    }
    # One that is not whole is no reason to let the chain before it go.
    del held.sizes[held.told[held.told[newest].chain].object]
    left = set(held.manifests) - set(doomed(held, "etcd", "c1", Policy(days=1), later))
    assert any(held.is_whole(one) for one in left)
    for one in list(held.sizes):
        held.sizes[one] = 1
    assert doomed(held, "etcd", "c1", Policy(days=1), later) == []  # none is whole


def test_another_cluster_in_the_store_is_left_alone(tmp_path):
    store = Shelf(tmp_path / "a")
    before = Agent(tmp_path, store, keep=Policy(days=1))
    days(before, 1)
    names = set(store.names())
    before.member.cluster_id = "c2"  # a restore
    days(before, 4)
    assert names <= set(store.names())


def test_of_other_hosts_chains_all_is_known_once_it_was_fetched(tmp_path):
    """Another member took over: its agent knows nothing of what lies there, and removes what is old all the same."""
    store = Shelf(tmp_path / "a")
    first = Agent(tmp_path, store, keep=Policy(days=2))
    days(first, 1)
    (tmp_path / "other").mkdir()
    other = Agent(tmp_path / "other", store, keep=Policy(days=2))
    other.member.now, other.member.revision, other.member.member_id = first.member.now, 500, "m2"
    store.log.clear()
    other.half_hour()
    assert len([line for line in store.log if line.startswith("get ")]) == 4
    days(other, 4)
    assert len([line for line in store.log if line.startswith("get ")]) == 4
    assert not set(first.member.bytes_of) & {name[: -len(".json")] for name in store.names()}


def test_rules_of_a_calendar_keep_the_whole_chain_of_what_they_keep(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store, keep=Policy(weekly=3))
    days(agent, 15, each=2)
    chains = {
        offsite_of(one).chain for one in content_of(store, copies_folder(agent.state_dir, "shelf")).manifests.values()
    }
    assert len(chains) == 3
    left = [name[: -len(".json")] for name in store.names() if name.endswith(".json")]
    agent.check(store, tmp_path, left)


def test_a_run_that_ends_between_two_uploads_is_made_up_for(tmp_path, monkeypatch):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    puts = store.put
    for moment in range(6):
        left = [moment % 3]

        def until(path, name, left=left):  # pylint: disable=dangerous-default-value
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            puts(path, name)

        monkeypatch.setattr(store, "put", until)
        with contextlib.suppress(KeyboardInterrupt):
            agent.half_hour()
    monkeypatch.setattr(store, "put", puts)
    agent.half_hour()
    agent.check(store, tmp_path)
    assert waiting(agent.spool) == []


def test_the_name_of_a_store_is_no_path(tmp_path):
    assert os.path.dirname(copies_folder("/state", "../../x/y")) == "/state/shipping"
    assert copies_folder("/s", "a b") != copies_folder("/s", "a-b")


def test_what_was_damaged_in_the_spool_is_not_shipped(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    store.down = True
    agent.half_hour()
    store.down = False
    (one,) = waiting(agent.spool)
    with open(os.path.join(agent.spool, one.files[0]), "r+b") as file:
        file.seek(100)
        file.write(b"??")
    (upload,) = agent.half_hour()
    assert upload.result == "failed" and "damaged in the spool" in upload.cause and one.files[0] in upload.cause
    assert not store.names() and waiting(agent.spool) == []
    agent.half_hour()  # a full one
    agent.check(store, tmp_path, [max(agent.member.bytes_of)])
