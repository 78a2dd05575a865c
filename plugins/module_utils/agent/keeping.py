# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd list`` and ``prune``: which snapshots are there, why each is kept, and those that are not removed."""

from __future__ import annotations

import argparse
import time
from typing import Any, Dict, List, Mapping, Sequence

from ..backup.killed import BACKUP, LOOK, REMOVAL, at_work
from ..backup.proofs import DRILLS, LEVELS, NOT_VERIFIED, VERIFIED, Proof, proofs
from ..backup.prune import Counted, look, prune, prune_recorded
from ..backup.records import BACKUPS, Attempt
from ..backup.retention import decide, policy_of
from ..core.errors import EtcdError
from ..core.text import epoch, rfc3339
from ..core.values import to_plain
from ..etcd.cluster import observe
from ..etcd.commands import Run
from ..snapshot.catalogue import ALL, catalogue, folder_problem
from ..snapshot.entry import Snapshot
from .command import FINE, UNSUCCESSFUL, Answer, Command, tools_of
from .fetching import list_offsite
from .settings import Settings, connection_of
from .words import decisions_in_words, failed_in_words, list_in_words


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verify", action="store_true", help="read each one to its end")
    parser.add_argument("--offsite", action="store_true", help="list those in the off-site stores instead")


def _prune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--cluster-id",
        default="",
        metavar="ID",
        help="count those of this etcd cluster, such as this one before a restore",
    )


def _list(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    if given.offsite:
        return list_offsite(settings, run)
    problem = folder_problem(settings.folder)
    if problem:
        raise EtcdError(problem, "run quorum-etcd backup first, or check its owner and mode.")
    now, keep = time.time(), policy_of(settings.keep)
    attempts = BACKUPS.last(settings.state_dir, settings.cluster)
    known = [attempt.cluster_id for attempt in attempts if attempt.cluster_id]
    counted = Counted(settings.cluster, known[0] if known else "", keep, settings.signers)
    entries = (
        catalogue(settings.folder, ALL, now, run, signers=settings.signers)
        if given.verify
        else look(settings.folder, counted, now, run=run)
    )
    decisions = decide(entries, keep, counted.cluster, counted.cluster_id, now)
    proven = proofs(DRILLS.last(settings.state_dir, settings.cluster), attempts)
    rows = [{**_told(one.entry, proven, now), "verdict": one.verdict, "why": one.why} for one in decisions]
    damaged = (given.verify or settings.signers) and not all(row["ok"] for row in rows)
    failed = _failed(attempts, min((row["taken_at"] for row in rows if row["taken_at"]), default=""))
    data = {"folder": settings.folder, "cluster": settings.cluster, "snapshots": rows, "failed": failed}
    text = list_in_words(settings.folder, rows) + failed_in_words(failed)
    return Answer(UNSUCCESSFUL if damaged else FINE, data, text)


def _failed(attempts: Sequence[Attempt], since: str) -> List[Dict[str, str]]:
    """The runs that failed since the oldest snapshot, the youngest first: there could be a snapshot of each."""
    return [
        {"at": one.at, "host": one.host, "cause": one.cause, "next_step": one.next_step}
        for one in attempts
        if not one.is_good and one.at >= since
    ]


def _told(found: Snapshot, proven: Mapping[str, Proof], now: float) -> Dict[str, Any]:
    """What ``list`` says of a snapshot. How far it is proven is known by its SHA-256: its own where it is read, else its
    manifest's word."""
    proof = Proof(VERIFIED, rfc3339(now)) if found.ok and found.verified else Proof(NOT_VERIFIED, "")
    if found.ok and found.sha256 in proven and LEVELS.index(proven[found.sha256].level) > LEVELS.index(proof.level):
        proof = proven[found.sha256]
    told = (
        "name",
        "path",
        "ok",
        "verified",
        "reason",
        "size",
        "revision",
        "taken_at",
        "sha256",
        "compression",
        "signed_by",
        "manifest",
    )
    plain = to_plain(found)
    level = {"level": proof.level, "level_at": proof.at, "level_age": int(now - epoch(proof.at)) if proof.at else -1}
    return {**{name: plain[name] for name in told}, **level}


def _prune(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    cluster_id = given.cluster_id or _cluster_id(settings, run)
    counted = Counted(settings.cluster, cluster_id, policy_of(settings.keep), settings.signers)
    work = LOOK if given.dry_run else REMOVAL
    with at_work(settings.folder, work, BACKUP, settings.state_dir, settings.cluster):
        decisions = (
            prune(settings.folder, counted, time.time(), pretend=True, run=run)
            if given.dry_run
            else prune_recorded(settings.state_dir, settings.folder, counted, time.time(), run=run)
        )
    told = [{"name": one.entry.name, "verdict": one.verdict, "why": one.why} for one in decisions]
    data = {"folder": settings.folder, "cluster_id": cluster_id, "dry_run": given.dry_run, "snapshots": told}
    return Answer(FINE, data, decisions_in_words(decisions, given.dry_run))


def _cluster_id(settings: Settings, run: Run) -> str:
    view = observe(run, tools_of(settings, run), connection_of(settings), hash_check=False)
    if not (view.cluster_id and view.is_plain):
        raise EtcdError(
            f"which etcd cluster this is, cannot be told: {view.summary}",
            "start it, or give its ID with --cluster-id.",
        )
    return view.cluster_id


LIST = Command(
    "list",
    "list the snapshots of the folder, why each is kept, and the runs that failed meanwhile",
    "It asks no cluster, and\nreads the newest one to its end.",
    _list_options,
    _list,
)
PRUNE = Command(
    "prune",
    "remove the snapshots that no rule keeps",
    "The cluster is asked for its ID.",
    _prune_options,
    _prune,
    records=True,
)
