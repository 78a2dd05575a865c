# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job on one host whose phases are done one after the other, with nothing to take back, and end with a proof."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, Sequence

from ..core import journal as steps
from ..core.check import Check
from ..core.claim import take
from ..core.errors import EtcdError
from ..core.host_job import HostJob, Phase
from ..core.journal import Journal, Kind
from ..core.progress import Progress
from ..core.reporting import begins, ends
from ..core.values import from_plain, to_plain
from ..etcd.commands import Connection, Run
from .parts import HostPart
from .tools import keep_tools, kept_tools, tools_of

PROVE = "prove"


class Stepwise(HostJob):
    """Each of ``PHASES`` is a method of that name, but for ``prove``: it seeks what ``checks`` gives.

    The journal has where each phase began and ended. What a phase changes is changed once for all, by the host of the plan that
    ``reports``: it returns True where it did; the others only record that it was their turn. But those in ``EACH`` every host
    does.
    """

    LOOKS = (PROVE,)
    EACH: Sequence[str] = ()

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        self.part = from_plain(HostPart, plan)
        member = self.part.member
        journal = Journal(member.state_dir, self.part.restore_id, Kind(job=self.part.job))
        super().__init__(plan, journal, Progress(os.path.join(member.state_dir, "progress")))
        self.run, self.connection = run, connection
        self.tools = kept_tools(tools_of(member.tools), member.state_dir)
        if self.tools.etcdctl is None:
            raise EtcdError("etcdctl is missing on this host.", "install etcdctl, or set etcd_bin_dir.")
        self.etcdctl = self.tools.etcdctl

    def do(self, phase: Phase) -> Dict[str, Any]:
        take(self.journal, self.plan, phase.name, begins=phase.name == self.PHASES[0])
        self.journal.open(dict(self.plan))
        member = self.part.member
        with self.journal.at_work():
            # Tools that are only in the member's container go when that is stopped.
            keep_tools(tools_of(member.tools), member.state_dir, self.run, member.service.image)
            return {"changed": self._do(phase)}

    def _do(self, phase: Phase) -> bool:
        if self.journal.has(ends(phase.name)):
            return False
        self.journal.record(begins(phase.name))
        if phase.name == PROVE:
            self._prove(phase.timeout)
            changed = False
        else:
            changed = (self.part.reports or phase.name in self.EACH) and bool(getattr(self, phase.name)())
        self.journal.record(ends(phase.name))
        if phase.name == self.PHASES[-1]:
            self.journal.record(steps.FINISHED)
        return changed

    def checks(self) -> List[Check]:
        """What must be true at the end, as far as it can be said yet."""
        raise NotImplementedError

    def _prove(self, timeout: float) -> None:
        deadline, checks = time.monotonic() + timeout, self.checks()
        while not all(check.ok for check in checks):
            failed = "; ".join(f"{each.what}: {each.found}" for each in checks if not each.ok)
            if time.monotonic() > deadline:
                raise EtcdError(
                    f"it is not proven: {failed}.", "run status.yml, which says how the cluster is, and run again."
                )
            self.progress.say(f"waiting for the proof: {failed}")
            time.sleep(0.2)
            checks = self.checks()
        self.journal.record(steps.PROVEN, checks=to_plain(checks))
