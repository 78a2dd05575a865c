#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Back an etcd cluster up once
version_added: 0.1.0
description:
  - Saves a snapshot of one member into a folder of this host, verifies it from end to end, and only then gives it its name.
  - Where nothing was written since the newest snapshot there, that is read to its end instead, and nothing is saved again.
  - What became of it is recorded on the host, also where it failed, and it is shipped to the stores of O(offsite). It is what
    C(quorum-etcd backup) does, and needs no agent.
  - Beside it, C(<snapshot>.json) is its manifest - hash, size, revision, keys, cluster and member IDs, the members, versions.
  - A run that fails or is killed leaves nothing that looks like a snapshot. Nothing is ever overwritten.
  - It waits up to ten minutes for another run in the same folder, a scheduled one or another play's.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
  - quorum.etcd.kit
  - quorum.etcd.offsite
  - quorum.etcd.offsite.keep
attributes:
  check_mode:
    description: Says from which endpoint it would save how much, or that nothing was written, and saves nothing.
    support: full
  diff_mode:
    description: It makes a new file each time, so there is no state before to compare with.
    support: none
options:
  dest:
    description: Folder for the snapshot. It is created with mode V(0700) where it is missing.
    type: path
    required: true
  cluster:
    description: Name of the cluster, for the file's name and the manifest.
    type: str
    default: etcd
  endpoint:
    description:
      - The endpoint to save from. When empty, it is the healthy follower with the lowest ID, as agents agree on, else the best.
    type: str
    default: ""
  accept_divergence:
    description:
      - Members whose data differs at one revision are a cluster whose data nobody can vouch for, so no snapshot is taken.
      - With this one is taken all the same, of a member that holds the same data as more than half of them.
    type: bool
    default: false
  name:
    description:
      - Name of the file. When empty, it is C(<cluster>-<UTC time>-rev<revision>.db), with C(.zst) or C(.gz) if it is compressed.
      - A name that is given says by its end how the snapshot is compressed, C(.zst) or C(.gz); any other stays plain.
    type: str
    default: ""
  compress:
    description:
      - How a snapshot without O(name) is compressed. V(auto) takes zstd where the host has it, else gzip; V(none) leaves it so.
      - It is unpacked once more, as a stream, before it gets its name. Its manifest has the SHA-256 of both.
    type: str
    choices: [auto, zstd, gzip, none]
    default: auto
  keep:
    description:
      - How many snapshots of this cluster O(dest) keeps. A number keeps the last ones; V(all) removes none; a mapping has one
        or more of C(last), C(days) (all that are not older), C(hourly), C(daily), C(weekly) and C(monthly) (the newest one of
        so many of them), and what any of them keeps is kept.
      - Only what this collection has saved and named by itself is removed, only of this very etcd cluster, and never the
        newest verified one. What is damaged is left.
    type: raw
    default: all
  state_dir:
    description: Folder for the records of what became of it (C(backups.jsonl)), and for what waits for a store.
    type: path
    default: /var/lib/quorum-etcd
  force:
    description: Save one although nothing was written since the newest. With O(name) one is saved in any case.
    type: bool
    default: false
  refusal:
    description: Why no backup can be made, as whoever calls has seen. It is recorded and told, and nothing else is done.
    type: str
    default: ""
  signing_key:
    description:
      - Path of a private key on the host, its owner's alone and without a passphrase, with which C(ssh-keygen) signs the
        manifest. The signature is C(<snapshot>.json.sig).
    type: path
    default: ""
  signing_key_text:
    description: The private key itself, instead; it is written for root alone, and removed again.
    type: str
    default: ""
  signers:
    description:
      - Who may have signed - a name and a public key a line, as C(ssh-keygen) reads it (ALLOWED SIGNERS in its manual). One of
        them must be the key's own. Only what one of them has signed counts for O(keep).
    type: str
    default: ""
  settings:
    description:
      - By inventory name, the settings of each member, as RV(quorum.etcd.member_info#module:member) has them. What they would
        do to a restore of this snapshot is told in RV(concerns).
    type: dict
    default: {}
seealso:
  - module: quorum.etcd.snapshot_info
"""

EXAMPLES = r"""
- name: Save a snapshot from the member that minds it least
  quorum.etcd.snapshot:
    endpoints:
      - https://10.0.0.1:2379
      - https://10.0.0.2:2379
      - https://10.0.0.3:2379
    cacert: /etc/etcd/pki/ca.crt
    cert: /etc/etcd/pki/client.crt
    key: /etc/etcd/pki/client.key
    dest: /var/backups/etcd
    cluster: prod
  register: saved

- name: Say where it is
  ansible.builtin.debug:
    msg: "{{ saved.path }} holds revision {{ saved.manifest.revision }}"
"""

RETURN = r"""
result:
  description: V(saved), or V(unchanged) where nothing was written since the newest snapshot, which was read and is whole.
  returned: always
  type: str
  sample: saved
path:
  description: The snapshot; where it would be saved in check mode the folder, since the name is known only afterwards.
  returned: always
  type: str
  sample: /var/backups/etcd/prod-20261124T034557Z-rev2.db
endpoint:
  description: The endpoint it was, or would be, saved from; empty where nothing was written.
  returned: always
  type: str
  sample: https://10.0.0.2:2379
size:
  description: Bytes of the snapshot; where it would be saved in check mode those of the database.
  returned: always
  type: int
  sample: 20512
concerns:
  description: What would keep a cluster restored from it from being used, and members that have strayed, each with what to do.
  returned: always
  type: list
  elements: str
  sample: []
removed:
  description: Names of the snapshots that O(keep) has not kept.
  returned: always
  type: list
  elements: str
  sample: [prod-20261123T034557Z-rev1.db]
damaged:
  description: What is wrong with snapshots in O(dest) that are damaged.
  returned: always
  type: list
  elements: str
  sample: []
uploads:
  description:
    - What became of each store, as C(quorum-etcd backup --json) prints it. One whose C(result) in RV(uploads) is V(failed) does
      not fail the module, since there is a backup; what it lacks waits for the next run.
  returned: always
  type: list
  elements: dict
  sample: []
shipped:
  description: The same in words.
  returned: always
  type: list
  elements: str
  sample: ["off-site nfs: 1 snapshot shipped, 20,512 bytes, in 0.3 s; 1 there, the newest prod-20261124T034557Z-rev2.db"]
unshipped:
  description: Why a store lacks something, and what to do; empty where none does.
  returned: always
  type: str
  sample: ""
manifest:
  description: What the manifest beside the snapshot says; empty where it would be saved in check mode.
  returned: always
  type: dict
  sample:
    schema: 1
    file: prod-20261124T034557Z-rev2.db
    sha256: 2c542a6c1caed3a9ffc2e7e7cd607ae40cf8f0b17ff739b45cc3d208159e44fb
    size: 20512
    revision: 2
    keys: 1
    user_keys: 1
    hash: 265565731
    hashkv: 3260193388
    hashkv_revision: 2
    hashkv_compact_revision: -1
    cluster: prod
    cluster_id: a9b7a22aeb5c8521
    member_id: 76a19c46613183ce
    members:
      - id: 76a19c46613183ce
        name: m1
        peer_urls: ["https://10.0.0.2:2380"]
        is_learner: false
    etcd_version: 3.6.16
    cluster_version: 3.6.0
    alarms: []
    tool:
      name: etcdctl
      version: 3.6.16
    source_endpoint: https://10.0.0.2:2379
    source_host: etcd2
    taken_at: "2026-11-24T03:45:57Z"
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils.agent.given_stores import given_stores
from ansible_collections.quorum.etcd.plugins.module_utils.agent.offsite import ship_after
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit_part import understood
from ansible_collections.quorum.etcd.plugins.module_utils.backup.pki import check_pki
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import SAVED, Attempt, Upload
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import policy_of
from ansible_collections.quorum.etcd.plugins.module_utils.backup.run import Job, back_up, foreseen, refused
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import Shipping
from ansible_collections.quorum.etcd.plugins.module_utils.backup.stores import Store
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Run
from ansible_collections.quorum.etcd.plugins.module_utils.glue import (
    CONNECTION_OPTIONS,
    KIT_OPTIONS,
    OFFSITE_KEEP_OPTION,
    OFFSITE_OPTION,
    answer,
    connection,
    offsite_stores,
    runner,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import find_tools
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import read_manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.packed import AUTO, CHOICES
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.save import Form
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.signature import Signing

PATIENCE = 600.0  # seconds that another run in the same folder may take until this one gives up


def work(module: AnsibleModule) -> dict[str, Any]:
    given, run = module.params, runner(module)
    with _signing(given) as signing, _stores(given, run) as stores:
        job, force = _job(given, signing), given["force"] or bool(given["name"])
        if given["refusal"]:
            raise _refusal(job, given["refusal"], module.check_mode)
        tools, to = find_tools(run, given["bin_dir"]), connection(given)
        if module.check_mode:
            return _answer(foreseen(run, tools, to, job, force, time.time()))
        attempt = back_up(run, tools, to, job, force)
        keep = policy_of(given["offsite_keep"])
        uploads, words = ship_after(
            Shipping(job.cluster, job.folder, job.state_dir, stores, keep, signing), attempt, run
        )
    if not attempt.is_good:
        raise EtcdError(attempt.cause, attempt.next_step, uploads=to_plain(uploads))
    return _answer(attempt, uploads, words)


def _job(given: dict[str, Any], signing: Signing) -> Job:
    return Job(
        cluster=given["cluster"],
        folder=given["dest"],
        state_dir=given["state_dir"],
        keep=policy_of(given["keep"]),
        accept_divergence=given["accept_divergence"],
        patience=PATIENCE,
        form=Form(given["compress"], signing),
        kit=_kit(given),
        chosen=True,
        endpoint=given["endpoint"],
        name=given["name"],
        settings=_values(given["settings"]),
    )


def _stores(given: dict[str, Any], run: Run) -> AbstractContextManager[tuple[Store, ...]]:
    """Those that are given; what the host's own agent ships is for the agent."""
    if not given["offsite"]:
        return contextlib.nullcontext(())
    return given_stores(run, offsite_stores(given), given["cluster"], given["dest"], given["state_dir"], needed=True)


def _refusal(job: Job, words: str, pretended: bool) -> EtcdError:
    cause, _next, next_step = words.partition(" Next: ")
    error = EtcdError(cause, next_step)
    if not pretended:
        refused(job, error, time.time())
    return error


def _answer(attempt: Attempt, uploads: Sequence[Upload] = (), words: Sequence[str] = ()) -> dict[str, Any]:
    """In check mode the attempt is the one that would be made, and what would be saved has no path yet."""
    manifest = read_manifest(attempt.path) if attempt.path else None
    shipped = any(one.sent or one.removed for one in uploads)
    return {
        "changed": attempt.result == SAVED or bool(attempt.removed) or shipped,
        "result": attempt.result,
        "path": attempt.path or attempt.folder,
        "endpoint": attempt.endpoint,
        "size": attempt.size,
        "concerns": list(attempt.concerns),
        "manifest": to_plain(manifest) if manifest else {},
        "removed": list(attempt.removed),
        "damaged": list(attempt.damaged),
        "uploads": to_plain(uploads),
        "shipped": list(words),
        "unshipped": _unshipped([one for one in uploads if not one.is_good]),
    }


def _unshipped(failed: Sequence[Upload]) -> str:
    if not failed:
        return ""
    causes = "; ".join(f"{one.store}: {one.cause.rstrip('.')}" for one in failed)
    steps = " ".join(dict.fromkeys(one.next_step for one in failed))
    return str(EtcdError(f"There is a backup, and it could not be shipped to {causes}.", steps))


def _kit(given: dict[str, Any]) -> Asked | None:
    """What the recovery kit is made of; None where there is to be none."""
    check_pki(given["kit_pki"], given["kit_recipient"])
    if not given["kit"]:
        return None
    parts, notes = understood(given["members"])
    recipient = given["kit_recipient"] if given["kit_pki"] else ""
    member = {name: value for name, value in given["member"].items() if value and not name.endswith("_command")}
    return Asked(member, given["host"], parts, list(notes.values()), recipient)


@contextlib.contextmanager
def _signing(given: dict[str, Any]) -> Iterator[Signing]:
    """Key and signers, for as long as the key that was given as a text is a file."""
    if not given["signing_key_text"]:
        yield Signing(given["signing_key"], given["signers"])
        return
    with tempfile.TemporaryDirectory(prefix="quorum-etcd-") as folder:
        key = os.path.join(folder, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(given["signing_key_text"].strip() + "\n")
        yield Signing(key, given["signers"])


def _values(settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """By host, the values of its settings by name."""
    return {
        host: {name: str((setting or {}).get("value") or "") for name, setting in own.items()}
        for host, own in settings.items()
    }


def main() -> None:
    options = {
        **CONNECTION_OPTIONS,
        **KIT_OPTIONS,
        **OFFSITE_OPTION,
        **OFFSITE_KEEP_OPTION,
        "dest": {"type": "path", "required": True},
        "cluster": {"type": "str", "default": "etcd"},
        "endpoint": {"type": "str", "default": ""},
        "accept_divergence": {"type": "bool", "default": False},
        "name": {"type": "str", "default": ""},
        "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
        "keep": {"type": "raw", "default": "all"},
        "force": {"type": "bool", "default": False},
        "refusal": {"type": "str", "default": ""},
        "compress": {"type": "str", "choices": list(CHOICES), "default": AUTO},
        "signing_key": {"type": "path", "default": "", "no_log": False},
        "signing_key_text": {"type": "str", "default": "", "no_log": True},
        "signers": {"type": "str", "default": ""},
        "settings": {"type": "dict", "default": {}},
    }
    answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
