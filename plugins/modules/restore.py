#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: One phase of an etcd restore on one host
version_added: 0.1.0
description:
  - Does one phase of the plan that M(quorum.etcd.restore_plan) made for this host, and records each step in a journal.
  - Every phase can be run again - it does only what is not done yet. Nothing of the old cluster is deleted.
  - The order across hosts is the role's - no host may begin a phase before all hosts have ended the one before.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
attributes:
  check_mode:
    description: Nothing is done, and the phase is reported as a change.
    support: full
  diff_mode:
    description: The configuration before and after is in the plan, which shows it.
    support: none
options:
  phase:
    description:
      - V(stage) verifies the snapshot's bytes and restores them beside the live data, while the old cluster still serves.
      - V(stop) stops the member; the leader waits until the others are gone. A host that sees that all others have stopped
        goes on with V(cutover) at once, which spares the cluster seconds without a leader, and with V(prove) where its
        member says that it serves.
      - V(cutover) writes the configuration, moves the old data aside and the new in place, and starts without waiting.
      - V(prove) waits until the restored cluster has shown that it is the planned one.
      - V(agree) fails where the proof failed on another member; it does nothing else.
      - V(judge) looks what serves after a phase has failed on some host. It starts nothing.
      - V(finish) sets C(initial-cluster-state) to C(existing) and closes the journal. A static pod has it from V(cutover) on,
        since the kubelet restarts it at each change of its manifest.
      - V(rollback) puts the old data and configuration back. With O(peers), where their verdicts say that a quorum of the
        restored cluster serves as planned, it stays, and a member that is proven does V(finish) instead.
    type: str
    choices: [stage, stop, cutover, prove, agree, judge, finish, rollback]
    required: true
  plan:
    description: This host's part of the plan.
    type: dict
    required: true
  timeout:
    description: Seconds that V(prove) and V(judge) wait.
    type: int
    default: 120
  peers:
    description:
      - What the cluster's hosts answered to their last phase, by host. Where one failed, this host does not go on alone.
      - Read on the controller.
    type: dict
    default: {}
  reason:
    description: Why V(rollback) is done, for the journal.
    type: str
    default: ""
notes:
  - For what takes longer than three seconds it prints every few seconds how far it is, whatever the connection is. With more
    than five hosts at once they take turns, a line a second. The host's line is C(progress) in its state folder.
"""

EXAMPLES = r"""
- name: Stage the restored data beside the old
  quorum.etcd.restore:
    phase: stage
    plan: "{{ plan.plan.hosts[inventory_hostname] }}"
"""

RETURN = r"""
journal:
  description:
    - The steps that were recorded on this host so far, with their times in UTC.
    - The step V(proven) has the proof, check by check, in C(checks).
  returned: always
  type: list
  elements: dict
  sample: [{time: "2026-11-24T03:15:00.123456Z", step: staged}]
verdict:
  description:
    - V(proven); V(incomplete) where a quorum serves as planned and a member is late or cannot be asked; V(wrong) where the
      cluster is not the planned one, and this member was stopped; V(nothing serves) where there was no leader in time.
  returned: with phases V(prove) and V(judge), where the restored data was started
  type: str
  sample: proven
thorough:
  description: Whether this host has compared the data of all members that serve.
  returned: with RV(verdict)
  type: bool
  sample: true
proven:
  description: Whether this host's own member is a proven part of the cluster.
  returned: with RV(verdict)
  type: bool
  sample: true
missing:
  description: The names of the members that are not healthy.
  returned: with RV(verdict)
  type: list
  elements: str
  sample: []
said:
  description: What the rollback has left behind, and what must be known after it.
  returned: with phase V(rollback)
  type: str
  sample: The old data and configuration are back on this host.
summary:
  description: The closing table, a line each.
  returned: with phase V(finish)
  type: list
  elements: str
  sample: ["Cluster etcd is restored from /var/backups/etcd/etcd.db"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import STOPPING, exclusive
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.glue import CONNECTION_OPTIONS, answer, runner
from ansible_collections.quorum.etcd.plugins.module_utils.restore.phases import Restore
from ansible_collections.quorum.etcd.plugins.module_utils.restore.proof import closing_table
from ansible_collections.quorum.etcd.plugins.module_utils.restore.verdict import aftermath

PHASES = ("stage", "stop", "cutover", "prove", "agree", "judge", "finish", "rollback")


def work(module: AnsibleModule) -> dict[str, Any]:
    plan, phase = module.params["plan"], module.params["phase"]
    restore = Restore(plan, runner(module), _connection(module.params, plan))
    try:
        if module.check_mode:
            return _do(module, restore, phase)
        with exclusive(plan["member"]["state_dir"]), restore.progress.shown():
            return _do(module, restore, phase)
    except OSError as error:
        raise EtcdError(
            f"{error.filename or plan['member']['state_dir']}: {error.strerror or error}.",
            "see that it is there, can be written and has room, and run again.",
            journal=restore.journal.entries(),
        ) from error
    except EtcdError as error:
        error.context["journal"] = restore.journal.entries()
        raise


def _do(module: AnsibleModule, restore: Restore, phase: str) -> dict[str, Any]:
    if module.check_mode or phase == "agree":
        return {"changed": phase not in ("prove", "agree", "judge"), "journal": restore.journal.entries()}
    if phase in ("prove", "judge"):
        done = {"changed": False, **getattr(restore, phase)(module.params["timeout"])}
    elif phase == "rollback":
        done = {"changed": restore.rollback(module.params["reason"]), "said": _what_is_back(restore)}
    else:
        done = {"changed": getattr(restore, phase)()}
    entries = restore.journal.entries()
    if phase == "finish":
        done["summary"] = closing_table(restore.plan["of"], entries)
    return {**done, "journal": entries}


def _what_is_back(restore: Restore) -> str:
    entries, unwritten = restore.journal.entries(), restore.journal.unwritten
    said = ["Nothing had been stopped or changed on this host."]
    if any(entry["step"] == STOPPING for entry in entries):
        said = [aftermath(entries), "The old data and configuration are back on this host."]
    return " ".join(filter(None, [*said, unwritten and f"It is not on record: {unwritten}"]))


def _connection(params: dict[str, Any], plan: dict[str, Any]) -> Connection:
    """What the options say, and where they say nothing, what was found on the host when the plan was made."""
    found = plan["member"]["connection"]
    return Connection(
        endpoints=params["endpoints"] or plan["of"]["endpoints"],
        **{name: params[name] or found[name] for name in ("cacert", "cert", "key")},
        **{name: params[name] for name in ("user", "password", "command_timeout")},
    )


def main() -> None:
    options: dict[str, Any] = {
        **CONNECTION_OPTIONS,
        "phase": {"type": "str", "choices": list(PHASES), "required": True},
        "plan": {"type": "dict", "required": True},
        "timeout": {"type": "int", "default": 120},
        "peers": {"type": "dict", "default": {}},
        "reason": {"type": "str", "default": ""},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
