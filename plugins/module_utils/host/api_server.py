# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes' API server in a static pod of this host, as a client of etcd.

Beside a stacked etcd kubeadm gives it ``--etcd-servers=https://127.0.0.1:2379``, its own host's member, which no change of the
others concerns. With an external etcd it names them all, and must be told; the kubelet restarts it at each change of its
manifest, so it is waited for until the new one is ready.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
from typing import Callable, Dict, List, Optional

from ..core.errors import EtcdError
from .processes import Host, command_lines, runs_kubelet
from .settings.names import flags

# Where its endpoints stand: as an item of the container's command, and not in a comment.
PATTERN = r"""^[^#\n]*?(?<![\w-])--etcd-servers=([^\s"'\]]+)"""
_PROGRAM = "kube-apiserver"
READY_SECONDS = 300.0
_POLL = 0.5
# One that lets nobody ask who has no name answers so when it is ready; but so does any in its first seconds, before it has read
# whom it lets. Such an answer counts once it has been given for so many seconds on end.
DENIED, DENIED_SECONDS = "it lets nobody ask for /readyz without a name", 15.0
_ASK_SECONDS = 5.0


def manifests(host: Host, folder: str) -> List[str]:
    """The paths in the kubelet's folder that start an API server which is told its endpoints."""
    paths = [os.path.join(folder, name) for name in sorted(host.list(folder)) if not name.startswith(".")]
    texts = {path: host.read(path) or "" for path in paths}
    return [path for path, text in texts.items() if _PROGRAM in text and re.search(PATTERN, text, re.MULTILINE)]


def readyz(words: Dict[str, str]) -> str:
    """Why an API server with these flags is not ready; empty where it is, and DENIED where it does not say."""
    address = words.get("bind-address", "0.0.0.0")
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    context = ssl.create_default_context()
    context.check_hostname = False  # nothing is told to it, and what it says is only whether it serves
    context.verify_mode = ssl.CERT_NONE
    asked = http.client.HTTPSConnection(
        address, int(words.get("secure-port", "6443")), timeout=_ASK_SECONDS, context=context
    )
    try:
        asked.request("GET", "/readyz")
        status = asked.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"it does not answer: {error}"
    finally:
        asked.close()
    if status in (401, 403):
        return DENIED
    return "" if status == 200 else f"/readyz answers {status}"


class ApiServer:
    """The one that runs on this host; ``ask`` says why one with such flags is not ready."""

    def __init__(
        self,
        root: str = "/",
        sleep: Callable[[float], None] = time.sleep,
        ask: Callable[[Dict[str, str]], str] = readyz,
    ) -> None:
        self.host = Host(root)
        self.sleep = sleep
        self.ask = ask

    def wait(self, manifest: str) -> None:
        """Until the API server that runs has the endpoints of the text ``manifest``, and is ready.

        Without a kubelet nothing starts it, so there is nothing to wait for. EtcdError where it takes too long.
        """
        found = re.search(PATTERN, manifest, re.MULTILINE)
        if found is None or not runs_kubelet(self.host):
            return
        waited = denied = 0.0
        while (why := self._not_ready(found.group(1))) is not None:
            denied = denied + _POLL if why == DENIED else 0.0
            if denied > DENIED_SECONDS:
                return
            if waited >= READY_SECONDS:
                raise EtcdError(
                    f"the API server is not ready {READY_SECONDS:g} s after its manifest has changed: {why}.",
                    "see 'journalctl -u kubelet' and the log of its container; once it is ready, run again.",
                )
            self.sleep(_POLL)
            waited += _POLL

    def _not_ready(self, endpoints: str) -> Optional[str]:
        running = [
            {name: value for name, (value, _flag, _at) in flags(words[1:]).items()}
            for _pid, words in command_lines(self.host)
            if os.path.basename(words[0]) == _PROGRAM
        ]
        new = [words for words in running if words.get("etcd-servers") == endpoints]
        if not new:
            return "the kubelet has not started it with the new endpoints"
        if len(new) < len(running):
            return "the one with the old endpoints has not ended"
        return self.ask(new[0]) or None
