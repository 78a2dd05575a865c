# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cutover may be: what is wanted, what was seen, and what is refused before anything is touched. Pure functions."""

from __future__ import annotations

from typing import Collection, NamedTuple, Optional, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.text import counted, seconds_of
from .settings import DROP, MirrorSettings
from .state import FOLLOW, HANDED, SCAN, TAKEN, State

LEASES, LATE, SOURCE = "leases", "late", "source"  # losses that can be accepted
SETTLE = 5.0  # seconds in which nobody may write


class Terms(NamedTuple):
    """``confirmed``: it is to be done, and not only looked. ``accept`` are of the losses above; ``settle`` is in seconds."""

    back: bool = False
    confirmed: bool = False
    accept: Collection[str] = ()
    settle: float = SETTLE


def terms_of(name: str, back: bool, confirm: str, accept: Sequence[str], settle: str) -> Terms:
    """As they are given to the command, or the module. EtcdError for what is wrong in them."""
    if confirm not in ("", name):
        raise EtcdError(f"{confirm} is not the mirror's name.", f"confirm with {name}, or leave it out.")
    wrong = [one for one in accept if one not in (LEASES, LATE, SOURCE)]
    if wrong:
        raise EtcdError(f"{wrong[0]!r} is nothing that can be accepted.", f"accept {LEASES}, {LATE} or {SOURCE}.")
    try:
        return Terms(back, bool(confirm), tuple(accept), seconds_of(settle))
    except ValueError as error:
        raise EtcdError(f"{settle!r} is no length of time.", "give it in seconds, or as 10s or 1m.") from error


class Sight(NamedTuple):
    """``at`` is the destination's revision when the state was written there, ``source`` and ``destination`` the revisions now.

    Where the source does not answer, ``silent`` says why, and ``source`` is the revision that the engine has heard of last.
    ``cluster`` is the source's ID. Of the cluster that is left: ``leases`` are those that live there, -1 where nobody may know,
    and ``urls`` those at which its members serve clients, as far as they tell. ``runs``: the mirror's engine is at work here.
    """

    state: Optional[State]
    at: int
    source: int
    destination: int
    cluster: str
    leases: int
    urls: Tuple[str, ...] = ()
    silent: str = ""
    runs: bool = False

    @property
    def phase(self) -> str:
        return self.state.phase if self.state else ""

    @property
    def revision(self) -> int:
        return self.state.revision if self.state else 0

    @property
    def was_written_since(self) -> bool:
        """Whether the destination was, by anybody, since the state was put."""
        return self.destination > self.at


def is_done(sight: Sight, back: bool) -> bool:
    """Taken back is a mirror of which its engine has begun, or which nobody has written to since."""
    if not back:
        return sight.phase == HANDED
    return sight.phase != HANDED and not (sight.phase == TAKEN and sight.was_written_since)


def refuse(settings: MirrorSettings, sight: Sight, terms: Terms) -> None:
    """EtcdError for what must not be, before anything is touched."""
    if sight.state is None:
        raise EtcdError("The destination has no state of this mirror.", "run mirror.yml, and wait until it follows.")
    if is_done(sight, terms.back):
        return
    if sight.silent:
        _refuse_silent(sight, terms)
        return
    if sight.state.cluster != sight.cluster:
        raise EtcdError(
            f"The mirror was made of cluster {sight.state.cluster}, and the source is {sight.cluster} now: it was restored, or"
            " these are other endpoints.",
            "make sure which cluster is the right one, and mirror that first.",
        )
    if not terms.back:
        _refuse_unfinished(settings, sight)
    if settings.leases == DROP and sight.leases and LEASES not in terms.accept:
        leases = "may have leases" if sight.leases < 0 else f"has {counted(sight.leases, 'lease')}"
        raise EtcdError(
            f"The cluster that is left {leases}, and this mirror drops them: keys that are to go by themselves would stay.",
            "set etcd_mirror_leases to keep and wait until it follows again; or, if they may stay, accept 'leases'.",
        )


def _refuse_unfinished(settings: MirrorSettings, sight: Sight) -> None:
    """One that no engine compares any more, since it was ended in the middle of it, is compared by the cutover."""
    if sight.phase == TAKEN and sight.was_written_since:
        raise EtcdError(
            "It was taken back, but its destination was written to since, which would be undone.",
            "go back once more (--back, etcd_mirror_cutover_back), which brings that to the old cluster.",
        )
    if sight.phase == SCAN and sight.runs:
        raise EtcdError(
            "The mirror is being compared with its source, and does not have all of it yet.",
            f"wait until quorum-etcd mirror status {settings.name} says that it follows.",
        )


def _refuse_silent(sight: Sight, terms: Terms) -> None:
    if terms.back:
        raise EtcdError(f"The cluster to go back to does not answer: {sight.silent}", "see to it first.")
    if SOURCE not in terms.accept:
        raise EtcdError(
            f"The source does not answer, so that nobody can say what the mirror lacks: {sight.silent}",
            "see to it first; if it is lost, see that no client can reach it any more, and accept 'source'.",
        )
    if sight.phase != FOLLOW:
        raise EtcdError(
            "The source does not answer, and the mirror was being compared with it: it is not as the source was at any time.",
            "restore a snapshot with restore.yml.",
        )
