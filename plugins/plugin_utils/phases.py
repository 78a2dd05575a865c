# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module that does a phase of a job cannot do on its host: know that another member failed, and show how far it is."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import has_failed
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker, file_on_host
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import bound_silence

Results = Mapping[str, Mapping[str, Any]]


class Turn(NamedTuple):
    """A phase that a host is about to do. ``peers``: the last results of its cluster's hosts, and ``own`` its own among them;
    ``in_play`` are the hosts that are still there.
    """

    phase: str
    plan: Mapping[str, Any]
    own: Mapping[str, Any]
    peers: Results
    in_play: Collection[str]


class PhaseAction(ActionBase):
    """The action of a module that does one phase of a job; a job may set ``alone`` and override what follows ``run``."""

    _supports_check_mode = True
    _supports_async = True
    # The phases that a member does whatever became of the others.
    alone: Collection[str] = ()

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        peers = arguments.pop("peers", None) or {}
        turn = Turn(
            arguments.get("phase", ""),
            arguments.get("plan") or {},
            peers.get(task_vars.get("inventory_hostname", "")) or {},
            peers,
            task_vars.get("ansible_play_hosts") or list(peers),
        )
        failed = "" if turn.phase in self.alone else failed_peers(with_the_gone(peers, turn.in_play))
        if failed:
            return {**result, "failed": True, "msg": failed, "because_of": "another host"}
        bound_silence(self._connection)
        told = self.told(turn)
        if told is not None:
            return {**result, **told}
        arguments["phase"], besides = self.instead(turn)
        path = os.path.join(turn.plan.get("member", {}).get("state_dir", "/"), "progress")
        with Ticker(task_vars, f"{turn.phase}: at work", file_on_host(self._connection, path)):
            done = self._execute_module(
                module_name=self._task.resolved_action or self._task.action, module_args=arguments, task_vars=task_vars
            )
        return {**result, **done, **besides}

    def told(self, turn: Turn) -> dict[str, Any] | None:
        """The answer where it is known without asking the host."""
        return None

    def instead(self, turn: Turn) -> tuple[str, dict[str, Any]]:
        """The phase that the host is to do in the place of this one, and what is told besides what it answers."""
        return turn.phase, {}


def with_the_gone(peers: Results, in_play: Collection[str]) -> dict[str, Any]:
    """``peers``, and as unreachable those that a task without a result of its own has lost: they are no longer in the play."""
    return {
        host: result if host in in_play or has_failed(result) else {"unreachable": True}
        for host, result in peers.items()
    }


def failed_peers(results: Results) -> str:
    """What the other members' last phase failed with, in words; empty where none failed. A member does not go on alone."""
    return " ".join(f"{host}: {_why(result)}" for host, result in results.items() if has_failed(result))


def _why(result: Mapping[str, Any]) -> str:
    said = str(result.get("msg") or "")
    if not result.get("unreachable"):
        return said
    return f"it could not be reached any more{': ' if said else '.'}{said}"
