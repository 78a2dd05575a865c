# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a restore on one host: what lies where after each step, also when a run is cut off between two of them.

The service is a stand-in and the restore command only its argv; the files, the journal and the renames are real.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import socket
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core import journal as steps
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Journal, summary
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.database import Database
from ansible_collections.quorum.etcd.plugins.module_utils.host import holders as _holders
from ansible_collections.quorum.etcd.plugins.module_utils.host import kubernetes
from ansible_collections.quorum.etcd.plugins.module_utils.restore import phases as restore_phases
from ansible_collections.quorum.etcd.plugins.module_utils.restore.phases import Closing, Restore
from ansible_collections.quorum.etcd.plugins.module_utils.restore.proof import Check
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of

CONFIG = "# mine\nETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER_TOKEN=old\nETCD_INITIAL_CLUSTER=m1=http://127.0.0.1:1\n"
GOOD, BAD = Check("a", 1, 1, True), Check("a", 1, 2, False)
OF = {
    "cluster": "etcd",
    "revision": 1000,
    "cluster_id": "c1",
    "members": {"1": "m1", "2": "m2", "3": "m3"},
    "initial_cluster": "m1=http://127.0.0.1:1,m2=http://127.0.0.1:2,m3=http://127.0.0.1:3",
}


def view(*healthy, **changes):
    """What the cluster says of itself when these members are healthy."""
    members = [
        {
            "id": number,
            "name": name,
            "healthy": name in healthy,
            "hash": 1,
            "errors": ["refused"] * (name not in healthy),
        }
        for number, name in OF["members"].items()
    ]
    seen = {
        "has_quorum": len(healthy) > 1,
        "cluster_id": "c1",
        "cluster_ids": ["c1"],
        "revision": 1003,
        "members": members,
    }
    return view_of({**seen, "members_complete": True, "hashes_equal": None, **changes})


DOWN = view(cluster_id="", cluster_ids=[])


class Killed(BaseException):
    """The run is killed at this point, as by SIGKILL: nothing may catch it."""


class Service:
    def __init__(self):
        self.running, self.halted = True, False
        self.calls = []
        self.ascents, self.says = iter(()), "unknown"  # what ascent will say, and what from then on

    def state(self):
        return "running" if self.running else "stopped"

    def demand_responsive(self):
        if self.halted:
            raise EtcdError("held still")

    def stop(self, _timeout):
        self.calls.append("stop")
        self.running = False

    def start(self):
        self.calls.append("start")
        self.running = True

    def ascent(self):
        return next(self.ascents, self.says)


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


class Host:
    """A host with an old data directory, a configuration and a snapshot."""

    def __init__(self, root, monkeypatch, kind="directory", slow=False):
        self.slow, self.reads = slow, []
        self.root, self.kind, self.service = root, kind, Service()
        self.live = root / "data"
        (self.live / "member").mkdir(parents=True)
        (self.live / "member" / "db").write_text("old")
        self.config = root / "etcd.env"
        self.config.write_text(CONFIG)
        self.manifest = root / "manifests" / "kube-scheduler.yaml"
        self.manifest.parent.mkdir()
        self.manifest.write_text("a controller's")
        monkeypatch.setattr(kubernetes, "pids_of", lambda _host, _name: [])
        self.snapshot = root / "snapshot.db"
        body = b"\0" * 512
        self.snapshot.write_bytes(body + hashlib.sha256(body).digest())
        near = f"{self.live}/." if kind == "contents" else f"{self.live}."
        self.staged, self.near = f"{near}restore-1", f"{near}before-1"
        self.aside = f"{root}/elsewhere/data.before-1" if slow else self.near
        monkeypatch.setattr(restore_phases.service, "manager", lambda _member, _run: self.service)
        monkeypatch.setattr(restore_phases.verify, "verify", self.verify)
        self.restored_revision = 1000
        monkeypatch.setattr(
            restore_phases.database, "describe", lambda _path: Database(revision=self.restored_revision)
        )

    def verify(self, path):
        self.reads.append(path)
        found = self.snapshot.read_bytes() if self.snapshot.exists() else b""
        return SimpleNamespace(sha256=hashlib.sha256(found).hexdigest())

    def plan(self, **changes):
        plan = {
            "restore_id": "1",
            "of": OF,
            "member": {
                "name": "m1",
                "state_dir": str(self.root / "state"),
                "data_dir": str(self.live),
                "tools": {},
                "service": {"manager": "command"},
            },
            "snapshot": {
                "path": str(self.snapshot),
                "sha256": hashlib.sha256(self.snapshot.read_bytes()).hexdigest(),
                "size": 544,
                "transfer": False,
            },
            "leads": False,
            "others": [],
            "was_running": True,
            "was_to_run": True,
            "restore": {"argv": ["etcdutl", "snapshot", "restore", f"--data-dir={self.staged}"], "env": {}},
            "swaps": [
                {
                    "kind": self.kind,
                    "live": str(self.live),
                    "staged": self.staged,
                    "near": self.near,
                    "aside": self.aside,
                    "existed": True,
                }
            ],
            "slow": self.slow,
            "controllers": [
                {
                    "name": "kube-scheduler",
                    "manifest": str(self.manifest),
                    "parked": f"{self.root}/state/static-pods/kube-scheduler.yaml",
                }
            ],
            "reports": True,
            "owner": {"user": os.getuid(), "group": os.getgid(), "mode": "0700"},
            "config": [
                {
                    "path": str(self.config),
                    "format": "env",
                    "before": {"initial-cluster-state": "existing", "initial-cluster-token": "old"},
                    "after": {"initial-cluster-state": "new", "initial-cluster-token": "fresh"},
                    "settings": {"initial-cluster-state": "new", "initial-cluster-token": "fresh"},
                }
            ],
        }
        plan.update(changes)
        return plan

    def run(self, argv, env):
        assert list(argv[:3]) == ["etcdutl", "snapshot", "restore"]
        folder = argv[3][len("--data-dir=") :]
        assert os.path.realpath(folder) == os.path.join(os.path.realpath(self.staged), "new")
        assert not os.path.exists(folder), "etcd's tool wants a folder that does not exist"
        os.makedirs(os.path.join(folder, "member"))
        with open(os.path.join(folder, "member", "db"), "w") as db:
            db.write("new")
        return Result(0, "", "")

    def restore(self, **changes):
        return Restore(self.plan(**changes), self.run, Connection())

    def db(self):
        return (self.live / "member" / "db").read_text()


def to_cutover(host):
    restore = host.restore()
    assert restore.stage() and restore.stop()
    restore.cutover()
    return restore


def test_another_revision_than_the_planned_one_is_found_before_anything_is_stopped(host):
    host.restored_revision = 999
    with pytest.raises(EtcdError, match="has revision 999, and 1000 was planned"):
        host.restore().stage()
    assert host.db() == "old" and host.service.calls == [] and not os.path.exists(host.staged)


def test_staging_leaves_the_old_member_alone(host):
    assert host.restore().stage()
    assert host.db() == "old" and host.service.calls == []
    assert host.config.read_text() == CONFIG
    assert host.restore().stage() is False, "a second time there is nothing to do"


def test_cutover_swaps_by_rename_and_configures_new(host):
    to_cutover(host)
    assert host.db() == "new"
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"
    assert "ETCD_INITIAL_CLUSTER_STATE=new" in host.config.read_text()
    assert "ETCD_INITIAL_CLUSTER_TOKEN=fresh" in host.config.read_text()
    assert host.config.read_text().startswith("# mine\n")
    assert host.service.calls == ["stop", "start"]
    assert host.restore().cutover() is False


def test_the_controllers_of_kubernetes_are_away_from_the_stop_to_the_end(host):
    """One that lives through a restore deletes restored objects, whose owners it remembers as gone."""
    restore = host.restore()
    restore.stage()
    assert host.manifest.exists(), "the old cluster still serves"
    host.service.stop = lambda _timeout: pytest.fail("the member stops first") if host.manifest.exists() else None
    restore.stop()
    restore.cutover()
    restore.journal.record(steps.PROVEN, checks=[])
    assert not host.manifest.exists()
    restore.finish()
    assert host.manifest.read_text() == "a controller's"
    assert restore.journal.steps()[-2:] == ["resumed", "finished"]


def test_a_member_that_would_not_stop_is_found_before_any_other_is_stopped(host):
    """Staging ends before any host begins to stop."""
    host.service.halted = True
    with pytest.raises(EtcdError, match="held still"):
        host.restore().stage()
    assert host.db() == "old" and host.service.calls == []


def test_no_phase_before_its_predecessor(host):
    for phase in ("stop", "cutover", "finish"):
        with pytest.raises(EtcdError, match="is not in its journal"):
            getattr(host.restore(), phase)()
    assert host.db() == "old" and host.service.calls == []


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(restore_phases.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(restore_phases.time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("starting_for", "others_are_up", "waited"), [(3, True, 0.3), (99, True, 20), (99, False, 1.1)]
)
def test_the_start_is_waited_for_while_the_others_come_up_too(host, monkeypatch, starting_for, others_are_up, waited):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(restore_phases, "is_open", lambda url: others_are_up)
    restore = host.restore(others=["http://127.0.0.1:1"])
    restore.journal.open(restore.plan)
    host.service.ascents, host.service.says = iter(["starting"] * starting_for), "serving"
    assert restore._wait_until_up() is (starting_for == 3)
    assert waited <= clock.now < waited + 1
    assert ("serving" in restore.journal.steps()) is (starting_for == 3)


def test_a_member_that_ends_again_and_again_is_not_waited_for(host, monkeypatch):
    clock = Clock(monkeypatch)
    host.service.ascents = iter(["starting", "failing", "failing"])
    restore = to_cutover(host)
    assert restore._wait_until_up() is False
    assert clock.now < 1 and "serving" not in restore.journal.steps()


@pytest.mark.parametrize("holds", [True, False])
def test_a_stop_that_sees_the_member_serve_goes_on_to_the_proof_and_leaves_what_does_not_hold_yet(
    host, monkeypatch, holds
):
    Clock(monkeypatch)
    host.service.ascents, host.service.says = iter(["starting"]), "serving"
    restore = host.restore()
    restore.stage()
    monkeypatch.setattr(restore.proving, "look", lambda thorough: (DOWN, [replace(BAD, ok=holds)]))
    assert restore.stop()
    assert restore.journal.steps()[-2:] == (["serving", "proven"] if holds else ["started", "serving"])


def test_a_member_that_does_not_say_whether_it_serves_is_proven_by_its_own_phase(host, monkeypatch):
    restore = host.restore()
    restore.stage()
    monkeypatch.setattr(restore.proving, "look", lambda thorough: pytest.fail("it was asked"))
    assert restore.stop() and restore.journal.steps()[-1] == "started"


def test_the_proof_looks_at_the_others_only_when_this_member_serves_or_the_time_is_over(host, monkeypatch):
    restore = to_cutover(host)
    clock = Clock(monkeypatch)
    asked = []
    good, bad = (DOWN, [GOOD]), (DOWN, [BAD])
    monkeypatch.setattr(restore.proving, "look", lambda thorough: asked.append(clock.now) or answers.pop(0))
    answers = [good, good]
    host.service.ascents = iter(["starting"] * 9)
    restore.prove(60)
    assert asked[0] == asked[-1] == pytest.approx(1.4, abs=0.5)
    asked.clear()
    answers = [bad]
    host.service.ascents = iter(["starting"] * 99)
    with pytest.raises(EtcdError, match="did not prove itself: a: expected 1, found 2"):
        restore.prove(10)
    assert len(asked) == 1 and asked[0] >= clock.now - 1


@pytest.mark.parametrize("stays_up", [True, False])
def test_a_member_that_did_not_stay_up_is_started_once_more(host, monkeypatch, stays_up):
    restore = to_cutover(host)
    host.service.running = stays_up
    good = (DOWN, [GOOD])
    monkeypatch.setattr(restore.proving, "look", lambda thorough: good)
    restore.prove(0)
    assert host.service.calls == ["stop", "start"] + ([] if stays_up else ["start"])


def check(what, expected, found):
    return Check(what, expected, found, expected == found)


LATE = check("healthy members", ["m1", "m2", "m3"], ["m1", "m3"])
DIFFERENT = check("equal hash of all members at one revision", True, False)
EQUAL = check("equal hash of all members at one revision", True, True)


def seen(monkeypatch, restore, brief, thorough):
    """The cluster answers ever the same; returns the times of the looks, and whether they compared the data."""
    clock = Clock(monkeypatch)
    looks = []

    def look(compares):
        looks.append((clock.now, compares))
        return thorough if compares else brief

    monkeypatch.setattr(restore.proving, "look", look)
    monkeypatch.setattr(restore.proving.coming, "is_over", lambda _of, _absent, _hope: False)
    return looks


def test_a_late_member_does_not_unprove_those_that_serve(host, monkeypatch):
    """The data of those that are there is compared before the time is over, and this member is proven with them."""
    restore = to_cutover(host)
    looks = seen(monkeypatch, restore, (view("m1", "m3"), [LATE]), (view("m1", "m3", hashes_equal=True), [LATE, EQUAL]))
    with pytest.raises(EtcdError, match=r"did not prove itself in full: healthy members: .* \(m2: refused\)") as failed:
        restore.prove(20)
    told = failed.value.context
    assert told == {"verdict": "incomplete", "thorough": True, "missing": ["m2"], "proven": True}
    assert [when for when, compares in looks if compares] == [pytest.approx(5, abs=1)] and looks[-1][0] > 19
    assert "serving" in restore.journal.steps() and restore.journal.entries()[-1]["missing"] == ["m2"]
    assert host.service.running and restore.finish()


def test_the_late_member_itself_is_not_proven_and_its_journal_stays_open(host, monkeypatch):
    restore = to_cutover(host)
    late = check("healthy members", ["m1", "m2", "m3"], ["m2", "m3"])
    seen(monkeypatch, restore, (view("m2", "m3"), [late]), (view("m2", "m3", hashes_equal=True), [late, EQUAL]))
    with pytest.raises(EtcdError) as failed:
        restore.prove(20)
    assert failed.value.context["verdict"] == "incomplete" and failed.value.context["proven"] is False
    assert restore.journal.is_open() and "proven" not in restore.journal.steps()
    with pytest.raises(EtcdError, match="'proven' is not in its journal"):
        restore.finish()


@pytest.mark.parametrize(
    ("brief", "thorough", "within"),
    [
        ((view("m1", "m2", "m3"), [GOOD]), (view("m1", "m2", "m3", hashes_equal=False), [DIFFERENT]), 1),
        ((view("m1", "m3"), [LATE]), (view("m1", "m3", hashes_equal=False), [LATE, DIFFERENT]), 7),
        ((view("m1", cluster_ids=["c0", "c1"]), [check("cluster IDs that answer", ["c1"], ["c0", "c1"])]), None, 1),
    ],
)
def test_what_is_wrong_is_stopped_within_seconds_and_only_the_way_back_is_left(
    host, monkeypatch, brief, thorough, within
):
    restore = to_cutover(host)
    looks = seen(monkeypatch, restore, brief, thorough)
    with pytest.raises(EtcdError, match="is not the planned one") as failed:
        restore.prove(120)
    assert failed.value.context["verdict"] == "wrong" and looks[-1][0] < within
    assert not host.service.running and restore.journal.goes_back()
    assert restore.judge(20) == {}
    assert restore.rollback() and host.db() == "old" and host.service.running


def test_what_was_left_to_its_clients_is_not_stopped_by_a_later_run(host, monkeypatch):
    restore = to_cutover(host)
    restore.journal.record(steps.PROVEN, checks=[])
    restore.plan["settled"] = True
    wrong = (view("m1", "m2", "m3", hashes_equal=False), [DIFFERENT])
    seen(monkeypatch, restore, (view("m1", "m2", "m3"), [GOOD]), wrong)
    told = restore.judge(20)
    assert told == {"verdict": "incomplete", "thorough": True, "missing": [], "proven": False}
    assert host.service.running and not restore.journal.goes_back()


def test_the_member_that_came_late_with_other_data_is_stopped_alone(host, monkeypatch):
    restore = to_cutover(host)
    restore.plan["settled"] = True
    wrong = (view("m1", "m2", "m3", hashes_equal=False), [DIFFERENT])
    seen(monkeypatch, restore, (view("m1", "m2", "m3"), [GOOD]), wrong)
    assert restore.judge(20)["verdict"] == "incomplete"
    assert not host.service.running and not restore.journal.goes_back()


def test_what_has_not_been_started_is_not_judged(host, monkeypatch):
    restore = host.restore()
    monkeypatch.setattr(restore.proving, "look", lambda thorough: pytest.fail("it was asked"))
    restore.stage()
    assert restore.judge(20) == {} and host.service.calls == []


def test_finish_says_existing(host):
    restore = to_cutover(host)
    restore.journal.record(steps.PROVEN, checks=[])
    assert restore.finish()
    assert "ETCD_INITIAL_CLUSTER_STATE=existing" in host.config.read_text()
    assert restore.finish() is False
    assert summary(str(host.root / "state"), str(host.live))["open"] is False


def test_who_had_finished_and_proves_it_again_for_the_others_is_closed_again(host):
    restore = to_cutover(host)
    restore.journal.record(steps.PROVEN, checks=[])
    restore.finish()
    restore.journal.record(steps.PROVEN, checks=[])  # the run was killed before another member had finished
    restore.finish()
    assert summary(str(host.root / "state"), str(host.live))["open"] is False


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
def test_rollback_puts_data_and_configuration_back_to_the_byte(tmp_path, monkeypatch, kind, slow):
    host = Host(tmp_path, monkeypatch, kind, slow)
    restore = to_cutover(host)
    assert host.db() == "new"
    assert restore.rollback()
    assert host.db() == "old"
    assert host.config.read_text() == CONFIG
    retired = host.aside.replace(".before-", ".rolled-back-")
    with open(os.path.join(retired, "member", "db")) as new:
        assert new.read() == "new", "also what the restored cluster held is kept"
    assert host.service.running
    assert restore.rollback() is False


def test_rollback_before_the_stop_only_removes_the_staged_copy(host):
    host.restore().stage()
    assert host.restore().rollback()
    assert not os.path.exists(host.staged) and host.db() == "old" and host.service.calls == []


def test_rollback_where_there_was_no_data_leaves_none(host, monkeypatch):
    for path in (host.live / "member" / "db", host.live / "member", host.live):
        path.unlink() if path.is_file() else path.rmdir()
    swap = {**host.plan()["swaps"][0], "existed": False}
    restore = host.restore(swaps=[swap])
    restore.stage()
    restore.stop()
    assert host.db() == "new"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(restore, "_make_way", lambda *_arguments: 1 / 0)
        restore.rollback()
    (host.live / "member").mkdir(parents=True)  # killed here, and the host boots with etcd enabled
    restore.rollback()
    assert not host.live.exists()


def test_bytes_that_are_not_the_planned_ones_are_refused(host):
    with pytest.raises(EtcdError, match="is not the snapshot that was planned"):
        host.restore(snapshot={"path": str(host.snapshot), "sha256": "00" * 32, "size": 1, "transfer": False}).stage()
    assert not os.path.exists(host.staged)


def test_a_half_made_staging_is_made_again(host):
    os.makedirs(os.path.join(host.staged, "member", "snap"))
    assert host.restore().stage()
    assert not os.path.exists(os.path.join(host.staged, "member", "snap"))


def before_cutover(host, monkeypatch):
    """Staged and stopped, and the others were not seen to have stopped."""
    restore = host.restore(others=["http://127.0.0.1:1"])
    with monkeypatch.context() as patch:
        patch.setattr(Closing, "wait", lambda self, seconds: False)
        assert restore.stage() and restore.stop()
    return restore


@pytest.mark.parametrize("left", [2, 3, 4])
def test_once_it_goes_back_no_phase_goes_forward(host, monkeypatch, left):
    """Killed in a rollback, old data or none may be in place: to start there as a new cluster would be the end of it."""
    restore = to_cutover(host)
    changes = points(lambda _number: restore.rollback(), monkeypatch)
    for _change in range(left):
        next(changes)
    assert summary(str(host.root / "state"), str(host.live))["back"] is True
    host.service.calls.clear()
    for phase in ("stage", "stop", "cutover", "finish"):
        with pytest.raises(EtcdError, match="was rolled back, or was about to be"):
            getattr(host.restore(), phase)()
    assert host.service.calls == []
    host.restore().rollback()
    assert host.db() == "old" and host.config.read_text() == CONFIG


def test_a_plan_of_what_another_restore_has_stopped_since_is_not_followed(host):
    first = host.restore()
    assert first.stage() and first.stop()
    second = host.restore(restore_id="2")
    with pytest.raises(EtcdError, match="the restore 1 has begun to stop this member since"):
        second.stage()
    assert steps.latest(str(host.root / "state"), str(host.live)).folder == first.journal.folder, (
        "it is still the one to be completed"
    )
    assert first.rollback() and host.db() == "old"


def test_what_a_reboot_started_on_nothing_is_kept_out_of_the_way(host, monkeypatch):
    restore = before_cutover(host, monkeypatch)
    os.rename(host.live, host.aside)  # killed here, and the host boots with etcd enabled
    (host.live / "member").mkdir(parents=True)
    (host.live / "member" / "db").write_text("born empty")
    restore.cutover()
    assert host.db() == "new"
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"
    with open(f"{host.aside}.stray-1/member/db") as stray:
        assert stray.read() == "born empty"


@pytest.mark.parametrize("kind", ["directory", "contents"])
def test_the_slow_way_moves_the_old_data_away_before_it_restores(tmp_path, monkeypatch, kind):
    host = Host(tmp_path, monkeypatch, kind, slow=True)
    restore = host.restore()
    assert restore.stage()
    assert not os.path.exists(host.staged), "there is no room for it yet"
    restore.stop()
    restore.cutover()
    assert host.db() == "new" and not os.path.exists(host.near)
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"


@pytest.mark.parametrize("slow", [False, True])
def test_what_a_reboot_started_on_an_empty_mount_point_is_kept_too(tmp_path, monkeypatch, slow):
    host = Host(tmp_path, monkeypatch, "contents", slow)
    restore = before_cutover(host, monkeypatch)
    os.makedirs(host.near)
    os.rename(host.live / "member", os.path.join(host.near, "member"))  # killed here, and the host boots
    (host.live / "member").mkdir()
    (host.live / "member" / "db").write_text("born empty")
    restore.cutover()
    assert host.db() == "new"
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"
    strays = [path for path in host.live.iterdir() if ".stray" in path.name]
    assert [(stray / "db").read_text() for stray in strays] == ["born empty"]


def ending(host, **changes):
    """The snapshot of the plan, with the SHA-256 at its end."""
    return {**host.plan()["snapshot"], "trailer": host.snapshot.read_bytes()[-32:].hex(), **changes}


def test_what_ends_as_planned_is_left_to_the_tool_to_verify(host):
    assert host.restore(snapshot=ending(host)).stage() and host.reads == []


@pytest.mark.parametrize("changes", [{"trailer": "00" * 32}, {"trailer": ""}])
def test_what_the_tool_cannot_vouch_for_is_read(host, changes):
    assert host.restore(snapshot=ending(host, **changes)).stage() and host.reads


def test_a_snapshot_that_has_vanished_is_not_the_planned_one(host):
    restore = host.restore(snapshot=ending(host))
    host.snapshot.unlink()
    with pytest.raises(EtcdError, match="is not the snapshot that was planned"):
        restore.stage()


def test_the_slow_way_reads_it_before_the_stop(tmp_path, monkeypatch):
    host = Host(tmp_path, monkeypatch, slow=True)
    assert host.restore(snapshot=ending(host)).stage() and host.reads


@pytest.mark.parametrize("damaged", [True, False])
def test_where_the_tool_fails_the_bytes_are_named_if_they_are_to_blame(host, damaged):
    snapshot = ending(host, transfer=True)
    if damaged:
        host.snapshot.write_bytes(b"\1" + host.snapshot.read_bytes()[1:])
    host.run = lambda argv, env: Result(1, "", "it said so")
    with pytest.raises(EtcdError, match="is not the snapshot that was planned" if damaged else "it said so"):
        host.restore(snapshot=snapshot).stage()
    assert host.snapshot.exists() is not damaged, "what is damaged must be brought anew"
    assert not os.path.exists(host.staged)


def another_host(folder, monkeypatch, kind, slow):
    folder.mkdir()
    return Host(folder, monkeypatch, kind, slow)


def points(action, monkeypatch):
    """Run ``action`` again and again, each time killed one change later, until it gets through; yields after each kill."""
    left = [0]

    def dying(original):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return original(*args, **kwargs)

        return call

    for number in itertools.count(1):
        left[0] = number
        with monkeypatch.context() as patch:
            for name in ("rename", "unlink", "rmdir", "makedirs"):
                patch.setattr(os, name, dying(getattr(os, name)))
            patch.setattr(Journal, "record", dying(Journal.record))
            try:
                action(number)
                return
            except Killed:
                yield number


def unwritten(action, monkeypatch, error, only_one):
    """Run ``action`` again and again, each time with one line more that can be written, until all can; yields after each.

    With ``only_one`` just that line fails; else no later one can be written either.
    """
    written = steps._write_synced
    at, so_far = [0], [0]

    def failing(*arguments):
        so_far[0] += 1
        if so_far[0] == at[0] or (so_far[0] > at[0] and not only_one):
            raise OSError(error, os.strerror(error), arguments[0])
        written(*arguments)

    for number in itertools.count(1):
        at[0], so_far[0] = number, 0
        monkeypatch.setattr(steps, "_write_synced", failing)
        action(number)
        monkeypatch.setattr(steps, "_write_synced", written)
        yield number
        if so_far[0] < number:
            return


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("only_one", [True, False])
def test_a_line_that_cannot_be_written_brings_the_old_data_back(tmp_path, monkeypatch, kind, slow, only_one):
    """At each line of a whole restore: it is said, the old member runs with its data, and the next run ends right."""
    made, said = [], []

    def there_and_back(number):
        made.append(another_host(tmp_path / str(number), monkeypatch, kind, slow))
        try:
            restore = to_cutover(made[-1])
            restore.journal.record(steps.PROVEN, checks=[])
            restore.finish()
            return
        except EtcdError as problem:
            said.append(str(problem))
        made[-1].restore().rollback()

    for number in unwritten(there_and_back, monkeypatch, errno.ENOSPC, only_one):
        host = made[-1]
        if len(said) < number:
            assert host.db() == "new"
            continue
        assert str(host.root / "state") in said[-1] and "No space left" in said[-1] and "Next: see that" in said[-1]
        assert host.db() == "old" and host.config.read_text() == CONFIG and host.manifest.exists()
        assert host.service.running
        told = summary(str(host.root / "state"), str(host.live))
        if told.get("touched") and told["open"] and told["back"]:
            host.restore().rollback()
            assert host.db() == "old"
        elif told.get("touched") and told["open"]:
            to_end(host)
            assert host.db() == "new" and os.path.isdir(host.aside)
        assert host.service.running
    assert number >= 10


def to_end(host):
    restore = host.restore()
    restore.stage()
    restore.stop()
    restore.cutover()
    restore.journal.record(steps.PROVEN, checks=[])
    restore.finish()


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("only_one", [True, False])
def test_a_rollback_needs_no_line(tmp_path, monkeypatch, kind, slow, only_one):
    """At each line of a rollback: the old data is back, it is said what is not on record, and a later rollback is at peace."""
    made = []

    def there_and_back(number):
        made.append(another_host(tmp_path / str(number), monkeypatch, kind, slow))
        with monkeypatch.context() as patch:
            patch.setattr(steps, "_write_synced", written)
            restore = to_cutover(made[-1])
        restore.rollback()
        made[-1].unwritten = restore.journal.unwritten

    written = steps._write_synced
    for _number in unwritten(there_and_back, monkeypatch, errno.EROFS, only_one):
        host = made[-1]
        for _again in range(2):
            assert host.db() == "old" and host.config.read_text() == CONFIG and host.service.running
            told = summary(str(host.root / "state"), str(host.live))
            assert told["back"], "no run goes forward from here"
            host.restore().rollback()
    assert "Read-only file system" in made[0].unwritten and made[-1].unwritten == ""
    assert len(made) >= 5


def killed_hosts(action, tmp_path, monkeypatch, kind, slow):
    """Of ``action`` on a new host each time: the host that each kill leaves."""
    made = []

    def on_a_new_host(number):
        made.append(another_host(tmp_path / str(number), monkeypatch, kind, slow))
        action(made[-1])

    for _number in points(on_a_new_host, monkeypatch):
        yield made[-1]


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("then", ["forward", "back"])
def test_killed_at_every_change_and_run_again(tmp_path, monkeypatch, kind, then, slow):
    """At each of the changes of a whole restore: go on, or take it back; old or new data, never a mixture or a loss."""

    def whole(host):
        restore = to_cutover(host)
        restore.journal.record(steps.PROVEN, checks=[])
        restore.finish()

    killed = 0
    for host in killed_hosts(whole, tmp_path, monkeypatch, kind, slow):
        killed += 1
        if then == "forward":
            restore = host.restore()
            restore.stage()
            restore.stop()
            restore.cutover()
            restore.journal.record(steps.PROVEN, checks=[])
            restore.finish()
            assert host.db() == "new"
            with open(os.path.join(host.aside, "member", "db")) as old:
                assert old.read() == "old"
            assert "STATE=existing" in host.config.read_text()
            assert host.manifest.exists()
        else:
            host.restore().rollback()
            assert host.db() == "old"
            assert host.config.read_text() == CONFIG
            assert host.manifest.exists()
    assert killed >= 15


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
def test_killed_at_every_change_of_a_rollback(tmp_path, monkeypatch, kind, slow):
    def there_and_back(host):
        to_cutover(host).rollback()

    for host in killed_hosts(there_and_back, tmp_path, monkeypatch, kind, slow):
        host.restore().rollback()
        assert host.db() == "old"
        assert host.config.read_text() == CONFIG
        assert host.manifest.exists()


def test_others_are_seen_closed_once_even_if_they_open_again():
    asked = []

    def connect(address, timeout):
        asked.append(address)
        if len(asked) == 2:
            raise ConnectionRefusedError  # the second URL, for one moment
        if len(asked) == 5:
            raise ConnectionRefusedError  # the first, later
        return type("Open", (), {"close": lambda self: None})()

    with Closing(["http://10.0.0.1:2380", "https://[::1]:2380"], connect) as others:
        assert others.wait(10)
    assert asked[:2] == [("10.0.0.1", 2380), ("::1", 2380)]
    assert set(asked[2:]) == {("10.0.0.1", 2380)}, "what was seen closed is not asked again"


def test_others_that_stay_open_are_waited_for_and_then_left_to_the_next_task(host, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(restore_phases, "OTHERS_WAIT", 0.2)
        restore = host.restore(others=[f"http://127.0.0.1:{server.getsockname()[1]}"])
        assert restore.stage() and restore.stop()
        assert host.db() == "old" and host.service.calls == ["stop"]
    assert restore.cutover()
    assert host.db() == "new"


def test_who_sees_all_others_stopped_goes_on_at_once(host):
    restore = host.restore(others=["http://127.0.0.1:1"])
    assert restore.stage() and restore.stop()
    assert host.db() == "new" and host.service.calls == ["stop", "start"]
    assert restore.cutover() is False


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("then", ["forward", "back"])
def test_the_host_boots_with_etcd_enabled_in_the_middle(tmp_path, monkeypatch, kind, then, slow):
    """Where it finds no data at that moment, etcd makes an empty member of its own: that must be in nobody's way."""

    def whole(host):
        restore = to_cutover(host)
        if then == "back":
            restore.rollback()

    born = 0
    for host in killed_hosts(whole, tmp_path, monkeypatch, kind, slow):
        restore = host.restore()
        if not restore.journal.has(steps.STOPPED):
            continue
        if not (host.live / "member").exists():
            born += 1
            written = host.config.read_text()
            assert "STATE=new" in written and "TOKEN=fresh" in written, "it would join the old cluster without its log"
            (host.live / "member").mkdir(parents=True)
            (host.live / "member" / "db").write_text("born empty")
        host.service.running = True
        if then == "back" or restore.journal.goes_back():
            restore.rollback()
            assert host.db() == "old" and host.config.read_text() == CONFIG
        else:
            restore.cutover()
            assert host.db() == "new"
            with open(os.path.join(host.aside, "member", "db")) as old:
                assert old.read() == "old"
    assert born >= 2


def test_a_journal_line_cut_off_by_a_power_failure_is_no_step(tmp_path):
    journal = Journal(str(tmp_path), "1")
    journal.open({"member": {"data_dir": "/data"}, "swaps": []})
    journal.record(steps.STAGED)
    with open(os.path.join(journal.folder, "journal.jsonl"), "a") as stream:
        stream.write('{"step": "stop')
    assert journal.steps() == [steps.PLANNED, steps.STAGED]
    journal.record(steps.STOPPING)
    assert summary(str(tmp_path), "/data")["touched"] is True


def test_two_runs_do_not_work_on_one_host_at_once(tmp_path):
    first, second = steps.exclusive(str(tmp_path)), steps.exclusive(str(tmp_path), 0.1)
    with first, pytest.raises(EtcdError, match="another restore is at work"), second:
        pass
    with steps.exclusive(str(tmp_path), 0.1):
        pass
    assert steps.latest(str(tmp_path), "/data") is None, "the lock is no journal"


# ---- a process that the service manager does not own ----


@pytest.fixture
def opener():
    """Starts a process that holds a file open, as an etcd does that nobody has stopped; ended afterwards."""
    started = []

    def start(path):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; f = open(sys.argv[1]); print(1, flush=True); sys.stdin.read()",
                str(path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_holders, "PATIENCE", 0.1)


def test_nothing_is_renamed_under_a_process_that_has_the_data_open(host, opener, impatient):
    restore = host.restore()
    restore.stage()
    watchdogs = opener(host.live / "member" / "db")
    with pytest.raises(EtcdError, match=f"process {watchdogs.pid} .* has {host.live}/member/db open"):
        restore.stop()
    assert host.db() == "old" and os.path.isdir(host.staged) and not os.path.exists(host.near)
    host.service.calls.clear()
    assert restore.rollback()
    assert host.service.calls == [], "what was never swapped is neither stopped nor started beside the one that runs"
    assert host.config.read_text() == CONFIG and host.db() == "old" and not os.path.exists(host.staged)
    assert restore.journal.steps()[-1] == "rolled_back"


def test_a_rollback_puts_nothing_back_under_a_process_that_uses_the_restored_data(host, opener, impatient):
    restore = to_cutover(host)
    process = opener(host.live / "member" / "db")
    with pytest.raises(EtcdError, match=f"process {process.pid} "):
        restore.rollback()
    assert host.db() == "new"
    process.communicate()
    assert restore.rollback()
    assert host.db() == "old"


def test_a_unit_that_is_about_to_stop_is_started_again_by_a_rollback(host, opener, impatient):
    """A stop that takes longer than it may: systemd starts it as soon as it has stopped."""
    restore = host.restore()
    restore.plan["member"]["service"]["manager"] = "systemd"
    restore.stage()
    opener(host.live / "member" / "db")

    def hangs(_timeout):
        raise EtcdError("it did not stop within 60 s", "x")

    host.service.stop = hangs
    with pytest.raises(EtcdError, match="did not stop"):
        restore.stop()
    assert restore.rollback()
    assert host.service.calls == ["start"]
