#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: What the hosts of a run said of their clusters, in words
version_added: 0.1.0
description:
  - Puts together what the play's hosts were answered by M(quorum.etcd.member_info), M(quorum.etcd.cluster_info),
    M(quorum.etcd.snapshot_info) and M(quorum.etcd.mirror_info), as lines for a terminal and as one sentence for a monitor.
  - A host that could not be reached or looked at is named by its inventory name, with why.
  - It runs on the controller and asks no host.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: It changes nothing.
    support: full
  diff_mode:
    description: There is nothing that it changes.
    support: none
options:
  clusters:
    description: Each host's cluster.
    type: dict
    required: true
  look:
    description: Name of the variable that the hosts registered with M(quorum.etcd.member_info).
    type: str
    required: true
  view:
    description: Name of the variable that a host of each cluster registered with M(quorum.etcd.cluster_info).
    type: str
    default: ""
  backups:
    description: Name of the variable that the hosts registered with M(quorum.etcd.snapshot_info).
    type: str
    default: ""
  mirrors:
    description: Name of the variable that the hosts registered with M(quorum.etcd.mirror_info).
    type: str
    default: ""
  engines:
    description:
      - Hosts besides those of the play that have registered O(mirrors). A mirror's engine runs on a host of the cluster that it
        writes to.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Put together how it is
  quorum.etcd.status:
    clusters: {etcd1: prod, etcd2: prod, etcd3: prod}
    look: look_member
    view: status_view
  run_once: true
  register: status
"""

RETURN = r"""
text:
  description: The clusters in words, a line each.
  returned: success
  type: list
  elements: str
  sample: ["Cluster a9b7a22aeb5c8521 is healthy, revision 2, leader m2. 3 of 3 voters are up, 2 are needed: 1 more may fail."]
problem:
  description: Why not all is well, in one sentence for each cluster; empty where every host was seen, all clusters are healthy,
    and the backups of their agents and their mirrors are well.
  returned: success
  type: str
  sample: "cluster prod is not well: it is degraded; etcd3 cannot be reached: Connection refused"
hazards:
  description:
    - By cluster, what is known to go wrong with the versions that its members run, and is cured by a later one of the same line.
    - They are no RV(problem) by themselves. RV(ignore:during) says what they matter for.
  returned: success
  type: dict
  sample:
    prod:
      - id: start-replays-promotion
        version: 3.6.2
        members: [etcd1, etcd2, etcd3]
        cause: "etcd 3.6.2 does not start where its log has a promotion in it, so that a new member, or one that restarts, stays
          down (etcd #20387)."
        next_step: Upgrade to 3.6.4 or later, which cures it.
        issue: "etcd #20387"
        during: [a promotion]
newest_on:
  description: By cluster, the host that has the newest snapshot of it, whole or not; empty where none has any.
  returned: success
  type: dict
  sample: {"prod": "etcd2"}
unseen:
  description: The hosts that could not be looked at, with why.
  returned: success
  type: dict
  sample: {"etcd3": "cannot be reached: Connection refused"}
nothing_runs:
  description:
    - By cluster, that no member of it runs, with the next step. A cluster of which a member was seen to run has no entry.
    - Where hosts could not be looked at, they are named with why.
  returned: success
  type: dict
  sample: {}
"""
