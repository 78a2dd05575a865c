# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of stores on their way to a host: in one argument, that is not logged, and back where they belong."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.glue import OFFSITE_OPTION, offsite_stores
from ansible_collections.quorum.etcd.plugins.plugin_utils.offsite import without_secrets

STORES = [
    {"name": "nfs", "folder": "/mnt"},
    {"name": "s3", "remote": "a:b", "rclone_config": "[a]\ntype = s3\nkey = very-secret\n", "password": "pass word"},
]


def test_the_secrets_are_in_one_argument_that_no_host_logs():
    given = without_secrets({"cluster": "etcd", "offsite": STORES})
    assert given["offsite"] == [{"name": "nfs", "folder": "/mnt"}, {"name": "s3", "remote": "a:b"}]
    assert "very-secret" not in repr(given) and "pass word" not in repr(given) and given["cluster"] == "etcd"
    assert OFFSITE_OPTION["offsite_secrets"]["no_log"] is True
    assert offsite_stores(given) == STORES
    assert STORES[1]["password"] == "pass word", "what was given is not changed"


def test_without_secrets_nothing_is_added():
    for given in ({}, {"offsite": []}, {"offsite": STORES[:1]}):
        assert without_secrets(given) == given
    assert offsite_stores({"offsite": STORES, "offsite_secrets": ""}) == STORES
