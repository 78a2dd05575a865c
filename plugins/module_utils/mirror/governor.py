# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a mirror follows its source, is compared with it by keys, or must not go on: from what was seen, with the reason.

A watcher that is far behind catches up by 1,000 revisions at a time, and each time blocks the source's writes while the
whole backlog is looked through. So only what is near is followed.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..core.errors import EtcdError
from ..core.text import rfc3339
from .names import overlap
from .settings import KEEP, REFUSE, MirrorSettings, Seed
from .state import FOLLOW, HANDED, State, mirrors_the_same, state_key_in_words

NEAR = 10_000  # revisions
SEED_FROM = 1_000_000  # keys

COMPARE = "compare"
MEND = "mend"  # it was restored from a snapshot of the source


class Source(NamedTuple):
    """What all members of the source together have said. ``compacted``: what came after the log, or else the state, is gone.
    ``term`` and ``raft_index`` are 0 where nobody could tell; ``keys`` are counted only where nothing of them is in the mirror.
    """

    cluster: int
    revision: int
    compacted: bool = False
    term: int = 0
    raft_index: int = 0
    keys: int = 0


class Kept(NamedTuple):
    """The log of what was read: whether it has all since the revision of the state, or else of the seed, and how far it goes."""

    covers: bool = False
    revision: int = 0


class Target(NamedTuple):
    """The destination: whose keys it has."""

    cluster: int
    has_keys: bool = False


class Decision(NamedTuple):
    """``action`` is follow, compare or mend; ``restored``: what the log has is of a history that is no more.

    ``held``: the comparison waits for the delay, as everything does that was read, and the destination stays an earlier source
    until then; ``log_to`` is the revision up to which the log has what comes before it, 0 for nothing.
    """

    action: str
    why: str
    restored: bool = False
    held: bool = False
    log_to: int = 0


def decide(settings: MirrorSettings, state: Optional[State], source: Source, kept: Kept, target: Target) -> Decision:
    """EtcdError, with the next step, where nothing may be written."""
    decision = _decided(settings, state, source, kept, target)
    if not settings.delay or state is None or decision.action != COMPARE:
        return decision
    if state.phase == FOLLOW:
        return decision._replace(held=True)
    return decision._replace(why=f"{decision.why}, and so nothing is held back now")


def held_in_words(decision: Decision, until: float) -> str:
    what = ", and what is not in the log with it" if decision.log_to else ""
    return (
        f"{decision.why}; the comparison is held back until {rfc3339(until)}{what}: until then the destination stays an earlier"
        " source"
    )


def _decided(settings: MirrorSettings, state: Optional[State], source: Source, kept: Kept, target: Target) -> Decision:
    _refuse_itself(settings, source, target)
    if state is None:
        if target.has_keys and not settings.overwrite:
            raise EtcdError(
                "The destination has keys that no mirror has written, and the mirror would replace or delete them.",
                "empty it, choose another etcd_mirror_destination_prefix, or set etcd_mirror_overwrite if that may go.",
            )
        return _new(settings, source, kept, target)
    if state.phase == HANDED:
        raise EtcdError(
            f"The destination was handed over at revision {state.revision:,} of the source: it is no mirror any more, but its own"
            " clients' cluster.",
            _after_a_handover(settings, state, source, target),
        )
    restored = _restored(state, source, kept)
    if restored:
        if settings.on_restore == REFUSE:
            raise EtcdError(
                restored,
                "make sure that it is the right cluster; then set etcd_mirror_on_restore to resync: it becomes what that is now.",
            )
        return Decision(COMPARE, restored.rstrip("."), restored=True)
    if not mirrors_the_same(state, settings):
        return Decision(COMPARE, "the settings say otherwise what is mirrored")
    if state.phase != FOLLOW:
        return Decision(COMPARE, "the last comparison did not come to its end")
    if settings.leases == KEEP:
        return Decision(COMPARE, "leases may have run out in the destination while no engine kept them alive")
    return _near_or_far(state, source, kept)


def _after_a_handover(settings: MirrorSettings, state: State, source: Source, target: Target) -> str:
    if state.is_of_others(source.cluster, target.cluster):
        key = state_key_in_words(settings)
        return f"if a snapshot has brought that there, and it may be overwritten, delete {key} in it; else take this mirror away."
    return "to go back, run mirror_cutover.yml with etcd_mirror_cutover_back; else take this mirror away."


def _new(settings: MirrorSettings, source: Source, kept: Kept, target: Target) -> Decision:
    seed = seed_of(settings, source.cluster, target.cluster)
    if seed is None:
        return Decision(COMPARE, f"the destination is new{_seed_instead(settings, source)}")
    what = f"the destination was restored from a snapshot of the source at revision {seed.revision:,}"
    behind = source.revision - seed.revision
    unread = source.revision - max(seed.revision, kept.revision)
    if unread < 0 or 0 < source.term < seed.term or 0 < source.raft_index < seed.raft_index:
        return Decision(COMPARE, f"{what}, and the source was restored since")
    if settings.leases == KEEP:
        return Decision(COMPARE, f"{what}, and leases may have run out there since")
    if source.compacted:
        return Decision(COMPARE, f"{what}, and what came after that is compacted away")
    if unread > NEAR:
        return Decision(COMPARE, f"{what}, and {unread:,} were not read since: that many would slow the source down")
    return Decision(MEND, f"{what}, {behind:,} revisions ago")


def _seed_instead(settings: MirrorSettings, source: Source) -> str:
    """What would begin sooner, which an engine cannot do itself: it replaces the data of the members, and all of their keys."""
    whole = not (settings.source_prefix or settings.target_prefix or settings.exclude)
    if not whole or source.keys < SEED_FROM:
        return ""
    return f"; with {source.keys:,} keys a snapshot begins it sooner than to write each of them: run mirror_seed.yml"


def seed_of(settings: MirrorSettings, source: int, target: int) -> Optional[Seed]:
    """The snapshot of this source that this destination began with; None where keys are to have other names there."""
    seed = settings.seed
    if seed is None or settings.source_prefix != settings.target_prefix:
        return None
    return seed if (int(seed.source, 16), int(seed.destination, 16)) == (source, target) else None


def _near_or_far(state: State, source: Source, kept: Kept) -> Decision:
    log_to = kept.revision if kept.covers else 0
    if source.compacted:
        why = f"what came after revision {max(kept.revision, state.revision):,} is compacted away"
        return Decision(COMPARE, why, log_to=log_to)
    if kept.covers:
        behind = source.revision - max(kept.revision, state.revision)
        if behind > NEAR:
            why = f"{behind:,} revisions were not read yet: that many would slow the source down"
            return Decision(COMPARE, why, log_to=log_to)
        return Decision(FOLLOW, f"the log has what came after revision {state.revision:,}")
    behind = source.revision - state.revision
    if behind > NEAR:
        return Decision(COMPARE, f"it is {behind:,} revisions behind: to follow that many would slow the source down")
    return Decision(FOLLOW, f"it is {behind:,} revisions behind")


def _restored(state: State, source: Source, kept: Kept) -> str:
    if state.cluster != f"{source.cluster:x}":
        return (
            f"The source is cluster {source.cluster:x}, and the mirror was made of {state.cluster}: the source was restored, "
            "or these are other endpoints."
        )
    known = max(state.revision, kept.revision)
    if known > source.revision:
        return f"The source is at revision {source.revision:,}, and the mirror has it up to {known:,}: the source was restored."
    for what, now, before in (
        ("in raft term", source.term, state.term),
        ("at raft index", source.raft_index, state.raft_index),
    ):
        if 0 < now < before:
            return (
                f"The source is {what} {now:,}, and the mirror has seen it {what} {before:,}: the source was restored."
            )
    return ""


def _refuse_itself(settings: MirrorSettings, source: Source, target: Target) -> None:
    if source.cluster == target.cluster and overlap(settings.source_prefix, settings.target_prefix):
        raise EtcdError(
            f"Source and destination are the same cluster, {source.cluster:x}, and the same keys.",
            "name another destination, or an etcd_mirror_destination_prefix outside the prefix.",
        )
