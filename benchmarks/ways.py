# SPDX-License-Identifier: GPL-3.0-or-later
"""Three ways to restore three hosts: as quickly as the machine can, as people write it, and with this collection."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

from client import Writer
from databases import CHECKOUT, Database, playbook
from hosts import Hosts, Member

QUICK_CIPHER = "aes128-gcm@openssh.com"
THERE = "/var/backups/etcd"  # where the collection looks for the newest snapshot
LEFT = "rm -rf /var/lib/etcd.?* /var/lib/quorum-etcd /home/admin/snapshot.db /var/tmp/snapshot.db"  # of an earlier run
# What the collection runs on the controller alone, without a word to the host.
CONTROLLER = (
    "assert",
    "fail",
    "set_fact",
    "include_tasks",
    "validate_argument_spec",
    "show",
    "job_plan",
    "job_report",
)


class Run(NamedTuple):
    """One restore. Seconds; ``tasks`` of the busiest host: in all, and those of them that talk to it."""

    seconds: float
    outage: float
    tasks: int = 0
    remote: int = 0
    timeline: Sequence[Any] = ()
    journals: Sequence[str] = ()


@contextmanager
def timed(hosts: Hosts) -> Iterator[dict[str, float]]:
    """While somebody writes through whichever member answers: how long it took until writes are served, and the longest gap."""
    found: dict[str, float] = {}
    with Writer([member.client_url for member in hosts.members]) as writer:
        writer.wait_for_write()
        began = time.monotonic()
        yield found
        writer.wait_for_write(timeout=120)
        found["seconds"] = found.get("seconds") or time.monotonic() - began
        found["outage"] = writer.longest_gap(began).seconds


# ---- the limit: the bytes, the tool, and a stop and start, by hand on all hosts at once --------------------------------


def limit(hosts: Hosts, database: Database, there: bool) -> Run:
    """No check of anything, nothing flushed, no configuration: nothing that restores can do less."""
    leader = next((status.leader for status in hosts.status().values() if status), 0)
    ids = {name: status.member_id for name, status in hosts.status().items() if status}
    first = [member for member in hosts.members if ids.get(member.name) != leader]
    last = [member for member in hosts.members if member not in first]
    with timed(hosts) as found:
        hosts.on_each(lambda member: _stage(hosts, member, database, there))
        for some in (first, last):
            at_once(some, lambda member: ssh(hosts, member, "sudo systemctl stop etcd"))
        hosts.on_each(lambda member: _swap(hosts, member))
    return Run(found["seconds"], found["outage"])


def _stage(hosts: Hosts, member: Member, database: Database, there: bool) -> None:
    source = f"{THERE}/etcd.db" if there else "/home/admin/snapshot.db"
    if not there:
        copy(hosts, member, [database.path], source)
    every = ",".join(f"{one.name}={one.peer_url}" for one in hosts.members)
    argv = ["etcdutl", "snapshot", "restore", source, f"--name={member.name}", f"--initial-cluster={every}"]
    argv += [f"--initial-advertise-peer-urls={member.peer_url}", "--data-dir=/var/lib/etcd.new"]
    ssh(hosts, member, f"sudo {' '.join(argv)} && sudo chown -R etcd: /var/lib/etcd.new")


def _swap(hosts: Hosts, member: Member) -> None:
    moves = "mv /var/lib/etcd /var/lib/etcd.before-limit && mv /var/lib/etcd.new /var/lib/etcd"
    ssh(hosts, member, f"sudo sh -c '{moves} && systemctl --no-block start etcd'")


def ssh(hosts: Hosts, member: Member, command: str) -> str:
    argv = ["ssh", *_ssh_options(hosts), f"admin@{member.address}", command]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def copy(hosts: Hosts, member: Member, files: Sequence[Path], to: str) -> None:
    argv = ["scp", "-q", "-c", QUICK_CIPHER, *_ssh_options(hosts), *map(str, files), f"admin@{member.address}:{to}"]
    subprocess.run(argv, check=True)


def _ssh_options(hosts: Hosts) -> list[str]:
    own = hosts.dir / "ssh"
    return ["-i", str(own / "key"), "-o", f"UserKnownHostsFile={own / 'known_hosts'}", "-o", "BatchMode=yes"]


def at_once(members: Sequence[Member], action: Any) -> None:
    with ThreadPoolExecutor(len(members) or 1) as pool:
        list(pool.map(action, members))


# ---- the two playbooks -------------------------------------------------------------------------------------------------


def plain(hosts: Hosts, database: Database, there: bool) -> Run:
    return _play(hosts, Path(__file__).parent / "plain.yml", "-e", f"source={database.path}")


def collection(hosts: Hosts, database: Database, there: bool) -> Run:
    named = [] if there else ["-e", f"etcd_restore_snapshot={database.path}"]
    return _play(hosts, CHECKOUT / "playbooks" / "restore.yml", "-e", "etcd_restore_confirm=etcd", *named)


def _play(hosts: Hosts, path: Path, *arguments: str) -> Run:
    with timed(hosts) as found:
        began = time.monotonic()
        timeline = tasks_of(path, "-i", hosts.inventory, *arguments)
        found["seconds"] = time.monotonic() - began
    tasks, remote = count(timeline)
    return Run(
        found["seconds"], found["outage"], tasks, remote, timeline, hosts.on_each(lambda one: journal(hosts, one))
    )


def tasks_of(path: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """Run a playbook; what ``callback_plugins/quorum_tasks`` wrote down."""
    with tempfile.NamedTemporaryFile("r") as lines:
        playbook(
            path,
            *arguments,
            ANSIBLE_CALLBACK_PLUGINS=str(Path(__file__).parent / "callback_plugins"),
            ANSIBLE_CALLBACKS_ENABLED="quorum_tasks",
            QUORUM_TASKS=lines.name,
        )
        return [json.loads(line) for line in lines]


def count(timeline: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Tasks of the host that did most of them: all, and those that talk to the host."""
    remote = [line for line in timeline if not _on_controller(line)]
    return max(_by_host(timeline)), max(_by_host(remote))


def _on_controller(line: dict[str, Any]) -> bool:
    return line["action"].rpartition(".")[2] in CONTROLLER or line["phase"] in ("agree", "forget")


def _by_host(timeline: Sequence[dict[str, Any]]) -> list[int]:
    hosts = [line["host"] for line in timeline]
    return [hosts.count(host) for host in set(hosts)]


def stopped_seconds(journals: Sequence[str]) -> float:
    """From the first member that was told to stop until the last that was told to start: this collection's part of the
    outage, by the hosts' clock. What follows is etcd's: to read its data and to elect."""
    lines = [json.loads(line) for text in journals for line in text.splitlines() if line]
    began, ended = (
        [datetime.fromisoformat(line["time"].rstrip("Z")) for line in lines if line["step"] == step]
        for step in ("stopping", "started")
    )
    return (max(ended) - min(began)).total_seconds()


def journal(hosts: Hosts, member: Member) -> str:
    return hosts.run(member, ["sh", "-c", "cat /var/lib/quorum-etcd/restores/*/journal.jsonl 2>/dev/null || :"])


# ---- between two runs --------------------------------------------------------------------------------------------------


def clean(hosts: Hosts) -> None:
    """What the run before has left on the hosts goes, so that each begins with the same."""
    hosts.on_each(lambda member: hosts.run(member, ["sh", "-c", f"{LEFT}; sync"]))
    hosts.wait_ready()
    time.sleep(1)


def mend(hosts: Hosts, database: Database, there: bool) -> None:
    """Whatever a way that failed has left: the hosts serve the snapshot's data again, so that the next way can run."""

    def stop(member: Member) -> None:
        # A start that still waits for the others is ended too, and what systemd has counted against the unit is forgotten.
        hosts.run(
            member,
            ["sh", "-c", "systemctl kill --signal=KILL etcd; systemctl stop etcd; systemctl reset-failed etcd; :"],
        )
        hosts.run(member, ["sh", "-c", f"{LEFT}; mkdir -p /var/lib/etcd"])

    hosts.on_each(stop)
    hosts.on_each(lambda member: _stage(hosts, member, database, there))
    hosts.on_each(lambda member: _swap(hosts, member))
    hosts.wait_ready()


def put_there(hosts: Hosts, database: Database) -> None:
    """The snapshot and its manifest into the folder of backups on every host."""

    def put(member: Member) -> None:
        copy(hosts, member, [database.path, database.manifest], "/home/admin/")
        name = f"/home/admin/{database.path.name}"
        moves = f"mv {name} {THERE}/etcd.db && mv {name}.json {THERE}/etcd.db.json"
        hosts.run(member, ["sh", "-c", f"mkdir -p -m 700 {THERE} && {moves} && chown -R root: {THERE}"])

    hosts.on_each(put)


def take_away(hosts: Hosts) -> None:
    hosts.on_each(lambda member: hosts.run(member, ["rm", "-rf", THERE]))
