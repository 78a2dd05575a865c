# SPDX-License-Identifier: GPL-3.0-or-later
"""The night for which all of it is made: members, data and local backups are lost, and the cluster comes back from off-site."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, made_program, whose_turn
from client import dump, seed
from conftest import CONFIRM, RESTORE, Play, holds, play
from lab import Lab
from servers import S3

PASSWORD = "only for this test"


@pytest.fixture
def lab(tmp_path: Path):
    with Lab(tmp_path / "lab") as made:
        yield made


class Site:
    """A cluster whose agent ships, encrypted, to a real S3 server, and to a folder."""

    def __init__(self, lab: Lab, cloud: S3, home: Path) -> None:
        self.lab, self.cloud, self.home = lab, cloud, home
        self.folder = home / "nfs"
        self.folder.mkdir()
        secrets = {"cloud.conf": cloud.config, "cloud.password": PASSWORD}
        for name, text in secrets.items():
            (home / name).write_text(text)
        own = {"rclone_config": str(home / "cloud.conf"), "password_file": str(home / "cloud.password")}
        remote = {"name": "cloud", "remote": cloud.remote}
        nfs = {"name": "nfs", "folder": str(self.folder), "mounted": False}
        self.agent = Agent(lab, whose_turn(lab), made_program(home), home / "m1", offsite=[{**remote, **own}, nfs])
        # As an inventory has them, the secrets as text from vault.
        self.stores = [{**remote, "rclone_config": cloud.config, "password": PASSWORD}, nfs]

    def half_hour(self, prefix: bytes) -> dict:
        """Some keys written, a backup made and shipped; what the cluster holds then."""
        client = self.lab.members[0].client
        client.put_many((prefix + b"/%d" % number, b"%d" % number * 50) for number in range(50))
        code, told = self.agent.run("backup")
        assert code == 0 and [one["result"] for one in told["uploads"]] == ["shipped", "shipped"], told
        return dump(client)

    def lose(self) -> None:
        """All members, all data and all local backups; the hosts are as if new, but for their configuration."""
        for member in self.lab.members:
            self.lab.kill(member)
            shutil.rmtree(member.data_dir, ignore_errors=True)
        for folder in (self.agent.folder, self.lab.backup_dir, self.home / "m1"):
            shutil.rmtree(folder, ignore_errors=True)

    def restore(self, snapshot: str, *words: str, **variables: Any) -> Play:
        given = {"etcd_restore_snapshot": snapshot, "etcd_backup_offsite": self.stores, **variables}
        done = play(RESTORE, "-i", self.lab.inventory, "-e", json.dumps(given), *words)
        assert PASSWORD not in done.output and S3.SECRET not in done.output
        return done

    def local(self) -> list[str]:
        return sorted(path.name for path in self.lab.backup_dir.glob("*.db"))


def test_all_is_lost_and_comes_back_from_offsite_as_of_any_half_hour(lab: Lab, tmp_path: Path) -> None:
    seed(lab.members[0].client, 2000)
    with S3(tmp_path / "s3") as cloud:
        site = Site(lab, cloud, tmp_path)
        held, times = [], []
        for prefix in (b"first", b"second", b"third"):
            held.append(site.half_hour(prefix))
            times.append(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            time.sleep(1.1)
        code, listed = site.agent.run("list", "--offsite")
        assert code == 0 and [(row["kind"], row["whole"]) for row in listed["snapshots"]] == [
            ("pages", ["cloud", "nfs"]),
            ("pages", ["cloud", "nfs"]),
            ("full", ["cloud", "nfs"]),
        ]
        newest = listed["snapshots"][0]["name"]
        site.lose()

        refused = site.restore("offsite:rev1", *CONFIRM)
        assert refused.rc != 0 and "no snapshot that is off-site was taken until revision 1" in refused.text
        assert "there are 3, from" in refused.text and site.local() == []

        shown = site.restore("offsite:latest", "--check")
        assert shown.rc == 0, shown.output
        assert f"{newest}: fetched from the store cloud, and whole" in shown.text
        assert "snapshot restore" in shown.text and site.local() == [newest]
        assert not any(member.data_dir.exists() for member in lab.members), "a copy in a folder, and nothing else"

        done = site.restore("offsite:latest", *CONFIRM)
        assert done.rc == 0, done.output + lab.logs()
        assert f"{newest}: there already, and whole" in done.text, "nothing is fetched twice"
        assert holds(lab, held[2])

        # An hour earlier: what somebody has deleted since is back, and what was written since is not there.
        earlier = site.restore(f"offsite:{times[0]}", *CONFIRM)
        assert earlier.rc == 0, earlier.output + lab.logs()
        assert holds(lab, held[0]) and not holds(lab, held[1])

    # The cloud is gone: the other store has it too, and it is said why.
    (lab.backup_dir / newest).unlink()
    elsewhere = site.restore("offsite:latest", *CONFIRM)
    assert elsewhere.rc == 0, elsewhere.output + lab.logs()
    assert f"{newest}: fetched from the store nfs, and whole" in elsewhere.text
    assert re.search("Not used: the store cloud: .* connection refused", elsewhere.text)
    assert holds(lab, held[2])

    shutil.rmtree(site.folder)
    nowhere = site.restore("offsite:latest", *CONFIRM, etcd_restore_again=True)
    assert nowhere.rc != 0 and "connection refused" in nowhere.text and "check that cloud:" in nowhere.text
    assert holds(lab, held[2]), "nothing was touched"
