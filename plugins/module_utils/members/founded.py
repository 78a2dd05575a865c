# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a founding on one host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping

from ..core.check import Check, check
from ..core.errors import EtcdError
from ..core.values import from_plain, to_plain
from ..etcd.cluster import observe
from ..etcd.commands import Connection, Run
from ..etcd.trial import written
from ..etcd.view import ClusterView
from ..host.discovery import discover
from ..host.parts import OfCluster
from ..host.service import manager
from ..host.settings.edits import apply_edits, plan_edits
from ..host.stepwise import Stepwise
from ..host.tools import facts_of, find_tools

STARTING = "starting"  # from here on what is in the data directory may be ours


@dataclass(frozen=True)
class OfFounding(OfCluster):
    """``cluster_id`` and the IDs in ``members`` are those that follow from the URLs and the ``token``."""

    initial_cluster: str
    token: str
    cluster_id: str


class Founding(Stepwise):
    PHASES = ("start", "prove", "settle")
    EACH = ("start", "settle")

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        # The programs were not there when the plan was made.
        tools = find_tools(run, plan["member"]["connection"]["bin_dir"])
        super().__init__({**plan, "member": {**plan["member"], "tools": to_plain(facts_of(tools))}}, run, connection)
        self.of = from_plain(OfFounding, self.part.of, "of")

    def start(self) -> bool:
        """Every member without waiting: the first has started only when there is a quorum."""
        member = self.part.member
        found = discover({"service_name": member.service.name, "state_dir": member.state_dir}, self.run)
        if (found.data_dir, found.name) != (member.data_dir, member.name):
            raise EtcdError(
                f"the unit {member.service.name} is of the member {found.name or '(none)'} in {found.data_dir or '(nowhere)'},"
                f" and {member.name} in {member.data_dir} is planned.",
                "see what has changed it since, and run again.",
            )
        if found.data.has_member and not self.journal.has(STARTING):
            raise EtcdError(f"there is data in {member.data_dir} since the plan was made.", "see whose it is.")
        self._set(
            {
                "initial-cluster": self.of.initial_cluster,
                "initial-cluster-token": self.of.token,
                "initial-cluster-state": "new",
            }
        )
        service = manager(member.service, member.data_dir, member.state_dir, self.run)
        service.at_boot(True)
        self.journal.record(STARTING)
        service.start()
        return True

    def settle(self) -> bool:
        """A disk that is wiped later must not found a second cluster beside this one."""
        return self._set({"initial-cluster-state": "existing"})

    def _set(self, settings: Dict[str, str]) -> bool:
        member = self.part.member
        found = discover({"service_name": member.service.name, "state_dir": member.state_dir}, self.run)
        edits = [edit for edit in plan_edits(found, settings) if edit.is_needed()]
        apply_edits(edits, self.journal.config_folder, "before", self.run)
        return bool(edits)

    def checks(self) -> List[Check]:
        view = observe(self.run, self.tools, self.connection)
        found = judge(self.of, view)
        if not self.part.reports or not all(one.ok for one in found):
            return found
        key = f"quorum.etcd/proof/{self.part.restore_id}"
        return [*found, written(self.run, self.tools, self.connection, key, "founding")]


def judge(of: OfFounding, view: ClusterView) -> List[Check]:
    """What shows that this is the planned cluster: its IDs, its members, and that all of them have the same data."""
    started = {member.id: member.name for member in view.members if member.started}
    return [
        check("cluster IDs that answer", [of.cluster_id], list(view.cluster_ids)),
        check("members", dict(of.members), started),
        check("healthy members", sorted(of.members.values()), sorted(one.name for one in view.members if one.healthy)),
        check("equal hash of all members at one revision", True, view.hashes_equal or False),
    ]
