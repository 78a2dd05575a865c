# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot as a value: its verdict, its manifest, and what its database says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional

from ..core.values import MOMENT, REST, SPARSE, TEXT
from .kit import Kit


@dataclass(frozen=True)
class SnapshotMember:
    """A member of the cluster that a snapshot is from."""

    id: str
    name: str
    peer_urls: List[str]
    client_urls: List[str] = field(default_factory=list)
    is_learner: bool = False


@dataclass(frozen=True)
class Packed:
    """A compressed snapshot as it lies there: ``compression`` is ``gzip`` or ``zstd``, ``size`` in bytes."""

    compression: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Inside:
    """What is in a compressed snapshot, as it was before: the same as in ``Snapshot``, so that a look need not unpack it."""

    trailer: str
    revision: int
    key_revision: int
    members: List[SnapshotMember]
    compact_revision: int = 0
    consistent_index: int = 0
    term: int = 0
    cluster_version: str = field(default="", metadata=TEXT)
    storage_version: str = field(default="", metadata=TEXT)
    removed_members: int = 0
    auth_enabled: bool = False
    users: Optional[Dict[str, bool]] = None
    alarms: List[str] = field(default_factory=list)
    kubernetes: bool = False
    encryption_keys: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """What is read of the file beside a snapshot; any of it may be missing.

    ``more`` is what stands there for people and other programs, as it is: see the module ``snapshot``, and whoever saves a
    snapshot can add to it.
    """

    schema: Optional[int] = field(default=None, metadata=SPARSE)
    sha256: Optional[str] = field(default=None, metadata=SPARSE)
    size: Optional[int] = field(default=None, metadata=SPARSE)
    revision: Optional[int] = field(default=None, metadata=SPARSE)
    user_keys: Optional[int] = field(default=None, metadata=SPARSE)
    cluster: Optional[str] = field(default=None, metadata=SPARSE)
    cluster_id: Optional[str] = field(default=None, metadata=SPARSE)
    etcd_version: Optional[str] = field(default=None, metadata=SPARSE)
    taken_at: Optional[str] = field(default=None, metadata={**MOMENT, **SPARSE})
    file: Optional[str] = field(default=None, metadata={**TEXT, **SPARSE})
    packed: Optional[Packed] = field(default=None, metadata=SPARSE)
    inside: Optional[Inside] = field(default=None, metadata=SPARSE)
    more: Mapping[str, Any] = field(default_factory=dict, metadata=REST)


@dataclass(frozen=True)
class Snapshot:
    """A file that is or might have been a snapshot; see the module ``snapshot_info`` for what the fields mean.

    It is also kept in the plan of a restore: a field that came later has a default.
    """

    path: str
    real_path: str
    ok: bool
    verified: bool
    reason: str = field(metadata=TEXT)
    kind: str
    size: int
    sha256: str
    trailer: str
    compression: str
    packed_size: int
    taken_at: str = field(metadata=MOMENT)
    revision: int
    key_revision: int
    members: List[SnapshotMember]
    name: str = ""
    age: int = 0
    compact_revision: int = 0
    consistent_index: int = 0
    term: int = 0
    cluster_version: str = field(default="", metadata=TEXT)
    storage_version: str = field(default="", metadata=TEXT)
    removed_members: int = 0
    auth_enabled: bool = False
    users: Optional[Dict[str, bool]] = None
    alarms: List[str] = field(default_factory=list)
    kubernetes: bool = False
    encryption_keys: List[str] = field(default_factory=list)
    manifest: Optional[Manifest] = None
    signed_by: str = field(default="", metadata=TEXT)
    kit: Optional[Kit] = None
    kit_problem: str = field(default="", metadata=TEXT)
