# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The restore as a job: what is asked of it, and what its plan needs to know of the controller."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked, Job
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.reported import REPORT
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import Options
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import look
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Snapshot
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import recorded_revisions
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.packed import SUFFIXES, can_pack
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import free_bytes, is_writable, run
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker

# ``source`` is a folder of the controller in which to look for snapshots too, or the one that was named; the manifests in
# its folder ``backups`` tell how high the revision has been. The others are those of restore.terms.Options.
OPTIONS: dict[str, dict[str, Any]] = {
    "snapshot": {"type": "str", "default": "latest"},
    "source": {"type": "path", "default": ""},
    "signers": {"type": "str", "default": ""},
    "backups": {"type": "path", "default": ""},
    "spool": {"type": "path", "default": "~/.cache/quorum-etcd"},
    "token": {"type": "str", "default": "", "no_log": False},
    "bump_revision": {"type": "bool", "default": True},
    "skip_hash_check": {"type": "bool", "default": False},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "auth_user": {"type": "str", "default": ""},
    "again": {"type": "bool", "default": False},
    "rollback": {"type": "bool", "default": False},
}


def _plan(hosts: Mapping[str, Mapping[str, Any]], asked: Asked) -> dict[str, Any]:
    own = dict(asked.options)
    source, backups = own.pop("source"), own.pop("backups")
    own["snapshot"] = os.path.expanduser(own["snapshot"])  # as ``source``, which is looked at, already is
    return make_plan(
        hosts,
        Options(
            now=asked.now,
            nonce=secrets.token_hex(4),
            run=asked.run,
            can_unpack=[kind for kind in SUFFIXES if can_pack(kind, run)],
            controller_snapshots=_look(source, own["spool"], own["signers"]),
            spool_free=free_bytes(own["spool"]) if is_writable(own["spool"]) else 0,
            unwritable=asked.unwritable,
            controller_revisions=recorded_revisions(backups) if backups else {},
            **own,
        ),
    )


def _look(source: str, spool: str, signers: str) -> list[Snapshot]:
    """The snapshots on the controller; to verify one is to read it."""
    with Ticker({"inventory_hostname": "controller"}, "reading snapshots"):
        return look(source, run, spool, signers) if source else []


RESTORE = Job(OPTIONS, _plan, REPORT, plan_in_words)
