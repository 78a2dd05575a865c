# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which snapshots of a folder are kept, which are removed, and which are none of our business. Pure functions.

Only what this software has saved by itself can be removed: a snapshot of its own name with its own manifest. What somebody has
named, copied, compressed or put there is left, and so is what another cluster, or this one before a restore, has there: the
cluster's ID in the manifest tells, which a restore makes anew. What is left is not counted either.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.text import epoch
from ..core.values import from_plain
from ..snapshot.entry import Manifest, Snapshot
from ..snapshot.order import Lineage
from ..snapshot.packed import SUFFIXES
from ..snapshot.save import default_name
from ..snapshot.verify import SNAPSHOT

KEEP, REMOVE, LEAVE = "keep", "remove", "leave"
_DAY = 86400.0
# The periods of a calendar, in UTC, by their rule: what is equal in two times that are in one of them.
_PERIODS = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G week %V", "monthly": "%Y-%m"}
_WORDS = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}


@dataclass(frozen=True)
class Policy:
    """How much is kept of one cluster: what any of the rules keeps.

    ``last`` so many, ``days`` all that are not older than that, and the newest one of each of the last so many hours, days,
    weeks and months from which there is one. ``everything``: nothing is ever removed.
    """

    last: int = 0
    days: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    everything: bool = False


DEFAULT = Policy(last=10)
_RULES = tuple(field.name for field in fields(Policy) if field.name != "everything")


class Decision(NamedTuple):
    """What becomes of a snapshot: ``keep``, ``remove`` or ``leave``, and why in words."""

    entry: Snapshot
    verdict: str
    why: str


def policy_of(given: Any) -> Policy:
    """The policy of a variable: a number (of the last ones), ``all``, or a mapping of the rules' names. EtcdError otherwise.

    Any of them may be text: what is given by ``-e`` or by a survey is.
    """
    if isinstance(given, Policy):
        return given
    if given == "all":
        return Policy(everything=True)
    if isinstance(given, str) and given.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            given = strict_json.parse(given)
    rules = given if isinstance(given, Mapping) else {"last": given}
    unknown = sorted(set(rules) - set(_RULES))
    numbers = {name: _number(rules[name]) for name in _RULES if name in rules}
    if unknown or None in numbers.values() or not any(numbers.values()):
        raise EtcdError(
            f"{given!r} does not say how many snapshots are kept.",
            f"give a number above 0, 'all', or numbers for some of {', '.join(_RULES)}.",
        )
    return from_plain(Policy, numbers)


def _number(given: Any) -> Optional[int]:
    if isinstance(given, str) and given.isdigit():
        return int(given)
    return given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else None


def decide(entries: Sequence[Snapshot], policy: Policy, cluster: str, cluster_id: str, now: float) -> List[Decision]:
    """What becomes of each snapshot of a folder, in the order that they were given.

    ``cluster`` is the cluster's name, ``cluster_id`` the ID that it has now. ``now`` is in seconds since the epoch. Where no
    snapshot of the cluster is known to be verified, none is removed.
    """
    left = {entry.path: why_left(entry, cluster, cluster_id) for entry in entries}
    own = [entry for entry in entries if not left[entry.path]]
    reasons = reasons_of(own, policy, now)
    decisions = []
    for entry in entries:
        path = entry.path
        if left[path]:
            decisions.append(Decision(entry, LEAVE, left[path]))
        elif reasons[path]:
            decisions.append(Decision(entry, KEEP, ", ".join(reasons[path])))
        else:
            decisions.append(Decision(entry, REMOVE, "no rule keeps it"))
    return decisions


def why_left(entry: Snapshot, cluster: str, cluster_id: str) -> str:
    """Why a snapshot is neither counted nor ever removed, in words; empty for one of this cluster that was saved by itself."""
    manifest = entry.manifest
    if not entry.ok:
        return f"not usable: {entry.reason}"
    if not manifest or not is_own(entry):
        return "not saved by this software under a name of its own"
    if "offsite" in manifest.more:
        return "fetched from off-site, and yours to remove"
    if manifest.cluster != cluster:
        return f"of another cluster, {manifest.cluster}"
    if manifest.cluster_id != cluster_id:
        return f"of another etcd cluster, {manifest.cluster_id}, perhaps of this one before a restore"
    return ""


def is_own(entry: Snapshot) -> bool:
    """Whether this software has saved the snapshot and named it by itself, and it still lies there as it did then."""
    manifest = entry.manifest
    if entry.kind != SNAPSHOT or not (manifest and own_name(manifest)):
        return False
    if entry.compression != (manifest.packed.compression if manifest.packed else ""):
        return False  # somebody has compressed or unpacked it since
    name = own_name(manifest) + SUFFIXES.get(entry.compression, "")
    folder = os.path.realpath(os.path.dirname(entry.path))
    return entry.name == name and entry.real_path == os.path.join(folder, name)  # and no link


def own_name(manifest: Manifest) -> str:
    """The name that this software has given to the snapshot of this manifest, but for its compression; empty: nobody knows."""
    if not manifest.taken_at:
        return ""
    return default_name(manifest.cluster or "", epoch(manifest.taken_at), manifest.revision or 0)


def newest_first(entries: Sequence[Snapshot], cluster: str, cluster_id: str) -> List[Snapshot]:
    """Of a folder's snapshots those that are counted for the cluster."""
    own = [entry for entry in entries if not why_left(entry, cluster, cluster_id)]
    return Lineage(entries=list(own)).newest_first()


def reasons_of(own: Sequence[Snapshot], policy: Policy, now: float) -> Dict[str, List[str]]:
    """By path of one etcd cluster's snapshots, every reason to keep it.

    The last ones are counted by the revision and by the time. Where the two do not agree, since a clock was set or old data
    was put back, more are kept than were asked for.
    """
    by_revision = Lineage(entries=list(own)).newest_first()
    by_time = sorted(by_revision, key=_taken, reverse=True)
    found: Dict[str, List[str]] = {entry.path: [] for entry in own}

    def keep(entry: Snapshot, why: str) -> None:
        if why not in found[entry.path]:
            found[entry.path].append(why)

    verified = [entry for entry in own if entry.verified]
    for entry in own:
        if policy.everything:
            keep(entry, "everything is kept")
        if not verified:
            keep(entry, "none is known to be verified")
        if policy.days and now - _taken(entry) <= policy.days * _DAY:
            keep(entry, f"not older than {policy.days} days")
    for order in (by_revision, by_time):
        for entry in [entry for entry in order if entry.verified][:1]:
            keep(entry, "the newest verified one")
        for entry in order[: policy.last]:
            keep(entry, f"one of the last {policy.last}")
    for rule, period in _PERIODS.items():
        wanted = getattr(policy, rule)
        seen: Set[str] = set()
        for entry in by_time:
            name = time.strftime(period, time.gmtime(_taken(entry)))
            if name not in seen and len(seen) < wanted:
                keep(entry, f"the newest of its {_WORDS[rule]}")
            seen.add(name)
    return found


def _taken(entry: Snapshot) -> float:
    return epoch(entry.taken_at)
