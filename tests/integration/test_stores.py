# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores as they are: a folder, SFTP to a real sshd, S3 and WebDAV to real servers, all but the first with encryption too."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Callable, Iterator, NamedTuple

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.store_settings import StoreSettings, store_of
from ansible_collections.quorum.etcd.plugins.module_utils.backup.stores import Store
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from servers import S3, BareSftp, Server, Sftp, WebDav

CLUSTER = "prod cluster"
FOLDER = "prod-cluster"
NAME, SMALL = "prod-20261128T100000Z-rev7.db.zst", "prod-20261128T100000Z-rev7.db.json"
CONTENT = os.urandom(6_000_000)
PASSWORD = "a password's $worth: 'it' is \"text\""
HASHLESS = ("webdav", "webdav encrypted", "bare-sftp", "bare-sftp encrypted")
KINDS = ("folder", "sftp", "sftp encrypted", "s3", "s3 encrypted", *HASHLESS)


class Place(NamedTuple):
    """A store, by its settings, and where its objects' bytes lie behind it, for whoever spoils them.

    ``hashes`` is whether it tells any: where it does not, what has the right size cannot be seen to be wrong at once.
    """

    settings: StoreSettings
    behind: Path
    tmp: Path
    hashes: bool = True

    def store(self, **more: Any) -> Store:
        given = {**self.settings.__dict__, **more}
        return store_of(StoreSettings(**given), CLUSTER, str(self.tmp), run)

    def objects(self) -> list[Path]:
        return sorted(path for path in self.behind.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    home = tmp_path_factory.mktemp("servers")
    kinds = {"sftp": Sftp, "bare-sftp": BareSftp, "webdav": WebDav, "s3": S3}
    with contextlib.ExitStack() as all_of_them:
        yield {name: all_of_them.enter_context(kind(home / name)) for name, kind in kinds.items()}


@pytest.fixture
def made(servers: dict[str, Server], tmp_path: Path) -> Callable[[str], Place]:
    """Makes a place of a kind, empty."""

    def make(kind: str) -> Place:
        if kind == "folder":
            root = tmp_path / "mnt"
            root.mkdir()
            return Place(StoreSettings("nfs", folder=str(root), mounted=False), root, tmp_path)
        server = servers[kind.split()[0]]
        config, own = tmp_path / f"{kind}.conf", f"{time.monotonic_ns()}"
        config.write_text(server.config)
        config.chmod(0o600)
        password = tmp_path / "password"
        password.write_text(f"{PASSWORD}\n")
        encrypted = str(password) if kind.endswith("encrypted") else ""
        settings = StoreSettings(
            "away", remote=f"{server.remote}/{own}", rclone_config=str(config), password_file=encrypted
        )
        bucket = S3.BUCKET if server is servers["s3"] else ""
        return Place(settings, server.files / bucket / own, tmp_path, kind not in HASHLESS)

    return make


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, made: Callable[[str], Place]) -> Place:
    return made(request.param)


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "spool" / NAME
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    (tmp_path / "spool" / SMALL).write_text('{"schema": 1}')
    return str(path)


def refused(do: Callable[..., object], *given: str) -> str:
    with pytest.raises(EtcdError) as why:
        do(*given)
    assert why.value.next_step and "\n" not in str(why.value)
    assert PASSWORD not in str(why.value) and S3.SECRET not in str(why.value)
    return why.value.message


def spoil(place: Place, how: Callable[[bytes], bytes]) -> None:
    """Change what lies behind the store in the place of the large object."""
    (victim,) = [path for path in place.objects() if NAME in path.name]
    victim.write_bytes(how(victim.read_bytes()))


def test_what_is_put_is_listed_compared_read_back_and_deleted(place: Place, source: str, tmp_path: Path) -> None:
    store, back = place.store(), tmp_path / "back"
    config = Path(place.settings.rclone_config)
    before = config.read_bytes() if config.is_file() else b""
    assert store.names() == {}, "nobody has been there"
    store.put(source, NAME)
    store.put(str(Path(source).parent / SMALL), SMALL)
    assert place.store().names() == {NAME: len(CONTENT), SMALL: 13}
    told = store.digest(NAME)
    if place.settings.encrypted or not place.hashes:
        assert told == "", "there is none, or it is the hash of other bytes"
    else:
        kind, _colon, value = told.partition(":")
        assert value == hashlib.new(kind, CONTENT).hexdigest()
    store.get(NAME, str(back))
    assert back.read_bytes() == CONTENT and back.stat().st_mode & 0o777 == 0o600
    behind = b"".join(path.read_bytes() for path in place.objects() if NAME in path.name)
    assert (CONTENT[:4096] in behind) == (not place.settings.encrypted)
    assert "no" in refused(store.get, "prod-gone.db.zst", str(tmp_path / "gone"))
    assert not (tmp_path / "gone").exists()
    refused(store.digest, "prod-gone.db.zst")
    for name in ("../x", "/etc/passwd", ".hidden", ""):
        assert "cannot be an object" in refused(store.delete, name)
    store.delete(NAME)
    store.delete(NAME)
    assert place.store().names() == {SMALL: 13}
    assert (config.read_bytes() if config.is_file() else b"") == before, "rclone writes into what it is given"


def test_what_the_store_has_lost_truncated_or_flipped_is_seen_and_put_again(place: Place, source: str) -> None:
    store = place.store()
    store.put(source, NAME)
    spoil(place, lambda content: content[:-1000])
    if not isinstance(store.names(), dict) or store.names().get(NAME) == len(CONTENT):
        assert place.settings.remote.startswith("cloud:"), "an S3 server answers by its own notes"
    else:
        assert store.names()[NAME] < len(CONTENT)
    store.put(source, NAME)
    assert store.names() == {NAME: len(CONTENT)}
    before = store.digest(NAME)
    spoil(place, lambda content: content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    assert store.names() == {NAME: len(CONTENT)}, "its size tells nothing"
    if before and not place.settings.remote.startswith("cloud:"):
        assert store.digest(NAME) != before
    store.put(source, NAME)
    assert store.digest(NAME) == before
    for path in place.objects():
        path.unlink()
    assert NAME not in store.names()
    store.put(source, NAME)
    assert store.names() == {NAME: len(CONTENT)}


def test_append_only_neither_deletes_nor_replaces(place: Place, source: str, tmp_path: Path) -> None:
    store = place.store(append_only=True)
    store.put(source, NAME)
    store.put(source, NAME)
    assert "append_only is set" in refused(store.delete, NAME)
    other = tmp_path / "other"
    other.write_bytes(CONTENT[::-1])
    shorter = tmp_path / "shorter"
    shorter.write_bytes(CONTENT[1:])
    if place.hashes:
        assert "neither deleted nor replaced" in refused(store.put, str(other), NAME)
    assert "neither deleted nor replaced" in refused(store.put, str(shorter), NAME)
    store.get(NAME, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_a_store_that_is_down_is_told_and_is_used_again_when_it_is_back(
    servers: dict[str, Server], made: Callable[[str], Place], source: str, kind: str, tmp_path: Path
) -> None:
    store = made(kind).store()
    store.put(source, NAME)
    servers[kind].stop()
    try:
        began = time.monotonic()
        for do, given in (
            (store.names, ()),
            (store.put, (source, NAME)),
            (store.get, (NAME, str(tmp_path / "x"))),
        ):
            assert "connection refused" in refused(do, *given)
        assert time.monotonic() - began < 100
    finally:
        servers[kind].start()
    assert store.names() == {NAME: len(CONTENT)}
    store.put(source, NAME)


def test_a_wrong_password_is_told_from_an_empty_store(
    made: Callable[[str], Place], source: str, tmp_path: Path
) -> None:
    place = made("sftp encrypted")
    place.store().put(source, NAME)
    (tmp_path / "password").write_text("another")
    assert place.store().names() == {NAME: len(CONTENT)}
    assert "bad password" in refused(place.store().get, NAME, str(tmp_path / "back"))
    (tmp_path / "password").unlink()
    assert "its password could not be read" in refused(place.store().names)
    Path(place.settings.rclone_config).unlink()
    assert "its rclone_config" in refused(place.store(password_file="").names)


def test_no_secret_is_in_an_argument_and_nothing_in_the_environment_counts(
    made: Callable[[str], Place], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = made("s3 encrypted"), []

    def watched(argv: list[str], env: dict[str, str]) -> Any:
        seen.append(argv)
        return run(argv, env)

    monkeypatch.setenv("RCLONE_CONFIG", "/nowhere")
    monkeypatch.setenv("RCLONE_DRY_RUN", "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("RCLONE_S3_ENDPOINT", "http://127.0.0.1:9")
    store = store_of(place.settings, CLUSTER, "/", watched)
    store.put(source, NAME)
    assert store.names() == {NAME: len(CONTENT)}
    said = " ".join(word for argv in seen for word in argv)
    assert PASSWORD not in said and S3.SECRET not in said and "rclone copyto" in said


def flipped(content: bytes) -> bytes:
    return content[:3000] + bytes([content[3000] ^ 1]) + content[3001:]


def spoiling(place: Place, *spoils: Callable[[bytes], bytes]) -> Store:
    """Its store, where between an upload and the look at it the disk of the server does what some disks do."""
    left = list(spoils)

    def do(argv: list[str], env: dict[str, str]) -> Any:
        result = run(argv, env)
        if argv[1] == "copyto" and left:
            spoil(place, left.pop(0))
        return result

    return store_of(place.settings, CLUSTER, "/", do)


@pytest.mark.parametrize("kind", ["sftp", "sftp encrypted", *HASHLESS])
def test_what_is_not_kept_as_it_was_given_is_told_at_once(made: Callable[[str], Place], source: str, kind: str) -> None:
    place = made(kind)
    spoils = [lambda content: content[:-1], *([flipped] if place.hashes else [])]
    store = spoiling(place, *spoils)
    for _spoilt in spoils:
        assert f"the store away has not kept {NAME} as it was given" in refused(store.put, source, NAME)
    store.put(source, NAME)
    assert store.names() == {NAME: len(CONTENT)}


@pytest.mark.parametrize("kind", HASHLESS)
def test_without_hashes_a_bit_that_is_flipped_shows_when_it_is_read_back(
    made: Callable[[str], Place], source: str, kind: str, tmp_path: Path
) -> None:
    """Encrypted, rclone itself refuses it; else its SHA-256 is another, which whoever fetches it compares."""
    place, back = made(kind), tmp_path / "back"
    store = spoiling(place, flipped)
    store.put(source, NAME)
    if place.settings.encrypted:
        assert "could not be fetched" in refused(store.get, NAME, str(back))
    else:
        store.get(NAME, str(back))
        assert hashlib.sha256(back.read_bytes()).digest() != hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("kind", ["sftp encrypted", "webdav encrypted"])
def test_what_could_not_be_compared_is_not_called_altered(
    servers: dict[str, Server], made: Callable[[str], Place], source: str, kind: str
) -> None:
    """The server goes after the upload was seen, and before it is compared."""
    place, server = made(kind), servers[kind.split()[0]]

    def going(argv: list[str], env: dict[str, str]) -> Any:
        if argv[1] == "cryptcheck":
            server.stop()
        return run(argv, env)

    try:
        assert "connection refused" in refused(store_of(place.settings, CLUSTER, "/", going).put, source, NAME)
    finally:
        server.start()
    place.store(append_only=True).put(source, NAME)


def test_many_small_ones_are_fetched_at_once(place: Place, tmp_path: Path) -> None:
    small = tmp_path / "small"
    names = [f"prod-{number}.db.json" for number in range(5)]
    for name in names:
        small.write_text(f"this is {name}")
        place.store().put(str(small), name)
    folder = tmp_path / "many"
    folder.mkdir()
    place.store().get_many(names[:3], str(folder))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: f"this is {name}" for name in names[:3]}
    assert "has no gone.db.json" in refused(lambda: place.store().get_many(["gone.db.json"], str(folder)))


def test_a_proxy_is_used_where_it_is_set(tmp_path: Path) -> None:
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_PROPFIND(self) -> None:
            asked.append(self.path)
            self.send_error(403, "not through this proxy")

        def log_message(self, *_words: object) -> None:
            """Nothing: a test reads what was asked."""

    config = tmp_path / "away.conf"
    config.write_text("[cloud]\ntype = webdav\nurl = http://store.invalid/dav\nvendor = other\n")
    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        settings = StoreSettings(
            "dav", remote="cloud:etcd", rclone_config=str(config), proxy=f"http://127.0.0.1:{proxy.server_port}"
        )
        assert "the store dav: " in refused(store_of(settings, CLUSTER, "/", run).names)
        proxy.shutdown()
    assert asked and asked[0].startswith("http://store.invalid/dav/"), asked
