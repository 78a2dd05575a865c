#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: agent
short_description: Let a host back its etcd cluster up by itself
version_added: 0.1.0
description:
  - Installs C(quorum-etcd) on a host of a cluster - one file of Python that needs nothing else - with its configuration in
    C(/etc/quorum-etcd), readable by root alone, and a systemd timer that runs it; a line of cron where there is no systemd.
  - Every member of a cluster gets one. They agree by themselves on whose turn it is, by what the cluster tells all of them, and
    where that member is down another makes the backup.
  - Where something was changed, or the last run was no good one, it is run once, so that what is wrong is seen now.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
  - quorum.etcd.kit
  - quorum.etcd.offsite
  - quorum.etcd.offsite.keep
attributes:
  check_mode:
    description: Says what it would change.
    support: full
  diff_mode:
    description: Shows the configuration and the units; never a password.
    support: full
options:
  state:
    description: V(absent) takes the agent away again; snapshots and records of runs stay.
    type: str
    choices: [present, absent]
    default: present
  cluster:
    description: Name of the cluster, for the names of the snapshots and their manifests.
    type: str
    default: etcd
  here:
    description: The endpoints of this host's own member.
    type: list
    elements: str
    default: []
  folder:
    description: Folder for the snapshots.
    type: path
    default: /var/backups/etcd
  state_dir:
    description: Folder for the records of what became of the last runs.
    type: path
    default: /var/lib/quorum-etcd
  schedule:
    description:
      - When it runs - what OnCalendar of systemd takes, such as V(hourly) or V(02:30).
      - Without systemd it is the five fields of cron, or one of V(hourly), V(daily), V(weekly), V(monthly), and V(*:0/30), which
        is every 30 minutes.
    type: str
    default: "*:0/30"
  delay:
    description: Seconds among which the beginning of each run is drawn, so that not all members begin at once.
    type: int
    default: 120
  keep:
    description: How many snapshots of the cluster are kept, as in M(quorum.etcd.snapshot).
    type: raw
    default: 10
  every_member:
    description: Every member makes its own backups, instead of one of them in turn.
    type: bool
    default: false
  accept_divergence:
    description: Where the members' data differs, take a snapshot of the majority, as in M(quorum.etcd.snapshot).
    type: bool
    default: false
  max_age:
    description: Seconds after the last good run from which C(quorum-etcd status) ends with 3.
    type: int
    default: 7200
  metrics_dir:
    description:
      - Folder that the textfile collector of Prometheus' node_exporter reads; each run writes V(quorum-etcd.prom) in it.
      - V(auto) takes the first well-known one that is there, such as Debian's V(/var/lib/prometheus/node-exporter); where none
        is, no metrics are written. V(none) writes none in any case.
    type: str
    default: auto
  compress:
    description: How snapshots are compressed, as in M(quorum.etcd.snapshot).
    type: str
    choices: [auto, zstd, gzip, none]
    default: auto
  signing_key:
    description:
      - Path of a private key on the host, its owner's alone and without a passphrase, with which C(ssh-keygen) signs the manifest
        of each snapshot.
    type: path
    default: ""
  signing_key_text:
    description: The private key itself, instead; it is put into C(/etc/quorum-etcd/signing.key), for root alone.
    type: str
    default: ""
  signers:
    description:
      - Who may have signed - a name and a public key a line, as C(ssh-keygen) reads it (ALLOWED SIGNERS in its manual). What
        none of them has signed is neither counted nor listed as usable.
    type: str
    default: ""
  drill_schedule:
    description:
      - When backups are drilled, as O(schedule); the newest one of this host, and an older one at random. V(never) drills none.
      - Each drill begins after a time that is drawn, of at most four hours.
    type: str
    default: daily
  drill_check:
    description:
      - The site's own check of what a drill has restored - a command and its words. It finds C(ETCDCTL_ENDPOINTS) in its
        environment and C(etcdctl) in its path, and the drill fails where it ends with another exit code than 0.
    type: list
    elements: str
    default: []
  drill_dir:
    description: Folder where drills restore to, which needs room for a snapshot. When empty, it is C(drill) in O(state_dir).
    type: path
    default: ""
  drill_timeout:
    description: Seconds that the drill of one snapshot may take, with the site's check.
    type: int
    default: 3600
  drill_memory:
    description: MiB of memory that each process of a drill may have.
    type: int
    default: 2048
  proof_age:
    description: Days after the last proof by a drill from which C(quorum-etcd status) ends with 3; V(0) for never.
    type: int
    default: 7
  tools:
    description: The tools of the host, as RV(quorum.etcd.member_info#module:member) has them; those in a container are copied.
    type: dict
    default: {}
  image:
    description: The image that they are in, where the member is a static pod.
    type: str
    default: ""
  program:
    description: The agent itself, packed. The action of this module adds it.
    type: str
    default: ""
seealso:
  - module: quorum.etcd.snapshot
  - module: quorum.etcd.member_info
"""

EXAMPLES = r"""
- name: Back up every half hour, and keep the last ten
  quorum.etcd.agent:
    cluster: prod
    endpoints: ["https://10.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379"]
    here: ["https://10.0.0.1:2379"]
    cacert: /etc/etcd/pki/ca.crt
    cert: /etc/etcd/pki/client.crt
    key: /etc/etcd/pki/client.key

- name: Stop it
  quorum.etcd.agent:
    state: absent
"""

RETURN = r"""
attempt:
  description: What became of the run that was made now, as C(quorum-etcd backup --json) prints it; null where none was made.
  returned: always
  type: dict
  sample:
    at: "2026-11-24T03:45:57Z"
    result: saved
    path: /var/backups/etcd/prod-20261124T034557Z-rev2.db
text:
  description: The same in words.
  returned: always
  type: list
  elements: str
  sample: ["nothing to do: it is the turn of m2, at https://10.0.0.2:2379"]
"""

import base64
import sys
import time
import zlib
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.compiled import compiled
from ansible_collections.quorum.etcd.plugins.module_utils.agent.install import Installation, Wanted
from ansible_collections.quorum.etcd.plugins.module_utils.agent.metrics import folder_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.other_members import PATH as MEMBERS_PATH
from ansible_collections.quorum.etcd.plugins.module_utils.agent.other_members import known_now
from ansible_collections.quorum.etcd.plugins.module_utils.agent.schedule import PROGRAM
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import (
    PASSWORD_PATH,
    SIGNING_KEY_PATH,
    Settings,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.words import attempt_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.backup.wanted_stores import wanted_stores
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.glue import (
    CONNECTION_OPTIONS,
    KIT_OPTIONS,
    OFFSITE_KEEP_OPTION,
    OFFSITE_OPTION,
    answer,
    offsite_stores,
    runner,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import ToolFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import NAMES, keep_tools, tools_of
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.packed import AUTO, CHOICES


def work(module: AnsibleModule) -> Dict[str, Any]:
    given, run = module.params, runner(module)
    agent = Installation(run)
    if given["state"] == "absent":
        changes = agent.remove(module.check_mode)
        return {"changed": bool(changes), "diff": changes, "attempt": None, "text": []}
    wanted = _wanted(given)
    changes = agent.install(wanted, module.check_mode)
    if module.check_mode:
        return {"changed": bool(changes), "diff": changes, "attempt": None, "text": []}
    keep_tools(
        tools_of(from_plain(ToolFacts, {**dict.fromkeys(NAMES), **given["tools"]})),
        given["state_dir"],
        run,
        given["image"],
    )
    agent.reach(wanted.settings)
    attempt = agent.first_run(wanted.settings, bool(changes))
    text: List[str] = attempt_in_words(attempt) if attempt else []
    return {
        "changed": bool(changes or attempt),
        "diff": changes,
        "attempt": to_plain(attempt) if attempt else None,
        "text": text,
    }


def _wanted(given: Dict[str, Any]) -> Wanted:
    if not (given["here"] or given["every_member"]):
        raise EtcdError(
            "no member was found on this host, so that it would never have its turn.",
            "start the member, leave the host out with --limit, or set etcd_backup_every_member to true.",
        )
    names = (
        "cluster",
        "folder",
        "state_dir",
        "keep",
        "every_member",
        "accept_divergence",
        "max_age",
        "command_timeout",
        "signers",
        "compress",
        "offsite_keep",
        "drill_dir",
        "drill_timeout",
        "drill_memory",
        "proof_age",
        "kit",
        "kit_pki",
        "kit_recipient",
        "host",
    )
    others = {host: word for host, word in given["members"].items() if host != given["host"]}
    stores = wanted_stores(offsite_stores(given), (given["folder"], given["state_dir"]))
    settings = Settings(
        endpoints=tuple(given["endpoints"]),
        here=tuple(given["here"]),
        # What is only in a running container is somewhere else after its next start: of that there are copies.
        bin_dir="" if given["bin_dir"].startswith("/proc/") else given["bin_dir"],
        password_file=PASSWORD_PATH if given["user"] else "",
        metrics_dir=folder_of(given["metrics_dir"]),
        offsite=tuple(store.settings for store in stores),
        drill_check=tuple(given["drill_check"]),
        members_file=MEMBERS_PATH if given["kit"] and others else "",
        member={name: value for name, value in given["member"].items() if value and not name.endswith("_command")},
        signing_key=SIGNING_KEY_PATH if given["signing_key_text"] else given["signing_key"],
        **{name: given[name] for name in (*names, "cacert", "cert", "key", "user")},
    )
    program = compiled(zlib.decompress(base64.b64decode(given["program"])), PROGRAM)
    interpreter = f"#!{sys.executable}\n".encode()
    own = (settings, given["password"], given["schedule"], given["delay"])
    secrets = {path: text for store in stores for path, text in store.files.items()}
    known = known_now(MEMBERS_PATH, others, rfc3339(time.time()))
    return Wanted(*own, interpreter + program, given["signing_key_text"], secrets, given["drill_schedule"], known)


def main() -> None:
    options: Dict[str, Any] = {
        **CONNECTION_OPTIONS,
        **KIT_OPTIONS,
        **OFFSITE_OPTION,
        **OFFSITE_KEEP_OPTION,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "cluster": {"type": "str", "default": "etcd"},
        "here": {"type": "list", "elements": "str", "default": []},
        "folder": {"type": "path", "default": "/var/backups/etcd"},
        "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
        "schedule": {"type": "str", "default": "*:0/30"},
        "delay": {"type": "int", "default": 120},
        "keep": {"type": "raw", "default": 10},
        "every_member": {"type": "bool", "default": False},
        "accept_divergence": {"type": "bool", "default": False},
        "max_age": {"type": "int", "default": 7200},
        "metrics_dir": {"type": "str", "default": "auto"},
        "compress": {"type": "str", "choices": list(CHOICES), "default": AUTO},
        "signing_key": {"type": "path", "default": "", "no_log": False},
        "signing_key_text": {"type": "str", "default": "", "no_log": True},
        "signers": {"type": "str", "default": ""},
        "drill_schedule": {"type": "str", "default": "daily"},
        "drill_check": {"type": "list", "elements": "str", "default": []},
        "drill_dir": {"type": "path", "default": ""},
        "drill_timeout": {"type": "int", "default": 3600},
        "drill_memory": {"type": "int", "default": 2048},
        "proof_age": {"type": "int", "default": 7},
        "tools": {"type": "dict", "default": {}},
        "image": {"type": "str", "default": ""},
        # What the action of the same name adds: the zipapp, packed.
        "program": {"type": "str", "default": "", "no_log": True},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
