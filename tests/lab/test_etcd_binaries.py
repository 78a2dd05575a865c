# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a provider, and that nothing is unpacked before its hash was checked."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path
from typing import Iterator

import etcd_binaries
import pytest
from etcd_binaries import Machine, NotHere, Unavailable, debian_sources, decide, line_of, needed_tools, obtain

NOTHING = Machine(path_version=None, go_lines=(), architecture=None, apt=False)
EVERYTHING = Machine(path_version="3.6.16", go_lines=("3.5", "3.6", "3.7"), architecture="amd64", apt=True)


def usable(machine: Machine, line: str | None, forced: str | None = None) -> list[str]:
    return [option.provider for option in decide(machine, line, forced) if not option.obstacle]


@pytest.mark.parametrize(
    ("machine", "line", "expected"),
    [
        (EVERYTHING, None, ["path", "go", "release", "apt"]),
        (EVERYTHING, "3.6", ["path", "go", "release", "apt"]),
        (EVERYTHING, "3.7", ["go", "release", "apt"]),
        (EVERYTHING, "3.4", ["apt"]),
        (EVERYTHING._replace(path_version="3.4.23"), None, ["path", "go", "release", "apt"]),
        (EVERYTHING._replace(path_version="3.4.23"), "3.4", ["path", "apt"]),
        (NOTHING._replace(architecture="arm64"), None, ["release"]),
        (NOTHING._replace(apt=True), None, ["apt"]),
        (NOTHING, None, []),
    ],
)
def test_order_of_providers(machine: Machine, line: str | None, expected: list[str]) -> None:
    assert usable(machine, line) == expected


def test_each_provider_that_is_ruled_out_has_a_reason() -> None:
    obstacles = {option.provider: option.obstacle for option in decide(NOTHING, "3.4")}
    assert obstacles == {
        "path": "the PATH has no complete set of tools",
        "go": "no Go here",
        "release": "no archive is pinned for 3.4",
        "apt": "no apt-get and dpkg-deb here",
    }


def test_a_forced_provider_is_the_only_one() -> None:
    assert usable(EVERYTHING, "3.6", forced="release") == ["release"]


def test_etcdutl_is_needed_from_3_6() -> None:
    assert "etcdutl" not in needed_tools("3.5.35")
    assert "etcdutl" in needed_tools("3.6.0")
    assert "etcdutl" in needed_tools("3.10.1")
    assert line_of("3.10.1") == "3.10"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served on loopback as if it were the release site."""
    root = tmp_path / "mirror"
    root.mkdir()
    handler = functools.partial(QuietHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("ETCD_RELEASE_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield root
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


def publish(root: Path, version: str) -> str:
    """Put an archive with shell scripts for programs on the mirror; returns its SHA-256."""
    name = f"etcd-v{version}-linux-amd64"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for tool in etcd_binaries.TOOLS:
            text = f"#!/bin/sh\necho 'etcd Version: {version}'\n".encode()
            entry = tarfile.TarInfo(f"{name}/{tool}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    (root / f"v{version}").mkdir()
    (root / f"v{version}" / f"{name}.tar.gz").write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


@pytest.fixture
def only_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_binaries, "inspect_machine", lambda: NOTHING._replace(architecture="amd64"))


@pytest.mark.usefixtures("only_release")
def test_release_with_the_pinned_hash_is_taken(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(monkeypatch, publish(mirror, "3.6.14"))
    folder = obtain(cache=tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == ["etcd", "etcdctl", "etcdutl"]
    (mirror / "v3.6.14").rename(mirror / "gone")
    assert obtain(cache=tmp_path / "cache") == folder  # from the cache


@pytest.mark.usefixtures("only_release")
def test_release_with_another_hash_is_refused(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(mirror, "3.6.14")
    pin(monkeypatch, "0" * 64)
    with pytest.raises(Unavailable, match="nothing was unpacked"):
        obtain(cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.usefixtures("only_release", "mirror")
def test_release_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"go: no Go here; release: .*not found"):
        obtain(cache=tmp_path / "cache")


def pin(monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    monkeypatch.setitem(etcd_binaries.RELEASES, "3.6", ("3.6.14", {"amd64": sha256}))


def test_a_failed_provider_leaves_the_word_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(line: str, folder: Path) -> None:
        (folder / "etcd").write_text("half")
        raise Unavailable("the build broke")

    def packages(line: str, folder: Path) -> None:
        for tool in ("etcd", "etcdctl"):
            (folder / tool).write_text("#!/bin/sh\necho 'etcd Version: 3.4.23'\n")
            (folder / tool).chmod(0o755)

    machine = NOTHING._replace(go_lines=("3.6",), apt=True)
    monkeypatch.setattr(etcd_binaries, "inspect_machine", lambda: machine)
    monkeypatch.setattr(etcd_binaries, "MAKERS", {"go": broken, "apt": packages})

    with pytest.raises(Unavailable, match=r"go: the build broke.*apt: it offers 3\.4\.23"):
        obtain("3.6", tmp_path)  # asked for by name, so another line will not do

    folder = obtain(cache=tmp_path)
    assert folder == tmp_path / "3.4"
    monkeypatch.setattr(etcd_binaries, "MAKERS", {})
    assert obtain(cache=tmp_path) == folder


# As apt-get indextargets tells it: Debian 13's own list, and one of Debian 12 with another mirror for security.
SITES_13 = "http://a.example/debian trixie main\nhttp://a.example/debian trixie main\n"
SITES_12 = """\
http://a.example/debian bookworm main
http://a.example/debian bookworm contrib
http://a.example/debian bookworm-updates main
http://b.example/debian-security bookworm-security main
"""


@pytest.mark.parametrize("sites", [SITES_13, SITES_12])
def test_debian_12_is_looked_for_where_the_machine_gets_its_packages_from(sites: str) -> None:
    assert debian_sources(sites, "bookworm") == (
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian bookworm main\n"
    )


def test_without_an_address_of_debian_there_is_no_debian_12() -> None:
    with pytest.raises(Unavailable, match="no address of Debian's packages"):
        debian_sources("http://b.example/debian-security bookworm-security main\n\n", "bookworm")


def test_only_a_line_that_nobody_builds_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_binaries, "inspect_machine", lambda: NOTHING)
    for line, kind in (("3.4", NotHere), ("3.6", Unavailable)):
        with pytest.raises(Unavailable) as caught:
            obtain(line, tmp_path)
        assert caught.type is kind
