# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The spool: which snapshot becomes a full one, and that what lies there is whole at any moment."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup import spool
from ansible_collections.quorum.etcd.plugins.module_utils.backup.spool import (
    Base,
    base_of,
    drop,
    due,
    sweep,
    waiting,
    why_full,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import packed
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import NONE, catalogue
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest, Packed
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import held_manifest, signed_by
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.offsite import offsite_of
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.pages import sha256_of
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.signature import Signing
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import (
    HALF_HOUR,
    Member,
    put_together,
    run,
)
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW

DAY = 86400


def base(**more):
    told = Base("a.db", "ab", 7, rfc3339(NOW), "c1", "m1", "a.db", rfc3339(NOW), 300, "cd")
    return replace(told, **more)


def manifest(seconds=HALF_HOUR, member="m1", cluster="c1"):
    return from_plain(Manifest, {"cluster_id": cluster, "member_id": member, "taken_at": rfc3339(NOW + seconds)})


@pytest.mark.parametrize(
    "before, after, words",
    [
        (base(), manifest(), ""),
        (base(), manifest(DAY - 1), ""),
        (base(), manifest(DAY), "a day old"),
        (base(taken_at=rfc3339(NOW + DAY - 60)), manifest(DAY), "a day old"),  # counted from the full one
        (base(), manifest(-HALF_HOUR), "yet to come"),  # the clock was set back
        (base(), manifest(member="m2"), "another member's"),
        (base(), manifest(cluster="c2"), "another member's"),
        (None, manifest(), "none before it"),
    ],
)
def test_when_a_full_one_is_due(before, after, words):
    why = why_full(before, after)
    assert words in why and bool(why) == bool(words)


@pytest.mark.parametrize("increment, full, worth", [(99, 300, True), (100, 300, True), (101, 300, False)])
def test_an_increment_is_worth_it_up_to_a_third(increment, full, worth):
    assert spool.is_worth_it(increment, full) is worth


@pytest.fixture(params=["zstd", "without"])
def tools(request, monkeypatch):
    """With zstd, and on a host without."""
    if request.param == "zstd":
        return {"full": ".db.zst", "pages": ".pages.zst"}
    monkeypatch.setattr(packed, "_ZSTD_MODULES", ())
    monkeypatch.setattr(spool, "can_pack", lambda how, run=None: how != "zstd")
    return {"full": ".db.gz", "pages": ".pages.xz"}


def test_a_chain_of_half_hours(tmp_path, tools):
    member = Member(tmp_path / "m")
    told = [member.put() for _half_hour in range(6)]
    assert [one.kind for one in told] == ["full"] + ["pages"] * 5
    assert told[0].object.endswith(tools["full"]) and told[5].object.endswith(tools["pages"])
    assert {one.chain for one in told} == {min(member.bytes_of)}
    names = [one.name for one in waiting(member.spool)]
    assert names == sorted(member.bytes_of)
    for one in waiting(member.spool):
        path = os.path.join(member.spool, offsite_of(one.manifest).object)
        assert (sha256_of(path), os.stat(path).st_size) == (
            told[names.index(one.name)].sha256,
            offsite_of(one.manifest).size,
        )
        assert put_together(member.spool, one.name, tmp_path / "result") == member.bytes_of[one.name]
    sizes = [one.size for one in told]
    assert max(sizes[1:]) < sizes[0] // 20
    assert {stat.S_IMODE(os.stat(os.path.join(member.spool, name)).st_mode) for name in os.listdir(member.spool)} == {
        0o600
    }


def test_each_day_begins_with_a_full_one(tmp_path):
    member = Member(tmp_path / "m")
    kinds = [member.put(later=6 * 3600).kind for _one in range(10)]
    assert kinds == (["full"] + ["pages"] * 3) * 2 + ["full", "pages"]


def test_after_a_defragmentation_a_full_one_is_made(tmp_path):
    member = Member(tmp_path / "m")
    assert [member.put(changes=count).kind for count in (3, 3, 190, 3)] == ["full", "pages", "full", "pages"]
    for one in waiting(member.spool):
        assert put_together(member.spool, one.name, tmp_path / "result") == member.bytes_of[one.name]


def test_another_member_begins_its_own_chain(tmp_path):
    member = Member(tmp_path / "m")
    member.put()
    member.member_id = "m2"
    assert [member.put().kind for _one in range(2)] == ["full", "pages"]


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut", "head"])
def test_page_hashes_that_are_lost_or_damaged_make_a_full_one(tmp_path, damage):
    member = Member(tmp_path / "m")
    member.put()
    path = os.path.join(member.spool, spool.HASHES)
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    changed = {"gone": None, "flipped": data[:5000] + b"?" + data[5001:], "cut": data[:-16], "head": b"{" + data}[
        damage
    ]
    if changed is not None:
        with open(path, "wb") as file:
            file.write(changed)
    assert base_of(member.spool) is None
    assert member.put().kind == "full"


def test_a_snapshot_that_is_not_its_manifests_is_not_spooled(tmp_path):
    member = Member(tmp_path / "m")
    member.put()
    path, told = member.save()
    with open(path, "r+b") as file:
        file.seek(9000)
        file.write(b"???")
    with pytest.raises(EtcdError, match="is not what its manifest was written for"):
        spool.put(member.spool, path, told, run)
    assert len(waiting(member.spool)) == 1 and not [
        one for one in os.listdir(member.spool) if one.startswith(".quorum")
    ]
    assert member.put().kind == "pages"


@pytest.mark.parametrize("how", ["zstd", "gzip"])
def test_a_compressed_snapshot_is_spooled_as_the_plain_one(tmp_path, how):
    member = Member(tmp_path / "m")
    wanted = {}
    for kind in ("full", "pages"):
        path, told = member.save()
        lies = path + packed.SUFFIXES[how]
        packed.pack(path, lies, how, run)
        os.unlink(path)
        told = replace(told, packed=Packed(how, os.path.getsize(lies), sha256_of(lies)), file=os.path.basename(lies))
        assert spool.put(member.spool, lies, told, run).kind == kind
        name = os.path.basename(path)
        wanted[name] = (tmp_path / "m" / os.path.basename(lies)).read_bytes()
        assert put_together(member.spool, name, tmp_path / "result") == member.bytes_of[name]
    (first, *_rest) = waiting(member.spool)
    assert (first.manifest.packed, first.manifest.file) == (None, first.name)
    with open(os.path.join(member.spool, first.files[0]), "rb") as file:
        same = file.read() == wanted[first.name]
    assert same is (how == "zstd"), "it is not compressed twice where it is as it should be"


def test_the_manifest_is_signed_anew_under_the_name_that_it_has_there(tmp_path):
    key = tmp_path / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], {})
    signers = f"backup@here {(tmp_path / 'key.pub').read_text()}"
    member = Member(tmp_path / "m")
    path, told = member.save()
    packed.pack(path, f"{path}.zst", "zstd", run)
    spool.put(member.spool, f"{path}.zst", told, run, Signing(str(key), signers))
    (one,) = waiting(member.spool)
    at = os.path.join(member.spool, one.name)
    assert signed_by(at, held_manifest(at), signers, run) == "backup@here"
    assert [name[len(one.name) :] for name in one.files] == [".zst", ".json.sig", ".json"]


@pytest.mark.parametrize("there", [True, False])
def test_the_recovery_kit_goes_with_it_where_it_is_there(tmp_path, there):
    member = Member(tmp_path / "m")
    path, told = member.save()
    name = os.path.basename(path).replace(".db", ".kit.tar.gz")
    if there:
        (tmp_path / "m" / name).write_bytes(b"a kit")
    spool.put(member.spool, path, replace(told, more={**told.more, "kit": {"name": name, "size": 5}}), run)
    (one,) = waiting(member.spool)
    assert (name in one.files, one.files[-1]) == (there, f"{one.name}.json")
    drop(member.spool, one)
    assert [one for one in os.listdir(member.spool) if not one.startswith(".")] == []


def test_a_disk_that_would_become_full_is_noticed_before(tmp_path, monkeypatch):
    member = Member(tmp_path / "m")
    monkeypatch.setattr(spool, "space_needed", lambda size: size + (1 << 60))
    with pytest.raises(EtcdError, match="bytes free, and the next snapshot to be shipped needs"):
        member.put()
    assert waiting(member.spool) == []


def test_what_is_dropped_is_gone_wholly(tmp_path):
    member = Member(tmp_path / "m")
    for _one in range(2):
        member.put()
    drop(member.spool, waiting(member.spool)[0])
    left = [one for one in os.listdir(member.spool) if not one.startswith(".")]
    assert len(left) == 2 and len(waiting(member.spool)) == 1
    assert member.put().kind == "pages"  # the hashes stay


def test_what_belongs_to_no_manifest_is_swept_away(tmp_path):
    member = Member(tmp_path / "m")
    for _one in range(2):
        member.put()
    (first, second) = waiting(member.spool)
    os.unlink(os.path.join(member.spool, first.files[-1]))
    for name in (".quorum-etcd-unpacked-12345678", ".quorum-etcd-saving-12345678"):
        os.mkdir(os.path.join(member.spool, name))
    sweep(member.spool)
    left = {one for one in os.listdir(member.spool) if not one.startswith(".")}
    assert left == set(second.files) and base_of(member.spool)
    assert not [one for one in os.listdir(member.spool) if one.startswith(".quorum-etcd-")]


def test_the_base_goes_before_what_needs_it_whatever_the_clock_says(tmp_path):
    member = Member(tmp_path / "m")
    told = [member.put(later=later) for later in (7200, 1800, -600, 60)]
    assert [one.kind for one in told] == ["full", "pages", "pages", "pages"]
    names = [one.name for one in waiting(member.spool)]
    for one in waiting(member.spool):
        offsite = offsite_of(one.manifest)
        assert offsite.kind == "full" or names.index(offsite.base_name) < names.index(one.name)


def entries(member):
    return catalogue(str(member.folder), NONE, member.now)


def due_now(member, base, held=()):
    return [one.name for one in due(entries(member), base, "etcd", member.cluster_id, set(held))]


def test_all_that_is_newer_is_due_and_the_oldest_goes_first(tmp_path):
    member = Member(tmp_path / "m")
    member.save()
    member.save()
    assert due_now(member, None) == [max(member.bytes_of)]
    member.put()
    before = base_of(member.spool)
    assert due_now(member, before) == []
    for _one in range(2):
        member.save()
    assert due_now(member, before) == sorted(member.bytes_of)[-2:]
    member.cluster_id = "c2"  # a restore: another etcd cluster
    member.save(later=8 * 3600)
    assert due_now(member, before) == [max(member.bytes_of)]


@pytest.mark.parametrize("minutes", [3, 40, 60, 240])
def test_after_a_clock_was_set_back_what_a_store_has_is_not_due_again(tmp_path, minutes):
    member = Member(tmp_path / "m")
    for _half_hour in range(6):
        member.put()
    held = list(member.bytes_of)
    member.put(later=-60 * minutes)
    last = list(member.bytes_of)[-1]
    assert due_now(member, base_of(member.spool), held) == []
    member.save()
    assert due_now(member, base_of(member.spool), [*held, last]) == list(member.bytes_of)[-1:]


def test_after_a_restore_by_hand_under_the_same_id_what_is_saved_since_is_due_and_nothing_else(tmp_path):
    member = Member(tmp_path / "m")
    for _half_hour in range(6):
        member.put()
    held = list(member.bytes_of)
    member.revision -= 4
    for _half_hour in range(3):
        path, told = member.save()
        assert due_now(member, base_of(member.spool), held) == [os.path.basename(path)]
        spool.put(member.spool, path, told, run)
        held.append(os.path.basename(path))
        assert due_now(member, base_of(member.spool), held) == []


CALLS = ("rename", "fsync", "unlink", "open")


def killed_at(member, path, told, moment):
    """Spool it in a child that ends at the given one of its calls of the system, as by SIGKILL; whether it was killed."""
    child = os.fork()
    if not child:
        left = [moment]

        def deadly(call):
            def instead(*words, **more):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return call(*words, **more)

            return instead

        for name in CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        try:
            spool.put(member.spool, path, told, run)
        finally:
            os._exit(0)
    return os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9


def test_one_that_is_killed_at_any_moment_leaves_only_what_is_whole(tmp_path):
    """At each call by which anything comes into its place, of a full one and of an increment."""
    moments = 0
    for first in (True, False):
        moment, killed = 0, True
        while killed and moment < 60:
            member = Member(tmp_path / f"{first}{moment}")
            if not first:
                member.put()
            killed = killed_at(member, *member.save(), moment)
            before = len(waiting(member.spool))
            member.put()
            member.put()
            assert len(waiting(member.spool)) == before + 2
            bases = {offsite_of(one.manifest).base_name for one in waiting(member.spool)}
            for name in {one.name for one in waiting(member.spool)} - bases:
                assert put_together(member.spool, name, tmp_path / "result") == member.bytes_of[name], moment
            moment, moments = moment + 1, moments + 1
        assert 8 < moment < 60
    print(f"{moments} moments")
