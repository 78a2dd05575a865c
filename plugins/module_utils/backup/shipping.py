# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the spool into the stores: what a store lacks is uploaded and compared, what is old goes in whole chains.

Each store is caught up by itself, in the order in which snapshots need each other, the data first and the manifest last: what
has no manifest there is no backup. The uploads have a lock of their own, so that a slow one holds up no backup.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..core.errors import EtcdError
from ..core.text import epoch, rfc3339
from ..etcd.commands import Run
from ..snapshot.catalogue import NONE, catalogue
from ..snapshot.names import PACKED, manifest_path, without_end
from ..snapshot.offsite import PAGES, Offsite, offsite_of
from ..snapshot.pages import sha256_of
from ..snapshot.scratch import forget, make_folder
from ..snapshot.signature import UNSIGNED, Signing, believed
from .copies import copies_folder, names_of
from .holding import (
    Content,
    abandoned,
    content_of,
    doomed,
    newest_whole,
    remove,
    remove_objects,
)
from .killed import witnessed
from .lock import Holder, locked
from .records import BACKUPS, FAILED, SHIPPED, UP_TO_DATE, UPLOADS, Upload
from .retention import Policy
from .spool import Spooled, base_of, drop, due, forget_base, is_torn, mend, put, rename, sweep, waiting
from .stores import Kept, Store, differs

Rename = Callable[[Spooled, str, str], Spooled]  # gives a file of a spooled snapshot another name
SPOOL = "spool"
_WORK = "upload"
_DAY = 86400.0
_MONTH = 31  # days that the spool keeps what a store never took, where no policy says so
_TRIES = 3  # of snapshots that fail in one run, until a store is given up for this time
_NAMES = 9  # of an object, where what lies under one is not replaced: a store that keeps nothing well gets no more
_NUMBERED = re.compile(r"(?:\.([2-9]))?(\.[a-z].*)\Z")  # what follows the snapshot's own name
_IS_KEPT = "see what lies there in its place; the next backup is shipped as a full one."
_PATIENCE = 3600.0  # seconds that the spool of another run is waited for


@dataclass(frozen=True)
class Shipping:
    """What an agent ships: the snapshots of ``folder`` to the stores, which keep them as ``keep`` says."""

    cluster: str
    folder: str
    state_dir: str
    stores: Tuple[Store, ...]
    keep: Policy
    signing: Signing = UNSIGNED

    @property
    def spool(self) -> str:
        return os.path.join(self.state_dir, SPOOL)


def ship(run: Run, job: Shipping, clock: Callable[[], float] = time.time) -> List[Upload]:
    """Spool what was saved since the last time, and bring every store up to date; what became of each is recorded.

    Of members that make each their own backups only the one whose turn it is spools them: one is enough elsewhere, and two of
    the same second would have one name. Busy, with everything spooled, where another run is shipping. A store that fails holds
    up no other.
    """
    if not job.stores:
        return []
    last = BACKUPS.last(job.state_dir, job.cluster, 1)
    problem = _spool(run, job, clock()) if not last or last[0].mine else None
    lock = os.path.join(job.state_dir, "shipping")
    make_folder(lock)
    make_folder(job.spool)
    with witnessed(lock, partial(_record_ended, job), _WORK, _WORK, job.cluster, clock=clock):
        return _ship(run, job, problem, clock)


def _record_ended(job: Shipping, who: Holder, cause: str) -> None:
    """One that was killed, or told to end. It caught the stores up in their order: it was at the first that has no record of it.

    Which stores another cluster has, which ships from the same state folder, only its own uploads tell.
    """
    whose = who.cluster or job.cluster
    uploads = UPLOADS.last(job.state_dir, whose)
    done = {one.store for one in uploads if one.at >= who.since}
    own = [store.name for store in job.stores]
    known = own if whose == job.cluster else _stores_before(uploads, who.since)
    for store in [store for store in known if store not in done][:1]:
        _recorded(job, Upload(who.since, who.host, whose, store, FAILED, cause=cause))


def _stores_before(uploads: Sequence[Upload], moment: str) -> List[str]:
    """The stores that the last run before it caught up, in its order; ``uploads`` are the newest first."""
    found: List[str] = []
    for one in uploads:
        if one.store in found:
            break
        if one.at < moment:
            found.insert(0, one.store)
    return found


def _cluster_id(job: Shipping) -> str:
    """The ID that the cluster had when it was last seen."""
    seen = (one.cluster_id for one in BACKUPS.each(job.state_dir, job.cluster))
    return next(filter(None, seen), "")


def _spool(run: Run, job: Shipping, now: float) -> Optional[EtcdError]:
    """Why not all could be spooled; None where all is. One that is damaged holds up no other."""
    problem = None
    try:
        make_folder(job.spool)
        with locked(job.spool, _PATIENCE):
            there = {one.name for one in waiting(job.spool)}
            held = {name for store in job.stores for name in names_of(copies_folder(job.state_dir, store.name))}
            entries = catalogue(job.folder, NONE, now, run, signers=believed(run, job.signing))
            for one in due(entries, base_of(job.spool), job.cluster, _cluster_id(job), held):
                try:
                    if one.manifest and without_end(one.name, *PACKED) not in there:
                        put(job.spool, one.path, one.manifest, run, job.signing)
                except EtcdError as error:
                    problem = problem or error
    except EtcdError as error:
        return error
    return problem


def _ship(run: Run, job: Shipping, problem: Optional[EtcdError], clock: Callable[[], float]) -> List[Upload]:
    missed: Set[str] = set()
    baseless = False
    uploads = []
    for store in job.stores:
        upload, state = _to_store(run, job, store, clock)
        missed |= state.missed
        baseless = baseless or state.baseless
        if problem and upload.is_good:
            upload = replace(upload, result=FAILED, cause=problem.message, next_step=problem.next_step)
        uploads.append(_recorded(job, upload))
    with locked(job.spool, _PATIENCE):
        for one in outlived(waiting(job.spool), missed, job.keep, clock()):
            drop(job.spool, one)
        sweep(job.spool)
        if baseless:
            forget_base(job.spool)
    return uploads


class _State(NamedTuple):
    """The names of what still waits for a store, and whether it lacks what the next increment would start from, for good."""

    missed: Set[str]
    baseless: bool


def _to_store(run: Run, job: Shipping, store: Store, clock: Callable[[], float]) -> Tuple[Upload, _State]:
    began, cluster_id = time.monotonic(), _cluster_id(job)
    upload = Upload(rfc3339(clock()), socket.gethostname(), job.cluster, store.name, FAILED, cluster_id=cluster_id)
    copies = copies_folder(job.state_dir, store.name)
    entries, done, held = waiting(job.spool), Sent([], [], []), None
    removed: List[str] = []
    try:
        held = content_of(store, copies)
        entries = _mended(run, job, entries)
        done = send(store, job.spool, entries, held, copies, _renaming(run, job))
        if not store.append_only:
            removed = doomed(held, job.cluster, cluster_id, job.keep, clock())
            remove(store, held, removed, copies)
            remove_objects(store, held, abandoned(held, job.cluster, cluster_id, copies, clock()))
        for problem in done.problems[:1]:
            raise problem
        upload = replace(upload, result=SHIPPED if done.sent else UP_TO_DATE)
    except EtcdError as error:
        upload = replace(upload, cause=error.message, next_step=error.next_step)
    except OSError as error:
        cause = f"what was to be shipped to {store.name} could not be read or noted: {error}."
        upload = replace(upload, cause=cause, next_step=f"check the disk of {job.state_dir}.")
    newest, whole = newest_whole(held, cluster_id) if held else ("", 0)
    lost = {one.name for one in done.lost}
    missed = {one.name for one in entries if one.name not in lost and not (held and held.has(one))}
    upload = replace(
        upload,
        seconds=round(time.monotonic() - began, 1),
        sent=tuple(one.name for one in done.sent),
        size=sum(offsite_of(one.manifest).size for one in done.sent),
        waiting=len(missed),
        newest=newest,
        newest_at=(held.manifests[newest].taken_at or "") if held and newest else "",
        whole=whole,
        removed=tuple(name for name in removed if held and name not in held.manifests),
    )
    base = base_of(job.spool)
    baseless = bool(
        held and base and base.name not in missed and (base.name in lost or not held.has_data(base.name, base.sha256))
    )
    return upload, _State(missed, baseless)


def _mended(run: Run, job: Shipping, entries: List[Spooled]) -> List[Spooled]:
    """What waits, each with a signature that is its own."""
    if not is_torn(job.spool):
        return entries
    with locked(job.spool, _PATIENCE):
        mend(job.spool, run, job.signing)
    return waiting(job.spool)


def _renaming(run: Run, job: Shipping) -> Rename:
    def do(one: Spooled, name: str, to: str) -> Spooled:
        with locked(job.spool, _PATIENCE):
            return rename(job.spool, one, name, to, run, job.signing)

    return do


def _recorded(job: Shipping, upload: Upload) -> Upload:
    unwritten = UPLOADS.note(job.state_dir, upload, "upload")
    return replace(upload, result=FAILED, cause=f"{upload.cause} {unwritten}".strip()) if unwritten else upload


class Sent(NamedTuple):
    """What was ``sent``, what is ``lost``, and the ``problems``. Lost is what is damaged in the spool, whose base is in neither
    place, what needs the very name itself, and what has another manifest in the store, which is not replaced."""

    sent: List[Spooled]
    lost: List[Spooled]
    problems: List[EtcdError]


def send(store: Store, spool: str, entries: Sequence[Spooled], held: Content, copies: str, renamed: Rename) -> Sent:
    """Upload what the store lacks, in order; ``held`` is kept up to date.

    What fails holds up what needs it, and no later chain: an object may be one that the store can no longer replace.
    """
    done = Sent([], [], [])
    failed: Set[str] = set()
    for one in entries:
        told = offsite_of(one.manifest)
        if held.has(one) or len(done.problems) >= _TRIES:
            continue
        if told.kind == PAGES and not held.can_take(one):
            (failed.add(one.name) if told.base_name in failed else done.lost.append(one))
            continue
        if not os.path.exists(os.path.join(spool, told.object)) or not _is_intact(spool, told):
            done.lost.append(one)
            done.problems.append(_damaged(spool, told.object))
            continue
        try:
            one, sizes = _upload(store, spool, one, held, renamed)
        except Kept as error:
            done.lost.append(one)
            done.problems.append(EtcdError(error.message, _IS_KEPT))
            continue
        except EtcdError as error:
            failed.add(one.name)
            done.problems.append(error)
            continue
        held.add(one.name, one.manifest, sizes)
        shutil.copyfile(os.path.join(spool, one.files[-1]), os.path.join(copies, one.files[-1]))
        done.sent.append(one)
    if done.sent:
        _look_again(store, held, done, copies)
    return done


def _upload(store: Store, spool: str, one: Spooled, held: Content, renamed: Rename) -> Tuple[Spooled, Dict[str, int]]:
    """Put its files there, the manifest last. What was put, as its manifest says it, and the files' sizes.

    An upload that was killed may have left a part of an object under its very name. Where that is not replaced, the whole one
    comes beside it under another name: what needs this snapshot goes by its manifest.
    """
    sizes = {}
    for name in one.files:
        path = os.path.join(spool, name)
        try:
            store.put(path, name)
        except Kept:
            to = another_name(one, name, held)
            if not to:
                raise
            return _upload(store, spool, renamed(one, name, to), held, renamed)
        sizes[name] = os.stat(path).st_size
    return one, sizes


def another_name(one: Spooled, name: str, held: Content) -> str:
    """A free name for a file of the snapshot, such as ``x.2.db.zst``; empty where it can have no other.

    The manifest and its signature are found by the snapshot's name, and a manifest that is there has named the others.
    """
    stem, said = without_end(one.name, ".db"), manifest_path(one.name)
    made = _NUMBERED.match(name[len(stem) :])
    if not made or not name.startswith(stem) or name.startswith(said) or said in held.sizes:
        return ""
    names = (f"{stem}.{number}{made[2]}" for number in range(int(made[1] or 1) + 1, _NAMES + 1))
    return next((other for other in names if other not in held.sizes), "")


def _is_intact(spool: str, told: Offsite) -> bool:
    return sha256_of(os.path.join(spool, told.object)) == told.sha256


def _look_again(store: Store, held: Content, done: Sent, copies: str) -> None:
    """What the store has now: what it has compared may be gone already, and what another host has shipped meanwhile counts."""
    given = held.sizes
    held.become(content_of(store, copies))
    for one in list(done.sent):
        lost = [name for name in one.files if held.sizes.get(name) != given[name]]
        if lost:
            done.sent.remove(one)
            done.problems.append(differs(store.name, lost[0]))
            if one.name in held.told:
                held.remove(one.name)
            forget(os.path.join(copies, one.files[-1]))


def _damaged(spool: str, name: str) -> EtcdError:
    return EtcdError(
        f"{name} is damaged in the spool {spool}, and is not shipped.",
        "see to its disk; the next backup is shipped as a full one.",
    )


def outlived(entries: Sequence[Spooled], missed: Set[str], keep: Policy, now: float) -> List[Spooled]:
    """What goes out of the spool: what no store still waits for (``missed`` are the names that one does), or is too old."""
    oldest = now - (keep.days or _MONTH) * _DAY
    return [
        one
        for one in entries
        if one.name not in missed or epoch(one.manifest.taken_at or "1970-01-01T00:00:00Z") < oldest
    ]
