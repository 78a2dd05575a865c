# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control plane of Kubernetes on a member's host: its controllers are out of the way while a restore is at work.

A kube-controller-manager that lives through a restore remembers what was deleted after the snapshot. Its garbage
collector takes the owners of restored objects for gone and deletes what they own (seen with 1.34: 9 to 13 of 40 objects;
none where it was stopped before and started after). So where it and the scheduler are static pods of these hosts, their
manifests leave the kubelet's folder for that time, as etcd's own does.
"""

from __future__ import annotations

import os
import re
import time
from typing import Callable, List, Optional, Sequence

from ..core.errors import EtcdError
from .facts import KubernetesFacts, Pod
from .processes import Host, command_lines, runs_kubelet
from .service import move_file
from .settings.edits import parked_manifest

CONTROLLERS = ("kube-controller-manager", "kube-scheduler")
GONE_SECONDS = 45.0  # the kubelet gives a pod 30 s to end
_POLL = 0.1
# As an item of a manifest's command, with or without a folder, in a block or a flow sequence.
_COMMAND = re.compile(
    r"""(?:^\s*-\s*|command:\s*\[\s*)["']?(?:/[^\s"',]*/)?(kube-[a-z-]+)["']?\s*[,\]\n#]""", re.MULTILINE
)
_PROVIDERS = re.compile(r"""^\s*-\s*--encryption-provider-config=["']?([^\s"']+)""", re.MULTILINE)


def kubernetes_facts(host: Host, manifest: str, state_dir: str) -> KubernetesFacts:
    """What of Kubernetes' control plane is on this host.

    ``manifest`` is etcd's own, or where it would be: the others lie beside it. A manifest that an earlier run has parked
    counts as in its place.
    """
    folder = os.path.dirname(manifest)
    pods = [pod for path in _manifests(host, folder, state_dir) for pod in _controllers_in(host, path, state_dir)]
    return KubernetesFacts(
        pods=pods,
        kubelet=bool(pods) and runs_kubelet(host),
        running=[name for name in CONTROLLERS if pids_of(host, name)],
        keys=_configured_keys(host, folder),
    )


def pids_of(host: Host, name: str) -> List[int]:
    """The processes that were started as ``name``, or as its part of a program that is several in one."""
    return sorted(
        pid
        for pid, words in command_lines(host)
        if os.path.basename(words[0]) == name or (os.path.basename(words[0]) == "hyperkube" and name in words[1:2])
    )


def _manifests(host: Host, folder: str, state_dir: str) -> List[str]:
    """Every path in the folder that the kubelet reads, or would where its file is parked."""
    names = {*host.list(folder), *host.list(os.path.dirname(parked_manifest("any", state_dir)))}
    return [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]


def _controllers_in(host: Host, path: str, state_dir: str) -> List[Pod]:
    parked = parked_manifest(path, state_dir)
    text = host.read(path if host.exists(path) else parked) or ""
    names = [found.group(1) for found in _COMMAND.finditer(text) if found.group(1) in CONTROLLERS]
    return [Pod(names[0], path, parked)] if names else []


def _configured_keys(host: Host, folder: str) -> Optional[List[str]]:
    """Names only: what the keys are is never looked at."""
    for path in _manifests(host, folder, "/nonexistent"):
        text = host.read(path) or ""
        config = _PROVIDERS.search(text) if "kube-apiserver" in text else None
        content = host.read(config.group(1)) if config else None
        if content is not None:
            return sorted(set(re.findall(r"""^[\s-]*name:\s*["']?([^\s"'#]+)""", content, re.MULTILINE)))
    return None


class Controllers:
    """The controllers of this host that a restore takes out of the way; ``pods`` are those of ``kubernetes_facts``."""

    def __init__(self, pods: Sequence[Pod], root: str = "/", sleep: Callable[[float], None] = time.sleep) -> None:
        self.pods = pods
        self.host = Host(root)
        self.sleep = sleep

    def pause(self) -> bool:
        """Manifests out of the kubelet's folder, and wait for their processes to end. Idempotent; True where one was moved."""
        moved = [self._move(pod.manifest, pod.parked) for pod in self.pods]
        if any(moved):
            for pod in self.pods:
                self._wait_until_gone(pod)
        return any(moved)

    def resume(self) -> bool:
        """Manifests back in their folder. Idempotent; True where one was moved. A manifest that is there is left alone."""
        moved = [self._move(pod.parked, pod.manifest) for pod in self.pods if not self.host.exists(pod.manifest)]
        return any(moved)

    def _move(self, source: str, target: str) -> bool:
        if not self.host.exists(source):
            return False
        os.makedirs(os.path.dirname(self.host.path(target)), mode=0o700, exist_ok=True)
        move_file(self.host.path(source), self.host.path(target))
        return True

    def _wait_until_gone(self, pod: Pod) -> None:
        waited = 0.0
        while pids_of(self.host, pod.name):
            if waited >= GONE_SECONDS:
                pids = ", ".join(map(str, pids_of(self.host, pod.name)))
                raise EtcdError(
                    f"{pod.name} (pid {pids}) still runs {GONE_SECONDS:g} s after its manifest left the kubelet's"
                    f" folder, and would delete restored objects.",
                    "see with 'journalctl -u kubelet' why it does not end; stop it by hand, and run again.",
                )
            self.sleep(_POLL)
            waited += _POLL
