# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host's etcd is a static pod, and which file of the kubelet's folder it is: any name will do for a kubelet."""

from __future__ import annotations

import os
from typing import List, Sequence

from ..core.errors import EtcdError
from ..core.journals import open_plans
from ..etcd.commands import Run
from .owners import owner_of
from .processes import Host, Process
from .settings.edits import parked_manifest
from .settings.pod import read
from .settings.sources import look_at_unit


def etcd_manifest(host: Host, wanted: str, state_dir: str) -> str:
    """The path of etcd's manifest: ``wanted``, or where nothing is there, the only other of its folder that starts etcd.

    One that a restore has parked counts as in its folder. EtcdError where there are several and none is the wanted one.
    """
    if host.exists(wanted) or host.exists(parked_manifest(wanted, state_dir)):
        return wanted
    found = _starting_etcd(host, os.path.dirname(wanted), state_dir)
    if len(found) > 1:
        raise EtcdError(
            f"{' and '.join(found)} each start an etcd, and there is no {wanted}.",
            "set etcd_manifest to that of the wanted member.",
        )
    return found[0] if found else wanted


def _starting_etcd(host: Host, folder: str, state_dir: str) -> List[str]:
    """The kubelet reads every file of its folder whose name does not start with a dot."""
    names = {*host.list(folder), *host.list(os.path.dirname(parked_manifest("any", state_dir)))}
    paths = [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
    return [
        path
        for path in paths
        if _starts_etcd(host.read(path if host.exists(path) else parked_manifest(path, state_dir)) or "")
    ]


def _starts_etcd(text: str) -> bool:
    try:
        return "etcd" in text and bool(read(text))
    except EtcdError:  # another pod's, or no pod's at all
        return False


def is_static_pod(host: Host, run: Run, manifest: str, state_dir: str, running: Sequence[Process]) -> bool:
    """Whether the manifest's etcd is the member, or is only a file that was left where another etcd runs as a unit."""
    if host.exists(parked_manifest(manifest, state_dir)):
        return True  # a restore has stopped it
    if not host.exists(manifest):
        return False
    if any(_manager(plan) == "static_pod" for plan in open_plans(host.path(state_dir))):
        return True
    owners = {process.pid: owner_of(host, process.pid) for process in running}
    if any(owner.kind == "pod" for owner in owners.values()):
        return True
    # A container runtime without groups of its own for pods is a unit too, and its main process is none of etcd's.
    return not any(
        owner.kind == "unit" and look_at_unit(host, run, owner.name).pid == pid for pid, owner in owners.items()
    )


def _manager(plan: object) -> str:
    member = plan.get("member") if isinstance(plan, dict) else None
    return str(((member or {}).get("service") or {}).get("manager", ""))
