#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: offsite_fetch
short_description: Bring a snapshot back from an off-site store
version_added: 0.1.0
description:
  - Fetches what the snapshot is put together from, compares each part and the whole with its SHA-256, and puts it into
    O(folder), with its manifest, its signature and its recovery kit. It needs neither the agent nor etcd on the host.
  - The first store that has it whole is used. Where none has, it says which object is missing or damaged, and what can be had.
  - What is there already is not fetched again. Without O(offsite), the stores of the agent on the host are used.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.offsite
attributes:
  check_mode:
    description: Fetches in check mode too, since a plan needs the snapshot; a copy in a folder of snapshots changes no cluster.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  snapshot:
    description:
      - V(latest); the name of a snapshot; a time with its zone, such as V(2026-11-28T10:00:00Z), for the last one until then; or
        a revision, such as V(rev4711), for the last one until that. C(offsite:) may stand before it.
    type: str
    required: true
  cluster:
    description: Name of the cluster, as it was when it was backed up.
    type: str
    default: etcd
  folder:
    description: Folder for the snapshot; it is made where it is missing.
    type: path
    default: /var/backups/etcd
  state_dir:
    description: Folder for copies of the stores' manifests.
    type: path
    default: /var/lib/quorum-etcd
  signers:
    description: Who may have signed, as in M(quorum.etcd.agent). What none of them has signed is not fetched.
    type: str
    default: ""
seealso:
  - module: quorum.etcd.agent
"""

EXAMPLES = r"""
- name: Bring the last snapshot back that was taken until ten o'clock
  quorum.etcd.offsite_fetch:
    snapshot: "2026-11-28T10:00:00Z"
    cluster: prod
    offsite:
      - name: nfs
        folder: /mnt/backup
"""

RETURN = r"""
path:
  description: Where the snapshot lies now.
  returned: success
  type: str
  sample: /var/backups/etcd/prod-20261128T093000Z-rev4711.db
name:
  description: Its name off-site.
  returned: success
  type: str
  sample: prod-20261128T093000Z-rev4711.db
store:
  description: The store that it is from.
  returned: success
  type: str
  sample: nfs
fetched:
  description: Whether it was fetched now, and was not there before.
  returned: success
  type: bool
sha256:
  description: The SHA-256 of the snapshot.
  returned: success
  type: str
size:
  description: Its bytes.
  returned: success
  type: int
revision:
  description: The cluster's revision in it.
  returned: success
  type: int
taken_at:
  description: When it was taken.
  returned: success
  type: str
  sample: "2026-11-28T09:30:00Z"
aside:
  description: What was in its place, and was not this snapshot; empty where nothing was.
  returned: success
  type: str
notes:
  description: What kept other stores from being used, and what else could be the newest.
  returned: success
  type: list
  elements: str
text:
  description: All of it in words.
  returned: success
  type: list
  elements: str
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.given_stores import given_stores
from ansible_collections.quorum.etcd.plugins.module_utils.agent.words import fetched_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.backup.fetching import fetch
from ansible_collections.quorum.etcd.plugins.module_utils.backup.selecting import selector
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.glue import OFFSITE_OPTION, answer, offsite_stores, runner


def work(module: AnsibleModule) -> Dict[str, Any]:
    given, run = module.params, runner(module)
    wanted = selector(given["snapshot"])
    cluster, folder = given["cluster"], given["folder"]
    with given_stores(run, offsite_stores(given), cluster, folder, given["state_dir"], needed=True) as stores:
        done = fetch(run, stores, cluster, wanted, folder, given["state_dir"], given["signers"])
    return {"changed": done.fetched, **to_plain(done), "text": fetched_in_words(done)}


def main() -> None:
    options: Dict[str, Any] = {
        **OFFSITE_OPTION,
        "snapshot": {"type": "str", "required": True},
        "cluster": {"type": "str", "default": "etcd"},
        "folder": {"type": "path", "default": "/var/backups/etcd"},
        "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
        "signers": {"type": "str", "default": ""},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
