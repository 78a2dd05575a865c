# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all hosts of a run were answered is known on the controller alone, also of those that did not answer."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.report.status import (
    Seen,
    hazards,
    newest_backups,
    nothing_runs,
    problem,
    status_in_words,
    unseen,
)
from ansible_collections.quorum.etcd.plugins.plugin_utils.answers import answers_of, seen_of

OPTIONS: dict[str, Any] = {
    "clusters": {"type": "dict", "required": True},
    "look": {"type": "str", "required": True},
    "view": {"type": "str", "default": ""},
    "backups": {"type": "str", "default": ""},
    "mirrors": {"type": "str", "default": ""},
    "engines": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, given = self.validate_argument_spec(OPTIONS)
        clusters = given["clusters"]
        seen = seen_of(task_vars or {}, **{name: given[name] for name in Seen._fields})
        others = sorted(set(given["engines"]) - set(seen))
        engines = {host: found for host, (found,) in answers_of(task_vars or {}, [given["mirrors"]], others).items()}
        return {
            "changed": False,
            "text": status_in_words(clusters, seen, engines),
            "problem": problem(clusters, seen, engines),
            "newest_on": newest_backups(clusters, seen),
            "hazards": hazards(clusters, seen),
            "unseen": unseen(list(clusters), seen),
            "nothing_runs": nothing_runs(clusters, seen),
        }
