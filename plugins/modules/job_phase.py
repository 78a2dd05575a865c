#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_phase
short_description: One phase of a job on one host
version_added: 0.1.0
description:
  - Does one phase of the plan that M(quorum.etcd.job_plan) made for this host, of a job that has no module of its own as
    M(quorum.etcd.restore) is.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
  - quorum.etcd.phase
options:
  job:
    description: Which job.
    type: str
    choices: [failover_drill, found, member_replace, switch_leader]
    required: true
  phase:
    description:
      - Which phase.
      - V(move) of switch_leader lets the leader hand over to the planned member.
      - V(claim) of member_replace makes the member this run's. V(change) does one change of the membership, where it is this
        host's turn. V(retire) sees to it that a member that has left stays stopped. V(settle) writes the members into the
        configuration, without a restart.
      - V(ready) of failover_drill puts back what an earlier drill has left, and sees that the cluster can spare the member.
        V(drill) takes it away, measures on another host, and puts it back.
      - V(start) of found lets the new member start, and V(settle) writes V(existing) into its configuration.
      - V(prove) waits until everything shows that the job is done, which closes the journal where it is the last phase.
    type: str
    choices: [ready, drill, start, prove, settle, claim, change, retire, move]
    required: true
"""

EXAMPLES = r"""
- name: Hand the leadership over
  quorum.etcd.job_phase:
    job: switch_leader
    phase: move
    plan: "{{ job_plan.plan.hosts[inventory_hostname] }}"
"""

RETURN = r"""
journal:
  description:
    - The steps that were recorded on this host so far, with their times in UTC.
    - The step V(proven) has the proof, check by check, in C(checks).
  returned: always
  type: list
  elements: dict
  sample: [{time: "2026-11-24T03:15:00.123456Z", step: move_done}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, phase_of, phase_options
from ansible_collections.quorum.etcd.plugins.module_utils.members.drilling import FailoverDrill
from ansible_collections.quorum.etcd.plugins.module_utils.members.founded import Founding
from ansible_collections.quorum.etcd.plugins.module_utils.members.replacing import MemberReplace
from ansible_collections.quorum.etcd.plugins.module_utils.members.switching import SwitchLeader

JOBS = {
    "failover_drill": FailoverDrill,
    "found": Founding,
    "member_replace": MemberReplace,
    "switch_leader": SwitchLeader,
}


def main() -> None:
    phases = dict.fromkeys(phase for job in JOBS.values() for phase in job.PHASES)
    options = {**phase_options(list(phases)), "job": {"type": "str", "choices": list(JOBS), "required": True}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    answer(module, phase_of(JOBS[module.params["job"]]))


if __name__ == "__main__":
    main()
