# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that have no etcd: prepared by each of the ways, looked at as a stopped member, and founded as a cluster; and what is
there already is left alone.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_package import obtain_collection
from bare_hosts import BareHosts
from client import differences, dump, seed
from conftest import CHECKOUT, Play, play
from etcd_binaries import obtain

INSTALL, STATUS, MEMBER_REPLACE = (
    CHECKOUT / "playbooks" / f"{name}.yml" for name in ("install", "status", "member_replace")
)
FOUND = ("-e", "etcd_found=true")
CONFIRMED = (*FOUND, "-e", "etcd_found_confirm=etcd")
LOOK = """\
- hosts: etcd
  gather_facts: false
  become: true
  tasks:
    - quorum.etcd.member_info:
      register: looked
    - ansible.builtin.copy:
        content: "{{ looked.member | to_json }}"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
        mode: "0600"
      delegate_to: localhost
      become: false
"""
# What a host has of etcd, whatever of it.
TRACES = (
    "ls -d /usr/bin/etcd* /usr/local/bin/etcd* /usr/local/lib/quorum-etcd /etc/etcd /etc/systemd/system/etcd*"
    " /run/systemd/system/etcd* /var/lib/etcd 2>/dev/null; getent passwd etcd; getent group etcd"
)


def install(hosts: BareHosts, *arguments: str) -> Play:
    return play(INSTALL, "-i", hosts.inventory, *arguments)


def changed(done: Play, hosts: BareHosts) -> list[int]:
    return [done.recap(member.host)["changed"] for member in hosts.members]


def each(hosts: BareHosts, script: str) -> list[str]:
    return hosts.on_each(lambda member: hosts.says(member, script))


def looked(hosts: BareHosts, folder: Path) -> list[dict[str, Any]]:
    """What member_info finds on each host."""
    folder.mkdir(exist_ok=True)
    (folder / "look.yml").write_text(LOOK)
    done = play(folder / "look.yml", "-i", hosts.inventory)
    assert done.rc == 0, done.output
    return [json.loads((folder / f"{member.host}.json").read_text()) for member in hosts.members]


def pids(hosts: BareHosts) -> list[str]:
    return each(hosts, "systemctl show --property=MainPID --value etcd")


def configurations(hosts: BareHosts) -> list[str]:
    return each(hosts, "cat /etc/etcd/etcd.yml")


# ---- Debian's package, etcd 3.4 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareHosts]:
    with BareHosts(tmp_path_factory.mktemp("packaged") / "packaged", "debian12") as made:
        yield made


@pytest.mark.xdist_group("server-packaged")
def test_a_package_is_installed_and_starts_nothing(packaged: BareHosts, tmp_path: Path) -> None:
    shown = install(packaged, "--check", "--diff")
    assert shown.rc == 0 and "Description=etcd, member m1" in shown.output, shown.output
    assert each(packaged, TRACES) == [""] * 3
    refused = install(packaged, "-e", "etcd_wal_dir=/srv/wal")
    assert refused.rc != 0 and "must own the folder above etcd_wal_dir" in refused.text, refused.output
    assert each(packaged, TRACES) == [""] * 3

    done = install(packaged)
    assert done.rc == 0, done.output
    assert each(packaged, "systemctl is-active etcd; systemctl is-enabled etcd") == ["inactive\ndisabled"] * 3
    # Neither a mask, nor a policy, nor data of a member that the package has started.
    left = "ls -A /run/systemd/system /etc/default; ls -d /usr/sbin/policy-rc.d; ls -A /var/lib/etcd /var/lib/etcd/data"
    assert all("policy-rc.d': No such file" in text and "etcd.service" not in text for text in each(packaged, left))
    assert (
        each(packaged, "find /var/lib/etcd /run/systemd/system")
        == ["/var/lib/etcd\n/var/lib/etcd/data\n/run/systemd/system"] * 3
    )
    assert each(packaged, "systemd-analyze verify etcd.service") == [""] * 3
    again = install(packaged)
    assert again.rc == 0 and changed(again, packaged) == [0, 0, 0], again.output

    for member, found in zip(packaged.members, looked(packaged, tmp_path / "look")):
        assert found["found"] and not found["running"] and found["name"] == member.name, found
        assert found["peer_urls"] == [member.peer_url] and found["client_urls"] == [member.client_url], found
        assert found["data_dir"] == "/var/lib/etcd/data" and found["data"]["empty"] and found["data"]["is_etcd"], found
        assert not found["data"]["has_member"] and found["data"]["owner_name"] == "etcd", found
        assert (found["service"]["name"], found["service"]["state"], found["service"]["user"]) == (
            "etcd",
            "stopped",
            "etcd",
        )
        assert found["service"]["notifies"] and found["service"]["start_timeout"] is None, found
        assert found["config"] == {"format": "yaml", "path": "/etc/etcd/etcd.yml"} and found["unsettable"] == [], found
        assert found["initial_cluster_state"] == "existing" and found["snapshot_count"] == "100000", found
        assert found["tools"]["etcd"]["path"] == "/usr/bin/etcd" and found["tools"]["etcdctl"], found
    unknown = install(packaged, "-e", json.dumps({"etcd_settings": {"feature-gates": "InitialCorruptCheck=true"}}))
    assert unknown.rc != 0 and "does not know the setting feature-gates" in unknown.text, unknown.output
    wrong = install(packaged, "-e", json.dumps({"etcd_settings": {"max-txn-ops": "many"}}))
    assert wrong.rc != 0 and "max-txn-ops is to be of type uint" in wrong.text, wrong.output
    packaged.reboot(packaged.members[0])
    packaged.wait_ready()
    assert packaged.says(packaged.members[0], "systemctl is-active etcd") == "inactive"


@pytest.mark.xdist_group("server-packaged")
def test_it_is_founded_and_the_next_run_changes_nothing(packaged: BareHosts) -> None:
    assert install(packaged).rc == 0
    before = configurations(packaged)
    asked = install(packaged, *FOUND)
    assert asked.rc != 0 and "-e etcd_found=true -e etcd_found_confirm=etcd" in asked.text, asked.output
    shown = install(packaged, *FOUND, "--check", "--diff")
    assert shown.rc == 0 and "cluster ID" in shown.text, shown.output
    assert configurations(packaged) == before and pids(packaged) == ["0"] * 3
    # Somebody else is at the address of a member.
    stranger = "import socket,time; s=socket.create_server(('0.0.0.0',2380)); time.sleep(600)"
    packaged.says(
        packaged.members[2], f'nohup python3 -c "{stranger}" >/dev/null 2>&1 & echo $! >/run/stranger; sleep 1'
    )
    refused = install(packaged, *CONFIRMED)
    assert refused.rc != 0 and f"m3: somebody answers at {packaged.members[2].peer_url} already" in refused.text, (
        refused.output
    )
    packaged.says(packaged.members[2], "kill $(cat /run/stranger)")
    assert configurations(packaged) == before and pids(packaged) == ["0"] * 3

    done = install(packaged, *CONFIRMED)
    assert done.rc == 0 and "The founding of cluster etcd is done, and proven." in done.text, done.output
    assert packaged.serve()
    statuses = packaged.status()
    assert len({status.cluster_id for status in statuses.values() if status}) == 1, statuses
    own = configurations(packaged)
    assert all("initial-cluster-state: 'existing'" in text and text.count("http://") >= 6 for text in own), own
    assert each(packaged, "systemctl is-enabled etcd") == ["enabled"] * 3
    seed(packaged.client(packaged.members[0]), 200)
    keys, running = dump(packaged.client(packaged.members[0])), pids(packaged)

    for arguments in (CONFIRMED, ()):
        again = install(packaged, *arguments)
        assert again.rc == 0 and changed(again, packaged) == [0, 0, 0], again.output
    other = install(packaged, "-e", json.dumps({"etcd_settings": {"snapshot-count": 5000}}))
    assert other.rc == 0 and changed(other, packaged) == [0, 0, 0], other.output
    assert "snapshot-count: 100000, wanted is 5000. To roll it out" in other.text, other.output
    assert pids(packaged) == running and configurations(packaged) == own

    each(packaged, "systemctl stop --no-block etcd; while pidof etcd >/dev/null; do sleep 0.1; done")
    refused = install(packaged, *CONFIRMED)
    assert refused.rc != 0 and "a member is here already with its data in /var/lib/etcd/data" in refused.text, (
        refused.output
    )
    assert configurations(packaged) == own and pids(packaged) == ["0"] * 3
    each(packaged, "systemctl start --no-block etcd")
    packaged.wait_serving()
    assert all(differences(keys, dump(packaged.client(member))) == [] for member in packaged.members)


# ---- a release, over HTTP and from the controller, with TLS ---------------------------------------------------------------


def certified(hosts: BareHosts) -> None:
    """Certificates of a CA of our own, as the example of the documentation makes them; made once, and not again."""
    where = obtain_collection("community.crypto")
    for again in (False, True):
        done = play(CHECKOUT / "docs" / "certificates.yml", "-i", hosts.inventory, ANSIBLE_COLLECTIONS_PATH=str(where))
        assert done.rc == 0 and (not again or changed(done, hosts) == [0, 0, 0]), done.output


class Release:
    """A release archive made of the lab's own programs, on the controller and at an address that the hosts reach."""

    def __init__(self, folder: Path, line: str) -> None:
        self.path = folder / "etcd-linux-amd64.tar.gz"
        with tarfile.open(self.path, "w:gz", compresslevel=1) as archive:
            for tool in ("etcd", "etcdctl", "etcdutl"):
                archive.add(obtain(line) / tool, f"etcd-v{line}-linux-amd64/{tool}")
            notes = tarfile.TarInfo(f"etcd-v{line}-linux-amd64/../../../etc/README")
            archive.addfile(notes, io.BytesIO(b""))
        self.sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()

    def serve(self, address: str) -> http.server.ThreadingHTTPServer:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(self.path.parent))
        server = http.server.ThreadingHTTPServer((address, 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BareHosts, Release]]:
    folder = tmp_path_factory.mktemp("upstream")
    with BareHosts(folder / "upstream", "debian13", tls=True) as made:
        certified(made)
        release = Release(folder, "3.7")
        server = release.serve(made.gateway())
        variables = {
            "etcd_archive_url": f"http://{made.gateway()}:{server.server_port}/etcd-linux-{{arch}}.tar.gz",
            "etcd_archive_file": str(folder / "etcd-linux-{arch}.tar.gz"),
            "etcd_archive_sha256": {"amd64": release.sha256},
            "etcd_install_from": "archive",
            "etcd_wal_dir": "/srv/etcd/wal",
            "etcd_tls_ca": "{{ inventory_dir }}/pki/ca.crt",
            "etcd_tls_cert": "{{ inventory_dir }}/pki/{{ inventory_hostname }}.crt",
            "etcd_tls_key": "{{ inventory_dir }}/pki/{{ inventory_hostname }}.key",
        }
        for name, own in (("group_vars/etcd.yml", variables), ("host_vars/m3.yml", {"etcd_install_from": "file"})):
            path = made.dir / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(own))
        yield made, release
        server.shutdown()


@pytest.mark.xdist_group("server-upstream")
def test_another_archive_or_key_than_was_named_is_refused_before_anything_is_touched(
    upstream: tuple[BareHosts, Release],
) -> None:
    hosts, release = upstream
    for sums, words in (
        ({"amd64": "0" * 64}, f"has the SHA-256 {release.sha256}, and not {'0' * 64}"),
        ({"arm64": release.sha256}, "the SHA-256 of the archive for amd64 is not given"),
    ):
        for limit in ("m1", "m3"):
            refused = install(hosts, "--limit", limit, "-e", json.dumps({"etcd_archive_sha256": sums}))
            assert refused.rc != 0 and words in refused.text, refused.output
    others = install(hosts, "-e", "etcd_tls_key={{ inventory_dir }}/pki/client.key")
    assert others.rc != 0 and "are no certificate and its key" in others.text, others.output
    gone = install(hosts, "-e", "etcd_archive_url=http://127.0.0.1:9/etcd", "--limit", "m1")
    assert gone.rc != 0 and "http://127.0.0.1:9/etcd cannot be downloaded" in gone.text, gone.output
    assert each(hosts, TRACES) == [""] * 3


@pytest.mark.xdist_group("server-upstream")
def test_a_release_is_installed_with_tls_and_founded_in_one_run(
    upstream: tuple[BareHosts, Release], tmp_path: Path
) -> None:
    hosts, _release = upstream
    keys = [(hosts.dir / "pki" / f"{member.host}.key").read_text() for member in hosts.members]
    done = install(hosts, *CONFIRMED, "--diff", "-vvv")
    assert done.rc == 0 and "The founding of cluster etcd is done, and proven." in done.text, done.output
    assert hosts.serve()
    assert each(hosts, "/usr/local/bin/etcd --version | head -1") == each(hosts, "etcd --version | head -1")
    assert all("3.7" in text for text in each(hosts, "etcd --version; etcdctl version; etcdutl version"))
    assert (
        each(hosts, "stat -c '%a %U' /etc/etcd/pki/server.key /var/lib/etcd/data /srv/etcd")
        == ["600 etcd\n700 etcd\n700 etcd"] * 3
    )
    assert each(hosts, "ls /srv/etcd/wal | grep -c wal$") == ["1"] * 3
    assert each(hosts, "systemd-analyze verify etcd.service; ls -A /usr/local/lib/quorum-etcd | wc -l") == ["1"] * 3
    journals = "".join(each(hosts, "journalctl --no-pager"))
    for key in keys:
        secret = key.splitlines()[1]
        assert secret not in done.output and secret not in journals and "PRIVATE KEY" not in done.output
    running = pids(hosts)
    again = install(hosts, *CONFIRMED)
    assert again.rc == 0 and changed(again, hosts) == [0, 0, 0] and pids(hosts) == running, again.output
    found = looked(hosts, tmp_path / "look")
    assert [one["tls"]["client"]["client_cert_auth"] for one in found] == [True] * 3 and found[0][
        "wal_dir"
    ] == "/srv/etcd/wal"
    # Each comes back by itself, within the bounds of its unit.
    hosts.reboot(hosts.members[1])
    hosts.wait_ready()
    hosts.wait_serving()


# ---- a host for a cluster that is there -----------------------------------------------------------------------------------


def test_a_prepared_host_is_what_member_replace_takes_as_a_newcomer(tmp_path: Path) -> None:
    """Founded by one of two hosts, and joined by the other, which was prepared by the same play and has never run etcd."""
    (tmp_path / "founders.yml").write_text("founders:\n  hosts:\n    m1:\n")
    with BareHosts(tmp_path / "joined", "debian13", members=2) as hosts:
        assert install(hosts).rc == 0
        alone = ("-i", str(tmp_path / "founders.yml"), "-e", "target=founders", "-e", "etcd_found_confirm=founders")
        founded = install(hosts, *FOUND, *alone)
        assert founded.rc == 0, founded.output
        seed(hosts.client(hosts.members[0]), 200)
        expected = dump(hosts.client(hosts.members[0]))
        done = play(
            *(MEMBER_REPLACE, "-i", hosts.inventory),
            *("-e", "etcd_member_replace_add=m2", "-e", "etcd_member_replace_confirm=etcd"),
        )
        assert done.rc == 0, done.output
        hosts.wait_serving()
        for member in hosts.members:
            assert differences(expected, dump(hosts.client(member))) == [], member.host
        assert each(hosts, "systemctl is-enabled etcd") == ["enabled"] * 2
        for text in configurations(hosts):
            assert "initial-cluster-state: 'existing'" in text and hosts.members[1].peer_url in text, text
