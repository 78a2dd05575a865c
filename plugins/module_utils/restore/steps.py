# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of a restore in their order, what they mean, and what its journals tell of a member.

Whoever looks at a host asks here, at the door: what runs on a host is known without knowing of a restore.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Union

from ..core import journals
from ..core.errors import EtcdError
from ..core.journal import CLOSED, FINISHED, PLANNED, PROVEN, ROLLED_BACK, ROLLING_BACK, Journal, Kind, Plan, names
from ..core.journals import JournalSummary, Unreadable
from ..core.trees import any_is_dir, retired_name
from ..core.values import to_plain

__all__ = ["CLOSED", "FINISHED", "PLANNED", "PROVEN", "ROLLED_BACK", "ROLLING_BACK"]

# From STOPPING on, the old cluster is touched: such a restore must be completed or rolled back.
STAGED, STOPPING, STOPPED = "staged", "stopping", "stopped"
CONFIGURED, SET_ASIDE, RESTORED, SWAPPED, STARTED = "configured", "set_aside", "restored", "swapped", "started"
SERVING = "serving"
WRONG = "wrong"  # the restored cluster is not the planned one: there is only the way back
PAUSED, RESUMED = "paused", "resumed"  # the controllers of a Kubernetes above it, which stop with the member


def is_put_back(swap: Mapping[str, Any]) -> bool:
    """Whether the old data is in its place again, as the disk says: the journal could not be written at that time."""
    aside = [swap[key] for key in ("near", "aside") if swap.get(key)]
    return bool(swap.get("existed")) and any_is_dir(*map(retired_name, aside)) and not any_is_dir(*aside)


def _any_is_put_back(plan: Plan) -> bool:
    return any(is_put_back(swap) for swap in plan.get("swaps") or ())


RESTORE = Kind(
    job="restore",
    touched=STOPPING,
    back=(WRONG, ROLLING_BACK, ROLLED_BACK),
    plan={
        "of": ({"seen": (int, None), "revision": (int, None)}, None),
        "swaps": ([{"near": (str, None), "aside": (str, None), "existed": (bool, None)}], None),
    },
    is_put_back=_any_is_put_back,
)


@dataclass(frozen=True)
class RestoreSummary(JournalSummary):
    """The newest restore of a member. ``highest_revision``: see the function of that name."""

    started: bool
    proven: bool
    highest_revision: int


def journal_of(state_dir: str, restore_id: str) -> Journal:
    return Journal(state_dir, restore_id, RESTORE)


def latest(state_dir: str, data_dir: str) -> Optional[Journal]:
    """The journal of this member's newest restore on this host; None where there was none."""
    return journals.latest(state_dir, data_dir, RESTORE)


def told(state_dir: str, data_dir: str) -> Dict[str, Any]:
    """What a host's journals tell of the member: ``journal``, ``interrupted_elsewhere`` and ``newest_job`` of its facts."""
    elsewhere = journals.interrupted_elsewhere(state_dir, data_dir, RESTORE)
    newest = journals.newest(state_dir, data_dir)
    return {
        "interrupted_elsewhere": elsewhere,
        "journal": to_plain(summary(state_dir, data_dir) or {}),
        "newest_job": to_plain(newest) if newest else None,
    }


def summary(state_dir: str, data_dir: str) -> Union[RestoreSummary, Unreadable, None]:
    """The newest restore of the member here; None where there was none."""
    try:
        found = journals.summary(state_dir, data_dir, RESTORE)
        if found is None:
            return None
        done = journal_of(state_dir, found.restore_id).steps()
        return RestoreSummary(
            **vars(found),
            started=STARTED in done,
            proven=PROVEN in done,
            highest_revision=highest_revision(state_dir, data_dir),
        )
    except (EtcdError, OSError) as error:
        return Unreadable.of(error)


def highest_revision(state_dir: str, data_dir: str) -> int:
    """The highest revision that any restore of this member knew of, or started it with, whatever became of it."""
    highest = 0
    for name in names(state_dir):
        journal = journal_of(state_dir, name)
        with contextlib.suppress(EtcdError, OSError):  # what is no journal, or is broken, records nothing
            plan = journal.plan() or {}
            of = (plan.get("of") or {}) if journals.is_of(plan, data_dir) else {}
            started_with = int(of.get("revision") or 0) if journal.has(STARTED) else 0
            highest = max(highest, int(of.get("seen") or 0), started_with)
    return highest
