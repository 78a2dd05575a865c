# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of switch_leader on one host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping

from ..core.check import Check
from ..core.values import from_plain
from ..etcd.commands import Connection, Run
from ..etcd.membership import Membership, Patience
from ..etcd.trial import leader_of_each, written
from ..host.parts import OfCluster
from ..host.stepwise import Stepwise


@dataclass(frozen=True)
class OfSwitch(OfCluster):
    """``to`` is the member that is to lead, ``to_id`` its ID."""

    to: str
    to_id: str


class SwitchLeader(Stepwise):
    PHASES = ("move", "prove")
    PATIENCE = Patience()

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        super().__init__(plan, run, connection)
        self.of = from_plain(OfSwitch, self.part.of, "of")

    def move(self) -> bool:
        changes = Membership(self.run, self.tools, self.connection, patience=self.PATIENCE, say=self.progress.say)
        return changes.move_leader(self.of.to_id).changed

    def checks(self) -> List[Check]:
        follow = leader_of_each(self.run, self.etcdctl, self.connection, self.of.members, self.of.to)
        if not follow.ok or not self.part.reports:
            return [follow]
        key = f"quorum.etcd/proof/{self.part.restore_id}"
        return [follow, written(self.run, self.tools, self.connection, key, "switch of the leader")]
