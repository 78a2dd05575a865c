# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder as a store, on the real file system."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup import folder_store
from ansible_collections.quorum.etcd.plugins.module_utils.backup.folder_store import UPLOADING, Folder
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError

NAME = "prod-20261128T100000Z-rev7.db.zst"
CONTENT = bytes(range(1, 251)) * 12_000


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "mnt"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "spooled"
    path.write_bytes(CONTENT)
    return str(path)


def store(root, **more):
    return Folder("nfs", str(root), "prod", **{"mounted": False, **more})


def refused(do, *given):
    with pytest.raises(EtcdError) as why:
        do(*given)
    assert why.value.next_step
    return why.value.message


def test_what_is_put_is_listed_read_back_and_deleted(root, source, tmp_path):
    nfs, back = store(root), tmp_path / "back"
    nfs.put(source, NAME)
    assert nfs.names() == {NAME: len(CONTENT)}
    assert nfs.digest(NAME) == "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    nfs.get(NAME, str(back))
    assert back.read_bytes() == CONTENT
    assert back.stat().st_mode & 0o777 == 0o600
    assert (root / "prod").stat().st_mode & 0o777 == 0o700
    nfs.delete(NAME)
    nfs.delete(NAME)
    assert nfs.names() == {}


def test_before_the_first_one_it_is_empty_and_nothing_is_made(root):
    assert store(root).names() == {}
    assert os.listdir(root) == []
    assert "has no" in refused(store(root).digest, NAME)


def test_another_content_takes_the_place_of_what_was_damaged(root, source):
    store(root).put(source, NAME)
    (root / "prod" / NAME).write_bytes(CONTENT[:-1])
    store(root).put(source, NAME)
    assert (root / "prod" / NAME).read_bytes() == CONTENT


def test_append_only_neither_deletes_nor_replaces(root, source):
    nfs = store(root, append_only=True)
    nfs.put(source, NAME)
    nfs.put(source, NAME)  # the same again is no change
    assert "append_only" in refused(nfs.delete, NAME)
    (root / "prod" / NAME).write_bytes(b"altered")
    assert "neither deleted nor replaced" in refused(nfs.put, source, NAME)
    assert os.listdir(root / "prod") == [NAME]
    assert (root / "prod" / NAME).read_bytes() == b"altered"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", ".hidden", "", "a/b", "x" * 256, "a\nb"])
def test_no_name_leads_out_of_the_folder(root, source, name):
    for do, given in (
        (store(root).put, (source, name)),
        (store(root).get, (name, str(root / "x"))),
        (store(root).delete, (name,)),
        (store(root).digest, (name,)),
    ):
        assert "cannot be an object" in refused(do, *given)


def test_no_link_that_somebody_put_there_is_followed(root, source, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's own")
    (root / "prod").mkdir()
    (root / "prod" / NAME).symlink_to(secret)
    nfs, back = store(root), str(tmp_path / "back")
    assert nfs.names() == {}
    refused(nfs.get, NAME, back)
    refused(nfs.digest, NAME)
    nfs.put(source, NAME)
    assert secret.read_bytes() == b"root's own"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "other").symlink_to(elsewhere)
    refused(Folder("nfs", str(root), "other", mounted=False).put, source, NAME)
    assert os.listdir(elsewhere) == []


def test_what_is_under_way_or_was_is_no_object_and_goes_after_a_day(root, source):
    (root / "prod").mkdir()
    young, old = (root / "prod" / (UPLOADING + word) for word in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert store(root).names() == {}
    store(root).put(source, NAME)
    assert sorted(os.listdir(root / "prod")) == sorted([young.name, NAME])


def test_a_disk_that_keeps_other_bytes_is_caught_and_no_object_is_left(root, source, monkeypatch):
    real = folder_store._copy

    def flipping(path, target):
        copy = os.dup(target)
        told = real(path, target)
        os.pwrite(copy, b"\0", 1000)
        os.close(copy)
        return told

    monkeypatch.setattr(folder_store, "_copy", flipping)
    assert f"has not kept {NAME}" in refused(store(root).put, source, NAME)
    assert os.listdir(root / "prod") == []


def test_a_mount_that_is_missing_is_noticed_before_anything_is_written(root, source, tmp_path):
    """Here / , the snapshots' folder and the store's are on one disk, as below a mount point that nothing is mounted on."""
    nfs = Folder("nfs", str(root), "prod", apart_from=str(tmp_path))
    for do, given in ((nfs.put, (source, NAME)), (nfs.names, ()), (nfs.delete, (NAME,))):
        assert "nothing is mounted there" in refused(do, *given)
    assert "is not mounted" in refused(Folder("nfs", str(root), "prod", mounted=str(root)).put, source, NAME)
    # On a new machine the folder of the snapshots is not there yet.
    assert "nothing is mounted there" in refused(
        Folder("nfs", str(root), "prod", apart_from=str(tmp_path / "a/b")).names
    )
    assert os.listdir(root) == []
    assert "is not there" in refused(Folder("nfs", str(root / "gone"), "prod", mounted=False).names)


def test_a_mount_that_is_stale_is_told(root, monkeypatch):
    def stale(_path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "listdir", stale)
    assert refused(store(root).names).endswith("of the store nfs cannot be read: Stale file handle.")


def test_another_file_system_is_a_mount(tmp_path, source):
    shared = "/dev/shm"  # noqa: S108
    nfs = Folder("nfs", shared, f"quorum-etcd-test-{os.getpid()}", apart_from=str(tmp_path))
    try:
        nfs.put(source, NAME)
        assert nfs.names() == {NAME: len(CONTENT)}
        assert Folder("nfs", shared, f"quorum-etcd-test-{os.getpid()}", mounted=shared).names() == nfs.names()
    finally:
        nfs.delete(NAME)
        os.rmdir(f"{shared}/quorum-etcd-test-{os.getpid()}")


def test_a_store_that_is_full_says_so_keeps_what_it_has_and_takes_it_once_there_is_room(root, source, monkeypatch):
    nfs, real = store(root), folder_store._copy

    def full(from_there, to):
        os.write(to, b"half")
        os.close(to)
        raise OSError(errno.ENOSPC, "No space left on device")

    nfs.put(source, "old.db.zst")
    monkeypatch.setattr(folder_store, "_copy", full)
    why = refused(nfs.put, source, NAME)
    assert "nfs" in why and "No space left on device" in why
    assert os.listdir(root / "prod") == ["old.db.zst"]
    monkeypatch.setattr(folder_store, "_copy", real)
    nfs.put(source, NAME)
    assert nfs.names() == dict.fromkeys(["old.db.zst", NAME], len(CONTENT))
