# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which snapshots are drilled: the newest, whatever is wrong with it, and an older one at random, here or off-site.

Pure functions.
"""

from __future__ import annotations

import random
import re
from typing import Dict, List, Mapping, NamedTuple, Sequence

from ..core.errors import EtcdError
from ..snapshot.entry import Manifest, Snapshot
from ..snapshot.names import PACKED, without_end
from ..snapshot.order import newest
from ..snapshot.save import default_name
from .records import SAVED, Attempt
from .retention import own_name
from .selecting import newest_of

_STAMP = re.compile(r"-\d{8}T\d{6}Z-rev\d+\.db\Z")


class Picked(NamedTuple):
    """A snapshot to be drilled: a file at ``path``, or the one that is called so in ``store``.

    ``sha256`` is what was recorded when it was saved, ``cluster`` whose it must be, ``size`` its bytes off-site; what is not
    known is empty or 0.
    """

    path: str
    why: str
    sha256: str = ""
    cluster: str = ""
    store: str = ""
    size: int = 0


class Candidates(NamedTuple):
    """What is drilled in any case, and what one is drawn of."""

    first: List[Picked]
    older: List[Picked]


def candidates(entries: Sequence[Snapshot], attempts: Sequence[Attempt], cluster: str) -> Candidates:
    """Of a folder's snapshots the newest of the cluster, and whatever is seen to be exchanged; and the others.

    ``attempts`` are the newest first. What is damaged counts too: a drill that passes it over would always succeed.
    """
    saved = _saved(attempts)
    own = [entry for entry in entries if _is_of(entry, cluster, saved)]
    living = next((attempt.cluster_id for attempt in attempts if attempt.cluster_id), "")
    newest_one = newest(own, {living} if living else frozenset())
    if newest_one is None:
        return Candidates([], [])
    others = sorted((entry for entry in own if entry.path != newest_one.path), key=lambda entry: entry.name)
    exchanged = [entry for entry in others if _is_exchanged(entry, cluster, saved)]
    first = [_picked(newest_one, "it is the newest", saved, cluster)]
    first += [_picked(entry, "its manifest is not the one it was saved with", saved, cluster) for entry in exchanged]
    return Candidates(first, [_picked(entry, "", saved, cluster) for entry in others if entry not in exchanged])


def candidates_offsite(held: Mapping[str, Mapping[str, Manifest]], cluster: str) -> Candidates:
    """The newest of each store, and all the others, whole or not. ``held``: by store, the manifests by name."""
    first, older = [], []
    for store, manifests in sorted(held.items()):
        latest = newest_of(manifests)
        for name, manifest in sorted(manifests.items()):
            one = Picked(name, "", manifest.sha256 or "", cluster, store, manifest.size or 0)
            if name == latest:
                first.append(one._replace(why=f"it is the newest in the store {store}"))
            else:
                older.append(one)
    return Candidates(first, older)


def drawn(older: Sequence[Picked], seed: int) -> List[Picked]:
    """One of them, which the seed draws; none of none."""
    if not older:
        return []
    one = random.Random(seed).choice(older)  # noqa: S311
    return [one._replace(why=f"it was drawn of {len(older)} older ones by seed {seed}")]


def named(entries: Sequence[Snapshot], attempts: Sequence[Attempt], cluster: str, name: str) -> Picked:
    """The snapshot of the folder that is called so. EtcdError where there is none."""
    entry = next((entry for entry in entries if name in (entry.name, entry.path)), None)
    if entry is None:
        raise EtcdError(f"there is no snapshot {name}.", "see quorum-etcd list.")
    saved = _saved(attempts)
    return _picked(entry, "it was named", saved, cluster if _is_of(entry, cluster, saved) else "")


def _saved(attempts: Sequence[Attempt]) -> Dict[str, Attempt]:
    return {attempt.path: attempt for attempt in reversed(attempts) if attempt.result == SAVED}


def _picked(entry: Snapshot, why: str, saved: Dict[str, Attempt], cluster: str) -> Picked:
    record = saved.get(entry.path)
    return Picked(entry.path, why, record.sha256 if record else "", cluster)


def _is_of(entry: Snapshot, cluster: str, saved: Dict[str, Attempt]) -> bool:
    """Whether it is the cluster's, or lies where the cluster's has lain or would: then something else was put in its place."""
    manifest = entry.manifest
    if entry.path in saved or (manifest and manifest.cluster == cluster):
        return True
    return bool(manifest) and _has_name_of(entry, cluster) and not _has_own_name(entry)


def _is_exchanged(entry: Snapshot, cluster: str, saved: Dict[str, Attempt]) -> bool:
    """Whether its manifest alone tells that something else was put there, which may even look older than it was."""
    manifest, record = entry.manifest, saved.get(entry.path)
    return manifest is not None and (
        manifest.cluster != cluster or record is not None and manifest.sha256 != record.sha256
    )


def _has_name_of(entry: Snapshot, cluster: str) -> bool:
    plain = _plain_name(entry)
    start = _STAMP.sub("", default_name(cluster, 0, 0))
    return plain.startswith(start) and bool(_STAMP.fullmatch(plain[len(start) :]))


def _has_own_name(entry: Snapshot) -> bool:
    """Whether it has the name that its own manifest gives it, as two clusters' may that are called nearly the same."""
    manifest = entry.manifest
    return manifest is not None and _plain_name(entry) == own_name(manifest)


def _plain_name(entry: Snapshot) -> str:
    return without_end(entry.name, *PACKED)
