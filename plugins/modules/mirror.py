#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror
short_description: Let a host keep a second etcd cluster as the first one is
version_added: 0.1.0
description:
  - Sets a mirror up on the host of its engine - the settings and credentials in C(/etc/quorum-etcd/mirror), readable by root
    alone, the program C(quorum-etcd), and a systemd service that runs it, or a timer.
  - With O(engine=etcdctl) the service runs etcd's own C(make-mirror) instead, with its passwords out of the process list and its
    progress in the journal.
  - What a side's options do not say its action fills in, from what the role C(quorum.etcd.look) found on the hosts of the
    side's group.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: Says what it would change, and what the mirror would be.
    support: full
  diff_mode:
    description: Shows the settings and the units; never a password or a key.
    support: full
options:
  name:
    description: Name of the mirror, of its service and of its files.
    type: str
    required: true
  state:
    description:
      - V(absent) takes the mirror away again; what it has written, its log and its state stay.
      - V(stopped) stops what there is of it, until this runs with V(present), or the host boots.
    type: str
    choices: [present, stopped, absent]
    default: present
  engine:
    description: V(quorum) is this collection's own; V(etcdctl) is C(etcdctl make-mirror).
    type: str
    choices: [quorum, etcdctl]
    default: quorum
  source:
    description: The cluster that is read.
    type: dict
    default: {}
    suboptions: &side
      group:
        description: The inventory's group of its hosts.
        type: str
        default: ""
      endpoints:
        description: Its client URLs.
        type: list
        elements: str
        default: []
      cacert:
        description: CA bundle, on the engine's host.
        type: path
        default: ""
      cert:
        description: Client certificate, on the engine's host.
        type: path
        default: ""
      key:
        description: Key of the client certificate, on the engine's host.
        type: path
        default: ""
      user:
        description: User, where authentication is on.
        type: str
        default: ""
      password:
        description: Password of the user; the action of this module takes it out of what is logged.
        type: str
        default: ""
  destination:
    description: The cluster that is written to.
    type: dict
    default: {}
    suboptions: *side
  prefix:
    description: Only keys that begin with this are mirrored.
    type: str
    default: ""
  destination_prefix:
    description: What takes the place of O(prefix) in the destination; the same when not given.
    type: str
  exclude:
    description: Keys that begin with one of these are not mirrored.
    type: list
    elements: str
    default: []
  leases:
    description: Whether keys with a lease get one in the destination (V(keep)), or none (V(drop)).
    type: str
    choices: [drop, keep]
    default: drop
  on_restore:
    description: Where the source was restored, whether the mirror stops (V(refuse)), or compares all keys (V(resync)).
    type: str
    choices: [refuse, resync]
    default: refuse
  delay:
    description: How long what was read is held back, in seconds or as V(30m). It cannot go with O(leases=keep).
    type: str
    default: "0"
  interval:
    description:
      - Run it this long after the end of its last run, until it has caught up; V(0) lets it run all the time.
      - It cannot go with O(leases=keep).
    type: str
    default: "0"
  keep_log:
    description: Keep what was read, with its times, as a log on the engine's host.
    type: bool
    default: false
  log_max_age:
    description: How long the log is kept, V(0) for ever.
    type: str
    default: "7d"
  log_max_bytes:
    description:
      - How large the log may be, V(0) for no bound.
      - Also without O(keep_log), what is read and not yet written to the destination is no more than that.
    type: int
    default: 10737418240
  revision:
    description: With O(engine=etcdctl), begin after this revision and copy nothing before; C(--rev) of etcdctl 3.6 and later.
    type: int
    default: 0
  overwrite:
    description:
      - The destination may lose what it has and the source has not. Without it the engine refuses a destination that has keys
        which no mirror has written; C(make-mirror) cannot look, and is always refused without it.
    type: bool
    default: false
  seed:
    description:
      - The snapshot of the source that the destination was restored from, as C(mirror_seed.yml) knows it. The engine then goes on
        from it, and does not compare both sides first. One that is not of these two clusters says nothing.
      - Where it is not given, what an earlier run has said stays.
    type: dict
    suboptions:
      source:
        description: The ID of the source's cluster.
        type: str
        required: true
      destination:
        description: The ID of the restored cluster.
        type: str
        required: true
      revision:
        description: The revision of the source up to which the snapshot has everything.
        type: int
        required: true
      restored_to:
        description: The revision that the restored cluster began with.
        type: int
        required: true
      term:
        description: The raft term of the source then; 0 where nobody knows.
        type: int
        default: 0
      raft_index:
        description: The raft index of the source then; 0 where nobody knows.
        type: int
        default: 0
  state_dir:
    description: Folder for the state of the mirror. When empty, it is one below C(/var/lib/quorum-etcd/mirror).
    type: path
    default: ""
  max_lag:
    description: How far behind it may be besides O(delay), before C(quorum-etcd mirror status) is no longer content.
    type: str
    default: "60"
  verify:
    description: When it is compared with its source, as OnCalendar of systemd takes it, or V(never).
    type: str
    default: hourly
  verified_age:
    description: How long ago the last comparison may be, in the same way as O(max_lag); V(0) for any time.
    type: str
    default: "6h"
  metrics_dir:
    description: Folder that node_exporter reads, as in M(quorum.etcd.agent).
    type: str
    default: auto
  bin_dir:
    description: Folder with etcdctl, for O(engine=etcdctl).
    type: path
    default: ""
  command_timeout:
    description: Seconds that a call of the engine may take.
    type: int
    default: 5
  wheels:
    description:
      - Wheels of grpcio and of what it needs, on the controller, where the host's packages have none. The action sends them.
    type: list
    elements: path
    default: []
  extra:
    description: What only the action knows - the program, files and passwords. It is not logged.
    type: str
    default: ""
seealso:
  - module: quorum.etcd.mirror_info
  - module: quorum.etcd.agent
"""

EXAMPLES = r"""
- name: Mirror what lies below app/
  quorum.etcd.mirror:
    name: dr
    source: {group: etcd}
    destination: {group: etcd_dr}
    prefix: app/
"""

RETURN = r"""
text:
  description: What the mirror is, in words; with V(stopped) whether it is one here.
  returned: always
  type: list
  elements: str
  sample: ["Mirror dr, by this collection's engine:"]
said:
  description: How the mirror is that was just begun, as C(quorum-etcd mirror status) says it; empty where nothing was begun.
  returned: always
  type: list
  elements: str
  sample: ["mirror dr: COPYING (0 keys are compared, 0 written; the destination is new)"]
wants:
  description: V(grpcio) where the host's Python cannot load it and no wheel was named; else empty.
  returned: always
  type: str
  sample: ""
"""

import base64
import json
import os
import sys
import time
import zlib
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_cutover import refuse_handed_over
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_health import health_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_install import Installation, Mirror, in_words
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_modules import missing, refuse, unpack
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_wanted import wanted_mirror
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirroring import health_of
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Run
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, runner
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import find_tools
from ansible_collections.quorum.etcd.plugins.module_utils.host.trust import find_modules_in
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import path_of, seed_in

SIDE_OPTIONS: Dict[str, Any] = {
    "group": {"type": "str", "default": ""},
    "endpoints": {"type": "list", "elements": "str", "default": []},
    "cacert": {"type": "path", "default": ""},
    "cert": {"type": "path", "default": ""},
    "key": {"type": "path", "default": "", "no_log": False},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
}
SEED_OPTIONS: Dict[str, Any] = {
    "source": {"type": "str", "required": True},
    "destination": {"type": "str", "required": True},
    "revision": {"type": "int", "required": True},
    "restored_to": {"type": "int", "required": True},
    "term": {"type": "int", "default": 0},
    "raft_index": {"type": "int", "default": 0},
}


def work(module: AnsibleModule) -> Dict[str, Any]:
    given, run = module.params, runner(module)
    mirrors = Installation(run)
    path = path_of(given["name"])
    if given["state"] == "absent":
        changes = mirrors.remove(given["name"], module.check_mode)
        return {"changed": bool(changes), "diff": changes, "text": [], "said": [], "wants": ""}
    if given["state"] == "stopped":
        changes = mirrors.stop(given["name"], module.check_mode)
        text = [f"The engine of the mirror {given['name']} is stopped."] if mirrors.is_here(given["name"]) else []
        return {"changed": bool(changes), "diff": changes, "text": text, "said": [], "wants": ""}
    extra = json.loads(zlib.decompress(base64.b64decode(given["extra"]))) if given["extra"] else {}
    wanted = wanted_mirror(
        given, extra, sys.executable, lambda: find_tools(run, given["bin_dir"]).etcdctl, seed_in(path)
    )
    refuse_handed_over(wanted.settings, path)
    wants = "" if wanted.classic else _provided(wanted, run, given["wheels"], module.check_mode)
    changes = mirrors.install(wanted, module.check_mode)
    text = in_words(wanted, extra.get("versions") or {})
    said: List[str] = []
    if changes and not module.check_mode and not wanted.classic:
        mirrors.first_words(wanted.settings)
        said = health_in_words(health_of(wanted.settings, time.time()))
    return {"changed": bool(changes), "diff": changes, "text": text, "said": said, "wants": wants}


def _provided(wanted: Mirror, run: Run, wheels: List[str], pretend: bool) -> str:
    """See to grpcio; what is wanted yet. EtcdError where it cannot be loaded."""
    folder = wanted.settings.modules
    if folder and not pretend:
        unpack(wheels, folder)
    if folder and not os.path.isdir(folder):
        return ""
    find_modules_in(folder)
    why = missing(run, sys.executable, folder)
    if why and (folder or not pretend):
        raise refuse(sys.executable, why, bool(folder))
    return "grpcio" if why else ""


def main() -> None:
    options: Dict[str, Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
        "engine": {"type": "str", "choices": ["quorum", "etcdctl"], "default": "quorum"},
        "source": {"type": "dict", "default": {}, "options": SIDE_OPTIONS, "apply_defaults": True},
        "destination": {"type": "dict", "default": {}, "options": SIDE_OPTIONS, "apply_defaults": True},
        "prefix": {"type": "str", "default": ""},
        "destination_prefix": {"type": "str"},
        "exclude": {"type": "list", "elements": "str", "default": []},
        "leases": {"type": "str", "choices": ["drop", "keep"], "default": "drop"},
        "on_restore": {"type": "str", "choices": ["refuse", "resync"], "default": "refuse"},
        "delay": {"type": "str", "default": "0"},
        "interval": {"type": "str", "default": "0"},
        "keep_log": {"type": "bool", "default": False},
        "log_max_age": {"type": "str", "default": "7d"},
        "log_max_bytes": {"type": "int", "default": 10737418240},
        "revision": {"type": "int", "default": 0},
        "max_lag": {"type": "str", "default": "60"},
        "verify": {"type": "str", "default": "hourly"},
        "verified_age": {"type": "str", "default": "6h"},
        "overwrite": {"type": "bool", "default": False},
        "seed": {"type": "dict", "options": SEED_OPTIONS},
        "state_dir": {"type": "path", "default": ""},
        "metrics_dir": {"type": "str", "default": "auto"},
        "bin_dir": {"type": "path", "default": ""},
        "command_timeout": {"type": "int", "default": 5},
        "wheels": {"type": "list", "elements": "path", "default": []},
        # What the action of the same name adds.
        "extra": {"type": "str", "default": "", "no_log": True},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
