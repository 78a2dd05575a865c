# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that nobody reads: one wrong letter, and a job does not do what was asked for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Words


def unknown_variables(job: Words, task: Any, loader: Any, task_vars: Mapping[str, Any]) -> str:
    """Those of the play's hosts that begin as the job's own and are none of its role's, in words; empty: there are none."""
    role = getattr(task, "_role", None)
    if role is None:
        return ""  # whoever calls the module by itself names its options
    # The task is one of the role ``job``, which lies beside the job's own.
    own = os.path.join(os.path.dirname(role._role_path), job.role)
    specs = loader.load_from_file(os.path.join(own, "meta", "argument_specs.yml"))
    known = [name for name in specs["argument_specs"]["main"]["options"] if name.startswith(job.prefix)]
    hosts = task_vars.get("ansible_play_hosts_all", ())
    given = {name for host in hosts for name in task_vars["hostvars"].raw_get(host) if name.startswith(job.prefix)}
    return in_words(sorted(given - set(known)), known)


def in_words(unknown: list[str], known: list[str]) -> str:
    if not unknown:
        return ""
    name = unknown[0]
    near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
    meant = f"write {near[0]}, if that is what you mean" if near else f"these are known: {', '.join(known)}"
    return f"there is no variable {', '.join(unknown)}, so what you ask for with it would not be done. Next: {meant}."
