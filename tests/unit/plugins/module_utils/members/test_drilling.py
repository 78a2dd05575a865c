# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a drill on a host, against a cluster that a function plays, and the client that measures."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.host_job import Phase
from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.view import ClusterView
from ansible_collections.quorum.etcd.plugins.module_utils.host import absence, put_back
from ansible_collections.quorum.etcd.plugins.module_utils.members import drilling
from ansible_collections.quorum.etcd.plugins.module_utils.members.drilling import FailoverDrill
from ansible_collections.quorum.etcd.plugins.module_utils.members.failover_drill import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.members.measuring import Client
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.members.test_failover_drill import hosts, view
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import service

URLS = {f"http://10.0.0.{number}:2379": f"m{number}" for number in (1, 2, 3)}


class Cluster:
    """Answers etcdctl as a cluster whose keys it keeps; ``refuses`` are members through which nothing can be written."""

    def __init__(self):
        self.keys, self.revision, self.leader, self.refuses, self.lock = {}, 100, 0xA1, set(), threading.Lock()
        self.argvs, self.logs_in = [], False

    def run(self, argv, env):
        with self.lock:
            return self.answer(list(argv), env)

    def answer(self, argv, env):
        self.argvs.append((argv, env))
        if argv[0] == "sh":
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            return Result(done.returncode, done.stdout, done.stderr)
        if argv[0].startswith("system"):
            return Result(0, {"is-enabled": "enabled\n", "is-active": "active\n"}.get(argv[1], ""), "")
        urls = next(word for word in argv if word.startswith("--endpoints="))[12:].split(",")
        words = [word for word in argv[1:] if not word.startswith("--")]
        if words[0] == "put":
            return self.put(urls, words[1], words[2])
        if words[0] == "get":
            found = [(name, kept) for name, kept in self.keys.items() if name.startswith(words[1])]
            return self.said(kvs=[self.kv(name, *kept) for name, kept in found])
        if words[0] == "del":
            self.keys = {name: kept for name, kept in self.keys.items() if not name.startswith(words[1])}
            return self.said()
        if self.logs_in and "ETCDCTL_USER" not in env:
            return Result(1, "", "user name is empty")
        rows = [{"Endpoint": url, "Status": self.status(url)} for url in urls if URLS[url] not in self.refuses]
        return Result(0, json.dumps(rows), "")

    def status(self, url):
        number = int(URLS[url][1])
        return {"header": {"cluster_id": 7, "member_id": 0xA0 + number}, "leader": self.leader, "raftTerm": 4}

    def put(self, urls, name, value):
        if URLS[urls[0]] in self.refuses:
            return Result(1, "", "Error: context deadline exceeded")
        self.revision += 1
        self.keys[name] = (value, self.revision, self.keys.get(name, ("", 0, 0))[2] + 1)
        return self.said()

    def said(self, **more):
        return Result(0, json.dumps({"header": {"revision": self.revision}, **more}), "")

    @staticmethod
    def kv(name, value, revision, version):
        def encode(text):
            return base64.b64encode(text.encode()).decode()

        return {"key": encode(name), "value": encode(value), "mod_revision": revision, "version": version}


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    made = Cluster()
    made.view, made.away, made.state = view(hashes_equal=True, voters=3, healthy_voters=3), [], tmp_path
    monkeypatch.setattr(put_back, "SYSTEMD", "/nowhere")
    monkeypatch.setattr(put_back, "_UNITS", str(tmp_path / "units"))
    for name in ("look", "observe"):
        monkeypatch.setattr(drilling, name, lambda *args, **more: from_plain(ClusterView, made.view))
    monkeypatch.setattr(drilling, "LEAD", 0.3)
    monkeypatch.setattr(drilling, "HEARS", 3.0)
    monkeypatch.setattr(absence.Absence, "demand_possible", lambda self: None)
    monkeypatch.setattr(absence.Absence, "take", lambda self: made.refuses.add("m1"))
    monkeypatch.setattr(absence.Absence, "is_away", lambda self: "m1" in made.refuses)
    return made


def jobs(cluster, **options):
    known = hosts(cluster.view)
    back = f"touch {cluster.state}/back"
    for host, told in known.items():
        told["member"]["state_dir"] = str(cluster.state / host)
        told["member"]["service"] = service(
            manager="command", start_command=back, stop_command="true", status_command=""
        )
        told["member"]["data_dir"] = f"/data/{host}"
    # As short as no drill of a user's can be.
    plan = make_plan(known, Asked({"who": "leader", "how": "kill", "seconds": 5, **options}, cluster.now))
    assert plan["refusals"] == []
    for own in plan["hosts"].values():
        own["of"]["seconds"] = 1
    made = Connection(endpoints=list(URLS))
    return {host: FailoverDrill(own, cluster.run, made) for host, own in plan["hosts"].items()}


Cluster.now = "2026-11-24T03:15:00Z"


def at_once(own, phase):
    """All hosts at the same time, as a task does it: what each answered or failed with."""
    found = {}

    def one(host, job):
        try:
            found[host] = job.answer(Phase(phase, 2.0), check=False)
        except EtcdError as error:
            found[host] = error

    threads = [threading.Thread(target=one, args=pair) for pair in own.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def steps(job):
    return [entry.step for entry in job.journal.entries()]


def test_one_host_takes_away_another_measures_and_all_is_put_back(cluster):
    own = jobs(cluster)
    assert not any(result["changed"] for result in at_once(own, "ready").values())
    found = at_once(own, "drill")
    assert {host: result["changed"] for host, result in found.items()} == {"h1": True, "h2": False, "h3": False}
    assert steps(own["h1"])[3:] == ["drill_begun", "armed", "taking", "taken", "put_back", "caught_up", "drill_done"]
    assert steps(own["h2"])[3:] == ["drill_begun", "measuring", "measured", "drill_done"]
    assert steps(own["h3"])[3:] == ["drill_begun", "drill_done"]
    assert os.path.exists(cluster.state / "back") and not own["h1"].back.is_armed
    assert cluster.keys == {}, "its own keys are gone"
    measured = own["h2"].journal.entries()[-2].more
    assert measured["version"] >= measured["numbers"]["acknowledged"] > 0 and measured["numbers"]["away"] > 0
    cluster.refuses.clear()
    found = at_once(own, "prove")
    assert not any(isinstance(result, EtcdError) for result in found.values()), found
    assert steps(own["h2"])[-1] == "finished"


def test_who_no_longer_leads_is_not_taken_away(cluster):
    own = jobs(cluster)
    at_once(own, "ready")
    cluster.view = view(
        leader="a2", leader_name="m2", hashes_equal=True, m1={"is_leader": False}, m2={"is_leader": True}
    )
    found = at_once(own, "drill")
    assert "m1 is no longer the leader; m2 leads. Nothing was touched." in str(found["h1"])
    assert str(found["h2"]).startswith("the host h1 has not taken its member away. Next:"), (
        "and it is not waited for in vain"
    )
    assert not cluster.refuses


def test_what_has_become_sick_since_the_plan_is_refused(cluster):
    own = jobs(cluster)
    cluster.view = view(hashes_equal=True, m3={"healthy": False, "errors": ["refused"]})
    found = at_once(own, "ready")
    assert "the cluster cannot spare m1: the voter m3 is not healthy: refused. Nothing was touched." in str(found["h2"])
    cluster.view = view(hashes_equal=None)
    assert "not proven to hold the same data" in str(at_once(jobs(cluster), "ready")["h2"])


def test_whatever_goes_wrong_while_it_is_taken_it_is_put_back(cluster, monkeypatch):
    def fails(_self):
        raise EtcdError("it cannot be taken.", "look.")

    monkeypatch.setattr(absence.Absence, "take", fails)
    own = jobs(cluster)
    at_once(own, "ready")
    found = at_once(own, "drill")
    assert "it cannot be taken." in str(found["h1"])
    assert "put_back" in steps(own["h1"]) and os.path.exists(cluster.state / "back") and not own["h1"].back.is_armed


def test_a_timer_that_comes_while_it_is_being_taken_does_not_leave_it_away(cluster, monkeypatch):
    """etcd was still stopping, so that the timer has found it there, and has started nothing."""
    own = jobs(cluster)

    def take(_self):
        assert own["h1"].back.now() == "run"  # what the timer does
        os.unlink(cluster.state / "back")
        cluster.refuses.add("m1")

    monkeypatch.setattr(absence.Absence, "take", take)
    at_once(own, "ready")
    at_once(own, "drill")
    assert os.path.exists(cluster.state / "back") and not own["h1"].back.is_armed


def test_nothing_is_taken_once_the_timer_is_over(cluster, monkeypatch):
    own = jobs(cluster)
    monkeypatch.setattr(absence.Absence, "prepare", lambda _self: own["h1"].back.now())
    at_once(own, "ready")
    found = at_once(own, "drill")
    assert "stood still until the timer" in str(found["h1"]) and not cluster.refuses and "taken" not in steps(own["h1"])


@pytest.fixture
def stay_down(cluster, monkeypatch):
    """What keeps systemd from starting it again, and goes when it is put back."""
    file = cluster.state / "etcd.service.d" / "stay-down.conf"
    file.parent.mkdir()
    monkeypatch.setattr(absence, "stay_down_file", lambda unit: str(file))
    monkeypatch.setattr(drilling, "lines_back", lambda *_args: [f"rm -f {file}", f"touch {cluster.state}/back"])
    return file


def of_systemd(job):
    return replace(job.part.member.service, manager="systemd", name="etcd.service")


def test_what_keeps_it_down_goes_too_where_the_timer_was_over_before_it_came(cluster, stay_down, monkeypatch):
    own = jobs(cluster)
    monkeypatch.setattr(own["h1"].manager, "service", of_systemd(own["h1"]))

    def prepare(_self):
        own["h1"].back.now()
        stay_down.touch()

    monkeypatch.setattr(absence.Absence, "prepare", prepare)
    at_once(own, "ready")
    assert "stood still until the timer" in str(at_once(own, "drill")["h1"])
    assert not stay_down.exists() and not own["h1"].back.is_armed and own["h1"].checks()[0].ok
    # And of one that was killed there, the next run finds it.
    stay_down.touch()
    assert not own["h1"].checks()[0].ok
    own["h1"].journal.record("taking")
    cluster.now = "2026-11-24T03:18:00Z"
    again = jobs(cluster)
    monkeypatch.setattr(again["h1"].manager, "service", of_systemd(again["h1"]))
    assert at_once(again, "ready")["h1"]["changed"] is True and not stay_down.exists()


def test_the_next_run_puts_back_what_one_that_was_killed_has_left(cluster):
    own = jobs(cluster)
    at_once(own, "ready")
    # As a module that is killed leaves it.
    own["h1"].back.arm([f"touch {cluster.state}/back"], 600)
    own["h1"].journal.record("taken")
    cluster.now = "2026-11-24T03:16:00Z"
    again = jobs(cluster)
    assert again["h1"].journal.folder != own["h1"].journal.folder
    assert at_once(again, "ready")["h1"]["changed"] is True
    assert os.path.exists(cluster.state / "back") and not own["h1"].back.is_armed
    assert steps(own["h1"])[-1] == "rolled_back" and steps(own["h2"])[-1] == "rolled_back"


@pytest.fixture
def systemd(cluster, monkeypatch, tmp_path):
    """On hosts with systemd; the files of the unit that a boot starts."""
    monkeypatch.setattr(put_back, "SYSTEMD", str(tmp_path))
    return lambda: sorted(path.name for path in (tmp_path / "units").rglob("quorum-*"))


def test_the_boot_and_the_timer_are_armed_before_anything_is_taken_and_gone_when_it_is_back(
    cluster, systemd, monkeypatch
):
    seen = []

    def takes(self):
        seen.append((systemd(), [argv[:2] for argv, _env in cluster.argvs if argv[0].startswith("system")]))
        cluster.refuses.add("m1")

    monkeypatch.setattr(absence.Absence, "take", takes)
    own = jobs(cluster)
    at_once(own, "ready")
    assert systemd() == []
    at_once(own, "drill")
    unit, asked = "quorum-etcd-drill-{}.{}", os.path.basename(own["h1"].journal.folder)
    armed = [
        ["systemctl", "is-enabled"],
        ["systemd-run", f"--unit=quorum-etcd-drill-{asked}"],
        ["systemctl", "is-active"],
    ]
    assert seen == [([unit.format(f"boot-{asked}", "service")] * 2, armed)]
    assert systemd() == [] and os.path.exists(cluster.state / "back")
    assert ["systemctl", "stop", unit.format(asked, "timer")] in [argv for argv, _env in cluster.argvs]
    cluster.refuses.clear()
    assert not any(isinstance(result, EtcdError) for result in at_once(own, "prove").values())


def test_a_unit_that_a_killed_run_has_left_is_cleared_by_the_next_and_is_no_proof(cluster, systemd):
    own = jobs(cluster)
    at_once(own, "ready")
    # As one that is killed behind the last step but one: it is put back, and no longer armed.
    own["h1"].back.arm([f"touch {cluster.state}/back"], 600)
    os.unlink(os.path.join(own["h1"].journal.folder, "armed"))
    assert "left on the host" in str(own["h1"].checks()[0].what) and not own["h1"].checks()[0].ok
    cluster.now = "2026-11-24T03:17:00Z"
    # On its host alone: here all have the same units.
    assert at_once({"h1": jobs(cluster)["h1"]}, "ready")["h1"]["changed"] is True
    assert systemd() == [] and not os.path.exists(cluster.state / "back")
    assert own["h1"].checks()[0].ok


def test_what_is_not_proven_fails(cluster):
    own = jobs(cluster)
    at_once(own, "ready")
    at_once(own, "drill")
    cluster.view = view(
        hashes_equal=False, hash_revision=7, voters=3, healthy_voters=3, alarms=[{"member": "a2", "alarm": "CORRUPT"}]
    )
    found = at_once(own, "prove")
    assert "equal hashes at one revision: False" in str(found["h2"]) and "CORRUPT a2" in str(found["h2"])
    assert not isinstance(found["h1"], EtcdError), "its own part is done"


# ---- the client ------------------------------------------------------------------------------------------------------


def client(cluster, user=""):
    to = Connection(endpoints=list(URLS), user=user, password="geheim" if user else "")
    voters = {name: url for url, name in URLS.items()}
    ids = {f"a{name[1]}": name for name in voters}
    return Client(cluster.run, Tool("/etcdctl", (3, 6, 0)), to, voters, ids, "m1")


def test_the_client_writes_in_turn_and_asks_the_others(cluster):
    own = client(cluster)
    own.try_each("try")
    with own.at_work("k"):
        time.sleep(0.8)
        cluster.refuses.add("m1")
        time.sleep(0.8)
    assert {one.through for one in own.writes if one.revision} == {"m1", "m2", "m3"}
    assert {one.through for one in own.writes if not one.revision} == {"m1"}
    assert own.seen[-1].said == {"m2": ("m1", 4), "m3": ("m1", 4)}
    asked = [argv for argv, _env in cluster.argvs if "status" in argv]
    assert asked and not any("10.0.0.1" in word for argv in asked for word in argv), "who is away is not asked"
    assert all("--command-timeout=1s" in argv for argv, _env in cluster.argvs if "k" in argv)


def test_who_need_not_log_in_does_not_and_who_must_does(cluster):
    def users(made):
        with made.at_work("k"):
            time.sleep(0.3)
        return {env.get("ETCDCTL_USER", "") for argv, env in cluster.argvs[1:] if "status" in argv}

    assert users(client(cluster, "root")) == {""}
    cluster.argvs.clear()
    cluster.logs_in = True
    assert users(client(cluster, "root")) == {"root"}
    assert not any("geheim" in word for argv, _env in cluster.argvs for word in argv)


def test_a_voter_through_which_nothing_can_be_written_is_named(cluster):
    cluster.refuses.add("m3")
    with pytest.raises(EtcdError, match="no key can be written through m3"):
        client(cluster).try_each("try")
