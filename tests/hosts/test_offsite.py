# SPDX-License-Identifier: GPL-3.0-or-later
"""Off-site on real hosts: shipped by systemd, within what its unit allows, by SFTP to another host and into a mounted folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from client import differences, dump, seed
from conftest import BACKUP, CONFIRM, RESTORE, Play, play
from hosts import Hosts, HostsError, Member
from images import docker

SERVICE = "quorum-etcd-backup.service"
SECRETS = "/etc/quorum-etcd/offsite"
PASSWORD = "the password of the crypt"
MOUNT = "/mnt/backup"


class Site:
    def __init__(self, hosts: Hosts) -> None:
        self.hosts, self.away = hosts, hosts.members[2]
        self.key = (hosts.dir / "ssh" / "key").read_text().strip()
        inline = self.key.replace("\n", "\\n")
        config = f"[away]\ntype = sftp\nhost = {self.away.address}\nuser = admin\nkey_pem = {inline}\n"
        remote = {"name": "away", "remote": "away:offsite", "rclone_config": config, "password": PASSWORD}
        self.stores = [remote, {"name": "disk", "folder": MOUNT}]

    def play(self, playbook: Path, *words: str, **variables: Any) -> Play:
        given = {"etcd_backup_offsite": self.stores, **variables}
        done = play(playbook, "-i", self.hosts.inventory, "-e", json.dumps(given), *words)
        self.assert_secret(done.output)
        return done

    def assert_secret(self, text: str) -> None:
        assert PASSWORD not in text and self.key.splitlines()[1] not in text

    def backup(self, *words: str) -> Play:
        """With no variable but the stores: each half hour, by the hosts themselves."""
        return self.play(BACKUP, *words)

    def offsite(self, member: Member) -> list[tuple[str, list[str]]]:
        answer = self.hosts.run(member, ["quorum-etcd", "list", "--offsite", "--json"])
        return [(row["kind"], row["whole"]) for row in json.loads(answer)["snapshots"]]

    def is_there(self, member: Member, path: str) -> bool:
        return self.hosts.run(member, ["sh", "-c", f"test -e {path} && echo yes || echo no"]) == "yes"


def test_shipped_by_systemd_and_restored_from_another_host(tmp_path: Path) -> None:
    with Hosts(tmp_path / "offsite", line="3.6") as hosts:
        site = Site(hosts)
        seed(hosts.client(hosts.members[0]), 1000)

        # rclone comes from Debian's packages. Hosts that reach no mirror say so, before anything is touched.
        first = site.backup()
        assert first.rc != 0
        if not site.is_there(hosts.members[0], "/usr/bin/rclone"):
            assert "the store away needs rclone, and this host has none" in first.text, first.output
            assert not any(site.is_there(member, "/usr/local/bin/quorum-etcd") for member in hosts.members)
            program = shutil.which("rclone")
            assert program, "make venv"
            hosts.on_each(lambda member: docker("cp", program, f"{member.container}:/usr/bin/rclone"))
            first = site.backup()
        assert f"from this host the folder {MOUNT} of the store disk is not there. Next: mount it" in first.text, (
            first.output
        )

        # Nothing is mounted yet, and the folder is on the host's own disk.
        hosts.on_each(lambda member: hosts.run(member, ["mkdir", "-p", MOUNT]))
        unmounted = site.backup()
        told = f"{MOUNT}, the folder of the store disk, is on this host's own disk"
        assert unmounted.rc != 0 and told in unmounted.text, unmounted.output
        hosts.on_each(lambda member: hosts.run(member, ["mount", "-t", "tmpfs", "tmpfs", MOUNT]))
        done = site.backup("--diff")
        assert done.rc == 0, done.output
        for member in hosts.members:
            modes = hosts.run(member, ["stat", "-c", "%a %U", f"{SECRETS}/away.conf", f"{SECRETS}/away.password"])
            assert modes.splitlines() == ["600 root", "600 root"]
        again = site.backup()
        assert again.rc == 0, again.output
        assert all(again.recap(member.host)["changed"] == 0 for member in hosts.members), again.output

        (owner,) = [member for member in hosts.members if site.is_there(member, "/var/backups/etcd/*.db.gz")]
        assert site.offsite(owner) == [("full", ["away", "disk"])]
        hosts.client(owner).put(b"app/more", b"1")
        hosts.run(owner, ["systemctl", "start", SERVICE])
        assert site.offsite(owner) == [("pages", ["away", "disk"]), ("full", ["away", "disk"])]
        there = hosts.run(site.away, ["sh", "-c", "ls /home/admin/offsite/etcd"]).split()
        ends = [".db.gz", ".db.json", ".kit.tar.gz", ".pages.xz"]
        assert all(name.endswith(".bin") for name in there), "encrypted"
        counts = [sum(name.endswith(f"{end}.bin") for name in there) for end in ends]
        assert counts == [1, 2, 2, 1] and len(there) == 6, there
        expected = dump(hosts.client(owner))
        for member in hosts.members:
            site.assert_secret(hosts.run(member, ["journalctl", "--no-pager"]))

        # The mount goes away: it is told, the host's disk is not filled, and the other store is served all the same.
        hosts.run(owner, ["umount", MOUNT])
        hosts.client(owner).put(b"app/later", b"1")
        with pytest.raises(HostsError):
            hosts.run(owner, ["systemctl", "start", SERVICE])
        assert hosts.run(owner, ["ls", "-A", MOUNT]) == ""
        journal = hosts.run(owner, ["journalctl", "--no-pager", "-u", SERVICE])
        assert "off-site disk: FAILED" in journal and "nothing is mounted there" in journal
        assert hosts.run(owner, ["sh", "-c", "quorum-etcd list --offsite >/dev/null; echo $?"]) == "1"
        hosts.client(owner).delete(b"app/later")

        # Without etcd_backup_offsite, the stores of the host's own agent are taken.
        kept, site.stores = site.stores, []
        shown = site.play(RESTORE, "--check", etcd_restore_snapshot="offsite:rev1000000")
        # Where the host that fetches is the one that has saved it, it is there.
        assert shown.rc == 0 and re.search("(from the store away|there already), and whole", shown.text), shown.output
        site.stores = kept

        # Everything of the cluster is lost, on hosts without an agent: it comes back from the host that is the store.
        names = hosts.run(site.away, ["sh", "-c", "ls /home/admin/offsite/etcd"]).split()
        (second,) = sorted(name[: -len(".json.bin")] for name in names if name.endswith(".db.json.bin"))[1:2]
        for member in hosts.members:
            hosts.run(member, ["systemctl", "stop", "quorum-etcd-backup.timer"])
            hosts.lose_data(member)
            hosts.run(member, ["rm", "-rf", "/var/backups/etcd", "/var/lib/quorum-etcd", "/etc/quorum-etcd"])
        site.stores = site.stores[:1]
        restored = site.play(RESTORE, *CONFIRM, etcd_restore_snapshot=f"offsite:{second}")
        assert restored.rc == 0, restored.output
        assert f"{second}: fetched from the store away, and whole" in restored.text
        for member in hosts.members:
            hosts.client(member).get(b"back")
            assert differences(expected, dump(hosts.client(member))) == [], member.host
