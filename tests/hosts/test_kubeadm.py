# SPDX-License-Identifier: GPL-3.0-or-later
"""Members in static pods, on hosts as kubeadm makes them: the real kubelet and containerd, mutual TLS, no tool on the host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from client import differences, dump, seed
from conftest import CHECKOUT, Play, play
from hosts import Member
from kubeadm_hosts import MANIFEST, KubeadmHosts

BACKUP, RESTORE, STATUS = (CHECKOUT / "playbooks" / f"{name}.yml" for name in ("backup", "restore", "status"))
CONFIRM = ("-e", "etcd_restore_confirm=etcd")
KEYS = 400
FLAG = re.compile(r"^    - --initial-cluster(-state|-token|)=(.*)\n", re.MULTILINE)


@pytest.fixture
def hosts(tmp_path: Path):
    with KubeadmHosts(tmp_path / "kubeadm") as made:
        yield made


def run(hosts: KubeadmHosts, playbook: Path, *arguments: str) -> Play:
    return play(playbook, "-i", hosts.inventory, *arguments)


def manifests(hosts: KubeadmHosts) -> dict[str, str]:
    return {member.host: hosts.read(member, MANIFEST) for member in hosts.members}


def assert_keys(hosts: KubeadmHosts, expected: dict) -> None:
    for member in hosts.members:
        hosts.client(member).get(b"back")  # linearizable: it has caught up
        assert differences(expected, dump(hosts.client(member))) == [], member.host


def assert_only_the_cluster_flags_changed(hosts: KubeadmHosts, before: dict[str, str]) -> None:
    members = ",".join(f"{member.name}={member.peer_url}" for member in hosts.members)
    tokens = set()
    for host, text in manifests(hosts).items():
        found = dict(FLAG.findall(text))
        assert found[""] == members, host
        assert found["-state"] == "existing", host
        tokens.add(found["-token"])
        assert FLAG.sub("", text) == FLAG.sub("", before[host]), host
    assert len(tokens) == 1 and next(iter(tokens)).startswith("etcd-")


def assert_the_folder_is_clean(hosts: KubeadmHosts) -> None:
    for member in hosts.members:
        listed = hosts.run(member, ["find", str(Path(MANIFEST).parent), "-mindepth", "1", "-printf", "%p %m %U:%G\n"])
        assert listed == f"{MANIFEST} 600 0:0", member.host


def pod_starts(hosts: KubeadmHosts, member: Member) -> int:
    """How often a container of etcd was started, by containerd's own count of what is left of them."""
    return len(hosts.run(member, ["sh", "-c", "ls -d /var/log/pods/kube-system_etcd-*/etcd/*.log"]).split())


def test_backup_disaster_restore(hosts: KubeadmHosts) -> None:
    """Two hosts have lost their data; one of them starts a cluster of its own, as its manifest says, the other never starts."""
    first, second, survivor = hosts.members
    written = manifests(hosts)
    assert [len(re.findall(r"https://\S+?:2380", FLAG.search(text).group(2))) for text in written.values()] == [1, 2, 3]
    seed(hosts.client(first), KEYS)
    expected = dump(hosts.client(first), serializable=False)
    done = run(hosts, BACKUP)
    assert done.rc == 0, done.output

    hosts.client(survivor).delete_range()
    hosts.on_each(lambda member: None if member == survivor else hosts.lose_data(member))

    plan = run(hosts, RESTORE, "--check", "--diff")
    assert plan.rc == 0, plan.output
    assert manifests(hosts) == written
    done = run(hosts, RESTORE, *CONFIRM)
    assert done.rc == 0, done.output
    assert_keys(hosts, expected)
    assert_only_the_cluster_flags_changed(hosts, written)
    assert_the_folder_is_clean(hosts)

    again = run(hosts, RESTORE, *CONFIRM)
    assert again.rc == 0, again.output
    assert all(again.recap(member.host)["changed"] == 0 for member in hosts.members), again.output

    # The kubelet that starts anew finds the pods as they are, and the host that boots is the member it was.
    hosts.run(first, ["systemctl", "restart", "kubelet"])
    hosts.reboot(second)
    hosts.wait_ready()
    assert_keys(hosts, expected)
