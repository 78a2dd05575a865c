# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an agent knows of the cluster's other hosts, for its recovery kits: what the plays that set it up have seen of them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Tuple

from ..backup.kit_part import Part, packed, understood, unpacked
from ..core.errors import EtcdError
from ..core.values import TEXT, to_plain
from ..host.believed import File, believed

PATH = "/etc/quorum-etcd/members.json"
_NEXT = "run backup.yml again with etcd_backup_schedule."
_FILE = File("the list of the other members", "is", "it", "there is no list of the other members", _NEXT, _NEXT)


@dataclass(frozen=True)
class Seen:
    """A packed part of a kit, and since when a play has seen it so."""

    at: str
    part: str = field(metadata=TEXT)


@dataclass(frozen=True)
class Known:
    hosts: Dict[str, Seen]


def known_in(path: str) -> Known:
    """EtcdError where there is none, or none that is believed."""
    return believed(Known, path, _FILE)


def text_of(known: Known) -> str:
    return json.dumps(to_plain(known), indent=2, sort_keys=True) + "\n"


def known_now(path: str, told: Mapping[str, str], now: str) -> Known:
    """What the file shall have. ``told`` are packed parts by host, empty of one that was not looked at.

    What is not new keeps its time, and of a host that tells nothing, or nothing that can be understood, stays what is known, or
    else that as a note: it keeps no other host from being set up. One that is not among them has left.
    """
    new, notes = understood(told)
    before: Mapping[str, Seen] = {}
    with contextlib.suppress(EtcdError):
        before = known_in(path).hosts
    kept = {host: seen for host, seen in before.items() if host in told and _is_still_so(seen, new.get(host), host)}
    noted = {host: Seen(now, packed(Part(notes=[note]))) for host, note in notes.items()}
    return Known({**noted, **{host: Seen(now, told[host]) for host in new}, **kept})


def _is_still_so(seen: Seen, new: Optional[Part], host: str) -> bool:
    try:
        return new is None or unpacked(seen.part, host) == new
    except EtcdError:
        return False


def parts_in(path: str) -> Tuple[Dict[str, Part], List[str]]:
    """The parts by host, and in words what is wrong with the file, which is no reason to have no kit."""
    try:
        hosts = known_in(path).hosts
    except EtcdError as error:
        return {}, [error.message]
    parts, notes = understood({host: seen.part for host, seen in hosts.items()})
    return {host: replace(part, seen_at=hosts[host].at) for host, part in parts.items()}, list(notes.values())
