# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the manifest of an off-site snapshot says of its object, and which others it needs. See docs/offsite-format.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import List, Mapping

from ..core.errors import Damaged
from ..core.values import Misfit, from_plain, to_plain
from .entry import Manifest, Snapshot
from .pages import FORMAT, Header
from .verify import SNAPSHOT

FULL, PAGES = "full", "pages"
LONGEST = 10_000  # snapshots of a chain; one of a day has at most some hundreds
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}\Z")
_ANOTHER = "choose another snapshot, or take it from another store."


def is_object_name(name: str) -> bool:
    """Whether an object in a store can have this name: a plain one, that leads nowhere."""
    return bool(_NAME.match(name))


@dataclass(frozen=True)
class Offsite:
    """``kind`` is ``full`` or ``pages``; ``sha256`` and ``size`` (bytes) are those of the object as it lies in a store.

    ``base`` is the SHA-256 of the snapshot that an increment starts from, ``base_name`` its name, ``chain`` the name of the
    full one.
    """

    kind: str
    object: str
    sha256: str
    size: int
    chain: str
    base: str = ""
    base_name: str = ""


def offsite_of(manifest: Manifest) -> Offsite:
    """Damaged where the manifest has none that could be right: no path comes out of it."""
    try:
        told = from_plain(Offsite, manifest.more.get("offsite"))
    except Misfit as why:
        raise Damaged(f"the manifest says not what lies off-site: {why}.", _ANOTHER) from why
    names = [told.object, told.chain] + ([told.base_name] if told.kind == PAGES else [])
    if told.kind not in (FULL, PAGES) or not all(map(is_object_name, names)) or told.size < 0:
        raise Damaged(f"the manifest says {told.object!r} is what lies off-site, which cannot be.", _ANOTHER)
    return told


def with_offsite(manifest: Manifest, told: Offsite) -> Manifest:
    return replace(manifest, more={**manifest.more, "offsite": to_plain(told)})


def entry_of(name: str, manifest: Manifest, whole: bool = True) -> Snapshot:
    """A snapshot that lies off-site as an entry of a catalogue: what its manifest says of it."""
    return Snapshot(
        path=name,
        real_path=name,
        name=name,
        ok=True,
        verified=whole,
        reason="",
        kind=SNAPSHOT,
        size=manifest.size or 0,
        sha256=manifest.sha256 or "",
        trailer="",
        compression="",
        packed_size=0,
        taken_at=manifest.taken_at or "",
        revision=manifest.revision or 0,
        key_revision=0,
        members=[],
        manifest=manifest,
    )


def header_of(manifest: Manifest) -> Header:
    """What the increment of this snapshot begins with."""
    return Header(FORMAT, offsite_of(manifest).base, manifest.sha256 or "", manifest.size or 0)


def needed_for(name: str, manifests: Mapping[str, Manifest]) -> List[str]:
    """The names of the snapshots that ``name`` is put together from: the full one first, itself last.

    ``manifests`` are those of a store, by the names of their snapshots (``x.db``). Damaged where one is missing, or is not
    the base that the next one was made from.
    """
    chain = [name]
    while True:
        manifest = manifests.get(chain[-1])
        if manifest is None:
            needed = f", which {name} needs," if chain[-1] != name else ""
            raise Damaged(f"the manifest of {chain[-1]}{needed} is missing.", _ANOTHER)
        told = offsite_of(manifest)
        if told.kind == FULL:
            return chain[::-1]
        base = manifests.get(told.base_name)
        if base is not None and base.sha256 != told.base:
            raise Damaged(f"{told.base_name} is not the snapshot that {chain[-1]} was made from.", _ANOTHER)
        if told.base_name in chain or len(chain) >= LONGEST:
            raise Damaged(f"the chain of {name} has no beginning.", _ANOTHER)
        chain.append(told.base_name)
