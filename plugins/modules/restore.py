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
  - Does one phase of the plan that M(quorum.etcd.job_plan) made for this host. Nothing of the old cluster is deleted.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
  - quorum.etcd.phase
options:
  phase:
    description:
      - V(claim) writes down which run is at work on this member, before anything else; V(stage) does it too. Every phase fails
        where another run has written itself down since this one was planned, or has taken over.
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
    choices: [claim, stage, stop, cutover, prove, agree, judge, finish, rollback]
    required: true
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, phase_of, phase_options
from ansible_collections.quorum.etcd.plugins.module_utils.restore.on_host import RestoreOnHost


def main() -> None:
    options = phase_options(RestoreOnHost.PHASES)
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), phase_of(RestoreOnHost))


if __name__ == "__main__":
    main()
