# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that root gives away, renames and moves while another user may write there: that user gains nothing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core import trees
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError

TRIES = 150
NOBODY = pwd.getpwnam("nobody")
MINE = {"user": os.geteuid(), "group": os.getegid(), "mode": "0750"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_folder():
    """A folder that every user can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="quorum-etcd-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def another_user(loop):
    """``loop`` again and again, in a process of nobody's."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(NOBODY.pw_gid)
        os.setuid(NOBODY.pw_uid)
        while True:
            with contextlib.suppress(OSError):
                loop()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def made(folder, files=8):
    """Restored data, as etcd's tool has left it in a staging."""
    with trees.Staging(str(folder / "staged")) as staging:
        snap = Path(staging.way) / "member" / "snap"
        snap.mkdir(parents=True)
        for number in range(files):
            (snap / f"f{number}").write_bytes(b"data")
        staging.lift()
        yield staging, folder / "staged"


@as_root
def test_nobody_gets_a_file_of_roots_by_a_link_in_the_right_moment(open_folder):
    secret = open_folder / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    last = open_folder / "staged" / "member" / "snap" / "f7"

    def swap():
        os.unlink(last)
        os.symlink(secret, last)

    with another_user(swap):
        for _try in range(TRIES):
            with made(open_folder) as (staging, top), contextlib.suppress(EtcdError):
                staging.give_to({"user": "nobody", "group": NOBODY.pw_gid, "mode": "0700"})
            assert secret.stat().st_uid == 0
            os.chown(top, 0, 0)  # or the other one is quicker than rmtree, too
            top.chmod(0o700)
            shutil.rmtree(top)


@as_root
def test_all_of_it_is_given_and_the_directory_last(open_folder, monkeypatch):
    given, fchown = [], os.fchown
    monkeypatch.setattr(
        os, "fchown", lambda fd, uid, gid: given.append(os.readlink(f"/proc/self/fd/{fd}")) or fchown(fd, uid, gid)
    )
    with made(open_folder, files=2) as (staging, top):
        staging.give_to({"user": "nobody", "group": NOBODY.pw_gid, "mode": "0750"})
    found = [top, *top.rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(NOBODY.pw_uid, NOBODY.pw_gid)}
    assert stat.S_IMODE(top.stat().st_mode) == 0o750
    assert sorted(given) == sorted(map(str, found)) and given[-1] == str(top)


@pytest.mark.parametrize("how", ["link", "link to a folder", "second name", "pipe"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path, how):
    other = tmp_path / "other"
    other.write_text("x")
    with made(tmp_path) as (staging, top):
        path = top / "member" / "snap" / "zzz"
        if how == "link":
            path.symlink_to(other)
        elif how == "link to a folder":
            path.symlink_to(tmp_path)
        elif how == "second name":
            os.link(other, path)
        else:
            os.mkfifo(path)
        with pytest.raises(EtcdError, match="zzz is not what it was made as"):
            staging.give_to(MINE)


def test_what_somebody_puts_in_the_place_of_a_staging_is_not_met(tmp_path):
    """In a mount point that etcd's user owns, that user can rename what root has made there, though not look into it."""
    theirs = tmp_path / "theirs"
    (theirs / "member").mkdir(parents=True)
    before = stat.S_IMODE(theirs.stat().st_mode)
    with trees.Staging(str(tmp_path / "staged")) as staging:
        (tmp_path / "staged").rename(tmp_path / "moved")
        (tmp_path / "staged").symlink_to(theirs)
        (Path(staging.way) / "member").mkdir(parents=True)
        (Path(staging.way) / "member" / "db").write_text("secret")
        staging.lift()
        staging.give_to({**MINE, "mode": "0750"})
    assert os.listdir(theirs / "member") == [] and stat.S_IMODE(theirs.stat().st_mode) == before
    assert (tmp_path / "moved" / "member" / "db").read_text() == "secret" and os.listdir(tmp_path / "moved") == [
        "member"
    ]
    with pytest.raises(FileExistsError):
        trees.Staging(str(tmp_path / "staged"))


@pytest.mark.parametrize("umask", [0, 0o077])
def test_what_is_moved_elsewhere_is_private_from_the_first_byte_and_then_as_it_was(tmp_path, monkeypatch, umask):
    with made(tmp_path) as (_staging, source):
        to = tmp_path / "elsewhere" / "old"
    source.chmod(0o755)
    (source / "member").chmod(0o750)
    (source / "member" / "snap" / "f0").chmod(0o644)
    (source / "member" / "wal").symlink_to("/fast/wal")
    os.utime(source / "member" / "snap" / "f1", (1, 2))
    before = {path.relative_to(source): path.lstat() for path in source.rglob("*")}
    write = os.write

    def watched(descriptor, data):
        part = tmp_path / "elsewhere" / "old.part"
        assert stat.S_IMODE(part.stat().st_mode) == 0o700, "whoever may enter sees all that is in it"
        assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600
        return write(descriptor, data)

    monkeypatch.setattr(trees.os, "write", watched)
    old = os.umask(umask)
    try:
        trees.relocate(str(source), str(to))
    finally:
        os.umask(old)
    assert not source.exists() and os.readlink(to / "member" / "wal") == "/fast/wal"
    after = {path.relative_to(to): path.lstat() for path in to.rglob("*")}
    assert before.keys() == after.keys() and stat.S_IMODE(to.stat().st_mode) == 0o755
    for path, status in before.items():
        found = after[path]
        assert (status.st_mode, status.st_uid, status.st_gid, status.st_size) == (
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
        ), path
    assert after[Path("member/snap/f1")].st_mtime == 2


@as_root
def test_old_data_is_not_moved_into_a_place_that_another_user_has_made_of_it(open_folder):
    """A mount point belongs to etcd's user, and so does what is made in it: only a directory of ours is moved into."""
    live, roots = open_folder / "live", open_folder / "root"
    roots.mkdir()
    (live / "member").mkdir(parents=True)
    os.chown(live, NOBODY.pw_uid, NOBODY.pw_gid)
    aside = live / ".before-1"
    aside.symlink_to(roots)
    with pytest.raises(OSError):
        trees.move_out("contents", str(live), str(aside))
    assert list(roots.iterdir()) == [] and (live / "member").is_dir()
    aside.unlink()
    aside.mkdir()
    os.chown(aside, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(EtcdError, match="somebody else's"):
        trees.move_out("contents", str(live), str(aside))
    shutil.rmtree(aside)
    trees.move_out("contents", str(live), str(aside))
    assert (aside / "member").is_dir()
