# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that is lost while it hands over may well go on with it: those who write wait, stopped, for what came of it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import bound_silence

PATIENCE = 1800.0  # seconds in which the host may be away, or its cutover at work
REFUSALS = 120.0  # seconds in which a host that answers, and where none is at work, may go on to refuse
PAUSE = 5.0
LOST = "The host of the mirror's engine was lost"


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        bound_silence(self._connection)
        if self._task.check_mode or not self._task.args.get("confirm"):
            return {**result, **self._ask("looking at both clusters")}
        try:
            answer = self._ask("letting the mirror catch up, and comparing both clusters")
        except AnsibleError as error:
            answer = {"msg": str(error)}
        return {**result, **(answer if _is_known(answer) else self._found_out(_why(answer)))}

    def _ask(self, doing: str, **other: str) -> dict[str, Any]:
        with Ticker(self._vars, doing):
            return dict(
                self._execute_module(
                    module_name="quorum.etcd.mirror_cutover",
                    module_args={**self._task.args, **other},
                    task_vars=self._vars,
                )
            )

    def _found_out(self, why: str) -> dict[str, Any]:
        """What became of a handover whose answer was lost."""
        Display().display(
            f"{LOST} while it handed over: {why}\nWaiting for up to {PATIENCE / 60:.0f} minutes until it answers, and no cutover"
            " runs there any more.\n"
        )
        seen = self._seen()
        if seen.get("result") == "already":
            return self._ended(seen)
        if "result" in seen:
            return {
                "failed": True,
                "msg": f"{LOST} while it was to hand over ({why}), and nothing was handed over. Next: run this again.",
            }
        return unknown(f"{LOST} while it handed over, and nobody can say what came of it: {_why(seen)}")

    def _seen(self) -> dict[str, Any]:
        """How both clusters are, once the host answers and no cutover is at work there; no result where that stays unknown."""
        until = time.monotonic() + PATIENCE
        refused: float | None = None
        while True:
            time.sleep(PAUSE)
            try:
                self._connect_anew()
                seen = self._ask("waiting for what became of the handover", confirm="")
            except AnsibleError as error:
                seen = {"msg": str(error), "running": True}
            now = time.monotonic()
            refused = None if seen.get("running") else refused or now
            if "result" in seen or now > until or (refused is not None and now > refused + REFUSALS):
                return seen

    def _ended(self, seen: dict[str, Any]) -> dict[str, Any]:
        """It was handed over: let the host do what one that was killed right then has left to do."""
        with suppress(AnsibleError):
            answer = self._ask("ending the handover")
            if "result" in answer:
                return {**answer, "changed": True}
        return {
            **seen,
            "changed": True,
            "problem": f"{LOST} once it had handed over: run this again, which does what is left.",
        }

    def _connect_anew(self) -> None:
        if self._connection.transport == "ssh":
            self._connection.reset()
        # A host that was booted may have lost it.
        self._connection._shell.tmpdir = None


def unknown(problem: str) -> dict[str, Any]:
    return {"result": "unknown", "problem": problem, "late": -1, "changed": True, "text": [problem]}


def _is_known(answer: dict[str, Any]) -> bool:
    """An answer of the module's own, which was not given since it is at work already: by a connection that tries again."""
    return "result" in answer or ("next_step" in answer and not answer.get("running"))


def _why(answer: dict[str, Any]) -> str:
    return str(answer.get("msg") or "it gave no answer").strip()
