# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario does to the cluster behind Ansible's back, and waits for on its hosts.

seed         write keys
fires        write one, and wait until the timer of one host has saved it; that of the others has fired, and saved nothing
shipped      its newest snapshot, put together from its store without this software, is the local one; drills prove both
takes_over   stop that member, write, and wait until another host has saved it; start it again
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "hosts"), str(CHECKOUT / "lab")]
from client import seed as write_keys
from mirror_hosts import Member
from mirror_hosts import MirrorHosts as Hosts

FOLDER = CHECKOUT / ".cache" / "molecule"
STORE = "/srv/offsite"
SCRIPT = CHECKOUT / "docs" / "put_together.py"
UNPACKED = 'case $1 in *.gz) gzip -dc "$1" ;; *.zst) zstd -dc "$1" ;; *) cat "$1" ;; esac | sha256sum'
PATIENCE = 90.0  # seconds


def seed(hosts: Hosts) -> None:
    write_keys(hosts.client(hosts.members[0]), 200)


def fires(hosts: Hosts) -> None:
    saver = _saver(hosts, hosts.members)
    for member in hosts.members:
        (timer,) = [
            line
            for line in hosts.run(member, ["journalctl", "--no-pager", "-u", "quorum-etcd-backup"]).splitlines()
            if "Finished" in line or "Deactivated" in line
        ][-1:]
        assert timer, member.host
        listed = json.loads(hosts.run(member, ["quorum-etcd", "list", "--verify", "--json"]))["snapshots"]
        assert bool(listed) == (member == saver) and all(one["ok"] and one["verified"] for one in listed), listed
    print(saver.host)


def shipped(hosts: Hosts) -> None:
    (saver,) = [member for member in hosts.members if _said(hosts, member, "list")["snapshots"]]
    newest = _said(hosts, saver, "list")["snapshots"][0]["path"]
    name = Path(newest).name.partition(".db")[0] + ".db"
    until = time.monotonic() + PATIENCE
    while not hosts.run(saver, ["find", f"{STORE}/etcd", "-name", f"{name}.json"]):  # the last object of a snapshot
        if time.monotonic() > until:
            sys.exit(f"{name} was not shipped: {hosts.run(saver, ['ls', '-lR', STORE])}")
        time.sleep(1)
    result = "/root/put-together.db"
    hosts.run(saver, ["rm", "-f", result])
    hosts.run(saver, ["python3", "-c", SCRIPT.read_text(), f"{STORE}/etcd/{name}.json", result])
    local = hosts.run(saver, ["sh", "-c", UNPACKED, "sh", newest]).split()[0]
    together = hosts.run(saver, ["sha256sum", result]).split()[0]
    assert local == together, f"{newest} of {saver.host} has {local}, and that of its store {together}"
    hosts.run(saver, ["rm", result])
    for options in ([], ["--offsite"]):
        done = _said(hosts, saver, "drill", *options)
        assert done["result"] == "proven", done
    print(f"{name} of {saver.host}")


def takes_over(hosts: Hosts) -> None:
    first = _saver(hosts, hosts.members)
    hosts.stop(first)
    try:
        others = [member for member in hosts.members if member != first]
        print(f"{_saver(hosts, others).host} instead of {first.host}")
    finally:
        hosts.start(first)
        hosts.wait_ready()


def _saver(hosts: Hosts, members: list[Member]) -> Member:
    """Write, and wait until one of these hosts has saved that by itself, and the others have run since and saved nothing."""
    client, began = hosts.client(members[0]), time.time()
    client.put(b"app/moment", b"%d" % began)
    revision = client.status().revision
    until = time.monotonic() + PATIENCE
    while True:
        last = {member.name: _last(hosts, member, began) for member in members}
        if all(last.values()):
            saved = [member for member in members if last[member.name]["result"] in ("saved", "unchanged")]
            if len(saved) == 1 and last[saved[0].name]["revision"] >= revision:
                return saved[0]
        if time.monotonic() > until:
            sys.exit(f"no timer has saved revision {revision}: {last}")
        time.sleep(1)


def _said(hosts: Hosts, member: Member, *words: str) -> dict:
    """What the agent of a host says, which must be content."""
    return json.loads(hosts.run(member, ["quorum-etcd", *words, "--json"]))


def _last(hosts: Hosts, member: Member, since: float) -> dict:
    """The last run of a host that began since then; empty for none."""
    lines = hosts.run(member, ["tail", "-n", "3", "/var/lib/quorum-etcd/backups.jsonl"]).splitlines()
    last = json.loads([line for line in lines if line][-1])
    began = time.mktime(time.strptime(last["at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    return last if began >= int(since) else {}


if __name__ == "__main__":
    {action.__name__: action for action in (seed, fires, shipped, takes_over)}[sys.argv[1]](Hosts(FOLDER))
