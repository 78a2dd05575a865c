# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report tells of changed members besides what every job tells, and what they record for it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from ..core.journal import ADDED
from ..core.reporting import BAD, CHECK, GOOD, PLAIN, Entries, Report, RunOf, fact
from ..core.text import instant, listed, span

# What a host's journal records of a change, each with the ID of the member, and of some its name.
REMOVED, PREPARED, LAUNCHED, EVICTED, PROMOTED, RETIRED = (
    "removed",
    "prepared",
    "launched",
    "evicted",
    "promoted",
    "retired",
)


def of_run(run: RunOf) -> Dict[str, Any]:
    """What came of the members.

    ``members``: ``{name: [peer URL]}`` as they are to be at the end. ``came``: ``[{"member", "seconds" (from the call that added
    it to its vote; None where another run has added it), "tries"}]``. ``left``: the names of those that were removed so far.
    """
    came: List[Dict[str, Any]] = []
    left: List[str] = []
    for entries in run.journals.values():
        came += _came(entries)
        left += [str(one.more.get("name") or one.more.get("member")) for one in entries if one.step == REMOVED]
    return {"members": dict(run.plan.get("expected") or {}), "came": came, "left": left}


def _came(entries: Entries) -> List[Dict[str, Any]]:
    added = {one.more.get("member"): instant(one.time) for one in entries if one.step == ADDED}
    tries = 1 + sum(one.step == EVICTED for one in entries)
    return [
        {
            "member": str(one.more.get("name") or one.more.get("member")),
            # Another run may have added it.
            "seconds": (instant(one.time) - added[member]).total_seconds() if member in added else None,
            "tries": tries,
        }
        for one in entries
        for member in [one.more.get("member")]
        if one.step == PROMOTED
    ]


def facts(report: Report) -> List[Dict[str, str]]:
    """Who the members are, who came and how long that took, and who left."""
    if report["outcome"] == CHECK or not report["members"]:
        return []
    is_done = report["outcome"] == "changed"
    names = listed(sorted(report["members"]))
    shown = [
        fact("Members", names, "All of them vote, and serve the same data.", GOOD)
        if is_done
        else fact("Members", "Not there yet", f"They are to be {names}.", BAD if report["touched"] else PLAIN)
    ]
    if report["came"]:
        shown.append(fact("Came", listed([one["member"] for one in report["came"]]), listed(_times(report["came"]))))
    if report["left"]:
        shown.append(
            fact("Left", listed(report["left"]), "What they had on hosts of this run is kept beside its old place.")
        )
    return shown


def _times(came: List[Mapping[str, Any]]) -> List[str]:
    words = []
    for one in came:
        took = (
            f"{span(one['seconds'])} from a learner's seat to a vote" if one["seconds"] is not None else "a voter now"
        )
        words.append(f"{one['member']}: {took}" + (f", at the try number {one['tries']}" if one["tries"] > 1 else ""))
    return words
