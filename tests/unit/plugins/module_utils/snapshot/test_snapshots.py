# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of etcd 3.4 to 3.7, whole and damaged, what a folder of them holds, and how a new one is saved."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import re
import stat
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import database
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, scratch, verify
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import manifest as manifests
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import packed as _packed
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import save as saving
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Snapshot
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.words import backups_in_words

FIXTURES = Path(__file__).parents[3] / "fixtures"
LINES = ("3.4", "3.5", "3.6", "3.7")
NOW = 1795492000.0  # 2026-11-24T03:46:40Z
ENDPOINT = "http://127.0.0.1:2379"


def content(line="3.6"):
    return gzip.decompress((FIXTURES / f"snapshot-{line}.db.gz").read_bytes())


@pytest.fixture(params=LINES)
def real(request, tmp_path):
    path = tmp_path / (request.param + ".db")
    path.write_bytes(content(request.param))
    return path


# Verify.


def test_a_snapshot_of_every_version_is_whole(real):
    data = real.read_bytes()
    assert verify.verify(str(real)) == (True, "snapshot", len(data), hashlib.sha256(data).hexdigest(), "")


def test_a_snapshot_ends_with_the_hash_of_what_stands_before(real):
    assert verify.trailer(str(real)) == hashlib.sha256(real.read_bytes()[:-32]).hexdigest()
    assert catalogue.entry(str(real))["trailer"] == verify.trailer(str(real))


def test_a_copied_database_has_no_hash(real):
    real.write_bytes(real.read_bytes()[:-32])
    assert verify.trailer(str(real)) == ""
    verdict = verify.verify(str(real))
    assert (verdict.ok, verdict.kind) == (True, "database")


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage, word",
    [
        (lambda data: flipped(data, len(data) - 1), "SHA-256"),
        (lambda data: flipped(data, len(data) - 32), "SHA-256"),
        (lambda data: flipped(data, len(data) // 2), "SHA-256"),
        (lambda data: flipped(data, 0), "SHA-256"),
        (lambda data: flipped(data, 20), "SHA-256"),
        (lambda data: data[:-1], "neither"),
        (lambda data: data[:-31], "neither"),
        (lambda data: data + b"x", "neither"),
        (lambda data: data[:-512], "cut off"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: data[:4096], "cut off"),
        (lambda data: data[:10], "not a bbolt file"),
        (lambda data: b"x" * len(data), "not a bbolt file"),
        (lambda data: b"", "empty"),
    ],
)
def test_every_damage_is_refused_in_words(real, damage, word):
    real.write_bytes(damage(real.read_bytes()))
    verdict = verify.verify(str(real))
    assert not verdict.ok and word in verdict.reason and str(real) in verdict.reason


def test_what_cannot_be_a_snapshot_is_refused(real, tmp_path):
    part = real.rename(str(real) + ".part")
    assert ".part" in verify.verify(str(part)).reason
    assert "cannot be read" in verify.verify(str(tmp_path / "missing")).reason
    assert "not a regular file" in verify.verify(str(tmp_path)).reason


# Describe.

TOLD = {
    # line: revision, compacted, consistent index, term, cluster version, storage version, members, removed
    "3.4": (32, 0, 39, 0, "3.4.0", "", ["m1", "m2", "m0"], 1),
    "3.5": (32, 0, 44, 2, "3.5.0", "", ["lrn", "m1", "m2", "m0"], 0),
    "3.6": (44, 0, 54, 2, "3.6.0", "3.6.0", ["m0"], 0),
    "3.7": (1033, 1032, 11, 2, "3.7.0", "3.7.0", ["m1", "m0", "m2"], 0),
}


def test_it_is_described_without_any_tool(real):
    told = database.describe(str(real))
    fields = ("revision", "compact_revision", "consistent_index", "term", "cluster_version", "storage_version")
    names = [member.name for member in told.members]
    assert (*(getattr(told, field) for field in fields), names, told.removed_members) == TOLD[real.stem]


def test_a_learner_is_told_from_a_voter(tmp_path):
    (tmp_path / "s.db").write_bytes(content("3.5"))
    assert to_plain(database.describe(str(tmp_path / "s.db")).members[0]) == {
        "id": "3518ee9e00799e50",
        "name": "lrn",
        "peer_urls": ["http://127.0.0.1:28413"],
        "client_urls": ["http://127.0.0.1:28313"],
        "is_learner": True,
    }


# Manifest and catalogue.


def put(folder, name, line="3.6", taken_at=None, age=0, **manifest):
    path = folder / name
    path.write_bytes(content(line))
    os.utime(path, (NOW - age, NOW - age))
    if taken_at:
        told = {"schema": 1, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        manifests.write_manifest(str(path), {**told, "taken_at": taken_at, **manifest})
    return path


def at_revision(revision, line="3.6"):
    """The same snapshot with another last revision, and a hash that is right."""
    body = content(line)[:-32].replace((44).to_bytes(8, "big") + b"_", revision.to_bytes(8, "big") + b"_")
    return body + hashlib.sha256(body).digest()


def test_an_old_snapshot_that_was_copied_here_is_not_the_newest(tmp_path, monkeypatch):
    """Seen: by its file time it was, and the newer one was not even read to its end."""
    (tmp_path / "newer.db").write_bytes(at_revision(70))
    os.utime(tmp_path / "newer.db", (NOW - 3600, NOW - 3600))
    put(tmp_path, "copied.db", age=5)
    read = counted(monkeypatch)
    found = catalogue.catalogue(str(tmp_path), now=NOW)
    assert [(entry["name"], entry["revision"]) for entry in found] == [("copied.db", 44), ("newer.db", 70)]
    newest = catalogue.newest_good(found)
    assert newest["name"] == "newer.db" and newest["verified"] and read == ["newer.db"]
    assert backups_in_words(found, newest, str(tmp_path)) == [
        f"newest backup is {tmp_path}/newer.db, 1 h old by its file time, revision 70"
    ]


def test_the_newest_is_first_by_its_manifest_else_by_its_time(tmp_path):
    put(tmp_path, "a.db", taken_at="2026-11-24T03:00:00Z", age=0)
    put(tmp_path, "b.db", age=60)
    put(tmp_path, "c.db", taken_at="2026-11-24T03:45:00Z", age=5000)
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    found = catalogue.catalogue(str(tmp_path), now=NOW)
    assert [(entry["name"], entry["age"]) for entry in found] == [("b.db", 60), ("c.db", 100), ("a.db", 2800)]
    assert all(entry["ok"] and entry["revision"] == 44 for entry in found)
    assert catalogue.newest_good(found)["name"] == "c.db", "of one revision, a manifest goes before a file time"
    assert found[0]["manifest"] is None and found[1]["manifest"]["schema"] == 1


def counted(monkeypatch):
    """The names of the files that are read to their end, as they are."""
    read = []
    real = verify.verify
    monkeypatch.setattr(catalogue, "verify", lambda path: read.append(os.path.basename(path)) or real(path))
    return read


def test_only_the_newest_that_is_good_is_read_to_its_end(tmp_path, monkeypatch):
    read = counted(monkeypatch)
    put(tmp_path, "oldest.db", age=400)
    put(tmp_path, "older.db", age=300)
    put(tmp_path, "good.db", age=200)
    damaged = put(tmp_path, "damaged.db", age=100)
    damaged.write_bytes(flipped(damaged.read_bytes(), 9000))
    os.utime(damaged, (NOW - 100, NOW - 100))
    put(tmp_path, "cut.db", age=50).write_bytes(b"x" * 5000)
    found = {entry["name"]: entry for entry in catalogue.catalogue(str(tmp_path), now=NOW)}
    assert read == ["damaged.db", "good.db"], "what a few reads tell is not read to its end either"
    assert {name: entry["ok"] for name, entry in found.items()} == {
        **dict.fromkeys(("cut.db", "damaged.db"), False),
        **dict.fromkeys(("good.db", "older.db", "oldest.db"), True),
    }
    assert catalogue.newest_good(list(found.values()))["name"] == "good.db" and found["good.db"]["verified"]
    assert "SHA-256" in found["damaged.db"]["reason"]
    del read[:]
    catalogue.catalogue(str(tmp_path), catalogue.ALL, now=NOW)
    assert len(read) == 4
    del read[:]
    catalogue.catalogue(str(tmp_path), catalogue.NONE, now=NOW)
    assert read == []


def test_the_newest_of_each_cluster_in_a_folder_is_read(tmp_path, monkeypatch):
    read = counted(monkeypatch)
    told = {"taken_at": "2026-11-24T03:00:00Z"}
    put(tmp_path, "east-2.db", taken_at="2026-11-24T03:30:00Z", cluster="east")
    put(tmp_path, "east-1.db", **told, cluster="east")
    put(tmp_path, "west-1.db", **told, cluster="west")
    catalogue.catalogue(str(tmp_path), now=NOW)
    assert sorted(read) == ["east-2.db", "west-1.db"]


# Compressed.


def pack(path, how):
    packed = path.with_name(f"{path.name}.{'gz' if how == 'gzip' else 'zst'}")
    if how == "gzip":
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    else:
        run(["zstd", "-q", str(path), "-o", str(packed)], {})
    path.unlink()
    return packed


def run(argv, env):
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["gzip", "zstd"])
def how(request):
    return request.param


@pytest.mark.parametrize("bad", [False, True])
def test_an_entry_is_a_value(tmp_path, bad):
    path = put(tmp_path, "x.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd")
    if bad:
        path.write_bytes(b"")
    found = catalogue.entry(str(path))
    assert found["ok"] is not bad
    assert to_plain(from_plain(Snapshot, found)) == found


@pytest.mark.parametrize("named", ["x.db.json", "x.db.gz.json"])
def test_a_compressed_snapshot_is_the_plain_one(tmp_path, how, named):
    path = put(tmp_path, "x.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd")
    wanted = catalogue.entry(str(path))
    packed = pack(path, how)
    (tmp_path / "x.db.json").rename(tmp_path / named.replace(".gz", packed.suffix))
    found = catalogue.entry(str(packed), run=run)
    for key in ("ok", "verified", "size", "sha256", "trailer", "revision", "members", "manifest", "taken_at", "kind"):
        assert found[key] == wanted[key], key
    assert (found["compression"], found["packed_size"]) == (how, packed.stat().st_size)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [packed.name, *[p.name for p in tmp_path.glob("*.json")]]
    )
    assert catalogue.catalogue(str(tmp_path), run=run)[0]["verified"]


def test_what_is_unpacked_is_private_and_goes(tmp_path, how):
    packed = pack(put(tmp_path, "x.db"), how)
    packed.chmod(0o644)
    with scratch.plain(str(packed), run, str(tmp_path / "spool")) as copy:
        assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(copy)).st_mode) == 0o700
    assert not any((tmp_path / "spool").iterdir())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "cut off|ends too early|premature end|unexpected end|truncated"),
        (lambda data: data[:200] + b"\0" * 400 + data[600:], "is damaged|SHA-256|not a bbolt"),
        (lambda data: data[:4], "cut off|damaged|end"),
    ],
)
def test_a_damaged_archive_is_refused_with_its_reason(tmp_path, how, damage, words):
    packed = pack(put(tmp_path, "x.db"), how)
    packed.write_bytes(damage(packed.read_bytes()))
    found = catalogue.entry(str(packed), run=run)
    assert not found["ok"] and re.search(words, found["reason"], re.IGNORECASE) and str(packed) in found["reason"]
    assert [entry.name for entry in tmp_path.iterdir()] == [packed.name]


def test_an_archive_may_not_fill_the_disk(tmp_path, how, monkeypatch):
    packed = pack(put(tmp_path, "x.db"), how)
    monkeypatch.setattr(scratch, "room", lambda _folder: 8192)
    found = catalogue.entry(str(packed), run=run)
    assert not found["ok"] and "unpacks to" in found["reason"] and "more than 8,192 bytes" in found["reason"]
    assert [entry.name for entry in tmp_path.iterdir()] == [packed.name]
    (tmp_path / "large").write_bytes(b"x" * 100_000)  # the limit is over


def test_what_is_no_database_is_not_unpacked(tmp_path, monkeypatch):
    """Nor is a database that goes on after its end: neither fills the disk before somebody finds out."""
    written = []
    monkeypatch.setattr(_packed, "_too_large", lambda path, limit: written.append(limit) or EtcdError("too large"))
    (tmp_path / "log.db.gz").write_bytes(gzip.compress(b"a line of a log\n" * 4_000_000, 1))
    found = catalogue.entry(str(tmp_path / "log.db.gz"))
    assert not found["ok"] and "not a bbolt file" in found["reason"] and not written
    monkeypatch.setattr(_packed, "_GROWTH", 1 << 20)
    (tmp_path / "bomb.db.gz").write_bytes(gzip.compress(content() + bytes(64 << 20), 1))
    found = catalogue.entry(str(tmp_path / "bomb.db.gz"))
    assert not found["ok"] and found["reason"] == "too large" and 0 < written[0] < 3 << 20
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bomb.db.gz", "log.db.gz"]


def test_without_zstd_it_says_what_to_install(tmp_path):
    packed = pack(put(tmp_path, "x.db"), "zstd")

    def missing(argv, env):
        raise FileNotFoundError(argv[0])

    for there_is_none in (missing, None):
        found = catalogue.entry(str(packed), run=there_is_none)
        assert not found["ok"] and "install zstd on this host" in found["reason"]


def test_archives_that_are_older_than_a_good_one_are_not_unpacked(tmp_path, how):
    for age in (100, 200):
        packed = pack(put(tmp_path, f"{age}.db"), how)
        os.utime(packed, (NOW - age, NOW - age))
    put(tmp_path, "300.db", age=300)
    unpacked = []
    found = catalogue.catalogue(str(tmp_path), now=NOW, run=lambda argv, env: unpacked.append(argv) or run(argv, env))
    assert found[0]["verified"] and not found[1]["verified"] and len(unpacked) == (how == "zstd")


def test_only_a_good_snapshot_is_the_newest_good_one(tmp_path):
    put(tmp_path, "good.db", age=500)
    put(tmp_path, "unfinished.db.part", age=1)
    put(tmp_path, "copied.db", age=2).write_bytes(content()[:-32])
    put(tmp_path, "cut.db", age=3).write_bytes(content()[:-512])
    found = catalogue.catalogue(str(tmp_path), now=NOW)
    assert {entry["name"]: entry["ok"] for entry in found} == {
        "good.db": True,
        "unfinished.db.part": False,
        "copied.db": True,
        "cut.db": False,
    }
    assert all(entry["reason"] for entry in found if not entry["ok"])
    assert catalogue.newest_good(found)["name"] == "good.db"


@pytest.mark.parametrize(
    "manifest, word",
    [({"sha256": "0" * 64}, "other content"), ({"size": 1}, "1 bytes"), ({"schema": 99}, "schema")],
)
def test_a_manifest_that_is_not_the_files_own_is_a_refusal(tmp_path, manifest, word):
    put(tmp_path, "s.db", taken_at="2026-11-24T03:00:00Z", **manifest)
    (entry,) = catalogue.catalogue(str(tmp_path), now=NOW)
    assert not entry["ok"] and word in entry["reason"]


@pytest.mark.parametrize(
    "manifest, words",
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"schema": 1, "x": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper"),
        (b'{"schema": 1, "revision": NaN}', "NaN"),
        (b'{"schema": 1, "revision": -Infinity}', "Infinity"),
        (b'{"schema": 1, "revision": 1e999}', "infinite"),
        (b'{"schema": 1, "revision": 1.5}', "revision is 1.5"),
        (b'{"schema": 1, "revision": %s}' % (b"9" * 10_000), "10000 digits"),
        (b'{"schema": 1, "revision": 99999999999999999999999}', "revision is 9999"),
        (b'{"schema": 1, "revision": [7]}', "revision is a list"),
        (b'{"schema": 1, "size": {"a": 7}}', "size is an object"),
        (b'{"schema": 1, "size": true}', "size is True"),
        (b'{"schema": 1, "cluster": ["etcd"]}', "cluster is a list"),
        (b'{"schema": 1, "cluster": 7}', "cluster is 7"),
        (b'{"schema": 1, "cluster": "\\u001b[2Jetcd"}', "cluster is"),
        (b'{"schema": 1, "cluster": "\\ud800"}', "no Unicode"),
        (b'{"schema": 1, "taken_at": 7}', "taken_at is 7"),
        (b'{"schema": 1, "taken_at": "yesterday"}', "yesterday"),
        (b'{"schema": 1, "etcd_version": {}}', "etcd_version is an object"),
        (b'{"schema": 1, "sha256": 7}', "sha256 is 7"),
        (b'{"schema": [1]}', "schema"),
        (b"[]", "schema"),
        (b"7", "schema"),
        (b" " * (2 << 20), "more than 1,048,576 bytes"),
    ],
    ids=itertools.count(),
)
def test_a_manifest_that_cannot_be_understood_is_a_refusal_and_hides_no_other_file(tmp_path, manifest, words):
    path = put(tmp_path, "s.db")
    put(tmp_path, "good.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=44)
    (tmp_path / "s.db.json").write_bytes(manifest)
    found = {entry["name"]: entry for entry in catalogue.catalogue(str(tmp_path), now=NOW)}
    reason = found["s.db"]["reason"]
    assert not found["s.db"]["ok"] and str(path) + ".json" in reason and words in reason and len(reason) < 400
    assert found["good.db"]["ok"] and found["good.db"]["verified"]
    assert manifests.recorded_revisions(str(tmp_path)) == {"etcd": 44}
    json.dumps(found, allow_nan=False).encode()


def test_a_manifest_is_never_waited_for(tmp_path):
    path = put(tmp_path, "s.db")
    os.mkfifo(tmp_path / "s.db.json")
    assert "not a regular file" in catalogue.entry(str(path))["reason"]
    (tmp_path / "s.db.json").unlink()
    (tmp_path / "s.db.json").mkdir()
    assert "not a regular file" in catalogue.entry(str(path))["reason"]


def test_without_verifying_a_flipped_byte_is_not_seen_but_a_cut_is(tmp_path):
    path = put(tmp_path, "s.db")
    path.write_bytes(flipped(content(), len(content()) - 1))
    entry = catalogue.entry(str(path), thorough=False)
    assert (entry["ok"], entry["verified"], entry["sha256"]) == (True, False, "")
    path.write_bytes(content()[:-512])
    assert not catalogue.entry(str(path), thorough=False)["ok"]


def test_a_missing_folder_is_an_empty_catalogue_with_a_reason(tmp_path):
    missing = str(tmp_path / "missing")
    assert catalogue.catalogue(missing) == [] and missing in catalogue.folder_problem(missing)
    assert catalogue.newest_good([]) is None and catalogue.folder_problem(str(tmp_path)) == ""


def test_a_manifest_is_for_its_owner_alone(tmp_path):
    path = put(tmp_path, "s.db", taken_at="2026-11-24T03:00:00Z")
    assert stat.S_IMODE(os.stat(str(path) + ".json").st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["s.db", "s.db.json"]


# Save.


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
        if "get" in argv:
            return Result(0, json.dumps({"header": {}, "count": 40}), "")
        return Result(0, json.dumps(self.status), "") if self.status else Result(1, "", "Error: bad")


V36 = Version(3, 6, 16)


def tools(version=V36, utl=True):
    etcdctl = Tool("/bin/etcdctl", version)
    return Tools(etcdctl=etcdctl, etcdutl=Tool("/bin/etcdutl", version) if utl else None)


def save(etcd, folder, name="", given=None, extra=None):
    to = Connection(endpoints=["http://other:2379"], user="root", password="geheim")
    return saving.save(etcd, given or tools(), to, ENDPOINT, str(folder), name, NOW, extra)


def test_a_save_publishes_a_snapshot_with_its_manifest(tmp_path):
    etcd = Etcd()
    manifest = save(etcd, tmp_path, extra={"cluster": "prod", "hashkv": 7})
    name = "prod-20261124T034640Z-rev44.db"
    assert sorted(os.listdir(tmp_path)) == [name, name + ".json"]
    assert (tmp_path / name).read_bytes() == content()
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 and etcd.modes == [0o700]
    assert manifests.read_manifest(str(tmp_path / name)) == manifest
    assert manifest == {
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
    assert entry["ok"] and entry["age"] == 5


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


def test_nothing_is_published_without_its_manifest(tmp_path, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "write_manifest", full)
    with pytest.raises(EtcdError, match="No space"):
        save(Etcd(), tmp_path, "s.db")
    assert os.listdir(tmp_path) == []


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
    assert [entry["name"] for entry in catalogue.catalogue(str(tmp_path))] == ["s.db"]


def test_a_host_with_etcdctl_3_6_alone_can_still_back_up(tmp_path):
    manifest = save(Etcd(), tmp_path, given=tools(utl=False))
    assert (manifest["hash"], manifest["keys"], manifest["user_keys"], manifest["revision"]) == (None, None, 40, 44)


@pytest.mark.parametrize("version", [Version(3, 5, 35), V36])
def test_the_keys_of_users_are_asked_of_the_member_also_without_a_quorum(tmp_path, version):
    """The status counts more: old revisions, and from 3.6 the record with which a restore has raised the revision."""
    etcd = Etcd()
    manifest = save(etcd, tmp_path, given=tools(version))
    assert (manifest["keys"], manifest["user_keys"]) == (41, 40)
    asked = next(argv for argv, _env in etcd.calls if "get" in argv)
    assert "--consistency=s" in asked and "--rev=44" in asked and f"--endpoints={ENDPOINT}" in asked


def test_without_etcdctl_or_with_a_foreign_status_it_says_what_to_do(tmp_path):
    with pytest.raises(EtcdError, match="etcdctl is missing"):
        save(Etcd(), tmp_path, given=Tools(etcdutl=Tool("/bin/etcdutl", Version(3, 6, 0))))
    with pytest.raises(EtcdError, match="not what etcd prints"):
        saving.save(lambda *_: Result(0, "[]", ""), tools(), Connection(), ENDPOINT, str(tmp_path), "", NOW)


def test_the_default_name_is_safe():
    assert saving.default_name("../a b", NOW, 7) == "a-b-20261124T034640Z-rev7.db"
    assert saving.default_name("", NOW, 7) == "etcd-20261124T034640Z-rev7.db"


def test_a_folder_is_made_for_its_owner_alone(tmp_path):
    scratch.make_folder(str(tmp_path / "a" / "b"))
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    scratch.make_folder(str(tmp_path / "a" / "b"))


def test_manifests_record_revisions_also_of_snapshots_that_are_damaged_or_gone(tmp_path):
    put(tmp_path, "a.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=10)
    put(tmp_path, "gone.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=30)
    (tmp_path / "gone.db").unlink()
    put(tmp_path, "damaged.db", taken_at="2026-11-24T03:00:00Z", cluster="etcd", revision=20)
    (tmp_path / "damaged.db").write_bytes(b"")
    put(tmp_path, "other.db", taken_at="2026-11-24T03:00:00Z", cluster="other", revision=99)
    (tmp_path / "broken.db.json").write_text("{")
    (tmp_path / "foreign.json").write_text('{"revision": 1000}')
    assert manifests.recorded_revisions(str(tmp_path)) == {"etcd": 30, "other": 99}
    assert manifests.recorded_revisions(str(tmp_path / "none")) == {}


def test_the_database_of_a_stopped_member_tells_its_revision(tmp_path):
    (tmp_path / "member" / "snap").mkdir(parents=True)
    assert database.told_by_data(str(tmp_path)) == database.told_by_data("") == database.Told(revision=0, member_ids=())
    file = tmp_path / "member" / "snap" / "db"
    file.write_bytes(content()[:-32])
    told, described = database.told_by_data(str(tmp_path)), database.describe(str(file))
    assert told.revision == described.revision > 0
    assert told.member_ids == [member.id for member in described.members] != []


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
    manifest = save(Swapping(folder, precious), folder)
    assert precious.read_text() == "root's own" and stat.S_IMODE(precious.stat().st_mode) == 0o644
    assert verify.verify(str(folder / manifest["file"])).sha256 == manifest["sha256"]
    assert not (folder / manifest["file"]).is_symlink()


def test_a_folder_that_was_replaced_before_it_was_opened_is_refused(tmp_path, monkeypatch):
    made = tmp_path / "made"
    made.mkdir()
    made.chmod(0o777)
    monkeypatch.setattr(scratch.tempfile, "mkdtemp", lambda **_given: str(made))
    with pytest.raises(EtcdError, match="somebody else has replaced"), scratch.private_folder(str(tmp_path)):
        pass
