# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of switch_leader on one host."""

from __future__ import annotations

from typing import Any, Dict, List

from ..etcd.commands import move_leader, run_checked
from ..etcd.trial import leader_of_each, written
from ..host.stepwise import Stepwise


class SwitchLeader(Stepwise):
    PHASES = ("move", "prove")

    def move(self) -> bool:
        run_checked(
            self.run, move_leader(self.etcdctl, self.connection, self.of["to_id"]), "run status.yml, and run again."
        )
        return True

    def checks(self) -> List[Dict[str, Any]]:
        follow = leader_of_each(self.run, self.etcdctl, self.connection, self.of["members"], self.of["to"])
        if not follow["ok"] or not self.plan["reports"]:
            return [follow]
        key = f"quorum.etcd/proof/{self.plan['restore_id']}"
        return [follow, written(self.run, self.tools, self.connection, key, "switch of the leader")]
