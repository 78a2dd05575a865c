# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first task of every job opens the connection that all others share: it says how long a host may be silent."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import bound_silence


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        bound_silence(self._connection)
        # Where a folder has snapshots of some gigabytes, reading them takes its time.
        with Ticker(task_vars or {}, "looking at the host"):
            found = self._execute_module(module_name="quorum.etcd.member_info", task_vars=task_vars or {})
        return {**result, **found}
