# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parts of a restore's plan have in common: what was asked for, and small things."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Sequence

from ..core.claim import ThisRun
from ..core.job import Words
from ..snapshot.entry import Snapshot
from ..snapshot.packed import GZIP, XZ, ZSTD

WORDS = Words("restore", role="disaster_restore", noun="restore", verb="restore", changes="replaces the data of")

# What is done with a cluster, besides job.NOTHING and job.ROLLBACK.
RESTORE, RESUME = "restore", "resume"

# On top of the bytes that will be written: bbolt grows its file in steps, and a full disk must not be the end of it.
DISK_MARGIN = 1.1


@dataclass(frozen=True)
class Options:
    """What the operator asked for.

    ``snapshot`` is ``latest`` or a path; ``controller_snapshots`` is the catalogue on the controller, and
    ``controller_revisions`` the highest revision of each cluster in its manifests. ``spool`` is a folder there for a
    snapshot that must be brought from one host to others, or unpacked; ``spool_free`` are the bytes free for it. ``now`` is
    RFC 3339 in UTC. An empty ``token`` becomes one that names the cluster and the time, with ``nonce`` to make it unique.
    ``unwritable`` are folders of the controller that the run would write a report to, and cannot.
    ``can_unpack`` are the kinds of archives that the controller can unpack. With ``signers``, text as
    ``ssh-keygen`` reads it, only what one of them has signed is restored.
    """

    snapshot: str = "latest"
    controller_snapshots: Sequence[Snapshot] = ()
    controller_revisions: Mapping[str, int] = field(default_factory=dict)
    spool: str = ""
    spool_free: int = 0
    now: str = ""
    nonce: str = ""
    token: str = ""
    bump_revision: bool = True
    skip_hash_check: bool = False
    signers: str = ""
    can_unpack: Sequence[str] = (GZIP, XZ, ZSTD)
    exclude: Sequence[str] = ()
    auth_user: str = ""
    again: bool = False
    rollback: bool = False
    unwritable: Sequence[str] = ()
    run: ThisRun = ThisRun()


def said_of(entry: Snapshot) -> str:
    """The cluster that a snapshot's manifest names; empty where none does."""
    return (entry.manifest.cluster if entry.manifest else "") or ""
