# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: back up a real three-member cluster, destroy it, restore it, and prove every key on every member.

Exits 0 only if each proof holds. Stops its lab in the end, whatever happened, unless KEEP=1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Iterator, Mapping, NamedTuple

from client import GatewayError, KeyValue, Writer, differences, dump, seed
from etcd_binaries import Unavailable
from lab import CHECKOUT, DEFAULT_BASE_PORT, DEFAULT_DIR, HOME, Lab, LabError, Member

INVENTORY = "inventories/lab"
KEYS = 5000
LATE_KEYS = 25  # written after the backup, lost by the restore
SHOWN_DIFFERENCES = 5
PLAYBOOK_SECONDS = 600


class DemoError(Exception):
    """A step failed or a proof does not hold."""


class Before(NamedTuple):
    """The cluster at the backup."""

    cluster_id: int
    revision: int
    keys: Mapping[bytes, KeyValue]


def run(lab: Lab) -> None:
    with step("start a fresh lab of three members"):
        lab.up()
    first = lab.members[0].client
    with step(f"seed {KEYS} keys"):
        seed(first, KEYS)
    with step("back up"):
        before = Before(first.status().cluster_id, first.status().revision, dump(first, serializable=False))
        playbook("backup")

    survivor = lab.members[0]
    with Writer(lab.endpoints) as writer:
        writer.wait_for_write()
        with step(f"write {LATE_KEYS} keys after the backup: the restore will lose these"):
            first.put_many((b"late/%d" % number, b"after the backup") for number in range(LATE_KEYS))
        disaster_at = time.monotonic()
        with step("disaster: delete every key, kill two members, remove their data"):
            disaster(lab, survivor)
        with step("status, without a quorum: it shows how it is, and fails as a monitor wants it"):
            playbook("status", fails=True)
        with step("restore: the plan only"):
            playbook("restore", "--check", "--diff")
        with step("restore"):
            playbook("restore", "-e", "etcd_restore_confirm=etcd")
        with step("prove every key on every member by itself"):
            writer.wait_for_write()
            problems = proof(lab, survivor, before)
        gap = writer.longest_gap(since=disaster_at)
    print_table(lab, before, gap.seconds)
    if problems:
        raise DemoError("\n".join(problems))


def disaster(lab: Lab, survivor: Member) -> None:
    gone = survivor.client.delete_range()
    for member in lab.members:
        if member != survivor:
            lab.kill(member)
            shutil.rmtree(member.data_dir)
    names = ", ".join(member.name for member in lab.members if member != survivor)
    print(f"{gone} keys deleted; {names} killed, their data removed; {survivor.name} runs, without a quorum")


def proof(lab: Lab, survivor: Member, before: Before) -> list[str]:
    """What is wrong with the restored cluster, one line each; empty when all is proven."""
    problems = []
    for member in lab.members:
        # A member that has just come up may lag by a moment: a linearizable read waits for it to catch up.
        member.client.get(b"back")
        found = differences(before.keys, dump(member.client, serializable=True))
        problems += [f"{member.name}: {line}" for line in found[:SHOWN_DIFFERENCES]]
        if len(found) > SHOWN_DIFFERENCES:
            problems.append(f"{member.name}: {len(found)} keys differ in all")
        if cluster_state(member) != "existing":
            problems.append(f"{member.config_file}: initial-cluster-state is {cluster_state(member)}, not existing")
    if not list(survivor.dir.glob("data.*before*")):
        problems.append(f"{survivor.dir}: the old data directory is gone; it must lie beside the new one")
    ids = {member.client.status().cluster_id for member in lab.members}
    if len(ids) != 1 or before.cluster_id in ids:
        problems.append(f"the members must share one new cluster ID: {sorted(ids)}, before {before.cluster_id}")
    return problems


def cluster_state(member: Member) -> str:
    """What the member's configuration file says, YAML or environment."""
    text = member.config_file.read_text()
    found = re.search(r"^(?:initial-cluster-state:|ETCD_INITIAL_CLUSTER_STATE=)\s*[\"']?(\w+)", text, re.MULTILINE)
    return found.group(1) if found else "not set"


def print_table(lab: Lab, before: Before, outage: float) -> None:
    after = lab.members[0].client.status()
    rows = [
        ("members", f"{len(lab.members)}, etcd {after.version}"),
        ("cluster ID before", f"{before.cluster_id:x}"),
        ("cluster ID after", f"{after.cluster_id:x}"),
        ("revision at the snapshot", before.revision),
        ("revision after", after.revision),
        ("keys compared", f"{len(before.keys)} on each of {len(lab.members)} members"),
        ("seconds without a writable cluster", f"{outage:.1f}"),
    ]
    print()
    for name, value in rows:
        print(f"  {name:<36}{value}")


def playbook(name: str, *options: str, fails: bool = False) -> None:
    argv = ["ansible-playbook", f"playbooks/{name}.yml", "-i", INVENTORY, *options]
    print("$ " + " ".join(argv))
    HOME.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "HOME": str(HOME), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(argv, cwd=CHECKOUT, env=env, timeout=PLAYBOOK_SECONDS, check=False)
    if bool(done.returncode) != fails:
        raise DemoError(f"{argv[1]} exited {done.returncode}")


@contextmanager
def step(title: str) -> Iterator[None]:
    print(f"\n=== {title}")
    began = time.monotonic()
    yield
    print(f"=== {time.monotonic() - began:.1f} s")


def leave(_signal: int, _frame: object) -> None:
    sys.exit("demo: asked to end")  # unwinds, so that the lab is stopped


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", help="minor line of etcd, such as 3.7 (default: whatever is at hand)")
    wanted = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, leave)
    sys.stdout.reconfigure(
        line_buffering=True
    )  # in order with what the playbooks print, and while it happens, in a pipe too

    Lab(DEFAULT_DIR).destroy()  # what an earlier demo or lab left
    lab = Lab(DEFAULT_DIR, base_port=DEFAULT_BASE_PORT, line=wanted.line)
    proven = False
    try:
        run(lab)
        proven = True
    except (DemoError, LabError, GatewayError, Unavailable, subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        print(f"\ndemo: {error or 'interrupted'}", file=sys.stderr)
    finally:
        close(lab, proven)
    return 0 if proven else 1


def close(lab: Lab, proven: bool) -> None:
    if not proven:
        print(f"logs: {lab.dir}/*/etcd.log", file=sys.stderr)
    if os.environ.get("KEEP") == "1":
        lab.keep()
        print(f"\nthe lab is still up: {INVENTORY}; stop it with 'make lab-down'")
    else:
        lab.down()
    print("\nThe restored cluster is the one that was backed up." if proven else "\nNOT proven.")


if __name__ == "__main__":
    sys.exit(main())
