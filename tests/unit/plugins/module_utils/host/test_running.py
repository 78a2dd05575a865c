# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is the member, and which unit or static pod it belongs to."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host import discovery, running
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import ToolFact, ToolFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host, Process
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import tools_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import (
    MANIFEST,
    debian,
)


class TestSeveral:
    def three(self, host):
        for number in (1, 2, 3):
            folder = f"/srv/m{number}"
            host.put(f"{folder}/etcd.conf.yml", f"name: m{number}\ndata-dir: {folder}/data\n")
            host.process(100 + number, ["etcd", "--config-file=etcd.conf.yml"], cwd=folder)

    def test_nothing_to_tell_them_apart(self, host):
        self.three(host)
        with pytest.raises(EtcdError, match="101, 102, 103") as caught:
            host.discover()
        assert "etcd_config_file" in caught.value.next_step

    @pytest.mark.parametrize(
        "options", [{"config_file": "/srv/m2/etcd.conf.yml"}, {"data_dir": "/srv/m2/data"}, {"name": "m2"}]
    )
    def test_by_what_is_known(self, host, options):
        self.three(host)
        assert host.discover(service_manager="command", **options)["pid"] == 102

    def test_one_that_is_stopped_is_not_another(self, host):
        self.three(host)
        host.put("/proc/102/cmdline", "")
        found = host.discover(service_manager="command", config_file="/srv/m2/etcd.conf.yml")
        assert (found["running"], found["name"]) == (False, "m2")

    def test_by_an_environment_file(self, host):
        for number in (1, 2):
            host.put(f"/srv/m{number}.env", f'ETCD_NAME="m{number}"\nETCD_DATA_DIR="/srv/m{number}"\n')
            host.process(100 + number, ["etcd"], {"ETCD_NAME": f"m{number}", "ETCD_DATA_DIR": f"/srv/m{number}"})
        found = host.discover(service_manager="command", config_file="/srv/m2.env")
        assert found["pid"] == 102
        assert found["settings"]["name"]["path"] == "/srv/m2.env"
        assert found["config"] == {"format": "env", "path": "/srv/m2.env"}

    def test_vanishing_and_foreign_processes(self, host):
        host.put("/proc/5/comm", "etcd\n")
        host.process(6, ["etcdctl", "watch"], comm="etcdctl", exe="/usr/bin/etcdctl")
        host.process(7, [], comm="etcd")  # a zombie
        assert host.discover()["running"] is False


class TestStaticPod:
    def test_running(self, host):
        host.put("/etc/kubernetes/manifests/etcd.yaml", MANIFEST)
        for name in ("server.crt", "healthcheck-client.crt", "healthcheck-client.key"):
            host.put(f"/etc/kubernetes/pki/etcd/{name}", "")
        argv = ["etcd", *[line.strip()[2:] for line in MANIFEST.splitlines() if line.strip().startswith("- --")]]
        host.process(77, argv, exe="/usr/local/bin/etcd")
        host.put("/var/lib/etcd/member/snap/db", "x")
        host.put("/proc/77/root/etc/x", "")
        os.symlink(str(host.root / "var/lib/etcd"), str(host.root / "proc/77/root/inside"))  # as a bind mount shows it
        host.tool("/proc/77/root/usr/local/bin/etcdctl", "3.6.16")
        host.tool("/proc/77/root/usr/local/bin/etcd", "3.6.16")
        found = host.discover()
        assert found["service"]["manager"] == "static_pod"
        assert found["service"]["state"] == "running"
        assert found["pid"] == 77
        assert found["data_dir"] == "/var/lib/etcd"
        assert found["data"]["has_member"] is True
        assert found["tls"]["client"]["cert"] == "/etc/kubernetes/pki/etcd/server.crt"
        assert found["connection"]["cert"] == "/etc/kubernetes/pki/etcd/healthcheck-client.crt"
        assert found["connection"]["key"] == "/etc/kubernetes/pki/etcd/healthcheck-client.key"
        assert found["connection"]["cacert"] == "/etc/kubernetes/pki/etcd/ca.crt"
        assert found["config"] == {"format": "static_pod", "path": "/etc/kubernetes/manifests/etcd.yaml"}
        assert found["tools"]["etcdctl"]["path"].endswith("/proc/77/root/usr/local/bin/etcdctl")
        assert found["tools"]["etcdutl"] is None
        assert found["service"]["image"] == "registry.k8s.io/etcd:3.6.16-0"

    def test_the_tools_of_the_container_go_before_older_ones_of_the_host(self, host):
        self.test_running(host)
        host.tool("/usr/bin/etcdctl", "3.4.23")
        host.tool("/var/lib/quorum-etcd/bin/3.5.1/etcdutl", "3.5.1")
        tools = host.discover()["tools"]
        assert tools["etcdctl"]["version"] == "3.6.16"
        assert tools["etcdutl"]["version"] == "3.5.1"

    def test_not_running(self, host, monkeypatch):
        """Without a process the tools are looked for in the image, then on the host, then among kept copies."""
        host.put("/etc/kubernetes/manifests/etcd.yaml", MANIFEST)
        host.tool("/usr/bin/etcdctl", "3.4.23")
        found = host.discover()
        assert found["service"]["state"] == "failed"
        assert found["tools"]["etcdctl"]["version"] == "3.4.23"
        assert "registry.k8s.io/etcd:3.6.16-0 of etcd's pod could not be opened" in found["tools_missing"]["etcdutl"]
        host.tool("/var/lib/quorum-etcd/bin/3.6.15/etcdutl", "3.6.15")
        assert host.discover()["tools"]["etcdutl"]["version"] == "3.6.15"
        in_image = tools_of(ToolFacts(None, ToolFact("/k/etcdctl", "3.6.16"), None))
        monkeypatch.setattr(discovery, "look_in_image", lambda run, image, state_dir: (in_image, {"etcd": "none"}))
        assert host.discover()["tools"]["etcdctl"]["path"] == "/k/etcdctl"
        host.tool("/mine/etcdctl", "3.6.14")
        assert host.discover(bin_dir="/mine")["tools"]["etcdctl"]["version"] == "3.6.14"

    @pytest.mark.parametrize(
        ("argv", "runs"),
        [(["/usr/bin/kubelet", "--v=2"], True), (["hyperkube", "kubelet"], True), (["vi", "/etc/kubelet"], False)],
    )
    def test_the_kubelet(self, host, argv, runs):
        host.put("/etc/kubernetes/manifests/etcd.yaml", MANIFEST)
        host.process(9, argv, comm=argv[0], exe=argv[0])
        assert host.discover()["service"]["kubelet"] is runs

    def test_parked(self, host):
        host.put("/var/lib/quorum-etcd/static-pods/etcd.yaml", MANIFEST)
        found = host.discover()
        assert found["service"]["manager"] == "static_pod"
        assert found["service"]["state"] == "stopped"
        assert found["name"] == "cp1"
        edits = settings.plan_edits(host.facts(), {"initial-cluster-state": "new"})
        assert edits[0].path == "/etc/kubernetes/manifests/etcd.yaml"
        assert edits[0].parked == "/var/lib/quorum-etcd/static-pods/etcd.yaml"

    APISERVER = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:2379
    image: registry.k8s.io/kube-apiserver:v1.34.0
    name: kube-apiserver
"""
    FOLDER = "/etc/kubernetes/manifests"

    @pytest.mark.parametrize("name", ["etcd-main.yaml", "etcd.yml", "10-store.json.bak"])
    @pytest.mark.parametrize("folder", [FOLDER, "/var/lib/quorum-etcd/static-pods"])
    def test_a_manifest_of_another_name(self, host, name, folder):
        """The kubelet reads every file of the folder; only names with a dot in front are passed over."""
        host.put(f"{self.FOLDER}/kube-apiserver.yaml", self.APISERVER)
        host.put(f"{self.FOLDER}/README", "etcd: [")
        host.put(f"{self.FOLDER}/.etcd.yaml.swp", MANIFEST)
        host.put(f"{folder}/{name}", MANIFEST)
        found = host.discover()
        assert (found["service"]["manager"], found["name"]) == ("static_pod", "cp1")
        assert found["service"]["manifest"] == found["config"]["path"] == f"{self.FOLDER}/{name}"
        assert found["service"]["state"] == ("failed" if folder == self.FOLDER else "stopped")

    def test_where_two_manifests_start_etcd_and_neither_is_named_nobody_guesses(self, host):
        for name in ("etcd-events.yaml", "etcd-main.yaml"):
            host.put(f"{self.FOLDER}/{name}", MANIFEST)
        with pytest.raises(EtcdError, match="etcd-events.yaml and .*etcd-main.yaml each start an etcd") as refused:
            host.discover()
        assert "etcd_manifest" in refused.value.next_step
        assert host.discover(manifest=f"{self.FOLDER}/etcd-main.yaml")["name"] == "cp1"
        assert host.discover(service_manager="systemd")["service"]["manager"] == "systemd"

    @pytest.mark.parametrize(
        ("group", "main_pid", "manager"),
        [
            ("0::/system.slice/etcd.service", "40", "systemd"),
            ("0::/system.slice/store.service", "40", "systemd"),
            ("0::/system.slice/containerd.service", "9", "static_pod"),
            ("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope", "40", "static_pod"),
        ],
    )
    def test_a_manifest_that_was_left_does_not_win_over_a_running_unit(self, host, group, main_pid, manager):
        debian(host, "ETCD_NAME=m1\n", MainPID=main_pid)
        host.process(40, ["/usr/bin/etcd"], {"ETCD_NAME": "m1", "ETCD_DATA_DIR": "/var/lib/etcd/default"})
        host.put("/proc/40/cgroup", f"{group}\n")
        host.put(f"{self.FOLDER}/etcd.yaml", MANIFEST)
        found = host.discover()
        assert found["service"]["manager"] == manager
        if manager == "systemd":
            assert (found["pid"], found["name"], found["data_dir"]) == (40, "m1", "/var/lib/etcd/default")
        host.put("/var/lib/quorum-etcd/static-pods/etcd.yaml", MANIFEST)
        assert host.discover()["service"]["manager"] == "static_pod", "what a restore has parked is not left behind"


class TestWhoseProcess:
    """Only what could be the member counts; its unit is found from the process."""

    UNIT = "[Service]\nUser=nobody\nExecStart=/usr/bin/etcd --data-dir=/var/lib/etcd/other\n"

    def two_units(self, host, monkeypatch, enabled="disabled"):
        """The package's own unit, which is stopped, and another one that runs."""
        debian(host)
        host.put("/etc/systemd/system/store.service", self.UNIT)
        shown = {
            "etcd.service": {**host.show, "ActiveState": "inactive", "MainPID": "0", "UnitFileState": enabled},
            "store.service": {
                "LoadState": "loaded", "ActiveState": "active", "MainPID": "40", "UnitFileState": "enabled",
                "FragmentPath": "/etc/systemd/system/store.service",
            },
        }  # fmt: skip
        run = host.run

        def by_name(argv, env):
            if argv[:2] == ["systemctl", "show"]:
                host.show = shown.get(argv[-1], {"LoadState": "not-found", "MainPID": "0"})
            return run(argv, env)

        monkeypatch.setattr(host, "run", by_name)
        host.put("/proc/40/cgroup", "0::/system.slice/store.service\n")

    def test_a_unit_of_another_name_is_found_from_the_process(self, host, monkeypatch):
        self.two_units(host, monkeypatch)
        host.process(40, ["/usr/bin/etcd", "--data-dir=/var/lib/etcd/other"])
        found = host.discover()
        assert (found["running"], found["data_dir"]) == (True, "/var/lib/etcd/other")
        assert (found["service"]["name"], found["service"]["state"]) == ("store.service", "running")
        assert found["service"]["owner"] == {"kind": "unit", "name": "store.service"}

    def test_a_unit_that_is_to_run_and_has_data_is_not_idle(self, host, monkeypatch):
        self.two_units(host, monkeypatch, "enabled")
        host.put("/var/lib/etcd/default/member/x", "")
        host.process(40, ["/usr/bin/etcd", "--data-dir=/var/lib/etcd/other"])
        found = host.discover()
        assert (found["running"], found["service"]["name"]) == (False, "etcd")

    def test_the_unit_that_was_asked_for_is_kept_and_does_not_own_the_process(self, host, monkeypatch):
        self.two_units(host, monkeypatch)
        host.process(40, ["/usr/bin/etcd", "--data-dir=/var/lib/etcd/default"])
        service = host.discover(service_name="etcd")["service"]
        assert (service["name"], service["named"], service["owner"]["name"]) == ("etcd", True, "store.service")

    @pytest.mark.parametrize(
        ("group", "is_stranger"), [("/system.slice/etcd.service", False), ("/system.slice/other.service", True)]
    )
    def test_what_the_unit_has_started_while_it_was_looked_at_is_no_stranger(
        self, host, monkeypatch, group, is_stranger
    ):
        """As with a member that did not come up, and that systemd starts again."""
        debian(host, ActiveState="activating", SubState="auto-restart", MainPID="0")
        host.put("/var/lib/etcd/default/member/x", "")
        host.process(40, ["etcd", "--data-dir=/var/lib/etcd/default"])
        host.put("/proc/40/cgroup", f"0::{group}\n")
        monkeypatch.setattr(running, "etcd_processes", lambda _host: [])
        found = host.discover()
        assert found["running"] is False and bool(found["strangers"]) == is_stranger

    def test_by_hand_beside_an_inactive_unit(self, host):
        debian(host, ActiveState="inactive", MainPID="0")
        host.process(40, ["etcd", "--data-dir=/var/lib/etcd/default"])
        host.put("/proc/40/cgroup", "0::/user.slice/user-0.slice/session-3.scope\n")
        found = host.discover()
        assert (found["running"], found["service"]["state"]) == (True, "stopped")
        assert found["service"]["owner"] == {"kind": "session", "name": "session-3.scope"}

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives a process to another user")
    def test_a_strangers_process_that_names_the_members_data_has_no_effect(self, host):
        debian(host, ActiveState="inactive", MainPID="0")
        argv = ["etcd", "--data-dir=/var/lib/etcd/default", "--wal-dir=/root", "--advertise-client-urls=http://evil:1"]
        host.put("/var/lib/etcd/default/member/x", "")
        host.process(40, argv, exe="/tmp/evil/etcd")
        os.chown(str(host.root / "proc/40"), 65534, 65534)
        found = host.discover()
        assert (found["running"], found["wal_dir"], found["strangers"]) == (False, "", "")
        assert "evil" not in str(found)

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
    def test_a_process_whose_executable_others_can_change_does_not_count(self, host):
        debian(host, ActiveState="inactive", MainPID="0")
        host.put("/var/lib/etcd/default/member/x", "")
        host.process(40, ["etcd", "--data-dir=/var/lib/etcd/default"], exe="/srv/etcd")
        os.chown(str(host.put("/proc/40/root/srv/etcd", "\x7fELF", 0o755)), 65534, 65534)
        found = host.discover()
        assert found["running"] is False
        assert "process 40 (etcd)" in found["strangers"]

    def test_a_script_called_etcd_and_a_proxy_are_no_members(self, host):
        host.process(40, ["/bin/bash", "/usr/local/bin/etcd"], exe="/usr/bin/bash")
        host.process(41, ["etcd", "grpc-proxy", "start"])
        assert host.discover()["running"] is False

    def test_an_embedded_etcd_is_told_by_its_distribution(self, host):
        host.process(40, ["/usr/local/bin/k3s", "server"], exe="/usr/local/bin/k3s", comm="k3s-server")
        assert host.discover()["service"]["owner"] == {"kind": "distribution", "name": "k3s"}

    def test_masked_transient_and_about_to_start_again(self, host):
        debian(host, LoadState="masked", ActiveState="activating", SubState="auto-restart", MainPID="0")
        service = host.discover()["service"]
        assert (service["masked"], service["restarting"], service["transient"]) == (True, True, False)
        debian(host, FragmentPath="/run/systemd/transient/etcd.service")
        assert host.discover()["service"]["transient"] is True


class TestWhatIsHidden:
    def test_a_process_whose_program_is_hidden_asks_for_become(self, monkeypatch):
        hidden = Process(40, 1, 106, "", "", ["etcd"], {})
        monkeypatch.setattr(running.os, "geteuid", lambda: 1000)
        with pytest.raises(EtcdError, match=r"etcd runs here \(pid 40\), and") as caught:
            running._demand_rights(Host("/"), [hidden])
        assert "become: true" in caught.value.next_step
        monkeypatch.setattr(running.os, "geteuid", lambda: 0)
        running._demand_rights(Host("/"), [hidden])


def test_a_process_that_is_held_still_is_seen(host):
    debian(host)
    host.process(40, ["/usr/bin/etcd", "--name=m1"])
    assert host.discover()["service"]["halted"] is False
    host.put("/proc/40/stat", "40 (etcd) T 1 1 1")
    assert host.discover()["service"]["halted"] is True
