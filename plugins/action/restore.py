# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module of the same name cannot do on its host: know that another member failed, and show how far it is."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import has_failed
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import PROVEN, SERVING, STARTED
from ansible_collections.quorum.etcd.plugins.module_utils.restore.verdict import INCOMPLETE, stays_in_words, together
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker, file_on_host
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import bound_silence

# What no member does without the others. A cluster that is proven is finished wherever it can be.
TOGETHER = ("stage", "stop", "cutover", "prove", "agree")
# What the phase ``stop`` goes on to, and the last step that the journal has where it has done so.
AHEAD = {"cutover": (STARTED, SERVING, PROVEN), "prove": (PROVEN,)}
# What tells a verdict in a result.
JUDGED = ("verdict", "thorough", "missing", "proven")


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        phase, plan = arguments.get("phase"), arguments.get("plan") or {}
        peers = arguments.pop("peers", None) or {}
        own = peers.get((task_vars or {}).get("inventory_hostname", "")) or {}
        in_play = (task_vars or {}).get("ansible_play_hosts", peers)
        if phase in TOGETHER:
            peers = with_the_gone(peers, in_play)
        failed = failed_peers(peers) if phase in TOGETHER else ""
        if failed:
            return {**result, "failed": True, "msg": failed, "because_of": "another host"}
        bound_silence(self._connection)
        if phase == "agree":
            return result  # what it is for has just been done
        if is_done_already(phase, own):  # spares the way to the host
            return {**result, "changed": phase == "cutover", "journal": own["journal"], **_verdict_of(phase, plan)}
        if phase == "judge" and is_judged(own, peers):
            return {**result, **{key: own[key] for key in JUDGED}}
        stays = what_stays(plan, peers, in_play) if phase == "rollback" and peers else ""
        if stays and not own.get("proven"):
            return {**result, "said": stays}  # its journal stays open, for the run that completes the restore
        if stays:
            arguments["phase"] = "finish"
        path = os.path.join(plan.get("member", {}).get("state_dir", "/"), "progress")
        with Ticker(task_vars or {}, f"{phase}: at work", file_on_host(self._connection, path)):
            done = self._execute_module(
                module_name="quorum.etcd.restore", module_args=arguments, task_vars=task_vars or {}
            )
        return {**result, **done, **({"said": stays} if stays else {})}


def _verdict_of(phase: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The proof that an earlier phase went on to, as the phase of its own would tell it."""
    told = {"verdict": PROVEN, "thorough": plan.get("reports"), "missing": [], "proven": True}
    return told if phase == "prove" else {}


def is_judged(own: Mapping[str, Any], peers: Mapping[str, Any]) -> bool:
    """Whether this host has said what serves, and one that compared the data of all was among those who have."""
    return all(key in own for key in JUDGED) and any(result.get("thorough") for result in peers.values())


def what_stays(plan: Mapping[str, Any], verdicts: Mapping[str, Any], in_play: Collection[str]) -> str:
    """In words that the restored cluster stays, and without whom; empty where the old data is to come back."""
    if together(verdicts, bool(plan.get("settled"))) != INCOMPLETE:
        return ""
    proven = {host for host, result in verdicts.items() if result.get("proven") and host in in_play}
    return stays_in_words(plan["of"], sorted(set(verdicts) - proven))


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
