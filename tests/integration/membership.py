# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a lab's membership, made by hand as an operator would, with etcdctl."""

from __future__ import annotations

import json
import subprocess
import time

from client import MemberEntry
from lab import Lab, Member

PATIENCE = 30  # seconds: etcd refuses a change until its members have been connected for five


def change(lab: Lab, through: Member, *words: str) -> dict:
    """``etcdctl member WORDS``, asked of one member, as soon as etcd lets it; what it answers."""
    argv = [str(lab.bin_dir / "etcdctl"), f"--endpoints={through.client_url}", "-w", "json", "member", *words]
    until = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"ETCDCTL_API": "3"})
        if not done.returncode:
            return json.loads(done.stdout)
        assert "unhealthy cluster" in done.stderr and time.monotonic() < until, done.stderr
        time.sleep(0.2)


def entry(through: Member, name: str) -> MemberEntry:
    """A member as the list has it."""
    (found,) = [one for one in through.client.member_list() if one.name == name]
    return found


def remove(lab: Lab, through: Member, name: str) -> None:
    change(lab, through, "remove", f"{entry(through, name).id:x}")


def add(lab: Lab, through: Member, member: Member, *words: str) -> None:
    change(lab, through, "add", member.name, f"--peer-urls={member.peer_url}", *words)
