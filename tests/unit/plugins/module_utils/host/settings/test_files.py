# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings.files import (
    backup_copy,
    restore_copy,
    write_file,
)


class TestFiles:
    def test_a_symbolic_link_stays_one_and_no_other_file_is_left(self, tmp_path):
        target = tmp_path / "real"
        target.write_text("a")
        link = tmp_path / "link"
        link.symlink_to(target)
        write_file(str(link), "b")
        assert link.is_symlink()
        assert target.read_text() == "b"
        assert sorted(os.listdir(str(tmp_path))) == ["link", "real"]

    def test_neither_kubelet_nor_systemd_would_read_the_temporary_file(self, tmp_path, monkeypatch):
        names = []
        rename = os.rename
        monkeypatch.setattr(os, "rename", lambda one, other: (names.append(os.path.basename(one)), rename(one, other)))
        write_file(str(tmp_path / "etcd.conf"), "x")
        assert names[0].startswith(".")
        assert not names[0].endswith((".conf", ".yaml"))

    def test_a_failed_write_leaves_the_old_file_alone(self, tmp_path, monkeypatch):
        file = tmp_path / "e"
        file.write_text("old")

        def fail(*_args):
            raise OSError("disk full")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            write_file(str(file), "new")
        assert os.listdir(str(tmp_path)) == ["e"]
        assert file.read_text() == "old"

    def test_backups_do_not_overwrite_each_other(self, tmp_path):
        file = tmp_path / "e"
        file.write_text("one")
        first = backup_copy(str(file), str(tmp_path / "b"), "0")
        assert backup_copy(str(file), str(tmp_path / "b"), "0") == first
        file.write_text("two")
        assert backup_copy(str(file), str(tmp_path / "b"), "0") != first


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_link_that_leads_to_another_users_file_is_not_written_through(tmp_path):
    """A configuration in a folder of etcd's own user: that user could have root write whatever it leads to."""
    roots, link = tmp_path / "root.env", tmp_path / "etcd.env"
    roots.write_text("ETCD_NAME=m1\n")
    link.symlink_to(roots)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(EtcdError, match="is a link to .*root.env, made by a user"):
        write_file(str(link), "ETCD_NAME=m2\n")
    assert roots.read_text() == "ETCD_NAME=m1\n"
    os.chown(link, 0, 0, follow_symlinks=False)
    write_file(str(link), "ETCD_NAME=m2\n")
    assert roots.read_text() == "ETCD_NAME=m2\n" and link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_link_of_another_user_neither_makes_a_file_elsewhere_nor_is_read_by_a_copy(tmp_path):
    """What a copy holds goes back to the configuration's owner, and a link to nothing yet would make a file there."""
    folder, roots, path = tmp_path / "copies", tmp_path / "roots", tmp_path / "etcd.conf"
    path.write_text("name: m1\n")
    copy = backup_copy(str(path), str(folder), "1")
    path.unlink()
    roots.mkdir()
    path.symlink_to(roots / "new")
    os.lchown(path, 65534, 65534)
    with pytest.raises(EtcdError, match="made by a user"):
        restore_copy(copy, str(path))
    assert list(roots.iterdir()) == []
    (roots / "new").write_text("secret")
    with pytest.raises(EtcdError, match="made by a user"):
        backup_copy(str(path), str(folder), "2")
    assert os.listdir(folder) == ["etcd.conf.1"]
