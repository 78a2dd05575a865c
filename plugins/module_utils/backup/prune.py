# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots that no rule keeps are removed. Whoever calls has the folder's lock."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.text import rfc3339
from ..core.trees import sync_folder
from ..etcd.commands import Run
from ..snapshot.catalogue import NONE, catalogue, entry
from ..snapshot.entry import Snapshot
from ..snapshot.manifest import read_manifest
from ..snapshot.names import PACKED, beside, without_end
from .records import FAILED, PRUNED, PRUNES, Pruning
from .retention import KEEP, LEAVE, REMOVE, Decision, Policy, decide, newest_first, own_name


@dataclass(frozen=True)
class Counted:
    """Whose snapshots are counted: the cluster by its name and its ID, and how many are kept.

    With ``signers`` only what one of them has signed is counted: nobody else can push out what is good.
    """

    cluster: str
    cluster_id: str
    keep: Policy
    signers: str = ""


def look(folder: str, counted: Counted, now: float, verified: str = "", run: Optional[Run] = None) -> List[Snapshot]:
    """The folder's snapshots, with the newest good one of the cluster read to its end. ``verified``: the path of one that was.

    The others are glanced at: nothing of them counts but their names and manifests.
    """
    entries = catalogue(folder, NONE, now, run, signers=counted.signers)
    if verified:
        return [replace(found, verified=True) if found.path == verified else found for found in entries]
    read = {}
    for found in newest_first(entries, counted.cluster, counted.cluster_id):
        read[found.path] = one = entry(found.path, True, now, run, signers=counted.signers)
        if one.ok and one.verified:
            break
    return [read.get(found.path, found) for found in entries]


def prune(
    folder: str,
    counted: Counted,
    now: float,
    verified: str = "",
    pretend: bool = False,
    run: Optional[Run] = None,
) -> List[Decision]:
    """Remove what no rule keeps, the oldest first, and return what became of each snapshot. With ``pretend`` none is removed.

    EtcdError where one cannot be removed; the others are removed all the same.
    """
    decisions = decide(
        look(folder, counted, now, verified, run), counted.keep, counted.cluster, counted.cluster_id, now
    )
    doomed = [one.entry.path for one in decisions if one.verdict == REMOVE]
    failed = [] if pretend else _remove([*_remains(folder, counted), *doomed[::-1]])
    if failed:
        raise EtcdError(
            f"old snapshots could not be removed: {'; '.join(failed)}.", "check the folder's owner and its disk."
        )
    return decisions


def prune_recorded(
    state_dir: str, folder: str, counted: Counted, now: float, verified: str = "", run: Optional[Run] = None
) -> List[Decision]:
    """The same, and a line of what became of it in the state folder."""
    began = time.monotonic()
    blank = Pruning(rfc3339(now), socket.gethostname(), counted.cluster, folder, FAILED, cluster_id=counted.cluster_id)

    def record(became: Pruning) -> None:
        # Where nothing can be recorded, the run says so itself.
        with contextlib.suppress(OSError):
            PRUNES.add(state_dir, replace(became, seconds=round(time.monotonic() - began, 1)))

    try:
        decisions = prune(folder, counted, now, verified, run=run)
    except EtcdError as error:
        record(replace(blank, cause=error.message, next_step=error.next_step))
        raise
    size = sum(one.entry.packed_size or one.entry.size for one in decisions if one.verdict == REMOVE)
    kept = len(names(decisions, KEEP))
    record(replace(blank, result=PRUNED, kept=kept, removed=names(decisions, REMOVE), size=size))
    return decisions


def names(decisions: Sequence[Decision], verdict: str) -> Tuple[str, ...]:
    return tuple(one.entry.name for one in decisions if one.verdict == verdict)


def damaged(decisions: Sequence[Decision]) -> Tuple[str, ...]:
    """What is told and left: nobody knows what can still be had from it."""
    return tuple(one.entry.reason for one in decisions if one.verdict == LEAVE and not one.entry.ok)


def _remains(folder: str, counted: Counted) -> List[str]:
    """The paths of own snapshots that are gone, and beside which something was left, since a removal was killed.

    Of a snapshot that somebody has compressed or unpacked the manifest still counts.
    """
    names = set(os.listdir(folder))
    found = []
    for name in sorted(names):
        path = os.path.join(folder, name[: -len(".json")])
        file = os.path.basename(path)
        bare = without_end(file, *PACKED)
        if not name.endswith(".json") or name.startswith(".") or names & {bare, *(f"{bare}{end}" for end in PACKED)}:
            continue
        with contextlib.suppress(EtcdError):
            manifest = read_manifest(path)
            if manifest and (manifest.cluster, manifest.cluster_id) == (counted.cluster, counted.cluster_id):
                found += [path] if bare == own_name(manifest) else []
    return found


def _remove(paths: Sequence[str]) -> List[str]:
    """Why some could not be removed. The snapshot goes first, since what lies beside it is taken for nothing without it, and the
    manifest last, by which the next removal finds what this one has left."""
    failed = []
    for path in paths:
        try:
            for each in (path, *reversed(beside(path))):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each)
        except OSError as error:
            failed.append(f"{error.filename}: {error.strerror}")
    if paths:
        sync_folder(os.path.dirname(paths[0]))
    return failed
