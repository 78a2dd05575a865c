# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd drill``: the newest backup and an older one are restored and compared, and what became of it is told."""

from __future__ import annotations

import argparse
import os
import random
import time
from typing import List, NamedTuple, Sequence

from ..backup.drill import Terms, drill_all
from ..backup.fetching import Source, look_at
from ..backup.holding import expired
from ..backup.picking import Candidates, Picked, candidates, candidates_offsite, drawn, named
from ..backup.proofs import DRILLS, FAILED, PROVEN, Drill, as_csv, as_json_lines
from ..backup.records import BACKUPS
from ..backup.stores import Store
from ..core.bounded import go_last
from ..core.errors import EtcdError
from ..core.values import to_plain
from ..etcd.commands import Run, Tools
from ..snapshot.catalogue import NONE, catalogue
from .command import FINE, UNSUCCESSFUL, Answer, Command, tools_of
from .settings import Settings, stores_of
from .words import drills_in_words

NOTHING = "nothing"
_SEEDS = 1 << 32


class Asked(NamedTuple):
    """What is drilled: the snapshot called ``name``; else the newest, and unless ``newest_only`` one that ``seed`` draws.

    ``offsite``: of the stores alone. Else the newest is one of the folder, and an older one of either.
    """

    name: str = ""
    newest_only: bool = False
    seed: int = 0
    offsite: bool = False


class Drilled(NamedTuple):
    """What became of it: ``proven``, ``failed`` or ``nothing``."""

    result: str
    drills: List[Drill]


def scratch_of(drill_dir: str, state_dir: str) -> str:
    return drill_dir or os.path.join(state_dir, "drill")


def terms_of(settings: Settings, patience: float = 0.0) -> Terms:
    return Terms(
        cluster=settings.cluster,
        scratch=scratch_of(settings.drill_dir, settings.state_dir),
        state_dir=settings.state_dir,
        check=settings.drill_check,
        seconds=settings.drill_timeout,
        memory=settings.drill_memory << 20,
        signers=settings.signers,
        patience=patience,
    )


def new_seed() -> int:
    return random.SystemRandom().randrange(_SEEDS)


def picked_of(terms: Terms, folder: str, asked: Asked, stores: Sequence[Store] = ()) -> List[Picked]:
    """Which snapshots are drilled, without a look into any. Nothing where none of the cluster lies in the folder.

    EtcdError where there is none of the name. A store that is down is passed over, unless only the stores are asked for.
    """
    if asked.offsite:
        return _picked_offsite(terms, asked, stores)
    cluster, state_dir = terms.cluster, terms.state_dir
    attempts, entries = BACKUPS.last(state_dir, cluster), catalogue(folder, NONE, time.time())
    if asked.name:
        return [named(entries, attempts, cluster, asked.name)]
    here = candidates(entries, attempts, cluster)
    if asked.newest_only or not here.first:
        return here.first
    sources, _problems = look_at(stores, cluster, state_dir)
    there = _candidates(sources, cluster)
    return here.first + drawn([*here.older, *there.first, *there.older], asked.seed)


def _picked_offsite(terms: Terms, asked: Asked, stores: Sequence[Store]) -> List[Picked]:
    if not stores:
        raise EtcdError("no off-site store is set.", "set etcd_backup_offsite.")
    sources, problems = look_at(stores, terms.cluster, terms.state_dir)
    if problems:
        raise problems[0]
    there = _candidates(sources, terms.cluster, with_expired=bool(asked.name))
    if asked.name:
        found = [one._replace(why="it was named") for one in (*there.first, *there.older) if one.path == asked.name]
        if not found:
            raise EtcdError(f"no snapshot {asked.name} is off-site.", "see quorum-etcd list --offsite.")
        return found
    return there.first + ([] if asked.newest_only else drawn(there.older, asked.seed))


def _candidates(sources: Sequence[Source], cluster: str, with_expired: bool = False) -> Candidates:
    """What a store has let expire, whose rules are its own where ``append_only`` is set, is no damage."""
    held = {}
    for store, content in sources:
        gone = expired(content) if store.append_only and not with_expired else set()
        held[store.name] = {name: one for name, one in content.manifests.items() if name not in gone}
    return candidates_offsite(held, cluster)


def drilled(run: Run, tools: Tools, folder: str, terms: Terms, asked: Asked, stores: Sequence[Store] = ()) -> Drilled:
    """The drills of a host, as the agent and the module do them."""
    picked = picked_of(terms, folder, asked, stores)
    drills = drill_all(run, tools, picked, terms, stores) if picked else []
    result = NOTHING if not drills else PROVEN if all(drill.is_proof for drill in drills) else FAILED
    return Drilled(result, drills)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", default="", help="this snapshot only (default: the newest, and an older one)"
    )
    parser.add_argument(
        "--offsite",
        action="store_true",
        help="only what lies off-site: the newest there, and an older one, fetched wholly",
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
    seed = new_seed() if given.seed is None else given.seed
    asked = Asked(given.name, given.newest_only, seed, given.offsite)
    go_last()
    terms, stores = terms_of(settings, given.wait), stores_of(settings, run)
    result, drills = drilled(run, tools_of(settings, run), settings.folder, terms, asked, stores)
    data = {"result": result, "seed": asked.seed, "folder": settings.folder, "drills": to_plain(drills)}
    text = drills_in_words(drills, "a store" if given.offsite else settings.folder, settings.cluster)
    return Answer(UNSUCCESSFUL if result == FAILED else FINE, data, text)


def _export(settings: Settings, form: str) -> Answer:
    drills = DRILLS.last(settings.state_dir, settings.cluster)[::-1]
    lines = as_csv(drills) if form == "csv" else as_json_lines(drills)
    return Answer(FINE, {"drills": to_plain(drills)}, lines)


DRILL = Command(
    "drill",
    "restore the newest backup, and an older one at random, here or off-site, and compare what is restored",
    "Each is\nrestored into a folder of its own and served by an etcd that nobody else can reach; the member of this host\nis not"
    " touched. Where no snapshot of the cluster lies here, there is nothing to do. What became of it is\nrecorded in drills.jsonl"
    " of the state folder.",
    _options,
    _drill,
    records=True,
)
