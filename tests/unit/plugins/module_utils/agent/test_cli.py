# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the commands of the agent print and end with, for people and for monitors."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import cli, drilling, keeping
from ansible_collections.quorum.etcd.plugins.module_utils.backup.killed import LOOK, REMOVAL
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import NAME, locked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
    BACKUPS,
    FAILED,
    PRUNED,
    PRUNES,
    SAVED,
    Attempt,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result

FIXTURE = Path(__file__).parents[3] / "fixtures" / "snapshot-3.6.db.gz"


class Host:
    def __init__(self, root):
        self.folder, self.state, self.config = root / "backups", root / "state", root / "agent.json"
        self.folder.mkdir()
        self.set()

    def set(self, **more):
        given = {"cluster": "etcd", "endpoints": ["http://127.0.0.1:9"], "here": ["http://127.0.0.1:9"]}
        given.update(folder=str(self.folder), state_dir=str(self.state), bin_dir="/no/such/folder")
        self.config.write_text(json.dumps({**given, **more}))

    def said(self, *words):
        """The exit code, and the lines."""
        lines = []
        code = cli.main(
            [*words, "--config", str(self.config)], lambda _argv, _env: Result(1, "", "no"), "1.2.3", lines.append
        )
        return code, lines

    def told(self, *words):
        code, lines = self.said(*words, "--json")
        (line,) = lines
        return code, json.loads(line)

    def ran(self, at, **more):
        given = {"at": rfc3339(at), "host": "m1", "cluster": "etcd", "folder": str(self.folder), "result": SAVED}
        BACKUPS.add(str(self.state), Attempt(**{**given, **more}))


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1795492000.0)
    return Host(tmp_path)


def test_status_ends_with_what_a_monitor_needs(host):
    assert host.told("status")[0] == 3
    host.ran(1795490000, path=str(host.folder / "a.db"))
    assert host.told("status")[0] == 1, "the snapshot is gone"
    (host.folder / "a.db").write_text("")
    code, told = host.told("status")
    assert (code, told["state"], told["age"]) == (0, "ok", 2000)
    assert host.said("status")[1][0] == "backups of cluster etcd on this host: OK (saved, 33 min 20 s ago)"
    host.set(max_age=1000)
    assert host.told("status")[0] == 3
    host.ran(1795491000, result=FAILED, cause="an evil\x1b[2Jword.", next_step="look.")
    code, lines = host.said("status")
    assert code == 1 and "\x1b" not in "".join(lines) and "an evil\\x1b[2Jword. look." in lines[0]


def test_list_says_what_lies_there_and_why_it_stays(host):
    assert host.said("list") == (0, [f"no snapshot in {host.folder}"])
    (host.folder / "named.db").write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    code, told = host.told("list")
    (one,) = told["snapshots"]
    assert (code, one["name"], one["ok"], one["verdict"]) == (0, "named.db", True, "leave")
    assert one["why"] == "not saved by this software under a name of its own" and one["manifest"] is None
    (host.folder / "broken.db").write_bytes(gzip.decompress(FIXTURE.read_bytes())[:-100])
    assert host.told("list")[0] == 0
    code, lines = host.said("list", "--verify")
    assert code == 1 and any("broken.db" in line and "NOT USABLE" in line for line in lines)
    assert any("named.db" in line and "hash verified" in line for line in lines)
    shutil.rmtree(host.folder)
    code, told = host.told("list")
    assert code == 1 and "cannot be read: No such file" in told["cause"]


def test_list_says_which_runs_failed_and_why(host):
    full = {"result": FAILED, "cause": "the disk is full.", "next_step": "free some."}
    host.ran(1795400000, **full)
    assert host.said("list")[1][1:] == [
        "runs that failed, the youngest first",
        "  2026-11-23T02:13:20Z  the disk is full.",
    ]
    (host.folder / "named.db").write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    os.utime(host.folder / "named.db", (1795490000, 1795490000))
    assert host.told("list")[1]["failed"] == [], "it is older than all that lies there"
    for minutes in range(12):
        host.ran(1795490400 + 60 * minutes, **full)
    host.ran(1795491900)
    code, told = host.told("list")
    assert code == 0 and len(told["failed"]) == 12
    assert told["failed"][0] == {
        "at": "2026-11-24T03:31:00Z",
        "host": "m1",
        "cause": "the disk is full.",
        "next_step": "free some.",
    }
    lines = host.said("list")[1]
    assert lines[-1] == "  and 2 before: see --json" and lines[-11] == "  2026-11-24T03:31:00Z  the disk is full."


def test_prune_wants_to_know_whose_snapshots_are_counted(host):
    code, told = host.told("prune")
    assert (code, told["result"]) == (1, "failed") and "etcdctl is missing" in told["cause"]
    code, told = host.told("prune", "--cluster-id", "aa", "--dry-run")
    assert (code, told["snapshots"], told["dry_run"]) == (0, [], True)
    assert PRUNES.last(str(host.state), "etcd") == [], "nothing was done"
    assert host.said("prune", "--cluster-id", "aa") == (0, ["nothing to remove"])
    (done,) = PRUNES.last(str(host.state), "etcd")
    assert (done.result, done.at, done.cluster_id, done.kept) == (PRUNED, "2026-11-24T03:46:40Z", "aa", 0)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_prune_records_the_backup_that_was_killed_before_it(host, more):
    note = {"host": "m1", "pid": 5, "since": "2026-11-24T03:16:00Z", "work": "backup", "cluster": "etcd"}
    (host.folder / NAME).write_text(json.dumps(note))
    assert host.told("prune", "--cluster-id", "aa", *more)[0] == 0
    (killed,) = BACKUPS.last(str(host.state), "etcd")
    assert (killed.at, killed.result) == (note["since"], FAILED) and "in the middle of its backup" in killed.cause
    assert host.told("status")[1]["state"] == "failed"
    assert host.told("prune", "--cluster-id", "aa")[0] == 0 and len(BACKUPS.last(str(host.state), "etcd")) == 1


@pytest.mark.parametrize("ended", [KeyboardInterrupt, SystemExit])
def test_a_removal_that_is_told_to_end_says_so_and_leaves_no_note(host, monkeypatch, ended):
    def end(*_given, **_more):
        raise ended

    monkeypatch.setattr(keeping, "prune_recorded", end)
    monkeypatch.setattr(keeping, "prune", end)
    for more in ([], ["--dry-run"]):
        with pytest.raises(ended):
            host.told("prune", "--cluster-id", "aa", *more)
        assert (host.folder / NAME).read_text() == ""
    (done,) = PRUNES.last(str(host.state), "etcd")
    assert (done.result, done.next_step) == (FAILED, "run it again.")
    assert f"process {os.getpid()} of" in done.cause and "was interrupted in its removal" in done.cause


def test_a_holder_says_what_it_is_at(host, monkeypatch):
    seen = []

    def read(*_given, **_more):
        seen.append(json.loads((host.folder / NAME).read_text()))
        return []

    for name in ("prune", "prune_recorded"):
        monkeypatch.setattr(keeping, name, read)
    for more in ([], ["--dry-run"]):
        assert host.told("prune", "--cluster-id", "aa", *more)[0] == 0
    assert [(one["work"], one["cluster"]) for one in seen] == [(REMOVAL, "etcd"), (LOOK, "etcd")]


def test_what_is_recorded_is_told_to_a_monitor_too(host, tmp_path):
    host.set(metrics_dir=str(tmp_path))
    host.said("status")
    host.said("list")
    assert not (tmp_path / "quorum-etcd.prom").exists()
    assert host.told("backup")[0] == 1
    assert 'etcd_backup_last_result{cluster="etcd",result="failed"} 1' in (tmp_path / "quorum-etcd.prom").read_text()
    host.set(metrics_dir="/no/such/folder")
    code, told = host.told("prune", "--cluster-id", "aa")
    assert code == 0 and told["metrics"].startswith("the metrics could not be written to /no/such/folder/")
    assert host.said("prune", "--cluster-id", "aa")[1][-1] == f"  {told['metrics']}"


def test_a_failed_backup_ends_with_1_and_one_that_may_not_begin_with_2(host):
    code, told = host.told("backup")
    assert (code, told["result"]) == (1, "failed") and "etcdctl is missing" in told["cause"]
    code, lines = host.said("backup")
    assert (
        code == 1
        and lines[0].startswith("FAILED: etcdctl is missing")
        and lines[1].startswith("  Next: install etcdctl")
    )
    with locked(str(host.folder)):
        for command in ("backup", "prune"):
            code, told = host.told(command, *(["--cluster-id", "aa"] if command == "prune" else []))
            assert (code, told["result"]) == (2, "refused") and "another run is at work" in told["cause"]
    host.config.unlink()
    assert host.told("backup")[0] == 2


def test_the_version_and_a_wrong_word(host, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"], None, "1.2.3", print)
    assert ended.value.code == 0 and capsys.readouterr().out == "quorum-etcd 1.2.3\n"
    for words in ([], ["dance"], ["prune", "--all"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(words, None, "1.2.3", print)
        assert ended.value.code == 2


def test_a_drill_of_nothing_is_fine_and_all_drills_can_be_had(host, monkeypatch):
    monkeypatch.setattr(drilling, "go_last", lambda: None)
    code, told = host.told("drill", "--seed", "7")
    assert (code, told["result"], told["seed"], told["drills"]) == (0, "nothing", 7, [])
    assert host.said("drill")[1] == [
        f"nothing to drill: no snapshot of cluster etcd lies in {host.folder} of this host"
    ]
    code, told = host.told("drill", "none.db")
    assert (code, told["result"]) == (1, "failed") and "there is no snapshot none.db" in told["cause"]
    assert "no off-site store is set" in host.told("drill", "--offsite")[1]["cause"]

    (host.folder / "named.db").write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    code, told = host.told("drill", "named.db")
    (drill,) = told["drills"]
    assert (code, drill["result"], drill["level"]) == (1, "failed", "read") and "neither etcdutl nor" in drill["cause"]
    code, lines = host.said("drill", "named.db")
    assert code == 1 and lines[0].startswith(f"FAILED: {host.folder}/named.db, after structure read in ")
    assert "not compared: it has no manifest" in lines[2]

    code, lines = host.said("drill", "--export")
    assert code == 0 and [json.loads(line)["name"] for line in lines] == ["named.db", "named.db"]
    assert host.said("drill", "--export", "csv")[1][0].startswith("at,host,cluster,result,level,name,")
    assert [one["name"] for one in host.told("drill", "--export")[1]["drills"]] == ["named.db"] * 2
    assert host.told("list", "--verify")[1]["snapshots"][0]["level"] == "read", "it is known by its SHA-256"
