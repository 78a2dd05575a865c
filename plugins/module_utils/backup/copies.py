# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This host's copies of a store's manifests: which snapshots lay there when it last looked, as each upload and drill does."""

from __future__ import annotations

import os
import re
from typing import Set

from ..snapshot.names import manifest_path

MANIFEST = ".db.json"


def copies_folder(state_dir: str, store: str) -> str:
    """Where the copies of a store's manifests lie; its name is the operator's, and becomes a file's."""
    return os.path.join(
        state_dir, "shipping", re.sub(r"[^A-Za-z0-9_-]", lambda found: f"%{ord(found.group()):x}", store)
    )


def names_of(copies: str) -> Set[str]:
    """The snapshots whose manifests the store had; ``copies`` is the folder of their copies."""
    if not os.path.isdir(copies):
        return set()
    return {name[: -len(".json")] for name in os.listdir(copies) if name.endswith(MANIFEST)}


def was_there(state_dir: str, store: str, name: str) -> bool:
    """Whether the store had the manifest of the snapshot ``name``."""
    return os.path.isfile(os.path.join(copies_folder(state_dir, store), manifest_path(name)))
