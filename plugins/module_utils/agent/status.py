# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd status``: say how the last runs went."""

from __future__ import annotations

import argparse
import time

from ..backup.proofs import DRILLS
from ..backup.records import BACKUPS
from ..core.values import to_plain
from ..etcd.commands import Run
from .command import FINE, STALE, UNSUCCESSFUL, Answer, Command
from .health import BAD, NOT_PROVEN, TOO_OLD, exists_by, judge
from .settings import Settings
from .words import status_in_words


def _status(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    attempts = BACKUPS.last(settings.state_dir, settings.cluster)
    drills = DRILLS.last(settings.state_dir, settings.cluster)
    cluster, folder = settings.cluster, settings.folder
    exists = exists_by(settings.state_dir, settings.store_names)
    status = judge(cluster, folder, attempts, settings.max_age, time.time(), exists, drills, settings.proof_age)
    code = {BAD: UNSUCCESSFUL, TOO_OLD: STALE, NOT_PROVEN: STALE}.get(status.state, FINE)
    return Answer(code, to_plain(status), status_in_words(status))


STATUS = Command(
    "status",
    "say how the backups of this host are",
    "It reads what the last runs recorded, and asks no cluster.",
    lambda parser: None,
    _status,
)
