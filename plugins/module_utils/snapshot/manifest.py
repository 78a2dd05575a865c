# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a snapshot, ``<snapshot>.json`` beside it: what only the running cluster knew."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Dict, Optional

from ..core import strict_json
from ..core.durable import put
from ..core.errors import EtcdError
from ..core.values import Misfit, from_plain, to_plain
from .entry import Manifest
from .packed import SUFFIXES
from .scratch import PRIVATE

SCHEMA = 1
PACKED = tuple(SUFFIXES.values())
_WITHOUT_MANIFEST = "move the manifest away, if the snapshot is to be used without it."


def manifest_path(path: str) -> str:
    return path + ".json"


def read_manifest(path: str) -> Optional[Manifest]:
    """The manifest of the snapshot at ``path``; None where it has none. EtcdError for one that cannot be understood.

    That of ``x.db`` counts for ``x.db.gz`` too: people compress snapshots after they were taken.
    """
    where = manifest_path(path)
    if path.endswith(PACKED) and not os.path.exists(where):
        where = manifest_path(path.rpartition(".")[0])
    try:
        plain = strict_json.read_file(where, "the manifest", _WITHOUT_MANIFEST)
    except FileNotFoundError:
        return None
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise EtcdError(f"the manifest {where} is not one of schema {SCHEMA}.", "update the collection on this host.")
    try:
        return from_plain(Manifest, plain)
    except Misfit as why:
        raise EtcdError(f"the manifest {where} cannot be understood: {why}.", _WITHOUT_MANIFEST) from why


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
    text = json.dumps(to_plain(manifest), indent=2, sort_keys=True) + "\n"
    put(manifest_path(path), text.encode(), prefix=PRIVATE)
