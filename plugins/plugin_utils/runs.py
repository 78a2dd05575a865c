# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which run this is, and whether another one of this controller still lives."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.core.claim import ThisRun
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339


def this_run(hosts: Mapping[str, Any]) -> ThisRun:
    """This run, and whether those still live that the hosts name."""
    return ThisRun(own_name(), lives(hosts))


def own_name() -> dict[str, str]:
    """This run as a claim names it. Plugins run in children of ansible-playbook, whose life is the run's."""
    user = "somebody"
    with contextlib.suppress(Exception):  # a user without a name, as in a container
        user = getpass.getuser()
    pid = os.getppid()
    return {
        "run": secrets.token_hex(8),
        "who": f"{user}@{socket.gethostname() or 'unknown'}",
        "since": rfc3339(time.time()),
        "controller": controller(),
        "process": f"{pid} {_began(pid) or '-'}",
    }


def controller() -> str:
    """This machine, since it booted, and within it the space in which its process numbers count: a container has its own."""
    parts = [socket.gethostname() or "unknown"]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def lives(hosts: Mapping[str, Any]) -> dict[str, bool]:
    """Of the runs that hosts name, those of this controller: whether they live."""
    here = controller()
    claims = [_claim(facts) for facts in hosts.values()]
    return {claim["run"]: is_alive(claim["process"]) for claim in claims if claim.get("controller") == here}


def _claim(facts: Any) -> dict[str, Any]:
    """What a host says has not been checked yet."""
    for name in ("member", "newest_job", "claim"):
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    whole = isinstance(facts, Mapping) and all(
        isinstance(facts.get(name), str) for name in ("run", "controller", "process")
    )
    return dict(facts) if whole else {}


def is_alive(process: str) -> bool:
    """Whether the very process lives: its number may be another's by now. Without /proc the number must do."""
    number, _space, began = process.partition(" ")
    if not (number.isdecimal() and 0 < int(number) < 1 << 31):
        return False
    if began != "-":
        return _began(int(number)) == began
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _began(pid: int) -> str:
    """When it began, in the kernel's ticks; empty where it has ended."""
    try:
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except (OSError, ValueError):
        return ""
    return fields[18] if state not in ("Z", "X") else ""
