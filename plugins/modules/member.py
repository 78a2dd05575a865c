#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member
short_description: Add, promote or remove a member of an etcd cluster, or let it lead
version_added: 0.1.0
description:
  - Makes one change of the membership of a running cluster, by what the cluster itself says of its members.
  - Each voter proves by a linearizable read that it works; a status is a member's own word, also of one that is cut off.
  - A change is judged by its worst end, where a voter that is added never starts. What would lose the quorum is refused, with the
    arithmetic in words.
  - After a call that fails or times out the member list is read again, and what is there has worked.
  - It starts, stops and configures no etcd. What is done around it, and in which order, is the work of C(member_replace.yml).
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
attributes:
  check_mode:
    description: It asks the cluster, says what would be, and changes nothing.
    support: full
  diff_mode:
    description: The member list before and after.
    support: full
options:
  state:
    description:
      - V(present) adds a member that is not there, as a learner or as a voter. One that is there stays as it is.
      - V(promoted) makes a voter of a learner, once it lacks no more than O(max_lag) entries.
      - V(absent) removes a member. One that leads hands over before.
      - V(leader) lets a voter lead.
    type: str
    choices: [present, promoted, absent, leader]
    default: present
  name:
    description:
      - Name of the member. It must fit exactly, and one member only.
      - The cluster knows the name of a member only after its first start.
    type: str
    default: ""
  id:
    description: Hexadecimal ID of the member, in quotes, so that YAML takes it for no number.
    type: str
    default: ""
  peer_urls:
    description: All peer URLs of the member, in any order. For V(state=present) they are wanted, as is O(name).
    type: list
    elements: str
    default: []
  learner:
    description: Whether V(state=present) adds a learner, which has no vote until it is promoted, and puts no quorum at risk.
    type: bool
    default: true
  force:
    description:
      - Do what leaves no quorum, or no member that may fail, once the refusal's own words of what it leaves are repeated, such as
        V(1 of 2).
      - The last member that answers is never removed, and nothing is forced on a cluster without a quorum.
      - etcd has a guard of its own (C(strict-reconfig-check)), which may refuse it all the same.
    type: str
    default: ""
  max_lag:
    description: Entries of the leader's log that a learner may lack when it is promoted, and a voter that is to lead.
    type: int
    default: 1000
  timeout:
    description:
      - Seconds to wait for a learner that catches up; for a quorum and a whole member list before a change; for etcd where it
        refuses a change only for now; and for the others to be healthy after a removal.
    type: int
    default: 60
seealso:
  - module: quorum.etcd.cluster_info
"""

EXAMPLES = r"""
- name: Make room for a member, without a vote yet
  quorum.etcd.member:
    endpoints: "{{ endpoints }}"
    name: etcd-4
    peer_urls: [https://10.0.0.4:2380]

- name: Give it a vote, once it runs and has caught up
  quorum.etcd.member:
    endpoints: "{{ endpoints }}"
    state: promoted
    name: etcd-4
    timeout: 600

- name: Let another member lead
  quorum.etcd.member:
    endpoints: "{{ endpoints }}"
    state: leader
    name: etcd-1

- name: Remove a member that is dead, and others of its name are not
  quorum.etcd.member:
    endpoints: "{{ endpoints }}"
    state: absent
    id: "8a762b3c52a83885"
"""

RETURN = r"""
id:
  description: ID of the member; empty in check mode for one that would be added.
  returned: success
  type: str
  sample: 8a762b3c52a83885
says:
  description: What was done, or why there is nothing to do.
  returned: success
  type: str
  sample: etcd-2 is removed.
arithmetic:
  description: What the change does to the quorum, in words; empty where it is not touched.
  returned: success
  type: str
  sample: "3 voters, 2 healthy, quorum 2: removing etcd-2 leaves 2 of 2, quorum 2"
before:
  description: The members before, as RV(quorum.etcd.cluster_info#module:cluster.members) has them.
  returned: success
  type: list
  elements: dict
  sample: []
members:
  description: The members afterwards, in the same form; in check mode as they would be.
  returned: success
  type: list
  elements: dict
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.membership import Membership, Patience
from ansible_collections.quorum.etcd.plugins.module_utils.glue import CONNECTION_OPTIONS, answer, connection, runner
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import find_tools
from ansible_collections.quorum.etcd.plugins.module_utils.members.single import (
    STATES,
    Asked,
    as_it_will_be,
    carry_out,
    decide,
    in_lines,
)


def work(module: AnsibleModule) -> dict[str, Any]:
    given, run = module.params, runner(module)
    seconds = float(given["timeout"])
    tools = find_tools(run, given["bin_dir"])
    patience = Patience(settled=seconds, refused=seconds, healthy=seconds)
    membership = Membership(run, tools, connection(given), patience=patience)
    asked = from_plain(Asked, {name: given[name] for name in Asked.__dataclass_fields__})
    view = membership.look()
    before, decided = view.members, decide(view, asked)
    for warning in decided.warnings:
        module.warn(warning)
    after, member_id = as_it_will_be(before, asked, decided), decided.id
    if decided.do and not module.check_mode:
        member_id = carry_out(membership, asked, decided, seconds)
        after = list(membership.look().members)
    return {
        "changed": bool(decided.do),
        "id": member_id,
        "says": decided.says,
        "arithmetic": decided.arithmetic,
        "before": to_plain(before),
        "members": to_plain(after),
        "diff": {"before": in_lines(before), "after": in_lines(after)},
    }


def main() -> None:
    options: dict[str, Any] = {
        **CONNECTION_OPTIONS,
        "state": {"type": "str", "choices": list(STATES), "default": STATES[0]},
        "name": {"type": "str", "default": ""},
        "id": {"type": "str", "default": ""},
        "peer_urls": {"type": "list", "elements": "str", "default": []},
        "learner": {"type": "bool", "default": True},
        "force": {"type": "str", "default": ""},
        "max_lag": {"type": "int", "default": 1000},
        "timeout": {"type": "int", "default": 60},
    }
    one_of = [("name", "id", "peer_urls")]
    answer(AnsibleModule(argument_spec=options, required_one_of=one_of, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
