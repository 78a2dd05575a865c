# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of off-site stores on their way to a host's module."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker

_SECRET = ("rclone_config", "password")


def without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The module's arguments with the stores' secrets in one of their own, which no host logs.

    Ansible writes each call of a module into the host's journal. It blots out a secret within a list only as far as it finds the
    very text there, which it does not where that has several lines.
    """
    stores = [dict(store) for store in arguments.get("offsite") or [] if isinstance(store, Mapping)]
    secrets = [{key: str(store.pop(key)) for key in _SECRET if store.get(key) is not None} for store in stores]
    if not any(secrets):
        return dict(arguments)
    return {**arguments, "offsite": stores, "offsite_secrets": base64.b64encode(json.dumps(secrets).encode()).decode()}


class OffsiteAction(ActionBase):
    """The action of a module that reaches the stores: their secrets go to the host so that it logs none of them.

    ``what`` is said while it is at work; ``more`` gives arguments that only the controller knows.
    """

    _supports_check_mode = True
    _supports_async = True
    what = ""

    def more(self) -> dict[str, Any]:
        return {}

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = {**without_secrets(self._task.args), **self.more()}
        with Ticker(task_vars or {}, self.what):
            done = self._execute_module(
                module_name=self._task.resolved_action or self._task.action,
                module_args=arguments,
                task_vars=task_vars or {},
            )
        return {**result, **done}
