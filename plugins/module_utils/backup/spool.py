# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be shipped: of each saved snapshot its objects, made once, the same for every store.

An object is a full snapshot, or the pages that changed since the one that was spooled before. Of that one only a hash of each
page is kept, in a file that belongs to the last object: it comes into its place after it. A run that is killed between the two
leaves the hashes of the one before; what is made next then starts from that, which is as right. What is killed earlier leaves
nothing that has a manifest. Whoever calls has the spool's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass, field, replace
from typing import AbstractSet, BinaryIO, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..core import durable, strict_json
from ..core.errors import EtcdError
from ..core.text import epoch
from ..core.trees import sync, sync_folder
from ..core.values import MOMENT, from_plain, to_plain
from ..etcd.commands import Run
from ..snapshot import pages
from ..snapshot.entry import Manifest, Snapshot
from ..snapshot.manifest import read_manifest, write_manifest
from ..snapshot.names import PACKED, manifest_path, signature_path, without_end
from ..snapshot.offsite import FULL, PAGES, Offsite, header_of, offsite_of, with_offsite
from ..snapshot.order import revision
from ..snapshot.packed import GZIP, SUFFIXES, XZ, ZSTD, can_pack, compression_of, pack
from ..snapshot.pages import sha256_of
from ..snapshot.publish import clear_saves
from ..snapshot.save import space_needed
from ..snapshot.scratch import PRIVATE, UNPACKED, forget, forget_all, leftovers, make_folder, plain, private_folder
from ..snapshot.signature import UNSIGNED, Signing, sign
from .retention import newest_first

HASHES = ".page-hashes"
_RENAMING = ".renaming"  # names the snapshot whose signature may be of another manifest than the one that lies there
_HEAD = 4096  # bytes before the hashes: what they are of, as JSON
_LONGEST_CHAIN = 86400.0  # seconds from a full one to the next
_LARGE = 3  # an increment is worth it while it has at most this part of a full one's bytes
_MANIFEST = ".db.json"


@dataclass(frozen=True)
class Base:
    """What the hashes are of: the snapshot that was spooled last. ``digest`` is the SHA-256 of the hashes themselves.

    ``chain`` is the name of the full one of its chain, ``began`` when that was taken, ``full_size`` its packed bytes.
    """

    name: str
    sha256: str
    revision: int
    taken_at: str = field(metadata=MOMENT)
    cluster_id: str
    member_id: str
    chain: str
    began: str = field(metadata=MOMENT)
    full_size: int
    digest: str


class Spooled(NamedTuple):
    """A snapshot in the spool: its name, its manifest, and the names of its files, the manifest's last."""

    name: str
    manifest: Manifest
    files: Tuple[str, ...]


def why_full(base: Optional[Base], manifest: Manifest) -> str:
    """Why the snapshot is spooled as a full one, in words; empty where its changed pages may do."""
    if base is None:
        return "there is none before it"
    if (base.cluster_id, base.member_id) != (manifest.cluster_id, manifest.more.get("member_id")):
        return "the one before it is another member's, whose pages are others"
    age = epoch(manifest.taken_at or base.began) - epoch(base.began)
    if not 0 <= age < _LONGEST_CHAIN:
        return "the last full one is a day old, or of a time that is yet to come"
    return ""


def is_worth_it(increment: int, full: int) -> bool:
    """Whether an increment of so many packed bytes is spooled, where a full one has ``full``."""
    return increment * _LARGE <= full


def due(
    entries: Sequence[Snapshot], base: Optional[Base], cluster: str, cluster_id: str, held: AbstractSet[str]
) -> List[Snapshot]:
    """Of a folder's snapshots those that are to be spooled, the oldest first: all that are newer than the one before.

    Newer by its revision or by the time: a clock that was set back holds up nothing, and nor does a restore by hand that has
    kept the cluster's ID, while the revisions went back. After either, what was spooled before is newer in one of the two ways.
    It is ``held``, the names that a store has, and is never spooled again: as an increment it would start from what was made
    from it. Where none was spooled of this etcd cluster, the newest alone, as a full one.
    """
    counted = newest_first(entries, cluster, cluster_id)
    if base is None or base.cluster_id != cluster_id:
        return counted[:1]
    newer = [one for one in counted if revision(one) > base.revision or one.taken_at > base.taken_at]
    return [one for one in newer[::-1] if without_end(one.name, *PACKED) not in held | {base.name}]


def waiting(spool: str) -> List[Spooled]:
    """The snapshots of the spool in the order in which they are shipped: the oldest first, and none before its base."""
    found = []
    for name in sorted(os.listdir(spool)) if os.path.isdir(spool) else ():
        if name.endswith(_MANIFEST) and not name.startswith("."):
            manifest = read_manifest(os.path.join(spool, name[: -len(".json")]))
            if manifest:
                found.append(_spooled(spool, name[: -len(".json")], manifest))
    return _in_order(found)


def _spooled(spool: str, name: str, manifest: Manifest) -> Spooled:
    beside = [offsite_of(manifest).object, kit_of(manifest), signature_path(manifest_path(name))]
    there = [one for one in beside if one and os.path.exists(os.path.join(spool, one))]
    return Spooled(name, manifest, (*there, manifest_path(name)))


def _in_order(found: Sequence[Spooled]) -> List[Spooled]:
    rest = sorted(found, key=lambda one: one.manifest.taken_at or "")
    ordered: List[Spooled] = []
    while rest:
        left = {one.name for one in rest}
        ready = next((one for one in rest if offsite_of(one.manifest).base_name not in left), rest[0])
        ordered.append(ready)
        rest.remove(ready)
    return ordered


def kit_of(manifest: Manifest) -> str:
    """The name of the recovery kit's file; empty where there is none."""
    kit = manifest.more.get("kit")
    name = kit.get("name") if isinstance(kit, dict) else ""
    return os.path.basename(name) if isinstance(name, str) else ""


def without_places(manifest: Manifest) -> Manifest:
    """What a manifest says of the snapshot, and not as what or under which names that lies off-site."""
    more = {key: value for key, value in manifest.more.items() if key != "offsite"}
    if isinstance(more.get("kit"), dict):
        more["kit"] = {**more["kit"], "name": ""}
    return replace(manifest, more=more)


def drop(spool: str, one: Spooled) -> None:
    """Take a snapshot out of the spool; the manifest goes first."""
    for name in one.files[::-1]:
        forget(os.path.join(spool, name))
    sync_folder(spool)


def sweep(spool: str) -> None:
    """Remove what belongs to no manifest, since a run was killed before that came or in the middle of a removal, and what such
    a run has unpacked, which may be large."""
    clear_saves(spool)
    for left in leftovers(spool, UNPACKED):
        forget_all(left)
    known = {name for one in waiting(spool) for name in one.files}
    for name in os.listdir(spool):
        if not name.startswith(".") and name not in known:
            forget(os.path.join(spool, name))


def forget_base(spool: str) -> None:
    """The next one is to be a full one."""
    forget(os.path.join(spool, HASHES))


def put(spool: str, path: str, manifest: Manifest, run: Run, signing: Signing = UNSIGNED) -> Offsite:
    """Make the objects of the saved snapshot at ``path``, plain or compressed. EtcdError, and nothing, where that fails."""
    make_folder(spool)
    clear_saves(spool)
    name = without_end(os.path.basename(path), *PACKED)
    base = base_of(spool)
    reason = why_full(base, manifest)
    try:
        # That one is unpacked for the time of the work.
        _check_room(spool, (manifest.size or 0) * (2 if compression_of(path) else 1), bool(reason))
        with plain(path, run, spool) as source, private_folder(spool) as private:
            work = _Work(spool, private, name, path, source, manifest, run)
            made = _increment(work, base) if base and not reason else None
            told = made or _full(work)
            _publish(work, told, base, signing)
    except OSError as error:
        raise EtcdError(f"{name} could not be spooled in {spool}: {error.strerror}.", "check its disk.") from error
    return told


class _Work(NamedTuple):
    """A snapshot that is being spooled: ``path`` is where it lies, ``source`` its plain file, ``private`` where its objects are
    made."""

    spool: str
    private: str
    name: str
    path: str
    source: str
    manifest: Manifest
    run: Run

    def draft(self, name: str) -> str:
        return os.path.join(self.private, name)

    @property
    def stem(self) -> str:
        return without_end(self.name, ".db")


def _increment(work: _Work, base: Base) -> Optional[Offsite]:
    """The increment in the private folder; None where a full one is better. The page hashes are there in either case."""
    most = (work.manifest.size or 0) // _LARGE
    told = Offsite(PAGES, "", "", 0, base.chain, base.sha256, base.name)
    header = pages.header_line(header_of(with_offsite(work.manifest, replace(told, object="increment"))))
    with open(work.draft("increment"), "wb") as records, _hashes(work.spool) as before:
        records.write(header)
        seen = _compare(work, before, records, most)
    if seen.changed > most:
        return None
    compression = ZSTD if can_pack(ZSTD, work.run) else XZ if can_pack(XZ) else GZIP
    told = _packed(work, "increment", compression, replace(told, object=f"{work.stem}.pages{SUFFIXES[compression]}"))
    if not is_worth_it(told.size, base.full_size):
        forget(work.draft(told.object))
        return None
    return told


def _full(work: _Work) -> Offsite:
    if not os.path.exists(work.draft("hashes")):
        _compare(work, io.BytesIO(), io.BytesIO(), 0)
    _check_room(work.spool, work.manifest.size or 0, True)
    compression = ZSTD if can_pack(ZSTD, work.run) else GZIP
    told = Offsite(FULL, work.name + SUFFIXES[compression], "", 0, work.name)
    return _copied(work, told, compression) or _packed(work, work.source, compression, told)


def _copied(work: _Work, told: Offsite, compression: str) -> Optional[Offsite]:
    """The snapshot as it lies here, where it is compressed in the same way; its manifest says that it was compared."""
    packed = work.manifest.packed
    if packed is None or (packed.compression, compression_of(work.path)) != (compression, compression):
        return None
    to = work.draft(told.object)
    shutil.copyfile(work.path, to)
    if sha256_of(to) == packed.sha256:
        return replace(told, sha256=packed.sha256, size=packed.size)
    forget(to)
    return None


def _compare(work: _Work, before: BinaryIO, records: BinaryIO, most: int) -> pages.Compared:
    with open(work.draft("hashes"), "wb") as hashes:
        hashes.write(b" " * _HEAD)
        seen = pages.compare(work.source, before, hashes, records, most)
    if (seen.sha256, seen.size) != (work.manifest.sha256, work.manifest.size):
        raise EtcdError(
            f"{work.name} is not what its manifest was written for: its SHA-256 is {seen.sha256}.",
            "see what has changed it; the next backup is spooled by itself.",
        )
    return seen


def _packed(work: _Work, what: str, compression: str, told: Offsite) -> Offsite:
    path = work.draft(told.object)
    pack(os.path.join(work.private, what), path, compression, work.run)
    return replace(told, sha256=sha256_of(path), size=os.stat(path).st_size)


def _publish(work: _Work, told: Offsite, base: Optional[Base], signing: Signing) -> None:
    """The object, what else there is, the manifest, and at last the page hashes: each on the disk before the next."""
    manifest = with_offsite(replace(work.manifest, file=work.name, packed=None, inside=None), told)
    write_manifest(work.draft(work.name), manifest)
    if signing.key:
        sign(work.run, signing.key, work.draft(manifest_path(work.name)))
    kit = kit_of(manifest)
    if kit:
        # One that somebody has taken away keeps no data back.
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(os.path.join(os.path.dirname(work.path), kit), work.draft(kit))
    _finish_hashes(work, told, base)
    for name in (told.object, kit, signature_path(manifest_path(work.name)), manifest_path(work.name)):
        if name and os.path.exists(work.draft(name)):
            _move(work.draft(name), os.path.join(work.spool, name))
    _move(work.draft("hashes"), os.path.join(work.spool, HASHES))


def _move(draft: str, path: str) -> None:
    os.chmod(draft, 0o600)
    sync(draft)
    os.rename(draft, path)
    sync_folder(os.path.dirname(path))


def rename(spool: str, one: Spooled, name: str, to: str, run: Run, signing: Signing = UNSIGNED) -> Spooled:
    """Give the object or the kit ``name`` of a snapshot another name, which its manifest has from then on.

    What is killed in between leaves the name that it had, until its manifest has the new one; ``sweep`` removes the other. The
    manifest and its signature cannot come into their places at once: see ``mend``.
    """
    said = manifest_path(one.name)
    manifest = _with_name(one.manifest, name, to)
    forget(os.path.join(spool, to))
    os.link(os.path.join(spool, name), os.path.join(spool, to))
    with private_folder(spool) as private:
        write_manifest(os.path.join(private, one.name), manifest)
        _sign_draft(private, said, run, signing)
        durable.put(os.path.join(spool, _RENAMING), one.name.encode(), prefix=PRIVATE)
        _move_signature(private, spool, said)
        _move(os.path.join(private, said), os.path.join(spool, said))
    forget(os.path.join(spool, _RENAMING))
    forget(os.path.join(spool, name))
    return _spooled(spool, one.name, manifest)


def is_torn(spool: str) -> bool:
    """Whether a ``rename`` was killed that may have left a manifest with the signature of another one, which no store may get."""
    return os.path.exists(os.path.join(spool, _RENAMING))


def mend(spool: str, run: Run, signing: Signing = UNSIGNED) -> None:
    """Sign the manifest anew that a ``rename`` was killed at, whichever of the two it is. EtcdError where that cannot be done."""
    with open(os.path.join(spool, _RENAMING), encoding="utf-8") as file:
        said = manifest_path(os.path.basename(file.read()))
    if os.path.exists(os.path.join(spool, said)):
        with private_folder(spool) as private:
            shutil.copyfile(os.path.join(spool, said), os.path.join(private, said))
            _sign_draft(private, said, run, signing)
            _move_signature(private, spool, said)
    forget(os.path.join(spool, _RENAMING))


def _sign_draft(private: str, said: str, run: Run, signing: Signing) -> None:
    if signing.key:
        sign(run, signing.key, os.path.join(private, said))


def _move_signature(private: str, spool: str, said: str) -> None:
    """The draft's, or none where that has none."""
    draft, path = (os.path.join(folder, signature_path(said)) for folder in (private, spool))
    if os.path.exists(draft):
        _move(draft, path)
    else:
        forget(path)


def _with_name(manifest: Manifest, name: str, to: str) -> Manifest:
    if name == kit_of(manifest):
        return replace(manifest, more={**manifest.more, "kit": {**manifest.more["kit"], "name": to}})
    return with_offsite(manifest, replace(offsite_of(manifest), object=to))


def _finish_hashes(work: _Work, told: Offsite, base: Optional[Base]) -> None:
    manifest, path = work.manifest, work.draft("hashes")
    begins = told.kind == FULL or base is None
    value = Base(
        name=work.name,
        sha256=manifest.sha256 or "",
        revision=manifest.revision or 0,
        taken_at=manifest.taken_at or "",
        cluster_id=manifest.cluster_id or "",
        member_id=str(manifest.more.get("member_id", "")),
        chain=told.chain,
        began=(manifest.taken_at or "") if begins or base is None else base.began,
        full_size=told.size if begins or base is None else base.full_size,
        digest=_digest(path),
    )
    with open(path, "r+b") as file:
        file.write(json.dumps(to_plain(value)).encode().ljust(_HEAD - 1) + b"\n")


def base_of(spool: str) -> Optional[Base]:
    """What the page hashes of the spool are of; None where there are none, or they are damaged."""
    path = os.path.join(spool, HASHES)
    try:
        with open(path, "rb") as file:
            base = from_plain(Base, strict_json.parse(file.read(_HEAD).decode("utf-8"), _HEAD))
        return base if base.digest == _digest(path) else None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _hashes(spool: str) -> Iterator[BinaryIO]:
    with open(os.path.join(spool, HASHES), "rb") as file:
        file.seek(_HEAD)
        yield file


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(_HEAD)
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _check_room(spool: str, size: int, full: bool) -> None:
    """EtcdError where the spool's disk could become full: an increment takes at most a third, and that packed."""
    needed = space_needed(size if full else size * 2 // _LARGE)
    free = shutil.disk_usage(spool).free
    if free < needed:
        raise EtcdError(
            f"{spool} has {free} bytes free, and the next snapshot to be shipped needs up to {needed} there.",
            "free some disk; what waits in the spool goes once its stores have it.",
        )
