# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module of the same name cannot do on its host: know that another member failed, and show how far it is."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.errors import has_failed
from ansible_collections.quorum.etcd.plugins.module_utils.journal import PROVEN, SERVING, STARTED
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker, file_on_host
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import bound_silence

# What no member does without the others. A cluster that is proven is finished wherever it can be.
TOGETHER = ("stage", "stop", "cutover", "prove", "agree")
# What the phase ``stop`` goes on to, and the last step that the journal has where it has done so.
AHEAD = {"cutover": (STARTED, SERVING, PROVEN), "prove": (PROVEN,)}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        phase, plan = arguments.get("phase"), arguments.get("plan") or {}
        peers = arguments.pop("peers", None) or {}
        if phase in TOGETHER:
            peers = with_the_gone(peers, (task_vars or {}).get("ansible_play_hosts", peers))
        failed = failed_peers(peers)
        if failed:
            return {**result, "failed": True, "msg": failed, "because_of": "another host"}
        bound_silence(self._connection)
        if phase == "agree":
            return result  # what it is for has just been done
        own = peers.get((task_vars or {}).get("inventory_hostname", "")) or {}
        if is_done_already(phase, own):
            return {**result, "changed": phase == "cutover", "journal": own["journal"]}  # spares the way to the host
        path = os.path.join(plan.get("member", {}).get("state_dir", "/"), "progress")
        with Ticker(task_vars or {}, f"{phase}: at work", file_on_host(self._connection, path)):
            done = self._execute_module(
                module_name="quorum.etcd.restore", module_args=arguments, task_vars=task_vars or {}
            )
        return {**result, **done}


def with_the_gone(peers: Mapping[str, Any], in_play: Collection[str]) -> dict[str, Any]:
    """``peers``, and as unreachable those that a task without a result of its own has lost: they are no longer in the play."""
    return {
        host: result if host in in_play or has_failed(result) else {"unreachable": True}
        for host, result in peers.items()
    }


def failed_peers(results: Mapping[str, Any]) -> str:
    """What the other members' last phase failed with, in words; empty where none failed. A member does not go on alone."""
    return " ".join(f"{host}: {_why(result)}" for host, result in results.items() if has_failed(result))


def _why(result: Mapping[str, Any]) -> str:
    said = str(result.get("msg") or "")
    if not result.get("unreachable"):
        return said
    return f"it could not be reached any more{': ' if said else '.'}{said}"


def is_done_already(phase: str, before: Mapping[str, Any]) -> bool:
    """Whether the phase before, in this very run, went on to do this one too."""
    journal = before.get("journal") or [{}]
    return bool(before.get("changed")) and journal[-1].get("step") in AHEAD.get(phase, ())
