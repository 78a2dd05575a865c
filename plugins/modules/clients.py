#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clients
short_description: The clients of a cluster on a host name its members of now
version_added: 0.1.0
description:
  - Brings the list of endpoints in the files of clients to the members that the cluster has now, and lets the clients read them
    again. Addresses of members that are gone are replaced or removed, those of new members are added.
  - Order, form and all else in a file stay, byte for byte. An address that is no member's stays too, such as a load
    balancer's or a loopback address. Where a file names none of the members, nothing is changed. With O(only_members) either is a
    problem.
  - A list that names one of several members is taken for what was meant, and stays a list of one until that member is gone.
  - A copy of a file is kept before it is changed, in the folder C(config) of O(state_dir). A change whose reload did not happen
    is remembered there, and the next run does it.
  - The API server of Kubernetes in a static pod of the host is a client that is known by itself, in the folder of O(manifest).
    The kubelet restarts it at the change, and it is waited for until the new one is ready. Run it on one host after the other.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: It says what it would change, and changes nothing.
    support: full
  diff_mode:
    description: It shows the lists before and after, and nothing else of the files.
    support: full
options:
  clients:
    description: The files, and how each is read again. Of O(clients[].pattern) and O(clients[].setting) each has one.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      pattern:
        description:
          - A regular expression of Python with one group, which holds the list; C(^) and C($) are the ends of lines. It must fit
            at one place.
        type: str
        default: ""
      setting:
        description:
          - The name of a variable in an environment file, or the keys of YAML or JSON that lead to the list, such as
            V(etcd3.hosts). The list is a text of addresses, or a list of texts.
        type: str
        default: ""
      format:
        description: How O(clients[].setting) is looked for. When empty, by the name of the file; JSON is a part of YAML.
        type: str
        choices: ["", env, yaml]
        default: ""
      separator:
        description: What goes between two addresses where the list has only one, and does not show it.
        type: str
        default: ","
      reload:
        description:
          - The command that lets the client read the file again, as a list of words. It runs after a change, as the user of the
            module and without a shell; one that several files have in common runs once.
        type: list
        elements: str
        default: []
  members:
    description:
      - The client URLs of the members that the cluster has now, by name. Without any, the module looks at the files only, and a
        file that could not be changed later is an answer, RV(clients[].problem), and no failure.
    type: dict
    default: {}
  before:
    description: The members before the change, in the same way. What is in it and not in O(members) is gone.
    type: dict
    default: {}
  gone:
    description: Client URLs of further members that are gone.
    type: list
    elements: str
    default: []
  own:
    description:
      - The client URLs of the member on this host, if there is or was one. A loopback address of the same port stands for it.
        With O(only_members) those whose IP address is one of this host are known by themselves.
    type: list
    elements: str
    default: []
  only_members:
    description:
      - A list that would afterwards name others than O(members), besides those in O(stay), is a problem, and its file stays as it
        is. For clients that leave a cluster, of which nothing may be left behind.
    type: bool
    default: false
  stay:
    description: With O(only_members), the addresses of others that are right as they are, such as those of another cluster.
    type: list
    elements: str
    default: []
  reloads:
    description:
      - Whether clients are told to read their files again. What is left out is remembered, and the next run does it. For clients
        that do not run while their files change.
    type: bool
    default: true
  manifest:
    description: The manifest of etcd's static pod; those beside it are searched for an API server.
    type: path
    default: /etc/kubernetes/manifests/etcd.yaml
  state_dir:
    description: The folder for the copies, and for the notes of reloads that are due.
    type: path
    default: /var/lib/quorum-etcd
seealso:
  - module: quorum.etcd.member_config
"""

EXAMPLES = r"""
- name: Patroni and flannel name the members of now
  quorum.etcd.clients:
    members:
      m1: [https://10.0.0.1:2379]
      m2: [https://10.0.0.2:2379]
      m4: [https://10.0.0.4:2379]
    gone: [https://10.0.0.3:2379]
    clients:
      - path: /etc/patroni/patroni.yml
        setting: etcd3.hosts
        reload: [systemctl, reload, patroni]
      - path: /etc/coredns/Corefile
        pattern: '^ *endpoint (.*)$'
        separator: " "
        reload: [systemctl, reload, coredns]
"""

RETURN = r"""
clients:
  description: What became of each client, or would in check mode; where there are no O(members), what it names.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: The file.
      type: str
      sample: /etc/patroni/patroni.yml
    before:
      description: The addresses in its list.
      type: list
      elements: str
      sample: ["10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"]
    after:
      description: The addresses afterwards.
      type: list
      elements: str
      sample: ["10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.4:2379"]
    changed:
      description: Whether the list is another.
      type: bool
      sample: true
    reloads:
      description: Whether the client has been told to read it again, or has been restarted; without O(reloads), is yet to be.
      type: bool
      sample: true
    backup:
      description: The copy of the file as it was; empty where none was made.
      type: str
      sample: /var/lib/quorum-etcd/config/patroni.yml.20261124T031500Z
    others:
      description: Addresses in the list that are no member's, and stay.
      type: list
      elements: str
      sample: []
    unusable:
      description: Members without a client URL that would lead this client to them.
      type: list
      elements: str
      sample: []
    problem:
      description: Why it could not be settled, or could not be later; empty where it can.
      type: str
      sample: ""
    next_step:
      description: What to do about RV(clients[].problem).
      type: str
      sample: ""
    api_server:
      description: Whether it is an API server that was found by itself.
      type: bool
      sample: false
refusal:
  description: Why files could not be changed later, each with what to do; empty where they could.
  type: str
  returned: without O(members)
  sample: ""
text:
  description: The same for people, a list of lines.
  type: list
  elements: str
  returned: success
  sample: ["/etc/flanneld: 10.0.0.1:2379, 10.0.0.3:2379 -> 10.0.0.1:2379, 10.0.0.4:2379; its client reads it again"]
"""

from datetime import datetime, timezone
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils import glue
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.host.clients import (
    Client,
    ClientState,
    Settling,
    in_words,
    look,
    of_this_host,
    refusal,
    with_api_servers,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.endpoints import Membership

CLIENT_OPTIONS: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "pattern": {"type": "str", "default": ""},
    "setting": {"type": "str", "default": ""},
    "format": {"type": "str", "choices": ["", "env", "yaml"], "default": ""},
    "separator": {"type": "str", "default": ","},
    "reload": {"type": "list", "elements": "str", "default": []},
}


def work(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    clients = with_api_servers([Client(**client) for client in params["clients"]], params["manifest"])
    if not params["members"]:
        found = [look(client) for client in clients]
        return {"changed": False, "refusal": refusal(found), **told(found)}
    settling = Settling(
        clients, membership(params), params["state_dir"], glue.runner(module), reloads=params["reloads"]
    )
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    states = settling.plan() if module.check_mode else settling.settle(stamp)
    changed = any(state.changed or (state.reloads and params["reloads"]) for state in states)
    diff = [of_list(state) for state in states if state.changed] if module._diff else []
    problems = [state for state in states if state.problem]
    if problems:
        raise EtcdError(
            " ".join(state.problem for state in problems),
            problems[0].next_step,
            changed=changed,
            diff=diff,
            **told(states),
        )
    return {"changed": changed, "diff": diff, **told(states)}


def membership(params: Dict[str, Any]) -> Membership:
    now, before = urls(params["members"]), urls({**params["before"], **({url: [url] for url in params["gone"]})})
    own = params["own"]
    if params["only_members"]:
        own = [*own, *of_this_host(url for those in (now, before) for one in those.values() for url in one)]
    return Membership(now, before, own, params["only_members"], params["stay"])


def urls(given: Dict[str, Any]) -> Dict[str, List[str]]:
    for name, of_member in given.items():
        if not isinstance(of_member, list) or not all(isinstance(url, str) for url in of_member):
            raise EtcdError(
                f"the client URLs of {name} are no list of texts.", "give each member a list of its client URLs."
            )
    return {str(name): list(of_member) for name, of_member in given.items()}


def told(states: List[ClientState]) -> Dict[str, Any]:
    return {"clients": to_plain(states), "text": [line for state in states for line in in_words(state)]}


def of_list(state: ClientState) -> Dict[str, str]:
    """The lists alone, an address a line: the rest of the file is nobody's business."""
    before, after = ("".join(f"{address}\n" for address in those) for those in (state.before, state.after))
    return {"before_header": state.path, "after_header": state.path, "before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "clients": {"type": "list", "elements": "dict", "default": [], "options": CLIENT_OPTIONS},
            "members": {"type": "dict", "default": {}},
            "before": {"type": "dict", "default": {}},
            "gone": {"type": "list", "elements": "str", "default": []},
            "own": {"type": "list", "elements": "str", "default": []},
            "only_members": {"type": "bool", "default": False},
            "stay": {"type": "list", "elements": "str", "default": []},
            "reloads": {"type": "bool", "default": True},
            "manifest": {"type": "path", "default": "/etc/kubernetes/manifests/etcd.yaml"},
            "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
        },
        supports_check_mode=True,
    )
    glue.answer(module, work)


if __name__ == "__main__":
    main()
