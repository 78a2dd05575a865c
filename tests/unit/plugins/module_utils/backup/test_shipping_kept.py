# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where nothing may be replaced, what an upload that was killed has left keeps no half hour from being stored."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup import spool
from ansible_collections.quorum.etcd.plugins.module_utils.backup.copies import copies_folder
from ansible_collections.quorum.etcd.plugins.module_utils.backup.holding import Content, content_of
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import another_name
from ansible_collections.quorum.etcd.plugins.module_utils.backup.spool import Spooled, base_of, rename, waiting
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import held_manifest, signed_by
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.offsite import offsite_of
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.signature import Signing, sign
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import Member, put_together, run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.test_shipping import Agent, Shelf
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot import keys

FULL, INCREMENT = ".db.zst", ".pages.zst"
NAME = "etcd-20261128T100000Z-rev7"


class Cutting(Shelf):
    """A store in which nothing is replaced; its uploads are not atomic, and those of ``cut`` names end in their middle."""

    def __init__(self, folder, name="shelf"):
        super().__init__(folder, name, append_only=True)
        self.cut, self.kept, self.spoil = (), {}, self._end

    def _end(self, name, data):
        if not name.endswith(self.cut or ("no name",)):
            return data
        self.kept[name] = data[: len(data) // 2]
        (self.folder / name).write_bytes(self.kept[name])
        raise EtcdError(f"the connection to {self.name} is gone.", "see to it.")

    def has_kept_them(self):
        return all((self.folder / name).read_bytes() == data for name, data in self.kept.items())


def manifests(agent, store):
    return content_of(store, copies_folder(agent.state_dir, store.name)).manifests


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("what", [FULL, INCREMENT])
def test_what_was_cut_off_there_comes_beside_it_and_each_half_hour_is_stored(tmp_path, what, times):
    store, other = Cutting(tmp_path / "a"), Shelf(tmp_path / "b", "b")
    agent = Agent(tmp_path, store, other)
    if what == INCREMENT:
        agent.half_hour()
    store.cut = (what,)
    agent.saved()
    for _time in range(times):
        assert [one.result for one in agent.ship()][0] == "failed"
    store.cut = ()
    for _half_hour in range(3):
        assert [(one.result, one.waiting, one.cause) for one in agent.half_hour()] == [("shipped", 0, "")] * 2
    assert len(store.kept) == times and store.has_kept_them()
    assert not [line for line in store.log if line.startswith("delete")]
    assert len({one.chain for one in map(offsite_of, manifests(agent, store).values())}) == 1, "no full one was needed"
    assert waiting(agent.spool) == []
    for each in (store, other):
        agent.check(each, tmp_path)


def test_the_manifest_that_names_another_object_is_signed_anew(tmp_path):
    store, key = Cutting(tmp_path / "a"), keys.make(tmp_path / "key")
    signers = key.signer("ops@prod")
    agent = Agent(tmp_path, store)
    agent.job = replace(agent.job, signing=Signing(key.path, signers))
    store.cut = (FULL,)
    for _half_hour in range(2):
        agent.saved()
        sign(run, key.path, str(agent.member.folder / f"{max(agent.member.bytes_of)}.json"))
        agent.ship()
        store.cut = ()
    for name in agent.member.bytes_of:
        copy = str(store.folder / name)
        assert signed_by(copy, held_manifest(copy), signers, run) == "ops@prod"
    agent.check(store, tmp_path)


@pytest.mark.parametrize("moment", range(8))
def test_a_run_killed_while_it_signs_anew_leaves_no_store_the_signature_of_another_manifest(
    tmp_path, monkeypatch, moment
):
    """Whichever of the two had come into its place by then: a store keeps what it was given."""
    near, far, key = Cutting(tmp_path / "a", "near"), Cutting(tmp_path / "b", "far"), keys.make(tmp_path / "key")
    agent, signers = Agent(tmp_path, near, far), key.signer("ops@prod")
    agent.job = replace(agent.job, signing=Signing(key.path, signers))
    agent.saved()
    name = next(iter(agent.member.bytes_of))
    sign(run, key.path, str(agent.member.folder / f"{name}.json"))
    near.cut, far.down = (FULL,), True
    agent.ship()
    near.cut, steps = (), iter(range(100))

    def until(do):
        def step(*given):
            if next(steps) == moment:
                raise KeyboardInterrupt
            return do(*given)

        return step

    for of, what in ((os, "rename"), (spool, "forget"), (spool, "sync_folder")):
        monkeypatch.setattr(of, what, until(getattr(of, what)))
    with contextlib.suppress(KeyboardInterrupt):
        agent.ship()
    monkeypatch.undo()
    far.down = False
    agent.job = replace(agent.job, stores=(far, near))
    agent.ship()
    assert waiting(agent.spool) == [] and [one for one in os.listdir(agent.spool) if one.startswith(".ren")] == []
    for store in (near, far):
        copy = str(store.folder / name)
        assert signed_by(copy, held_manifest(copy), signers, run) == "ops@prod"
        agent.check(store, tmp_path)


def test_where_the_manifest_was_cut_off_the_next_is_a_full_one(tmp_path):
    """Its name is the snapshot's, and is taken for good. That is told once."""
    store = Cutting(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    store.cut = (".db.json",)
    agent.half_hour()
    store.cut = ()
    (upload,) = agent.half_hour()
    assert upload.result == "failed" and "neither deleted nor replaced" in upload.cause and upload.waiting == 0
    assert "the next backup is shipped as a full one" in upload.next_step and base_of(agent.spool) is None
    for _half_hour in range(2):
        assert agent.half_hour()[0].result == "shipped"
    assert store.has_kept_them()
    names = sorted(agent.member.bytes_of)
    for name in [names[0], *names[3:]]:
        assert put_together(store.folder, name, tmp_path / "result") == agent.member.bytes_of[name]


def test_a_store_that_cuts_everything_off_gets_no_end_of_it(tmp_path):
    store = Cutting(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.saved()
    store.cut = (FULL,)
    for _run in range(12):
        agent.ship()
    first = min(agent.member.bytes_of)
    assert sorted(name for name in store.kept if name.startswith(first[:-3])) == [
        *(f"{first[:-3]}.{number}.db.zst" for number in range(2, 10)),
        f"{first}.zst",
    ]
    store.cut = ()
    agent.half_hour()
    agent.check(store, tmp_path, [max(agent.member.bytes_of)])


def spooled(*files):
    return Spooled(f"{NAME}.db", Manifest(), (*files, f"{NAME}.db.json"))


@pytest.mark.parametrize(
    ("name", "there", "other"),
    [
        (f"{NAME}.db.zst", (), f"{NAME}.2.db.zst"),
        (f"{NAME}.pages.xz", (f"{NAME}.2.pages.xz",), f"{NAME}.3.pages.xz"),
        (f"{NAME}.2.kit.tar.gz", (), f"{NAME}.3.kit.tar.gz"),
        (f"{NAME}.9.db.zst", (), ""),
        (f"{NAME}.db.zst", (f"{NAME}.db.json",), ""),
        (f"{NAME}.db.json", (), ""),
        (f"{NAME}.db.json.sig", (), ""),
        ("of-somebody-else.kit.tar.gz", (), ""),
    ],
)
def test_a_name_that_is_free(name, there, other):
    assert another_name(spooled(name), name, Content(dict.fromkeys((name, *there), 1), {})) == other


def test_a_kit_under_another_name_is_that_snapshots_and_a_store_that_has_it_needs_it_no_more(tmp_path):
    member = Member(tmp_path / "m")
    member.put()
    (one,) = waiting(member.spool)
    manifest = replace(one.manifest, more={**one.manifest.more, "kit": {"name": "x.kit.tar.gz", "sha256": "1"}})
    (tmp_path / "m" / "spool" / "x.kit.tar.gz").write_bytes(b"a kit")
    one = Spooled(one.name, manifest, (one.files[0], "x.kit.tar.gz", one.files[1]))
    again = rename(member.spool, one, "x.kit.tar.gz", "x.2.kit.tar.gz", run)
    assert again.files == (one.files[0], "x.2.kit.tar.gz", one.files[2]) and waiting(member.spool) == [again]
    assert (tmp_path / "m" / "spool" / "x.2.kit.tar.gz").read_bytes() == b"a kit"
    told = json.loads((tmp_path / "m" / "spool" / f"{one.name}.json").read_text())
    assert told["kit"] == {"name": "x.2.kit.tar.gz", "sha256": "1"}
    held = Content({one.files[0]: offsite_of(manifest).size}, {one.name: manifest})
    assert held.has(again) and not held.has(again._replace(manifest=replace(again.manifest, user_keys=77)))
