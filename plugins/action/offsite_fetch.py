# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stores' secrets go to the host so that it logs none of them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.plugin_utils.offsite import without_secrets
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        with Ticker(task_vars or {}, "fetching the snapshot"):
            done = self._execute_module(
                module_name="quorum.etcd.offsite_fetch",
                module_args=without_secrets(self._task.args),
                task_vars=task_vars or {},
            )
        return {**result, **done}
