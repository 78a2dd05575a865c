# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From which place of the mirror's log the source is to be brought back, by a time or a revision; refused, with the reason, where
the log does not have all that happened since.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Tuple

from ..core.errors import EtcdError
from ..core.text import rfc3339
from ..etcd.messages import prefix_range
from .history import readable
from .segment_format import Head, Record
from .segment_reader import Reader, Segment, entries, segments_of, start_of

_OTHER_WAY = "choose a later time, or bring it back from a delayed mirror or a snapshot."


class Keys(NamedTuple):
    """Which keys: those that begin with ``key``, all for an empty one; with ``exact`` that one alone."""

    key: bytes
    exact: bool = False

    def has(self, key: bytes) -> bool:
        return key == self.key if self.exact else key.startswith(self.key)

    def __str__(self) -> str:
        what = "the key" if self.exact else "the keys that begin with"
        return f"{what} {readable(self.key)}" if self.key else "all keys"


class Place(NamedTuple):
    """All that happened in the cluster after ``revision`` is in the log, but to keys that begin with one of ``left_out``.

    ``wall``: when that revision was read, 0 where nobody knows.
    """

    cluster: int
    revision: int
    wall: float
    left_out: Tuple[bytes, ...] = ()


def place_at(folder: str, cluster: int, keys: Keys, at: Optional[float], revision: int, now: float) -> Place:
    """The place at a time, or else at a revision, of the cluster that the source is now."""
    span = _newest_span(segments_of(folder))
    if not span:
        raise EtcdError(
            f"there is no log in {folder}.", "run mirror.yml with etcd_mirror_keep_log: it is kept from then on."
        )
    head = span[0].head
    if head.cluster != cluster:
        raise EtcdError(
            f"the log is of cluster {head.cluster:x}, and the source is cluster {cluster:x} now: it was restored or replaced.",
            "bring it back from a snapshot: no log reaches over a restore.",
        )
    _refuse_range(head, keys)
    if at is None:
        return _at_revision(folder, span, revision)
    if at > now:
        raise EtcdError(f"{rfc3339(at)} is yet to come.", "give a time that has passed, in UTC.")
    return _at_time(folder, span, at)


def records(folder: str, place: Place, until: int, wait: float) -> Iterator[Record]:
    """What happened behind the place, up to a revision; waits so many seconds for what the engine is still to read."""
    last = place.revision
    with Reader(folder, place.revision, place.cluster) as reader:
        while last < until:
            record = reader.take(wait)
            if record is None:
                raise EtcdError(
                    f"the log ends at revision {last:,}, and the source is at {until:,}.",
                    "start the mirror, and try it again when it has read what is missing: see quorum-etcd mirror status.",
                )
            last = record.revision
            if last <= until:
                yield record


def earlier(folder: str, place: Place) -> Iterator[Record]:
    """What the log has of the time before the place, without a gap between."""
    span = _newest_span(segments_of(folder))
    for one in entries(folder, span[0].sequence if span else 0):
        if isinstance(one, Record):
            if one.revision > place.revision:
                return
            yield one


def _newest_span(segments: List[Segment]) -> List[Segment]:
    """The segments behind the newest gap, and behind one that is missing."""
    span: List[Segment] = []
    for one in reversed(segments):
        if span and span[0].sequence != one.sequence + 1:
            break
        span.insert(0, one)
        if not one.head.goes_on:
            break
    return span


def _refuse_range(head: Head, keys: Keys) -> None:
    """The log has to have the range that is watched."""
    if (head.key, head.end) == (b"\0", b"\0"):
        return
    end = keys.key + b"\0" if keys.exact else prefix_range(keys.key)[1]
    begins = keys.key >= head.key and keys.key != b""
    if not begins or (head.end != b"\0" and (end == b"\0" or end > head.end)):
        raise EtcdError(
            f"the log has only keys from {readable(head.key)} on, up to {readable(head.end)}, and not {keys}.",
            "name a prefix that the mirror has.",
        )


def _at_revision(folder: str, span: List[Segment], revision: int) -> Place:
    begin = start_of(span, revision)
    place = Place(begin.head.cluster, revision, begin.head.wall, begin.head.left_out)
    known = begin.head.after
    for one in entries(folder, begin.sequence):
        if isinstance(one, Record):
            if one.revision > revision:
                return place
            place, known = place._replace(wall=one.wall), one.revision
    if known < revision:
        raise EtcdError(f"the log ends at revision {known:,}, before {revision:,}.", "choose an earlier one.")
    return place


def _at_time(folder: str, span: List[Segment], at: float) -> Place:
    head = span[0].head
    if at < head.wall:
        why = "what was before is forgotten" if head.goes_on else head.why
        raise EtcdError(
            f"the log does not reach back to {rfc3339(at)}, but to {rfc3339(head.wall)} (revision {head.after:,}): {why}.",
            _OTHER_WAY,
        )
    begin = [one for one in span if one.head.wall <= at][-1]
    place = Place(head.cluster, begin.head.after, begin.head.wall, head.left_out)
    for one in entries(folder, begin.sequence):
        if isinstance(one, Record):
            if one.wall > at:
                break
            place = place._replace(revision=one.revision, wall=one.wall)
    return place
