# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd fetch``, and ``list --offsite``: what lies off-site, and one of it brought back."""

from __future__ import annotations

import argparse
from typing import Any, Dict, List

from ..backup.fetching import fetch, listed, look_at, refused
from ..backup.selecting import Selector, selector
from ..core.errors import EtcdError
from ..core.text import listed as in_words
from ..core.text import size, table
from ..core.values import to_plain
from ..etcd.commands import Run
from .command import FINE, UNSUCCESSFUL, Answer, Command
from .settings import Settings, stores_of
from .words import fetched_in_words


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "snapshot",
        type=_selected,
        help="latest, a name, a time such as 2026-11-28T10:00:00Z (the last one until then), or rev4711 (likewise)",
    )
    parser.add_argument(
        "--to", default="", metavar="FOLDER", help="into this folder (default: the one of the snapshots)"
    )


def _selected(text: str) -> Selector:
    try:
        return selector(text)
    except EtcdError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fetch(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    done = fetch(
        run,
        stores_of(settings, run),
        settings.cluster,
        given.snapshot,
        given.to or settings.folder,
        settings.state_dir,
        settings.signers,
    )
    return Answer(FINE, to_plain(done), fetched_in_words(done))


def list_offsite(settings: Settings, run: Run) -> Answer:
    """What each store has, by names, manifests and sizes, and where signers are set by the signatures.

    A damage that leaves the size alone is seen by a drill, or a fetch.
    """
    if not settings.offsite:
        raise EtcdError("no off-site store is set.", "set etcd_backup_offsite.")
    sources, problems = look_at(stores_of(settings, run), settings.cluster, settings.state_dir)
    refusals: Dict[str, Dict[str, str]] = {}
    for source in sources if settings.signers else ():
        try:
            refusals[source.store.name] = refused(run, source, settings.signers, settings.state_dir)
        except EtcdError as error:
            problems.append(error)
    rows = listed(sources, refusals)
    told = [{"cause": one.message, "next_step": one.next_step} for one in problems]
    data = {"cluster": settings.cluster, "snapshots": rows, "problems": told}
    text = [f"{len(rows):,} snapshots of cluster {settings.cluster} are off-site"]
    text += table([_row(row) for row in rows])
    text += [f"  NOT REACHED: {one.message} Next: {one.next_step}" for one in problems]
    text += [f"  REFUSED in {store}: {why}" for row in rows for store, why in row["refused"].items()]
    broken = any(row["broken"] or row["refused"] for row in rows)
    return Answer(UNSUCCESSFUL if problems or broken else FINE, data, text)


def _row(row: Dict[str, Any]) -> List[str]:
    where = [f"whole in {in_words(row['whole'])}"] if row["whole"] else []
    where += [f"NOT WHOLE in {in_words(row['broken'])}"] if row["broken"] else []
    where += [f"REFUSED in {in_words(sorted(row['refused']))}"] if row["refused"] else []
    return [
        row["name"],
        row["taken_at"],
        f"revision {row['revision']:,}",
        f"{row['kind']} {size(row['stored'])}",
        ", ".join(where),
    ]


FETCH = Command(
    "fetch",
    "bring one snapshot back from off-site, put together and compared by its SHA-256",
    "What\nis there already is not fetched again. It asks no cluster.",
    _options,
    _fetch,
)
