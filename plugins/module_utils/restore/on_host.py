# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The restore as a job on one host: which phase does what of it, and what is told of it."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..core.claim import take
from ..core.host_job import HostJob, Phase
from ..etcd.commands import Connection, Run
from .phases import Restore
from .proof import closing_table
from .steps import STOPPING
from .verdict import aftermath


class RestoreOnHost(HostJob):
    PHASES = ("claim", "stage", "stop", "cutover", "prove", "agree", "judge", "finish", "rollback")
    LOOKS = ("prove", "agree", "judge")

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        self.restore = Restore(plan, run, connection)
        super().__init__(plan, self.restore.journal, self.restore.progress)

    def do(self, phase: Phase) -> Dict[str, Any]:
        if phase.name == "agree":
            return {"changed": False}
        take(self.journal, self.plan, phase.name, begins=phase.name in ("claim", "stage"))
        with self.journal.at_work():
            return self._do(phase)

    def _do(self, phase: Phase) -> Dict[str, Any]:
        restore = self.restore
        if phase.name in self.LOOKS:
            return {"changed": False, **getattr(restore, phase.name)(phase.timeout)}
        if phase.name == "rollback":
            return {"changed": restore.rollback(phase.reason), "said": self._what_is_back()}
        done: Dict[str, Any] = {"changed": getattr(restore, phase.name)()}
        if phase.name == "finish":
            done["summary"] = closing_table(restore.work.plan.of, self.journal.entries())
        return done

    def _what_is_back(self) -> str:
        entries, unwritten = self.journal.entries(), self.journal.unwritten
        said = ["Nothing had been stopped or changed on this host."]
        if any(entry.step == STOPPING for entry in entries):
            said = [aftermath(entries), "The old data and configuration are back on this host."]
        return " ".join(filter(None, [*said, unwritten and f"It is not on record: {unwritten}"]))
