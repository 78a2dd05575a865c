# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who started a process, and so would start it again: by the control group that systemd put it into, and by its ancestors."""

from __future__ import annotations

import os
import re
from typing import Iterator, List

from .facts import Owner
from .processes import Host, command_lines, parent_of

# Programs that look after others, inside a unit of their own: systemd does not know what it is that they start.
SUPERVISORS = ("supervisord", "runsv", "s6-supervise", "perpd", "monit", "circusd", "pm2", "god")
# Kubernetes distributions that start etcd themselves, and how each restores it.
DISTRIBUTIONS = {
    "rke2": "rke2 server --cluster-reset --cluster-reset-restore-path=SNAPSHOT",
    "k3s": "k3s server --cluster-reset --cluster-reset-restore-path=SNAPSHOT",
    "k0s": "k0s restore BACKUP",
}
_CONTAINER = re.compile(r"(?:docker|libpod|crio|cri-containerd|nerdctl)-[0-9a-f]+\.scope\Z|[0-9a-f]{64}\Z")
KINDS = {
    "unit": "of the unit {}",
    "user_unit": "of a user's own unit {}",
    "session": "started by hand in {}",
    "scope": "of the scope {}",
    "container": "in the container {}",
    "pod": "in a pod of the kubelet",
    "supervisor": "started by {}",
    "distribution": "a part of {}",
}


def in_words(owner: Owner) -> str:
    return KINDS[owner.kind].format(owner.name) if owner.kind else ""


def owner_of(host: Host, pid: int) -> Owner:
    """Who looks after the process. A container's are looked after by what runs the container, whatever is inside."""
    by_group = owner_by_group(_group_of(host, pid, _group(host, 1)))
    if by_group.kind == "container":
        return by_group
    programs = list(_programs_above(host, pid))
    if by_group.kind == "pod":
        return Owner("distribution", "rke2") if runs_server(host, "rke2") else by_group
    for program in programs:
        if program in DISTRIBUTIONS:
            return Owner("distribution", program)
        if program in SUPERVISORS:
            return Owner("supervisor", program)
    return by_group


def owner_by_group(path: str) -> Owner:
    """What the path of a control group says: the innermost name that says anything, since hosts may be containers too."""
    parts = path.strip("/").split("/")
    if any("kubepods" in part for part in parts):
        return Owner("pod")
    is_users = any(part.startswith("user@") for part in parts[:-1])
    for part in reversed(parts):
        if _CONTAINER.match(part):
            return Owner("container", part)
        if part.endswith(".service"):
            return Owner("user_unit" if is_users else "unit", _unescaped(part))
        if part.startswith("session-") and part.endswith(".scope"):
            return Owner("session", part)
        if part.endswith(".scope") and part != "init.scope":
            return Owner("scope", part)
    return Owner()


def _unescaped(part: str) -> str:
    """systemd puts an underscore before names that the kernel would take for its own."""
    return part[1:] if part.startswith("_") else part


def _group_of(host: Host, pid: int, above: str) -> str:
    """The process's control group below the one that this host itself is in, where the host is a container."""
    path = _group(host, pid)
    top = above[: -len("/init.scope")] if above.endswith("/init.scope") else above
    return path[len(top) :] if top.strip("/") and path.startswith(top + "/") else path


def _group(host: Host, pid: int) -> str:
    """systemd's own hierarchy before the unified one: where both are, only the first is filled."""
    lines: List[List[str]] = [
        line.split(":", 2) for line in (host.read(f"/proc/{pid}/cgroup") or "").splitlines() if line.count(":") >= 2
    ]
    for wanted in (["name=systemd"], [""]):
        for _number, controllers, path in lines:
            if [controllers] == wanted:
                return path
    return ""


def _programs_above(host: Host, pid: int) -> Iterator[str]:
    for _generation in range(16):
        pid = parent_of(host, pid)
        if pid <= 1:
            return
        yield os.path.basename(host.link(f"/proc/{pid}/exe").replace(" (deleted)", ""))
        yield (host.read(f"/proc/{pid}/comm") or "").strip()


def runs_server(host: Host, distribution: str) -> bool:
    """Whether ``rke2 server``, or one of its like, runs: its agents have no etcd."""
    for _pid, given in command_lines(host):
        words = " ".join(given).split()  # it writes its whole title into the first word
        if words[1:2] in (["server"], ["controller"]) and os.path.basename(words[0]) == distribution:
            return True
    return False
