# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a snapshot, ``<snapshot>.json`` beside it: what only the running cluster knew."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Dict, NamedTuple, Optional

from ..core import strict_json
from ..core.durable import put
from ..core.errors import Damaged, EtcdError
from ..core.values import Misfit, from_plain, to_plain
from ..etcd.commands import Run
from .entry import Manifest
from .names import PACKED, manifest_path, without_end
from .scratch import PRIVATE
from .signature import read_signature, signer_of

SCHEMA = 1
_WITHOUT_MANIFEST = "move the manifest away, if the snapshot is to be used without it."


class Held(NamedTuple):
    """The bytes of a manifest, and the file that they were read of."""

    where: str
    content: bytes


def held_manifest(path: str) -> Optional[Held]:
    """What lies there as the manifest of the snapshot at ``path``; None where it has none. EtcdError where it cannot be read.

    That of ``x.db`` counts for ``x.db.gz`` too, and the other way: people compress and unpack snapshots after they were taken.
    """
    bare = without_end(path, *PACKED)
    for other in dict.fromkeys([path, bare, *(bare + end for end in PACKED)]):
        where = manifest_path(other)
        try:
            return Held(where, strict_json.read_bytes(where, "the manifest", _WITHOUT_MANIFEST))
        except FileNotFoundError:
            continue
    return None


def read_manifest(path: str) -> Optional[Manifest]:
    """The manifest of the snapshot at ``path``; None where it has none. EtcdError for one that cannot be understood."""
    held = held_manifest(path)
    return understood(held) if held else None


def understood(held: Held) -> Manifest:
    where = held.where
    plain = strict_json.parse_file(held.content, where, "the manifest", _WITHOUT_MANIFEST)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise EtcdError(f"the manifest {where} is not one of schema {SCHEMA}.", "update the collection on this host.")
    try:
        return from_plain(Manifest, plain)
    except Misfit as why:
        raise EtcdError(f"the manifest {where} cannot be understood: {why}.", _WITHOUT_MANIFEST) from why


def signed_by(path: str, held: Optional[Held], signers: str, run: Optional[Run]) -> str:
    """Who of ``signers`` (text as ``ssh-keygen`` reads it) vouches for the snapshot at ``path`` with its manifest ``held``.

    EtcdError where nobody does, each case in its own words; Damaged where it was altered since, or has another name than it was
    signed under: an older one could be made to look like the newest by that.
    """
    if held is None:
        raise EtcdError(
            f"{path} is not signed: it has no manifest that could be, and etcd_backup_signers asks for that.",
            "choose one that is signed.",
        )
    name = signer_of(run, signers, held.content, read_signature(held.where), f"the manifest of {path}")
    file, lies_as = understood(held).file or "", os.path.basename(held.where)[: -len(".json")]
    if lies_as != file:
        raise Damaged(f"{path} was signed as {file}, and has another name now.", "give it back the name that it had.")
    return name


def recorded_revisions(folder: str) -> Dict[str, int]:
    """By cluster, the highest revision in the manifests of ``folder``; also of snapshots that are damaged or gone."""
    found: Dict[str, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(EtcdError):
                    manifest = read_manifest(os.path.join(folder, name[: -len(".json")])) or Manifest()
                    cluster = manifest.cluster or ""
                    found[cluster] = max(found.get(cluster, 0), manifest.revision or 0)
    return found


def manifest_mismatch(manifest: Optional[Manifest], size: int, sha256: str) -> str:
    """Why the manifest is not this file's, in words; empty where it is. An empty ``sha256`` is one that is not known."""
    if manifest is None:
        return ""
    if manifest.size != size:
        return f"its manifest was written for {manifest.size} bytes, and it has {size}."
    if sha256 and manifest.sha256 != sha256:
        return "its manifest was written for other content (the SHA-256 differs)."
    return ""


def write_manifest(path: str, manifest: Manifest) -> None:
    """Write the manifest of the snapshot at ``path``: mode 0600, all or nothing."""
    put(manifest_path(path), in_bytes(manifest), prefix=PRIVATE)


def in_bytes(manifest: Manifest) -> bytes:
    """The manifest as it is written, and signed."""
    return (json.dumps(to_plain(manifest), indent=2, sort_keys=True) + "\n").encode()
