# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client has seen while a member was taken away, as numbers: a pure function from its samples.

All times are of one clock, the client's, and monotonic. When the member was taken away is not asked of that host's clock: right
before it is, that host writes a key, and the cluster's own order tells between which of the client's writes that was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

# A gap between acknowledged writes of so many of the client's intervals is none: it can see no finer.
GRAIN = 3
# In a cluster whose election cannot be seen, writes that stop later than this are another matter.
_SOON = 5.0


class Write(NamedTuple):
    """A write through a member: ``revision`` is what it made, 0 where it failed."""

    through: str
    start: float
    end: float
    revision: int


class Seen(NamedTuple):
    """What the others said between two moments: by name the member that each follows (empty: none), and its term."""

    start: float
    end: float
    said: Mapping[str, Tuple[str, int]]


@dataclass(frozen=True)
class Measured:
    """The numbers. Times are seconds since the member was taken away at the earliest, so each is at most; None: not seen.

    ``detection``: one of the others had no leader, another one, or a new term. ``election``: all of them had the same new
    one. ``recovery``: a write was acknowledged again after the longest gap of that time, ``gap`` seconds; ``gap_start``
    is when it began. ``away`` and ``others``: writes that failed through the member, and through the others; ``later``: of
    these, after the recovery, ``later_gap`` the longest gap there. ``grain`` is how fine all of it is. ``fault`` is when the
    member was taken away, since the client began.
    """

    fault: float
    grain: float
    leader_before: str
    leader_after: str
    term_before: int
    term_after: int
    detection: Optional[float]
    election: Optional[float]
    recovery: Optional[float]
    gap: float
    gap_start: float
    writes: int
    acknowledged: int
    away: int
    others: int
    later: int
    later_gap: float


def measured(
    writes: Sequence[Write], seen: Sequence[Seen], away: str, mark: int, interval: float
) -> Optional[Measured]:
    """The numbers of a drill that took the member ``away``; ``mark`` is the revision of the key that was written before.

    None where nothing was acknowledged before that key.
    """
    good = sorted((one for one in writes if one.revision), key=lambda one: one.end)
    before = [one for one in good if one.revision < mark]
    if not before:
        return None
    fault = max(one.start for one in before)
    known = [one for one in seen if one.said]
    first = next((one for one in reversed(known) if one.end <= fault), None) or (known[0] if known else None)
    leader, term = _consensus(first)
    after = [one for one in known if one.start >= fault]
    detection = next((one.end - fault for one in after if any(_new(one, leader, term))), None)
    count = max((len(one.said) for one in known), default=0)
    elected = [one.end - fault for one in after if all(_new(one, leader, term)) and _agree(one, count)]
    election = elected[0] if elected else None
    last = after[-1] if after else first
    over = max(one.end for one in writes)
    gap = _gap(
        good, over, fault, election if election is not None else _SOON if detection is not None else GRAIN * interval
    )
    recovery = gap[1] - fault if gap else None
    recovered = gap[1] if gap else fault
    failed = [one for one in writes if not one.revision]
    later = [one.end for one in good if one.end >= recovered]
    return Measured(
        fault=round(fault, 3),
        grain=round(GRAIN * interval, 3),
        leader_before=leader,
        leader_after=_consensus(last)[0],
        term_before=term,
        term_after=_consensus(last)[1],
        detection=_rounded(detection),
        election=_rounded(election),
        recovery=_rounded(recovery),
        gap=round(gap[1] - gap[0], 3) if gap else 0.0,
        gap_start=round(gap[0] - fault, 3) if gap else 0.0,
        writes=len(writes),
        acknowledged=len(good),
        away=len([one for one in failed if one.through == away]),
        others=len([one for one in failed if one.through != away]),
        later=len([one for one in failed if one.through != away and one.start >= recovered]),
        later_gap=round(max(_gaps(later, over), default=0.0), 3),
    )


def _rounded(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else round(max(0.0, seconds), 3)


def _gap(good: Sequence[Write], over: float, fault: float, until: float) -> Optional[Tuple[float, float]]:
    """The longest time between two acknowledged writes that began at most ``until`` seconds after the fault; None where it is
    that to the end of all, ``over``."""
    times = [*(one.end for one in good), over]
    found = [(a, b) for a, b in zip(times, times[1:]) if b > fault and a < fault + until]
    longest = max(found, key=lambda pair: pair[1] - pair[0])
    return longest if longest[1] < over else None


def _gaps(ends: Sequence[float], over: float) -> List[float]:
    """Between the acknowledged writes from the recovery on, and to the end: what never came is a gap too."""
    times = [*ends, over]
    return [b - a for a, b in zip(times, times[1:])]


def _consensus(one: Optional[Seen]) -> Tuple[str, int]:
    """Whom most follow, and the highest term."""
    if one is None:
        return "", 0
    leaders = [leader for leader, _term in one.said.values()]
    return max(leaders, key=leaders.count), max(term for _leader, term in one.said.values())


def _new(one: Seen, leader: str, term: int) -> List[bool]:
    """Of each that has said something, whether it no longer follows the leader of before in the term of before."""
    return [of != leader or at > term for of, at in one.said.values()]


def _agree(one: Seen, count: int) -> bool:
    """Whether so many follow one leader."""
    leaders = {leader for leader, _term in one.said.values()}
    return len(one.said) == count and len(leaders) == 1 and "" not in leaders
