# SPDX-License-Identifier: GPL-3.0-or-later
"""Reasons to refuse that lie in one host, by the words that are said."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    GIB,
    broken,
    causes,
    disk,
    hosts,
    options,
    setting,
    snapshot,
    tool,
)


@pytest.mark.parametrize(
    "why", ["is not part of this run (--limit)", "could not be looked at: Incorrect sudo password"]
)
def test_a_host_that_is_missing_is_one_reason_and_not_also_a_stranger_in_its_own_cluster(why):
    given = broken(lambda _member, facts: facts.update(member=None, why=why, view=None, snapshots=[]))
    plan = make_plan(given, options(controller_snapshots=[]))
    assert [(item["host"], item["cause"].startswith(f"it {why}. It is a member")) for item in plan["refusals"]] == [
        ("host3", True)
    ]


REFUSALS = {
    "left out by limit": (
        lambda m, h: h.update(member=None, why="is not part of this run (--limit)"),
        "host3: it is not part of this run (--limit)",
    ),
    "unreachable": (
        lambda m, h: h.update(member=None, why="cannot be reached: Connection refused."),
        "host3: it cannot be reached: Connection refused. It is a member of this cluster",
    ),
    "one name twice": (lambda m, h: m.update(name="m1"), "host3: it has the same name as host1: m1"),
    "one peer URL twice": (
        lambda m, h: m.update(peer_urls=["http://10.0.0.1:2380"]),
        "host3: it has the same peer URL as host1: http://10.0.0.1:2380",
    ),
    "no etcd": (
        lambda m, h: m.update(found=False, tools={"etcd": None, "etcdctl": None, "etcdutl": None}),
        "host3: no etcd was found here",
    ),
    "no tools": (
        lambda m, h: m["tools"].update(etcdctl=None, etcdutl=None),
        "host3: neither etcdutl nor etcdctl was found",
    ),
    "no etcdutl on 3.6": (
        lambda m, h: m.update(
            tools={"etcd": tool("etcd", "3.6.1"), "etcdctl": tool("etcdctl", "3.6.1"), "etcdutl": None}
        ),
        "host3: etcdutl is missing",
    ),
    "no name": (lambda m, h: m.update(name=""), "host3: its name could not be read from the host. set etcd_name"),
    "foreign data dir": (
        lambda m, h: m["data"].update(is_etcd=False, entries=["photos"]),
        "host3: /var/lib/etcd is not a data directory of etcd: it holds photos",
    ),
    "a mount inside": (
        lambda m, h: m["data"].update(inner_mounts=["/var/lib/etcd/member"]),
        "host3: /var/lib/etcd/member is a file system of its own",
    ),
    "full disk": (
        lambda m, h: m["disk"][0].update(free=1 << 20),
        "host3: the file system of /var/lib/etcd has 1 MiB free",
    ),
    "no tools but in an image that cannot be opened": (
        lambda m, h: m.update(
            service={**m["service"], "manager": "static_pod", "image": "e:1"},
            tools={"etcd": tool("etcd", "3.6.1"), "etcdctl": tool("etcdctl", "3.6.1"), "etcdutl": None},
            tools_missing={"etcdutl": "no etcdutl in /usr/bin; the image e:1 could not be opened (ctr: no)"},
        ),
        "can no longer restore a snapshot. Looked for: no etcdutl in /usr/bin; the image e:1 could not be opened",
    ),
    "no kubelet": (
        lambda m, h: m["service"].update(manager="static_pod", manifest="/m/etcd.yaml", kubelet=False),
        "host3: the kubelet does not run here, and only it stops and starts the static pod of /m/etcd.yaml",
    ),
    "command without commands": (
        lambda m, h: m["service"].update(manager="command"),
        "host3: its service manager is 'command', but a command to start or to stop it is missing",
    ),
    "data in a container": (
        lambda m, h: (m.update(data_dir=""), m["data"].update(contained="/var/lib/etcd")),
        "host3: its data directory /var/lib/etcd is in the file system of its container",
    ),
    "what is not etcd's in the data directory": (
        lambda m, h: m["data"].update(foreign=["photos", "backup.db"]),
        "host3: /var/lib/etcd also holds what is not etcd's, which would be moved aside with it: photos, backup.db.",
    ),
    "tools of a container in a folder where nothing runs": (
        lambda m, h: (
            m["tools"].update(etcdutl=tool("../proc/7/root/usr/local/bin/etcdutl", "3.5.35")),
            m["tools"]["etcdutl"].update(path="/proc/7/root/usr/local/bin/etcdutl"),
            m["disk"].append(disk(m["state_dir"], 2, noexec=True)),
        ),
        "host3: /var/lib/quorum-etcd is on a file system where nothing can be run (noexec)",
    ),
    "a setting that cannot be set": (
        lambda m, h: m.update(unsettable=[{"cause": "/e.yml: it is a list.", "next_step": "write it by hand."}]),
        "host3: /e.yml: it is a list. write it by hand.",
    ),
    "force-new-cluster": (
        lambda m, h: m["settings"].update({"force-new-cluster": setting("true")}),
        "host3: force-new-cluster is set in /etc/default/etcd: it makes etcd forget all other members",
    ),
    "discovery": (
        lambda m, h: m["settings"].update({"discovery-srv": setting("example.com", path="", format="flag")}),
        "host3: discovery-srv is set in the command line or the environment of its process: etcd does not start with it"
        " beside initial-cluster",
    ),
    "a flag that shadows a variable": (
        lambda m, h: m.update(shadowed={"name": {"flag": "/u.service", "variable": "/etc/default/etcd"}}),
        "host3: name is set twice, as a flag in /u.service and as a variable in /etc/default/etcd",
    ),
    "no time to start": (
        lambda m, h: m["service"].update(start_timeout=5.0),
        "host3: etcd.service has 5 seconds to start, and etcd reads the 0 MiB of this snapshot before it serves",
    ),
    "settings that live nowhere": (
        lambda m, h: m.update(
            config={"format": "", "path": ""},
            settings={key: {**value, "format": "process", "path": ""} for key, value in m["settings"].items()},
        ),
        "host3: ",
    ),
    "older etcd": (
        lambda m, h: m.update(
            tools={"etcd": tool("etcd", "3.4.23"), "etcdctl": tool("etcdctl", "3.4.23"), "etcdutl": None}
        ),
        "host3: /backups/a.db on the controller was written by etcd 3.5",
    ),
}


def test_a_start_that_a_slow_disk_makes_too_long_is_warned_of_and_one_without_a_limit_is_not():
    big = snapshot(size=2 * GIB)
    given = hosts(snapshots=[big])
    for facts in given.values():
        facts["member"]["settings"]["quota-backend-bytes"] = setting(str(8 * GIB))
        facts["member"]["service"]["start_timeout"] = 20.0
    plan = make_plan(given, options(controller_snapshots=[]))
    assert plan["refusals"] == []
    assert "on a slow disk systemd ends it before" in plan["warnings"][0]["cause"]
    for facts in given.values():
        facts["member"]["service"]["start_timeout"] = None
    assert make_plan(given, options(controller_snapshots=[]))["warnings"] == []


def test_a_switch_that_is_off_is_no_reason():
    given = hosts()
    given["host1"]["member"]["settings"]["force-new-cluster"] = setting("false")
    assert make_plan(given, options())["refusals"] == []


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_host_cause_and_next_step(name):
    change, words = REFUSALS[name]
    plan = make_plan(broken(change), options())
    assert words in causes(plan)
    assert plan["hosts"] == {}, "where there is a refusal nothing may be left to do"
    assert all(item["next_step"] for item in plan["refusals"])
    assert "Nothing was touched" in refusals_in_words(plan, WORDS)
