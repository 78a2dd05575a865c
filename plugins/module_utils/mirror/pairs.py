# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""At which revision of each side a mirror is compared with its source, and what a difference there means."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Tuple

from ..core.errors import EtcdError
from ..etcd.messages import KeyValue
from ..etcd.refusals import Compacted
from .ranges import Side
from .settings import MirrorSettings
from .state import FOLLOW, HANDED, mirrors_the_same, understood
from .verified import EXTRA, MISSING, OTHER

SAME, UNSETTLED = "same", "unsettled"
_MOST_BACK = 10_000  # parts of one large revision of the source that are gone back over


class Standing(NamedTuple):
    """What the engine wrote into the destination with the data: how far they are.

    ``exact``: they are all of the source up to ``revision`` and nothing behind it. They are not while the two are being compared,
    nor between the parts of one large revision, which ``partly`` says.
    """

    cluster: int
    revision: int
    exact: bool
    partly: bool = False


class Pair(NamedTuple):
    """The revisions that are compared. ``applied`` is that of the source which the mirror had reached; None: nobody says."""

    source: int
    destination: int
    applied: Optional[int]


class Found(NamedTuple):
    """A name as both sides had it at a pair."""

    name: bytes
    source: Optional[KeyValue]
    destination: Optional[KeyValue]
    pair: Pair


def standings(settings: MirrorSettings) -> Callable[[bytes], Standing]:
    """Understands the state that the engine of this mirror writes. EtcdError for one that does not tell of these settings."""

    def standing(value: bytes) -> Standing:
        state = understood(settings, value)
        if state.phase == HANDED:
            raise EtcdError(
                f"The destination was handed over at revision {state.revision:,} of the source, and is no mirror any more.",
                "compare nothing, or go back with mirror_cutover.yml.",
            )
        if not mirrors_the_same(state, settings):
            raise EtcdError(
                "The mirror was made with other settings of what is mirrored.",
                "let its engine run with these until its status says that it follows, and verify again.",
            )
        between = state.phase == FOLLOW and state.at(state.revision).is_exact
        return Standing(int(state.cluster, 16), state.revision, state.is_exact, partly=between)

    return standing


class Pairs:
    """Chooses pairs, from what ``read`` makes of the value of the engine's key ``state``."""

    def __init__(self, source: Side, destination: Side, state: bytes, read: Callable[[bytes], Standing]) -> None:
        self._source, self._destination, self._state, self._read = source, destination, state, read

    def choose(self, latest: bool = False) -> Pair:
        """A pair of now. ``latest``: the source is read as it is now, and not as the mirror has it.

        EtcdError where the mirror is not one of this source, or has not got through its first comparison.
        """
        destination, standing = self._standing()
        now, _kv = self._source.one(self._state)
        if standing is None:
            return Pair(now, destination, None)
        if standing.cluster != self._source.cluster:
            raise EtcdError(
                f"The mirror is one of cluster {standing.cluster:x}, and the source is {self._source.cluster:x}.",
                "correct the endpoints of the source; if it was restored, let the mirror catch up with it, and verify again.",
            )
        if standing.revision > now:
            raise EtcdError(
                f"The mirror is at revision {standing.revision:,} of its source, which is only at {now:,}.",
                "if the source was restored, let the mirror catch up with it, and verify again.",
            )
        return Pair(now if latest else standing.revision, destination, standing.revision)

    def _standing(self) -> Tuple[int, Optional[Standing]]:
        """(revision of the destination, how far the mirror was at it)."""
        revision, kv = self._destination.one(self._state)
        for _part in range(_MOST_BACK):
            standing = self._read(kv.value) if kv else None
            if kv is None or standing is None or standing.exact:
                return revision, standing
            if not standing.partly:
                break
            revision = kv.mod_revision - 1
            try:
                _revision, kv = self._destination.one(self._state, revision)
            except Compacted:
                break
        raise EtcdError(
            "The mirror is being compared with its source, and is not at any one of its revisions yet.",
            "wait until its status says that it follows, and verify again.",
        )


def kind_of(source: Optional[KeyValue], destination: Optional[KeyValue]) -> str:
    if source is None or destination is None:
        return SAME if source is destination else (EXTRA if source is None else MISSING)
    return SAME if source.value == destination.value else OTHER


def judged(found: Found, leases: bool) -> str:
    """SAME, UNSETTLED, or how the mirror really differs. ``leases``: whether they are kept, and keys expire on both sides."""
    kind, pair, source = kind_of(found.source, found.destination), found.pair, found.source
    if kind == SAME:
        return SAME
    if pair.applied is None:
        return UNSETTLED
    if kind == MISSING and leases and source is not None and source.lease:
        return UNSETTLED  # each side lets it expire by its own clock
    if pair.source == pair.applied:
        return kind
    return kind if source is not None and source.mod_revision <= pair.applied else UNSETTLED


def judged_again(first: Found, now: Found, leases: bool, over: bool) -> str:
    """The same of a name that was unsettled at ``first``. ``over``: this is the last look."""
    verdict = judged(now, leases)
    if verdict != UNSETTLED or not untouched(first, now):
        return verdict
    kind, applied = kind_of(now.source, now.destination), now.pair.applied
    if applied is None or (now.source and now.source.mod_revision <= applied):
        return kind if over else UNSETTLED
    # The source had lost it when it was first looked at. The mirror has passed that since, and has not touched it.
    return kind if kind == EXTRA and first.source is None and applied >= first.pair.source else UNSETTLED


def untouched(first: Found, now: Found) -> bool:
    """Whether nobody has written the name on either side in between."""
    return all(
        (one.mod_revision if one else 0) == (other.mod_revision if other else 0)
        for one, other in ((first.source, now.source), (first.destination, now.destination))
    )
