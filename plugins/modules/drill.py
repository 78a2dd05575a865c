#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Restore a backup into a folder of its own, and compare it
version_added: 0.1.0
description:
  - Restores the newest snapshot of a folder, and an older one at random, lets an etcd serve each, compares revision, number of
    keys and hash with the manifest, runs the site's own check, and records what became of it.
  - The etcd listens on a Unix socket in a folder of root's alone, and at no port; nobody else can reach it. It runs at the lowest
    priority, within bounds of memory and time, and is gone afterwards, also where this is killed.
  - The member of the host is not touched. A snapshot that fails is an answer, and no failure of the module.
  - It is what C(quorum-etcd drill) does, and needs no agent.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.offsite
attributes:
  check_mode:
    description: Says which snapshots it would drill.
    support: full
  diff_mode:
    description: There is no state before to compare with.
    support: none
options:
  folder:
    description: Folder of the snapshots.
    type: path
    default: /var/backups/etcd
  cluster:
    description: Name of the cluster whose snapshots they are.
    type: str
    default: etcd
  name:
    description: This one only. When empty, the newest of the cluster and an older one that is drawn.
    type: str
    default: ""
  newest_only:
    description: The newest only.
    type: bool
    default: false
  from_stores:
    description:
      - Only what lies off-site, in the stores of O(offsite) or of the host's own agent - the newest of each, and an older one,
        which are fetched wholly. O(name) is the name of one there then.
      - Without it the newest is one of O(folder), and the older one is drawn of the folder and of the stores.
    type: bool
    default: false
  seed:
    description: Draw the older one again that this number drew.
    type: int
  check:
    description: The site's own check, as O(quorum.etcd.agent#module:drill_check).
    type: list
    elements: str
    default: []
  scratch:
    description: Folder to restore to, which needs room for a snapshot. When empty, it is C(drill) in O(state_dir).
    type: path
    default: ""
  state_dir:
    description: Folder for the records of what became of it.
    type: path
    default: /var/lib/quorum-etcd
  timeout:
    description: Seconds that the drill of one snapshot may take, with the site's check.
    type: int
    default: 3600
  memory:
    description: MiB of memory that each process of a drill may have.
    type: int
    default: 2048
  signers:
    description: Who may have signed, as in M(quorum.etcd.snapshot_info). What none of them has signed is not proven.
    type: str
    default: ""
  bin_dir:
    description: Folder with etcd, etcdctl and etcdutl. When empty, they are looked for.
    type: path
    default: ""
seealso:
  - module: quorum.etcd.agent
  - module: quorum.etcd.snapshot_info
"""

EXAMPLES = r"""
- name: See whether the newest backup can be restored
  quorum.etcd.drill:
    cluster: prod
    newest_only: true
    check: [/usr/local/bin/check-orders]
  register: drill
"""

RETURN = r"""
result:
  description: V(proven), V(failed), or V(nothing) where no snapshot of the cluster lies in the folder. In check mode V(planned).
  returned: always
  type: str
  sample: proven
seed:
  description: The number that drew the older one.
  returned: always
  type: int
  sample: 3064330162
drills:
  description: What became of each, as C(quorum-etcd drill --json) prints it; empty in check mode.
  returned: always
  type: list
  elements: dict
  sample:
    - at: "2026-11-24T03:45:57Z"
      result: proven
      level: proven
      path: /var/backups/etcd/prod-20261124T034557Z-rev2.db
      picked: it is the newest
      revision: 2
      keys: 1
      compared: [revision 2, 1 records read, 1 keys, hash 3260193388 of all keys at revision 2]
      restore_seconds: 0.9
      parts: {unpack: 0.0, verify: 0.0, read: 0.0, restore: 0.5, start: 0.4, compare: 0.1}
text:
  description: The same in words, a line each.
  returned: always
  type: list
  elements: str
  sample: ["nothing to drill: no snapshot of cluster prod lies in /var/backups/etcd of this host"]
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.drilling import (
    Asked,
    drilled,
    new_seed,
    picked_of,
    scratch_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.given_stores import given_stores
from ansible_collections.quorum.etcd.plugins.module_utils.agent.words import drills_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.backup.drill import Terms
from ansible_collections.quorum.etcd.plugins.module_utils.backup.picking import Picked
from ansible_collections.quorum.etcd.plugins.module_utils.core.bounded import go_last
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.glue import OFFSITE_OPTION, answer, offsite_stores, runner
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import kept_folders, look_for_tools

PATIENCE = 600.0  # seconds that another drill of this host may take until this one gives up


def work(module: AnsibleModule) -> Dict[str, Any]:
    given, run = module.params, runner(module)
    seed = new_seed() if given["seed"] is None else given["seed"]
    asked = Asked(given["name"], given["newest_only"], seed, given["from_stores"])
    folder, cluster, state_dir = given["folder"], given["cluster"], given["state_dir"]
    terms = Terms(
        cluster=cluster,
        scratch=scratch_of(given["scratch"], state_dir),
        state_dir=state_dir,
        check=tuple(given["check"]),
        seconds=given["timeout"],
        memory=given["memory"] << 20,
        patience=PATIENCE,
        signers=given["signers"],
    )
    go_last()
    with given_stores(run, offsite_stores(given), cluster, folder, state_dir, asked.offsite) as stores:
        if module.check_mode:
            picked = picked_of(terms, folder, asked, stores)
            text = [f"would drill {in_words(one)}" for one in picked] or drills_in_words([], folder, cluster)
            return {"changed": bool(picked), "result": "planned", "seed": seed, "drills": [], "text": text}
        tools = look_for_tools(run, given["bin_dir"], more=kept_folders(Host("/"), state_dir))[0]
        result, drills = drilled(run, tools, folder, terms, asked, stores)
    text = drills_in_words(drills, folder, cluster)
    return {"changed": bool(drills), "result": result, "seed": seed, "drills": to_plain(drills), "text": text}


def in_words(picked: Picked) -> str:
    store = f" of the store {picked.store}" if picked.store else ""
    return f"{picked.path}{store}: {picked.why}"


def main() -> None:
    options: Dict[str, Any] = {
        **OFFSITE_OPTION,
        "from_stores": {"type": "bool", "default": False},
        "folder": {"type": "path", "default": "/var/backups/etcd"},
        "cluster": {"type": "str", "default": "etcd"},
        "name": {"type": "str", "default": ""},
        "newest_only": {"type": "bool", "default": False},
        "seed": {"type": "int"},
        "check": {"type": "list", "elements": "str", "default": []},
        "scratch": {"type": "path", "default": ""},
        "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
        "timeout": {"type": "int", "default": 3600},
        "memory": {"type": "int", "default": 2048},
        "signers": {"type": "str", "default": ""},
        "bin_dir": {"type": "path", "default": ""},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
