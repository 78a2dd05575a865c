# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One backup on this host: whether it is due, saved and verified, what is old removed, and a line of what became of it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Mapping, Optional, Tuple

from ..core.errors import EtcdError
from ..core.text import epoch, rfc3339
from ..core.threads import Beside
from ..etcd.cluster import observe, with_hashes
from ..etcd.commands import Connection, Run, Tools
from ..etcd.source import source_endpoint
from ..etcd.view import ClusterView, MemberView
from ..snapshot.catalogue import NONE, catalogue, entry
from ..snapshot.entry import Snapshot
from ..snapshot.names import manifest_path, signature_path
from ..snapshot.publish import clear_saves
from ..snapshot.save import PLAIN, Form, Saved, Source, save, source_behind
from ..snapshot.scratch import make_folder
from ..snapshot.usable import concerns
from .killed import BACKUP, at_work
from .kit import Asked, Made, make_kit
from .lock import Busy
from .prune import Counted, damaged, names, prune_recorded
from .records import BACKUPS, FAILED, NOT_ITS_TURN, SAVED, UNCHANGED, Attempt
from .retention import REMOVE, Policy, newest_first
from .turn import Turn, in_turn, own_id, strays, turn

# Users, roles and leases have no revision. Where something besides keys may have changed, a snapshot this old is made anew.
LONGEST = 86400  # seconds
ELECTION = 5.0  # seconds, in which a new leader is found


@dataclass(frozen=True)
class Job:
    """What an agent does. ``here`` are the endpoints of this host's own member; ``patience`` is in seconds.

    What a play does once has more: this host is ``chosen``, whatever the agents agree on; ``endpoint`` is the member that it is
    saved from, and ``name`` that of the file, where they are given; ``settings`` are the members' by host and name, for what
    would keep a restore from being used.
    """

    cluster: str
    folder: str
    state_dir: str
    keep: Policy
    here: Tuple[str, ...] = ()
    every_member: bool = False
    accept_divergence: bool = False
    patience: float = 0.0
    form: Form = PLAIN
    kit: Optional[Asked] = None
    chosen: bool = False
    endpoint: str = ""
    name: str = ""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def take(
    run: Run,
    tools: Tools,
    to: Connection,
    view: ClusterView,
    endpoint: str,
    folder: str,
    cluster: str,
    now: float,
    name: str = "",
    form: Form = PLAIN,
    kit: Optional[Asked] = None,
    hashed: Optional[Callable[[], ClusterView]] = None,
) -> Saved:
    """Save a snapshot of a member of the cluster that was seen as ``view``; see ``snapshot.save``.

    With ``kit``, a recovery kit lies beside it. ``hashed`` gives the same view with hashes, where ``view`` has none yet: it is
    asked before the snapshot is published, and raises what speaks against that.
    Whoever calls has the folder's lock: what a save has left there is of one that was killed, and takes room away.
    """
    clear_saves(folder)
    extra: Dict[str, object] = {"cluster": cluster, "source_host": socket.gethostname()}
    making = Beside(lambda: _kit_or_none(run, tools, view, cluster, kit) if kit else Made(b""))

    def vouch(revision: int) -> Dict[str, object]:
        return _hash_of(hashed() if hashed else view, endpoint, revision)

    source = _seen(view, endpoint) or source_behind(run, tools, to, endpoint)
    saved = save(run, tools, to, source, folder, name, now, extra, form, vouch, lambda: making.result().content)
    return saved._replace(concerns=making.result().concerns)


def _seen(view: ClusterView, endpoint: str) -> Optional[Source]:
    """Who is behind an endpoint, as it was seen: while the members hash their data they answer late."""
    seen = _member_at(view, endpoint)
    return Source(endpoint, view.cluster_id, seen.id, seen.version, seen.db_size) if seen and seen.version else None


def _member_at(view: ClusterView, endpoint: str) -> Optional[MemberView]:
    return next((member for member in view.members if member.endpoint == endpoint), None)


def _hash_of(view: ClusterView, endpoint: str, revision: int) -> Dict[str, object]:
    """What the manifest of a snapshot of this revision says of its source's hash.

    It is worth keeping only where it is known at which revision it was made, and the snapshot has that one.
    """
    source = _member_at(view, endpoint)
    if not source or source.hash is None or not 0 < (view.hash_revision or 0) <= revision:
        return {}
    return {
        "hashkv": source.hash,
        "hashkv_revision": view.hash_revision,
        "hashkv_compact_revision": source.hash_compact_revision,
    }


def _kit_or_none(run: Run, tools: Tools, view: ClusterView, cluster: str, asked: Asked) -> Made:
    """Whatever is wrong with a kit is no reason to have no backup."""
    try:
        return make_kit(run, tools, view, cluster, asked)
    except (EtcdError, OSError, ValueError) as error:
        return Made(b"", (f"there is no recovery kit beside it: {error}",))


def back_up(
    run: Run, tools: Tools, to: Connection, job: Job, force: bool = False, clock: Callable[[], float] = time.time
) -> Attempt:
    """One backup, or why none is made now; what became of it is recorded. ``force``: also where nothing was written.

    Busy where another run is at work in the folder, which records its own.
    """
    blank = Attempt(rfc3339(clock()), socket.gethostname(), job.cluster, job.folder, FAILED)
    try:
        make_folder(job.folder)
        with at_work(job.folder, BACKUP, BACKUP, job.state_dir, job.cluster, job.patience, clock):
            clear_saves(job.folder)
            return _recorded(job, _attempt(run, tools, to, job, force, clock, blank))
    except Busy:
        raise
    except EtcdError as error:  # of the folder itself
        return _recorded(job, _failed(blank, error))


def foreseen(run: Run, tools: Tools, to: Connection, job: Job, force: bool, now: float) -> Attempt:
    """What ``back_up`` would do, by a host that is chosen: nothing is saved or recorded. ``size`` is that of the database.

    EtcdError for what would keep it from that.
    """
    view = observe(run, tools, to, hash_check=False)
    blank = Attempt(rfc3339(now), socket.gethostname(), job.cluster, job.folder, SAVED, concerns=strays(view))
    newest = _newest_if_current(run, job, view, now) if os.path.isdir(job.folder) and not force else None
    if newest:
        return _unchanged(blank, newest)
    endpoint = _source(with_hashes(run, tools, to, view), job)
    source = _member_at(view, endpoint)
    return replace(blank, endpoint=endpoint, size=source.db_size if source else 0)


def refused(job: Job, error: EtcdError, now: float) -> Attempt:
    """The record of a backup that was not begun, since whoever asked for it has seen that it cannot be made."""
    return _recorded(job, _failed(Attempt(rfc3339(now), socket.gethostname(), job.cluster, job.folder, FAILED), error))


def _attempt(
    run: Run, tools: Tools, to: Connection, job: Job, force: bool, clock: Callable[[], float], blank: Attempt
) -> Attempt:
    began = time.monotonic()
    try:
        made = _made_in_the_end(run, tools, to, job, force, clock, blank)
        if made.result != NOT_ITS_TURN:
            made = _pruned(run, job, made, clock())
    except EtcdError as error:
        made = _failed(blank, error)
    return replace(made, seconds=round(time.monotonic() - began, 1))


def _made_in_the_end(
    run: Run, tools: Tools, to: Connection, job: Job, force: bool, clock: Callable[[], float], blank: Attempt
) -> Attempt:
    """With a second try where one of etcd's tools failed, or none of the members answered.

    An election, or the end of the member in the middle of what it sent, is over within seconds, and the next run is half an
    hour away.
    """
    try:
        return _made(run, tools, to, job, force, clock, blank)
    except EtcdError as error:
        if not ("rc" in error.context or error.context.get("silent")):
            raise
    time.sleep(ELECTION)
    return _made(run, tools, to, job, force, clock, blank)


def _made(
    run: Run, tools: Tools, to: Connection, job: Job, force: bool, clock: Callable[[], float], blank: Attempt
) -> Attempt:
    """The attempt but for what is old."""
    view = observe(run, tools, to, hash_check=False)
    told = strays(view)
    whose = Turn(True, "", "") if job.chosen else turn(view, job.here)
    seen = replace(
        blank, cluster_id=view.cluster_id, revision=view.revision, cause=whose.why, mine=whose.mine, concerns=told
    )
    if not (whose.mine or job.every_member):
        return replace(seen, result=NOT_ITS_TURN)
    now = clock()
    newest = None if force else _newest_if_current(run, job, view, now)
    if newest:
        return _unchanged(seen, newest)
    saved, endpoint = _saved(run, tools, to, job, view, now)
    return replace(
        seen,
        result=SAVED,
        cause="",
        cluster_id=saved.cluster_id,
        revision=saved.revision,
        path=saved.path,
        size=saved.size,
        packed_size=saved.manifest.packed.size if saved.manifest.packed else 0,
        sha256=saved.sha256,
        endpoint=endpoint,
        concerns=(
            *seen.concerns,
            *(found.in_words for found in concerns(saved.alarms, saved.size, job.settings)),
            *saved.concerns,
        ),
    )


def _unchanged(attempt: Attempt, newest: Snapshot) -> Attempt:
    return replace(
        attempt,
        result=UNCHANGED,
        cause=f"nothing was written since {newest.name}",
        path=newest.path,
        size=newest.size,
        sha256=newest.sha256,
        packed_size=newest.packed_size,
    )


class _Elsewhere(EtcdError):
    """The members' data differs, and the snapshot was not taken of the majority."""


def _saved(run: Run, tools: Tools, to: Connection, job: Job, view: ClusterView, now: float) -> Tuple[Saved, str]:
    """A snapshot, and the endpoint that it is of.

    All members hash their data while it is saved, since either reads all of it. The snapshot gets its name only where the hashes
    have nothing against its source.
    """
    endpoint = _source(view, job)
    hashes = Beside(lambda: with_hashes(run, tools, to, view))

    def agreed() -> ClusterView:
        found = hashes.result()
        if _source(found, job) != endpoint:
            raise _Elsewhere("the snapshot would be of a member whose data differs from that of the majority.")
        return found

    where = (job.folder, job.cluster, now, job.name)
    try:
        return take(run, tools, to, view, endpoint, *where, form=job.form, kit=job.kit, hashed=agreed), endpoint
    except _Elsewhere:
        found = hashes.result()
        endpoint = _source(found, job)
        return take(run, tools, to, found, endpoint, *where, form=job.form, kit=job.kit), endpoint


def _source(view: ClusterView, job: Job) -> str:
    return source_endpoint(view, job.endpoint or _usual_endpoint(view, job), job.accept_divergence)


def _newest_if_current(run: Run, job: Job, view: ClusterView, now: float) -> Optional[Snapshot]:
    """The newest snapshot, read to its end, where it holds all that the cluster has; None where a new one is due."""
    for newest in newest_first(catalogue(job.folder, NONE, now), job.cluster, view.cluster_id)[:1]:
        unsigned = job.form.signing.key and not os.path.exists(signature_path(manifest_path(newest.path)))
        if is_current(newest, view, now) and not unsigned:
            read = entry(newest.path, True, now, run, signers=job.form.signing.signers)
            return read if read.ok and read.verified else None
    return None


def is_current(newest: Snapshot, view: ClusterView, now: float) -> bool:
    """Whether nothing was written since a snapshot of this cluster was taken, as far as the cluster's numbers tell.

    Each write of a key raises the revision by one. Other changes raise only raft's index, as does a login: with that alone, a
    snapshot stays current for a day. A revision that went back is a change too: somebody has put old data back.
    """
    if newest.revision != view.revision:
        return False
    members = {(member.id, member.is_learner) for member in view.members}
    # Without a list, as etcd 3.5 gives none without a quorum, only those are known that answer; and nothing is written then.
    if view.members_complete and members != {(one.id, one.is_learner) for one in newest.members}:
        return False
    index = max([member.raft_applied_index for member in view.members], default=0)
    # One of the future, since the clock was set back, has no age that would ever end.
    return newest.consistent_index == index or now - LONGEST < epoch(newest.taken_at) <= now


def _usual_endpoint(view: ClusterView, job: Job) -> str:
    """This host's own member, whose bytes need no network, where it is in good health; empty where the best is to be found.

    For a host that was chosen it is the member whose turn the agents would say it is: the same one each time, since the pages of
    two members differ, and each change of the source would ship a full snapshot.
    """
    first = in_turn(view)[:1] if job.chosen else []
    usual = first[0].id if first else own_id(view, job.here)
    healthy = [member.endpoint for member in view.members if member.id == usual and member.healthy]
    return healthy[0] if healthy and usual and view.hashes_equal is not False else ""


def _pruned(run: Run, job: Job, made: Attempt, now: float) -> Attempt:
    counted = Counted(job.cluster, made.cluster_id, job.keep, job.form.signing.signers)
    try:
        decisions = prune_recorded(job.state_dir, job.folder, counted, now, made.path, run)
    except EtcdError as error:
        return replace(made, result=FAILED, cause=error.message, next_step=error.next_step)
    return replace(made, removed=names(decisions, REMOVE), damaged=damaged(decisions))


def _failed(attempt: Attempt, error: EtcdError) -> Attempt:
    return replace(attempt, result=FAILED, cause=error.message, next_step=error.next_step)


def _recorded(job: Job, attempt: Attempt) -> Attempt:
    unwritten = BACKUPS.note(job.state_dir, attempt, "run")
    return replace(attempt, concerns=(*attempt.concerns, unwritten)) if unwritten else attempt
