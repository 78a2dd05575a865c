# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd drill``: the newest backup and an older one are restored and compared, and what became of it is told."""

from __future__ import annotations

import argparse
import random
import time
from typing import List, NamedTuple

from ..backup.drill import Terms, drill_all
from ..backup.picking import Picked, pick
from ..backup.proofs import DRILLS, FAILED, PROVEN, Drill, as_csv, as_json_lines
from ..backup.records import BACKUPS
from ..core.values import to_plain
from ..etcd.commands import Run, Tools
from ..snapshot.catalogue import NONE, catalogue
from .command import FINE, UNSUCCESSFUL, Answer, Command, tools_of
from .settings import Settings, terms_of
from .words import drills_in_words

NOTHING = "nothing"
_SEEDS = 1 << 32


class Asked(NamedTuple):
    """What is drilled: the snapshot called ``name``; else the newest, and unless ``newest_only`` one that ``seed`` draws."""

    name: str = ""
    newest_only: bool = False
    seed: int = 0


class Drilled(NamedTuple):
    """What became of it: ``proven``, ``failed`` or ``nothing``."""

    result: str
    drills: List[Drill]


def new_seed() -> int:
    return random.SystemRandom().randrange(_SEEDS)


def picked_of(cluster: str, folder: str, state_dir: str, asked: Asked) -> List[Picked]:
    """Which snapshots of a folder are drilled, without a look into any."""
    attempts = BACKUPS.last(state_dir, cluster)
    entries = catalogue(folder, NONE, time.time())
    return pick(entries, attempts, cluster, asked.seed, asked.name, asked.newest_only)


def drilled(run: Run, tools: Tools, folder: str, terms: Terms, asked: Asked) -> Drilled:
    """The drills of a host, as the agent and the module do them."""
    picked = picked_of(terms.cluster, folder, terms.state_dir, asked)
    drills = drill_all(run, tools, picked, terms) if picked else []
    result = NOTHING if not drills else PROVEN if all(drill.is_proof for drill in drills) else FAILED
    return Drilled(result, drills)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", default="", help="this snapshot only (default: the newest, and an older one)"
    )
    parser.add_argument("--newest-only", action="store_true", help="the newest only")
    parser.add_argument(
        "--seed", type=int, default=None, metavar="NUMBER", help="draw the older one again that this number drew"
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait for another drill (default: refuse)"
    )
    parser.add_argument(
        "--delay", type=float, default=0.0, metavar="SECONDS", help="begin after a random time, for cron"
    )
    parser.add_argument(
        "--export",
        choices=("jsonl", "csv"),
        nargs="?",
        const="jsonl",
        help="do none, and print all that were ever recorded here, the oldest first",
    )


def _drill(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    if given.export:
        return _export(settings, given.export)
    if given.delay > 0:
        time.sleep(random.uniform(0, given.delay))  # noqa: S311
    asked = Asked(given.name, given.newest_only, new_seed() if given.seed is None else given.seed)
    result, drills = drilled(run, tools_of(settings, run), settings.folder, terms_of(settings, given.wait), asked)
    data = {"result": result, "seed": asked.seed, "folder": settings.folder, "drills": to_plain(drills)}
    text = drills_in_words(drills, settings.folder, settings.cluster)
    return Answer(UNSUCCESSFUL if result == FAILED else FINE, data, text)


def _export(settings: Settings, form: str) -> Answer:
    drills = DRILLS.last(settings.state_dir, settings.cluster)[::-1]
    lines = as_csv(drills) if form == "csv" else as_json_lines(drills)
    return Answer(FINE, {"drills": to_plain(drills)}, lines)


DRILL = Command(
    "drill",
    "restore the newest backup, and an older one at random, and compare what is restored",
    "Each is\nrestored into a folder of its own and served by an etcd that nobody else can reach; the member of this host\nis not"
    " touched. Where no snapshot of the cluster lies here, there is nothing to do. What became of it is\nrecorded in drills.jsonl"
    " of the state folder.",
    _options,
    _drill,
    records=True,
)
