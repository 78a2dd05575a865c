# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of hosts where nothing speaks against a restore, and what was asked for; tests change what they are about."""

from __future__ import annotations

import json

from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import Options
from ansible_collections.quorum.etcd.plugins.module_utils.restore.values import ClusterPlan
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Snapshot

GIB = 1 << 30
NOW = "2026-11-24T03:00:00Z"
SHA = "ab" * 32
INITIAL = "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380"


def tool(name, version):
    return {"path": f"/usr/bin/{name}", "version": version}


def folder(**changes):
    """A WAL directory's facts; those of a data directory have more."""
    found = {"exists": False, "real_path": "", "is_mount": False, "owner": None, "group": None, "mode": "", "size": 0}
    return {**found, "device": None, **changes}


def disk(path="/var/lib/etcd", device=1, **changes):
    return {"path": path, "device": device, "noexec": False, "free": 10 * GIB, "total": 20 * GIB, **changes}


def setting(value, path="/etc/default/etcd", format="env", **changes):
    return {"value": value, "kind": "variable", "format": format, "path": path, **changes}


def service(**changes):
    found = {
        "manager": "systemd",
        "name": "etcd.service",
        "named": False,
        "owner": {"kind": "", "name": ""},
        "masked": False,
        "transient": False,
        "restarting": False,
        "halted": False,
        "manifest": "",
        "image": "",
        "kubelet": None,
        "start_command": "",
        "stop_command": "",
        "status_command": "",
        "state": "running",
        "enabled": True,
        "user": "etcd",
        "group": "",
        "dynamic_user": False,
        "notifies": True,
        "start_timeout": 90.0,
        "obscure": "",
        "dropin": "/etc/systemd/system/etcd.service.d/zz-quorum-etcd.conf",
        "exec_start": "",
        "made_from": "",
    }
    return {**found, **changes}


def data(**changes):
    found = {
        **folder(exists=True, owner=106, group=112, mode="0700", device=1),
        "empty": False,
        "is_etcd": True,
        "has_member": True,
        "entries": ["member"],
        "foreign": [],
        "parent_owner": [0, 0],
        "owner_name": "etcd",
        "group_name": "etcd",
        "inner_mounts": [],
        "db_size": 1000,
        "parent_is_writable": True,
        "revision": 0,
        "member_ids": [],
        "contained": "",
    }
    return {**found, **changes}


def member(number, version="3.5.35", **changes):
    """What ``member_info`` tells of a member that runs by a unit, with an environment file."""
    found = {
        "found": True,
        "running": True,
        "pid": 1,
        "service": service(),
        "name": f"m{number}",
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "client_urls": [f"http://10.0.0.{number}:2379"],
        "listen_peer_urls": [],
        "listen_client_urls": [],
        "data_dir": "/var/lib/etcd",
        "wal_dir": "",
        "data": data(),
        "wal": folder(),
        "disk": [disk()],
        "initial_cluster": INITIAL,
        "initial_cluster_state": "existing",
        "initial_cluster_token": "etcd-cluster",
        "snapshot_count": "",
        "quota_backend_bytes": "",
        "tls": {
            which: {"cacert": "", "cert": "", "key": "", "client_cert_auth": False} for which in ("client", "peer")
        },
        "tools": {
            "etcd": tool("etcd", version),
            "etcdctl": tool("etcdctl", version),
            "etcdutl": None if version.startswith("3.4") else tool("etcdutl", version),
        },
        "tools_missing": {},
        "config": {"format": "env", "path": "/etc/default/etcd"},
        "settings": {
            "initial-cluster": setting(INITIAL),
            "initial-cluster-state": setting("existing"),
            "initial-cluster-token": setting("etcd-cluster"),
        },
        "state_dir": "/var/lib/quorum-etcd",
        "aside_dir": "",
        "log": "",
        "connection": {
            "endpoints": [f"http://10.0.0.{number}:2379"],
            "cacert": "",
            "cert": "",
            "key": "",
            "bin_dir": "/usr/bin",
        },
        "journal": {},
        "interrupted_elsewhere": [],
        "kubernetes": {"pods": [], "kubelet": False, "running": [], "keys": None},
        "strangers": "",
        "unsettable": [],
        "shadowed": {},
    }
    return {**found, **changes}


def answer(number, state="serves", refusal="", error="", **changes):
    found = {
        "endpoint": f"http://10.0.0.{number}:2379",
        "ok": state == "serves",
        "state": state,
        "error": error,
        "refusal": refusal,
        "next_step": f"cure: {refusal}." if refusal else "",
        "member_id": str(number) if state == "serves" else "",
        "cluster_id": "",
    }
    return {**found, **changes}


def listed(number, **changes):
    """A member as a member list has it, and, for want of a version, as one that has not answered."""
    found = {
        "id": str(number),
        "name": f"m{number}",
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "client_urls": [],
        "is_learner": False,
        "started": True,
        "endpoint": f"http://10.0.0.{number}:2379",
        "state": "serves",
        "refusal": "",
        "healthy": True,
        "has_leader": True,
        "is_leader": False,
        "version": "",
        "storage_version": "",
        "revision": 0,
        "raft_term": 2,
        "raft_index": 9,
        "raft_applied_index": 9,
        "db_size": 20480,
        "db_size_in_use": 16384,
        "db_size_quota": 0,
        "hash": None,
        "errors": [],
    }
    return {**found, **changes}


def view(number=1, revision=120, leader="m2", quorum=True, cluster_id="aaaa", **changes):
    found = {
        "health": "healthy" if quorum else "no quorum",
        "summary": "",
        "cluster_id": cluster_id,
        "cluster_ids": [cluster_id],
        "members": [listed(n) for n in (1, 2, 3)],
        "members_complete": True,
        "endpoints": [answer(number)],
        "next_steps": [],
        "opens": [],
        "leader": "2",
        "leader_name": leader,
        "term": 2,
        "voters": 3,
        "learners": 0,
        "healthy_voters": 3,
        "serving_voters": 3,
        "quorum": 2,
        "has_quorum": quorum,
        "quorum_unknown": False,
        "may_fail": 1,
        "revision": revision,
        "alarms": [],
        "hash_revision": None,
        "hashes_equal": None,
        "best_endpoint": "",
    }
    return {**found, **changes}


def in_snapshot(number, **changes):
    """A member as a snapshot has it."""
    found = {"id": str(number), "name": f"m{number}", "peer_urls": [f"http://10.0.0.{number}:2380"], "client_urls": []}
    return {**found, "is_learner": False, **changes}


def snapshot(path="/backups/a.db", **changes):
    entry = {
        "path": path,
        "name": path.rsplit("/", 1)[-1],
        "real_path": path,
        "ok": True,
        "verified": True,
        "reason": "",
        "compression": "",
        "packed_size": 0,
        "kind": "snapshot",
        "size": 1000,
        "sha256": SHA,
        "trailer": "ef" * 32,
        "age": 1800,
        "revision": 100,
        "key_revision": 100,
        "compact_revision": 0,
        "consistent_index": 0,
        "term": 2,
        "taken_at": "2026-11-24T02:30:00Z",
        "cluster_version": "3.5.0",
        "storage_version": "",
        "members": [in_snapshot(1)],
        "removed_members": 0,
        "auth_enabled": False,
        "users": None,
        "alarms": [],
        "manifest": {"cluster": "etcd", "user_keys": 7},
        "kubernetes": False,
        "encryption_keys": [],
    }
    return {**entry, **changes}


def hosts(snapshots=(), members=None, **views):
    members = members or [member(1), member(2), member(3)]
    return {
        f"host{number}": {
            "cluster": "etcd",
            "why": "",
            "member": found,
            "view": view(number, **views),
            "snapshots": list(snapshots),
        }
        for number, found in enumerate(members, 1)
    }


def options(**changes):
    given = {"now": NOW, "nonce": "0f0f", "spool": "/spool", "spool_free": GIB, "controller_snapshots": [snapshot()]}
    given.update(changes)
    given["controller_snapshots"] = [from_plain(Snapshot, one) for one in given["controller_snapshots"]]
    return Options(**given)


def of_cluster(**changes):
    """The plan of a cluster: the one of these hosts, but for what is given."""
    plain = make_plan(hosts(), options())["hosts"]["host1"]["of"]
    given = {"user_keys": None, "old_endpoints": [], **changes}
    given["snapshot"] = {**plain["snapshot"], **changes.get("snapshot", {})}
    return from_plain(ClusterPlan, {**plain, **given})


def causes(plan):
    return " | ".join(f"{item['host']}: {item['cause']} {item['next_step']}" for item in plan["refusals"])


def pod(number, state, running):
    """A member that a kubelet runs, whose tools are in its container."""
    found = member(number, "3.6.16", running=running)
    found["service"].update(manager="static_pod", manifest="/m/etcd.yaml", kubelet=True, image="e:1", state=state)
    for name, there in found["tools"].items():
        there["path"] = f"/proc/7/root/usr/local/bin/{name}"
    place = {"format": "static_pod", "path": "/m/etcd.yaml"}
    found["config"] = place
    found["settings"] = {"initial-cluster": setting("m1=http://10.0.0.1:2380", **place)}
    return found


def packed(path="/backups/a.db.gz", **changes):
    return snapshot(path, compression="gzip", packed_size=300, **changes)


def broken(change):
    given = hosts()
    change(given["host3"]["member"], given["host3"])
    return given


def journal(own, **changes):
    """What the journal of a host sums up that has followed ``own``, its plan, until it was cut off in the middle."""
    found = {
        "restore_id": own["restore_id"],
        "earlier": [],
        "step": "swapped",
        "open": True,
        "touched": True,
        "back": False,
        "started": False,
        "proven": False,
        "plan": json.loads(json.dumps(own)),
        "highest_revision": 0,
    }
    return {**found, **changes}


def with_journals(plan, **changes):
    """The hosts as they are after a run that followed ``plan`` got as far as the journal says."""
    given = hosts()
    for host, facts in given.items():
        own = dict(changes.get(host, changes.get("all", {})))
        claim = own.pop("claim", None)
        found = facts["member"]["journal"] = journal(plan["hosts"][host], **own)
        newest = {name: found[name] for name in ("restore_id", "step", "open")}
        facts["member"]["newest_job"] = {"job": "restore", "holder": "run-1", "claim": claim, **newest}
    return given


POD = {"name": "kube-controller-manager", "manifest": "/etc/kubernetes/manifests/m.yaml", "parked": "/state/m.yaml"}


def on_kubernetes(**changes):
    return {"pods": [POD], "kubelet": True, "running": [POD["name"]], "keys": None, **changes}


def unowned(**service):
    found = member(1)
    found["service"].update(service)
    return found
