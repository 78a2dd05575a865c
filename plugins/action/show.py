# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines on the terminal as they are: what ``debug`` prints is quoted and folded, and a plan must be read at night."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import printable


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, given = self.validate_argument_spec(
            {"lines": {"type": "list", "elements": "str", "required": True}}
        )
        Display().display("\n".join(printable(line) for line in given["lines"]) + "\n")
        return {"changed": False}
