# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore on real hosts: systemd, SSH with become, every line of etcd, plain and with TLS and authentication.

Each host is as its users have it: another way of installation, another place for the settings, and one peculiarity.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from client import differences, dump, seed
from conftest import BACKUP, CONFIRM, RESTORE, STATUS, Play, play
from hosts import Hosts, Member
from lab import Lab

LINES = ["3.4", "3.5", "3.6", "3.7"]
KEYS = 400

# Debian 12's package; Debian 13's; upstream binaries with a YAML file; the same with flags in the unit.
PLAIN: dict[str, dict[str, Any]] = {
    "3.4": {"host_names": ["db-a", "db-b", "db-c"]},
    "3.5": {"distribution": "debian13", "wal_dir": "/var/lib/etcd-wal/wal"},
    "3.6": {"data_mount": True},
    "3.7": {"ipv6_peers": True, "owner": "kv"},
}
SECURE: dict[str, dict[str, Any]] = {line: {"tls": True, "auth": True} for line in LINES}


@pytest.fixture(scope="session")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict]]:
    """A snapshot of each line, from a lab of one member, and the keys in it."""
    made = {}
    for line in LINES:
        with Lab(tmp_path_factory.mktemp("snapshots") / "lab", members=1, line=line) as lab:
            seed(lab.members[0].client, 50)
            done = play(BACKUP, "-i", lab.inventory, "-e", "etcd_backup_compress=none")
            assert done.rc == 0, done.output
            made[line] = next(lab.backup_dir.glob("*.db")), dump(lab.members[0].client)
    return made


def run(hosts: Hosts, playbook: Path, *arguments: str) -> Play:
    return play(playbook, "-i", hosts.inventory, *arguments)


def seeded(hosts: Hosts) -> dict:
    seed(hosts.client(hosts.members[0]), KEYS)
    keys = dump(hosts.client(hosts.members[0]), serializable=False)
    done = run(hosts, BACKUP)
    assert done.rc == 0, done.output
    return keys


def destroy(hosts: Hosts) -> None:
    """Every key deleted, and all data gone on the hosts but the last; on a single host only the keys go."""
    hosts.client(hosts.members[-1]).delete_range()
    for member in hosts.members[:-1]:
        hosts.kill(member)
        hosts.run(member, ["sh", "-c", f"rm -rf {member.data_dir}/* {member.wal_dir or '/none'}/*"])


def assert_restored(hosts: Hosts, expected: dict) -> None:
    for member in hosts.members:
        hosts.client(member).get(b"back")  # linearizable: it has caught up
        assert differences(expected, dump(hosts.client(member))) == [], member.host
        configuration = hosts.run(member, ["cat", member.config_file])
        assert "existing" in next(line for line in configuration.splitlines() if is_state(line)), configuration
        assert_owned(hosts, member)


def is_state(line: str) -> bool:
    return not line.lstrip().startswith("#") and "initial_cluster_state" in line.lower().replace("-", "_")


def assert_owned(hosts: Hosts, member: Member) -> None:
    """All of the new data is the service's user's, and nobody else may look into it."""
    for folder in filter(None, (member.data_dir, member.wal_dir)):
        assert (
            hosts.run(
                member,
                ["find", f"{folder}/", "-name", ".before-*", "-prune", "-o", "!", "-user", member.owner, "-print"],
            )
            == ""
        )
        assert hosts.run(member, ["stat", "-c", "%a", folder]).strip() == "700"


def assert_restores(hosts: Hosts) -> dict:
    """The whole story on these hosts; returns what was restored."""
    expected = seeded(hosts)
    destroy(hosts)
    done = run(hosts, RESTORE, *CONFIRM)
    assert done.rc == 0, done.output
    assert_restored(hosts, expected)
    again = run(hosts, RESTORE, *CONFIRM)
    assert again.rc == 0, again.output
    assert all(again.recap(member.host)["changed"] == 0 for member in hosts.members), again.output
    return expected


@pytest.mark.parametrize("line", LINES)
def test_plain(tmp_path: Path, line: str, snapshots: dict[str, tuple[Path, dict]]) -> None:
    with Hosts(tmp_path / f"plain-{line}", line=line, **PLAIN[line]) as hosts:
        expected = assert_restores(hosts)

        # `existing` is proven by a start: a host that boots joins the cluster it was in.
        hosts.reboot(hosts.members[0])
        hosts.wait_ready()
        assert differences(expected, dump(hosts.client(hosts.members[0]))) == []

        position = LINES.index(line)
        for newer in LINES[position + 1 : position + 2]:
            refused = run(hosts, RESTORE, *CONFIRM, "-e", f"etcd_restore_snapshot={snapshots[newer][0]}")
            assert refused.rc != 0 and "an older etcd must not open it" in refused.text, refused.output
            assert differences(expected, dump(hosts.client(hosts.members[0]))) == []
        for older in LINES[max(0, position - 1) : position]:
            path, keys = snapshots[older]
            done = run(hosts, RESTORE, *CONFIRM, "-e", f"etcd_restore_snapshot={path}")
            assert done.rc == 0, done.output
            assert_restored(hosts, keys)


@pytest.mark.parametrize("line", LINES)
def test_secure_and_nothing_leaks(tmp_path: Path, line: str) -> None:
    """Mutual TLS and authentication; and no password or key is seen in any process, log, diff or journal."""
    with Hosts(tmp_path / f"secure-{line}", line=line, **SECURE[line]) as hosts:
        expected = seeded(hosts)
        destroy(hosts)
        words = secrets_of(hosts)
        with Watch(words) as watch:
            printed = [run(hosts, STATUS, "-vvv"), run(hosts, BACKUP, "-vvv")]
            printed += [
                run(hosts, RESTORE, "-vvv", "--check", "--diff"),
                run(hosts, RESTORE, "-vvv", "--diff", *CONFIRM),
            ]
        assert printed[-1].rc == 0, printed[-1].output
        assert_restored(hosts, expected)
        assert watch.looks > 100, "nobody looked at the processes"
        assert watch.seen == set()
        for done in printed:
            assert [word for word in words if word in done.output] == []
        for member in hosts.members:
            kept = hosts.run(
                member, ["sh", "-c", "cat /var/lib/quorum-etcd/restores/*/*.json* /var/backups/etcd/*.json; journalctl"]
            )
            assert "proven" in kept
            assert [word for word in words if word in kept] == []


def secrets_of(hosts: Hosts) -> list[str]:
    """The password, and a line out of the middle of each private key."""
    keys = [
        path.read_text()
        for path in hosts.dir.rglob("*")
        if path.is_file() and "PRIVATE KEY" in path.read_text(errors="replace")
    ]
    assert hosts.password and keys
    return [hosts.password, *(key.splitlines()[len(key.splitlines()) // 2] for key in keys)]


class Watch:
    """Looks at the command line of every process, the hosts' among them, as often as it can, for any of ``words``."""

    def __init__(self, words: list[str]) -> None:
        self._words = [word.encode() for word in words]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: set[str] = set()
        self.looks = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.is_set():
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:
                    continue  # it has ended
                if any(word in line for word in self._words):
                    self.seen.add(line.replace(b"\0", b" ").decode(errors="replace"))
            time.sleep(0.02)


def test_the_watch_sees_what_it_is_for() -> None:
    import subprocess

    with Watch(["a-password-in-argv"]) as watch:
        subprocess.run(["sleep", "0.5"], check=True)
        assert watch.seen == set()
        subprocess.run(["sh", "-c", "sleep 0.5; true a-password-in-argv"], check=True)
    assert watch.seen


@pytest.mark.parametrize("members", [1, 5])
def test_one_member_and_five(tmp_path: Path, members: int) -> None:
    with Hosts(tmp_path / f"members-{members}", line="3.6", members=members) as hosts:
        assert_restores(hosts)
