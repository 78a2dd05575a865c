# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan is made where the facts of all hosts are, on the controller: a module would have to be sent all of them."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation, refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.report.status import unseen
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS, Options
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import look
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import recorded_revisions
from ansible_collections.quorum.etcd.plugins.plugin_utils.answers import answers_of
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import free_bytes, is_writable, run
from ansible_collections.quorum.etcd.plugins.plugin_utils.lockstep import out_of_step
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.variables import unknown_variables

OPTIONS: dict[str, Any] = {
    "clusters": {"type": "dict", "required": True},
    "facts": {"type": "dict", "required": True},
    "look": {"type": "str", "required": True},
    "snapshot": {"type": "str", "default": "latest"},
    "source": {"type": "path", "default": ""},
    "backups": {"type": "path", "default": ""},
    "spool": {"type": "path", "default": "~/.cache/quorum-etcd"},
    "token": {"type": "str", "default": "", "no_log": False},
    "now": {"type": "str", "default": ""},
    "bump_revision": {"type": "bool", "default": True},
    "skip_hash_check": {"type": "bool", "default": False},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "auth_user": {"type": "str", "default": ""},
    "again": {"type": "bool", "default": False},
    "rollback": {"type": "bool", "default": False},
    "confirm": {"type": "str", "default": ""},
    "confirm_with": {"type": "str", "default": ""},
    "reports": {"type": "path", "default": ""},
}
NOT_IN_OPTIONS = ("clusters", "facts", "look", "source", "backups", "now", "confirm", "confirm_with", "reports")


def _look(source: str, spool: str) -> list[dict[str, Any]]:
    """The snapshots on the controller; to verify one is to read it."""
    with Ticker({"inventory_hostname": "controller"}, "reading snapshots"):
        return look(source, run, spool) if source else []


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        wrong = out_of_step(self._task) or unknown_variables(self._task, self._loader, task_vars or {})
        if wrong:
            raise AnsibleActionFail(f"Nothing was touched. The restore is refused: {wrong}")
        # An answer of a survey that was left empty is the default.
        self._task.args = {name: value for name, value in self._task.args.items() if value not in ("", [""], None)}
        _validated, given = self.validate_argument_spec(OPTIONS)
        source, spool = given["source"], given["spool"]
        options = Options(
            now=given["now"] or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            nonce=secrets.token_hex(4),
            controller_snapshots=_look(source, spool),
            spool_free=free_bytes(spool) if is_writable(spool) else 0,
            unwritable=[given["reports"]] if given["reports"] and not is_writable(given["reports"]) else [],
            controller_revisions=recorded_revisions(given["backups"]) if given["backups"] else {},
            **{name: value for name, value in given.items() if name not in NOT_IN_OPTIONS},
        )
        silent = unseen(given["clusters"], answers_of(task_vars or {}, look=given["look"]))
        hosts = {
            host: {**(given["facts"].get(host) or {}), "cluster": cluster, "why": silent.get(host, "")}
            for host, cluster in given["clusters"].items()
        }
        plan = make_plan(hosts, options)
        return {
            "changed": False,
            "plan": plan,
            "text": plan_in_words(plan),
            "refusal": refusals_in_words(plan, WORDS),
            "unconfirmed": confirmation(plan, WORDS, given["confirm"], given["confirm_with"]),
        }
