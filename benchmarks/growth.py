# SPDX-License-Identifier: GPL-3.0-or-later
"""One run for one cluster of three hosts, and one run for several: what each further cluster costs.

The database is small, so that it is the tasks that are measured and not the machine's disk, which all hosts share here.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Sequence

from databases import CACHE, CHECKOUT, LINE, Database, database
from hosts import Hosts
from ways import Run, count, tasks_of

SIZE = 0.005  # GB


def growth(clusters: int, rounds: int, say: Callable[[str], None]) -> dict[int, list[Run]]:
    """By the number of clusters; the outage is not measured here."""
    source = database(SIZE)
    found: dict[int, list[Run]] = {1: [], clusters: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=CACHE)))
        beds = [stack.enter_context(_hosts(folder, number)) for number in range(1, clusters + 1)]
        for _round in range(rounds):
            for number, runs in found.items():
                runs.append(_restore(folder, beds[:number], source))
                say(f"{number} clusters: {runs[-1].seconds:.1f} s")
    return found


def _hosts(folder: Path, number: int) -> Hosts:
    names = [f"c{number}m{member}" for member in (1, 2, 3)]
    return Hosts(folder / f"c{number}", line=LINE, host_names=names)


def _restore(folder: Path, beds: Sequence[Hosts], source: Database) -> Run:
    inventory = folder / "hosts.yml"
    inventory.write_text(inventory_text(beds))
    confirm = ["-e", "etcd_restore_confirm=etcd"] if len(beds) > 1 else ["-e", "etcd_restore_confirm=c1"]
    named = ["-e", f"etcd_restore_snapshot={source.path}", "-e", "etcd_restore_again=true"]
    began = time.monotonic()
    timeline = tasks_of(CHECKOUT / "playbooks" / "restore.yml", "-i", inventory, *confirm, *named)
    seconds = time.monotonic() - began
    return Run(seconds, 0.0, *count(timeline), timeline)


def inventory_text(beds: Sequence[Hosts]) -> str:
    """One group a cluster, below the group etcd."""
    lines = ["---", "etcd:", "  children:"]
    for bed in beds:
        ssh: Any = bed.dir / "ssh"
        lines += [f"    {bed.dir.name}:", "      hosts:"]
        lines += [f"        {member.host}: {{ansible_host: {member.address}}}" for member in bed.members]
        lines += [
            "      vars:",
            f"        etcd_cluster: {bed.dir.name}",
            "        ansible_user: admin",
            f"        ansible_ssh_private_key_file: {ssh / 'key'}",
            f"        ansible_ssh_common_args: -o UserKnownHostsFile={ssh / 'known_hosts'} -o IdentitiesOnly=yes",
            # Later hosts may have these addresses: their connections are not these.
            f'        ansible_control_path: "%(directory)s/{os.getpid()}-%%h"',
        ]
    return "\n".join(lines) + "\n"
