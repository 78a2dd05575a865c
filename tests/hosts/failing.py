# SPDX-License-Identifier: GPL-3.0-or-later
"""A failover drill on hosts whose controller dies in the middle of it, and what it leaves there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from conftest import CHECKOUT, playbook_argv, user_environment
from hosts import Hosts, Member
from waiting import until

DRILL = CHECKOUT / "playbooks" / "failover_drill.yml"
STATE = "/var/lib/quorum-etcd/restores"
BOOT_UNITS = "/etc/systemd/system/quorum-etcd-drill-boot-* /etc/systemd/system/*.wants/quorum-etcd-drill-boot-*"
SECONDS = 6


def arguments(hosts: Hosts, **asked: object) -> list[str | Path]:
    wanted = {"confirm": "etcd", "seconds": SECONDS, **asked}
    given = json.dumps({f"etcd_failover_drill_{name}": value for name, value in wanted.items()})
    return [DRILL, "-i", hosts.inventory, "-e", given]


@contextmanager
def controller_killed(hosts: Hosts, is_away: Callable[[], bool], **asked: object) -> Iterator[None]:
    """A drill whose controller is killed as soon as the member is away; in the block it is dead, and nothing else."""
    with subprocess.Popen(
        playbook_argv(*arguments(hosts, **asked)),
        cwd=CHECKOUT,
        env=user_environment(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        try:
            until(is_away, "it is taken away")
        finally:  # nobody would read what it says, and it would wait for that for ever
            os.killpg(running.pid, signal.SIGKILL)
        yield


def shell(hosts: Hosts, member: Member, script: str) -> str:
    return hosts.run(member, ["sh", "-c", script])


def is_armed(hosts: Hosts, member: Member) -> bool:
    return "armed" in shell(hosts, member, f"ls {STATE}/*/ 2>/dev/null || :").split()


def boot_units(hosts: Hosts, member: Member) -> list[str]:
    """The files of the unit with which a boot puts back."""
    return shell(hosts, member, f"ls -d {BOOT_UNITS} 2>/dev/null || :").split()


def times_taken(hosts: Hosts, member: Member) -> int:
    return shell(hosts, member, f"cat {STATE}/*/journal.jsonl 2>/dev/null || :").count('"step": "taken"')


def power_fails_while_away(hosts: Hosts, member: Member, **asked: object) -> None:
    """The member is taken away, controller and host die at once, and the host boots; returns when nothing is armed any more."""
    before = times_taken(hosts, member)
    with controller_killed(hosts, lambda: times_taken(hosts, member) > before, seconds=60, **asked):
        assert is_armed(hosts, member) and len(boot_units(hosts, member)) == 2
        hosts.power_off(member)
    hosts.power_on(member)
    hosts.wait_reachable(member)
    until(lambda: not (is_armed(hosts, member) or boot_units(hosts, member)), "the boot puts it back")
