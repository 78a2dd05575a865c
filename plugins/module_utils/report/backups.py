# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of a cluster in words, as its hosts know them: how old the newest verified and the newest proven one are."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ..backup.ages import Aged, Ages, Stored
from ..core.text import duration, span
from ..core.values import from_plain
from ..snapshot.entry import Snapshot
from ..snapshot.order import newest


def ages_in_words(answers: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Of a cluster's hosts, by what each was answered by ``snapshot_info``; nothing where none has looked."""
    told = {host: from_plain(Ages, answer["ages"]) for host, answer in answers.items() if answer.get("ages")}
    if not told:
        return []
    return [_verified(told), _proven(told), *_offsite(told)]


def _verified(told: Mapping[str, Ages]) -> str:
    host, found = _youngest(told, lambda ages: ages.verified)
    if not found:
        return "No verified backup lies on its hosts."
    return f"Newest verified backup: {duration(found.age)} old, on {host}."


def _proven(told: Mapping[str, Ages]) -> str:
    host, found = _youngest(told, lambda ages: ages.proven)
    if not found:
        return "No backup was ever proven by a drill: see drill.yml."
    return (
        f"Newest proven backup: {duration(found.age)} old, proven {duration(found.told_age)} ago on {host}, where a restore of it"
        f" takes about {span(found.restore_seconds)}."
    )


def _offsite(told: Mapping[str, Ages]) -> List[str]:
    """Each store once: by the host that knows of the youngest there."""
    lines = []
    for store in sorted({one.store for ages in told.values() for one in ages.offsite}):
        seen = {host: one for host, ages in told.items() for one in ages.offsite if one.store == store}
        host = min(seen, key=lambda host: (seen[host].age < 0, seen[host].age, host))
        one = seen[host]
        age = f"{duration(one.age)} old" if one.age >= 0 else "none"
        failed = f"; the last run of {host} failed: {one.cause}" if one.cause else ""
        line = f"Newest backup in the store {store}: {age}, as {host} saw {duration(one.told_age)} ago{failed}"
        lines.append(f"{line.rstrip('.')}. {_proven_in(seen)}")
    return lines


def _proven_in(seen: Mapping[str, Stored]) -> str:
    proofs = [one.proven for one in seen.values() if one.proven]
    if not proofs:
        return "None of it was ever proven by a drill."
    best = min(proofs, key=lambda proof: (proof.age, proof.told_age))
    return f"Newest proven there: {duration(best.age)} old, proven {duration(best.told_age)} ago."


def _youngest(told: Mapping[str, Ages], which: Callable[[Ages], Optional[Aged]]) -> Tuple[str, Optional[Aged]]:
    found = [(aged.age, host, aged) for host, aged in ((host, which(ages)) for host, ages in told.items()) if aged]
    _age, host, aged = min(found, default=(0, "", None), key=lambda one: one[:2])
    return host, aged


def newest_on(cluster: str, answers: Mapping[str, Mapping[str, Any]]) -> str:
    """The host that has the newest snapshot of the cluster, whole or not; empty where none has any."""
    entries = []
    hosts: Dict[int, str] = {}
    for host, answer in sorted(answers.items()):
        for plain in answer.get("snapshots") or ():
            entry = from_plain(Snapshot, plain)
            if entry.manifest and entry.manifest.cluster == cluster:
                entries.append(entry)
                hosts[id(entry)] = host
    first = newest(entries)
    return hosts[id(first)] if first else ""
