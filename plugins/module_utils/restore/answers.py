# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts answered, as values: held against their types before the plan reads anything of it.

An answer is made on its host, by whoever is root there, and a journal in it may be of another version. One that is not what
it should be is that host's reason to refuse, and neither a plan nor a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ..core.errors import EtcdError
from ..core.job import Findings
from ..core.journals import Unreadable
from ..core.values import Misfit, from_plain
from ..etcd.commands import Tools
from ..etcd.view import ClusterView
from ..host.facts import MemberFacts
from ..host.tools import tools_of
from ..snapshot.entry import Snapshot
from .values import HostPlan


@dataclass(frozen=True)
class LastRestore:
    """The newest restore of a member, as its journal sums it up, with the plan that the host has kept.

    ``highest_revision`` is that of all its restores.
    """

    restore_id: str
    earlier: List[str]
    step: str
    open: bool
    touched: bool
    plan: HostPlan
    back: bool = False
    started: bool = False
    proven: bool = False
    highest_revision: int = 0


@dataclass(frozen=True)
class Host:
    """What a host has told of its member, and of the snapshots that it has.

    ``recorded``: the highest revision of each cluster in the manifests of the host's snapshots; ``highest_revision``: that
    of the member in the journals of its restores. ``last`` is None where there was no restore, or it is ``unreadable``.
    """

    member: MemberFacts
    tools: Tools
    view: Optional[ClusterView] = None
    snapshots: List[Snapshot] = field(default_factory=list)
    recorded: Dict[str, int] = field(default_factory=dict)
    last: Optional[LastRestore] = None
    unreadable: Optional[Unreadable] = None
    highest_revision: int = 0


@dataclass(frozen=True)
class HostAnswer:
    """A host of the inventory: of which cluster, and what it has told, or ``why`` it has told nothing."""

    cluster: str
    why: str
    told: Optional[Host] = None


@dataclass(frozen=True)
class _Told:
    """An answer in its plain form; its parts are empty, or missing, where the host was not looked at."""

    member: Optional[MemberFacts] = None
    view: Optional[ClusterView] = None
    snapshots: List[Snapshot] = field(default_factory=list)
    recorded: Dict[str, int] = field(default_factory=dict)


def read_answers(hosts: Mapping[str, Mapping[str, Any]]) -> Tuple[Dict[str, HostAnswer], Dict[str, str]]:
    """The answers that can be understood, by host; and in words where and how each other one is not what is expected.

    See ``make_plan`` for what they look like.
    """
    answers, wrong = {}, {}
    for host, plain in hosts.items():
        try:
            answers[host] = HostAnswer(plain["cluster"], plain.get("why") or "", _told(plain))
        except Misfit as why:
            wrong[host] = str(why)
        except EtcdError as error:
            wrong[host] = error.message.rstrip(".")
    return answers, wrong


def _told(plain: Mapping[str, Any]) -> Optional[Host]:
    told = from_plain(_Told, {key: value or None for key, value in plain.items()})
    if told.member is None:
        return None
    host = Host(told.member, tools_of(told.member.tools), told.view, told.snapshots, told.recorded)
    return _with_journal(host, told.member.journal)


def _with_journal(host: Host, journal: Mapping[str, Any]) -> Host:
    """``journal`` is what ``restore.steps.summary`` told; of it, only a restore has a plan."""
    if journal.get("problem"):
        return replace(host, unreadable=from_plain(Unreadable, journal, "member.journal"))
    if not journal:
        return host
    last = from_plain(LastRestore, journal, "member.journal")
    return replace(host, last=last, highest_revision=last.highest_revision)


def refuse_what_is_wrong(wrong: Mapping[str, str], hosts: Iterable[str], findings: Findings) -> bool:
    """Whether any of these hosts has told what cannot be understood; each that has is a refusal of its own."""
    refused = [host for host in hosts if host in wrong]
    for host in refused:
        findings.refuse(
            f"what it answered cannot be understood: {wrong[host]}.",
            "see that nothing but this run answers for it (set_fact, variables named look_*), and what is in its"
            " state folder and its backups; run with -vvv to see the whole answer.",
            host,
        )
    return bool(refused)
