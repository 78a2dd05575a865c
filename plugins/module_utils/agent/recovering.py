# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd recover``: keys of a mirror's source become again as they were."""

from __future__ import annotations

import argparse
import os
import time
from typing import Optional

from ..core.errors import EtcdError
from ..etcd.commands import Run
from ..mirror.recovery import Wish, in_words, recover, told
from ..mirror.settings import load, path_of
from .command import FINE, UNSUCCESSFUL, Answer, Command
from .screen import Screen
from .settings import Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the mirror, as mirror.yml set it up")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--key", help="this key alone")
    which.add_argument("--prefix", help="all keys that begin so")
    which.add_argument("--all", action="store_true", help="all keys that the mirror has")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--at", default="", metavar="T", help="as they were at this time (UTC), or 45s, 30m, 2h, 3d ago")
    when.add_argument(
        "--revision", type=int, default=0, metavar="N", help="as they were at this revision of the source"
    )
    when.add_argument("--from-mirror", action="store_true", help="as the mirror, which is behind, has them now")
    parser.add_argument(
        "--partly", action="store_true", help="leave keys as they are of which nobody knows what they were"
    )
    parser.add_argument(
        "--confirm", default="", metavar="NAME", help="do it; without, only what would be done is shown"
    )


def _recover(_settings: Settings, given: argparse.Namespace, _run: Run) -> Answer:
    settings = load(given.config or path_of(given.name))
    if given.confirm not in ("", settings.name):
        raise EtcdError(f"{given.confirm} is not the mirror's name.", f"confirm with {settings.name}, or leave it out.")
    wish = Wish(
        key=_bytes(given.key),
        prefix=_bytes(given.prefix),
        everything=given.all,
        at=given.at,
        revision=given.revision,
        from_mirror=given.from_mirror,
        partly=given.partly,
    )
    with Screen() as screen:
        done = recover(settings, wish, bool(given.confirm), time.time(), screen.tell)
    code = UNSUCCESSFUL if done.outcome and done.outcome.meanwhile else FINE
    return Answer(code, told(done), in_words(done))


def _bytes(text: Optional[str]) -> Optional[bytes]:
    """As the shell has given it: a key may be any bytes."""
    return None if text is None else os.fsencode(text)


RECOVER = Command(
    "recover",
    "bring keys of a mirror's source back, as they were",
    "It comes from the log that the mirror keeps\n(etcd_mirror_keep_log), or from a mirror that is behind (etcd_mirror_delay)."
    " What was changed meanwhile is not overwritten but told.",
    _options,
    _recover,
    of_backups=False,
)
