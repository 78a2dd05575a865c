# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of several snapshots is the newest: by what is in them first, and by a clock only where that does not tell.

Within one etcd cluster revisions only grow, so that the snapshot with the highest is the newest, whenever its file was
written. Each restore makes a new etcd cluster, with IDs of its own, whose revisions go on from wherever they were raised to:
between two of them revisions say nothing. There the cluster that is on the members now goes first, one that a rollback has
taken back last, and among others the time counts: that of a manifest before that of a file, which a copy makes anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import AbstractSet, Generic, List, Optional, Sequence, Set, Tuple, TypeVar

from .entry import Manifest, Snapshot

S = TypeVar("S", bound=Snapshot)
_NO_MANIFEST = Manifest()


@dataclass
class Lineage(Generic[S]):
    """The snapshots of one etcd cluster. ``name`` and ``cluster_id`` are the manifests' words, ``members`` IDs (hex)."""

    name: str = ""
    cluster_id: str = ""
    members: Set[str] = field(default_factory=set)
    entries: List[S] = field(default_factory=list)

    @property
    def ids(self) -> Set[str]:
        return self.members | ({self.cluster_id} if self.cluster_id else set())

    def newest_first(self) -> List[S]:
        return sorted(self.entries, key=_rank, reverse=True)

    def fits(self, entry: S) -> bool:
        """Whether a snapshot is of this cluster: nothing speaks against it, and an ID for it; or neither has any."""
        name, cluster_id, members = _cluster(entry), _cluster_id(entry), _members(entry)
        if (name and self.name and name != self.name) or (cluster_id and self.cluster_id not in ("", cluster_id)):
            return False
        if members & self.members or (cluster_id and cluster_id == self.cluster_id):
            return True
        return not (members or cluster_id or self.ids)

    def take(self, entry: S) -> None:
        self.name = self.name or _cluster(entry)
        self.cluster_id = self.cluster_id or _cluster_id(entry)
        self.members |= _members(entry)
        self.entries.append(entry)


def lineages(entries: Sequence[S]) -> List[Lineage[S]]:
    """The snapshots by their etcd cluster. A snapshot without a manifest is told by the IDs of the members in it."""
    found: List[Lineage[S]] = []
    for entry in sorted(entries, key=lambda entry: (not _cluster_id(entry), -revision(entry))):
        fitting = [lineage for lineage in found if lineage.fits(entry)]
        # Restores by etcdctl 3.4 leave the old cluster's members in the store: the most of them tell.
        lineage = max(fitting, key=lambda one: len(one.members & _members(entry)), default=Lineage())
        lineage.take(entry)
        # A member that was replaced is the link between snapshots that have none in common.
        for other in fitting:
            if other is not lineage and not other.cluster_id:
                lineage.members |= other.members
                lineage.entries += other.entries
                found.remove(other)
        if not fitting:
            found.append(lineage)
    return found


def newest(
    entries: Sequence[S], living: AbstractSet[str] = frozenset(), undone: AbstractSet[str] = frozenset()
) -> Optional[S]:
    """The newest of snapshots of one cluster; None where there is none.

    ``living`` are the IDs of the etcd cluster and the members that are on the hosts now, as far as they are known, ``undone``
    those of etcd clusters that a rollback has taken back.
    """

    def rank(lineage: Lineage[S]) -> Tuple[bool, bool, bool, str]:
        best = lineage.newest_first()[0]
        return (bool(lineage.ids & living), not lineage.ids & undone, time_is_told(best), best.taken_at)

    return max(lineages(entries), key=rank).newest_first()[0] if entries else None


def disagreeing(chosen: S, entries: Sequence[S]) -> List[S]:
    """Those that would be the newest by the time alone, or by the revision alone, and are not: at most one each."""
    later = max(entries, key=lambda entry: entry.taken_at, default=chosen)
    higher = max(entries, key=revision, default=chosen)
    found = [later] if later.taken_at > chosen.taken_at and revision(later) != revision(chosen) else []
    if revision(higher) > revision(chosen) and higher not in found:
        found.append(higher)
    return found


def revision(entry: Snapshot) -> int:
    """Its revision; of a compressed one that was not unpacked, the manifest's word."""
    return entry.revision or _manifest(entry).revision or 0


def time_is_told(entry: Snapshot) -> bool:
    """Whether ``taken_at`` is a manifest's word, and not only the time of the file."""
    return bool(_manifest(entry).taken_at)


def clock_of(entry: Snapshot) -> str:
    """What to write behind ``taken_at``."""
    return "" if time_is_told(entry) else " by its file time"


def _rank(entry: Snapshot) -> Tuple[int, bool, str]:
    return (revision(entry), time_is_told(entry), entry.taken_at)


def _manifest(entry: Snapshot) -> Manifest:
    return entry.manifest or _NO_MANIFEST


def _cluster(entry: Snapshot) -> str:
    return _manifest(entry).cluster or ""


def _cluster_id(entry: Snapshot) -> str:
    return _manifest(entry).cluster_id or ""


def _members(entry: Snapshot) -> Set[str]:
    return {member.id for member in entry.members}
