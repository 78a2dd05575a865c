# SPDX-License-Identifier: GPL-3.0-or-later
"""One snapshot brought back from stores: put together, proven, published; and what is said where that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.fetching import (
    fetch,
    listed,
    look_at,
    refused,
)
from ansible_collections.quorum.etcd.plugins.module_utils.backup.folder_store import Folder
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import BACKUPS, SAVED, Attempt
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import Policy, decide
from ansible_collections.quorum.etcd.plugins.module_utils.backup.selecting import selector
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import Shipping, ship
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import Damaged, EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import ALL, catalogue, entry
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.publish import clear_saves
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.signature import UNSIGNED, Signing, sign
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import Member
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot import keys

HALF_HOURS = 5


class Site:
    """A member whose half hours are in two stores, and another host with an empty folder."""

    def __init__(self, tmp):
        self.tmp, self.member, self.signing = tmp, Member(tmp / "member"), UNSIGNED
        self.stores = [self.store("near"), self.store("far")]
        for _half_hour in range(HALF_HOURS):
            self.half_hour()
        self.names = sorted(self.member.bytes_of)
        self.folder, self.state = tmp / "new host", tmp / "state of it"

    def half_hour(self, **more):
        path, told = self.member.save(**more)
        if self.signing.key:
            sign(run, self.signing.key, f"{path}.json")
        saved = Attempt(told.taken_at, "h", "etcd", "f", SAVED, cluster_id=told.cluster_id, path=path)
        BACKUPS.add(str(self.tmp / "state"), saved)
        assert all(one.is_good for one in ship(run, self.job(), lambda: self.member.now))

    def store(self, name):
        (self.tmp / name).mkdir(exist_ok=True)
        return Folder(name, str(self.tmp / name), "etcd", mounted=False)

    def job(self):
        keep = Policy(everything=True)
        return Shipping(
            "etcd", str(self.member.folder), str(self.tmp / "state"), tuple(self.stores), keep, self.signing
        )

    def fetch(self, text="latest", **more):
        given = {"stores": self.stores, "cluster": "etcd", "signers": "", **more}
        return fetch(run, wanted=selector(text), folder=str(self.folder), state_dir=str(self.state), **given)

    def refused(self, *given, **more):
        with pytest.raises(EtcdError) as why:
            self.fetch(*given, **more)
        return why.value

    def object(self, store, number):
        """The path of the object of the snapshot of this number in a store."""
        stem = self.names[number][: -len(".db")]
        (path,) = [
            path
            for path in (self.tmp / store / "etcd").iterdir()
            if path.name.startswith(stem) and path.suffix != ".json"
        ]
        return path


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_each_one_is_had_byte_for_byte_with_its_manifest_on_an_empty_host(site):
    for name in site.names:
        done = site.fetch(f"offsite:{name}")
        assert (done.name, done.store, done.fetched, done.notes) == (name, "near", True, ())
        assert Path(done.path) == site.folder / name
        assert Path(done.path).read_bytes() == site.member.bytes_of[name]
        found = entry(done.path)
        assert found.ok and found.verified and found.sha256 == done.sha256 and found.manifest.file == name
    modes = {path.stat().st_mode & 0o777 for path in site.folder.iterdir()}
    assert modes == {0o600} and sorted(path.name for path in site.folder.iterdir()) == sorted(
        each for name in site.names for each in (name, f"{name}.json")
    )


def test_the_newest_and_the_last_one_before_a_time_or_a_revision(site):
    assert site.fetch("offsite:latest").name == site.names[-1]
    third = site.member.now - 2 * 1800
    assert site.fetch(f"offsite:{rfc3339(third)}").name == site.names[2]
    assert site.fetch(f"offsite:{rfc3339(third - 1)}").name == site.names[1]
    assert site.fetch(f"offsite:rev{site.member.revision - 1}").name == site.names[3]
    assert "there are 5, from" in site.refused("offsite:rev3").next_step


def test_after_a_clock_was_set_back_the_newest_has_the_last_writes_and_the_other_is_told(site):
    site.half_hour(later=-4000)
    done = site.fetch()
    last = list(site.member.bytes_of)[-1]
    assert done.name == last != max(site.member.bytes_of)
    assert f"offsite:{site.names[-1]} (taken " in done.notes[0] and len(done.notes) == 1
    assert site.fetch(last).notes == ()


def test_what_is_there_already_is_not_fetched_again(site):
    first = site.fetch()
    before = os.stat(first.path).st_mtime_ns
    second = site.fetch()
    assert (second.fetched, second.path) == (False, first.path) and os.stat(first.path).st_mtime_ns == before


def test_what_is_damaged_in_its_place_is_put_aside(site):
    path = Path(site.fetch().path)
    path.write_bytes(b"rubbish")
    done = site.fetch()
    assert done.fetched and path.read_bytes() == site.member.bytes_of[path.name]
    assert Path(done.aside).read_bytes() == b"rubbish"


def test_what_was_fetched_is_neither_removed_nor_shipped_again(site):
    for name in site.names:
        site.fetch(name)
    entries = catalogue(str(site.folder), ALL, site.member.now)
    decisions = decide(entries, Policy(last=1), "etcd", "c1", site.member.now + 1e9)
    assert {one.verdict for one in decisions} == {"leave"} and "fetched from off-site" in decisions[0].why


def test_another_store_is_taken_where_one_is_away_or_damaged(site):
    (site.tmp / "near").rename(site.tmp / "away")
    done = site.fetch()
    assert done.store == "far" and "the folder" in done.notes[0] and "is not there" in done.notes[0]
    (site.tmp / "away").rename(site.tmp / "near")
    victim = site.object("near", 3)
    data = victim.read_bytes()
    victim.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    done = site.fetch(site.names[3])
    assert done.store == "far" and f"{victim.name} is damaged" in done.notes[0]
    assert Path(done.path).read_bytes() == site.member.bytes_of[site.names[3]]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], "is damaged or another one"),
        (lambda data: data[:-1], "is damaged or another one"),
        (lambda data: b"", "is damaged or another one"),
        (None, "has no"),
    ],
)
def test_a_broken_chain_says_which_object_is_damaged_and_what_can_still_be_had(site, spoil, says):
    del site.stores[1]
    victim = site.object("near", 2)
    victim.write_bytes(spoil(victim.read_bytes())) if spoil else victim.unlink()
    for number in (2, 3, 4):
        why = site.refused(site.names[number])
        assert f"{site.names[number]} cannot be put together from the store near" in why.message
        assert victim.name in why.message and says in why.message and isinstance(why, Damaged)
        assert why.next_step.startswith(f"the nearest before it that is whole is offsite:{site.names[1]} (taken ")
    assert not list(site.folder.glob("*.db*")), "nothing half is published"
    assert site.fetch(site.names[1]).fetched


def test_a_full_one_that_is_lost_takes_its_chain_and_no_other(site):
    del site.stores[1]
    site.half_hour(later=90_000)  # a day later, and so a full one
    site.object("near", 0).unlink()
    new = max(site.member.bytes_of)
    why = site.refused(site.names[2])
    assert f"the nearest after it that is whole is offsite:{new}" in why.next_step and "before" not in why.next_step
    assert site.fetch().name == new


def test_without_a_store_or_a_snapshot_of_this_cluster_it_is_refused(site):
    assert "set etcd_backup_offsite" in site.refused(stores=[]).next_step
    assert "no snapshot of cluster prod is off-site" in site.refused(cluster="prod").message
    (site.tmp / "near").rename(site.tmp / "away")
    del site.stores[1]
    why = site.refused()
    assert "is not there" in why.message and not isinstance(why, Damaged)


def test_what_is_not_signed_is_refused_before_it_is_fetched(site):
    why = site.refused(signers="somebody ssh-ed25519 AAAA")
    assert "is not signed" in why.message and not list(site.folder.glob("*.db"))
    assert not isinstance(why, Damaged), "it may be from before there were signers"


def test_what_one_of_the_signers_has_signed_is_fetched_with_its_signature(site, tmp_path):
    ops, other = keys.make(tmp_path / "ops"), keys.make(tmp_path / "other")
    site.signing = Signing(ops.path, ops.signer("ops@prod"))
    site.half_hour()
    done = site.fetch(signers=ops.signer("ops@prod"))
    assert entry(done.path, run=run, signers=ops.signer("ops@prod")).signed_by == "ops@prod"
    assert Path(f"{done.path}.json.sig").exists()
    for path in site.folder.iterdir():
        path.unlink()
    why = site.refused(signers=other.signer("ops@prod"))
    assert "which is not among" in why.message and not list(site.folder.glob("*.db")) and not isinstance(why, Damaged)
    for store in ("near", "far"):
        manifest = site.tmp / store / "etcd" / f"{done.name}.json"
        manifest.write_text(manifest.read_text().replace('"revision":', '"revisioN":'))
    why = site.refused(signers=ops.signer("ops@prod"))
    assert "was altered after it was signed" in why.message and isinstance(why, Damaged)


def test_the_list_says_which_store_has_what_whole(site):
    site.object("far", 3).unlink()
    sources, problems = look_at(site.stores, "etcd", str(site.state))
    rows = listed(sources)
    assert problems == [] and [row["name"] for row in rows] == site.names[::-1]
    assert [row["broken"] for row in rows] == [["far"], ["far"], [], [], []]
    assert [row["kind"] for row in rows] == ["pages"] * 4 + ["full"]


def test_the_list_refuses_what_was_exchanged_in_a_store_as_a_fetch_does(site, tmp_path):
    """With a manifest that fits, and as long as the one that is known here."""
    ops = keys.make(tmp_path / "ops")
    site.signing = Signing(ops.path, ops.signer("ops@prod"))
    for _half_hour in range(2):
        site.half_hour()
    last = max(site.member.bytes_of)
    look_at(site.stores, "etcd", str(site.state))
    manifest = site.tmp / "near" / "etcd" / f"{last}.json"
    manifest.write_text(manifest.read_text().replace('"revision":', '"revisioN":'))
    sources, problems = look_at(site.stores, "etcd", str(site.state))
    told = {source.store.name: refused(run, source, ops.signer("ops@prod"), str(site.state)) for source in sources}
    assert problems == [] and set(told["far"]) == set(site.names), "those that were not signed"
    assert set(told["near"]) == {*site.names, last}
    assert told["near"][last].startswith(f"the manifest of {last} was altered after it was signed")
    newest, before, *rest = listed(sources, told)
    assert (newest["whole"], newest["broken"], set(newest["refused"])) == (["far"], [], {"near"})
    assert (before["whole"], before["refused"]) == (["near", "far"], {})
    assert {tuple(row["whole"]) for row in rest} == {()}


def test_a_backup_that_begins_meanwhile_takes_nothing_away_and_what_was_killed_goes_after_a_day(site, monkeypatch):
    real = Folder.get

    def busy(self, name, path):
        clear_saves(str(site.folder))  # as every backup does first
        real(self, name, path)

    monkeypatch.setattr(Folder, "get", busy)
    old = site.folder / ".quorum-etcd-unpacked-left"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    assert site.fetch().fetched and not old.exists()
    assert not [path for path in site.folder.iterdir() if path.name.startswith(".")]
