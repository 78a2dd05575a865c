# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots that are compressed when they are saved: read as they are, known by their manifest, counted like others."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from collections import namedtuple
from contextlib import ExitStack, contextmanager

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.prune import Counted, prune
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import Policy, is_own
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, manifest, packed, scratch
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import save as saving
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.following import Follower as Following
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, content, flipped
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.test_save import Etcd, save

NAMES = {"zstd": "prod-20261124T034640Z-rev44.db.zst", "gzip": "prod-20261124T034640Z-rev44.db.gz"}
OF_A_LOOK = {"path", "real_path", "name", "compression", "packed_size", "manifest", "ok", "verified"}


class Packing(Etcd):
    """One whose host has a real zstd, or none."""

    def __init__(self, zstd=True, **more):
        super().__init__(**more)
        self.zstd = zstd

    def __call__(self, argv, env):
        if argv[0] == "zstd" and not self.zstd:
            raise FileNotFoundError(2, "No such file or directory", "zstd")
        return run(argv, env) if argv[0] in ("zstd", "sh") else super().__call__(argv, env)


@pytest.fixture(params=["zstd", "gzip"])
def how(request):
    return request.param


@pytest.fixture
def saved(tmp_path, how):
    return save(Packing(), tmp_path, extra={"cluster": "prod"}, compress=how)


def nothing_runs(argv, env):
    raise AssertionError(f"{argv} was run")


def seen(path, thorough=True, how=nothing_runs):
    return catalogue.entry(str(path), thorough, NOW, how)


def test_it_is_saved_compressed_with_a_manifest_of_both(tmp_path, saved, how):
    name = NAMES[how]
    assert sorted(os.listdir(tmp_path)) == [name, f"{name}.json"] and saved.path == str(tmp_path / name)
    bytes_ = (tmp_path / name).read_bytes()
    plain = (
        gzip.decompress(bytes_)
        if how == "gzip"
        else subprocess.run(["zstd", "-dc", saved.path], capture_output=True, check=True).stdout
    )
    assert plain == content() and os.stat(saved.path).st_mode & 0o777 == 0o600
    told = json.loads((tmp_path / f"{name}.json").read_text())
    assert (told["file"], told["size"], told["sha256"]) == (name, len(plain), hashlib.sha256(plain).hexdigest())
    assert told["packed"] == {"compression": how, "size": len(bytes_), "sha256": hashlib.sha256(bytes_).hexdigest()}
    assert saved.size == len(plain) and manifest.read_manifest(saved.path) == saved.manifest


def test_a_look_tells_the_same_as_of_the_plain_one_and_unpacks_nothing(tmp_path, saved, monkeypatch):
    monkeypatch.setattr(catalogue, "plain", nothing_runs)
    for thorough in (True, False):
        found = seen(saved.path, thorough)
        assert found.ok and found.verified is thorough and found.kind == "snapshot"
    monkeypatch.undo()
    found = to_plain(seen(saved.path))
    (tmp_path / "plain.db").write_bytes(content())
    plain = to_plain(seen(tmp_path / "plain.db"))
    differing = {key for key in plain if plain[key] != found[key]} - OF_A_LOOK - {"age", "taken_at"}
    assert differing == set() and found["users"] is not None and found["members"]


@pytest.mark.parametrize("thorough", [True, False])
def test_one_that_is_cut_off_or_damaged_is_not_usable(saved, thorough):
    whole = open(saved.path, "rb").read()  # noqa: SIM115
    for broken, words in ((whole[:-1], "is cut off or damaged"), (flipped(whole, len(whole) // 2), "SHA-256 differs")):
        with open(saved.path, "wb") as file:
            file.write(broken)
        found = seen(saved.path, thorough)
        if thorough or len(broken) < len(whole):
            assert not found.ok and not found.verified and words in found.reason, found


def test_one_of_the_same_size_that_unpacks_to_something_else_is_not_usable(tmp_path, saved):
    told = json.loads((tmp_path / f"{os.path.basename(saved.path)}.json").read_text())
    told["inside"] = None
    (tmp_path / f"{os.path.basename(saved.path)}.json").write_text(json.dumps({**told, "sha256": "ab" * 32}))
    found = seen(saved.path, how=run)
    assert not found.ok and "written for other content" in found.reason, (
        "without what is inside, it is unpacked and read"
    )


def test_it_is_counted_and_removed_like_any_other_beside_plain_ones(tmp_path):
    taken = []
    for number, compress in enumerate(["none", "gzip", "zstd", "none", "zstd"]):
        etcd = Packing(status={"hash": 1, "revision": 50 + number, "totalKey": 41, "totalSize": 1})
        taken.append(saving.save(etcd, *_where(tmp_path, NOW + number, compress)))
    entries = catalogue.catalogue(str(tmp_path), catalogue.NONE, NOW + 9)
    assert len(entries) == 5 and all(is_own(one) for one in entries)
    counted = Counted("prod", taken[0].cluster_id, Policy(last=2))
    decisions = prune(str(tmp_path), counted, NOW + 9, run=nothing_runs)
    assert sum(one.verdict == "remove" for one in decisions) == 3
    left = sorted(os.listdir(tmp_path))
    assert left == sorted(os.path.basename(one.path) + end for one in taken[3:] for end in ("", ".json"))


def _where(folder, now, compress):
    from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.test_save import source, tools

    to = saving.Connection(endpoints=["http://other:2379"])
    return tools(), to, source(), str(folder), "", now, {"cluster": "prod"}, saving.Form(compress)


def test_what_somebody_compresses_or_unpacks_himself_is_his(tmp_path, saved, how):
    unpack = ["gzip", "-dk"] if how == "gzip" else ["zstd", "-dq"]
    subprocess.run([*unpack, saved.path], check=True)
    plain = seen(saved.path.rpartition(".")[0])
    assert plain.ok and plain.verified and plain.manifest == saved.manifest and not is_own(plain)
    assert is_own(seen(saved.path))
    named = tmp_path / "before-upgrade.db.zst"
    os.link(saved.path, named)
    assert not is_own(seen(named, how=run))


def test_a_name_says_how_it_is_compressed(tmp_path):
    for name, compression in (("a.db", ""), ("a.db.zst", "zstd"), ("a.db.gz", "gzip"), ("plain", "")):
        made = save(Packing(), tmp_path, name, compress="auto")
        assert seen(made.path).compression == compression and seen(made.path).ok


def test_auto_is_zstd_where_the_host_has_it_and_gzip_where_not(tmp_path):
    assert save(Packing(), tmp_path, extra={"cluster": "prod"}, compress="auto").path.endswith(NAMES["zstd"])
    without = Packing(zstd=packed._module("zstd") is not None)
    expected = NAMES["zstd" if without.zstd else "gzip"]
    (tmp_path / "other").mkdir()
    assert save(without, tmp_path / "other", extra={"cluster": "prod"}, compress="auto").path.endswith(expected)
    with pytest.raises(EtcdError, match="there is no compression 'lz4'"):
        save(Packing(), tmp_path, compress="lz4")
    if not without.zstd:
        with pytest.raises(EtcdError, match="no zstd here to compress with") as error:
            save(without, tmp_path, compress="zstd")
        assert "choose auto or gzip" in error.value.next_step


def test_it_is_compressed_while_it_comes_and_not_afterwards(tmp_path, monkeypatch, how):
    monkeypatch.setattr(saving, "pack", nothing_runs)
    saved = save(Packing(), tmp_path, extra={"cluster": "prod"}, compress=how)
    assert saved.path.endswith(NAMES[how]) and packed.plain_sha256(saved.path, run) == saved.sha256


@pytest.mark.parametrize("when", ["at once", "in the middle", "at its end"])
def test_what_could_not_be_compressed_while_it_came_is_afterwards(tmp_path, monkeypatch, how, when):
    tried = []

    @contextmanager
    def failing(to, compression, given_run):
        tried.append(when)
        if when == "at once":
            raise EtcdError("no room.")
        with ExitStack() as stack:
            write = stack.enter_context(packed.packing(to, compression, given_run))
            yield failing_write if when == "in the middle" else write
            if when == "at its end":
                raise EtcdError("no room.")

    def failing_write(_chunk):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "packing", failing)
    saved = save(Packing(), tmp_path, extra={"cluster": "prod"}, compress=how)
    assert tried == [when] and packed.plain_sha256(saved.path, run) == saved.sha256
    assert sorted(os.listdir(tmp_path)) == [NAMES[how], f"{NAMES[how]}.json"]


def test_what_was_another_when_it_was_compressed_is_compressed_again(tmp_path, monkeypatch, how):
    class Another(Following):
        def __exit__(self, *error):
            super().__exit__(*error)
            self.read = self.read._replace(sha256="ab" * 32, state=(0, 0, 0, 0))

    monkeypatch.setattr(saving, "Follower", Another)
    saved = save(Packing(), tmp_path, extra={"cluster": "prod"}, compress=how)
    assert packed.plain_sha256(saved.path, run) == saved.sha256 == hashlib.sha256(content()).hexdigest()


def test_what_does_not_come_out_of_the_compression_as_it_went_in_is_not_published(tmp_path, monkeypatch, how):
    @contextmanager
    def with_a_bad_memory(to, compression, given_run):
        with ExitStack() as stack:
            write = stack.enter_context(packed.packing(to, compression, given_run))
            yield lambda chunk: write(flipped(chunk, len(chunk) // 2))

    monkeypatch.setattr(saving, "packing", with_a_bad_memory)
    with pytest.raises(EtcdError, match=f"came out of its compression by {how} as another"):
        save(Packing(), tmp_path, compress=how)
    assert os.listdir(tmp_path) == []


def test_a_cut_archive_is_said_to_be_damaged_and_never_another(tmp_path, saved):
    whole = open(saved.path, "rb").read()  # noqa: SIM115
    with open(saved.path, "wb") as file:
        file.write(whole[:-20])
    with pytest.raises(EtcdError, match="is cut off|is damaged"):
        packed.plain_sha256(saved.path, run)
    if packed._module("zstd") is None and saved.path.endswith(".zst"):
        with pytest.raises(EtcdError, match="zstd"):
            packed.plain_sha256(saved.path, lambda _argv, _env: Result(127, "", "sh: 1: zstd: not found"))


def test_there_must_be_room_for_both(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _folder: usage(0, 0, saving.space_needed(65536) + 1))
    with pytest.raises(EtcdError, match=f"a snapshot of 65536 bytes needs {saving.space_needed(65536, True)}"):
        save(Packing(), tmp_path, compress="gzip")
    assert save(Packing(), tmp_path).path and not [name for name in os.listdir(tmp_path) if scratch.PRIVATE in name]
