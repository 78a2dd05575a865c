# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd ship``: bring the off-site stores up to date. ``backup`` does the same at its end."""

from __future__ import annotations

import argparse
from typing import List, Sequence, Tuple

from ..backup.lock import Busy
from ..backup.records import Attempt, Upload
from ..backup.retention import policy_of
from ..backup.shipping import Shipping, ship
from ..backup.spool import waiting
from ..core.values import to_plain
from ..etcd.commands import Run
from ..snapshot.signature import Signing
from .command import FINE, UNSUCCESSFUL, Answer, Command
from .settings import Settings, stores_of
from .words import uploads_in_words


def shipping_of(settings: Settings, run: Run) -> Shipping:
    return Shipping(
        cluster=settings.cluster,
        folder=settings.folder,
        state_dir=settings.state_dir,
        stores=stores_of(settings, run),
        keep=policy_of(settings.offsite_keep),
        signing=Signing(settings.signing_key, settings.signers),
    )


def ship_after(job: Shipping, attempt: Attempt, run: Run) -> Tuple[List[Upload], List[str]]:
    """What became of each store after a backup, and the same in words.

    Also where nothing was saved: a store may have been down before. A host whose turn it is not has nothing to ship, but for
    what still waits since it was.
    """
    if not job.stores or not (attempt.mine or waiting(job.spool)):
        return [], []
    try:
        uploads = ship(run, job)
    except Busy as busy:
        return [], [f"off-site: left to the run that is shipping ({busy.message})"]
    return uploads, uploads_in_words(uploads)


def are_good(uploads: Sequence[Upload]) -> bool:
    return all(one.is_good for one in uploads)


def _ship(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    if not settings.offsite:
        return Answer(FINE, {"uploads": []}, ["no off-site store is set: see etcd_backup_offsite"])
    uploads = ship(run, shipping_of(settings, run))
    code = FINE if are_good(uploads) else UNSUCCESSFUL
    return Answer(code, {"uploads": to_plain(uploads)}, uploads_in_words(uploads))


SHIP = Command(
    "ship",
    "bring the off-site stores up to date",
    "backup does it at its end;\nby hand it is for a store that was down. What became of each is recorded in uploads.jsonl.",
    lambda parser: None,
    _ship,
    records=True,
)
