#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_config
short_description: Set settings of an etcd member where they live
version_added: 0.1.0
description:
  - Finds the file in which each setting of the member is written, and changes the value there and nothing else in the file.
    The file can be an environment file, etcd's own YAML, a systemd unit or drop-in, or the manifest of a static pod.
  - A setting that is nowhere yet is added to the file that holds the others.
  - A unit that belongs to a package is never edited. The drop-in C(zz-quorum-etcd.conf) in C(/etc/systemd/system) carries
    the change instead.
  - etcd reads its settings when it starts. This module does not restart it, see RV(restart_required).
notes:
  - The kubelet restarts a static pod by itself as soon as its manifest changes.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
  - quorum.etcd.member
options:
  settings:
    description:
      - Settings and their values, named by etcd's flags without the dashes in front, such as V(initial-cluster-state).
      - V(initial-cluster-state) is V(new) or V(existing).
    type: dict
    required: true
  backup:
    description: Keep a copy of each file that changes, in the folder C(config) of O(state_dir).
    type: bool
    default: true
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows the changed lines of each file, and no other line of it.
    support: full
seealso:
  - module: quorum.etcd.member_info
"""

EXAMPLES = r"""
- name: A disk that is wiped must not boot a second cluster
  quorum.etcd.member_config:
    settings:
      initial-cluster-state: existing

- name: Give the database more room
  quorum.etcd.member_config:
    settings:
      quota-backend-bytes: 8589934592
      snapshot-count: 10000
  register: etcd_config
"""

RETURN = r"""
files:
  description: Each file that was changed, or would be in check mode.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: The file.
      type: str
      sample: /etc/default/etcd
    format:
      description: How it is written, V(env), V(yaml), V(unit) or V(static_pod).
      type: str
      sample: env
    before:
      description: The settings as they were; empty where one was not set.
      type: dict
      sample:
        initial-cluster-state: new
    after:
      description: The settings as they are now.
      type: dict
      sample:
        initial-cluster-state: existing
    backup:
      description: The copy of the file as it was; empty where none was made.
      type: str
      sample: /var/lib/quorum-etcd/config/etcd.20261124T031500Z
restart_required:
  description: Whether the running member has yet to be restarted for the change to count.
  type: bool
  returned: success
  sample: true
"""

import os
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils import glue
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.host.discovery import discover
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings


def work(module: AnsibleModule) -> Dict[str, Any]:
    run = glue.runner(module)
    member = discover(module.params, run)
    edits = [
        edit for edit in settings.plan_edits(member, settings.checked(module.params["settings"])) if edit.is_needed()
    ]
    files = [edit.report() for edit in edits]
    diff = [edit.diff() for edit in edits] if module._diff else []
    if edits and not module.check_mode:
        folder = os.path.join(member.state_dir, "config") if module.params["backup"] else ""
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        backups = settings.apply_edits(edits, folder, stamp, run)
        files = [replace(report, backup=backup) for report, backup in zip(files, backups)]
    restarts_itself = member.service.manager == "static_pod"
    return {
        "changed": bool(edits),
        "files": to_plain(files),
        "restart_required": bool(edits) and member.running and not restarts_itself,
        "diff": diff,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **glue.CONNECTION_OPTIONS,
            **glue.MEMBER_OPTIONS,
            "settings": {"type": "dict", "required": True},
            "backup": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    glue.answer(module, work)


if __name__ == "__main__":
    main()
