# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The snapshots of a folder: what each is and holds, and which is the newest that may be restored."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Sequence

from ..core.errors import EtcdError
from ..core.text import epoch, rfc3339
from ..etcd.commands import Run
from .entry import Inside, Manifest, Packed, Snapshot
from .inside import inside_of
from .kit import read_kit
from .manifest import held_manifest, manifest_mismatch, signed_by, understood
from .names import BESIDE
from .order import lineages, newest
from .packed import compression_of
from .pages import sha256_of
from .scratch import plain
from .verify import DATABASE, SNAPSHOT, Verdict, glance, verify

NEWEST, ALL, NONE = "newest", "all", "none"  # how many snapshots of a folder are read to their end


def folder_problem(folder: str) -> str:
    """Why a folder's catalogue is empty, in words; empty for a folder that can be read."""
    try:
        os.listdir(folder)
    except OSError as error:
        return f"the folder {folder} cannot be read: {error.strerror}."
    return ""


def catalogue(
    folder: str,
    depth: str = NEWEST,
    now: Optional[float] = None,
    run: Optional[Run] = None,
    scratch: str = "",
    signers: str = "",
) -> List[Snapshot]:
    """Every file of ``folder`` that is or might have been a snapshot, the youngest first.

    ``depth`` is how many are read to their end: ``newest`` goes down from the newest until one is good, for each etcd cluster
    that has snapshots here; ``all`` and ``none`` do what they say. Hidden files, and what lies beside a snapshot, are passed
    over. A folder that is missing or unreadable is an empty catalogue; ``folder_problem`` says why. ``now`` is in seconds
    since the epoch. With ``signers`` only what one of them has signed is ``ok``.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    paths = [os.path.join(folder, name) for name in names if not name.startswith(".") and not name.endswith(BESIDE)]
    entries = [entry(path, False, now, run, scratch, signers) for path in paths if os.path.isfile(path)]
    entries.sort(key=lambda found: found.age)
    if depth == NONE:
        return entries
    read: Dict[str, Snapshot] = {}
    for lineage in lineages([found for found in entries if found.ok]):
        for found in lineage.newest_first():
            if depth == NEWEST and found.kind == DATABASE:
                continue  # it is never the newest good one
            read[found.path] = one = entry(found.path, True, now, run, scratch, signers)
            if depth == NEWEST and one.verified and one.ok:
                break
    return [read.get(found.path, found) for found in entries]


def entry(
    path: str,
    thorough: bool = True,
    now: Optional[float] = None,
    run: Optional[Run] = None,
    scratch: str = "",
    signers: str = "",
) -> Snapshot:
    """One snapshot: its verdict, its manifest and ``describe`` of it. ``age`` is in seconds.

    Without ``thorough`` the file is not read to its end: ``ok`` then means only that nothing speaks against it, and
    ``sha256`` is the manifest's word. Of a compressed one, ``size`` and ``sha256`` are those of the plain snapshot. One that
    was saved so is read as it is, and never unpacked: its manifest says what it must be, and what is in it. Any other is
    unpacked into a private folder for the time of the look; not without ``thorough``, and ``size`` can be 0 then.

    With ``signers``, text as ``ssh-keygen`` reads it, one of them must have signed it, else it is not ``ok``, and not read.
    """
    found = _unread(path)
    manifest, signer, reason = _vouched(path, signers, run)
    verdict, file, thorough = Verdict(False, "", 0, "", ""), path, thorough and not reason
    try:
        saved = _saved_packed(found, manifest)
        if saved:
            verdict = _verdict_of_packed(path, saved, thorough)
            found = _with(found, saved.inside) if verdict.ok else found
        elif found.compression and not thorough:
            verdict = Verdict(True, SNAPSHOT, (manifest.size if manifest else 0) or 0, "", "")
        else:
            with plain(path, run, scratch) as file:
                verdict = verify(file) if thorough else glance(file)
                found = _with(found, inside_of(file, thorough)) if verdict.ok else found
    except EtcdError as error:
        reason = reason or _in_words(error)
    except OSError as error:
        reason = reason or f"{path} cannot be read: {error.strerror}."
    reason = reason or verdict.reason.replace(file, path)
    mismatch = manifest_mismatch(manifest, verdict.size, verdict.sha256)
    taken = _taken(path, manifest)
    ok = verdict.ok and not (reason or mismatch)
    if ok and thorough:
        found = _with_kit(found, manifest)
    return replace(
        found,
        ok=ok,
        verified=thorough and verdict.ok and verdict.kind == SNAPSHOT,
        reason=reason or (f"{path}: {mismatch}" if mismatch else ""),
        kind=verdict.kind,
        size=verdict.size,
        sha256=verdict.sha256 or (manifest.sha256 if manifest else "") or "",
        taken_at=rfc3339(taken),
        age=max(0, int((time.time() if now is None else now) - taken)),
        manifest=manifest,
        signed_by=signer if ok else "",
    )


def _with_kit(found: Snapshot, manifest: Optional[Manifest]) -> Snapshot:
    """What is wrong with a kit is no reason to not use the snapshot."""
    try:
        return replace(found, kit=read_kit(found.path, manifest.more.get("kit") if manifest else None))
    except EtcdError as error:
        return replace(found, kit_problem=_in_words(error))


class _SavedPacked(NamedTuple):
    """What a manifest says of a snapshot that was compressed when it was saved; ``size`` is that of the plain one."""

    packed: Packed
    inside: Inside
    size: int


def _saved_packed(found: Snapshot, manifest: Optional[Manifest]) -> Optional[_SavedPacked]:
    """None for one that is plain, or that somebody else has compressed."""
    if not (manifest and manifest.packed and manifest.inside and manifest.size):
        return None
    fits = manifest.packed.compression == found.compression
    return _SavedPacked(manifest.packed, manifest.inside, manifest.size) if fits else None


def _verdict_of_packed(path: str, saved: _SavedPacked, thorough: bool) -> Verdict:
    """Of a file that was unpacked and found whole when it was saved: whether it is still the same."""
    packed = saved.packed
    size, sha256 = os.stat(path).st_size, sha256_of(path) if thorough else packed.sha256
    if size != packed.size:
        why = f"{path} is cut off or damaged: its manifest was written for {packed.size} bytes, and it has {size}."
        return Verdict(False, "", saved.size, "", why)
    if sha256 != packed.sha256:
        why = f"{path} is damaged: its manifest was written for other content (the SHA-256 differs)."
        return Verdict(False, "", saved.size, "", why)
    return Verdict(True, SNAPSHOT, saved.size, "", "")


def _with(found: Snapshot, inside: Inside) -> Snapshot:
    return replace(found, **vars(inside))


class _Vouched(NamedTuple):
    """The manifest of a snapshot, who has signed it, and why it is not to be used."""

    manifest: Optional[Manifest] = None
    signed_by: str = ""
    reason: str = ""


def _vouched(path: str, signers: str, run: Optional[Run]) -> _Vouched:
    """The manifest is what was signed: the very bytes, whoever writes into the folder meanwhile."""
    manifest = None
    try:
        held = held_manifest(path)
        manifest = understood(held) if held else None
        return _Vouched(manifest, signed_by(path, held, signers, run) if signers else "")
    except EtcdError as error:
        return _Vouched(manifest, reason=_in_words(error))


def _in_words(error: EtcdError) -> str:
    return f"{error.message} {error.next_step}".strip()


def _unread(path: str) -> Snapshot:
    """What is known of a file before anybody has read it."""
    compression = compression_of(path)
    return Snapshot(
        path=path,
        real_path=os.path.realpath(path),
        name=os.path.basename(path),
        ok=False,
        verified=False,
        reason="",
        kind="",
        size=0,
        sha256="",
        trailer="",
        compression=compression,
        packed_size=_size_or_zero(path) if compression else 0,
        taken_at="",
        revision=0,
        key_revision=0,
        members=[],
    )


def look(path: str, run: Optional[Run] = None, scratch: str = "", signers: str = "") -> List[Snapshot]:
    """The snapshot at ``path``, or those of the folder: what ``catalogue`` returns."""
    if os.path.isfile(path):
        return [entry(path, True, None, run, scratch, signers)]
    return catalogue(path, NEWEST, None, run, scratch, signers)


def newest_good(entries: Sequence[Snapshot]) -> Optional[Snapshot]:
    """The newest entry that may be restored without being named, by ``snapshot.order``; None where there is none.

    A copied database is never chosen here: it has no hash, and what was only in the WAL is missing from it.
    """
    return newest([found for found in entries if found.ok and found.kind == SNAPSHOT])


def _size_or_zero(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _taken(path: str, manifest: Optional[Manifest]) -> float:
    """When the snapshot was taken, in seconds since the epoch: the manifest's word, else the file's time."""
    if manifest and manifest.taken_at:
        return epoch(manifest.taken_at)
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
