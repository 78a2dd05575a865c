# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd ship``, and what ``backup`` does with the stores at its end."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import cli, saving
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import load
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import locked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
    BACKUPS,
    FAILED,
    NOT_ITS_TURN,
    SAVED,
    UPLOADS,
    Attempt,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import Member, run


class Host:
    """An agent whose saves are the member's, and that has a folder for a store."""

    def __init__(self, root):
        self.member, self.state, self.store = Member(root / "backups"), root / "state", root / "store"
        self.config, self.mine = root / "agent.json", True
        self.store.mkdir()
        self.set(offsite=[{"name": "nfs", "folder": str(self.store), "mounted": False}])

    def set(self, **more):
        given = {"cluster": "etcd", "endpoints": ["http://127.0.0.1:9"], "here": ["http://127.0.0.1:9"]}
        given.update(folder=str(self.member.folder), state_dir=str(self.state), bin_dir="/no/such/folder")
        self.config.write_text(json.dumps({**given, **more}))

    def save(self, result=SAVED):
        path, told = self.member.save() if result == SAVED else ("", None)
        at = told.taken_at if told else "2026-11-24T03:46:40Z"
        made = Attempt(at, "m1", "etcd", str(self.member.folder), result, cluster_id="c1", path=path, mine=self.mine)
        BACKUPS.add(str(self.state), made)
        return made

    def said(self, *words):
        lines = []
        code = cli.main([*words, "--config", str(self.config)], run, "1.2.3", lines.append)
        return code, lines


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = Host(tmp_path)
    monkeypatch.setattr(saving, "back_up", lambda *_given: made.save(made.next))
    made.next = SAVED
    return made


def told(host, *words):
    code, (line,) = host.said(*words, "--json")
    return code, json.loads(line)


def test_after_a_backup_everything_is_in_the_store(host):
    for count in (1, 2, 3):
        code, said = told(host, "backup")
        assert (code, said["result"]) == (0, "saved")
        (upload,) = said["uploads"]
        assert (upload["store"], upload["result"], upload["whole"], len(upload["sent"])) == ("nfs", "shipped", count, 1)
    assert len(os.listdir(host.store / "etcd")) == 6
    assert UPLOADS.last(str(host.state), "etcd", 1)[0].whole == 3
    code, lines = host.said("ship")
    assert code == 0 and lines == [
        f"off-site nfs: up to date, in {UPLOADS.last(str(host.state), 'etcd', 1)[0].seconds:g} s; 3 there,"
        f" the newest {max(host.member.bytes_of)}"
    ]


def test_a_store_that_is_gone_is_an_exit_code_and_ship_makes_up_for_it(host):
    host.store.rename(host.store.parent / "away")
    code, said = told(host, "backup")
    assert (code, said["result"], said["uploads"][0]["result"]) == (1, "saved", "failed")
    code, lines = host.said("ship")
    assert code == 1 and "FAILED" in lines[0] and "Next: " in lines[1] and "1 snapshot still to be shipped" in lines[2]
    (host.store.parent / "away").rename(host.store)
    host.next = FAILED  # also where nothing could be saved
    code, said = told(host, "backup")
    assert (code, said["uploads"][0]["result"]) == (1, "shipped")
    assert host.said("ship")[0] == 0


@pytest.mark.parametrize("every", [False, True])
def test_a_host_whose_turn_it_is_not_ships_only_what_still_waits(host, every):
    """Also where each member makes its own backups: of one second they would have one name in the store."""
    other = SAVED if every else NOT_ITS_TURN
    host.mine, host.next = False, other
    assert told(host, "backup")[1]["uploads"] == [] and not os.listdir(host.store)
    assert host.said("ship")[0] == 0 and not os.listdir(host.store)
    host.mine, host.next = True, SAVED
    host.store.rename(host.store.parent / "away")
    told(host, "backup")
    (host.store.parent / "away").rename(host.store)
    host.mine, host.next = False, other
    (upload,) = told(host, "backup")[1]["uploads"]
    assert (upload["result"], len(upload["sent"]), upload["whole"]) == ("shipped", 1, 1)
    assert told(host, "backup")[1]["uploads"] == []


def test_a_slow_upload_holds_up_no_backup(host):
    shutil.rmtree(host.state, ignore_errors=True)
    (host.state / "shipping").mkdir(parents=True)
    with locked(str(host.state / "shipping")):
        code, lines = host.said("backup")
        assert code == 0 and "left to the run that is shipping" in lines[-1]
        assert host.said("ship")[0] == 2
    assert told(host, "ship")[1]["uploads"][0]["whole"] == 1


def test_without_stores_nothing_is_spooled(host):
    host.set()
    assert told(host, "backup")[1]["uploads"] == []
    assert host.said("ship") == (0, ["no off-site store is set: see etcd_backup_offsite"])
    assert not (host.state / "spool").exists()


def test_what_is_kept_off_site_is_a_policy(host):
    assert load(str(host.config)).offsite_keep == {"days": 31}
    host.set(offsite_keep={"hours": 3})
    with pytest.raises(EtcdError, match="does not say how many"):
        load(str(host.config))


def test_the_list_of_what_is_offsite_and_one_fetched_back(host, tmp_path):
    for _half_hour in range(3):
        host.said("backup")
    names = sorted(host.member.bytes_of)
    code, said = told(host, "list", "--offsite")
    assert code == 0 and [one["name"] for one in said["snapshots"]] == names[::-1] and said["problems"] == []
    code, lines = host.said("list", "--offsite")
    assert lines[0] == "3 snapshots of cluster etcd are off-site" and "whole in nfs" in lines[1]

    code, said = told(host, "fetch", names[1], "--to", str(tmp_path / "spare"))
    assert (code, said["name"], said["store"], said["fetched"]) == (0, names[1], "nfs", True)
    assert (tmp_path / "spare" / names[1]).read_bytes() == host.member.bytes_of[names[1]]
    code, lines = host.said("fetch", "offsite:latest")
    assert code == 0 and lines[0].startswith(f"{host.member.folder / names[2]}: there already, and whole: ")
    with pytest.raises(SystemExit) as wrong:
        host.said("fetch", "yesterday")
    assert wrong.value.code == 2, "as any wrong option"

    (full,) = (host.store / "etcd").glob("*.db.zst")
    full.unlink()
    code, lines = host.said("list", "--offsite")
    assert code == 1 and all("NOT WHOLE in nfs" in line for line in lines[1:])
    code, said = told(host, "fetch", "latest", "--to", str(tmp_path / "other"))
    assert code == 1 and f"has no {full.name}" in said["cause"] and said["next_step"]
    shutil.rmtree(host.store)
    code, lines = host.said("list", "--offsite")
    assert code == 1 and "NOT REACHED: the folder" in lines[-1]
    host.set(offsite=[])
    code, said = told(host, "list", "--offsite")
    assert code == 1 and said["next_step"] == "set etcd_backup_offsite."
    assert told(host, "fetch", "latest")[0] == 1
