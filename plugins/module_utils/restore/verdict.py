# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a restored cluster that has not proven itself in full: it stays, or the old data comes back.

No acknowledged write is lost by a rollback that nobody asked for. So there are three cases. *Wrong*: something shows that it
is not the planned cluster, and clients must not see it. *Nothing serves*: nobody could write. *Incomplete*: a quorum of
the planned members serves and nothing speaks against it, but a member is late or cannot be asked: it stays.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ..core.check import Check
from ..core.journal import Entry
from ..etcd.quorum import quorum_size
from ..etcd.view import ClusterView
from .proof import HASHES, KEYS, NOT_COMPARABLE, OLD_MEMBERS, failures
from .values import ClusterPlan

PROVEN, INCOMPLETE, WRONG, NOTHING_SERVES = "proven", "incomplete", "wrong", "nothing serves"
# A member that is about to serve opens its peer URL before it reads its data. One that has not for so long is not waited
# for: its service has given up. (A kubelet needs up to 20 s for a pod.) Where a phase has failed, less is hoped for.
GIVEN_UP, GIVEN_UP_AFTER_A_FAILURE = 30.0, 8.0
# In so many looks one after the other no revision was found at which the hashes can be compared, though all told theirs:
# a compaction between the two questions happens once, and members from different snapshots never agree on one.
LOOKS = 3

RESTART = (
    "restart every client that watches, or it stays stale for good: of Kubernetes every kube-apiserver first, then"
    " kube-controller-manager, kube-scheduler, and all other controllers and operators; elsewhere Patroni, APISIX, CoreDNS and"
    " whatever else keeps a watch."
)


def classify(of: ClusterPlan, view: ClusterView, checks: Sequence[Check], looks: int = 0) -> str:
    """One of the four words above. ``looks``: how often in a row the hashes were ``cannot_agree``."""
    if not failures(checks):
        return PROVEN
    if evidence(of, view, checks, looks):
        return WRONG
    return INCOMPLETE if view.has_quorum and view.cluster_id == of.cluster_id else NOTHING_SERVES


def evidence(of: ClusterPlan, view: ClusterView, checks: Sequence[Check], looks: int = 0) -> List[Check]:
    """The failed checks that time does not mend: they show another cluster, or other data, than was planned."""
    shows = {
        "cluster ID": bool(view.cluster_id),
        "cluster IDs that answer": any(found != of.cluster_id for found in view.cluster_ids),
        "member IDs": view.members_complete and not _are_planned(of, view),
        "revision at least": view.has_quorum and bool(view.revision),
        HASHES: view.hashes_equal is False or looks >= LOOKS,
        OLD_MEMBERS: True,
    }
    return [
        check
        for check in failures(checks)
        if shows.get(check.what) or (check.what == KEYS and isinstance(check.found, int))
    ]


def cannot_agree(view: ClusterView, checks: Sequence[Check]) -> bool:
    """Whether every member that serves told a hash, and they are of revisions that cannot be compared."""
    found = any(check.what == HASHES and check.found == NOT_COMPARABLE for check in checks)
    hashed = [member.hash is not None for member in view.members if member.healthy]
    return found and len(hashed) > 1 and all(hashed)


def missing(of: ClusterPlan, view: ClusterView) -> List[str]:
    """The planned members, by name, that are not healthy, and were not left out."""
    healthy = {member.name for member in view.members if member.healthy}
    return sorted(set(of.members.values()) - healthy - set(of.without or ()))


def together(results: Mapping[str, Mapping[str, Any]], settled: bool = False) -> str:
    """What the members' results of the proof come to, by their ``verdict``, of those who have one.

    ``settled``: an earlier run has left the cluster to its clients. Then only the operator takes it back.
    """
    verdicts = {result.get("verdict") for result in results.values()}
    if WRONG in verdicts and not settled:
        return WRONG
    return INCOMPLETE if settled or verdicts & {PROVEN, INCOMPLETE} else NOTHING_SERVES


def stays_in_words(cluster: str, absent: Sequence[str]) -> str:
    """What is said of a cluster that stays although not all of it is proven."""
    who = f" What is missing: {', '.join(absent)}." if absent else ""
    return (
        f"The restored cluster {cluster} STAYS, and clients can go on: a quorum of its planned members serves, and a"
        f" rollback would lose what was written since.{who} Next: see etcd's log there, make it start and reachable, and run"
        " the same command again, which completes the restore. Only you take it back: -e etcd_restore_rollback=true."
    )


def aftermath(entries: Sequence[Entry]) -> str:
    """What must be known after a rollback, by a host's journal; empty where the restored cluster was never seen to serve."""
    at = {entry.step: entry.time for entry in entries}
    served = [entry.time for entry in entries if entry.step in ("serving", "proven", "wrong")]
    if not served:
        return ""
    since, until = (f"{text[11:19]} UTC" for text in (min(served), at.get("rolling_back") or max(served)))
    if "wrong" in at:
        seen = f"CLIENTS MAY HAVE SEEN AND WRITTEN THE WRONG DATA from {since} to {until}"
    else:
        seen = f"CLIENTS MAY HAVE WRITTEN to the restored cluster from {since} to {until}"
    return f"{seen}; what they wrote then is kept beside the old data, and is not in it. Revisions have gone back: {RESTART}"


class Coming:
    """Which members may still come up, by whether anybody listens at their peer URLs each time that it is asked."""

    def __init__(self, urls: Mapping[str, str], is_open: Callable[[str], bool]) -> None:
        self._urls = urls
        self._is_open = is_open
        self._closed_since: Dict[str, float] = {}

    def given_up(self, names: Sequence[str], hope: float) -> List[str]:
        """Those of ``names`` that have been closed at every look for ``hope`` seconds; looks at all of them."""
        now = time.monotonic()
        for name in names:
            if name in self._urls and self._is_open(self._urls[name]):
                self._closed_since.pop(name, None)
            else:
                self._closed_since.setdefault(name, now)
        return [name for name in names if now - self._closed_since.get(name, now) >= hope]

    def is_over(self, of: ClusterPlan, absent: Sequence[str], hope: float = GIVEN_UP) -> bool:
        """Whether waiting for those who are absent is of no use: none of them will come, or too few for a quorum."""
        gone = self.given_up(absent, hope)
        return bool(gone) and (len(gone) == len(absent) or len(of.members) - len(gone) < quorum_size(len(of.members)))


def urls_by_name(initial_cluster: str) -> Dict[str, str]:
    """etcd's ``name=url,name=url``: one peer URL of each member."""
    return {name: url for name, _equals, url in (entry.partition("=") for entry in initial_cluster.split(",")) if url}


def _are_planned(of: ClusterPlan, view: ClusterView) -> bool:
    """Whether a whole member list has the planned IDs, and no other names where they have one."""
    listed = {member.id: member.name for member in view.members}
    return set(listed) == set(of.members) and all(not name or of.members[i] == name for i, name in listed.items())
