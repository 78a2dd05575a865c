# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen of a cluster, by which an older view is told: a member that is cut off, or slow, answers as if nothing were.

A cluster's revision and raft term never go back, so whoever shows less than was seen *before it was asked* has an older view,
or another history: the cluster was restored.
"""

from __future__ import annotations

import threading
from typing import NamedTuple, Optional

from .messages import Header
from .refusals import OtherCluster, Stale


class View(NamedTuple):
    """The most that was seen; all 0 before anything was."""

    cluster_id: int = 0
    revision: int = 0
    raft_term: int = 0


def older(header: Header, view: View, endpoint: str) -> Optional[Stale]:
    """Why an answer is not believed by somebody who has seen ``view``; None where it is."""
    if view.cluster_id and header.cluster_id != view.cluster_id:
        other = OtherCluster(
            f"{endpoint} is a member of cluster {header.cluster_id:016x}, and not of {view.cluster_id:016x}.",
            "give the endpoints of one cluster; if it was founded anew, start again.",
        )
        other.cluster_id, other.revision, other.raft_term = header.cluster_id, header.revision, header.raft_term
        return other
    if header.raft_term >= view.raft_term and header.revision >= view.revision:
        return None
    stale = Stale(
        f"{endpoint} has an older view: revision {header.revision} in term {header.raft_term}, and the cluster was at revision"
        f" {view.revision} in term {view.raft_term} before.",
    )
    stale.revision, stale.raft_term = header.revision, header.raft_term
    return stale


class Seen:
    """The view of one cluster, which many threads add to. The first answer says which cluster it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view = View()

    @property
    def view(self) -> View:
        return self._view

    def add(self, header: Header) -> None:
        """What an answer has shown. One of another cluster adds nothing."""
        with self._lock:
            view = self._view
            if header.cluster_id and view.cluster_id in (0, header.cluster_id):
                newest = max(view.revision, header.revision), max(view.raft_term, header.raft_term)
                self._view = View(header.cluster_id, *newest)
