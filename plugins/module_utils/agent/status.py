# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd status``: say how the last runs went."""

from __future__ import annotations

import argparse
import time

from ..core.values import to_plain
from ..etcd.commands import Run
from .command import FINE, STALE, UNSUCCESSFUL, Answer, Command
from .health import BAD, NOT_PROVEN, TOO_OLD, health_of
from .settings import Settings
from .words import status_in_words


def _status(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    status = health_of(settings, time.time())
    code = {BAD: UNSUCCESSFUL, TOO_OLD: STALE, NOT_PROVEN: STALE}.get(status.state, FINE)
    return Answer(code, to_plain(status), status_in_words(status))


STATUS = Command(
    "status",
    "say how the backups of this host are",
    "It reads what the last runs recorded, and asks no cluster.",
    lambda parser: None,
    _status,
)
