# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of stores of an inventory: what becomes of it, and what is refused, each with its place and what to do."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.store_settings import StoreSettings
from ansible_collections.quorum.etcd.plugins.module_utils.backup.wanted_stores import FOLDER, wanted_stores
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError

OWN = ("/var/backups/etcd", "/var/lib/quorum-etcd")
CONFIG = "[offsite]\ntype = s3\nsecret_access_key = very-secret\n"
NFS = {"name": "nfs", "folder": "/mnt/backup/"}
S3 = {"name": "s3", "remote": "offsite:bucket/etcd", "rclone_config": CONFIG, "password": "pass word"}
# What Ansible makes of suboptions that are not given.
UNSET = {"folder": None, "remote": None, "rclone_config": None, "password": None, "mounted": True, "append_only": False}


def test_folders_and_remotes_with_their_secrets_in_files():
    nfs, s3 = wanted_stores([{**UNSET, **NFS}, {**UNSET, **S3, "append_only": True}], OWN)
    assert nfs.settings == StoreSettings("nfs", folder="/mnt/backup") and nfs.files == {}
    assert s3.settings == StoreSettings(
        "s3",
        remote="offsite:bucket/etcd",
        append_only=True,
        rclone_config=f"{FOLDER}/s3.conf",
        password_file=f"{FOLDER}/s3.password",
    )
    assert s3.settings.encrypted and not nfs.settings.encrypted
    assert s3.files == {f"{FOLDER}/s3.conf": CONFIG, f"{FOLDER}/s3.password": "pass word\n"}
    assert "secret" not in repr(s3.settings) and "pass word" not in repr(s3.settings)


def test_a_configuration_that_is_on_the_hosts_already():
    (one,) = wanted_stores([{**S3, "rclone_config": "/root/.config/rclone/rclone.conf", "password": ""}])
    assert one.settings.proxy == ""
    assert one.settings.rclone_config == "/root/.config/rclone/rclone.conf" and one.files == {}


@pytest.mark.parametrize(
    ("given", "mounted"), [(True, True), (False, False), ("no", False), ("True", True), ("/mnt", "/mnt")]
)
def test_how_a_folder_is_known_to_be_mounted(given, mounted):
    (one,) = wanted_stores([{**NFS, "mounted": given}], OWN)
    assert one.settings.mounted is mounted or one.settings.mounted == mounted


@pytest.mark.parametrize(
    ("entries", "place", "why"),
    [
        ([{"folder": "/mnt"}], "store 1 of etcd_backup_offsite", "has no name"),
        ([{**NFS, "name": "../nfs"}], "store 1", "has no name that a file could have: '../nfs'"),
        ([NFS, NFS], "store 2 of etcd_backup_offsite, nfs,", "has the name of another"),
        ([{"name": "a"}], "a,", "needs one of folder and remote"),
        ([{**NFS, **S3}], "s3,", "needs one of folder and remote, and not both"),
        ([{**NFS, "folder": "mnt"}], "nfs,", "no absolute path"),
        ([{**NFS, "folder": "/var/backups/etcd/off"}], "nfs,", "/var/backups/etcd is this host's own"),
        ([{**NFS, "folder": "/var"}], "nfs,", "this host's own"),
        ([{**NFS, "password": "x"}], "nfs,", "is a folder, for which password means nothing"),
        ([{**NFS, "mounted": "/srv"}], "nfs,", "which /mnt/backup is not in"),
        ([{**S3, "remote": "bucket/etcd"}], "s3,", "does not begin with the name of a section"),
        ([{**S3, "remote": ":s3,secret_access_key=x:bucket"}], "s3,", "does not begin with the name of a section"),
        ([{**S3, "remote": "offsite,secret_access_key=x:bucket"}], "s3,", "does not begin with the name of a section"),
        ([{**S3, "rclone_config": ""}], "s3,", "has no rclone_config"),
        ([{**S3, "remote": "other:bucket"}], "s3,", "without a section [other]"),
        ([{**S3, "password": "a\nb"}], "s3,", "several lines"),
        ([{**S3, "proxy": "http://user:secret@proxy:3128"}], "s3,", "it can have no password"),
        ([{**S3, "proxy": "proxy"}], "s3,", "not like http://proxy.example.org:3128"),
        ([{**NFS, "proxy": "http://proxy:3128"}], "nfs,", "for which proxy means nothing"),
        ([{**S3, "mounted": False}], "s3,", "for which mounted means nothing"),
    ],
)
def test_what_could_not_be_used_is_refused_with_its_place(entries, place, why):
    with pytest.raises(EtcdError) as refused:
        wanted_stores(entries, OWN)
    assert refused.value.next_step
    assert place in refused.value.message and why in str(refused.value)
    assert "very-secret" not in str(refused.value)
