# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a snapshot, ``<snapshot>.json`` beside it: what only the running cluster knew."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import Any, Dict, Mapping, Optional

from ..core import strict_json
from ..core.errors import EtcdError
from .scratch import PRIVATE, forget

SCHEMA = 1
PACKED = (".gz", ".zst")


def manifest_path(path: str) -> str:
    return path + ".json"


def read_manifest(path: str) -> Optional[Dict[str, Any]]:
    """The manifest of the snapshot at ``path``; None where it has none. EtcdError for one that cannot be understood.

    That of ``x.db`` counts for ``x.db.gz`` too: people compress snapshots after they were taken.
    """
    where = manifest_path(path)
    if path.endswith(PACKED) and not os.path.exists(where):
        where = manifest_path(path.rpartition(".")[0])
    try:
        manifest = strict_json.read_file(where, "the manifest", _WITHOUT_MANIFEST)
    except FileNotFoundError:
        return None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise EtcdError(f"the manifest {where} is not one of schema {SCHEMA}.", "update the collection on this host.")
    wrong = strict_json.misfit(manifest, _MANIFEST)
    if wrong:
        raise EtcdError(f"the manifest {where} cannot be understood: {wrong}.", _WITHOUT_MANIFEST)
    return manifest


# What is read of a manifest. Anything may stand there besides: whoever saves a snapshot can add to it.
_WITHOUT_MANIFEST = "move the manifest away, if the snapshot is to be used without it."
_MANIFEST = {
    "sha256": (strict_json.WORD, None),
    "size": (int, None),
    "revision": (int, None),
    "user_keys": (int, None),
    "cluster": (strict_json.WORD, None),
    "cluster_id": (strict_json.WORD, None),
    "etcd_version": (strict_json.WORD, None),
    "taken_at": (strict_json.MOMENT, None),
}


def recorded_revisions(folder: str) -> Dict[str, int]:
    """By cluster, the highest revision in the manifests of ``folder``; also of snapshots that are damaged or gone."""
    found: Dict[str, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(EtcdError):
                    manifest = read_manifest(os.path.join(folder, name[: -len(".json")])) or {}
                    cluster = manifest.get("cluster") or ""
                    found[cluster] = max(found.get(cluster, 0), manifest.get("revision") or 0)
    return found


def manifest_mismatch(manifest: Optional[Mapping[str, Any]], size: int, sha256: str) -> str:
    """Why the manifest is not this file's, in words; empty where it is. An empty ``sha256`` is one that is not known."""
    if manifest is None:
        return ""
    if manifest.get("size") != size:
        return f"its manifest was written for {manifest.get('size')} bytes, and it has {size}."
    if sha256 and manifest.get("sha256") != sha256:
        return "its manifest was written for other content (the SHA-256 differs)."
    return ""


def write_manifest(path: str, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of the snapshot at ``path``: mode 0600, all or nothing."""
    handle, temporary = tempfile.mkstemp(prefix=PRIVATE, dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, manifest_path(path))
    except BaseException:
        forget(temporary)
        raise
