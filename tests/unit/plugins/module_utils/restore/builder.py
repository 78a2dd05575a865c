# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of hosts where nothing speaks against a restore, and what was asked for; tests change what they are about."""

from __future__ import annotations

import json

from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import Options

GIB = 1 << 30


NOW = "2026-11-24T03:00:00Z"


SHA = "ab" * 32


INITIAL = "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380"


def tool(name, version):
    return {"path": f"/usr/bin/{name}", "version": version}


def member(number, version="3.5.35", **changes):
    name = f"m{number}"
    found = {
        "found": True,
        "running": True,
        "pid": 1,
        "service": {
            "manager": "systemd",
            "name": "etcd.service",
            "manifest": "",
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
        },
        "name": name,
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "client_urls": [f"http://10.0.0.{number}:2379"],
        "listen_peer_urls": [],
        "listen_client_urls": [],
        "data_dir": "/var/lib/etcd",
        "wal_dir": "",
        "data": {
            "exists": True,
            "empty": False,
            "is_etcd": True,
            "has_member": True,
            "entries": ["member"],
            "foreign": [],
            "contained": "",
            "parent_owner": [0, 0],
            "is_mount": False,
            "owner": 106,
            "group": 112,
            "mode": "0700",
            "db_size": 1000,
            "device": 1,
            "revision": 0,
            "member_ids": [],
        },
        "wal": {"exists": False, "is_mount": False, "device": None},
        "disk": [{"path": "/var/lib/etcd", "device": 1, "noexec": False, "free": 10 * GIB, "total": 20 * GIB}],
        "initial_cluster": INITIAL,
        "initial_cluster_state": "existing",
        "initial_cluster_token": "etcd-cluster",
        "tls": {},
        "tools": {
            "etcd": tool("etcd", version),
            "etcdctl": tool("etcdctl", version),
            "etcdutl": None if version.startswith("3.4") else tool("etcdutl", version),
        },
        "config": {"format": "env", "path": "/etc/default/etcd"},
        "settings": {
            "initial-cluster": {"value": INITIAL, "format": "env", "path": "/etc/default/etcd"},
            "initial-cluster-state": {"value": "existing", "format": "env", "path": "/etc/default/etcd"},
            "initial-cluster-token": {"value": "etcd-cluster", "format": "env", "path": "/etc/default/etcd"},
        },
        "state_dir": "/var/lib/quorum-etcd",
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
        "unsettable": [],
        "shadowed": {},
    }
    found.update(changes)
    return found


def answer(number, state="serves", refusal="", error=""):
    return {
        "endpoint": f"http://10.0.0.{number}:2379",
        "ok": state == "serves",
        "state": state,
        "error": error,
        "refusal": refusal,
        "next_step": f"cure: {refusal}." if refusal else "",
        "member_id": str(number) if state == "serves" else "",
        "cluster_id": "",
    }


def listed(number):
    return {
        "id": str(number),
        "name": f"m{number}",
        "peer_urls": [f"http://10.0.0.{number}:2380"],
        "endpoint": f"http://10.0.0.{number}:2379",
        "state": "serves",
        "errors": [],
    }


def view(number=1, revision=120, leader="m2", quorum=True, cluster_id="aaaa"):
    return {
        "cluster_id": cluster_id,
        "members": [listed(n) for n in (1, 2, 3)],
        "members_complete": True,
        "endpoints": [answer(number)],
        "quorum_unknown": False,
        "opens": [],
        "leader": "2",
        "leader_name": leader,
        "has_quorum": quorum,
        "cluster_ids": [cluster_id],
        "revision": revision,
    }


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
        "revision": 100,
        "key_revision": 100,
        "taken_at": "2026-11-24T02:30:00Z",
        "cluster_version": "3.5.0",
        "members": [{"id": "1", "name": "m1", "peer_urls": ["http://10.0.0.1:2380"]}],
        "manifest": {"cluster": "etcd", "user_keys": 7},
        "kubernetes": False,
        "encryption_keys": [],
    }
    entry.update(changes)
    return entry


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
    return Options(**given)


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
    found["settings"] = {"initial-cluster": {"value": "m1=http://10.0.0.1:2380", **place}}
    return found


def packed(path="/backups/a.db.gz", **changes):
    return snapshot(path, compression="gzip", packed_size=300, **changes)


def broken(change):
    given = hosts()
    change(given["host3"]["member"], given["host3"])
    return given


def with_journals(plan, **changes):
    """The hosts as they are after a run that followed ``plan`` got as far as the journal says."""
    given = hosts()
    for host, facts in given.items():
        own = plan["hosts"][host]
        facts["member"]["journal"] = {
            "restore_id": own["restore_id"],
            "earlier": [],
            "plan": json.loads(json.dumps(own)),
            "step": "swapped",
            "open": True,
            "touched": True,
            "started": False,
            "proven": False,
            **changes.get(host, changes.get("all", {})),
        }
    return given


POD = {"name": "kube-controller-manager", "manifest": "/etc/kubernetes/manifests/m.yaml", "parked": "/state/m.yaml"}


def on_kubernetes(**changes):
    return {"pods": [POD], "kubelet": True, "running": [POD["name"]], "keys": None, **changes}


def unowned(**service):
    found = member(1)
    found["service"].update(service)
    return found
