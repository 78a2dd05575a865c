# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings

DEBIAN_ENV = """\
## etcd(1) daemon options
## See "/usr/share/doc/etcd-server/op-guide/configuration.md.gz"

### Member flags

##### --name
## Human-readable name for this member.
# ETCD_NAME="hostname"

ETCD_NAME="m1"
ETCD_LISTEN_PEER_URLS="http://192.0.2.11:2380"

##### -initial-cluster-state
# ETCD_INITIAL_CLUSTER_STATE="existing"

##### -initial-cluster-token
# ETCD_INITIAL_CLUSTER_TOKEN="etcd-cluster"

##### -auto-compaction-retention
# ETCD_AUTO_COMPACTION_RETENTION="0"
"""

KUBESPRAY_ENV = """\
# Environment file for etcd 3.5.16
ETCD_DATA_DIR=/var/lib/etcd
ETCD_ADVERTISE_CLIENT_URLS=https://192.0.2.11:2379
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_METRICS=basic
ETCD_INITIAL_CLUSTER_TOKEN=k8s_etcd
ETCD_NAME=etcd1
ETCD_INITIAL_CLUSTER=etcd1=https://192.0.2.11:2380,etcd2=https://192.0.2.12:2380

# TLS settings
ETCD_TRUSTED_CA_FILE=/etc/ssl/etcd/ssl/ca.pem
ETCD_CLIENT_CERT_AUTH=true

# CLI settings
ETCDCTL_ENDPOINTS=https://127.0.0.1:2379
ETCDCTL_CACERT=/etc/ssl/etcd/ssl/ca.pem
"""

SAMPLE_YAML = """\
# The settings of one member.

# What people call it.
name: 'default'

# Where the data lies.
data-dir:

wal-dir:

# Transactions until a snapshot is written.
snapshot-count: 10000

quota-backend-bytes: 0

listen-peer-urls: http://localhost:2380   # peers

# Cluster
initial-cluster:
initial-cluster-token: 'etcd-cluster'

# initial-cluster-state: 'new'
strict-reconfig-check: false

client-transport-security:
  # The certificate.
  cert-file: /etc/etcd/server.crt
  key-file:
  client-cert-auth: false

  trusted-ca-file: "/etc/etcd/ca.crt"

peer-transport-security:
  cert-file: /etc/etcd/peer.crt

log-level: debug
log-outputs: [stderr]
force-new-cluster: false

cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
"""

UNIT = """\
[Unit]
Description=etcd = the store
# ExecStart=/usr/bin/etcd --name=wrong

[Service]
Type=notify
ExecStart=/usr/local/bin/etcd \\
  --name m1 \\
  # a comment in between
  --data-dir=/var/lib/etcd \\
  -initial-cluster 'm1=http://192.0.2.11:2380,m2=http://192.0.2.12:2380' \\
  --client-cert-auth \\
  --initial-cluster-state="new"
Environment="ETCD_HEARTBEAT_INTERVAL=250" ETCD_NAME=unused
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""

KUBEADM = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/etcd.advertise-client-urls: https://192.0.2.11:2379
  creationTimestamp: null
  labels:
    component: etcd
    tier: control-plane
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://192.0.2.11:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --client-cert-auth=true
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://192.0.2.11:2380
    - --initial-cluster=cp1=https://192.0.2.11:2380
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --listen-client-urls=https://127.0.0.1:2379,https://192.0.2.11:2379
    - --name=cp1
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    image: registry.k8s.io/etcd:3.5.16-0
    livenessProbe:
      httpGet:
        host: 127.0.0.1
        path: /livez
        port: probe-port
    name: etcd
    resources:
      requests:
        cpu: 100m
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
    - mountPath: /etc/kubernetes/pki/etcd
      name: etcd-certs
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki/etcd
      type: DirectoryOrCreate
    name: etcd-certs
  - hostPath:
      path: /var/lib/etcd
      type: DirectoryOrCreate
    name: etcd-data
status: {}
"""

POD_WITH_ENV = """\
spec:
  containers:
  - name: etcd
    image: etcd
    command: ["/usr/local/bin/etcd"]
    env:
    - name: ETCD_NAME
      value: "cp1"
    - name: ETCD_INITIAL_CLUSTER_TOKEN
      value: plain
"""

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


def run_ok(argv, env):
    return Result(0, "", "")


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
        words = (setting, settings.variable_of(setting))
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


def member(**over):
    base = {
        "name": "m1",
        "state_dir": "/state",
        "config": {"format": "env", "path": "/etc/default/etcd"},
        "settings": {
            "initial-cluster-state": {"value": "new", "kind": "variable", "format": "env", "path": "/etc/default/etcd"}
        },
        "service": {"name": "etcd", "dropin": "", "exec_start": ""},
    }
    return {**base, **over}


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
        again = settings.Edit.from_dict(edit.as_dict())
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
        assert settings.restore_copy(backups[0], str(file)) is True
        assert file.read_text() == KUBESPRAY_ENV
        assert settings.restore_copy(backups[0], str(file)) is False

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
        assert settings.read("unit", dropin.read_text()) == {"debug": "true", "name": "m2"}

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


class TestFiles:
    def test_bytes_that_are_no_text_survive(self, tmp_path):
        file = tmp_path / "e"
        file.write_bytes(b"# caf\xe9\r\nETCD_NAME=a\r\n")
        settings.apply_edits([settings.Edit(str(file), "env", {}, {}, {"name": "b"})], "", "", run_ok)
        assert file.read_bytes() == b"# caf\xe9\r\nETCD_NAME=b\r\n"

    def test_a_symbolic_link_stays_one_and_no_other_file_is_left(self, tmp_path):
        target = tmp_path / "real"
        target.write_text("a")
        link = tmp_path / "link"
        link.symlink_to(target)
        settings.write_file(str(link), "b")
        assert link.is_symlink()
        assert target.read_text() == "b"
        assert sorted(os.listdir(str(tmp_path))) == ["link", "real"]

    def test_neither_kubelet_nor_systemd_would_read_the_temporary_file(self, tmp_path, monkeypatch):
        names = []
        rename = os.rename
        monkeypatch.setattr(os, "rename", lambda one, other: (names.append(os.path.basename(one)), rename(one, other)))
        settings.write_file(str(tmp_path / "etcd.conf"), "x")
        assert names[0].startswith(".")
        assert not names[0].endswith((".conf", ".yaml"))

    def test_a_failed_write_leaves_the_old_file_alone(self, tmp_path, monkeypatch):
        file = tmp_path / "e"
        file.write_text("old")

        def fail(*_args):
            raise OSError("disk full")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            settings.write_file(str(file), "new")
        assert os.listdir(str(tmp_path)) == ["e"]
        assert file.read_text() == "old"

    def test_backups_do_not_overwrite_each_other(self, tmp_path):
        file = tmp_path / "e"
        file.write_text("one")
        first = settings.backup_copy(str(file), str(tmp_path / "b"), "0")
        assert settings.backup_copy(str(file), str(tmp_path / "b"), "0") == first
        file.write_text("two")
        assert settings.backup_copy(str(file), str(tmp_path / "b"), "0") != first

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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_link_that_leads_to_another_users_file_is_not_written_through(tmp_path):
    """A configuration in a folder of etcd's own user: that user could have root write whatever it leads to."""
    roots, link = tmp_path / "root.env", tmp_path / "etcd.env"
    roots.write_text("ETCD_NAME=m1\n")
    link.symlink_to(roots)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(EtcdError, match="is a link to .*root.env, made by a user"):
        settings.write_file(str(link), "ETCD_NAME=m2\n")
    assert roots.read_text() == "ETCD_NAME=m1\n"
    os.chown(link, 0, 0, follow_symlinks=False)
    settings.write_file(str(link), "ETCD_NAME=m2\n")
    assert roots.read_text() == "ETCD_NAME=m2\n" and link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_link_of_another_user_neither_makes_a_file_elsewhere_nor_is_read_by_a_copy(tmp_path):
    """What a copy holds goes back to the configuration's owner, and a link to nothing yet would make a file there."""
    folder, roots, path = tmp_path / "copies", tmp_path / "roots", tmp_path / "etcd.conf"
    path.write_text("name: m1\n")
    copy = settings.backup_copy(str(path), str(folder), "1")
    path.unlink()
    roots.mkdir()
    path.symlink_to(roots / "new")
    os.lchown(path, 65534, 65534)
    with pytest.raises(EtcdError, match="made by a user"):
        settings.restore_copy(copy, str(path))
    assert list(roots.iterdir()) == []
    (roots / "new").write_text("secret")
    with pytest.raises(EtcdError, match="made by a user"):
        settings.backup_copy(str(path), str(folder), "2")
    assert os.listdir(folder) == ["etcd.conf.1"]
