# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a learner says of itself where authentication is on: no user can log in there, so its metrics are read.

Seen on 3.4.23, 3.5.35, 3.6.16 and 3.7.3: a learner refuses every login with ``rpc not supported for learner``, and from 3.5 on
it refuses its status without one ("user name is empty"). Its metrics are served at its client URLs, under the same TLS, and
want no user. They have its own ID, which says whose they are.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence

from .asking import NO_LOGIN, Answer
from .commands import Connection
from .judging import main_cluster
from .printed import Listed, Status

# The text of a member's metrics at an endpoint; empty where there is none.
Read = Callable[[str, Connection], str]
_LINE = re.compile(r"^(etcd_\w+)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)


def read_metrics(endpoint: str, connection: Connection) -> str:
    """Python's HTTP and TLS are loaded only where there is a learner to ask."""
    from .handshake import get

    return get(endpoint, "/metrics", connection)


def with_learners(
    answers: Sequence[Answer], listed: Sequence[Listed], connection: Connection, read: Read
) -> List[Answer]:
    """The answers, with those of learners that refuse every login."""
    learners = {url: member.id for member in listed if member.is_learner for url in member.client_urls}
    return [
        _told(answer, learners[answer.endpoint], answers, read(answer.endpoint, connection))
        if answer.endpoint in learners and not answer.status and NO_LOGIN in answer.error
        else answer
        for answer in answers
    ]


def _told(answer: Answer, member_id: str, answers: Sequence[Answer], metrics: str) -> Answer:
    known = [one.status for one in main_cluster(answers) if one.status]
    status = status_of_metrics(metrics, known[0].cluster_id if known else "")
    if status is None or not known or status.member_id != member_id:
        return answer
    leader = next((one.leader for one in known if one.leader), "") if status.leader else ""
    return Answer(answer.endpoint, replace(status, leader=leader), opened=True)


def status_of_metrics(metrics: str, cluster_id: str) -> Optional[Status]:
    """What a learner's metrics say, as its status would; None where they are not a learner's, or incomplete. ``leader`` is only
    whether it has one."""
    labels: Dict[str, str] = {}
    values: Dict[str, int] = {}
    for name, label, value in _LINE.findall(metrics):
        labels[name] = label.partition('="')[2].rstrip('"')
        try:
            values[name] = int(float(value))
        except (ValueError, OverflowError):  # as for NaN and +Inf
            continue
    applied = values.get("etcd_server_proposals_applied_total")
    member_id, version = labels.get("etcd_server_id"), labels.get("etcd_server_version")
    if not (applied and member_id and version and values.get("etcd_server_is_learner") == 1):
        return None
    return Status(
        cluster_id=cluster_id,
        member_id=member_id,
        leader="known" if values.get("etcd_server_has_leader") == 1 else "",
        is_learner=True,
        version=version,
        storage_version="",
        revision=values.get("etcd_debugging_mvcc_current_revision", 0),
        raft_term=0,
        raft_index=values.get("etcd_server_proposals_committed_total", applied),
        raft_applied_index=applied,
        db_size=values.get("etcd_mvcc_db_total_size_in_bytes", 0),
        db_size_in_use=values.get("etcd_mvcc_db_total_size_in_use_in_bytes", 0),
        db_size_quota=0,
        errors=[],
    )
