# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a cluster, whatever the job: the newest journal of a member says whose it is, and a run takes it only
from the one that it has seen there when it was planned. So two that were planned together cannot both go on.

Whether the run that is seen still lives is the plan's question: a run that was killed is simply run again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from .errors import EtcdError
from .job import Findings
from .journal import Journal, job_of
from .journals import LastRun, Newest, latest

# A run of another controller, which cannot be looked at there, lives as long as this after it was last seen at work. It is
# at work all the time but between two tasks, and while a snapshot is brought to the hosts.
SILENCE = 120


@dataclass(frozen=True)
class Claim:
    """A run, as it writes itself down on the hosts that it works on, and whose the member was when it was planned (``seen``).

    ``process`` is the number and the beginning of the run's process on its ``controller``.
    """

    run: str
    who: str
    since: str
    controller: str
    process: str
    seen: str = ""


@dataclass(frozen=True)
class ThisRun:
    """``own`` is this run, as a claim names it, and ``alive`` says of those of this controller whether they still live."""

    own: Mapping[str, str] = field(default_factory=dict)
    alive: Mapping[str, bool] = field(default_factory=dict)

    def claim(self, found: Optional[Newest]) -> Optional[Claim]:
        """For a host's plan: where there is another by then than the one seen, the plan is of what is no more."""
        return Claim(**self.own, seen=found.holder if found else "") if self.own else None

    def is_alone(self, found: Mapping[str, Optional[Newest]], findings: Findings) -> bool:
        """Whether nobody else is at work on these hosts' members; one refusal where somebody is."""
        for host, newest in found.items():
            claim = newest.claim if newest and newest.open else None
            if newest and claim and self.sees_alive(claim):
                findings.refuse(
                    f"{_at_work(newest.job, newest.restore_id, claim.who, claim.since)}, last seen at '{newest.step}' at"
                    f" {claim.seen}.",
                    _way_out(claim, claim.run in self.alive),
                    host,
                )
                return False
        return True

    def sees_alive(self, claim: LastRun) -> bool:
        """Whether a run is at work still: as its controller says, where that is ours, or by its signs of life."""
        known = self.alive.get(claim.run)
        return claim.at_work or 0 <= claim.age < SILENCE if known is None else known


def _at_work(job: str, restore_id: str, who: str, since: str) -> str:
    return f"another run is at work on this cluster: {job} {restore_id} by {who}, since {since}"


def _way_out(claim: LastRun, ours: bool) -> str:
    if ours:
        pid = claim.process.partition(" ")[0]
        return f"wait until it has ended, or end it (process {pid} on this controller), and run again."
    return f"wait until it has ended, and run again; where it was killed, {SILENCE} seconds after it was last seen."


def take(journal: Journal, plan: Mapping[str, Any], phase: str, begins: bool) -> None:
    """Make sure, at the begin of each phase, that the member is this run's; EtcdError where it is another's.

    ``begins``: nothing is done yet, so that what cannot be read is a reason to stop.
    """
    own, member = plan.get("claim"), plan["member"]
    if not own:  # no plan that a run of this version has made
        return
    try:
        newest = latest(member["state_dir"], member["data_dir"])
    except (EtcdError, OSError):
        if begins:
            raise
        newest = journal  # what has become unreadable since is no reason to stop half way
    holder = newest.holder() if newest else ""
    if newest and holder not in (own["run"], own["seen"]):
        raise _of_another(newest, phase)
    if holder == own["run"] or not (begins or journal.plan()):
        return
    # A rollback must not fail for what cannot be written.
    with contextlib.suppress(*([EtcdError] if phase == "rollback" else [])):
        journal.give_to(own)
        # What is gone on with need not be the newest: of two runs that want to, one must lose there.
        if newest and newest.folder != journal.folder and journal.plan():
            newest.give_to(own)


def _of_another(newest: Journal, phase: str) -> EtcdError:
    claim = newest.claim() or {"who": "an unknown run", "since": "then"}
    steps, job = newest.steps(), job_of(newest.plan() or {})
    return EtcdError(
        f"{_at_work(job, newest.folder.rpartition('/')[2], claim['who'], claim['since'])}, last seen at"
        f" '{steps[-1] if steps else phase}' at {newest.signs_of_life()['seen']}. It began, or took over, after this run was"
        " planned, and this run does nothing more here.",
        "wait until it has ended; then run again, which makes a new plan.",
    )
