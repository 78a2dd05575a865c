# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all phases of a restore work with on a host, and what must have happened before each."""

from __future__ import annotations

import os

from ..core.errors import EtcdError
from ..core.progress import Progress
from ..core.values import to_plain
from ..etcd.commands import Connection, Run
from ..host import service
from ..host.holders import demand_vacant
from ..host.kubernetes import Controllers
from ..host.tools import kept_tools, tools_of
from . import steps
from .values import HostPlan

STOP_TIMEOUT = 60.0  # seconds


class Work:
    """The host's part of the plan, and what it is done with. ``connection`` has the credentials to ask the cluster with."""

    def __init__(self, plan: HostPlan, run: Run, connection: Connection) -> None:
        member = plan.member
        self.plan = plan
        self.run = run
        self.connection = connection
        self.tools = kept_tools(tools_of(member.tools), member.state_dir)
        self.journal = steps.journal_of(member.state_dir, plan.restore_id)
        self.progress = Progress(os.path.join(member.state_dir, "progress"))
        self.service = service.manager(member.service, member.data_dir, member.state_dir, run)
        self.controllers = Controllers(plan.controllers)

    def need(self, step: str) -> None:
        self.forbid_after_rollback()
        if not self.journal.has(step):
            raise EtcdError(
                f"the restore {self.plan.restore_id} of {self.plan.member.name} is not at this point: '{step}' is"
                " not in its journal.",
                "run restore.yml, which does the phases in their order.",
            )

    def forbid_after_rollback(self) -> None:
        """Old data may be in place again, or none at all: whatever the journal says of the steps before is over."""
        if self.journal.goes_back() or any(steps.is_put_back(to_plain(swap)) for swap in self.plan.swaps):
            raise EtcdError(
                f"the restore {self.plan.restore_id} was rolled back, or was about to be.",
                "run restore.yml again: it ends the rollback, or makes a new plan.",
            )

    def demand_vacant(self) -> None:
        """Stopped is seen, and not believed: whoever uses the data, by whatever name, would write into what is renamed."""
        demand_vacant(
            [folder for swap in self.plan.swaps for folder in (swap.live, swap.near)],
            "see to it that nothing starts it (another unit, a watchdog, by hand), or, where its unit has another name, set"
            " etcd_service_name; then run again.",
        )

    def has_swap(self, step: str, number: int) -> bool:
        return any(entry.step == step and entry.swap == number for entry in self.journal.entries())

    def once(self, step: str) -> None:
        if not self.journal.has(step):
            self.journal.record(step)

    def resume_controllers(self) -> None:
        """Only what this restore took away; what somebody had stopped before stays so."""
        if self.journal.has(steps.PAUSED) and self.controllers.resume():
            self.journal.record(steps.RESUMED)
