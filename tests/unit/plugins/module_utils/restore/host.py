# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with an old data directory, a configuration and a snapshot, on which the phases of a restore are done.

The service is a stand-in and the restore command only its argv; the files, the journal and the renames are real.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from types import SimpleNamespace

from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Journal
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import database
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.database import Database
from ansible_collections.quorum.etcd.plugins.module_utils.host import kubernetes, service
from ansible_collections.quorum.etcd.plugins.module_utils.restore.phases import Restore
from ansible_collections.quorum.etcd.plugins.module_utils.restore.proof import Check
from ansible_collections.quorum.etcd.plugins.module_utils.restore.watching import Closing
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import verify
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import service as service_facts
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import snapshot

CONFIG = "# mine\nETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER_TOKEN=old\nETCD_INITIAL_CLUSTER=m1=http://127.0.0.1:1\n"
GOOD, BAD = Check("a", 1, 1, True), Check("a", 1, 2, False)
OF = {
    "cluster": "etcd",
    "restore_id": "1",
    "hosts": ["etcd1", "etcd2", "etcd3"],
    "token": "fresh",
    "initial_cluster": "m1=http://127.0.0.1:1,m2=http://127.0.0.1:2,m3=http://127.0.0.1:3",
    "cluster_id": "c1",
    "members": {"1": "m1", "2": "m2", "3": "m3"},
    "endpoints": ["http://127.0.0.1:11"],
    "snapshot": to_plain(snapshot(revision=1000)),
    "bump": 0,
    "revision": 1000,
    "loss": {"seconds": 60, "revisions": 0},
    "before_id": "c0",
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


class Host:
    """A host with an old data directory, a configuration and a snapshot."""

    def __init__(self, root, monkeypatch, kind="directory", slow=False):
        self.slow, self.reads, self.manager = slow, [], "command"
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
        monkeypatch.setattr(service, "manager", lambda *_given: self.service)
        monkeypatch.setattr(verify, "verify", self.verify)
        self.restored_revision = 1000
        monkeypatch.setattr(database, "describe", lambda _path: Database(revision=self.restored_revision))

    def verify(self, path):
        self.reads.append(path)
        found = self.snapshot.read_bytes() if self.snapshot.exists() else b""
        return SimpleNamespace(sha256=hashlib.sha256(found).hexdigest())

    def plan(self, **changes):
        plan = {
            "mode": "restore",
            "host": "etcd1",
            "restore_id": "1",
            "of": OF,
            "member": {
                "name": "m1",
                "peer_urls": ["http://127.0.0.1:1"],
                "state_dir": str(self.root / "state"),
                "data_dir": str(self.live),
                "tools": {"etcd": None, "etcdctl": None, "etcdutl": None},
                "service": service_facts(manager=self.manager),
                "connection": {"endpoints": ["http://127.0.0.1:11"], "cacert": "", "cert": "", "key": ""},
            },
            "snapshot": {
                "path": str(self.snapshot),
                "source_path": str(self.snapshot),
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
                    "size": 3,
                }
            ],
            "slow": self.slow,
            "disk": [],
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


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds


def to_cutover(host):
    restore = host.restore()
    assert restore.stage() and restore.stop()
    restore.cutover()
    return restore


def before_cutover(host, monkeypatch):
    """Staged and stopped, and the others were not seen to have stopped."""
    restore = host.restore(others=["http://127.0.0.1:1"])
    with monkeypatch.context() as patch:
        patch.setattr(Closing, "wait", lambda self, seconds: False)
        assert restore.stage() and restore.stop()
    return restore


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


def killed_hosts(action, tmp_path, monkeypatch, kind, slow):
    """Of ``action`` on a new host each time: the host that each kill leaves."""
    made = []

    def on_a_new_host(number):
        made.append(another_host(tmp_path / str(number), monkeypatch, kind, slow))
        action(made[-1])

    for _number in points(on_a_new_host, monkeypatch):
        yield made[-1]
