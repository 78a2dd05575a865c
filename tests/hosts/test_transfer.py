# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes between the controller and a host over real SSH: every way to become root, whole, private, and seen on their way."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from conftest import Play, play
from hosts import Hosts

PLAY = """\
- hosts: m1
  gather_facts: false
  become: true
  tasks:
    - name: To the host
      quorum.etcd.transfer: {direction: to_host, src: "{{ source }}", dest: /srv/new/folder/there.db, size: "{{ size }}"}
    - name: Back
      quorum.etcd.transfer: {direction: from_host, src: /srv/new/folder/there.db, dest: "{{ back }}", size: "{{ size }}"}
"""
SIZE = 32 << 20


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory):
    with Hosts(tmp_path_factory.mktemp("transfer") / "transfer", line="3.6", members=1) as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    path.write_bytes(os.urandom(SIZE))
    return path


def transfer(hosts: Hosts, source: Path, *arguments: str, **variables: object) -> Play:
    playbook = source.parent / "transfer.yml"
    playbook.write_text(PLAY)
    values = {"source": source, "back": source.parent / "spool" / "back.db", "size": SIZE, **variables}
    given = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
    hosts.run(hosts.members[0], ["rm", "-rf", "/srv/new"])
    return play(playbook, "-i", hosts.inventory, *given, *arguments)


def assert_arrived(hosts: Hosts, source: Path) -> None:
    wanted = hashlib.sha256(source.read_bytes()).hexdigest()
    there = hosts.run(hosts.members[0], ["sha256sum", "/srv/new/folder/there.db"])
    assert there.split()[0] == wanted
    modes = hosts.run(hosts.members[0], ["stat", "-c", "%a %U", "/srv/new/folder/there.db", "/srv/new/folder"])
    assert modes.split() == ["600", "root", "700", "root"]
    back = source.parent / "spool" / "back.db"
    assert hashlib.sha256(back.read_bytes()).hexdigest() == wanted
    assert back.stat().st_mode & 0o777 == 0o600
    assert back.parent.stat().st_mode & 0o777 == 0o700


def sudo_asks(hosts: Hosts, rule: str) -> None:
    hosts.run(
        hosts.members[0], ["sh", "-c", f"echo 'admin:secret word' | chpasswd; echo '{rule}' >/etc/sudoers.d/admin"]
    )


@pytest.mark.parametrize("pipelining", ["true", "false"])
def test_with_sudo(hosts: Hosts, source: Path, pipelining: str) -> None:
    sudo_asks(hosts, "admin ALL=(ALL) NOPASSWD: ALL")
    done = transfer(hosts, source, "-e", f"ansible_pipelining={pipelining}")
    assert done.rc == 0, done.output
    assert_arrived(hosts, source)


@pytest.mark.parametrize("rule", ["admin ALL=(ALL) ALL", "admin ALL=(ALL) NOPASSWD: ALL"])
def test_with_a_password_for_sudo_asked_for_or_not(hosts: Hosts, source: Path, rule: str) -> None:
    sudo_asks(hosts, rule)
    secret = source.parent / "secret.yml"
    secret.write_text("ansible_become_password: secret word\n")
    done = transfer(hosts, source, "-vvv", "-e", f"@{secret}")
    sudo_asks(hosts, "admin ALL=(ALL) NOPASSWD: ALL")
    assert done.rc == 0, done.output
    assert "secret word" not in done.output
    assert_arrived(hosts, source)


def test_another_way_to_become_takes_ansibles_own(hosts: Hosts, source: Path) -> None:
    """su has no quick way: it is done by copy and fetch, as private and as whole."""
    hosts.run(hosts.members[0], ["sh", "-c", "echo 'root:other word' | chpasswd"])
    secret = source.parent / "secret.yml"
    secret.write_text("ansible_become_password: other word\nansible_become_method: su\n")
    done = transfer(hosts, source, "-e", f"@{secret}")
    assert done.rc == 0, done.output
    assert_arrived(hosts, source)


def test_a_second_time_nothing_is_sent(hosts: Hosts, source: Path) -> None:
    assert transfer(hosts, source).rc == 0
    hosts.run(hosts.members[0], ["sh", "-c", "stat -c %i /srv/new/folder/there.db >/srv/inode"])
    playbook = source.parent / "again.yml"
    playbook.write_text(PLAY.partition("    - name: Back")[0])
    done = play(playbook, "-i", hosts.inventory, "-e", f"source={source}", "-e", f"size={SIZE}")
    assert done.rc == 0 and done.recap("m1")["changed"] == 0, done.output
    inode = hosts.run(hosts.members[0], ["stat", "-c", "%i", "/srv/new/folder/there.db"])
    assert inode.strip() == hosts.run(hosts.members[0], ["cat", "/srv/inode"]).strip()


def test_a_full_disk_is_said_and_nothing_half_has_the_name(hosts: Hosts, source: Path) -> None:
    small = ["sh", "-c", "mkdir -p /mnt/small && mount -t tmpfs -o size=8m tmpfs /mnt/small"]
    hosts.run(hosts.members[0], small)
    playbook = source.parent / "full.yml"
    playbook.write_text(PLAY.partition("    - name: Back")[0].replace("/srv/new/folder", "/mnt/small"))
    done = play(playbook, "-i", hosts.inventory, "-e", f"source={source}", "-e", f"size={SIZE}")
    hosts.run(hosts.members[0], ["test", "!", "-e", "/mnt/small/there.db"])
    hosts.run(hosts.members[0], ["umount", "/mnt/small"])
    assert done.rc != 0 and "No space left on device" in done.text, done.output
    assert "Nothing was stopped" in done.text


def test_the_progress_of_a_slow_transfer_is_shown(hosts: Hosts, source: Path) -> None:
    """The host's network is made slow, so that there is something to be seen."""
    member = hosts.members[0]
    slow = "tc qdisc add dev eth0 root tbf rate 20mbit burst 64kb latency 400ms"
    hosts.run(member, ["sh", "-c", slow])
    try:
        done = transfer(hosts, source)
    finally:
        hosts.run(member, ["tc", "qdisc", "del", "dev", "eth0", "root"])
    assert done.rc == 0, done.output
    assert "m1: snapshot to the controller: " in done.output and "% of 34 MB" in done.output, done.output
    assert_arrived(hosts, source)
