# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a snapshot gets its name, with all that lies beside it.

The snapshot is the last to get its name. What was killed before has left no snapshot, and a manifest alone is taken for
nothing; the next save removes it, since the name stands in the private folder that is left.
"""

from __future__ import annotations

import contextlib
import os
from typing import List, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.trees import sync, sync_folder
from .names import BESIDE, beside
from .scratch import PRIVATE, forget, forget_all, leftovers

_UNDER_WAY = "publishing"  # in a private folder: the name that the snapshot is about to get


def publish(private: str, folder: str, drafts: Sequence[Tuple[str, str]]) -> None:
    """Give each draft, a path in the folder ``private``, its name in ``folder``, the snapshot's last: all or none.

    OSError or EtcdError with nothing published. On the disk when this returns.
    """
    _draft, name = drafts[-1]
    check_name(folder, name)
    for draft, _name in drafts:
        os.chmod(draft, 0o600)
        sync(draft)
    _write(os.path.join(private, _UNDER_WAY), name)
    done: List[str] = []
    try:
        for draft, to in drafts[:-1]:
            os.rename(draft, os.path.join(folder, to))
            done.append(to)
        sync_folder(folder)
        draft, to = drafts[-1]
        os.rename(draft, os.path.join(folder, to))
        done.append(to)
        sync_folder(folder)
    except BaseException:
        for published in reversed(done):
            forget(os.path.join(folder, published))
        raise


def check_name(folder: str, name: str) -> None:
    """EtcdError for what cannot become a snapshot's name in ``folder``. An empty one is chosen later."""
    bad = name and (name != os.path.basename(name) or name.startswith(".") or name.endswith((".part", *BESIDE)))
    if bad:
        raise EtcdError(f"{name!r} cannot be a snapshot's name.", "give a plain file name, such as before-upgrade.db.")
    if name and os.path.lexists(os.path.join(folder, name)):
        raise EtcdError(
            f"{os.path.join(folder, name)} exists, and a snapshot is never overwritten.", "choose another name."
        )


def clear_saves(folder: str, before: float = float("inf")) -> None:
    """Remove what killed saves have left, for whoever has the folder's lock: no other save is under way then.

    Without the lock, only what was left before that time, in seconds since the epoch.
    """
    for left in leftovers(folder, PRIVATE, before):
        with contextlib.suppress(OSError, EtcdError):
            _clear_half_published(folder, left)
        forget_all(left)


def _clear_half_published(folder: str, left: str) -> None:
    """What lies beside no snapshot. Only the folder's owner can have left such a note."""
    if os.lstat(left).st_uid != os.geteuid():
        return
    with open(os.path.join(left, _UNDER_WAY), encoding="utf-8") as file:
        name = file.read(256)
    check_name(folder, name)  # one that is there is whole
    for path in beside(os.path.join(folder, name)) if name else ():
        forget(path)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    sync(path)
    sync_folder(os.path.dirname(path))
