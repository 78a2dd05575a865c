# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a member takes that has lost its disk, from its start to its vote, beside the least that it could take.

limit        the database by scp to its host, and etcd started on it until it answers a linearizable read
collection   playbooks/member_replace.yml: from the start of the new member until it is promoted, by its host's journal

Both in turns on three hosts over SSH. The whole playbook's time is told too: it takes a backup first, and waits for etcd's own
health interval. Nothing here judges: it reports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

# The test bed, as pyproject.toml makes it known to pytest: for this and all that it imports.
sys.path += [str(Path(__file__).resolve().parents[1] / folder) for folder in ("lab", "tests/hosts")]

from client import GatewayError
from databases import CACHE, CHECKOUT, LINE, SETTINGS, VALUE, Database, DatabaseError, database, playbook
from hosts import Hosts, HostsError, Member
from ways import copy, journal, limit

PLAYBOOK = CHECKOUT / "playbooks" / "member_replace.yml"
SERVES_SECONDS = 300


class Round(NamedTuple):
    """Seconds: the copy and the start of the limit, the newcomer's way to its vote, and the whole playbook."""

    copied: float
    started: float
    joined: float
    whole: float

    @property
    def limit(self) -> float:
        return self.copied + self.started

    @property
    def ratio(self) -> float:
        return self.joined / self.limit


def measure(size: float, rounds: int) -> list[Round]:
    source = database(size, VALUE)
    with TemporaryDirectory(dir=CACHE) as folder, Hosts(folder, line=LINE, settings=SETTINGS) as hosts:
        limit(hosts, source, False)  # so that the cluster has these data
        found = []
        for number in range(rounds):
            lost = _follower(hosts)
            copied, started = _by_hand(hosts, lost, source)
            joined, whole = _replaced(hosts, lost)
            found.append(Round(copied, started, joined, whole))
            say(f"{size:g} GB, round {number + 1}: limit {copied:.1f} + {started:.1f} s, to its vote {joined:.1f} s")
        return found


def _follower(hosts: Hosts) -> Member:
    status = hosts.status()
    return next(
        one for one in hosts.members if status[one.name] and status[one.name].leader != status[one.name].member_id
    )


def _by_hand(hosts: Hosts, member: Member, source: Database) -> tuple[float, float]:
    """The bytes over SSH, and a start on data that is there: what a newcomer must at least be sent, and must do."""
    began = time.monotonic()
    copy(hosts, member, [source.path], "/home/admin/snapshot.db")
    copied = time.monotonic() - began
    hosts.run(member, ["rm", "/home/admin/snapshot.db"])
    hosts.stop(member)
    began = time.monotonic()
    hosts.start(member)
    _wait_until_it_serves(hosts, member)
    return copied, time.monotonic() - began


def _wait_until_it_serves(hosts: Hosts, member: Member) -> None:
    until = time.monotonic() + SERVES_SECONDS
    while True:
        try:
            hosts.client(member, timeout=2).get(b"lab/ready")
            return
        except GatewayError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _replaced(hosts: Hosts, member: Member) -> tuple[float, float]:
    hosts.lose_data(member)
    began = time.monotonic()
    playbook(
        PLAYBOOK,
        *("-i", hosts.inventory, "-e", f"etcd_member_replace_dead={member.name}"),
        *("-e", "etcd_member_replace_confirm=etcd"),
    )
    whole = time.monotonic() - began
    lines = [json.loads(line) for line in journal(hosts, member).splitlines() if line]
    launched, promoted = (
        max(datetime.fromisoformat(line["time"].rstrip("Z")) for line in lines if line["step"] == step)
        for step in ("prepared", "promoted")
    )
    hosts.run(member, ["sh", "-c", "rm -rf /var/lib/etcd.?* /var/lib/quorum-etcd /var/backups/etcd"])
    return (promoted - launched).total_seconds(), whole


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="*", default=[0.06, 0.6], help="in GB (default: 0.06 0.6)")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args(argv)
    try:
        for size in wanted.sizes:
            rounds = measure(size, wanted.rounds)
            names = ("limit", "joined", "whole", "ratio")
            middle = {name: statistics.median(getattr(one, name) for one in rounds) for name in names}
            print(
                f"{size:g} GB: limit {middle['limit']:.1f} s; from the start to its vote {middle['joined']:.1f} s ="
                f" {middle['ratio']:.1f}x; the whole playbook {middle['whole']:.1f} s"
            )
    except (DatabaseError, HostsError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
