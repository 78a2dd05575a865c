# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A phase of the restore: what a phase before has done already is not done again, and what serves as planned stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.restore.steps import PROVEN, SERVING, STARTED
from ansible_collections.quorum.etcd.plugins.module_utils.restore.verdict import INCOMPLETE, stays_in_words, together
from ansible_collections.quorum.etcd.plugins.plugin_utils.phases import PhaseAction, Turn

# What the phase ``stop`` goes on to, and the last step that the journal has where it has done so.
AHEAD = {"cutover": (STARTED, SERVING, PROVEN), "prove": (PROVEN,)}
# What tells a verdict in a result.
JUDGED = ("verdict", "thorough", "missing", "proven")


class ActionModule(PhaseAction):
    """See the module of the same name for the documentation."""

    alone = ("judge", "finish", "rollback")  # a cluster that is proven is finished wherever it can be

    def told(self, turn: Turn) -> dict[str, Any] | None:
        if turn.phase == "agree":
            return {}  # what it is for has just been done
        if is_done_already(turn.phase, turn.own):  # spares the way to the host
            return {
                "changed": turn.phase == "cutover",
                "journal": turn.own["journal"],
                **_verdict_of(turn.phase, turn.plan),
            }
        if turn.phase == "judge" and is_judged(turn.own, turn.peers):
            return {key: turn.own[key] for key in JUDGED}
        stays = _stays(turn)
        # Its journal stays open, for the run that completes the restore.
        return {"said": stays} if stays and not turn.own.get("proven") else None

    def instead(self, turn: Turn) -> tuple[str, dict[str, Any]]:
        stays = _stays(turn)
        return ("finish", {"said": stays}) if stays else (turn.phase, {})


def _stays(turn: Turn) -> str:
    rolls_back = turn.phase == "rollback" and turn.peers
    return what_stays(turn.plan, turn.peers, turn.in_play) if rolls_back else ""


def _verdict_of(phase: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The proof that an earlier phase went on to, as the phase of its own would tell it."""
    told: dict[str, Any] = {"verdict": PROVEN, "thorough": plan.get("reports"), "missing": [], "proven": True}
    return told if phase == "prove" else {}


def is_judged(own: Mapping[str, Any], peers: Mapping[str, Any]) -> bool:
    """Whether this host has said what serves, and one that compared the data of all was among those who have."""
    return all(key in own for key in JUDGED) and any(result.get("thorough") for result in peers.values())


def what_stays(plan: Mapping[str, Any], verdicts: Mapping[str, Any], in_play: Collection[str]) -> str:
    """In words that the restored cluster stays, and without whom; empty where the old data is to come back."""
    if together(verdicts, bool(plan.get("settled"))) != INCOMPLETE:
        return ""
    proven = {host for host, result in verdicts.items() if result.get("proven") and host in in_play}
    return stays_in_words(plan["of"]["cluster"], sorted(set(verdicts) - proven))


def is_done_already(phase: str, before: Mapping[str, Any]) -> bool:
    """Whether the phase before, in this very run, went on to do this one too."""
    journal = before.get("journal") or [{}]
    return bool(before.get("changed")) and journal[-1].get("step") in AHEAD.get(phase, ())
