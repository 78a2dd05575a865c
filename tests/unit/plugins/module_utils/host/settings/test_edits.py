# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import tempfile

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host.discovery import discover
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings.files import restore_copy
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.settings.texts import KUBEADM, KUBESPRAY_ENV


def run_ok(argv, env):
    return Result(0, "", "")


def member(service=None, **over):
    """The member of a host where nothing is, but for what is said here."""

    def nothing(argv, _env):
        raise FileNotFoundError(2, "none", argv[0])

    with tempfile.TemporaryDirectory() as root:
        found = to_plain(discover({"name": "m1", "state_dir": "/state"}, nothing, root))
    base = {
        "config": {"format": "env", "path": "/etc/default/etcd"},
        "settings": {
            "initial-cluster-state": {"value": "new", "kind": "variable", "format": "env", "path": "/etc/default/etcd"}
        },
        "service": {**found["service"], **(service or {})},
    }
    return from_plain(MemberFacts, {**found, **base, **over})


class TestPlanAndApply:
    def test_edits_go_where_settings_live_and_new_ones_to_the_primary_file(self):
        lives = {
            "initial-cluster": {
                "value": "x",
                "kind": "flag",
                "format": "unit",
                "path": "/etc/systemd/system/etcd.service",
            }
        }
        edits = settings.plan_edits(
            member(settings=lives),
            {"initial-cluster": "y", "initial-cluster-token": "t", "initial-cluster-state": "new"},
        )
        assert [(edit.path, edit.before, edit.after) for edit in edits] == [
            ("/etc/systemd/system/etcd.service", {"initial-cluster": "x"}, {"initial-cluster": "y"}),
            (
                "/etc/default/etcd",
                {"initial-cluster-token": "", "initial-cluster-state": ""},
                {"initial-cluster-token": "t", "initial-cluster-state": "new"},
            ),
        ]

    def test_edits_travel_as_plain_data_and_take_another_value(self):
        edit = settings.plan_edits(member(), {"initial-cluster-state": "new"})[0]
        again = from_plain(settings.Edit, to_plain(edit))
        assert again == edit
        assert again.with_value("initial-cluster-state", "existing").settings == {"initial-cluster-state": "existing"}
        assert again.with_value("name", "x") == again

    @pytest.mark.parametrize(
        "over",
        [
            {"config": {"format": "", "path": ""}, "settings": {}},
            {"settings": {"name": {"value": "m1", "kind": "flag", "format": "process", "path": ""}}},
        ],
    )
    def test_a_setting_without_a_file(self, over):
        with pytest.raises(EtcdError, match="m1"):
            settings.plan_edits(member(**over), {"name": "m2"})

    def test_apply_is_idempotent_and_keeps_backups(self, tmp_path):
        file = tmp_path / "etcd.env"
        file.write_text(KUBESPRAY_ENV)
        file.chmod(0o640)
        edits = [settings.Edit(str(file), "env", {}, {}, {"initial-cluster-state": "new"})]
        backups = settings.apply_edits(edits, str(tmp_path / "b"), "s", run_ok)
        assert len(backups) == 1
        with open(backups[0]) as copy:
            assert copy.read() == KUBESPRAY_ENV
        assert stat.S_IMODE(os.stat(backups[0]).st_mode) == 0o640
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert settings.apply_edits(edits, str(tmp_path / "b"), "s", run_ok) == []
        assert restore_copy(backups[0], str(file)) is True
        assert file.read_text() == KUBESPRAY_ENV
        assert restore_copy(backups[0], str(file)) is False

    def test_nothing_is_written_when_one_of_the_edits_is_impossible(self, tmp_path):
        file = tmp_path / "etcd.env"
        file.write_text(KUBESPRAY_ENV)
        bad = tmp_path / "bad.env"
        bad.write_text('ETCD_NAME="x\n')
        edits = [settings.Edit(str(path), "env", {}, {}, {"name": "n"}) for path in (file, bad)]
        with pytest.raises(EtcdError, match="bad.env"):
            settings.apply_edits(edits, "", "", run_ok)
        assert file.read_text() == KUBESPRAY_ENV

    def test_a_vendor_unit_gets_a_drop_in(self, tmp_path):
        calls = []

        def run(argv, env):
            calls.append(argv)
            return Result(0, "", "")

        dropin = tmp_path / "etcd.service.d" / "zz.conf"
        lives = {
            "name": {"value": "m1", "kind": "flag", "format": "unit", "path": "/usr/lib/systemd/system/etcd.service"}
        }
        service = {"name": "etcd", "dropin": str(dropin), "exec_start": "/usr/bin/etcd --name=m1"}
        edits = settings.plan_edits(member(settings=lives, service=service), {"name": "m2"})
        assert settings.apply_edits(edits, str(tmp_path), "s", run) == [""]
        assert dropin.read_text() == "[Service]\nExecStart=\nExecStart=/usr/bin/etcd --name=m2\n"
        assert calls == [["systemctl", "daemon-reload"]]
        assert settings.apply_edits(edits, str(tmp_path), "s", run) == []

    def test_a_drop_in_with_variables_gets_the_command_line_too(self, tmp_path):
        dropin = tmp_path / "zz.conf"
        dropin.write_text("[Service]\nEnvironment=ETCD_DEBUG=true")
        seed = "[Service]\nExecStart=\nExecStart=/usr/bin/etcd --name=m1\n"
        settings.apply_edits([settings.Edit(str(dropin), "unit", {}, {}, {"name": "m2"}, seed)], "", "", run_ok)
        assert formats.read("unit", dropin.read_text()) == {"debug": "true", "name": "m2"}

    def test_a_parked_manifest_is_edited_where_it_is(self, tmp_path):
        manifest = tmp_path / "manifests" / "etcd.yaml"
        pod = member(
            state_dir=str(tmp_path / "state"), config={"format": "static_pod", "path": str(manifest)}, settings={}
        )
        edits = settings.plan_edits(pod, {"initial-cluster-state": "new"})
        parked = tmp_path / "state" / "static-pods" / "etcd.yaml"
        parked.parent.mkdir(parents=True)
        parked.write_text(KUBEADM)
        settings.apply_edits(edits, "", "", run_ok)
        assert "--initial-cluster-state=new" in parked.read_text()
        assert not manifest.exists()
        manifest.parent.mkdir()
        manifest.write_text(KUBEADM)  # in its folder it is the one that counts
        assert edits[0].current_path() == str(manifest)

    def test_a_missing_file_is_not_made(self, tmp_path):
        with pytest.raises(EtcdError, match="is not there"):
            settings.apply_edits([settings.Edit(str(tmp_path / "no"), "env", {}, {}, {"name": "x"})], "", "", run_ok)

    def test_diff_shows_changed_lines_only_and_no_password(self, tmp_path):
        file = tmp_path / "etcd.env"
        file.write_text('ETCD_NAME="a"\nETCD_DISCOVERY_PASSWORD="geheim"\nETCD_WAL_DIR=/w\n')
        diff = settings.Edit(str(file), "env", {}, {}, {"name": "b", "discovery-password": "neu"}).diff()
        assert diff["before_header"] == str(file)
        assert diff["before"] == 'ETCD_NAME="a"\nETCD_DISCOVERY_PASSWORD=********\n'
        assert "neu" not in diff["after"]

    @pytest.mark.parametrize("state", ["", "New", "old"])
    def test_the_state_is_new_or_existing(self, state):
        with pytest.raises(EtcdError, match="initial-cluster-state"):
            settings.checked({"initial-cluster-state": state})

    def test_values_become_text(self):
        found = settings.checked({"snapshot-count": 5, "client-cert-auth": True, "cors": ["a", "b"]})
        assert found == {"snapshot-count": "5", "client-cert-auth": "true", "cors": "a,b"}

    def test_bytes_that_are_no_text_survive(self, tmp_path):
        file = tmp_path / "e"
        file.write_bytes(b"# caf\xe9\r\nETCD_NAME=a\r\n")
        settings.apply_edits([settings.Edit(str(file), "env", {}, {}, {"name": "b"})], "", "", run_ok)
        assert file.read_bytes() == b"# caf\xe9\r\nETCD_NAME=b\r\n"
