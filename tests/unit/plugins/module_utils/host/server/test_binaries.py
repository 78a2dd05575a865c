# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs out of an archive: the three by their exact names, wholly or not at all, and no path of the archive is followed."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.binaries import (
    FOLDER,
    Programs,
    architecture,
    sha256_for,
)
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.server.bare import everything, release

ALL = ("etcd", "etcdctl", "etcdutl")


def programs(sha256, root):
    return Programs(sha256, "/usr/local/bin", str(root))


def opened(raw):
    return lambda: io.BytesIO(raw)


def test_they_are_unpacked_and_linked_and_the_next_ones_lie_beside(tmp_path):
    raw, sha256 = release(*ALL)
    made = programs(sha256, tmp_path)
    assert not made.are_unpacked()
    made.unpack(opened(raw))
    assert made.are_unpacked() and len(made.wrong_links()) == 3
    made.link()
    assert made.wrong_links() == []
    for name in ALL:
        link = tmp_path / "usr/local/bin" / name
        assert os.readlink(link) == f"{FOLDER}/{sha256[:16]}/{name}"
        program = tmp_path / os.readlink(link).lstrip("/")
        assert program.read_bytes() == b"\x7fELF" + name.encode() and stat.S_IMODE(program.stat().st_mode) == 0o755
    newer, other = release("etcd", "etcdctl", folder="")
    next_one = programs(other, tmp_path)
    next_one.unpack(opened(newer))
    next_one.link()
    assert made.are_unpacked() and made.wrong_links() == [f"/usr/local/bin/{name}" for name in ("etcd", "etcdctl")]


def test_another_archive_than_was_named_leaves_nothing(tmp_path):
    raw, _sha256 = release(*ALL)
    with pytest.raises(EtcdError, match="it is another file, or was changed on its way"):
        programs("0" * 64, tmp_path).unpack(opened(raw))
    assert FOLDER.lstrip("/") not in everything(tmp_path)


def hostile():
    link = tarfile.TarInfo("etcd-v3/etcd")
    link.type, link.linkname = tarfile.SYMTYPE, "/bin/sh"
    hard = tarfile.TarInfo("etcdctl")
    hard.type, hard.linkname = tarfile.LNKTYPE, "/bin/sh"
    return {
        "no archive": None,
        "a link in the place of a program": [(link, b"")],
        "a hard link": [(hard, b"")],
        "a path that leads out": [
            (tarfile.TarInfo("../etcd"), b"\x7fELF"),
            (tarfile.TarInfo("../../../../etcdctl"), b"x"),
        ],
        "an absolute path": [(tarfile.TarInfo("/etcd"), b"\x7fELF")],
        "too deep": [(tarfile.TarInfo("a/b/etcd"), b"\x7fELF"), (tarfile.TarInfo("a/b/etcdctl"), b"\x7fELF")],
    }


@pytest.mark.parametrize("kind", hostile())
def test_a_hostile_archive_is_refused(tmp_path, kind):
    entries = hostile()[kind]
    raw, sha256 = release(more=entries) if entries else (b"no archive", "")
    sha256 = sha256 or hashlib.sha256(raw).hexdigest()
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(EtcdError, match="cannot be read|has no etcd"):
        programs(sha256, root).unpack(opened(raw))
    assert os.listdir(tmp_path) == ["root"] and FOLDER.lstrip("/") not in everything(root)


def test_an_archive_that_is_cut_off(tmp_path):
    raw, _sha256 = release(*ALL)
    raw = raw[: len(raw) // 2]
    with pytest.raises(EtcdError, match="cannot be read|has no etcd"):
        programs(hashlib.sha256(raw).hexdigest(), tmp_path).unpack(opened(raw))


def test_what_a_killed_run_has_left_goes(tmp_path):
    raw, sha256 = release(*ALL)
    left = tmp_path / FOLDER.lstrip("/") / ".new-abc"
    left.mkdir(parents=True)
    (left / "archive").write_text("half")
    programs(sha256, tmp_path).unpack(opened(raw))
    assert not left.exists()


def test_anothers_program_is_not_replaced(tmp_path):
    own = tmp_path / "usr/local/bin/etcd"
    own.parent.mkdir(parents=True)
    own.write_text("the site's")
    with pytest.raises(EtcdError, match="/usr/local/bin/etcd is there already"):
        programs("a" * 64, tmp_path).wrong_links()


def test_the_sha256_of_the_architecture_is_demanded():
    assert architecture("x86_64") == "amd64" and architecture("aarch64") == "arm64"
    assert sha256_for({"amd64": "A" * 64}, "amd64") == "a" * 64
    for sums, words in (
        ({}, "is not given"),
        ({"arm64": "a" * 64}, "is not given"),
        ({"amd64": "abc"}, "which is none"),
    ):
        with pytest.raises(EtcdError, match=words):
            sha256_for(sums, "amd64")
    with pytest.raises(EtcdError, match="no release for the architecture sparc"):
        architecture("sparc")
