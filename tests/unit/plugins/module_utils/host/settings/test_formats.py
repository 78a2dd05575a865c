# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats as settings
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings.names import variable_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.settings.texts import (
    DEBIAN_ENV,
    KUBEADM,
    KUBESPRAY_ENV,
    POD_WITH_ENV,
    SAMPLE_YAML,
    UNIT,
)

TEXTS = {
    "debian": ("env", DEBIAN_ENV),
    "kubespray": ("env", KUBESPRAY_ENV),
    "sample": ("yaml", SAMPLE_YAML),
    "unit": ("unit", UNIT),
    "kubeadm": ("static_pod", KUBEADM),
}
CLUSTER = "a=https://[::1]:2380,b=http://192.0.2.2:2380"
NASTY = [
    CLUSTER, "two words", " lead", "trail ", 'dou"ble', "sin'gle", "both\"'", "$HOME", "${X}", "`id`", "back\\slash", "end\\",
    "100%H", "%%", "#hash", "a #b", "a: b", "colon:", "0123", "1e3", "true", "no", "~", "null", "[x]", "{y}", "*z", "&a",
    "!t", "@b", ";", "a;b", "|", ">", "ü", "x=y", "",
]  # fmt: skip


def others(text, *words):
    return [line for line in text.splitlines(keepends=True) if not any(word in line for word in words)]


class TestRead:
    def test_debian(self):
        assert settings.read("env", DEBIAN_ENV) == {"name": "m1", "listen-peer-urls": "http://192.0.2.11:2380"}

    def test_kubespray_without_the_clients_variables(self):
        found = settings.read("env", KUBESPRAY_ENV)
        assert found["initial-cluster"] == "etcd1=https://192.0.2.11:2380,etcd2=https://192.0.2.12:2380"
        assert found["client-cert-auth"] == "true"
        assert not [name for name in found if "endpoints" in name or "ctl" in name]

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("ETCD_NAME=a\nETCD_NAME=b\n", "b"),
            ("export ETCD_NAME='a b'\n", "a b"),
            ("ETCD_NAME = x  \n", "x"),
            ("ETCD_NAME=a b  c\n", "a b  c"),
            ("ETCD_NAME=a\\\nb\n", "ab"),
            ('ETCD_NAME="a\\\nb"\n', "ab"),
            ('ETCD_NAME="q\\"\\$\\n"\n', 'q"$\\n'),
            ("ETCD_NAME=it's\n", "it's"),
            ("ETCD_NAME='a'\"b\"\n", "ab"),
            ("ETCD_NAME=\n", ""),
            ("ETCD_NAME=x\r\n", "x"),
            ('ETCD_DATA_DIR="first\nETCD_NAME=inside"\nETCD_NAME=y', "y"),
        ],
    )
    def test_environment_file_as_systemd_reads_it(self, text, value):
        assert settings.read("env", text)["name"] == value

    def test_yaml(self):
        found = settings.read("yaml", SAMPLE_YAML)
        assert found["name"] == "default"
        assert found["data-dir"] == ""
        assert found["listen-peer-urls"] == "http://localhost:2380"
        assert found["cert-file"] == "/etc/etcd/server.crt"
        assert found["trusted-ca-file"] == "/etc/etcd/ca.crt"
        assert found["peer-cert-file"] == "/etc/etcd/peer.crt"
        assert found["client-cert-auth"] == "false"
        assert found["cipher-suites"].count(",") == 1
        assert found["log-outputs"] == "stderr"
        assert "initial-cluster-state" not in found

    def test_unit(self):
        assert settings.read("unit", UNIT) == {
            "name": "m1",
            "data-dir": "/var/lib/etcd",
            "initial-cluster": "m1=http://192.0.2.11:2380,m2=http://192.0.2.12:2380",
            "client-cert-auth": "true",
            "initial-cluster-state": "new",
            "heartbeat-interval": "250",
        }

    def test_unit_resets(self):
        text = "[Service]\nEnvironment=ETCD_NAME=a\nEnvironment=\nExecStart=/bin/etcd --name=x\nExecStart=\n"
        assert settings.read("unit", text) == {}
        text += "ExecStart=/bin/etcd --data-dir=/d\n"
        assert settings.read("unit", text) == {"data-dir": "/d"}

    def test_unit_with_a_shell_is_not_guessed_at(self):
        assert settings.read("unit", '[Service]\nExecStart=/bin/sh -c "exec etcd --name=x"\n') == {"name": "x"}

    def test_kubeadm(self):
        found = settings.read("static_pod", KUBEADM)
        assert found["name"] == "cp1"
        assert found["initial-cluster"] == "cp1=https://192.0.2.11:2380"
        assert "initial-cluster-state" not in found

    def test_pod_with_variables(self):
        assert settings.read("static_pod", POD_WITH_ENV) == {"name": "cp1", "initial-cluster-token": "plain"}

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("name: *anchor\n", 1),
            ("name: &a *a\n", 1),
            ("? name: a\n", 1),
            ("- name\n", 1),
            ("name: 'a\n", 1),
            ("name: a # b\n  c\n", 2),
            ("%YAML 1.1\n---\nname: a\n", 1),
            ("name: a\n\tx: b\n", 2),
            ("name: a\n  x: b\n", 2),
            ("a: 1\n<<: a\n", 2),
            ("name: a: b\n", 1),
            ("{name: a\n", 1),
            ("name: a\rx: b\n", 1),
        ],
    )
    def test_yaml_that_is_not_understood_is_named_by_line(self, text, line):
        with pytest.raises(EtcdError, match=f"line {line} "):
            settings.read("yaml", text)

    def test_unclosed_quote(self):
        with pytest.raises(EtcdError, match="line 2: its quote is never closed"):
            settings.read("env", '# c\nETCD_NAME="a\n')


class TestEdit:
    @pytest.mark.parametrize("value", NASTY)
    @pytest.mark.parametrize("setting", ["initial-cluster-token", "name", "initial-cluster", "discovery"])
    @pytest.mark.parametrize("which", sorted(TEXTS))
    def test_what_is_set_is_read_back_and_nothing_else_changes(self, which, setting, value):
        format, text = TEXTS[which]
        edited = settings.edit(format, text, {setting: value})
        assert settings.read(format, edited) == {**settings.read(format, text), setting: value}
        assert settings.edit(format, edited, {setting: value}) == edited
        words = (setting, variable_of(setting))
        assert others(edited, *words) == others(text, *words) or which == "unit"
        assert abs(len(edited.splitlines()) - len(text.splitlines())) <= 1

    @pytest.mark.parametrize("which", sorted(TEXTS))
    def test_line_ends_and_a_missing_last_one_are_kept(self, which):
        format, text = TEXTS[which]
        wanted = {"initial-cluster-state": "existing", "initial-cluster-token": "t-1", "discovery": "x"}
        plain = settings.edit(format, text, wanted)
        windows = settings.edit(format, text.replace("\n", "\r\n"), wanted)
        assert windows == plain.replace("\n", "\r\n")
        assert not settings.edit(format, text.rstrip("\n"), wanted).endswith("\n")

    @pytest.mark.parametrize("which", sorted(TEXTS))
    def test_control_characters_are_refused(self, which):
        format, text = TEXTS[which]
        with pytest.raises(EtcdError, match="control character"):
            settings.edit(format, text, {"name": "a\nb"})

    def test_debian_puts_it_below_the_commented_line(self):
        edited = settings.edit("env", DEBIAN_ENV, {"initial-cluster-state": "existing"})
        assert '# ETCD_INITIAL_CLUSTER_STATE="existing"\nETCD_INITIAL_CLUSTER_STATE="existing"\n' in edited
        assert others(edited, "ETCD_INITIAL_CLUSTER_STATE") == others(DEBIAN_ENV, "ETCD_INITIAL_CLUSTER_STATE")

    def test_kubespray_stays_without_quotes(self):
        edited = settings.edit(
            "env", KUBESPRAY_ENV, {"initial-cluster-state": "new", "initial-cluster": CLUSTER, "wal-dir": "/w"}
        )
        assert "ETCD_INITIAL_CLUSTER_STATE=new\n" in edited
        assert f"ETCD_INITIAL_CLUSTER={CLUSTER}\n" in edited
        assert "ETCD_CLIENT_CERT_AUTH=true\nETCD_WAL_DIR=/w\n" in edited

    def test_env_edits_the_assignment_that_counts(self):
        text = "ETCD_NAME=a\nexport ETCD_NAME='b'\n"
        assert settings.edit("env", text, {"name": "c"}) == "ETCD_NAME=a\nexport ETCD_NAME='c'\n"

    def test_env_refuses_a_comment_behind_the_value(self):
        with pytest.raises(EtcdError, match="line 1: a comment follows"):
            settings.edit("env", "ETCD_NAME=a # mine\n", {"name": "b"})
        with pytest.raises(EtcdError, match="line 1: a comment follows"):
            settings.edit("env", 'ETCD_NAME="a" # mine\n', {"name": "b"})

    def test_env_refuses_a_comment_that_goes_on(self):
        with pytest.raises(EtcdError, match="backslash"):
            settings.edit("env", "# comment \\\nETCD_NAME=a\n", {"name": "b"})

    def test_yaml_keeps_comments_and_quotes(self):
        wanted = {
            "name": "m1",
            "listen-peer-urls": "http://[::1]:2380",
            "initial-cluster": CLUSTER,
            "initial-cluster-state": "existing",
        }
        edited = settings.edit(
            "yaml", SAMPLE_YAML, {**wanted, "snapshot-count": "5000", "trusted-ca-file": "/ca", "key-file": "/k"}
        )
        assert "\nname: 'm1'\n" in edited
        assert "\nlisten-peer-urls: http://[::1]:2380   # peers\n" in edited
        assert f"\ninitial-cluster: '{CLUSTER}'\n" in edited
        assert "# initial-cluster-state: 'new'\ninitial-cluster-state: 'existing'\n" in edited
        assert "\nsnapshot-count: 5000\n" in edited
        assert '\n  trusted-ca-file: "/ca"\n' in edited
        assert "\n  key-file: '/k'\n" in edited
        changed = ("name:", "peer-urls", "initial-cluster", "snapshot-count", "trusted-ca-file", "key-file")
        assert others(edited, *changed) == others(SAMPLE_YAML, *changed)

    def test_yaml_adds_to_a_section_and_a_section(self):
        edited = settings.edit("yaml", "name: a\n", {"peer-cert-file": "/c", "peer-key-file": "/k"})
        assert edited == "name: a\npeer-transport-security:\n  cert-file: '/c'\n  key-file: '/k'\n"

    def test_yaml_refuses_what_is_no_scalar(self):
        with pytest.raises(EtcdError, match="no plain value but a list"):
            settings.edit("yaml", SAMPLE_YAML, {"cipher-suites": "A"})

    def test_unit_keeps_its_style(self):
        edited = settings.edit(
            "unit", UNIT, {"name": "m9", "initial-cluster": CLUSTER, "initial-cluster-state": "existing"}
        )
        assert "\n  --name m9 \\\n" in edited
        assert f"\n  -initial-cluster '{CLUSTER}' \\\n" in edited
        assert '\n  --initial-cluster-state="existing"\n' in edited
        changed = ("--name", "-initial-cluster")
        assert others(edited, *changed) == others(UNIT, *changed)

    def test_unit_adds_a_flag_on_its_own_line(self):
        edited = settings.edit("unit", UNIT, {"initial-cluster-token": "t"})
        assert edited.startswith(UNIT[: UNIT.index('"new"') + 5])
        assert '--initial-cluster-state="new" \\\n  -initial-cluster-token=t\nEnvironment=' in edited

    def test_unit_edits_variables_where_they_are(self):
        edited = settings.edit("unit", UNIT, {"heartbeat-interval": "100"})
        assert edited == UNIT.replace("INTERVAL=250", "INTERVAL=100")

    def test_unit_with_variables_only_gets_a_variable(self):
        text = "[Service]\nEnvironment=ETCD_NAME=%H\nExecStart=/usr/bin/etcd\n"
        edited = settings.edit("unit", text, {"initial-cluster-state": "existing"})
        assert edited == text.replace("%H\n", "%H\nEnvironment=ETCD_INITIAL_CLUSTER_STATE=existing\n")

    def test_unit_refuses_a_flag_from_a_variable(self):
        with pytest.raises(EtcdError, match=r"takes its value from \$\{NAME\}"):
            settings.edit("unit", "[Service]\nExecStart=/usr/bin/etcd --name=${NAME}\n", {"name": "x"})

    def test_kubeadm_gets_the_flag_it_leaves_out_beside_the_others(self):
        edited = settings.edit("static_pod", KUBEADM, {"initial-cluster-state": "existing"})
        beside = "    - --initial-cluster=cp1=https://192.0.2.11:2380\n"
        assert edited == KUBEADM.replace(beside, beside + "    - --initial-cluster-state=existing\n")

    def test_pod_variables_and_flow_lists(self):
        edited = settings.edit("static_pod", POD_WITH_ENV, {"name": "0123", "initial-cluster-token": "true"})
        assert 'value: "0123"\n' in edited
        assert "value: 'true'\n" in edited
        assert settings.edit("static_pod", edited, {"name": "0123", "initial-cluster-token": "true"}) == edited
        with pytest.raises(EtcdError, match="list of words, one a line"):
            settings.edit("static_pod", POD_WITH_ENV, {"initial-cluster-state": "new"})

    def test_pod_with_flag_and_value_on_two_lines(self):
        text = "spec:\n  containers:\n    - name: etcd\n      args:\n        - --name\n        - 'a'\n"
        text += "      command:\n        - etcd\n"
        assert settings.edit("static_pod", text, {"name": "b"}) == text.replace("'a'", "'b'")
        added = settings.edit("static_pod", text, {"data-dir": "/d"})
        assert added == text.replace("'a'\n", "'a'\n        - --data-dir=/d\n")

    def test_two_containers_that_could_be_etcd(self):
        text = "spec:\n  containers:\n  - command:\n    - etcd\n    name: a\n  - name: etcd\n"
        with pytest.raises(EtcdError, match="2 containers"):
            settings.read("static_pod", text)

    @pytest.mark.parametrize("name", ["Name", "", "a b", "--name", "x\ny"])
    def test_names_that_are_no_flags(self, name):
        with pytest.raises(EtcdError, match="not the name of a setting"):
            settings.edit("env", "", {name: "x"})

    def test_unknown_format(self):
        with pytest.raises(EtcdError, match="'process'"):
            settings.edit("process", "", {"name": "x"})

    @pytest.mark.parametrize(
        ("path", "text", "format"),
        [
            ("/x/etcd.conf.yml", "", "yaml"),
            ("/etc/etcd.conf", "# c\nname: a\n", "yaml"),
            ("/etc/default/etcd", DEBIAN_ENV, "env"),
            ("/etc/etcd.conf", "#ETCD_NAME=a\n", "env"),
            ("/e", "export ETCD_NAME=a\n", "env"),
            ("/e", "", "env"),
        ],
    )
    def test_detect_format(self, path, text, format):
        assert settings.detect_format(path, text) == format


def test_what_etcd_takes_as_a_list_alone_is_written_as_one():
    edited = settings.edit("yaml", "name: m1\n", {"cipher-suites": "A,B", "listen-peer-urls": "http://a:1,http://b:1"})
    assert "cipher-suites: ['A', 'B']\n" in edited and "listen-peer-urls: http://a:1,http://b:1\n" in edited
    assert settings.read("yaml", edited)["cipher-suites"] == "A,B"
