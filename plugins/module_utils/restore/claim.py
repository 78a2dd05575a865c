# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a cluster: the newest journal of a member says whose it is, and a run takes it only from the one
that it has seen there when it was planned. So two that were planned together cannot both go on.

Whether the run that is seen still lives is the plan's question: a run that was killed is simply run again.
"""

from __future__ import annotations

import contextlib
from typing import Any, Mapping, Optional

from ..core.errors import EtcdError
from ..core.job import Findings
from ..core.journal import Journal
from ..core.journals import LastRun
from .answers import HostAnswer, LastRestore
from .steps import latest
from .terms import Options
from .values import Claim

# A run of another controller, which cannot be looked at there, lives as long as this after it was last seen at work. It is
# at work all the time but between two tasks, and while the snapshot is brought to the hosts.
SILENCE = 120


def check_claims(lasts: Mapping[str, LastRestore], options: Options, findings: Findings) -> bool:
    """Whether nobody else is at work; one refusal where somebody is."""
    for host, last in lasts.items():
        if last.open and last.claim and lives(last.claim, options.runs):
            findings.refuse(
                f"{_at_work(last.restore_id, last.claim.who, last.claim.since)}, last seen at '{last.step}' at"
                f" {last.claim.seen}.",
                _way_out(last.claim, last.claim.run in options.runs),
                host,
            )
            return False
    return True


def lives(claim: LastRun, runs: Mapping[str, bool]) -> bool:
    """Whether this run is at work still: as its controller says, where that is ours, or by its signs of life."""
    known = runs.get(claim.run)
    return claim.at_work or 0 <= claim.age < SILENCE if known is None else known


def claim_of(answer: HostAnswer, options: Options) -> Optional[Claim]:
    """This run's, for a host's plan: where there is another by then than the one seen, the plan is of what is no more."""
    last = answer.told.last if answer.told else None
    return Claim(**options.run, seen=last.holder if last else "") if options.run else None


def _at_work(restore_id: str, who: str, since: str) -> str:
    return f"another run is at work on this cluster: restore {restore_id} by {who}, since {since}"


def _way_out(claim: LastRun, ours: bool) -> str:
    if ours:
        pid = claim.process.partition(" ")[0]
        return f"wait until it has ended, or end it (process {pid} on this controller), and run again."
    return f"wait until it has ended, and run again; where it was killed, {SILENCE} seconds after it was last seen."


def take(journal: Journal, plan: Mapping[str, Any], phase: str) -> None:
    """Make sure, at the begin of each phase, that the member is this run's; EtcdError where it is another's."""
    own, member = plan.get("claim"), plan["member"]
    if not own:  # no plan that a run of this version has made
        return
    begins = phase in ("claim", "stage")
    try:
        newest = latest(member["state_dir"], member["data_dir"])
    except (EtcdError, OSError):
        if begins:
            raise
        newest = journal  # what has become unreadable since is no reason to stop half way
    holder = newest.holder() if newest else ""
    if newest and holder not in (own["run"], own["seen"]):
        claim = newest.claim() or {"who": "an unknown run", "since": "then"}
        steps = newest.steps()
        raise EtcdError(
            f"{_at_work(newest.folder.rpartition('/')[2], claim['who'], claim['since'])}, last seen at"
            f" '{steps[-1] if steps else phase}' at {newest.signs_of_life()['seen']}. It began, or took over, after this run was"
            " planned, and this run does nothing more here.",
            "wait until it has ended; then run again, which makes a new plan.",
        )
    if holder != own["run"] and (begins or journal.plan()):
        # A rollback must not fail for what cannot be written.
        with contextlib.suppress(*([EtcdError] if phase == "rollback" else [])):
            journal.give_to(own)
