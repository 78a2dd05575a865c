# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An off-site snapshot put together from its objects: the full one, and the increments up to it. See docs/offsite-format.md."""

from __future__ import annotations

import os
import shutil
from typing import Callable, Mapping, Sequence

from ..core.errors import Damaged, EtcdError
from ..core.trees import sync
from ..etcd.commands import Run
from .entry import Manifest
from .offsite import FULL, Offsite, header_of, needed_for, offsite_of
from .packed import unpack
from .pages import apply, prove, sha256_of
from .scratch import UNPACKED, forget, make_folder, private_folder

Get = Callable[[str, str], object]  # brings the object of this name to this path
_MARGIN = 1 << 20  # bytes
_ANOTHER = "choose another snapshot, or take it from another store."


def put_together(name: str, manifests: Mapping[str, Manifest], get: Get, to: str, run: Run) -> None:
    """Make the snapshot ``name`` the new file ``to``, for its owner alone: its bytes, proven by the SHA-256 in its manifest.

    ``manifests`` are those of the store by the names of their snapshots. Each object is compared with its manifest before
    anything is made of it. EtcdError, and no file, where that fails: Damaged where one is missing or not what it should be.
    """
    chain = needed_for(name, manifests)
    folder = os.path.dirname(os.path.abspath(to))
    make_folder(folder)
    _check_room(folder, [manifests[one] for one in chain])
    try:
        with private_folder(folder, UNPACKED) as private:
            draft = os.path.join(private, "snapshot.db")
            for one in chain:
                _add(manifests[one], get, private, draft, run)
            prove(draft, manifests[name].sha256 or "")
            sync(draft)
            os.link(draft, to)  # never over another file
    except OSError as error:
        raise EtcdError(
            f"{name} could not be put together in {folder}: {error.strerror}.", "check its disk."
        ) from error


def _add(manifest: Manifest, get: Get, private: str, draft: str, run: Run) -> None:
    """The draft, brought on to this snapshot."""
    told, size = offsite_of(manifest), manifest.size or 0
    packed, plain = os.path.join(private, "object"), os.path.join(private, "increment")
    get(told.object, packed)
    _check_object(told, packed)
    if told.kind == FULL:
        unpack(packed, draft, size, run)
    else:
        # A record for each page at most, of which the last may be a short one.
        unpack(packed, plain, size + size // 256 + _MARGIN, run, database=False)
        apply(plain, draft, header_of(manifest))
        forget(plain)
    forget(packed)


def _check_object(told: Offsite, path: str) -> None:
    size = os.stat(path).st_size
    if (size, sha256_of(path)) != (told.size, told.sha256):
        raise Damaged(
            f"{told.object} is damaged or another one: it has {size} bytes, and its manifest was written for {told.size}"
            f" with the SHA-256 {told.sha256}.",
            _ANOTHER,
        )


def _check_room(folder: str, chain: Sequence[Manifest]) -> None:
    needed = max((one.size or 0) for one in chain) + 2 * max(offsite_of(one).size for one in chain) + _MARGIN
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EtcdError(
            f"{folder} has {free} bytes free, and putting the snapshot together needs {needed} there.",
            "free some disk.",
        )
