# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan gives a host to do, of a job whose phases are done one after the other: as it is kept, and read there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ..core.claim import Claim
from ..core.values import SPARSE
from .facts import ConnectionFacts, Service, ToolFacts


@dataclass(frozen=True)
class OfCluster:
    """What all hosts of the cluster have in common; a job adds what it plans of its own.

    ``endpoints`` and ``members`` (ID -> name) are the healthy voters', who can be asked. ``shown`` is what the plan shows.
    """

    cluster: str
    restore_id: str
    hosts: List[str]
    endpoints: List[str]
    members: Dict[str, str]
    shown: Dict[str, str]


@dataclass(frozen=True)
class MemberPart:
    """What the phases of any job need to know of the host's member."""

    name: str
    data_dir: str
    state_dir: str
    service: Service
    tools: ToolFacts
    connection: ConnectionFacts


@dataclass(frozen=True)
class HostPart:
    """``reports``: this host does what is done once for all. ``stops``: the job stops members. ``of`` is an ``OfCluster``."""

    job: str
    mode: str
    host: str
    restore_id: str
    of: Dict[str, Any]
    reports: bool
    member: MemberPart
    claim: Optional[Claim] = field(default=None, metadata=SPARSE)
    stops: bool = False
