# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that begin as the role's own and that nobody reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ansible.parsing.dataloader import DataLoader
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS
from ansible_collections.quorum.etcd.plugins.plugin_utils.variables import unknown_variables

ROLE = SimpleNamespace(_role_path=str(Path(__file__).resolve().parents[4] / "roles" / "job"))


class HostVars(dict):
    raw_get = dict.__getitem__


def unknown(**given):
    task_vars = {"ansible_play_hosts_all": ["m1", "m2"], "hostvars": HostVars(m1={"etcd_name": "m1"}, m2=given)}
    return unknown_variables(WORDS, SimpleNamespace(_role=ROLE), DataLoader(), task_vars)


def test_the_roles_own_variables_are_known():
    assert (
        unknown(etcd_restore_snapshot="x", etcd_restore_confirm="etcd", etcd_restore_aside="/a", etcd_whatever=1) == ""
    )


def test_a_wrong_letter_is_found_on_any_host_and_what_is_meant_is_said():
    said = unknown(etcd_restore_snapshots="x")
    assert (
        said.startswith("there is no variable etcd_restore_snapshots,") and "Next: write etcd_restore_snapshot," in said
    )
    assert "these are known: etcd_restore_confirm," in unknown(etcd_restore_zzzzzzzz="x")


def test_who_calls_the_module_by_itself_is_left_alone():
    assert unknown_variables(WORDS, SimpleNamespace(_role=None), DataLoader(), {}) == ""
