# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a snapshot that lies off-site is named: ``latest``, by its name, by a time or by a revision. Pure functions."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import List, Mapping, NamedTuple, Optional, Tuple, Union

from ..core.errors import EtcdError
from ..core.text import rfc3339
from ..snapshot.entry import Manifest
from ..snapshot.names import PACKED, without_end
from ..snapshot.offsite import entry_of
from ..snapshot.order import disagreeing, newest

PREFIX = "offsite:"  # before it, where a snapshot can be a path too
LATEST, NAME, TIME, REVISION = "latest", "name", "time", "revision"
_REVISION = re.compile(r"rev:?(\d{1,19})\Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_WAYS = (
    "latest, a name of quorum-etcd list --offsite, a time such as 2026-11-28T10:00:00Z, or a revision such as rev4711"
)


class Selector(NamedTuple):
    """``value`` is the name, the time in UTC as a manifest writes it, or the revision's digits."""

    kind: str
    value: str = ""


def selector(text: str) -> Selector:
    """EtcdError for what is none. A time must say its zone: at night nobody should have to think of it."""
    text = text.strip()
    text = text[len(PREFIX) :] if text.startswith(PREFIX) else text
    if text == LATEST:
        return Selector(LATEST)
    revision, time = _REVISION.match(text), _TIME.match(text)
    if revision:
        return Selector(REVISION, revision.group(1))
    if time:
        return Selector(TIME, _in_utc(text, *time.groups()))
    if re.match(r"[\w-][\w.-]*\.db", text, re.ASCII) and "/" not in text:
        return Selector(NAME, without_end(without_end(text, ".json"), *PACKED))
    raise EtcdError(f"{text!r} is no snapshot that could be off-site.", f"give {_WAYS}.")


def _in_utc(text: str, day: str, minute: str, second: Optional[str], zone: str) -> str:
    zone = "+0000" if zone in ("Z", "z") else zone.replace(":", "")
    try:
        moment = datetime.strptime(f"{day}T{minute}{second or ':00'}{zone}", "%Y-%m-%dT%H:%M:%S%z")
        return rfc3339(moment.astimezone(timezone.utc).timestamp())
    except (ValueError, OverflowError) as error:
        raise EtcdError(f"{text} is no time.", f"give {_WAYS}.") from error


def pick(wanted: Selector, manifests: Mapping[str, Manifest], cluster: str) -> str:
    """The name of the snapshot; ``manifests`` are all that is off-site of the cluster, by name.

    By a time or a revision it is the last one that is not later: what is restored never holds more than was asked for.
    EtcdError where there is none.
    """
    if not manifests:
        raise EtcdError(
            f"no snapshot of cluster {cluster} is off-site.",
            "see that the name of the cluster (etcd_cluster) and etcd_backup_offsite are what they were when it was backed up.",
        )
    if wanted.kind == NAME:
        if wanted.value in manifests:
            return wanted.value
        raise EtcdError(f"no snapshot {wanted.value} is off-site.", _what_there_is(manifests))
    able = {
        name: one
        for name, one in manifests.items()
        if wanted.kind == LATEST
        or (wanted.kind == TIME and "" < (one.taken_at or "") <= wanted.value)
        or (wanted.kind == REVISION and 0 < (one.revision or 0) <= int(wanted.value))
    }
    if not able:
        raise EtcdError(
            f"no snapshot that is off-site was taken until {wanted.kind} {wanted.value}.", _what_there_is(manifests)
        )
    return newest_of(able) if wanted.kind == LATEST else last_of(able, by_revision=wanted.kind == REVISION)


def newest_of(manifests: Mapping[str, Manifest]) -> str:
    """The name of the newest, told as in a folder, by snapshot.order; empty where there is none.

    Within one etcd cluster the revision goes before the time: a clock that was set back makes what came after it look older,
    and what it then hid would be the last writes. A restore by hand that has kept the cluster's ID looks the same the other way
    round, and nothing tells the two apart: there what was saved before it stays the newest until the revisions have passed it.
    So whoever takes the newest is told where the time does not agree; see ``in_doubt``.
    """
    found = newest([entry_of(name, one) for name, one in manifests.items()])
    return found.name if found else ""


def in_doubt(chosen: str, manifests: Mapping[str, Manifest]) -> List[str]:
    """In words, each that would be the newest by its time or its revision alone, and is not."""
    others = disagreeing(entry_of(chosen, manifests[chosen]), [entry_of(name, one) for name, one in manifests.items()])
    return [
        f"{PREFIX}{one.name} ({told_of(manifests[one.name])}): by its time or by its revision alone it would be the newest, and"
        f" {chosen} is not ({told_of(manifests[chosen])}). If it is the one that is wanted, name it."
        for one in others
    ]


def last_of(manifests: Mapping[str, Manifest], by_revision: bool = False) -> str:
    """The name of the last one by its time, or by its revision; empty where there is none."""

    def order(name: str) -> Tuple[Union[int, str], Union[int, str], str]:
        taken, revision = manifests[name].taken_at or "", manifests[name].revision or 0
        return (revision, taken, name) if by_revision else (taken, revision, name)

    return max(manifests, key=order, default="")


def told_of(manifest: Manifest) -> str:
    return f"taken {manifest.taken_at}, revision {manifest.revision or 0:,}"


def _what_there_is(manifests: Mapping[str, Manifest]) -> str:
    latest = last_of(manifests)
    oldest = min(manifests, key=lambda name: (manifests[name].taken_at or "", name))
    return (
        f"there are {len(manifests):,}, from {oldest} ({told_of(manifests[oldest])}) to {latest}"
        f" ({told_of(manifests[latest])})."
    )
