# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wait for the proof on one host: look, judge, and look again for as long as that can change the verdict."""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ..core.check import Check
from ..core.journal import Journal
from ..core.progress import Progress
from ..core.values import to_plain
from ..etcd.view import ClusterView
from . import steps
from .proof import failures
from .values import HostPlan
from .verdict import (
    GIVEN_UP,
    INCOMPLETE,
    NOTHING_SERVES,
    PROVEN,
    WRONG,
    Coming,
    cannot_agree,
    classify,
    missing,
    urls_by_name,
)

# A cluster that serves without all its members is compared after so many seconds, and not only when the last has come:
# whoever was given other data is to be found before clients have read it for long.
PATIENCE = 5.0

# A look at the cluster, thoroughly or not: the view, and the checks of it.
Look = Callable[[bool], Tuple[ClusterView, List[Check]]]


class Found(NamedTuple):
    """What a look came to. ``thorough``: the data was compared. ``errors``: of the missing members, by name, their words."""

    verdict: str
    thorough: bool
    checks: List[Check]
    missing: List[str]
    errors: Mapping[str, str]

    @property
    def in_words(self) -> str:
        """The failed checks, and why who is missing cannot be asked."""
        told = [f"{name}: {error}" for name, error in sorted(self.errors.items()) if error]
        return words_of(failures(self.checks)) + (f" ({'; '.join(told)})" if told else "")


class Proving:
    """The wait for the proof, by a restore's journal and this host's part of its plan."""

    def __init__(
        self,
        plan: HostPlan,
        journal: Journal,
        progress: Progress,
        look: Look,
        is_open: Callable[[str], bool],
    ) -> None:
        self.plan = plan
        self.journal = journal
        self.progress = progress
        self.look = look
        self.coming = Coming(urls_by_name(plan.of.initial_cluster), is_open)
        self._disagreed = 0  # how often in a row the hashes could not be compared, though all were told

    def seek(self, deadline: float, judges: bool, hope: float = GIVEN_UP) -> Found:
        """Look, the longer the less often, until the verdict is final, or the time is over; a proof is recorded.

        Without ``judges`` other members may not have begun yet: only a proof counts, and nobody is called missing. ``hope``:
        for how many seconds a member that nobody listens at is waited for.
        """
        began = time.monotonic()
        compared: Dict[Tuple[str, ...], Found] = {}
        self.progress.say("waiting for the proof")
        while True:
            found = self._look(thorough=False)
            waited = time.monotonic() - began
            without = tuple(found.missing)
            due = judges and found.verdict == INCOMPLETE and waited >= PATIENCE and without not in compared
            if due or (found.verdict == PROVEN and self.plan.reports):
                found = self._compare()
                compared.update({without: found} if not self._disagreed else {})
            if found.verdict in (PROVEN, WRONG) or time.monotonic() > deadline:
                break
            if judges and self.coming.is_over(self.plan.of, found.missing, hope):
                break
            self.progress.say("waiting for the proof: " + words_of(failures(found.checks)))
            pause(began)
        if judges and found.verdict == INCOMPLETE and not found.thorough:
            found = compared.get(tuple(found.missing)) or self._compare()
        if found.verdict == PROVEN:
            self.journal.record(steps.PROVEN, checks=to_plain(found.checks))
        return found

    def _compare(self) -> Found:
        """To hash is to read all data on every member: only when nothing else speaks against it."""
        self.progress.say("comparing the hashes of all members")
        return self._look(thorough=True)

    def _look(self, thorough: bool) -> Found:
        view, checks = self.look(thorough)
        of = self.plan.of
        if view.has_quorum and view.cluster_id == of.cluster_id and not self.journal.has(steps.SERVING):
            self.journal.record(steps.SERVING)
        if thorough:
            self._disagreed = self._disagreed + 1 if cannot_agree(view, checks) else 0
        absent = missing(of, view)
        errors = {member.name: "; ".join(member.errors) for member in view.members if member.name in absent}
        return Found(classify(of, view, checks, self._disagreed), thorough, checks, absent, errors)


def pause(began: float) -> None:
    """Between two looks at what takes nobody knows how long: the longer, the less often."""
    time.sleep(min(1.0, 0.1 + (time.monotonic() - began) / 10))


def words_of(failed: Sequence[Check]) -> str:
    return "; ".join(f"{check.what}: expected {check.expected}, found {check.found}" for check in failed)


def message(found: Found, settled: bool) -> Tuple[str, str]:
    """What is said of a proof that failed, and the next step."""
    if found.verdict == WRONG and not settled:
        return (
            f"the restored cluster did not prove itself, and is not the planned one: {found.in_words}.",
            "this member was stopped at once; see what these checks name.",
        )
    if found.verdict == NOTHING_SERVES and not settled:
        return (
            f"the restored cluster did not prove itself: {found.in_words}.",
            "it has no leader, and the old data is put back; look at etcd's log on the members that are named.",
        )
    return (
        f"the restored cluster did not prove itself in full: {found.in_words}.",
        "look at etcd's log on the members that are named, and run again.",
    )
