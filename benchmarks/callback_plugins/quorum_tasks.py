# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one line of JSON for each task that a host did, to the file named by QUORUM_TASKS.

``{"task", "action", "phase", "host", "begun", "ended"}``; times in seconds since the epoch. What was skipped is no task,
since it costs nothing.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: quorum_tasks
type: notification
short_description: Count and time the tasks of a play
description:
  - Writes one line of JSON for each task that a host did.
requirements:
  - Enable it in ANSIBLE_CALLBACKS_ENABLED, and name a file in QUORUM_TASKS.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "quorum_tasks"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = open(os.environ["QUORUM_TASKS"], "a")  # noqa: SIM115 - closed with the process
        self._begun: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._begun[host.name, task._uuid] = time.time()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended(result)

    def _ended(self, result: Any) -> None:
        task, host = result._task, result._host.name
        line = {
            "task": task.get_name().strip(),
            "action": task.action,
            "phase": str(task.args.get("phase", "")),
            "host": host,
            "begun": self._begun[host, task._uuid],
            "ended": time.time(),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
