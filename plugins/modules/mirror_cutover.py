#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_cutover
short_description: Let a mirror become the cluster that clients write to, or go back
version_added: 0.1.0
description:
  - Runs on the host of the mirror's engine, and is what C(quorum-etcd mirror cutover) does.
  - Lets the mirror catch up, refuses while somebody still writes to its source, compares both clusters key by key, and then marks
    the destination as handed over. No engine writes there any more, and the mirror's service is disabled.
  - With O(back) the clients return. What was written since is mirrored to the cluster that was left, in the same way; where
    nothing was, the mirror is one again at once.
  - It begins with what it finds. One that was ended at any moment is run again.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  name:
    description: Name of the mirror, as C(mirror.yml) set it up on this host.
    type: str
    required: true
  back:
    description: Return to the cluster that was left.
    type: bool
    default: false
  accept:
    description:
      - Losses that are accepted. V(leases) - keys that have a lease have none afterwards, with a mirror that drops them.
        V(late) - on the way back, what came to the old cluster after it was left is undone. V(source) - the source does not
        answer and is lost. The mirror is handed over as it is, without what it lacks.
    type: list
    elements: str
    choices: [leases, late, source]
    default: []
  settle:
    description: How long nobody may have written before it, in seconds or as V(1m).
    type: str
    default: "5"
  confirm:
    description: The name of the mirror once more. Without it this only looks, as in check mode.
    type: str
    default: ""
  config:
    description: The settings of the mirror. When empty, those of its name in C(/etc/quorum-etcd/mirror).
    type: path
    default: ""
seealso:
  - module: quorum.etcd.mirror
  - module: quorum.etcd.mirror_info
  - module: quorum.etcd.clients
"""

EXAMPLES = r"""
- name: Move to the mirror, once those who write are stopped
  quorum.etcd.mirror_cutover:
    name: mirror
    confirm: mirror

- name: And back
  quorum.etcd.mirror_cutover:
    name: mirror
    back: true
    confirm: mirror
"""

RETURN = r"""
result:
  description:
    - V(looked), V(handed over), V(taken back), V(already); or V(unknown), where the destination was told and has not answered
      since, so that nobody may write until this was run again.
  returned: always
  type: str
  sample: handed over
back:
  description: Whether it is the way back.
  returned: always
  type: bool
  sample: false
revision:
  description: The revision of the cluster that is left at which it was.
  returned: always
  type: int
  sample: 4711
source_revision:
  description: The revision of the mirror's source when it was looked at.
  returned: always
  type: int
  sample: 4711
destination_revision:
  description: The revision of the mirror's destination then; each cluster counts its own.
  returned: always
  type: int
  sample: 1822
leases:
  description: How many leases the cluster has that is left, -1 where nobody may know.
  returned: always
  type: int
  sample: 0
keys:
  description: How many keys were compared and equal, -1 for none.
  returned: always
  type: int
  sample: 1200
late:
  description: How many changes came to the cluster that was left after all, -1 where nobody can say.
  returned: always
  type: int
  sample: 0
late_keys:
  description: The first keys of these.
  returned: always
  type: list
  elements: str
  sample: []
problem:
  description: What went wrong once it was done, or why it is unknown; empty where nothing did.
  returned: always
  type: str
  sample: ""
running:
  description: Whether it failed since another cutover of the mirror runs on this host.
  returned: on failure, where one does
  type: bool
  sample: true
left_urls:
  description: All URLs at which the cluster that is left serves clients, as far as it tells them, after its endpoints.
  returned: always
  type: list
  elements: str
  sample: ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
left:
  description: The endpoints of the cluster that is left.
  returned: always
  type: list
  elements: str
  sample: ["https://10.0.0.1:2379"]
taken:
  description: The endpoints of the cluster that clients are to use.
  returned: always
  type: list
  elements: str
  sample: ["https://10.0.1.1:2379"]
text:
  description: The same in words, a line each.
  returned: always
  type: list
  elements: str
  sample: ["mirror mirror: HANDED OVER at revision 4,711, 1,200 keys compared and equal"]
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_cutover import Units, refuse_the_classic
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, runner
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.cutover import cut_over
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.cutover_terms import (
    LATE,
    LEASES,
    SOURCE,
    is_done,
    terms_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.cutover_words import (
    HANDED_OVER,
    TAKEN_BACK,
    UNKNOWN,
    in_words,
    told,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import load, path_of


def work(module: AnsibleModule) -> Dict[str, Any]:
    given = module.params
    path = given["config"] or path_of(given["name"])
    refuse_the_classic(given["name"], path)
    settings = load(path)
    terms = terms_of(settings.name, given["back"], given["confirm"], given["accept"], given["settle"])
    if module.check_mode:
        terms = terms._replace(confirmed=False)
    done = cut_over(settings, terms, Units(runner(module), settings), lambda _line: None)
    would = module.check_mode and not is_done(done.sight, given["back"])
    return {
        **told(settings, done),
        "changed": done.result in (HANDED_OVER, TAKEN_BACK, UNKNOWN) or would,
        "text": in_words(settings, done),
    }


def main() -> None:
    options: Dict[str, Any] = {
        "name": {"type": "str", "required": True},
        "back": {"type": "bool", "default": False},
        "accept": {"type": "list", "elements": "str", "choices": [LEASES, LATE, SOURCE], "default": []},
        "settle": {"type": "str", "default": "5"},
        "confirm": {"type": "str", "default": ""},
        "config": {"type": "path", "default": ""},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
