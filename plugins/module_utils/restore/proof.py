# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that a restored cluster is the one that was planned.

Health, quorum and alarms do not show it: members restored from different snapshots report healthy. Only the predicted
identities, equal hashes at one revision, and the snapshot's own revision and number of keys do; and that no member of the
old cluster still answers, which would serve its clients old data. Last, proven means usable: a key of the proof's own is
written and deleted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Container, Dict, List, Mapping, Optional, Sequence, Union

from ..core.check import Check, check, checks_of
from ..core.errors import EtcdError
from ..core.journal import Entry
from ..core.text import instant, table
from ..etcd.asking import Knock, ask, reach
from ..etcd.commands import Connection, Run, Tools, count_keys, run_checked
from ..etcd.printed import count_of
from ..etcd.trial import NOT_WRITTEN, WRITE, is_denied, write
from ..etcd.view import ClusterView
from .steps import PROVEN, STOPPING
from .values import ClusterPlan

# Members that were restored from snapshots of other revisions were compacted at other revisions too.
NOT_COMPARABLE = "no revision at which all can be compared"
NOT_PERMITTED = "not counted: etcd_auth_user is not set, or may not read"
COMPACTED = "not counted: a client has compacted that revision since"
ALARMED = "refused for the NOSPACE alarm that the snapshot has brought: compact, defragment, then disarm it"
# Where authentication is on and nobody gave a user, or the plan has announced it, the cluster is not at fault: said, not judged.
UNJUDGED = (NOT_PERMITTED, COMPACTED, NOT_WRITTEN, ALARMED)
HASHES, OLD_MEMBERS, KEYS = "equal hash of all members at one revision", "old members that answer", "keys"


def prove(
    of: ClusterPlan,
    view: ClusterView,
    run: Run,
    tools: Tools,
    connection: Connection,
    thorough: bool = True,
    knock: Knock = reach,
) -> List[Check]:
    """Ask the cluster what the view does not say, and judge; see ``judge``."""
    user_keys: Union[int, str] = ""
    alive = _alive(of, run, tools, connection, knock) if thorough else {}
    if thorough and of.user_keys is not None and view.has_quorum:
        user_keys = _count(of, run, tools, connection)
    # Last, and into the planned cluster alone: hashes and keys were of a revision before it.
    is_planned = view.has_quorum and view.cluster_ids == [of.cluster_id]
    written = _write(of, run, tools, connection) if thorough and is_planned else "not tried: no quorum of this cluster"
    return judge(of, view, user_keys, thorough, alive, written)


def check_silent(of: ClusterPlan, run: Run, tools: Tools, connection: Connection, knock: Knock = reach) -> None:
    """Before anything is stopped: no old member may answer that this restore does not stop; EtcdError where one does."""
    alive = sorted(_alive(of, run, tools, connection, knock).items())
    old = [f"{url} (cluster {found})" for url, found in alive if found not in (of.cluster_id, of.before_id)]
    if old:
        raise EtcdError(
            f"old members of this cluster still answer at {', '.join(old)}: clients would go on to read old data from them.",
            "stop them, and see to it that they stay stopped; nothing of this cluster was stopped.",
        )


def _alive(of: ClusterPlan, run: Run, tools: Tools, connection: Connection, knock: Knock) -> Dict[str, str]:
    """The cluster ID of each of ``old_endpoints`` that answers."""
    old = of.old_endpoints
    if not old or not tools.etcdctl:
        return {}
    answers = ask(run, tools.etcdctl, replace(connection, endpoints=old), old, knock)
    return {answer.endpoint: answer.cluster_id for answer in answers if answer.status}


def judge(
    of: ClusterPlan,
    view: ClusterView,
    user_keys: Union[int, str],
    thorough: bool = True,
    alive: Optional[Mapping[str, str]] = None,
    written: Union[bool, str] = True,
) -> List[Check]:
    """Every check with what it expected and what it found.

    ``of`` is the plan of the cluster, ``view`` what ``observe`` saw, ``user_keys`` the number of keys at the restored
    revision, or in words why they could not be counted. ``alive`` has the cluster ID of each of ``old_endpoints`` that
    answers. ``written``: whether a key could be written and deleted, or in words why not. Without ``thorough`` neither the
    data nor these are judged.
    """
    members = {member.id: member.name for member in view.members if member.started and member.id}
    # Names that the operator has left out of a resumed run: gone, and not awaited.
    without = set(of.without or ())
    healthy = sorted(m.name for m in view.members if m.healthy and m.name not in without)
    checks = [
        check("cluster ID", of.cluster_id, view.cluster_id),
        check("member IDs", _but(without, of.members), _but(without, members)),
        check("cluster IDs that answer", [of.cluster_id], view.cluster_ids),
        check("healthy members", sorted(set(of.members.values()) - without), healthy),
        check("revision at least", of.revision, view.revision, view.revision >= of.revision),
    ]
    if thorough:
        equal = NOT_COMPARABLE if view.hashes_equal is None else view.hashes_equal
        checks.append(check(HASHES, True, equal))
    if thorough and of.old_endpoints:
        # An old URL that leads to the restored cluster, such as a virtual address, is none of the old cluster's.
        old = [f"{url} (cluster {found})" for url, found in sorted((alive or {}).items()) if found != of.cluster_id]
        checks.append(check(OLD_MEMBERS, [], old))
    if thorough and of.user_keys is not None:
        checks.append(check(KEYS, of.user_keys, user_keys, user_keys in (of.user_keys, *UNJUDGED)))
    if thorough:
        checks.append(check(WRITE, True, written, written in (True, *UNJUDGED)))
    return checks


def failures(checks: Sequence[Check]) -> List[Check]:
    """The checks that failed; a proof without any check is a failure too."""
    if not checks:
        return [Check("any answer of the cluster", "one", "none", False)]
    return [each for each in checks if not each.ok]


def closing_table(of: ClusterPlan, entries: Sequence[Entry]) -> List[str]:
    """What was restored and how it was proven, from the plan of the cluster and the journal of the member that compared all.

    The time from this member's stop to the proof is at most how long the restore itself kept the cluster from writes; a
    cluster that was down before was so for longer.
    """
    at = {entry.step: instant(entry.time) for entry in entries}
    rows = [["members", ", ".join(sorted(of.members.values()))]]
    rows += [["cluster ID", f"{of.before_id or 'unknown'} -> {of.cluster_id}"]]
    checks = next(checks_of(entry) for entry in reversed(entries) if entry.step == PROVEN)
    rows += [[("proven: " if each.ok else "NOT PROVEN: ") + each.what, _found(each)] for each in checks]
    if STOPPING in at:
        rows.append(["from the stop to the proof", f"{(at[PROVEN] - at[STOPPING]).total_seconds():.1f} s"])
    return [f"Cluster {of.cluster} is restored from {of.snapshot.path}", *table(rows)]


def _found(proven: Check) -> str:
    found = proven.found
    if isinstance(found, dict):
        return ", ".join(f"{name} {number}" for number, name in sorted(found.items(), key=lambda item: item[1]))
    return (", ".join(found) or "none") if isinstance(found, list) else str(found)


def _count(of: ClusterPlan, run: Run, tools: Tools, connection: Connection) -> Union[int, str]:
    """Keys at the restored revision: fixed, so that clients which write already do not disturb the proof."""
    if tools.etcdctl is None:
        return "etcdctl is missing"
    command = count_keys(tools.etcdctl, connection, of.revision)
    try:
        return count_of(run_checked(run, command), command)
    except EtcdError as error:
        if "required revision has been compacted" in error.message:
            return COMPACTED
        return NOT_PERMITTED if is_denied(error) else error.message


def _write(of: ClusterPlan, run: Run, tools: Tools, connection: Connection) -> Union[bool, str]:
    """Whether clients can write: a key that is this restore's alone comes and goes, as often as anybody seeks the proof."""
    found = write(run, tools, connection, f"quorum.etcd/proof/{of.restore_id}-{of.cluster_id}", "restore")
    is_full = isinstance(found, str) and "database space exceeded" in found
    return ALARMED if is_full and "NOSPACE" in of.snapshot.alarms else found


def _but(names: Container[str], members: Mapping[str, str]) -> Dict[str, str]:
    return {number: name for number, name in members.items() if name not in names}
