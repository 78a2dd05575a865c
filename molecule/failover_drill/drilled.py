# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario finds after a drill, behind Ansible's back: every member answers a linearizable read, and nothing is left."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "hosts"), str(CHECKOUT / "lab")]
from client import dump
from mirror_hosts import MirrorHosts as Hosts

STATE = "/var/lib/quorum-etcd/restores"
LEFT = (
    f"ls -d {STATE}/*/armed /run/systemd/system/etcd.service.d/zzz-* 2>/dev/null;"
    " systemctl list-timers --no-legend 'quorum-etcd-drill-*'"
)
LAST = f'cat "$(ls -d {STATE}/* | tail -n 1)/journal.jsonl"'


def main() -> None:
    hosts = Hosts(CHECKOUT / ".cache" / "molecule").wait_ready()
    for member in hosts.members:
        left = hosts.run(member, ["sh", "-c", LEFT])
        journal = hosts.run(member, ["sh", "-c", LAST])
        if left or '"step": "finished"' not in journal:
            sys.exit(f"{member.host}: {left}\n{journal}")
        keys = [key for key in dump(hosts.client(member)) if key.startswith(b"quorum.etcd/failover_drill/")]
        if keys:
            sys.exit(f"{member.host}: {keys}")


if __name__ == "__main__":
    main()
