# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the snapshot comes to the hosts that have it not."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Container, Dict, Mapping, Tuple

from .terms import DISK_MARGIN
from .values import ChosenSnapshot, SnapshotOnHost, Spool


def plan_transfer(
    snapshot: ChosenSnapshot, hosts: Mapping[str, SnapshotOnHost], folder: str, can_unpack: Container[str]
) -> Tuple[Dict[str, SnapshotOnHost], Spool]:
    """Who gets the bytes from where: by way of the controller, and only where they are lacking.

    A compressed snapshot is unpacked on the controller, by the first host's tasks, whichever side it lies on. Where the
    controller ``can_unpack`` other kinds of archives only, the host that has it unpacks it on the way. ``folder`` is the one on
    the controller that is used where that needs one.
    """
    plain = os.path.join(folder, snapshot.sha256 + ".db")
    on_the_way = bool(snapshot.on and snapshot.compression and snapshot.compression not in can_unpack)
    packed = plain + ".packed" if snapshot.compression and not on_the_way else ""
    lacking = any(own.transfer for own in hosts.values())
    fetches = bool(lacking and snapshot.on)
    planned = {}
    for number, (host, own) in enumerate(sorted(hosts.items())):
        unpacks = bool(lacking and packed and number == 0)
        fetch_to = (packed or plain) if fetches and host == snapshot.on else ""
        in_spool = plain if fetches or packed else snapshot.path
        planned[host] = replace(
            own,
            fetch_from=snapshot.path,
            fetch_to=fetch_to,
            fetch_size=(snapshot.packed_size if packed else 0) or snapshot.size,
            fetch_unpacked=snapshot.compression if on_the_way and fetch_to else "",
            unpack_from=(packed if fetches else snapshot.path) if unpacks else "",
            spool=plain if unpacks or fetch_to else "",
            copy_from=in_spool if own.transfer else "",
        )
    need = snapshot.packed_size if fetches and packed else 0
    need += snapshot.size if fetches or (lacking and packed) else 0
    return planned, Spool(folder if need else "", int(need * DISK_MARGIN), bool(lacking and packed))
