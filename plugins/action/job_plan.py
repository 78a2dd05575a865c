# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan is made where the facts of all hosts are, on the controller: a module would have to be sent all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.report.status import unseen
from ansible_collections.quorum.etcd.plugins.plugin_utils.answers import seen_of
from ansible_collections.quorum.etcd.plugins.plugin_utils.jobs import JOBS
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import is_writable
from ansible_collections.quorum.etcd.plugins.plugin_utils.lockstep import out_of_step
from ansible_collections.quorum.etcd.plugins.plugin_utils.runs import this_run
from ansible_collections.quorum.etcd.plugins.plugin_utils.variables import unknown_variables

OPTIONS: dict[str, Any] = {
    "job": {"type": "str", "required": True, "choices": list(JOBS)},
    "clusters": {"type": "dict", "required": True},
    "facts": {"type": "dict", "required": True},
    "look": {"type": "str", "required": True},
    "asked": {"type": "dict", "default": {}},
    "confirm": {"type": "str", "default": ""},
    "confirm_with": {"type": "str", "default": ""},
    "reports": {"type": "path", "default": ""},
}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        self._task.args = _answered(self._task.args)
        _validated, given = self.validate_argument_spec(OPTIONS)
        job = JOBS[given["job"]]
        wrong = out_of_step(self._task) or unknown_variables(job.words, self._task, self._loader, task_vars or {})
        if wrong:
            raise AnsibleActionFail(f"Nothing was touched. The {job.words.noun} is refused: {wrong}")
        silent = unseen(given["clusters"], seen_of(task_vars or {}, look=given["look"]))
        hosts = {
            host: {**(given["facts"].get(host) or {}), "cluster": cluster, "why": silent.get(host, "")}
            for host, cluster in given["clusters"].items()
        }
        asked = Asked(
            _validated_options(job.options, given["asked"]),
            now=rfc3339(time.time()),
            unwritable=[given["reports"]] if given["reports"] and not is_writable(given["reports"]) else [],
            run=this_run(hosts),
        )
        plan = job.plan(hosts, asked)
        return {
            "changed": False,
            "plan": plan,
            "text": job.plan_in_words(plan),
            "refusal": refusals_in_words(plan, job.words),
            "unconfirmed": confirmation(plan, job.words, given["confirm"], given["confirm_with"]),
        }


def _answered(given: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of a survey that was left empty is the default."""
    return {name: value for name, value in given.items() if value not in ("", [""], None)}


def _validated_options(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    checked = ArgumentSpecValidator(dict(spec)).validate(_answered(given))
    if checked.error_messages:
        raise AnsibleActionFail(f"Nothing was touched. {' '.join(checked.error_messages)}")
    return dict(checked.validated_parameters)
