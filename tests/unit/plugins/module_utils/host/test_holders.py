# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a folder in use, and who started that."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.holders import demand_vacant, holders, said_of
from ansible_collections.quorum.etcd.plugins.module_utils.host.owners import Owner, in_words, owner_by_group, owner_of
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host


class Proc:
    """Processes of a host below a folder. ``open_as`` maps what a process names a file to where this host has it."""

    def __init__(self, root):
        self.root = root
        self.data = root / "data" / "member" / "snap"
        self.data.mkdir(parents=True)
        (self.data / "db").write_text("x")

    def add(self, pid, comm="etcd", argv=("etcd",), parent=1, group="/", fds=(), cwd="/", maps=""):
        folder = self.root / "proc" / str(pid)
        (folder / "fd").mkdir(parents=True)
        for name, text in (
            ("comm", comm + "\n"),
            ("cmdline", "".join(word + "\0" for word in argv)),
            ("stat", f"{pid} ({comm}) S {parent} 1 1"),
            ("cgroup", f"0::{group}\n"),
            ("maps", maps),
        ):
            (folder / name).write_text(text)
        for number, target in enumerate(fds):
            os.symlink(target, str(folder / "fd" / str(number)))
        os.symlink(cwd, str(folder / "cwd"))
        os.symlink("/usr/bin/" + comm, str(folder / "exe"))

    def holders(self, folder="/data"):
        return [
            (one.pid, one.what.partition(" ")[0], in_words(one.owner))
            for one in holders([folder], Host(str(self.root)))
        ]


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def test_an_open_file_whatever_the_process_is_called(proc):
    proc.add(
        7, "k3s-server", ("/usr/local/bin/k3s", "server"), group="/system.slice/k3s.service", fds=[f"{proc.data}/db"]
    )
    proc.add(8, "cat", ("cat",), fds=["/dev/null", "socket:[12]", str(proc.root / "database" / "db")])
    assert proc.holders() == [(7, "has", "of the unit k3s.service")]


def test_a_setting_of_an_etcd_that_has_not_opened_anything_yet(proc):
    proc.add(7, argv=("etcd", "--data-dir=/data"), group="/user.slice/user-0.slice/session-4.scope")
    proc.add(8, argv=("etcd", "--data-dir=/other"))
    assert proc.holders() == [(7, "was", "started by hand in session-4.scope")]


def test_a_file_that_is_only_mapped_or_already_deleted(proc):
    proc.add(7, "x", ("x",), maps=f"7f00-7f01 r--s 00000000 fe:01 131 {proc.data}/db\n")
    proc.add(8, "y", ("y",), fds=[f"{proc.data}/0.tmp (deleted)"])
    assert [pid for pid, _what, _owner in proc.holders()] == [7, 8]


def test_a_shell_that_stands_in_the_folder_holds_nothing_and_an_etcd_does(proc):
    proc.add(7, "bash", ("bash",), cwd=str(proc.data))
    assert proc.holders() == []
    proc.add(8, argv=("etcd", "--data-dir=elsewhere"), cwd=str(proc.root / "data"))
    assert [(pid, what) for pid, what, _owner in proc.holders()] == [(8, "works")]


def test_what_a_restore_keeps_inside_of_a_mount_point_is_not_the_members(proc):
    (proc.root / "data" / ".before-1").mkdir()
    (proc.root / "data" / ".before-1" / "db").write_text("old")
    proc.add(7, "tar", ("tar",), fds=[str(proc.root / "data" / ".before-1" / "db")])
    assert proc.holders() == []


def test_a_container_knows_the_file_by_another_path(proc):
    """A link of /proc shows the path inside the container, and leads to the file itself."""
    os.link(str(proc.data / "db"), str(proc.root / "db"))
    proc.add(7, fds=[str(proc.root / "db")], group="/system.slice/docker-0a1b.scope")
    assert proc.holders() == [(7, "has", "in the container docker-0a1b.scope")]


def test_one_that_passes_by_is_waited_for_and_one_that_stays_is_named(proc):
    proc.add(7, "du", ("du",), fds=[f"{proc.data}/db"])
    host, slept = Host(str(proc.root)), []

    def sleep(seconds):
        slept.append(seconds)
        os.unlink(str(proc.root / "proc/7/fd/0"))

    demand_vacant(["/data"], "end it.", host, sleep)
    assert len(slept) == 1
    os.symlink(f"{proc.data}/db", str(proc.root / "proc/7/fd/0"))
    with pytest.raises(EtcdError, match=rf"process 7 \(du\) has {proc.data}/db open") as caught:
        demand_vacant(["/data"], "end it.", host, slept.append, patience=0.5)
    assert caught.value.next_step == "end it."


def test_not_all_are_named_where_they_are_many(proc):
    for pid in range(7, 12):
        proc.add(pid, "du", ("du",), fds=[f"{proc.data}/db"])
    assert said_of(holders(["/data"], Host(str(proc.root)))).endswith("; and 2 more")


@pytest.mark.parametrize(
    ("group", "owner"),
    [
        ("/system.slice/etcd-member.service", ("unit", "etcd-member.service")),
        ("/system.slice/system-etcd.slice/etcd@m1.service", ("unit", "etcd@m1.service")),
        ("/system.slice/etcd.service/libpod-payload-0a", ("unit", "etcd.service")),  # a quadlet
        ("/system.slice/run-r1234.scope", ("scope", "run-r1234.scope")),
        ("/user.slice/user-0.slice/session-c1.scope", ("session", "session-c1.scope")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/etcd.service", ("user_unit", "etcd.service")),
        ("/system.slice/docker-0a1b.scope", ("container", "docker-0a1b.scope")),
        ("/docker/" + "0a" * 32, ("container", "0a" * 32)),
        ("/docker/" + "0a" * 32 + "/system.slice/etcd.service", ("unit", "etcd.service")),  # a host that is a container
        ("/kubepods.slice/kubepods-burstable.slice/cri-containerd-0a.scope", ("pod", "")),
        ("/kubepods/burstable/pod1/0a", ("pod", "")),
        ("/init.scope", ("", "")),
        ("/", ("", "")),
        ("", ("", "")),
    ],
)
def test_who_started_it_by_its_control_group(group, owner):
    assert owner_by_group(group) == Owner(*owner)


def test_the_hierarchies_of_version_1_and_a_host_that_is_a_container(proc):
    proc.add(1, "systemd", ("init",), group="/docker/aa/init.scope")
    proc.add(7)
    (proc.root / "proc/7/cgroup").write_text("12:pids:/x\n1:name=systemd:/docker/aa/system.slice/m1.service\n0::/\n")
    assert owner_of(Host(str(proc.root)), 7) == Owner("unit", "m1.service")


@pytest.mark.parametrize(
    ("comm", "argv", "owner"),
    [
        ("supervisord", ("python3", "/usr/bin/supervisord"), ("supervisor", "supervisord")),
        ("k0s", ("/usr/local/bin/k0s", "controller"), ("distribution", "k0s")),
        ("bash", ("bash", "wrapper.sh"), ("unit", "x.service")),
    ],
)
def test_who_started_it_by_its_ancestors(proc, comm, argv, owner):
    proc.add(6, comm, argv, group="/system.slice/x.service")
    proc.add(7, parent=6, group="/system.slice/x.service")
    assert owner_of(Host(str(proc.root)), 7) == Owner(*owner)


def test_the_pod_of_rke2_is_not_the_kubelets_alone(proc):
    proc.add(7, group="/kubepods/burstable/pod1/0a")
    assert owner_of(Host(str(proc.root)), 7) == Owner("pod")
    proc.add(5, "rke2-server", ("/usr/local/bin/rke2 server",))
    assert owner_of(Host(str(proc.root)), 7) == Owner("distribution", "rke2")
