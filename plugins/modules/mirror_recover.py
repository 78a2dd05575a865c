#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_recover
short_description: Bring keys of a mirror's source back, as they were
version_added: 0.1.0
description:
  - Makes a key, the keys of a prefix, or all keys of a mirror's source again what they were at a time or a revision, by the log
    that the mirror's engine keeps, or what they are in a mirror that is behind.
  - Runs on the engine's host, and is what C(quorum-etcd recover) does.
  - Keys are put and deleted in transactions, on condition that each is still what it was when this looked. What was changed
    meanwhile is not overwritten but told. What is as it was already is not touched.
  - It is refused, with the reason, where the log does not have all that happened since - nobody was reading for a while, it is
    forgotten, or the source was restored. What was done goes through the log, so that it can be taken back in the same way.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: Says which keys it would create, change and delete.
    support: full
  diff_mode:
    description: Shows the keys that it creates, changes and deletes, the first 1,000 of them; never a value.
    support: full
options:
  name:
    description: Name of the mirror, as C(mirror.yml) set it up on this host.
    type: str
    required: true
  key:
    description: This key alone.
    type: str
  prefix:
    description: All keys that begin with this.
    type: str
  all:
    description: All keys that the mirror has.
    type: bool
    default: false
  at:
    description: As they were at this time in UTC, such as C(2026-11-28T12:00:00Z), or that long ago, such as V(30m).
    type: str
    default: ""
  revision:
    description: As they were at this revision of the source.
    type: int
    default: 0
  from_mirror:
    description: As they are in the mirror now, which is behind its source.
    type: bool
    default: false
  partly:
    description: Leave keys as they are of which neither the log nor the source knows what they were, instead of refusing it all.
    type: bool
    default: false
  confirm:
    description: The name of the mirror once more. Without it this only looks, as in check mode.
    type: str
    default: ""
  config:
    description: The settings of the mirror. When empty, those of its name in C(/etc/quorum-etcd/mirror).
    type: path
    default: ""
seealso:
  - module: quorum.etcd.restore
"""

EXAMPLES = r"""
- name: See what would come back
  quorum.etcd.mirror_recover:
    name: mirror
    prefix: /registry/configmaps/shop/
    at: 20m
  check_mode: true
  register: found

- name: Bring it back
  quorum.etcd.mirror_recover:
    name: mirror
    prefix: /registry/configmaps/shop/
    revision: "{{ found.revision }}"
    confirm: mirror
"""

RETURN = r"""
result:
  description: V(looked), or V(done).
  returned: always
  type: str
  sample: done
keys:
  description: Which keys were asked for, in words.
  returned: always
  type: str
  sample: the keys that begin with /registry/configmaps/shop/
revision:
  description: The revision of the source at which they were so.
  returned: always
  type: int
  sample: 4711
at:
  description: When that revision was read; empty for one that comes from the mirror.
  returned: always
  type: str
  sample: "2026-11-28T11:40:00Z"
source_revision:
  description: The revision of the source when it was looked at.
  returned: always
  type: int
  sample: 4720
created:
  description: How many keys had to be created.
  returned: always
  type: int
  sample: 12
changed_keys:
  description: How many keys had to be changed.
  returned: always
  type: int
  sample: 0
deleted:
  description: How many keys had to be deleted.
  returned: always
  type: int
  sample: 1
differing:
  description: The first 1,000 of these keys, each with what had to be done, as text with escapes, and in base64.
  returned: always
  type: list
  elements: dict
  sample:
    - {what: create, key: /registry/configmaps/shop/prices, key_base64: L3JlZ2lzdHJ5L2NvbmZpZ21hcHMvc2hvcC9wcmljZXM=}
unknown:
  description: Keys of which nobody knows what they were, with O(partly); the first 1,000.
  returned: always
  type: list
  elements: str
  sample: []
done:
  description: How many keys were brought back.
  returned: always
  type: int
  sample: 13
meanwhile:
  description: Keys that were not, since somebody has changed them meanwhile; the first 1,000.
  returned: always
  type: list
  elements: str
  sample: []
leases_ended:
  description: How many leases of these keys had ended; such keys came back without any.
  returned: always
  type: int
  sample: 0
text:
  description: The same in words, a line each.
  returned: always
  type: list
  elements: str
  sample: ["  13 keys brought back"]
"""

import time
from typing import Any, Dict, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.recovery import Wish, in_words, recover, told
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import load, path_of

_SIGNS = {"create": "+", "change": "~", "delete": "-"}


def work(module: AnsibleModule) -> Dict[str, Any]:
    given = module.params
    settings = load(given["config"] or path_of(given["name"]))
    if given["confirm"] not in ("", settings.name):
        raise EtcdError(f"{given['confirm']} is not the name of the mirror.", f"confirm with {settings.name}.")
    wish = Wish(
        key=_bytes(given["key"]),
        prefix=_bytes(given["prefix"]),
        everything=given["all"],
        at=given["at"],
        revision=given["revision"],
        from_mirror=given["from_mirror"],
        partly=given["partly"],
    )
    confirmed = bool(given["confirm"]) and not module.check_mode
    found = recover(settings, wish, confirmed, time.time(), lambda _done: None)
    plain = told(found)
    lines = [f"{_SIGNS[one['what']]} {one['key']}\n" for one in plain["differing"]]
    would = module.check_mode and found.plan.difference.total > 0
    return {
        **plain,
        "changed_keys": plain["changed"],
        "changed": bool(plain["done"]) or would,
        "text": in_words(found),
        "diff": {"prepared": "".join(lines)},
    }


def _bytes(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def main() -> None:
    options: Dict[str, Any] = {
        "name": {"type": "str", "required": True},
        "key": {"type": "str", "no_log": False},
        "prefix": {"type": "str"},
        "all": {"type": "bool", "default": False},
        "at": {"type": "str", "default": ""},
        "revision": {"type": "int", "default": 0},
        "from_mirror": {"type": "bool", "default": False},
        "partly": {"type": "bool", "default": False},
        "confirm": {"type": "str", "default": ""},
        "config": {"type": "path", "default": ""},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
