# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd backup`` and ``status``: save a snapshot, and say how the last runs went."""

from __future__ import annotations

import argparse
import random
import time

from ..backup.proofs import DRILLS
from ..backup.records import BACKUPS
from ..backup.run import back_up
from ..core.values import to_plain
from ..etcd.commands import Run
from .command import FINE, STALE, UNSUCCESSFUL, Answer, Command, tools_of
from .health import BAD, NOT_PROVEN, TOO_OLD, judge
from .offsite import are_good, ship_after
from .settings import Settings, connection_of, job_of
from .words import attempt_in_words, status_in_words


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
    uploads, words = ship_after(settings, attempt, run)
    code = FINE if attempt.is_good and are_good(uploads) else UNSUCCESSFUL
    return Answer(code, {**to_plain(attempt), "uploads": to_plain(uploads)}, attempt_in_words(attempt) + words)


def _status(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    attempts = BACKUPS.last(settings.state_dir, settings.cluster)
    drills = DRILLS.last(settings.state_dir, settings.cluster)
    cluster, folder = settings.cluster, settings.folder
    status = judge(
        cluster, folder, attempts, settings.max_age, time.time(), drills=drills, proof_age=settings.proof_age
    )
    code = {BAD: UNSUCCESSFUL, TOO_OLD: STALE, NOT_PROVEN: STALE}.get(status.state, FINE)
    return Answer(code, to_plain(status), status_in_words(status))


BACKUP = Command(
    "backup",
    "save one verified snapshot, if it is this host's turn and something was written, and remove old ones",
    "What\nbecame of it is recorded in backups.jsonl of the state folder. Then the off-site"
    "\nstores are brought up to date, if there are any.",
    _options,
    _backup,
    records=True,
)
STATUS = Command(
    "status",
    "say how the backups of this host are",
    "It reads what the last runs recorded, and asks no cluster.",
    lambda parser: None,
    _status,
)
