# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all hosts of a run were answered is known on the controller alone, also of those that did not answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.status_text import Seen, problem, status_in_words, unseen

OPTIONS: dict[str, Any] = {
    "clusters": {"type": "dict", "required": True},
    "look": {"type": "str", "required": True},
    "view": {"type": "str", "default": ""},
    "backups": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, given = self.validate_argument_spec(OPTIONS)
        clusters, names = given["clusters"], [given[name] for name in Seen._fields]
        play = (task_vars or {}).get("ansible_play_hosts_all", ())
        seen = {host: _answers((task_vars or {})["hostvars"][host], names) for host in play}
        return {
            "changed": False,
            "text": status_in_words(clusters, seen),
            "problem": problem(clusters, seen),
            "unseen": unseen(list(clusters), seen),
        }


def _answers(registered: Mapping[str, Any], names: list[str]) -> Seen:
    """By the names of the variables; a task that was skipped has answered nothing."""
    found = (registered.get(name) or {} if name else {} for name in names)
    return Seen(*({} if answer.get("skipped") else answer for answer in found))
