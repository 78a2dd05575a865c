#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: See a whole etcd cluster, whatever its state
version_added: 0.1.0
description:
  - Asks every endpoint for its status, and the cluster for its members, alarms and the hash of each member's data.
  - Members that are down, a missing quorum and a cluster that cannot be reached at all are answers and never failures.
    It fails only where C(etcdctl) is missing or no endpoint was given.
  - Members that the cluster knows and O(endpoints) does not name are asked at their own client URLs.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
attributes:
  check_mode:
    description: It only reads, in check mode as otherwise.
    support: full
  diff_mode:
    description: There is nothing that it changes.
    support: none
options:
  hash_check:
    description:
      - Ask each voter for the hash of its data, which tells members apart that claim to be healthy and hold other data.
      - It reads all of the data on each of them.
    type: bool
    default: true
  member_names:
    description: By client URL, the names of members, for where the cluster gives no member list.
    type: dict
    default: {}
seealso:
  - module: quorum.etcd.snapshot
"""

EXAMPLES = r"""
- name: See the cluster
  quorum.etcd.cluster_info:
    endpoints:
      - https://10.0.0.1:2379
      - https://10.0.0.2:2379
      - https://10.0.0.3:2379
    cacert: /etc/etcd/pki/ca.crt
    cert: /etc/etcd/pki/client.crt
    key: /etc/etcd/pki/client.key
  register: etcd

- name: Insist on a cluster that may lose a member
  ansible.builtin.assert:
    that:
      - etcd.cluster.has_quorum
      - etcd.cluster.may_fail > 0
    fail_msg: "{{ etcd.cluster.summary }}"
"""

RETURN = r"""
cluster:
  description:
    - The view of the cluster. IDs are hexadecimal, as etcd prints them; sizes are in bytes.
    - What a member that does not answer would have said is empty or 0.
  returned: always
  type: dict
  contains:
    health:
      description:
        - One of V(healthy), V(degraded), V(no quorum), V(cannot be asked), V(unreachable) and V(split).
        - V(cannot be asked) means that members run which could be its quorum, and give no answer, for a wrong password, a
          certificate, or because they hang.
      type: str
      sample: healthy
    summary:
      description: The state in a sentence or two.
      type: str
      sample: "Cluster a9b7a22aeb5c8521 is healthy, revision 2, leader m2. 3 of 3 voters are up, 2 are needed: 1 more may fail."
    cluster_id:
      description: The cluster's ID, empty when no endpoint answers.
      type: str
      sample: a9b7a22aeb5c8521
    cluster_ids:
      description: Every cluster ID that answers. More than one means that O(endpoints) reach several clusters.
      type: list
      elements: str
      sample: [a9b7a22aeb5c8521]
    members:
      description: The members, by name.
      type: list
      elements: dict
      sample:
        - id: 8a762b3c52a83885
          name: m0
          peer_urls: ["http://10.0.0.1:2380"]
          client_urls: ["http://10.0.0.1:2379"]
          is_learner: false
          started: true
          endpoint: http://10.0.0.1:2379
          state: serves
          refusal: ""
          healthy: true
          has_leader: true
          is_leader: false
          version: 3.6.16
          storage_version: 3.6.0
          revision: 2
          raft_term: 2
          raft_index: 9
          raft_applied_index: 9
          db_size: 20480
          db_size_in_use: 16384
          db_size_quota: 2147483648
          hash: 3260193388
          hash_compact_revision: -1
          errors: []
    members_complete:
      description: Whether RV(cluster.members) is the cluster's own list. etcd 3.5 gives none without a quorum.
      type: bool
      sample: true
    endpoints:
      description:
        - What each endpoint answered. Its RV(ignore:state) is V(serves), V(unaskable) where somebody is there and gives no
          answer, or V(down); of a member it can be V(unstarted) too.
        - RV(ignore:refusal) says what is done instead of an answer, such as C(refuses the password).
      type: list
      elements: dict
      sample:
        - endpoint: http://10.0.0.1:2379
          ok: true
          error: ""
          state: serves
          refusal: ""
          next_step: ""
          member_id: 8a762b3c52a83885
          cluster_id: a9b7a22aeb5c8521
    next_steps:
      description: What would help to ask the endpoints that refuse it, each once.
      type: list
      elements: str
      sample: []
    leader:
      description: ID of the leader, empty when there is none.
      type: str
      sample: 54ad1361867f299e
    leader_name:
      description: Its name.
      type: str
      sample: m2
    term:
      description: The raft term.
      type: int
      sample: 2
    voters:
      description: Number of voting members.
      type: int
      sample: 3
    learners:
      description: Number of learners.
      type: int
      sample: 0
    healthy_voters:
      description: Number of voters that answer without an error or alarm of their own and have a leader.
      type: int
      sample: 3
    serving_voters:
      description: Number of voters that answer and have a leader. They make the quorum, alarm or not.
      type: int
      sample: 3
    quorum:
      description: Number of voters that are needed.
      type: int
      sample: 2
    has_quorum:
      description: Whether the cluster can write.
      type: bool
      sample: true
    quorum_unknown:
      description: Whether RV(cluster.has_quorum) is false only because members run that cannot be asked.
      type: bool
      sample: false
    may_fail:
      description: How many more voters may fail before it cannot.
      type: int
      sample: 1
    revision:
      description: The highest revision of any member.
      type: int
      sample: 2
    alarms:
      description: The alarms, by the member that raised them.
      type: list
      elements: dict
      sample:
        - member: 54ad1361867f299e
          alarm: NOSPACE
    hash_revision:
      description: The revision at which the members' hashes were compared, null when they were not.
      type: int
      sample: 2
    hashes_equal:
      description: Whether the members hold the same data, null when the hashes do not tell.
      type: bool
      sample: true
    best_endpoint:
      description: The endpoint to take a snapshot from, empty when none answers.
      type: str
      sample: http://10.0.0.2:2379
text:
  description: The cluster in words, a line each - the summary, a table of the members, the alarms.
  returned: always
  type: list
  elements: str
  sample: ["Cluster a9b7a22aeb5c8521 is healthy, revision 2, leader m2. 3 of 3 voters are up, 2 are needed: 1 more may fail."]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.cluster import observe
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.words import cluster_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.glue import CONNECTION_OPTIONS, answer, connection, runner
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import find_tools


def work(module: AnsibleModule) -> dict[str, Any]:
    run = runner(module)
    tools = find_tools(run, module.params["bin_dir"])
    given = module.params
    view = observe(run, tools, connection(given), given["member_names"], hash_check=given["hash_check"])
    return {"changed": False, "cluster": to_plain(view), "text": cluster_in_words(view)}


def main() -> None:
    options: dict[str, Any] = {
        **CONNECTION_OPTIONS,
        "hash_check": {"type": "bool", "default": True},
        "member_names": {"type": "dict", "default": {}},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
