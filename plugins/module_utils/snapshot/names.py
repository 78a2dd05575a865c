# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies beside a snapshot, by its name: the manifest, the manifest's signature, and the recovery kit."""

from __future__ import annotations

import re
from typing import Tuple

from .packed import SUFFIXES

PACKED = tuple(SUFFIXES.values())  # ends of the names of compressed snapshots
_MANIFEST, _SIGNATURE, _KIT = ".json", ".json.sig", ".kit.tar.gz"
BESIDE = (_MANIFEST, _SIGNATURE, _KIT)  # ends of the names of what is no snapshot


def safe(cluster: str) -> str:
    """The cluster's name as a file can have it: what is no letter, digit, ``.``, ``_`` or ``-`` becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", cluster).lstrip(".-") or "etcd"


def manifest_path(path: str) -> str:
    return path + _MANIFEST


def signature_path(file: str) -> str:
    """Of the signature over a file, as ``ssh-keygen`` names it."""
    return file + ".sig"


def kit_path(path: str) -> str:
    return without_end(without_end(path, *PACKED), ".db") + _KIT


def beside(path: str) -> Tuple[str, str, str]:
    """All that goes with the snapshot at ``path``, whether it is there or not."""
    return manifest_path(path), signature_path(manifest_path(path)), kit_path(path)


def without_end(path: str, *ends: str) -> str:
    return next((path[: -len(end)] for end in ends if path.endswith(end)), path)
