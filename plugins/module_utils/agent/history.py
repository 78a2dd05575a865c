# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd log show``: what happened to the keys of a mirror's source, and when."""

from __future__ import annotations

import argparse
import os
import time

from ..core.errors import EtcdError
from ..etcd.commands import Run
from ..mirror.history import Asked, history, in_words, log_folder, told
from ..mirror.moments import moment
from ..mirror.settings import load, path_of
from .command import FINE, Answer, Command
from .settings import Settings

_MOST = 1000  # changes that are shown unless more are asked for


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["show"], help="show it")
    parser.add_argument("name", metavar="NAME", help="of the mirror, as mirror.yml set it up with etcd_mirror_keep_log")
    parser.add_argument("--prefix", default="", help="only keys that begin so")
    parser.add_argument("--since", default="", metavar="T", help="from this time on (UTC), or 45s, 30m, 2h, 3d ago")
    parser.add_argument("--until", default="", metavar="T", help="up to this time, in the same way")
    parser.add_argument("--most", type=int, default=_MOST, metavar="N", help=f"how many to show (default: {_MOST:,})")
    parser.add_argument("--values", action="store_true", help="show the values too: they may be secrets")


def _show(_settings: Settings, given: argparse.Namespace, _run: Run) -> Answer:
    settings = load(given.config or path_of(given.name))
    folder = log_folder(settings.folder)
    if not os.path.isdir(folder):
        raise EtcdError(
            f"the mirror {settings.name} has no log: there is no folder {folder}.",
            "run mirror.yml with etcd_mirror_keep_log.",
        )
    now = time.time()
    asked = Asked(
        prefix=os.fsencode(given.prefix),
        since=moment(given.since, now) if given.since else 0.0,
        until=moment(given.until, now) if given.until else float("inf"),
        most=max(1, given.most),
    )
    found = history(folder, asked)
    return Answer(FINE, told(found, given.values), in_words(found, asked, given.values))


LOG = Command(
    "log",
    "what happened to the keys of a mirror's source, and when",
    "It comes from the log that the mirror keeps\n(etcd_mirror_keep_log), and so has what etcd itself has not: times, and what"
    " was there before a compaction.",
    _options,
    _show,
    of_backups=False,
)
