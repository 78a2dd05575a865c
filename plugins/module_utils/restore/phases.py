# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a restore on one host: claim, stage, stop, cutover, prove, finish, rollback.

Each follows this host's part of the plan, records its steps in the journal, and does again only what is not done yet.
Nothing of the old cluster is deleted: what is in the way is renamed and stays beside the new data, or, where the operator
named a folder on another file system because there is no room for both (``slow``), it is moved there.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from ..core.errors import EtcdError
from ..core.values import Misfit, from_plain
from ..etcd.cluster import observe
from ..etcd.commands import Connection, Run
from ..etcd.view import ClusterView
from .cutover import Cutover
from .ending import Ending
from .proof import Check, prove
from .proving import Proving
from .restoring import Restoring
from .rollback import Rollback
from .staging import Stage
from .values import HostPlan
from .watching import is_open
from .work import Work


class Restore:
    """One host's restore, by its part of the plan as it stands in the journal and comes to the module."""

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        self.work = work = Work(_understood(plan), run, connection)
        self.journal = work.journal
        self.progress = work.progress
        self.proving = Proving(work.plan, work.journal, work.progress, self._look, is_open)
        restoring = Restoring(work)
        self.staging = Stage(work, restoring)
        self.change = Cutover(work, restoring, self.proving)
        self.ending = Ending(work, self.proving)
        self.way_back = Rollback(work)

    def claim(self) -> bool:
        return self.staging.claim()

    def stage(self) -> bool:
        return self.staging.stage()

    def stop(self) -> bool:
        return self.change.stop()

    def cutover(self) -> bool:
        return self.change.cutover()

    def prove(self, timeout: float) -> Dict[str, Any]:
        return self.ending.prove(timeout)

    def judge(self, timeout: float) -> Dict[str, Any]:
        return self.ending.judge(timeout)

    def finish(self) -> bool:
        return self.ending.finish()

    def rollback(self, reason: str = "") -> bool:
        return self.way_back.rollback(reason)

    def _look(self, thorough: bool) -> Tuple[ClusterView, List[Check]]:
        work = self.work
        view = observe(work.run, work.tools, work.connection, hash_check=thorough)
        return view, prove(work.plan.of, view, work.run, work.tools, work.connection, thorough)


def _understood(plan: Mapping[str, Any]) -> HostPlan:
    """A plan that an earlier version has kept lacks what it did not know; see ``HostPlan`` for what holds then."""
    try:
        return from_plain(HostPlan, plan)
    except Misfit as why:
        raise EtcdError(
            f"the plan for this host cannot be understood: {why}.", "run restore.yml, which makes it."
        ) from why
