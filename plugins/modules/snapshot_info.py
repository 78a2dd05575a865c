#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_info
short_description: Verify and describe etcd snapshots
version_added: 0.1.0
description:
  - Says of each snapshot of a folder, or of one file, whether it is intact, what is in it, and how old it is.
  - It needs no etcd and none of its tools - it verifies the SHA-256 at the end of a snapshot and reads the database itself.
  - A damaged file, a missing folder and a folder without a good snapshot are answers and never failures.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: It only reads, in check mode as otherwise.
    support: full
  diff_mode:
    description: There is nothing that it changes.
    support: none
options:
  path:
    description: A folder of snapshots, or one snapshot.
    type: path
    required: true
  verify:
    description:
      - Read files from end to end and compare their hashes, from the newest down until one is good. Without it,
        RV(snapshots[].ok) only means that nothing speaks against the file, and RV(newest) is not a verified one.
    type: bool
    default: true
  all:
    description: With O(verify), read every file, also those older than a good one. With gigabytes that takes its time.
    type: bool
    default: false
  signers:
    description:
      - Who may have signed - a name and a public key a line, as C(ssh-keygen) reads it (ALLOWED SIGNERS in its manual). What
        none of them has signed is not RV(snapshots[].ok), and not read.
    type: str
    default: ""
  cluster:
    description: With O(state_dir), the cluster whose drills and uploads are looked for, and whose agent.
    type: str
    default: ""
  state_dir:
    description: Where the agent of this host records its runs; with it RV(ages) tells what was proven and what is off-site.
    type: path
    default: ""
seealso:
  - module: quorum.etcd.snapshot
  - module: quorum.etcd.drill
"""

EXAMPLES = r"""
- name: Look at the backups
  quorum.etcd.snapshot_info:
    path: /var/backups/etcd
  register: backups

- name: Insist on a good one of today
  ansible.builtin.assert:
    that:
      - backups.newest is not none
      - backups.newest.age < 86400
"""

RETURN = r"""
snapshots:
  description: The files, the youngest first. C(*.json) and hidden files are passed over.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /var/backups/etcd/prod-20261124T034557Z-rev2.db
    name:
      description: Its name.
      type: str
      sample: prod-20261124T034557Z-rev2.db
    ok:
      description: Whether it may be restored, as far as it was read; RV(snapshots[].verified).
      type: bool
      sample: true
    verified:
      description: Whether its content was read and matches its own hash.
      type: bool
      sample: true
    reason:
      description: Why it is not RV(snapshots[].ok), in words.
      type: str
      sample: ""
    kind:
      description:
        - V(snapshot) for a saved one, V(database) for a copied C(member/snap/db), which has no hash. Empty for neither.
      type: str
      sample: snapshot
    size:
      description: Its bytes.
      type: int
      sample: 20512
    compression:
      description:
        - V(gzip) or V(zstd) for a compressed one, whose RV(snapshots[].size) and RV(snapshots[].sha256) are those of the
          plain snapshot. It is unpacked beside itself for the time of the look, for its owner alone.
      type: str
      sample: ""
    packed_size:
      description: The bytes of a compressed file; 0 for others.
      type: int
      sample: 0
    real_path:
      description: The file that symbolic links lead to.
      type: str
      sample: /var/backups/etcd/prod-20261124T034557Z-rev2.db
    sha256:
      description: SHA-256 of the whole file; of one that was not read, the manifest's word.
      type: str
      sample: 2c542a6c1caed3a9ffc2e7e7cd607ae40cf8f0b17ff739b45cc3d208159e44fb
    trailer:
      description: The SHA-256 with which etcd has ended it, of all that stands before; empty for a copied database.
      type: str
      sample: 5d0aa2e5fd2a8bd6dcd2a1f2b6c1b2d1a8a0f6c3e0d1a1c7f6b0d2c4b3a29180
    taken_at:
      description: When it was taken, by its manifest, else the time of the file.
      type: str
      sample: "2026-11-24T03:45:57Z"
    age:
      description: Seconds since then.
      type: int
      sample: 3600
    revision:
      description: The revision with which etcd will serve it.
      type: int
      sample: 2
    key_revision:
      description: The revision of the last key, from which a restore counts how far it raises the revision.
      type: int
      sample: 2
    compact_revision:
      description: The last compacted revision.
      type: int
      sample: 0
    consistent_index:
      description: The raft index up to which it holds everything.
      type: int
      sample: 14
    term:
      description: The raft term; 0 in a snapshot of etcd 3.4.
      type: int
      sample: 2
    cluster_version:
      description: Version of the cluster that it is from.
      type: str
      sample: 3.6.0
    storage_version:
      description: Version of the storage format; empty before 3.6.
      type: str
      sample: 3.6.0
    members:
      description: The members of the cluster that it is from.
      type: list
      elements: dict
      sample:
        - id: 76a19c46613183ce
          name: m1
          peer_urls: ["https://10.0.0.2:2380"]
          client_urls: ["https://10.0.0.2:2379"]
          is_learner: false
    auth_enabled:
      description: Whether authentication is on in it, and so will be after a restore.
      type: bool
      sample: false
    users:
      description: Whether the role root is theirs, by the names of the users in it; null where there are more than 1000.
      type: dict
      sample: {root: true, app: false}
    alarms:
      description: The alarms in it, V(NOSPACE) and V(CORRUPT), which come back with a restore.
      type: list
      elements: str
      sample: []
    kubernetes:
      description: Whether the first keys in it are those of a Kubernetes API server. Known once it was read to its end.
      type: bool
      sample: false
    encryption_keys:
      description:
        - The encryption keys that the values of a Kubernetes in it name, each with its provider. Known once it was read to its
          end.
      type: list
      elements: str
      sample: ["key1 (aescbc)"]
    signed_by:
      description: Who of O(signers) has signed its manifest; empty where that was not asked.
      type: str
      sample: ""
    kit:
      description:
        - What the recovery kit beside it tells of the old members; null where there is none, or the snapshot was not read to its
          end. RV(snapshots[].kit_problem) says why one cannot be read.
      type: dict
      sample: null
    kit_problem:
      description: Why the recovery kit cannot be read.
      type: str
      sample: ""
    removed_members:
      description: Number of members that were removed from that cluster.
      type: int
      sample: 0
    manifest:
      description: What M(quorum.etcd.snapshot) wrote beside it; null where there is none.
      type: dict
      sample:
        schema: 1
        cluster: prod
        revision: 2
newest:
  description:
    - The newest good snapshot; null where there is none. A copied database is never it.
    - Within one etcd cluster it is the one with the highest revision, whenever the file was written. Between the clusters that
      restores have made, it is the latest by its manifest, and only then by the time of the file.
  returned: always
  type: dict
  sample:
    path: /var/backups/etcd/prod-20261124T034557Z-rev2.db
    revision: 2
ages:
  description:
    - How old the newest verified snapshot is that lies here, and the newest that a drill has proven; and of each store off-site
      the newest that it holds, as the last run of this host has seen it, and the newest that a drill has fetched from there
      and proven. Null where there is none.
    - C(age) are the seconds since it was taken, C(told_age) those since that was found out.
  returned: with O(state_dir)
  type: dict
  sample:
    verified:
      path: /var/backups/etcd/prod-20261124T034557Z-rev2.db
      taken_at: "2026-11-24T03:45:57Z"
      age: 302
      told_age: 0
      restore_seconds: 0.0
    proven: null
    offsite: []
agent:
  description:
    - How the backups by this host's agent are, as C(quorum-etcd status) says it by the agent's own settings. Its C(state) is
      V(ok), V(failed), V(too old) or V(not proven), and C(why) says it in words. Null where the host has no agent for O(cluster).
  returned: with O(state_dir)
  type: dict
  sample:
    state: ok
    why: saved, 5 min ago
    cluster: prod
    folder: /var/backups/etcd
    age: 302
text:
  description: The newest good snapshot and its age, and what else lies there, in words, a line each.
  returned: always
  type: list
  elements: str
  sample: ["newest backup is /var/backups/etcd/prod-20261124T034557Z-rev2.db, 5 min 2 s old, revision 2"]
reason:
  description: Why there is nothing, where the folder cannot be read.
  returned: always
  type: str
  sample: ""
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.health import health_here
from ansible_collections.quorum.etcd.plugins.module_utils.backup.ages import ages
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import DRILLS
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import UPLOADS
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer, runner
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import (
    ALL,
    NEWEST,
    NONE,
    catalogue,
    entry,
    folder_problem,
    newest_good,
)
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.words import backups_in_words


def work(module: AnsibleModule) -> dict[str, Any]:
    path, verify, run = module.params["path"], module.params["verify"], runner(module)
    signers = module.params["signers"]
    if os.path.isfile(path):
        found, reason = [entry(path, verify, run=run, signers=signers)], ""
    else:
        depth = (ALL if module.params["all"] else NEWEST) if verify else NONE
        found, reason = catalogue(path, depth, run=run, signers=signers), folder_problem(path)
    newest = newest_good(found)
    state_dir, cluster = module.params["state_dir"], module.params["cluster"]
    told = {}
    if state_dir:
        drills, uploads = DRILLS.last(state_dir, cluster), UPLOADS.last(state_dir, cluster)
        told["ages"] = to_plain(ages(newest, drills, uploads, time.time()))
        told["agent"] = to_plain(health_here(cluster, time.time()))
    return {
        "changed": False,
        "snapshots": to_plain(found),
        "newest": to_plain(newest),
        "text": backups_in_words(found, newest, path),
        "reason": reason,
        **told,
    }


def main() -> None:
    options: dict[str, Any] = {
        "path": {"type": "path", "required": True},
        "verify": {"type": "bool", "default": True},
        "all": {"type": "bool", "default": False},
        "signers": {"type": "str", "default": ""},
        "cluster": {"type": "str", "default": ""},
        "state_dir": {"type": "path", "default": ""},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
