#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_plan
short_description: Plan a job on etcd clusters, and every reason to refuse it
version_added: 0.1.0
description:
  - Computes, from what the hosts reported, everything that a job which changes clusters will do on each host.
  - Of a restore that is the C(snapshot restore) arguments, the token, the predicted member and cluster IDs, the revision
    bump, what is moved where, the configuration before and after, the disk it needs, and the data that will be lost.
  - It is computed on the controller, and touches nothing. Where O(facts) are the same, the plan is the same, but for the
    name of the run.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: It only computes, in check mode as otherwise.
    support: full
  diff_mode:
    description: There is nothing that it changes.
    support: none
options:
  job:
    description: Which job.
    type: str
    choices: [failover_drill, found, member_replace, restore, switch_leader]
    required: true
  clusters:
    description: Every host that belongs to the clusters, also those left out of this run, mapped to its cluster's name.
    type: dict
    required: true
  facts:
    description:
      - What M(quorum.etcd.member_info) reported of each host, by host - a dictionary with C(member), C(view),
        C(snapshots) and C(recorded). A host that did not answer has none.
    type: dict
    required: true
  look:
    description:
      - Name of the variable that the hosts registered with M(quorum.etcd.member_info). It tells why a host says nothing of
        itself. A member that is not among the hosts of the run is a reason to refuse.
    type: str
    required: true
  asked:
    description:
      - What is asked of the job. An empty value is the default.
      - Of a restore these are C(snapshot), C(token), C(bump_revision), C(skip_hash_check), C(exclude), C(again), C(rollback)
        and C(spool), as the variables of the role P(quorum.etcd.disaster_restore#role); C(auth_user); C(source), a folder on
        the controller in which to look for snapshots too, or the one that was named; and C(backups), a folder there whose
        manifests tell how high the revision has been.
      - Of switch_leader it is C(to), the name of the member that is to lead.
      - Of failover_drill these are C(who), C(how) and C(seconds).
      - Of member_replace these are C(dead), C(by), C(rebuild), C(move), C(add), C(remove), C(lag), C(patience) and
        C(tries), as the variables of the role P(quorum.etcd.member_replace#role), and C(zones), the failure domain of each host.
      - Of found it is C(servers), by host what M(quorum.etcd.server) has said of it.
    type: dict
    default: {}
  confirm:
    description: The name that the operator gave to confirm.
    type: str
    default: ""
  confirm_with:
    description: A name that confirms all clusters together, such as the group of them.
    type: str
    default: ""
  reports:
    description: Folder on the controller for the report of the run. Where it cannot be written to, that is a warning of the plan.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: Plan the restore of the newest snapshot
  quorum.etcd.job_plan:
    job: restore
    clusters: {m1: etcd, m2: etcd, m3: etcd}
    facts: "{{ facts_by_host }}"
    look: look_member
    asked: {snapshot: latest}
  run_once: true
  register: plan
"""

RETURN = r"""
plan:
  description:
    - The plan - C(clusters) and C(hosts), each by name, C(refusals) and C(warnings).
    - Of member_replace also C(phases), in their order.
  returned: always
  type: dict
  sample:
    clusters:
      etcd: {mode: restore, restore_id: 20261124T031500Z, cluster_id: 5d9b1ad4c1b0f3a1, bump: 1000000000}
    hosts:
      m1: {restore: {argv: [/usr/bin/etcdutl, snapshot, restore, /var/backups/etcd/etcd.db, --name=m1]}}
    refusals: []
    warnings: []
text:
  description: The plan in words, a line each.
  returned: always
  type: list
  elements: str
  sample: ["Restore of cluster etcd from a snapshot"]
refusal:
  description: Every reason to refuse in one message; empty where there is none.
  returned: always
  type: str
  sample: ""
unconfirmed:
  description: What to say to confirm; empty where the operator did, or where there is nothing to do.
  returned: always
  type: str
  sample: "This replaces the data of cluster etcd. To go on, run again with -e etcd_restore_confirm=etcd"
"""
