# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover in words: its plan, and what became of it."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..core.text import counted, duration
from .cutover_terms import Sight
from .history import readable
from .settings import DROP, MirrorSettings
from .verified import Verified
from .written import Written

LOOKED, HANDED_OVER, TAKEN_BACK, ALREADY, UNKNOWN = "looked", "handed over", "taken back", "already", "unknown"


class Cutover(NamedTuple):
    """``result`` is one of the words above, ``revision`` that of the cluster that is left; ``late`` came there after it.

    ``problem`` is what went wrong once it was done; of one that is unknown, why.
    """

    result: str
    back: bool
    sight: Sight
    revision: int
    verified: Optional[Verified] = None
    late: Written = Written(0, ())
    problem: str = ""


def sides(settings: MirrorSettings, back: bool) -> Tuple[Sequence[str], Sequence[str]]:
    """The endpoints of the cluster that is left, and of that which clients are to use."""
    both = settings.source.endpoints, settings.destination.endpoints
    return (both[1], both[0]) if back else both


def told(settings: MirrorSettings, done: Cutover) -> Dict[str, Any]:
    left, taken = sides(settings, done.back)
    return {
        "left": list(left),
        "left_urls": list(dict.fromkeys([*left, *done.sight.urls])),
        "taken": list(taken),
        "result": done.result,
        "back": done.back,
        "revision": done.revision,
        "source_revision": done.sight.source,
        "destination_revision": done.sight.destination,
        "leases": done.sight.leases,
        "keys": done.verified.source_keys if done.verified else -1,
        "late": done.late.changes,
        "late_keys": [readable(key) for key in done.late.keys],
        "problem": done.problem,
    }


def in_words(settings: MirrorSettings, done: Cutover) -> List[str]:
    """The plan, or what became of it."""
    if done.result == LOOKED:
        return _plan(settings, done)
    lines = [f"mirror {settings.name}: {_outcome(done)}"]
    if done.late.changes > 0:
        left = "new" if done.back else "old"
        lines.append(
            f"  BUT {counted(done.late.changes, 'change')} came to the {left} cluster after that, of {done.late.in_words}:"
            f" {_what_to_do_with_late(done)}"
        )
    return [*lines, *([f"  BUT {done.problem}"] if done.problem else [])]


def _outcome(done: Cutover) -> str:
    if done.result == UNKNOWN:
        return "NOBODY KNOWS whether clients are to use the destination"
    if done.result == ALREADY:
        how = "is a mirror, and was not handed over" if done.back else f"was handed over at revision {done.revision:,}"
        return f"nothing to do, the destination {how}"
    keys = f", {counted(done.verified.source_keys, 'key')} compared and equal" if done.verified else ""
    if done.sight.silent:
        keys = f", without its source, which was heard of at revision {done.sight.source:,} last"
    return f"{'taken back' if done.back else 'HANDED OVER'} at revision {done.revision:,}{keys}"


def _what_to_do_with_late(done: Cutover) -> str:
    if done.back:
        return "stop who writes there, and run this again, which brings them back too; the mirror is not begun before"
    return "stop who writes there, and look at these keys"


def _plan(settings: MirrorSettings, done: Cutover) -> List[str]:
    keys = f"keys below {settings.prefix!r}" if settings.prefix else "all keys"
    left, taken = (", ".join(endpoints) for endpoints in sides(settings, done.back))
    way = "back to the old cluster" if done.back else "to the mirror"
    lines = [f"mirror {settings.name}: {way}, {keys}", f"  from  {left}", f"  to    {taken}"]
    if done.back and not done.sight.was_written_since:
        lines.append("  Nothing was written since: the mirror is one again, and is compared with its source.")
    elif done.back:
        lines.append(
            "  What was written since the handover is mirrored to the old cluster, which may lose what it alone has."
        )
    else:
        lines += _there(settings, done.sight)
    if not done.sight.silent:
        lines.append("  It is refused while somebody writes to the cluster that is left.")
    lines.append(
        f"  Revisions are each cluster's own ({done.sight.source:,} and {done.sight.destination:,}): clients that remember one,"
        " such as Kubernetes' API servers and controllers, have to be started anew."
    )
    lines.append(
        "  Keys that had a lease have none there. Users and roles are not mirrored."
        if settings.leases == DROP
        else "  Leases go on with the time that they have left: who renews them must be there before. Users and roles are not"
        " mirrored."
    )
    return [*lines, f"  nothing was touched: confirm with the mirror's name, {settings.name}"]


def _there(settings: MirrorSettings, sight: Sight) -> List[str]:
    behind = counted(max(0, sight.source - sight.revision), "revision")
    if not sight.silent:
        return [
            f"  The mirror is {behind} behind; it catches up, and both are compared key by key.",
            "  Then no engine writes the destination any more.",
        ]
    held = f", and what it holds back ({duration(settings.delay)})" if settings.delay else ""
    return [
        f"  THE SOURCE DOES NOT ANSWER. The mirror is handed over as it is, and lacks {behind} that were heard of{held}.",
        "  What was written there and is not here is named on the way back, should the source ever return.",
        "  Nobody may reach the source meanwhile: what clients write there would not be here.",
    ]
