# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run, written where ansible-playbook runs: no host has all of it, and none may be up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils import report_files
from ansible_collections.quorum.etcd.plugins.module_utils.report import Given, build
from ansible_collections.quorum.etcd.plugins.module_utils.report_page import render
from ansible_collections.quorum.etcd.plugins.module_utils.report_text import Invocation, invocation

OPTIONS: dict[str, Any] = {
    "folder": {"type": "path", "default": "~/.local/state/quorum-etcd/reports"},
    "plan": {"type": "dict", "required": True},
    "text": {"type": "list", "elements": "str", "default": []},
    "check": {"type": "bool"},
    "journals": {"type": "dict", "default": {}},
    "summary": {"type": "list", "elements": "str", "default": []},
    "refusal": {"type": "str", "default": ""},
    "unconfirmed": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(OPTIONS)
        folder = options.pop("folder")
        if options["check"] is None:
            options["check"] = self._task.check_mode
        given = Given(invocation=_invocation(), **_plain(options))
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        reports = [build(cluster, given, now) for cluster in given.plan["clusters"]]
        try:
            written = [_write(folder, report) for report in reports]
            report_files.prune(folder)
        except OSError as error:
            # What the run did to the cluster stands, whether it could be written down or not.
            message = f"No report could be written to {folder}: {error.strerror}. Next: set etcd_report_dir to another folder."
            self._display.warning(message)
            return {"changed": False, "reports": [], "text": [message]}
        return {"changed": False, "reports": written, "text": [f"Report: {report['html']}" for report in written]}


def _write(folder: str, report: dict[str, Any]) -> dict[str, Any]:
    texts = {"html": render(report), "json": json.dumps(report, indent=1) + "\n"}
    paths = report_files.write(folder, report_files.stem(report), texts)
    return {"cluster": report["cluster"], "outcome": report["outcome"], **paths}


def _invocation() -> Invocation:
    given = context.CLIARGS
    inventories = [_as_typed(inventory) for inventory in given.get("inventory") or ()]
    words = (text for text in given.get("extra_vars") or () if isinstance(text, str))
    return invocation(list(given.get("args") or ()), inventories, list(words))


def _as_typed(path: str) -> str:
    """Ansible made it absolute; what lies below the current folder is read more easily without it."""
    below = os.path.relpath(path) if os.path.isabs(path) else path
    return path if below.startswith(os.pardir) else below


def _plain(value: Any) -> Any:
    """Python's own types: Ansible's carry tags and templates that are none of a report's business."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
