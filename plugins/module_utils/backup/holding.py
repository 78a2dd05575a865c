# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a store holds: which of its snapshots are whole, and which chains no rule keeps. Of its manifests this host has copies."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Dict, List, Mapping, Sequence, Set, Tuple

from ..core.errors import EtcdError
from ..snapshot.entry import Manifest
from ..snapshot.manifest import read_manifest
from ..snapshot.names import manifest_path, safe, signature_path
from ..snapshot.offsite import FULL, Offsite, entry_of, offsite_of
from ..snapshot.publish import clear_saves
from ..snapshot.scratch import forget, make_folder, private_folder
from .copies import MANIFEST
from .retention import Policy, reasons_of
from .selecting import newest_of
from .spool import Spooled, kit_of, without_places
from .stores import Store

_MADE = re.compile(r"(.+)-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-rev\d+(?=\.)")  # begins the name of each object
_DAY = 86400.0


class Content:
    """What a store holds: the bytes of its objects by their names, and its manifests by the names of their snapshots."""

    def __init__(self, sizes: Mapping[str, int], manifests: Mapping[str, Manifest]) -> None:
        self.sizes = dict(sizes)
        self.manifests: Dict[str, Manifest] = {}
        self.told: Dict[str, Offsite] = {}
        for name, manifest in manifests.items():
            # What says nothing of an object is no backup, and nobody's to be removed.
            with contextlib.suppress(EtcdError):
                self.add(name, manifest, {})

    def add(self, name: str, manifest: Manifest, sizes: Mapping[str, int]) -> None:
        self.told[name] = offsite_of(manifest)
        self.manifests[name] = manifest
        self.sizes.update(sizes)

    def remove(self, name: str) -> None:
        del self.manifests[name], self.told[name]

    def become(self, other: Content) -> None:
        """What another look has found."""
        self.sizes, self.manifests, self.told = other.sizes, other.manifests, other.told

    def steps(self, name: str) -> List[str]:
        """This snapshot, the one that it starts from, and so on to the full one, as far as they are there."""
        found: Dict[str, None] = {}  # in their order
        while name in self.told and name not in found:
            found[name] = None
            name = self.told[name].base_name
        return list(found)

    def is_whole(self, name: str) -> bool:
        """Whether the snapshot is there with all that it needs, each object as long as its manifest says."""
        steps = self.steps(name)
        if not steps or self.told[steps[-1]].kind != FULL:
            return False
        fit = (self.manifests[base].sha256 == self.told[one].base for one, base in zip(steps, steps[1:]))
        return all(fit) and all(self.sizes.get(self.told[one].object) == self.told[one].size for one in steps)

    def has_lost(self, name: str) -> bool:
        """Whether an object or a manifest is gone that the snapshot needs. What is there and is another one is not lost."""
        steps = self.steps(name)
        first = self.told[steps[-1]]
        begins = first.kind == FULL or first.base_name in self.told
        return not begins or any(self.told[one].object not in self.sizes for one in steps)

    def has_data(self, name: str, sha256: str) -> bool:
        """Whether a snapshot of this name and these bytes is there, whole."""
        return self.is_whole(name) and self.manifests[name].sha256 == sha256

    def has(self, one: Spooled) -> bool:
        """Whether the very snapshot is there, whole; be it from another base, or under other names, as another host or an earlier
        run has made it: what is whole is not replaced."""
        if not self.is_whole(one.name):
            return False
        there, told = self.told[one.name], offsite_of(one.manifest)
        # From the same base it is the same object, or else the manifest there is damaged.
        fits = there.base_name != told.base_name or there.sha256 == told.sha256
        return fits and without_places(self.manifests[one.name]) == without_places(one.manifest)

    def can_take(self, one: Spooled) -> bool:
        """Whether what the increment starts from is there, whole, and does not need this very name: neither could ever be put
        together again."""
        told = offsite_of(one.manifest)
        return self.has_data(told.base_name, told.base) and one.name not in self.steps(told.base_name)


def content_of(store: Store, copies: str) -> Content:
    """What the store holds now. ``copies`` is the folder of this host's copies of its manifests."""
    sizes = store.names()
    make_folder(copies)
    try:
        return _content(store, copies, sizes)
    except (EtcdError, OSError):
        now = store.names()
        if set(sizes) <= set(now):
            raise
        return _content(store, copies, now)  # another host has removed some since they were listed


def _content(store: Store, copies: str, sizes: Mapping[str, int]) -> Content:
    for name in set(os.listdir(copies)) - set(sizes):  # all but manifests are marks of what may be abandoned
        forget(os.path.join(copies, name))
    wanted = sorted(name for name in sizes if name.endswith(MANIFEST))
    _copy_missing(store, copies, {name: sizes[name] for name in wanted})
    manifests = {}
    for name in wanted:
        path = os.path.join(copies, name)
        with contextlib.suppress(EtcdError):
            manifest = read_manifest(path[: -len(".json")])
            if manifest:
                manifests[name[: -len(".json")]] = manifest
    return Content(sizes, manifests)


def _copy_missing(store: Store, copies: str, sizes: Mapping[str, int]) -> None:
    """Fetch the manifests of which there is no copy, or one of another size."""
    missing = [name for name, size in sizes.items() if _size(os.path.join(copies, name)) != size]
    clear_saves(copies, time.time() - _DAY)  # a younger one may be another's, under way
    if missing:
        with private_folder(copies) as private:
            store.get_many(missing, private)
            for name in missing:
                os.rename(os.path.join(private, name), os.path.join(copies, name))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def doomed(held: Content, cluster: str, cluster_id: str, keep: Policy, now: float) -> List[str]:
    """The snapshots of a store that go, in the order in which they do: chains of which no rule keeps any, as a whole.

    Only those of this etcd cluster are counted; others of its name, as from before a restore, are left. The newest whole one
    stays whatever its age, and where there is none, everything does.
    """
    own = {
        name: manifest
        for name, manifest in held.manifests.items()
        if (manifest.cluster, manifest.cluster_id) == (cluster, cluster_id) and manifest.taken_at
    }
    entries = [entry_of(name, manifest, held.is_whole(name)) for name, manifest in own.items()]
    reasons = reasons_of(entries, keep, now)
    steps = {name: held.steps(name) for name in own}
    kept = {steps[entry.name][-1] for entry in entries if reasons[entry.path]}
    # The last one of each first: what a kill leaves in between is a chain without its end, and none without its beginning.
    return sorted(
        (name for name in own if steps[name][-1] not in kept), key=lambda name: len(steps[name]), reverse=True
    )


def remove_objects(store: Store, held: Content, names: Sequence[str]) -> None:
    for name in names:
        store.delete(name)
        del held.sizes[name]


def remove(store: Store, held: Content, names: Sequence[str], copies: str) -> None:
    """Delete snapshots of a store, each one's manifest first. ``held`` is kept up to date."""
    for name in names:
        manifest = held.manifests[name]
        said = manifest_path(name)
        beside = (said, signature_path(said), kit_of(manifest), held.told[name].object)
        remove_objects(store, held, [each for each in beside if each in held.sizes])
        held.remove(name)
        forget(os.path.join(copies, manifest_path(name)))


def abandoned(held: Content, cluster: str, cluster_id: str, copies: str, now: float) -> List[str]:
    """Objects of no snapshot that are older than every one of this etcd cluster's, and were so a day ago as this host saw: of an
    upload or a removal that was killed.

    What is seen for the first time may be another host's, under way: it is marked in ``copies``.
    """
    candidates = _unclaimed(held, cluster, cluster_id)
    marked = {name for name in os.listdir(copies) if name in held.sizes and not name.endswith(MANIFEST)}
    for name in marked - candidates:
        forget(os.path.join(copies, name))
    for name in candidates - marked:
        _mark(os.path.join(copies, name), now)
    return sorted(name for name in candidates & marked if os.stat(os.path.join(copies, name)).st_mtime <= now - _DAY)


def _mark(path: str, now: float) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.utime(path, (now, now))


def _unclaimed(held: Content, cluster: str, cluster_id: str) -> Set[str]:
    """Objects that were made before every snapshot of this etcd cluster there, and have no manifest."""
    own = [one for one in held.manifests.values() if (one.cluster, one.cluster_id) == (cluster, cluster_id)]
    oldest = min((one.taken_at for one in own if one.taken_at), default="")
    found = set()
    for name in held.sizes:
        made = not name.endswith(MANIFEST) and _MADE.match(name)
        taken = made and "{}-{}-{}T{}:{}:{}Z".format(*made.groups()[1:7])
        if made and taken and taken < oldest and made.group(1) == safe(cluster):
            snapshot = f"{made.group(0)}.db"
            if manifest_path(snapshot) not in held.sizes:
                found.add(name)
    return found


def expired(held: Content) -> Set[str]:
    """The snapshots of a store in which nothing is deleted by us that its own rules have taken something of.

    They are older than every chain that is whole: rules take an old full one before what was made from it later. What has lost
    something after that is damaged, and where no chain is whole, everything is.
    """
    full = [
        held.manifests[name].taken_at for name, told in held.told.items() if told.kind == FULL and held.is_whole(name)
    ]
    oldest = min(filter(None, full), default="")
    return {name for name, one in held.manifests.items() if "" < (one.taken_at or "") < oldest and held.has_lost(name)}


def newest_whole(held: Content, cluster_id: str) -> Tuple[str, int]:
    """The name of the newest whole snapshot of this etcd cluster, empty for none, and how many there are."""
    whole = {name: one for name, one in held.manifests.items() if one.cluster_id == cluster_id and held.is_whole(name)}
    return newest_of(whole), len(whole)
