# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host import discovery
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.mounts import on_host
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host, Process
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import sources as _sources
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import tools_as_dict, tools_from_dict

DEBIAN_UNIT = """\
[Unit]
Description=etcd - highly-available key value store

[Service]
Environment=DAEMON_ARGS=
Environment=ETCD_NAME=%H
Environment=ETCD_DATA_DIR=/var/lib/etcd/default
EnvironmentFile=-/etc/default/%p
Type=notify
User=etcd
ExecStart=/usr/bin/etcd $DAEMON_ARGS
"""
PLAIN_UNIT = """\
[Service]
User=etcd
ExecStart=/usr/local/bin/etcd --name m1 --data-dir=/var/lib/etcd \\
  --initial-cluster ${PEERS} --initial-cluster-token=${ETCD_INITIAL_CLUSTER_TOKEN} \\
  --initial-cluster-state=new
EnvironmentFile=/etc/etcd.env
"""
YAML = """\
name: m1
data-dir: data
initial-cluster: m1=http://127.0.0.1:2380
client-transport-security:
  cert-file: tls/server.crt
"""
MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://192.0.2.11:2379
    - --cert-file=/pki/server.crt
    - --client-cert-auth=true
    - --data-dir=/inside
    - --initial-advertise-peer-urls=https://192.0.2.11:2380
    - --initial-cluster=cp1=https://192.0.2.11:2380
    - --key-file=/pki/server.key
    - --name=cp1
    - --trusted-ca-file=/pki/ca.crt
    image: registry.k8s.io/etcd:3.6.16-0
    name: etcd
    volumeMounts:
    - mountPath: /inside
      name: data
    - mountPath: /pki
      name: certs
  volumes:
  - hostPath:
      path: /var/lib/etcd
    name: data
  - hostPath:
      path: /etc/kubernetes/pki/etcd
      type: DirectoryOrCreate
    name: certs
"""
KEYS = {
    "found", "running", "pid", "service", "name", "peer_urls", "client_urls", "listen_peer_urls", "listen_client_urls",
    "data_dir", "wal_dir", "data", "wal", "disk", "initial_cluster", "initial_cluster_state", "initial_cluster_token",
    "snapshot_count", "quota_backend_bytes", "tls", "tools", "tools_missing", "config", "settings", "state_dir", "log",
    "connection", "journal", "aside_dir", "kubernetes", "unsettable", "shadowed", "strangers",
    "interrupted_elsewhere",
}  # fmt: skip


class FakeHost:
    """A host's files below a folder."""

    def __init__(self, root):
        self.root = root
        self.show = None
        self.versions = {}

    def put(self, path, text, mode=0o644):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        file.chmod(mode)
        return file

    def tool(self, path, version):
        self.versions[str(self.put(path, "\x7fELF", 0o755))] = version

    def process(self, pid, argv, environ=None, cwd="/", exe="/usr/bin/etcd", parent=1, comm="etcd"):
        folder = f"/proc/{pid}"
        self.put(f"{folder}/cmdline", "".join(word + "\0" for word in argv))
        self.put(f"{folder}/environ", "".join(f"{key}={value}\0" for key, value in (environ or {}).items()))
        self.put(f"{folder}/comm", comm + "\n")
        self.put(f"{folder}/stat", f"{pid} ({comm}) S {parent} 1 1")
        for name, target in (("exe", exe), ("cwd", cwd)):
            os.symlink(target, str(self.root / f"proc/{pid}/{name}"))

    def run(self, argv, env):
        if argv[:2] == ["systemctl", "show"]:
            if self.show is None:
                raise FileNotFoundError(2, "No such file or directory", "systemctl")
            return Result(0, "".join(f"{key}={value}\n" for key, value in self.show.items()), "")
        if argv[0] in self.versions:
            version = self.versions[argv[0]]
            return Result(0, f"etcd Version: {version}\n", "") if version else Result(126, "", "Exec format error")
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    def discover(self, **options):
        found = discovery.discover(options, self.run, str(self.root))
        assert set(found) == KEYS
        assert to_plain(from_plain(MemberFacts, found)) == found
        return found


@pytest.fixture
def host(tmp_path):
    return FakeHost(tmp_path)


def debian(host, env="", **shown):
    host.put("/usr/lib/systemd/system/etcd.service", DEBIAN_UNIT)
    if env is not None:
        host.put("/etc/default/etcd", env)
    host.show = {
        "LoadState": "loaded", "ActiveState": "active", "MainPID": "40", "UnitFileState": "enabled", "User": "etcd",
        "FragmentPath": "/usr/lib/systemd/system/etcd.service", "DropInPaths": "", **shown,
    }  # fmt: skip


class TestNothingThere:
    def test_an_empty_host_is_a_normal_answer(self, host):
        found = host.discover()
        assert (found["found"], found["running"], found["pid"], found["name"]) == (False, False, None, "")
        assert found["config"] == {"format": "", "path": ""}
        assert found["tools"] == {"etcd": None, "etcdctl": None, "etcdutl": None}
        assert found["tools_missing"]["etcd"].startswith("no etcd in ")

    def test_options_alone_describe_a_new_host(self, host):
        found = host.discover(name="m1", peer_urls=["http://a:2380"], client_urls=["http://a:2379"], data_dir="/d")
        assert (found["found"], found["name"], found["peer_urls"]) == (False, "m1", ["http://a:2380"])
        assert found["connection"]["endpoints"] == ["http://a:2379"]
        assert found["data"]["exists"] is False
        assert found["data"]["is_etcd"] is True
        assert isinstance(found["data"]["device"], int)
        assert {disk["path"] for disk in found["disk"]} == {"/d", "/var/lib/quorum-etcd"}

    def test_an_absent_unit(self, host):
        host.show = {"LoadState": "not-found", "ActiveState": "inactive", "MainPID": "0"}
        assert host.discover()["service"]["state"] == "absent"


class TestDebian:
    def test_stopped_with_nothing_configured(self, host):
        debian(host, "# nothing\n", ActiveState="inactive", MainPID="0", UnitFileState="disabled")
        found = host.discover()
        assert (found["found"], found["running"]) == (True, False)
        assert found["name"] == socket.gethostname()
        assert found["data_dir"] == "/var/lib/etcd/default"
        assert found["service"]["state"] == "stopped"
        assert found["service"]["enabled"] is False
        assert found["service"]["user"] == "etcd"
        assert found["config"] == {"format": "env", "path": "/etc/default/etcd"}
        assert found["peer_urls"] == ["http://localhost:2380"]
        assert found["client_urls"] == ["http://localhost:2379"]

    def test_the_environment_file_goes_before_the_unit(self, host):
        debian(host, 'ETCD_NAME="m1"\n', ActiveState="inactive", MainPID="0")
        found = host.discover()
        assert found["settings"]["name"] == {
            "value": "m1",
            "kind": "variable",
            "format": "env",
            "path": "/etc/default/etcd",
        }
        assert found["settings"]["data-dir"]["path"] == "/usr/lib/systemd/system/etcd.service"

    def test_running_settings_are_traced_to_their_files(self, host):
        debian(host, "ETCD_NAME=m1\nETCD_INITIAL_CLUSTER_STATE=existing\n")
        environ = {
            "ETCD_NAME": "m1",
            "ETCD_DATA_DIR": "/var/lib/etcd/default",
            "ETCD_INITIAL_CLUSTER_STATE": "new",
            "ETCD_DEBUG": "1",
        }
        host.process(40, ["/usr/bin/etcd"], environ)
        host.put("/var/lib/etcd/default/member/snap/db", "x" * 100)
        found = host.discover()
        assert (found["running"], found["pid"]) == (True, 40)
        assert found["initial_cluster_state"] == "new"  # what runs; the file was edited since
        assert found["settings"]["initial-cluster-state"]["value"] == "existing"
        assert found["settings"]["debug"] == {"value": "1", "kind": "variable", "format": "process", "path": ""}
        assert found["data"]["has_member"] is True
        assert found["data"]["db_size"] == 100

    def test_flags_in_daemon_args_are_set_where_they_stand(self, host):
        text = 'DAEMON_ARGS="--name m7 --initial-cluster-state=new"  \nETCD_DEBUG=1\n'
        debian(host, text, ActiveState="inactive", MainPID="0")
        found = host.discover()
        assert found["name"] == "m7"
        assert found["unsettable"] == []
        (edit,) = settings.plan_edits(found, {"initial-cluster-state": "existing", "initial-cluster-token": "t"})
        assert edit.path == "/etc/default/etcd"
        expected = text.replace("=new", "=existing") + "ETCD_INITIAL_CLUSTER_TOKEN=t\n"
        assert edit.edited(text) == expected
        assert edit.edited(expected) == expected
        assert settings.Edit.from_dict(edit.as_dict()) == edit

    def test_without_systemctl_the_files_are_read(self, host):
        debian(host, "ETCD_NAME=m1\n")
        host.show = None
        host.put("/etc/systemd/system/etcd.service.d/10-x.conf", "[Service]\nEnvironment=ETCD_DATA_DIR=/srv\n")
        found = host.discover()
        assert found["data_dir"] == "/srv"
        assert found["settings"]["data-dir"]["path"] == "/etc/systemd/system/etcd.service.d/10-x.conf"
        assert found["service"]["state"] == "unknown"

    def test_edits_of_the_packages_unit_go_into_a_drop_in(self, host):
        debian(host, None, ActiveState="inactive", MainPID="0")
        edits = settings.plan_edits(host.discover(), {"data-dir": "/srv", "initial-cluster-state": "new"})
        assert [edit.path for edit in edits] == ["/etc/systemd/system/etcd.service.d/zz-quorum-etcd.conf"]
        assert settings.edit("unit", edits[0].seed, edits[0].settings).startswith("[Service]\nEnvironment=")

    def test_an_enabled_unit(self, host):
        debian(host)
        found = host.discover(config_file="/etc/default/etcd")
        assert found["service"]["enabled"] is True
        assert found["service"]["manifest"] == ""
        assert found["data_dir"] == "/var/lib/etcd/default"  # the unit's own, beside the file that was named

    def test_a_template_unit(self, host):
        text = "[Service]\nExecStart=/usr/bin/etcd --name=%i --data-dir=/srv/%i\n"
        host.put("/etc/systemd/system/etcd@.service", text)
        assert host.discover(service_name="etcd@m2")["data_dir"] == "/srv/m2"


class TestWhatARestoreWouldMeet:
    def test_each_edit_is_tried_in_memory_and_its_obstacle_told_once(self, host):
        debian(host, "ETCD_NAME=m1\n", ActiveState="inactive", MainPID="0")
        assert host.discover()["unsettable"] == []
        host.put("/etc/default/etcd", "ETCD_INITIAL_CLUSTER=x  # ours\nETCD_INITIAL_CLUSTER_TOKEN=t # ours\n")
        text = (host.root / "etc/default/etcd").read_text()
        first, second = host.discover()["unsettable"]
        assert "/etc/default/etcd: line 1: a comment follows the value of ETCD_INITIAL_CLUSTER" in first["cause"]
        assert "line 2: a comment follows the value of ETCD_INITIAL_CLUSTER_TOKEN" in second["cause"]
        assert (host.root / "etc/default/etcd").read_text() == text

    def test_one_cause_for_several_settings_is_told_once(self, host):
        host.process(9, ["etcd", "--name=m1"])
        (problem,) = host.discover()["unsettable"]
        assert problem["cause"].endswith(": initial-cluster, initial-cluster-token and initial-cluster-state.")

    def test_a_flag_beside_its_variable(self, host):
        debian(host, "ETCD_NAME=m1\nDAEMON_ARGS=--name=m1\n", ActiveState="inactive", MainPID="0")
        assert host.discover()["shadowed"] == {"name": dict.fromkeys(("flag", "variable"), "/etc/default/etcd")}

    def test_what_systemd_grants_it(self, host):
        debian(host, Type="notify", TimeoutStartUSec="1min 30s", Group="store", DynamicUser="yes")
        service = host.discover()["service"]
        assert (service["notifies"], service["start_timeout"]) == (True, 90)
        assert (service["group"], service["dynamic_user"]) == ("store", True)

    @pytest.mark.parametrize(
        ("span", "seconds"),
        [("5min", 300), ("500ms", 0.5), ("1h 2min 3s", 3723), ("infinity", None), ("", None), ("1 parsec", None)],
    )
    def test_time_spans_of_systemd(self, span, seconds):
        assert _sources.seconds(span) == seconds

    def test_what_else_lies_in_the_data_directory(self, host):
        for name in ("member/snap/db", "fixtures/client/cert.pem", "wal/0.wal", ".before-1/x", "photos/a"):
            host.put(f"/d/{name}", "x")
        data = host.discover(data_dir="/d", wal_dir="/d/wal")["data"]
        assert data["foreign"] == ["photos"]
        assert data["parent_owner"] == [os.getuid(), os.getgid()]


class TestMounts:
    """Paths that the member sees, and the host has elsewhere."""

    UNIT = "/etc/systemd/system/etcd.service"

    def runs_in_a_container(self, host, inside, outside, own_mounts, mounts):
        host.process(40, ["etcd", "--name=m1", f"--data-dir={inside}"])
        host.put("/proc/40/mountinfo", own_mounts)
        host.put("/proc/self/mountinfo", mounts)
        (host.root / "proc/40/root").mkdir()
        host.put(f"{outside}/member/snap/db", "x")
        seen = host.root / f"proc/40/root{inside}"
        seen.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(str(host.root / outside.lstrip("/")), str(seen))

    OWN = (
        "1 0 0:50 / / rw - overlay overlay rw\n2 1 8:1 /data/et\\040cd /var/lib/etcd rw shared:1 - ext4 /dev/sda1 rw\n"
    )

    def test_a_running_containers_volume_is_found_by_its_file_system(self, host):
        hosts = "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n2 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n"
        self.runs_in_a_container(host, "/var/lib/etcd", "/srv/data/et cd", self.OWN, hosts)
        found = host.discover()
        assert (found["data_dir"], found["data"]["contained"]) == ("/srv/data/et cd", "")
        assert found["data"]["has_member"] is True
        assert (found["wal_dir"], found["tls"]["client"]["cert"]) == ("", ""), (
            "no path is no folder, and never the root"
        )

    @pytest.mark.parametrize(
        ("outside", "own"),
        [
            ("/docker/overlay2/x/merged/var/lib/etcd", "1 0 0:50 / / rw - overlay overlay rw\n"),
            ("/kubelet/pods/u/volumes/kubernetes.io~empty-dir/d", "1 0 8:2 /kubelet/pods/u/volumes/kubernetes.io~empty-dir/d"
             " /var/lib/etcd rw - ext4 /dev/sda2 rw\n"),
            ("/elsewhere", "1 0 0:77 / /var/lib/etcd rw - tmpfs tmpfs rw\n"),
        ],
        ids=["its own layer", "emptyDir", "tmpfs"],
    )  # fmt: skip
    def test_data_that_goes_with_the_container_has_no_folder_of_the_hosts(self, host, outside, own):
        hosts = "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n2 1 0:50 / /docker/overlay2/x/merged rw - overlay overlay rw\n"
        self.runs_in_a_container(host, "/var/lib/etcd", outside, own, hosts)
        found = host.discover()
        assert (found["data_dir"], found["data"]["contained"]) == ("", "/var/lib/etcd")

    def test_a_setting_that_is_not_there_is_no_path_and_never_the_root(self):
        """On a real host: of the folder '' the root of the process's file system was made, and that was to be the WAL's."""
        own = Process(os.getpid(), 1, os.getuid(), "", "/", [], {})
        assert on_host(Host(), own, "", "") == ""
        assert on_host(Host(), own, "/etc", "/etc") == "/etc"

    def test_bind_paths_of_a_stopped_unit(self, host):
        text = "[Service]\nBindPaths=/data/etcd:/var/lib/etcd -/etc/pki:/pki:rbind\n"
        host.put(self.UNIT, text + "ExecStart=/usr/bin/etcd --data-dir=/var/lib/etcd/x --cert-file=/pki/a.crt\n")
        found = host.discover()
        assert (found["data_dir"], found["tls"]["client"]["cert"]) == ("/data/etcd/x", "/etc/pki/a.crt")
        host.put(self.UNIT, "[Service]\nRootDirectory=/jail\nExecStart=/usr/bin/etcd --data-dir=/d\n")
        assert host.discover()["data_dir"] == "/jail/d"

    @pytest.mark.parametrize("volume", ["", "-v etcd-data:/var/lib/etcd", "-v /data:/elsewhere"])
    def test_a_stopped_containers_data_without_a_folder_of_the_host(self, host, volume):
        run = f"/usr/bin/docker run {volume} --name etcd img etcd --name=m1 --data-dir=/var/lib/etcd"
        host.put(self.UNIT, f"[Service]\nExecStart={run}\n")
        found = host.discover()
        assert (found["data_dir"], found["data"]["contained"]) == ("", "/var/lib/etcd")


class TestPlainUnit:
    def test_flags_and_variables_in_them(self, host):
        host.put("/etc/systemd/system/etcd.service", PLAIN_UNIT)
        host.put("/etc/etcd.env", "PEERS=m1=http://a:2380\nETCD_INITIAL_CLUSTER_TOKEN=tok\nETCD_NAME=overruled\n")
        host.show = {
            "LoadState": "loaded", "ActiveState": "active", "MainPID": "40", "FragmentPath": "/etc/systemd/system/etcd.service",
        }  # fmt: skip
        argv = [
            "/usr/local/bin/etcd",
            "--name",
            "m1",
            "--data-dir=/var/lib/etcd",
            "--initial-cluster",
            "m1=http://a:2380",
        ]
        argv += ["--initial-cluster-token=tok", "--initial-cluster-state=new"]
        host.process(40, argv, {"ETCD_NAME": "overruled", "ETCD_INITIAL_CLUSTER_TOKEN": "tok"})
        for running in (True, False):
            found = host.discover()
            assert found["name"] == "m1"
            assert found["initial_cluster"] == "m1=http://a:2380"
            assert found["initial_cluster_token"] == "tok"
            places = {name: (place["format"], place["path"]) for name, place in found["settings"].items()}
            assert places["name"] == ("unit", "/etc/systemd/system/etcd.service")
            assert places["initial-cluster-token"] == ("env", "/etc/etcd.env")
            assert places["initial-cluster"] == ("env", "/etc/etcd.env")
            (edit,) = settings.plan_edits(found, {"initial-cluster": "x"})
            assert edit.edited("PEERS=m1=http://a:2380\n") == "PEERS=x\n"
            if running:
                host.put("/proc/40/cmdline", "")
                host.show.update(ActiveState="inactive", MainPID="0")

    def test_a_wrapper_as_the_main_process(self, host):
        debian(host, "ETCD_NAME=m1\n")
        host.process(40, ["sh", "-c", "x"], comm="sh", exe="/bin/sh")
        host.process(41, ["etcd", "--name=child"], parent=40)
        host.process(50, ["etcd", "--name=stranger"])
        assert host.discover()["pid"] == 41

    def test_a_flag_made_from_a_variable_by_a_wrapper(self, host):
        host.put(
            "/etc/systemd/system/etcd.service",
            '[Service]\nEnvironmentFile=/e\nExecStart=/bin/bash -c "etcd --name=$ETCD_NAME"\n',
        )
        host.put("/e", "ETCD_NAME=m1\nETCD_DATA_DIR=/not/what/runs\n")
        host.process(41, ["etcd", "--name=m1", "--data-dir=/d"], {"ETCD_NAME": "m1"})
        found = host.discover(name="m1", data_dir="/d")
        assert found["settings"]["name"]["path"] == "/e"
        assert found["settings"]["data-dir"]["format"] == "process"


class TestYaml:
    def test_the_configuration_file_counts_alone(self, host):
        host.put("/srv/m1/etcd.conf.yml", YAML)
        host.process(
            9, ["etcd", "--config-file", "etcd.conf.yml", "--name=ignored"], {"ETCD_NAME": "too"}, cwd="/srv/m1"
        )
        found = host.discover()
        assert found["name"] == "m1"
        assert found["data_dir"] == "/srv/m1/data"
        assert found["tls"]["client"]["cert"] == "/srv/m1/tls/server.crt"
        assert found["config"] == {"format": "yaml", "path": "/srv/m1/etcd.conf.yml"}
        edits = settings.plan_edits(found, {"initial-cluster-state": "existing", "name": "x"})
        assert [edit.path for edit in edits] == ["/srv/m1/etcd.conf.yml"]

    def test_named_by_a_variable(self, host):
        host.put("/etc/e.yml", "name: v\ndata-dir: /d\n")
        host.process(9, ["etcd"], {"ETCD_CONFIG_FILE": "/etc/e.yml"})
        assert host.discover()["name"] == "v"

    def test_stopped(self, host):
        host.put("/srv/m1/etcd.conf.yml", YAML.replace("data-dir: data", "data-dir: /srv/m1/data"))
        found = host.discover(
            config_file="/srv/m1/etcd.conf.yml", service_manager="command", start_command="sh x start"
        )
        assert (found["found"], found["running"], found["name"]) == (True, False, "m1")
        assert found["data_dir"] == "/srv/m1/data"
        assert found["service"]["state"] == "stopped"

    def test_a_file_that_is_not_understood_is_named(self, host):
        host.put("/srv/e.yml", "name: a\nname: b: c\n")
        with pytest.raises(EtcdError, match="/srv/e.yml: line 2 "):
            host.discover(config_file="/srv/e.yml")


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
        in_image = tools_from_dict({"etcdctl": {"path": "/k/etcdctl", "version": "3.6.16"}})
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
        edits = settings.plan_edits(found, {"initial-cluster-state": "new"})
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


class TestData:
    def test_a_folder_of_somebody_else(self, host):
        host.put("/d/photos/1.jpg", "")
        data = host.discover(data_dir="/d")["data"]
        assert (data["exists"], data["empty"], data["is_etcd"], data["entries"]) == (True, False, False, ["photos"])

    def test_what_a_mount_point_and_a_restore_leave_is_not_data(self, host):
        host.put("/d/lost+found/x", "")
        host.put("/d/.restore-1/x", "")
        data = host.discover(data_dir="/d")["data"]
        assert (data["empty"], data["is_etcd"]) == (True, True)

    def test_no_more_than_twenty_names(self, host):
        for number in range(30):
            host.put(f"/d/{number}", "")
        assert len(host.discover(data_dir="/d")["data"]["entries"]) == 20

    def test_a_wal_elsewhere(self, host):
        host.put("/w/0.wal", "")
        found = host.discover(data_dir="/d", wal_dir="/w")
        assert found["wal"]["exists"] is True
        assert [disk["path"] for disk in found["disk"]] == ["/d", "/w", "/var/lib/quorum-etcd"]


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


class TestTools:
    def test_a_script_is_never_asked(self, host):
        host.tool("/usr/bin/etcd", "3.6.1")
        host.put("/usr/bin/etcd", "#!/bin/sh\n", 0o755)
        found = host.discover()
        assert found["tools"]["etcd"] is None
        assert found["tools_missing"]["etcd"] == "/usr/bin/etcd is not run: it is a script, or no program at all"

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
    def test_what_others_can_change_is_not_run(self, host):
        host.tool("/opt/etcd/etcd", "3.6.1")
        os.chown(str(host.root / "opt/etcd/etcd"), 65534, 65534)
        host.tool("/opt/bin/etcdctl", "3.6.1")
        os.chmod(str(host.root / "opt/bin"), 0o777)
        missing = host.discover()["tools_missing"]
        assert "opt/etcd/etcd belongs to nobody, and what root runs must be root's alone" in missing["etcd"]
        assert "opt/bin can be written by others (its mode is 0777)" in missing["etcdctl"]

    def test_the_first_that_runs(self, host):
        host.tool("/b/etcd", "3.5.16")
        host.tool("/usr/bin/etcdctl", "3.4.23")
        host.tool("/usr/local/bin/etcdctl", "3.6.1")
        host.tool("/opt/bin/etcdutl", "")
        found = host.discover(bin_dir="/b")
        assert found["tools"]["etcd"]["version"] == "3.5.16"
        assert found["tools"]["etcdctl"]["version"] == "3.6.1"
        assert found["tools"]["etcdutl"] is None
        assert found["tools_missing"]["etcdutl"] == "/opt/bin/etcdutl does not run: exit code 126: Exec format error"
        tools = tools_from_dict(found["tools"])
        assert tools_as_dict(tools) == found["tools"]

    def test_beside_the_running_etcd(self, host):
        host.tool("/srv/bin/etcdctl", "3.5.1")
        host.process(5, ["etcd"], exe="/srv/bin/etcd")
        assert host.discover()["tools"]["etcdctl"]["version"] == "3.5.1"


class TestConnection:
    def test_kubesprays_own_client_files_and_explicit_options(self, host):
        env = (
            "ETCD_ADVERTISE_CLIENT_URLS=https://a:2379\nETCD_CERT_FILE=/m.pem\nETCD_TRUSTED_CA_FILE=/ca.pem\n"
            "ETCDCTL_CERT=/admin.pem\nETCDCTL_KEY=/admin-key.pem\n"
        )
        host.put("/etc/etcd.env", env)
        found = host.discover(service_manager="command", config_file="/etc/etcd.env", key="/mine.pem")
        assert found["connection"]["cert"] == "/admin.pem"
        assert found["connection"]["key"] == "/mine.pem"
        assert found["connection"]["cacert"] == "/ca.pem"

    def test_no_certificates_for_http(self, host):
        host.put("/etc/etcd.env", "ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379\nETCD_CERT_FILE=/m.pem\n")
        found = host.discover(service_manager="command", config_file="/etc/etcd.env")
        assert found["connection"]["endpoints"] == ["http://127.0.0.1:2379"]
        assert found["connection"]["cert"] == ""

    def test_a_wildcard_tells_no_peer_url(self, host):
        host.put("/etc/etcd.env", "ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380\n")
        assert host.discover(service_manager="command", config_file="/etc/etcd.env")["peer_urls"] == []

    @pytest.mark.parametrize(
        "advertised, listen, peer, others, endpoint",
        [
            ("http://0.0.0.0:2379", "http://0.0.0.0:2379", "http://10.0.0.1:2380", True, "http://10.0.0.1:2379"),
            ("https://localhost:2379", "https://0.0.0.0:2379", "https://10.0.0.1:2380", True, "https://10.0.0.1:2379"),
            ("http://127.0.0.1:2379", "http://10.0.0.1:2379", "http://10.0.0.1:2380", True, "http://10.0.0.1:2379"),
            ("http://[::]:2379", "http://[::]:2379", "http://[fd00::1]:2380", True, "http://[fd00::1]:2379"),
            # It does not listen there, it is alone, it advertises a name of its own, or all of it is on one machine.
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379", "http://10.0.0.1:2380", True, "http://127.0.0.1:2379"),
            ("http://0.0.0.0:2379", "http://10.0.0.1:4001", "http://10.0.0.1:2380", True, "http://0.0.0.0:2379"),
            ("http://localhost:2379", "http://0.0.0.0:2379", "http://10.0.0.1:2380", False, "http://localhost:2379"),
            ("http://m1:2379", "http://0.0.0.0:2379", "http://10.0.0.1:2380", True, "http://m1:2379"),
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2380", True, "http://127.0.0.1:2379"),
        ],
    )
    def test_a_client_url_that_leads_every_host_to_itself(self, host, advertised, listen, peer, others, endpoint):
        """Seen: all advertise 0.0.0.0 or localhost, and the proof asked one member three times."""
        cluster = f"m1={peer}" + (",m2=http://10.0.0.2:2380" if others else "")
        names = ("ADVERTISE_CLIENT_URLS", "LISTEN_CLIENT_URLS", "INITIAL_ADVERTISE_PEER_URLS", "INITIAL_CLUSTER")
        values = zip(names, (advertised, listen, peer, cluster))
        host.put("/etc/etcd.env", "".join(f"ETCD_{name}={value}\n" for name, value in values))
        found = host.discover(service_manager="command", config_file="/etc/etcd.env")
        assert found["connection"]["endpoints"] == [endpoint]
        assert found["client_urls"] == [advertised]
        given = host.discover(service_manager="command", config_file="/etc/etcd.env", client_urls=[advertised])
        assert given["connection"]["endpoints"] == [advertised], "what is asked for is taken as it is"

    def test_half_a_health_check_pair_is_none(self, host):
        env = "ETCD_ADVERTISE_CLIENT_URLS=https://a:2379\nETCD_CERT_FILE=/p/server.crt\n"
        host.put("/etc/etcd.env", env)
        host.put("/p/healthcheck-client.crt", "")
        found = host.discover(service_manager="command", config_file="/etc/etcd.env")
        assert found["connection"]["cert"] == "/p/server.crt"

    def test_passwords_are_not_told(self, host):
        host.put("/etc/etcd.env", "ETCD_NAME=a\nETCD_DISCOVERY_PASSWORD=geheim\n")
        assert "geheim" not in str(host.discover(service_manager="command", config_file="/etc/etcd.env"))


class TestWhatLooksCannotSee:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_without_the_rights_nothing_is_answered_from_nothing(self, tmp_path, monkeypatch):
        """A data directory that may not be looked into is not an empty one."""
        tmp_path.chmod(0o755)
        (tmp_path / "data" / "member").mkdir(parents=True)
        (tmp_path / "data").chmod(0o700)

        def denied(path):
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(discovery.os, "listdir", denied)
        with pytest.raises(EtcdError, match="data may not be looked into by .*nobody can say what is in it"):
            discovery.data_facts(discovery.Host(str(tmp_path)), "/data")

    def test_a_process_whose_program_is_hidden_asks_for_become(self, monkeypatch):
        hidden = discovery.Process(40, 1, 106, "", "", ["etcd"], {})
        monkeypatch.setattr(discovery.os, "geteuid", lambda: 1000)
        with pytest.raises(EtcdError, match=r"etcd runs here \(pid 40\), and") as caught:
            discovery._demand_rights(discovery.Host("/"), [hidden])
        assert "become: true" in caught.value.next_step
        monkeypatch.setattr(discovery.os, "geteuid", lambda: 0)
        discovery._demand_rights(discovery.Host("/"), [hidden])


def test_the_tools_of_a_dead_member_lie_where_its_unit_starts_it(host):
    unit = DEBIAN_UNIT.replace("ExecStart=/usr/bin/etcd", "ExecStart=/srv/etcd-3.5/bin/etcd")
    assert unit != DEBIAN_UNIT
    debian(host, ActiveState="inactive", MainPID="0")
    host.put("/usr/lib/systemd/system/etcd.service", unit)
    for name in ("etcd", "etcdctl", "etcdutl"):
        host.tool(f"/srv/etcd-3.5/bin/{name}", "3.5.35")
    found = host.discover()
    assert found["tools"]["etcdutl"]["path"].endswith("/srv/etcd-3.5/bin/etcdutl"), found["tools_missing"]


def test_a_process_that_is_held_still_is_seen(host):
    debian(host)
    host.process(40, ["/usr/bin/etcd", "--name=m1"])
    assert host.discover()["service"]["halted"] is False
    host.put("/proc/40/stat", "40 (etcd) T 1 1 1")
    assert host.discover()["service"]["halted"] is True
