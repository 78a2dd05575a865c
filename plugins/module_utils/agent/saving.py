# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd backup``: save a snapshot, and bring the off-site stores up to date."""

from __future__ import annotations

import argparse
import random
import time
from typing import List, Tuple

from ..backup.kit import Asked
from ..backup.records import Attempt, Upload
from ..backup.retention import policy_of
from ..backup.run import Job, back_up
from ..core.values import to_plain
from ..etcd.commands import Run
from ..snapshot.save import Form
from ..snapshot.signature import Signing
from .command import FINE, UNSUCCESSFUL, Answer, Command, tools_of
from .other_members import parts_in
from .settings import Settings, connection_of
from .words import attempt_in_words


def job_of(settings: Settings, patience: float = 0.0) -> Job:
    return Job(
        cluster=settings.cluster,
        folder=settings.folder,
        state_dir=settings.state_dir,
        keep=policy_of(settings.keep),
        here=settings.here,
        every_member=settings.every_member,
        accept_divergence=settings.accept_divergence,
        patience=patience,
        form=Form(settings.compress, Signing(settings.signing_key, settings.signers)),
        kit=_kit(settings) if settings.kit else None,
    )


def _kit(settings: Settings) -> Asked:
    parts, notes = parts_in(settings.members_file) if settings.members_file else ({}, [])
    recipient = settings.kit_recipient if settings.kit_pki else ""
    return Asked(settings.member, settings.host, parts, notes, recipient)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="save one although nothing was written since the last one")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait for another run (default: refuse)"
    )
    parser.add_argument(
        "--delay", type=float, default=0.0, metavar="SECONDS", help="begin after a random time, for cron"
    )


def _backup(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    if given.delay > 0:
        time.sleep(random.uniform(0, given.delay))  # noqa: S311
    tools, to = tools_of(settings, run), connection_of(settings)
    attempt = back_up(run, tools, to, job_of(settings, given.wait), given.force)
    uploads, words = _shipped(settings, attempt, run)
    code = FINE if attempt.is_good and all(one.is_good for one in uploads) else UNSUCCESSFUL
    return Answer(code, {**to_plain(attempt), "uploads": to_plain(uploads)}, attempt_in_words(attempt) + words)


def _shipped(settings: Settings, attempt: Attempt, run: Run) -> Tuple[List[Upload], List[str]]:
    """What became of each store, and the same in words."""
    if not settings.offsite:
        return [], []
    from .offsite import ship_after, shipping_of  # what has no store does not load what knows them

    return ship_after(shipping_of(settings, run), attempt, run)


BACKUP = Command(
    "backup",
    "save one verified snapshot, if it is this host's turn and something was written, and remove old ones",
    "What\nbecame of it is recorded in backups.jsonl of the state folder. Then the off-site"
    "\nstores are brought up to date, if there are any.",
    _options,
    _backup,
    records=True,
)
