# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed snapshots where the controller and the hosts are really apart, and the hosts have no zstd."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from client import differences, dump, seed
from conftest import BACKUP, CONFIRM, RESTORE, play
from hosts import Hosts, Member

AGAIN = (*CONFIRM, "-e", "etcd_restore_again=true")


def test_gzip_on_one_host_and_zstd_on_the_controller(tmp_path: Path) -> None:
    with Hosts(tmp_path / "packed", line="3.6") as hosts:
        seed(hosts.client(hosts.members[0]), 200)
        expected = dump(hosts.client(hosts.members[0]), serializable=False)
        assert play(BACKUP, "-i", hosts.inventory, "-e", "etcd_backup_compress=none").rc == 0
        owner = next(member for member in hosts.members if listed(hosts, member))
        name = next(name for name in listed(hosts, owner) if name.endswith(".db"))
        raw = base64.b64decode(hosts.run(owner, ["base64", f"/var/backups/etcd/{name}"]))
        hosts.run(owner, ["gzip", f"/var/backups/etcd/{name}"])
        there = listed(hosts, owner)

        hosts.client(hosts.members[0]).delete_range()
        spool = ("-e", f"etcd_restore_spool={tmp_path}/spool")
        done = play(RESTORE, "-i", hosts.inventory, *AGAIN, *spool)
        assert done.rc == 0, done.output
        assert f"{name}.gz (on {owner.host})" in done.text and "unpacked (gzip) on the controller" in done.text
        assert_holds(hosts, expected)
        assert listed(hosts, owner) == there and not any((tmp_path / "spool").iterdir())

        (tmp_path / "named.db").write_bytes(raw)
        subprocess.run(["zstd", "-q", "--rm", tmp_path / "named.db"], check=True)
        hosts.client(hosts.members[0]).delete_range()
        named = ("-e", f"etcd_restore_snapshot={tmp_path}/named.db.zst")
        done = play(RESTORE, "-i", hosts.inventory, *AGAIN, *spool, *named)
        assert done.rc == 0, done.output
        assert_holds(hosts, expected)

        # On a host that has no zstd: it says what to do, and nothing is touched.
        packed = base64.b64encode((tmp_path / "named.db.zst").read_bytes()).decode()
        hosts.run(owner, ["sh", "-c", f"echo {packed} | base64 -d >/srv/there.db.zst"])
        refused = play(RESTORE, "-i", hosts.inventory, *AGAIN, "-e", "etcd_restore_snapshot=/srv/there.db.zst")
        assert refused.rc != 0 and "Nothing was touched." in refused.text
        assert "install zstd on this host; or unpack the file elsewhere" in refused.text, refused.output
        assert_holds(hosts, expected)


def listed(hosts: Hosts, member: Member) -> list[str]:
    return hosts.run(member, ["sh", "-c", "ls -A /var/backups/etcd 2>/dev/null || :"]).split()


def assert_holds(hosts: Hosts, expected: dict) -> None:
    for member in hosts.members:
        hosts.client(member).get(b"back")  # linearizable: it has caught up
        assert differences(expected, dump(hosts.client(member))) == [], member.host
        assert hosts.run(member, ["sh", "-c", "ls -A /var/lib/quorum-etcd/snapshots 2>/dev/null || :"]) == ""
