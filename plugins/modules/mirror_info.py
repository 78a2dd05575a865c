#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_info
short_description: How the mirrors are whose engines run on a host
version_added: 0.1.0
description:
  - Reads what the engines and the verifications have written down on this host, and asks no cluster.
  - It is what C(quorum-etcd mirror status) says.
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
  name:
    description: Name of one mirror. When not given, each is meant.
    type: str
    default: ""
seealso:
  - module: quorum.etcd.mirror
"""

EXAMPLES = r"""
- name: See how the mirrors of this host are
  quorum.etcd.mirror_info:
  register: mirrors

- name: Wait until one has caught up
  quorum.etcd.mirror_info:
    name: dr
  register: mirror
  until: mirror.mirrors[0].state == 'ok'
  retries: 60
"""

RETURN = r"""
mirrors:
  description:
    - Each mirror. RV(ignore:state) is V(ok), V(copying), V(behind), V(not verified), V(waiting), V(differs), V(silent), V(failed)
      or V(never run), and RV(ignore:why) says it in words.
    - RV(ignore:status) is what the engine wrote last, RV(ignore:verified) the last comparison; both null where there is none.
      C(age) and C(verified_age) are the seconds since, -1 for never; C(differences) the keys that differed, -1 for never.
    - RV(ignore:keys) is how many keys the mirror has in its destination, without its own, as the engine counted them
      C(keys_age) seconds ago; both -1 where it has not. It counts each minute, after each comparison and when it has caught
      up, and more seldom where that takes the destination more than 60 ms.
    - RV(ignore:status) says in C(applied_events) how many changes were applied since the engine began, and while it compares,
      how many keys are done in C(keys_done), of C(keys_total). Where it mends what a snapshot has begun, these are the keys that
      are mended, after C(leases_done) of C(leases_total) leases were asked for theirs.
  returned: success
  type: list
  elements: dict
  sample:
    - mirror: dr
      state: ok
      why: at revision 1,203,441, nothing behind
      age: 2
      delay: 0
      max_lag: 60
      verified_age: 1560
      differences: 0
      keys: 40112
      keys_age: 12
      verified: null
      status:
        phase: follow
        source_revision: 1203441
        applied_revision: 1203441
        lag_revisions: 0
        lag_seconds: 0.0
        applied_events: 81203
        keys: 40112
        keys_age: 10
text:
  description: The same in words.
  returned: success
  type: list
  elements: str
  sample: ["mirror dr: OK (at revision 1,203,441, nothing behind)"]
"""

import time
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_health import health_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirroring import healths_here
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, runner


def work(module: AnsibleModule) -> Dict[str, Any]:
    name = module.params["name"]
    found = [one for one in healths_here(runner(module), time.time()) if name in ("", one.mirror)]
    if name and not found:
        raise EtcdError(f"there is no mirror {name} on this host.", "name one of this host's, or run mirror.yml.")
    return {
        "changed": False,
        "mirrors": to_plain(found),
        "text": [line for one in found for line in health_in_words(one)],
    }


def main() -> None:
    options: Dict[str, Any] = {"name": {"type": "str", "default": ""}}
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
