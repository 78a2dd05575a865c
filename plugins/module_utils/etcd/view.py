# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is seen of a cluster: the values that ``cluster.observe`` answers, and that everybody else reads.

IDs are hexadecimal, as etcd prints them; sizes are in bytes. What a member that does not answer would have said is empty or
0. The plain form of a ``ClusterView`` is what the modules answer, described in ``cluster_info``. Another host may have made
it, so what a reader can do without has a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Sequence

from ..core.values import SPARSE, TEXT


@dataclass(frozen=True)
class MemberView:
    """A member: what the member list has of it, and what it says of itself. ``state`` is one of the words of ``quorum``.

    ``refusal``: what it does instead of an answer, as ``refuses the password``; empty where it is only silent.
    """

    id: str
    name: str
    state: str
    errors: Sequence[str] = field(metadata=TEXT)
    peer_urls: Sequence[str] = ()
    client_urls: Sequence[str] = ()
    is_learner: bool = False
    started: bool = True
    endpoint: str = ""
    refusal: str = field(default="", metadata=TEXT)
    healthy: bool = False
    has_leader: bool = False
    is_leader: bool = False
    version: str = ""
    storage_version: str = ""
    revision: int = 0
    raft_term: int = 0
    raft_index: int = 0
    raft_applied_index: int = 0
    db_size: int = 0
    db_size_in_use: int = 0
    db_size_quota: int = 0
    hash: Optional[int] = None
    hash_compact_revision: Optional[int] = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class EndpointView:
    """What an endpoint answered, or why it did not, and what would help to ask it."""

    endpoint: str
    state: str
    error: str = field(metadata=TEXT)
    refusal: str = field(metadata=TEXT)
    next_step: str = field(metadata=TEXT)
    member_id: str
    cluster_id: str = ""
    ok: bool = False


@dataclass(frozen=True)
class AlarmView:
    """An alarm, and the ID of the member that raised it."""

    member: str
    alarm: str


@dataclass(frozen=True)
class ClusterView:
    """A cluster as it is seen from one host. ``hash_revision`` and ``hashes_equal`` are None where the hashes do not tell.

    ``opens``: where a member of that host listens although nobody answers at its endpoints; None where nobody has looked.
    """

    cluster_id: str
    cluster_ids: Sequence[str]
    members: Sequence[MemberView]
    members_complete: bool
    endpoints: Sequence[EndpointView]
    leader: str
    leader_name: str
    has_quorum: bool
    quorum_unknown: bool
    revision: int = 0
    health: str = ""
    summary: str = field(default="", metadata=TEXT)
    next_steps: Sequence[str] = field(default=(), metadata=TEXT)
    term: int = 0
    voters: int = 0
    learners: int = 0
    healthy_voters: int = 0
    serving_voters: int = 0
    quorum: int = 0
    may_fail: int = 0
    alarms: Sequence[AlarmView] = ()
    hash_revision: Optional[int] = None
    hashes_equal: Optional[bool] = None
    best_endpoint: str = ""
    opens: Optional[Sequence[str]] = field(default=None, metadata=SPARSE)

    @property
    def strangers(self) -> Sequence[EndpointView]:
        """The endpoints where a member of another cluster answers."""
        return [one for one in self.endpoints if one.cluster_id not in ("", self.cluster_id)]

    @property
    def is_plain(self) -> bool:
        """Whether it is plain which cluster is meant: where others answer, the one with a quorum and the more members that do."""
        others = {(one.cluster_id, one.member_id) for one in self.strangers}
        own = {one.member_id for one in self.endpoints if one.cluster_id == self.cluster_id}
        return not others or (self.has_quorum and len(own) > len(others))
