# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a snapshot is saved: verified, published with its manifest, or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import namedtuple
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, scratch, verify
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import manifest as manifests
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import publish as publishing
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import save as saving
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.signature import UNSIGNED, Signing
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot import keys
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, content, flipped

ENDPOINT = "http://127.0.0.1:2379"


class Etcd:
    """An etcdctl and an etcdutl that answer as the real ones do."""

    def __init__(self, data=None, save_rc=0, status=None, db_size=65536):
        self.data = content() if data is None else data
        self.save_rc = save_rc
        self.status = {"hash": 1, "revision": 44, "totalKey": 41, "totalSize": 1} if status is None else status
        self.db_size = db_size
        self.calls = []
        self.modes = []

    def __call__(self, argv, env):
        self.calls.append((list(argv), dict(env)))
        if "save" in argv:
            folder = os.path.dirname(argv[-1])
            self.modes.append(stat.S_IMODE(os.stat(folder).st_mode))
            Path(argv[-1]).write_bytes(self.data)
            return Result(self.save_rc, "", "Error: context deadline exceeded" if self.save_rc else "")
        if "endpoint" in argv:
            header = {"cluster_id": 17251426242732894115, "member_id": "12758649388940780848", "revision": 44}
            said = {"header": header, "version": "3.6.16", "dbSize": self.db_size, "leader": 1}
            return Result(0, json.dumps([{"Endpoint": ENDPOINT, "Status": said}]), "")
        if argv[0] in ("ssh-keygen", "sh"):
            return run(argv, env)
        if "get" in argv:
            return Result(0, json.dumps({"header": {}, "count": 40}), "")
        return Result(0, json.dumps(self.status), "") if self.status else Result(1, "", "Error: bad")


V36 = Version(3, 6, 16)


def tools(version=V36, utl=True):
    etcdctl = Tool("/bin/etcdctl", version)
    return Tools(etcdctl=etcdctl, etcdutl=Tool("/bin/etcdutl", version) if utl else None)


def source(db_size=65536):
    return saving.Source(ENDPOINT, "ef6960c40af227a3", "b10fd4056191e530", "3.6.16", db_size)


def save(etcd, folder, name="", given=None, extra=None, signing=UNSIGNED, compress="none"):
    to = Connection(endpoints=["http://other:2379"], user="root", password="geheim")
    form = saving.Form(compress, signing)
    return saving.save(etcd, given or tools(), to, source(etcd.db_size), str(folder), name, NOW, extra, form)


@pytest.fixture
def signing(tmp_path_factory):
    key = keys.make(tmp_path_factory.mktemp("keys") / "ops")
    return Signing(key.path, key.signer("ops@prod"))


def test_a_save_publishes_a_snapshot_with_its_manifest(tmp_path):
    etcd = Etcd()
    saved = save(etcd, tmp_path, extra={"cluster": "prod", "hashkv": 7})
    name = "prod-20261124T034640Z-rev44.db"
    assert sorted(os.listdir(tmp_path)) == [name, name + ".json"]
    assert (tmp_path / name).read_bytes() == content()
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 and etcd.modes == [0o700]
    assert manifests.read_manifest(str(tmp_path / name)) == saved.manifest
    assert saved.path == str(tmp_path / name) and (saved.cluster_id, saved.alarms) == ("ef6960c40af227a3", [])
    assert to_plain(saved.manifest) == {
        "schema": 1,
        "file": name,
        "sha256": hashlib.sha256(content()).hexdigest(),
        "size": len(content()),
        "revision": 44,
        "keys": 41,
        "user_keys": 40,
        "hash": 1,
        "hashkv": 7,
        "cluster": "prod",
        "cluster_id": format(17251426242732894115, "x"),
        "member_id": "b10fd4056191e530",
        "members": [
            {"id": "f550a98266f11dd6", "name": "m0", "peer_urls": ["http://127.0.0.1:28760"], "is_learner": False}
        ],
        "etcd_version": "3.6.16",
        "cluster_version": "3.6.0",
        "alarms": [],
        "tool": {"name": "etcdctl", "version": "3.6.16"},
        "source_endpoint": ENDPOINT,
        "taken_at": "2026-11-24T03:46:40Z",
    }
    (entry,) = catalogue.catalogue(str(tmp_path), now=NOW + 5)
    assert entry.ok and entry.age == 5


def test_the_password_is_in_no_argument_and_the_time_limit_grows_with_the_size(tmp_path):
    etcd = Etcd(db_size=1 << 30)
    save(etcd, tmp_path)
    argv, env = next(call for call in etcd.calls if "save" in call[0])
    assert f"--endpoints={ENDPOINT}" in argv and "--command-timeout=316s" in argv
    assert all("geheim" not in word for call in etcd.calls for word in call[0])
    assert env["ETCDCTL_PASSWORD"] == "geheim"


@pytest.mark.parametrize(
    "etcd, word",
    [
        (Etcd(data=flipped(content(), 30000)), "SHA-256"),
        (Etcd(data=content()[:-32]), "no hash"),
        (Etcd(data=b""), "empty"),
        (Etcd(save_rc=1), "deadline"),
        (Etcd(status={}), "bad"),
    ],
    ids=["flipped", "no hash", "empty", "save failed", "status failed"],
)
def test_nothing_is_published_when_anything_fails(tmp_path, etcd, word):
    with pytest.raises(EtcdError, match=word):
        save(etcd, tmp_path, "s.db")
    assert os.listdir(tmp_path) == []


def test_nothing_is_published_with_a_manifest_that_nobody_could_read(tmp_path):
    with pytest.raises(EtcdError, match="could not be read again: cluster is .* and not a word"):
        save(Etcd(), tmp_path, extra={"cluster": "two\nlines"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("what", ["rename", "fsync"])
@pytest.mark.parametrize("after", range(4))
def test_nothing_is_published_without_its_manifest(tmp_path, monkeypatch, what, after):
    calls, real = [], getattr(os, what)

    def full(*args):
        calls.append(args)
        if len(calls) > after:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(publishing.os, what, full)
    if what == "rename" and after >= 2:
        save(Etcd(), tmp_path, "s.db")
        assert sorted(os.listdir(tmp_path)) == ["s.db", "s.db.json"] and len(calls) == 2
        return
    with pytest.raises(EtcdError, match="No space"):
        save(Etcd(), tmp_path, "s.db")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("moment", range(4))
def test_a_save_that_is_killed_leaves_no_snapshot_or_a_whole_one_and_nothing_that_stays(tmp_path, signing, moment):
    """Killed before each rename, and after the last one."""
    child = os.fork()
    if not child:
        left, real = [moment], os.rename

        def killed(*args):
            if not left[0]:
                os._exit(9)
            left[0] -= 1
            real(*args)

        publishing.os.rename = killed
        save(Etcd(), tmp_path, "s.db", signing=signing)
        os._exit(0 if moment == 3 else 1)
    _pid, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == (0 if moment == 3 else 9)
    there = ["s.db", "s.db.json", "s.db.json.sig"] if moment == 3 else []
    found = catalogue.catalogue(str(tmp_path), now=NOW, run=run, signers=signing.signers)
    assert [one.name for one in found if one.ok] == there[:1]
    publishing.clear_saves(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == there


def test_what_a_killed_save_notes_down_removes_nothing_else(tmp_path):
    (tmp_path / "a.db").write_bytes(content())
    (tmp_path / "a.db.json").write_text("{}")
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    folder = tmp_path / "folder"
    for number, note in enumerate(["../outside", "/etc/passwd", "", ".", "a.db"]):
        left = folder / f"{scratch.PRIVATE}{number}"
        left.mkdir(parents=True)
        (left / "publishing").write_text(note)
    (folder / "a.db").write_bytes(content())
    (folder / "a.db.json").write_text("{}")
    publishing.clear_saves(str(folder))
    assert sorted(os.listdir(folder)) == ["a.db", "a.db.json"] and outside.exists()


def test_too_little_disk_is_refused_before_anything_is_saved(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _folder: usage(0, 0, 1000))
    etcd = Etcd()
    with pytest.raises(EtcdError, match="1000 bytes free"):
        save(etcd, tmp_path)
    assert not any("save" in argv for argv, _env in etcd.calls) and os.listdir(tmp_path) == []


def test_a_snapshot_is_never_overwritten(tmp_path):
    (tmp_path / "s.db").write_text("precious")
    with pytest.raises(EtcdError, match="never overwritten"):
        save(Etcd(), tmp_path, "s.db")
    assert (tmp_path / "s.db").read_text() == "precious"


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_two_in_one_second_have_names_of_their_own(tmp_path, compress):
    first = save(Etcd(), tmp_path, extra={"cluster": "prod"})
    second = save(Etcd(), tmp_path, extra={"cluster": "prod"}, compress=compress)
    assert [saved.manifest.taken_at for saved in (first, second)] == ["2026-11-24T03:46:40Z", "2026-11-24T03:46:41Z"]
    assert second.path.startswith(str(tmp_path / "prod-20261124T034641Z-rev44.db"))


@pytest.mark.parametrize("name", ["../s.db", "/s.db", ".s.db", "s.part", "s.json"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(EtcdError, match="cannot be a snapshot's name"):
        save(Etcd(), tmp_path, name)


def test_the_leavings_of_killed_saves_go_after_a_day(tmp_path):
    for name, age in (("old", 90000), ("young", 1000)):
        folder = tmp_path / (scratch.PRIVATE + name)
        folder.mkdir()
        (folder / "snapshot.db.part").write_bytes(b"x")
        os.utime(folder, (NOW - age, NOW - age))
    save(Etcd(), tmp_path, "s.db")
    assert sorted(os.listdir(tmp_path)) == [scratch.PRIVATE + "young", "s.db", "s.db.json"]
    assert [entry.name for entry in catalogue.catalogue(str(tmp_path))] == ["s.db"]


def test_a_host_with_etcdctl_3_6_alone_can_still_back_up(tmp_path):
    manifest = to_plain(save(Etcd(), tmp_path, given=tools(utl=False)).manifest)
    assert (manifest["hash"], manifest["keys"], manifest["user_keys"], manifest["revision"]) == (None, None, 40, 44)


@pytest.mark.parametrize("version", [Version(3, 5, 35), V36])
def test_the_keys_of_users_are_asked_of_the_member_also_without_a_quorum(tmp_path, version):
    """The status counts more: old revisions, and from 3.6 the record with which a restore has raised the revision."""
    etcd = Etcd()
    manifest = to_plain(save(etcd, tmp_path, given=tools(version)).manifest)
    assert (manifest["keys"], manifest["user_keys"]) == (41, 40)
    asked = next(argv for argv, _env in etcd.calls if "get" in argv)
    assert "--consistency=s" in asked and "--rev=44" in asked and f"--endpoints={ENDPOINT}" in asked


def test_who_is_behind_an_endpoint_is_what_its_status_says():
    assert saving.source_behind(Etcd(), tools(), Connection(), ENDPOINT) == source()


def test_without_etcdctl_or_with_a_foreign_status_it_says_what_to_do(tmp_path):
    with pytest.raises(EtcdError, match="etcdctl is missing"):
        save(Etcd(), tmp_path, given=Tools(etcdutl=Tool("/bin/etcdutl", Version(3, 6, 0))))
    with pytest.raises(EtcdError, match="not what etcd prints"):
        saving.source_behind(lambda *_: Result(0, "[]", ""), tools(), Connection(), ENDPOINT)


def test_the_default_name_is_safe():
    assert saving.default_name("../a b", NOW, 7) == "a-b-20261124T034640Z-rev7.db"
    assert saving.default_name("", NOW, 7) == "etcd-20261124T034640Z-rev7.db"


def test_a_folder_is_made_for_its_owner_alone(tmp_path):
    scratch.make_folder(str(tmp_path / "a" / "b"))
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    scratch.make_folder(str(tmp_path / "a" / "b"))


class Swapping(Etcd):
    """While etcdctl saves, somebody who may write in the folder puts another in the place of the private one."""

    def __init__(self, folder, precious):
        super().__init__()
        self.folder, self.precious = folder, precious

    def __call__(self, argv, env):
        if "save" in argv:
            (private,) = self.folder.glob(scratch.PRIVATE + "*")
            private.rename(self.folder / "away")
            private.mkdir()
            for name in ("snapshot.db", "snapshot.db.part"):
                (private / name).symlink_to(self.precious)
        return super().__call__(argv, env)


def test_a_private_folder_that_is_replaced_leads_nowhere_else(tmp_path):
    """By path, etcdctl wrote through the link and root gave its target another mode."""
    folder, precious = tmp_path / "backups", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("root's own")
    precious.chmod(0o644)
    saved = save(Swapping(folder, precious), folder)
    assert precious.read_text() == "root's own" and stat.S_IMODE(precious.stat().st_mode) == 0o644
    assert verify.verify(saved.path).sha256 == saved.sha256
    assert not os.path.islink(saved.path)


def test_a_folder_that_was_replaced_before_it_was_opened_is_refused(tmp_path, monkeypatch):
    real = os.mkdir

    def open_to_all(path, _mode):
        real(path)
        os.chmod(path, 0o777)

    monkeypatch.setattr(scratch.os, "mkdir", open_to_all)
    with pytest.raises(EtcdError, match="somebody else has replaced"), scratch.private_folder(str(tmp_path)):
        pass


def test_who_is_told_to_end_while_the_folder_is_made_leaves_none(tmp_path, monkeypatch):
    real = os.mkdir

    def told_to_end(path, mode):
        real(path, mode)
        raise SystemExit(143)

    monkeypatch.setattr(scratch.os, "mkdir", told_to_end)
    with pytest.raises(SystemExit), scratch.private_folder(str(tmp_path)):
        pass
    assert os.listdir(tmp_path) == []
