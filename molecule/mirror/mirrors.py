# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario does to the source and to the engines behind Ansible's back, and what it finds in the mirrors.

seed      write keys
hurt      change and delete keys; kill the engine of one mirror, and reboot the host of the other's
compare   wait until each mirror has what the source has, key by key, on every member
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "hosts"), str(CHECKOUT / "lab")]
from client import seed as write_keys
from mirror_hosts import MirrorHosts

FOLDER = CHECKOUT / ".cache" / "molecule"
PATIENCE = 90.0  # seconds
SERVICE = "quorum-etcd-mirror@mirror.service"


def seed(hosts: MirrorHosts) -> None:
    client = hosts.client(hosts.members[0])
    write_keys(client, 400)
    for number in range(50):
        client.put(b"app/%03d" % number, b"%d" % number)


def hurt(hosts: MirrorHosts) -> None:
    client = hosts.client(hosts.members[1])
    large, small = hosts.cluster("etcd_mirror")[0], hosts.cluster("etcd_small")[0]
    hosts.run(small, ["systemctl", "kill", "--signal=KILL", SERVICE])
    hosts.reboot(large)
    for number in range(25):
        client.delete(b"app/%03d" % number)
        client.put(b"app/%03d" % (number + 25), b"changed")
    hosts.wait_ready()


def compare(hosts: MirrorHosts) -> None:
    source = hosts.contents(hosts.members[0])
    below = {b"copy/" + key: value for key, value in source.items() if key.startswith(b"app/")}
    for cluster, expected in (("etcd_mirror", source), ("etcd_small", below)):
        for member in hosts.cluster(cluster):
            until = time.monotonic() + PATIENCE
            while found := hosts.differing(expected, hosts.contents(member)):
                if time.monotonic() > until:
                    sys.exit(
                        f"{member.host} differs in {len(found)} of {len(expected)} keys:\n" + "\n".join(found[:20])
                    )
                time.sleep(0.5)


if __name__ == "__main__":
    {action.__name__: action for action in (seed, hurt, compare)}[sys.argv[1]](MirrorHosts(FOLDER))
