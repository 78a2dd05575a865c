# SPDX-License-Identifier: GPL-3.0-or-later
"""The data directory, its mounts and what else lies there; what a restore would meet."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host import data
from ansible_collections.quorum.etcd.plugins.module_utils.host.mounts import on_host
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host, Process
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import sources as _sources
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import (
    debian,
)


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


class TestWhatLooksCannotSee:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_without_the_rights_nothing_is_answered_from_nothing(self, tmp_path, monkeypatch):
        """A data directory that may not be looked into is not an empty one."""
        tmp_path.chmod(0o755)
        (tmp_path / "data" / "member").mkdir(parents=True)
        (tmp_path / "data").chmod(0o700)

        def denied(path):
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(data.os, "listdir", denied)
        with pytest.raises(EtcdError, match="data may not be looked into by .*nobody can say what is in it"):
            data.data_facts(Host(str(tmp_path)), "/data")
