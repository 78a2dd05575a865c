# SPDX-License-Identifier: GPL-3.0-or-later
"""Members in static pods, on hosts as kubeadm makes them: the real kubelet and containerd, mutual TLS, no tool on the host."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from client import RetryingWriter, Writer, differences, dump, seed
from conftest import BACKUP, CHECKOUT, CONFIRM, RESTORE, Play, play, report_of
from failing import DRILL, arguments, power_fails_while_away
from kubeadm_hosts import MANIFEST, KubeadmHosts
from test_garbage_collector import Api, wait_for

MEMBER_REPLACE = CHECKOUT / "playbooks" / "member_replace.yml"
KEYS = 400
pytestmark = pytest.mark.xdist_group("kubeadm")  # one worker, as its hosts are made once
FLAG = re.compile(r"^    - --initial-cluster(-state|-token|)=(.*)\n", re.MULTILINE)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory):
    with KubeadmHosts(tmp_path_factory.mktemp("kubeadm") / "kubeadm") as made:
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


def assert_restored(hosts: KubeadmHosts, expected: dict, written: dict[str, str]) -> None:
    assert_keys(hosts, expected)
    assert_only_the_cluster_flags_changed(hosts, written)
    assert_the_folder_is_clean(hosts)


def seeded(hosts: KubeadmHosts, count: int = KEYS) -> dict:
    """Keys on all members, and a backup of them."""
    seed(hosts.client(hosts.members[0]), count)
    keys = dump(hosts.client(hosts.members[0]), serializable=False)
    done = run(hosts, BACKUP)
    assert done.rc == 0, done.output
    return keys


def test_backup_disaster_restore(hosts: KubeadmHosts) -> None:
    """Two hosts have lost their data: one starts a cluster of its own, as its manifest says, the other fails over and over."""
    first, second, survivor = hosts.members
    written = manifests(hosts)
    urls = [len(re.findall(r"https://[^,]+:2380", dict(FLAG.findall(text))[""])) for text in written.values()]
    assert urls == [1, 2, 3]
    states = [dict(FLAG.findall(text)).get("-state") for text in written.values()]
    assert states == [None, "existing", "existing"]
    assert hosts.run(first, ["sh", "-c", "command -v etcd etcdctl etcdutl || true"]) == ""
    expected = seeded(hosts)

    hosts.client(survivor).delete_range()
    for member in (first, second):
        hosts.lose_data(member)
    planned = run(hosts, RESTORE, "--check", "--diff")
    assert planned.rc == 0, planned.output
    assert manifests(hosts) == written
    done = run(hosts, RESTORE, *CONFIRM)
    assert done.rc == 0, done.output
    assert_restored(hosts, expected, written)

    again = run(hosts, RESTORE, *CONFIRM)
    assert again.rc == 0, again.output
    assert all(again.recap(member.host)["changed"] == 0 for member in hosts.members), again.output

    # The kubelet that starts anew takes the pods as they are, and a host that boots is the member that it was.
    hosts.run(first, ["systemctl", "restart", "kubelet"])
    hosts.reboot(second)
    hosts.wait_ready()
    assert_restored(hosts, expected, written)


def test_one_outage_and_back_again(hosts: KubeadmHosts) -> None:
    """While clients write: the pods are started once, and what was written before a rollback is there after it."""
    expected, written = seeded(hosts), manifests(hosts)
    hosts.client(hosts.members[0]).put(b"later", b"than the snapshot")
    later = dump(hosts.client(hosts.members[0]), serializable=False)
    with Writer([hosts.client(member, timeout=0.5) for member in hosts.members]) as writer:
        began = writer.wait_for_write()
        done = run(hosts, RESTORE, *CONFIRM)
        assert done.rc == 0, done.output
        gap, failed = writer.longest_gap(began), writer.failed
        time.sleep(5)  # a kubelet that had seen a change of the manifest would have stopped its pod by now
        assert writer.failed == failed
    print(f"the outage: {gap.seconds:.1f} s")
    assert_restored(hosts, expected, written)

    back = run(hosts, RESTORE, *CONFIRM, "-e", "etcd_restore_rollback=true")
    assert back.rc == 0, back.output
    assert manifests(hosts) == written
    assert_the_folder_is_clean(hosts)
    hosts.wait_ready()
    assert_keys(hosts, later)


def test_tools_of_a_pod_that_does_not_run(hosts: KubeadmHosts) -> None:
    """They are in its image, which is opened without a trace; where that is not possible it is said."""
    member, kept = hosts.members[1], "/var/lib/quorum-etcd/bin"
    seeded(hosts, 100)
    # The kubelet holds still, so that the pod stays as it is.
    hosts.run(member, ["sh", "-c", f"rm -rf {kept}; kill -STOP $(pidof kubelet); kill $(pidof etcd)"])
    hosts.wait_gone(member)
    planned = run(hosts, RESTORE, "--check")
    assert hosts.run(member, ["sh", "-c", f"ls -d /tmp/quorum* {kept} || true"]) == ""
    hosts.run(member, ["mv", "/usr/bin/ctr", "/root/"])
    refused = run(hosts, RESTORE, *CONFIRM)
    hosts.run(member, ["sh", "-c", "mv /root/ctr /usr/bin/; kill -CONT $(pidof kubelet)"])
    assert planned.rc == 0 and f"{kept}/3.6." in planned.text, planned.output
    assert refused.rc != 0 and "Nothing was touched" in refused.text, refused.output
    assert f"{member.host}: neither etcdutl nor etcdctl was found" in refused.text
    assert "none of ctr, /usr/local/bin/ctr, /usr/bin/ctr is there to open it with" in refused.text
    hosts.wait_ready()


def test_refused_while_the_kubelet_is_down(hosts: KubeadmHosts) -> None:
    member, written = hosts.members[0], manifests(hosts)
    hosts.run(member, ["systemctl", "stop", "kubelet"])
    refused = run(hosts, RESTORE, *CONFIRM)
    hosts.run(member, ["systemctl", "start", "kubelet"])
    assert refused.rc != 0 and f"{member.host}: the kubelet does not run here" in refused.text, refused.output
    assert "systemctl start kubelet" in refused.text
    assert manifests(hosts) == written
    hosts.wait_ready()


def replace(hosts: KubeadmHosts, *arguments: str) -> Play:
    return run(hosts, MEMBER_REPLACE, "-e", "etcd_member_replace_confirm=etcd", *arguments)


def assert_replaced(hosts: KubeadmHosts, name: str, expected: dict, written: dict[str, str]) -> None:
    """Its own manifest says whom it joins; those of the others, which run, are as they were."""
    listed = hosts.client(hosts.members[-1]).member_list()
    urls = {member.name: member.peer_url for member in hosts.members}
    assert {one.name: one.peer_urls[0] for one in listed if not one.learner} == urls
    assert_keys(hosts, expected)
    assert_the_folder_is_clean(hosts)
    now = manifests(hosts)
    assert {host: text for host, text in now.items() if host != name} == {
        host: text for host, text in written.items() if host != name
    }
    found = dict(FLAG.findall(now[name]))
    assert found["-state"] == "existing"
    assert dict(one.split("=") for one in found[""].split(",")) == urls


@pytest.mark.parametrize("who, how", [("leader", "stop"), ("follower", "kill")])
def test_a_member_in_a_pod_fails_as_a_drill(hosts: KubeadmHosts, who: str, how: str) -> None:
    """It is away for its seconds, though the kubelet would start it again at once; then it is back, and nothing is left."""
    seed(hosts.client(hosts.members[0]), 100)
    expected, written = dump(hosts.client(hosts.members[0]), serializable=False), manifests(hosts)
    asked = {"who": who, "how": how, "seconds": 8, "confirm": "etcd"}
    given = json.dumps({f"etcd_failover_drill_{name}": value for name, value in asked.items()})
    with RetryingWriter([hosts.client(member, timeout=1.5) for member in hosts.members]) as writer:
        done = run(hosts, DRILL, "-e", given)
    assert done.rc == 0, done.output
    report = report_of(done)
    assert report["came_back"] is None and report["put_back_by"] == "run"
    away = next(member for member in hosts.members if member.name == report["drill"]["member"])
    assert report["numbers"]["leader_after"] not in ("", away.name), report["numbers"]
    hosts.wait_ready()
    writer.check(hosts.client(away))
    left = {key: value for key, value in dump(hosts.client(away), serializable=False).items() if key in expected}
    assert differences(expected, left) == []
    assert manifests(hosts) == written
    assert_the_folder_is_clean(hosts)


def test_the_power_fails_while_a_pod_is_away(hosts: KubeadmHosts) -> None:
    """Its manifest lies where no kubelet looks, on another file system, and no timer lives any more: the boot puts it back."""
    third = hosts.members[2]
    seed(hosts.client(hosts.members[0]), 100)
    expected, written = dump(hosts.client(hosts.members[0]), serializable=False), manifests(hosts)
    power_fails_while_away(hosts, third, who=third.name, how="stop")
    hosts.wait_ready()
    left = {key: value for key, value in dump(hosts.client(third), serializable=False).items() if key in expected}
    assert differences(expected, left) == []
    assert manifests(hosts) == written
    assert_the_folder_is_clean(hosts)
    assert hosts.run(third, ["find", "/var/lib/quorum-etcd/static-pods", "-type", "f"]) == ""
    again = play(*arguments(hosts, how="stop"))
    assert again.rc == 0, again.output


def test_a_control_plane_node_that_lost_its_data(hosts: KubeadmHosts) -> None:
    """As kubeadm wrote it, its manifest says ``new``, of itself alone. Without its data it founds a cluster of its own; or,
    with the token of old, one of the same IDs, and ends over and over when the leader of the other speaks to it.
    """
    first, *others = hosts.members
    expected, written = seeded(hosts, 100), manifests(hosts)
    hosts.stop(first)
    hosts.run(first, ["find", first.data_dir, "-mindepth", "1", "-delete"])
    hosts.write_manifest(first)
    hosts.run(first, ["timeout", "60", "sh", "-c", f"until [ -e {first.data_dir}/member/snap/db ]; do sleep 0.2; done"])
    refused = replace(hosts)
    assert refused.rc != 0, refused.output
    assert "several clusters answer" in refused.text or "nothing tells whether it is lost" in refused.text, (
        refused.output
    )

    # Not through the first: what it acknowledges is in the cluster of its own, and given up with that.
    with RetryingWriter([hosts.client(member, timeout=1.5) for member in others]) as writer:
        done = replace(hosts, "-e", f'{{"etcd_member_replace_dead": ["{first.name}"]}}')
        assert done.rc == 0, done.output
    writer.check(hosts.client(first))
    assert_replaced(hosts, first.name, expected, written)


def test_a_control_plane_node_that_lost_its_manifest_too(hosts: KubeadmHosts) -> None:
    second = hosts.members[1]
    expected, written = seeded(hosts, 100), manifests(hosts)
    hosts.run(second, ["rm", MANIFEST])
    hosts.wait_gone(second)
    hosts.run(second, ["find", second.data_dir, "-mindepth", "1", "-delete"])
    dead = ("-e", f'{{"etcd_member_replace_dead": ["{second.name}"]}}')
    refused = replace(hosts, *dead)
    assert refused.rc != 0 and f"on {second.host} no etcd is set up" in refused.text, refused.output
    assert "kubeadm init phase etcd local" in refused.text

    # As the refusal says. The kubelet starts what the manifest says at once, which is a cluster of its own.
    hosts.write_manifest(second)
    done = replace(hosts, *dead)
    assert done.rc == 0, done.output
    assert_replaced(hosts, second.name, expected, written)


@pytest.mark.long
def test_the_api_server_in_front_goes_on(hosts: KubeadmHosts, tmp_path: Path) -> None:
    """It asks the member of its own host; another one is lost, and replaced. It is not restarted, and serves and writes."""
    second, third = hosts.members[1:]
    hosts.start_control_plane(third)
    try:
        api = Api(hosts, third, tmp_path)
        wait_for("the API server", lambda: api.call("/api/v1/namespaces/default"))
        api.make("before", 1)
        pid = hosts.run(third, ["pidof", "kube-apiserver"])
        hosts.lose_data(second)
        done = replace(hosts, "-e", f'{{"etcd_member_replace_dead": ["{second.name}"]}}')
        assert done.rc == 0, done.output
        api.make("after", 1)
        assert api.names("before") and api.names("after")
        assert hosts.run(third, ["pidof", "kube-apiserver"]) == pid
    finally:
        hosts.stop_control_plane(third)
    hosts.run(third, ["timeout", "60", "sh", "-c", "while pidof kube-apiserver >/dev/null; do sleep 0.2; done"])
    hosts.client(second).get(b"back")
    assert differences(dump(hosts.client(third)), dump(hosts.client(second))) == []
