# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in a plain snapshot: its database's own words."""

from __future__ import annotations

from ..etcd.database import describe
from .entry import Inside, SnapshotMember
from .kubernetes import kubernetes_in
from .verify import trailer


def inside_of(file: str, thorough: bool = True) -> Inside:
    """What the database in ``file`` says of itself. EtcdError where it is malformed.

    Only with ``thorough`` it is read to its end for the names of a Kubernetes' encryption keys.
    """
    told = describe(file)
    kubernetes = kubernetes_in(file) if thorough else None
    return Inside(
        trailer=trailer(file),
        revision=told.revision,
        key_revision=told.key_revision,
        compact_revision=told.compact_revision,
        consistent_index=told.consistent_index,
        term=told.term,
        cluster_version=told.cluster_version,
        storage_version=told.storage_version,
        members=[
            SnapshotMember(one.id, one.name, list(one.peer_urls), list(one.client_urls), one.is_learner)
            for one in told.members
        ],
        removed_members=told.removed_members,
        auth_enabled=told.auth_enabled,
        users=told.users,
        alarms=list(told.alarms),
        kubernetes=kubernetes.found if kubernetes else False,
        encryption_keys=kubernetes.encryption_keys if kubernetes else [],
    )
