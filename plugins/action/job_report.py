# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run, written where ansible-playbook runs: no host has all of it, and none may be up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.invocation import Invocation, invocation
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Words
from ansible_collections.quorum.etcd.plugins.module_utils.core.reporting import OUTCOMES, ReportOf
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.report import files as report_files
from ansible_collections.quorum.etcd.plugins.module_utils.report.data import (
    Given,
    build,
    failed_answers,
    gather,
    unplanned,
)
from ansible_collections.quorum.etcd.plugins.module_utils.report.page import render
from ansible_collections.quorum.etcd.plugins.module_utils.report.text import closing_lines
from ansible_collections.quorum.etcd.plugins.plugin_utils.answers import answers_of
from ansible_collections.quorum.etcd.plugins.plugin_utils.jobs import JOBS

OPTIONS: dict[str, Any] = {
    "job": {"type": "str", "required": True, "choices": list(JOBS)},
    "folder": {"type": "path", "default": "~/.local/state/quorum-etcd/reports"},
    "clusters": {"type": "dict", "required": True},
    "plan": {"type": "dict", "default": {}},
    "check": {"type": "bool"},
    "looks": {"type": "list", "elements": "str", "default": []},
    "phases": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(OPTIONS)
        folder, job = options["folder"], JOBS[options["job"]].report
        now = rfc3339(time.time())
        # What the run did to the cluster stands, whether it can be written down or not: nothing here may fail the run.
        try:
            given = _given(options, task_vars or {}, self._task.check_mode, job.words)
            reports = [build(cluster, given, now, job) for cluster in given.plan["clusters"]]
        except Exception as error:
            message = (
                f"No report could be made: {type(error).__name__}: {error}. What the run did stands all the same."
                " Next: keep this run's output instead."
            )
            self._display.warning(message)
            return {"changed": False, "reports": [], "text": [message], "stats": []}
        written, lines = self._written(folder, reports, job)
        ends = [line for report in reports for line in closing_lines(report)]
        return {"changed": False, "reports": written, "text": ends + lines, "stats": [_stats(one) for one in reports]}

    def _written(
        self, folder: str, reports: list[dict[str, Any]], job: ReportOf
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Where each report lies, and the same in words."""
        try:
            written = [_write(folder, report, job) for report in reports]
            report_files.prune(folder, [*OUTCOMES, *(one.report.done[0] for one in JOBS.values())])
        except OSError as error:
            message = f"No report could be written to {folder}: {error.strerror}. Next: set etcd_report_dir to another folder."
            self._display.warning(message)
            return [], [message]
        return written, [f"Report: {report['html']}" for report in written]


def _stats(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a job keeps of itself, with the whole report: the folder of an execution environment goes with it."""
    return {
        **{key: report[key] for key in ("cluster", "outcome", "headline", "loss") if key in report},
        **({"snapshot": report["snapshot"]["path"]} if "snapshot" in report else {}),
        "report": report,
    }


def _given(options: Mapping[str, Any], task_vars: Mapping[str, Any], check_mode: bool, words: Words) -> Given:
    planned = _plain(options["plan"])
    unseen = failed_answers(_answers(task_vars, options["looks"]))
    if "plan" not in planned and planned.get("failed"):
        unseen.append({"host": "", "text": planned.get("msg", "no plan could be made.")})
    return Given(
        plan=planned.get("plan") or unplanned(_plain(options["clusters"])),
        **{name: planned[name] for name in ("text", "refusal", "unconfirmed") if name in planned},
        check=check_mode if options["check"] is None else options["check"],
        unseen=unseen,
        **gather(_answers(task_vars, options["phases"])),
        invocation=_invocation(words),
    )


def _answers(task_vars: Mapping[str, Any], names: list[str]) -> dict[str, list[Any]]:
    """What each host of the play was registered with under these names, in their order."""
    found = answers_of(task_vars, names)
    return {host: [_plain(answer) for answer in answers if answer] for host, answers in found.items()}


def _write(folder: str, report: dict[str, Any], job: ReportOf) -> dict[str, Any]:
    texts = {"html": render(report, job), "json": json.dumps(report, indent=1) + "\n"}
    paths = report_files.write(folder, report_files.stem(report), texts)
    return {"cluster": report["cluster"], "outcome": report["outcome"], **paths}


def _invocation(words: Words) -> Invocation:
    given = context.CLIARGS
    inventories = [_as_typed(inventory) for inventory in given.get("inventory") or ()]
    variables = (text for text in given.get("extra_vars") or () if isinstance(text, str))
    return invocation(words, list(given.get("args") or ()), inventories, list(variables))


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
