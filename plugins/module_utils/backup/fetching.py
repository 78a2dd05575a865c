# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back from off-site: the one snapshot that is wanted, put together, proven by its SHA-256, and into the local folder.

It lies there as any snapshot, with the manifest, the signature and the kit that the store has. It is nobody's to remove by
itself, and nothing to ship: its manifest says where it is from.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.errors import Damaged, EtcdError
from ..core.text import rfc3339
from ..core.values import TEXT
from ..etcd.commands import Run
from ..snapshot.catalogue import entry
from ..snapshot.entry import Manifest
from ..snapshot.manifest import held_manifest, signed_by
from ..snapshot.names import PACKED, kit_path, manifest_path, signature_path
from ..snapshot.offsite import needed_for, offsite_of
from ..snapshot.pages import sha256_of
from ..snapshot.publish import publish
from ..snapshot.scratch import UNPACKED, clear_stale, make_folder, private_folder
from ..snapshot.together import put_together
from .copies import copies_folder
from .holding import Content, content_of
from .selecting import LATEST, Selector, in_doubt, last_of, pick, told_of
from .spool import kit_of
from .stores import Store


@dataclass(frozen=True)
class Fetched:
    """``path`` is where the snapshot lies now. ``fetched`` is false where it lay there before. ``aside`` is what was in its place
    and was damaged; ``notes`` are stores that could not be used, and what else would be the newest."""

    path: str = field(metadata=TEXT)
    name: str
    store: str
    fetched: bool
    sha256: str
    size: int
    revision: int
    taken_at: str
    aside: str = field(default="", metadata=TEXT)
    notes: Tuple[str, ...] = field(default=(), metadata=TEXT)


class Source(NamedTuple):
    """A store, and what it holds of the cluster."""

    store: Store
    held: Content


def look_at(stores: Sequence[Store], cluster: str, state_dir: str) -> Tuple[List[Source], List[EtcdError]]:
    """What each store holds of the cluster, and why some could not be looked at."""
    found: List[Source] = []
    problems: List[EtcdError] = []
    for store in stores:
        try:
            held = content_of(store, copies_folder(state_dir, store.name))
        except EtcdError as error:
            problems.append(error)
            continue
        except OSError as error:
            raise EtcdError(f"nothing can be noted in {state_dir}: {error.strerror}.", "check its disk.") from error
        for name in [name for name, manifest in held.manifests.items() if manifest.cluster != cluster]:
            held.remove(name)
        found.append(Source(store, held))
    return found, problems


def fetch(
    run: Run, stores: Sequence[Store], cluster: str, wanted: Selector, folder: str, state_dir: str, signers: str = ""
) -> Fetched:
    """Bring the snapshot into ``folder``, from the first store that has it whole. Nothing is fetched that is there already.

    EtcdError where no store has it: which object is missing or damaged, Damaged then, and what can be had instead.
    """
    if not stores:
        raise EtcdError("no off-site store is known on this host.", "set etcd_backup_offsite.")
    sources, problems = look_at(stores, cluster, state_dir)
    if not sources:
        raise problems[0]
    manifests = {key: one for source in sources[::-1] for key, one in source.held.manifests.items()}
    name = pick(wanted, manifests, cluster)
    notes = (*(error.message for error in problems), *(in_doubt(name, manifests) if wanted.kind == LATEST else ()))
    errors: List[EtcdError] = []
    for source in [source for source in sources if name in source.held.manifests]:
        manifest = source.held.manifests[name]
        present, aside = _present(run, folder, name, manifest, signers)
        if present:
            return _fetched(present, name, source, manifest, notes, fetched=False)
        try:
            path, aside = _bring(run, source, name, folder, state_dir, signers, aside)
            return _fetched(path, name, source, manifest, notes, aside)
        except EtcdError as error:
            errors.append(error)
            notes = (*notes, error.message)
    raise errors[0]


def _fetched(
    path: str,
    name: str,
    source: Source,
    manifest: Manifest,
    notes: Tuple[str, ...],
    aside: str = "",
    fetched: bool = True,
) -> Fetched:
    told = (manifest.sha256 or "", manifest.size or 0, manifest.revision or 0, manifest.taken_at or "")
    return Fetched(path, name, source.store.name, fetched, *told, aside, notes)


def _present(run: Run, folder: str, name: str, manifest: Manifest, signers: str) -> Tuple[str, str]:
    """Where this very snapshot lies in the folder already, and what lies in its place that is not it; empty for neither."""
    for end in ("", *PACKED):
        path = os.path.join(folder, name + end)
        if os.path.lexists(path):
            found = entry(path, True, run=run, signers=signers)
            if found.ok and found.verified and found.sha256 == manifest.sha256:
                return path, ""
            if not end:
                return "", path
    return "", ""


def _bring(
    run: Run, source: Source, name: str, folder: str, state_dir: str, signers: str, in_place: str
) -> Tuple[str, str]:
    """Put it together and publish it; returns its path, and where what was in its place is now."""
    make_folder(folder)
    clear_stale(folder, time.time())
    path, aside = os.path.join(folder, name), ""
    store, held = source
    try:
        # Not as a save that is under way: a backup clears those away, and this one it shall not.
        with private_folder(folder, UNPACKED) as private:
            drafts = _beside(store, held, name, private, state_dir)
            _check_signature(run, private, name, signers)
            draft = os.path.join(private, name)
            _make(run, store, held, name, draft)
            if in_place:
                aside = _set_aside(in_place)
            publish(private, folder, [*drafts, (draft, name)])
    except OSError as error:
        raise EtcdError(f"{name} could not be written to {folder}: {error.strerror}.", "check its disk.") from error
    return path, aside


def _beside(store: Store, held: Content, name: str, private: str, state_dir: str) -> List[Tuple[str, str]]:
    """The manifest, its signature and the kit as drafts, with the names that they get here."""
    manifest = held.manifests[name]
    kit = kit_of(manifest)
    beside = [kit, signature_path(manifest_path(name)), manifest_path(name)]
    drafts = [(os.path.join(private, one), one) for one in beside if one and one in held.sizes]
    for draft, one in drafts:
        store.get(one, draft)
    good = [(draft, one) for draft, one in drafts if one != kit or _is_the_kit(manifest, draft)]
    return [(draft, kit_path(name) if one == kit else one) for draft, one in good]


def _is_the_kit(manifest: Manifest, path: str) -> bool:
    """Whether it is the kit that the manifest was written for. Another is worth nothing, and no reason to have no data."""
    kit = manifest.more.get("kit")
    return isinstance(kit, dict) and kit.get("sha256") == sha256_of(path)


def _check_signature(run: Run, private: str, name: str, signers: str) -> None:
    """Before anything is fetched that takes time."""
    if signers:
        path = os.path.join(private, name)
        signed_by(path, held_manifest(path), signers, run)


def _make(run: Run, store: Store, held: Content, name: str, draft: str) -> None:
    """The snapshot as a draft. EtcdError with what can be had instead."""
    asked: List[str] = []

    def get(one: str, path: str) -> None:
        asked.append(one)
        if held.sizes.get(one) is None:
            raise Damaged(
                f"the store {store.name} has no {one}, which {name} needs.",
                "take it from another store, or choose another one of quorum-etcd list --offsite.",
            )
        store.get(one, path)

    try:
        put_together(name, held.manifests, get, draft, run)
    except EtcdError as error:
        damaged = asked[-1] if asked else ""
        kind = Damaged if isinstance(error, Damaged) else EtcdError
        raise kind(
            f"{name} cannot be put together from the store {store.name}: {error.message}",
            _instead(held, name, damaged) or error.next_step,
        ) from error


def _instead(held: Content, name: str, damaged: str) -> str:
    """What can still be had without the damaged object: the nearest before, and the nearest after."""
    usable = sorted(
        one for one in held.manifests if one != name and held.is_whole(one) and not _needs(held, one, damaged)
    )
    at = _moment(held, name)
    before = last_of({one: held.manifests[one] for one in usable if _moment(held, one) <= at})
    after = min((one for one in usable if _moment(held, one) > at), key=lambda one: _moment(held, one), default="")
    said = [
        f"the nearest {word} it that is whole is offsite:{one} ({told_of(held.manifests[one])})"
        for word, one in (("before", before), ("after", after))
        if one
    ]
    return "; ".join(said) + "." if said else ""


def _needs(held: Content, name: str, damaged: str) -> bool:
    with contextlib.suppress(EtcdError):
        return damaged in [offsite_of(held.manifests[one]).object for one in needed_for(name, held.manifests)]
    return True


def _moment(held: Content, name: str) -> str:
    return held.manifests[name].taken_at or ""


def _set_aside(path: str) -> str:
    """What is damaged and in the way gets another name, with its manifest."""
    aside = f"{path}.damaged-{rfc3339(time.time()).replace(':', '')}"
    os.rename(path, aside)
    with contextlib.suppress(FileNotFoundError):
        os.rename(manifest_path(path), manifest_path(aside))
    return aside


def refused(run: Run, source: Source, signers: str, state_dir: str) -> Dict[str, str]:
    """By its name, why a snapshot of the store is not to be used: none of ``signers`` has signed the manifest that is there."""
    store, held = source
    files = [one for name in held.manifests for one in (manifest_path(name), signature_path(manifest_path(name)))]
    found = {}
    with private_folder(state_dir) as private:
        store.get_many([one for one in files if one in held.sizes], private)
        for name in held.manifests:
            try:
                _check_signature(run, private, name, signers)
            except EtcdError as error:
                found[name] = error.message.replace(os.path.join(private, ""), "")
    return found


def listed(
    sources: Sequence[Source], refusals: Optional[Mapping[str, Mapping[str, str]]] = None
) -> List[Dict[str, Any]]:
    """What is off-site, the latest first: each snapshot with the stores that have it whole, and those that do not.

    ``refusals``: by store, why some are not to be used, by their names; these count as whole nowhere.
    """
    why = {source.store.name: (refusals or {}).get(source.store.name, {}) for source in sources}
    manifests = {name: one for source in sources for name, one in source.held.manifests.items()}
    rows = []
    for name, manifest in sorted(manifests.items(), key=lambda one: (one[1].taken_at or "", one[0]), reverse=True):
        there = [source for source in sources if name in source.held.manifests]
        told: Optional[Source] = next(iter(there), None)
        rows.append(
            {
                "name": name,
                "taken_at": manifest.taken_at or "",
                "revision": manifest.revision or 0,
                "size": manifest.size or 0,
                "sha256": manifest.sha256 or "",
                "kind": told.held.told[name].kind if told else "",
                "stored": told.held.told[name].size if told else 0,
                "whole": [
                    source.store.name
                    for source in there
                    if source.held.is_whole(name) and name not in why[source.store.name]
                ],
                "broken": [source.store.name for source in there if not source.held.is_whole(name)],
                "refused": {
                    source.store.name: why[source.store.name][name]
                    for source in there
                    if name in why[source.store.name]
                },
            }
        )
    return rows
