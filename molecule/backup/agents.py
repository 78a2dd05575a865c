# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario does to the cluster behind Ansible's back, and waits for on its hosts.

seed         write keys
fires        write one, and wait until the timer of one host has saved it; that of the others has fired, and saved nothing
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


def _last(hosts: Hosts, member: Member, since: float) -> dict:
    """The last run of a host that began since then; empty for none."""
    lines = hosts.run(member, ["tail", "-n", "3", "/var/lib/quorum-etcd/backups.jsonl"]).splitlines()
    last = json.loads([line for line in lines if line][-1])
    began = time.mktime(time.strptime(last["at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    return last if began >= int(since) else {}


if __name__ == "__main__":
    {action.__name__: action for action in (seed, fires, takes_over)}[sys.argv[1]](Hosts(FOLDER))
