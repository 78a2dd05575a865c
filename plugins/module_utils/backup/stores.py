# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places away from home where the objects of a cluster lie, all in one folder of the cluster's name; see docs/offsite-format.md.

A store holds objects of plain names and knows nothing of what they are. What was put there has been compared. What was cut off
is not there, or is shorter, as rclone leaves it with SFTP: the next look at the sizes tells.
"""

from __future__ import annotations

from typing import Dict, Protocol, Sequence

from ..core.errors import EtcdError
from ..snapshot.offsite import is_object_name


class Kept(EtcdError):
    """An object stays as it is, whatever that is: nothing is deleted or replaced in this store."""


class Store(Protocol):
    """All raise EtcdError, with the store's name, for what the store does not do."""

    @property
    def name(self) -> str: ...

    @property
    def append_only(self) -> bool:
        """Nothing is ever deleted or replaced there by us: its own rules do that."""

    def names(self) -> Dict[str, int]:
        """The objects' names, and their sizes in bytes. None of what is under way, or is no object of ours."""

    def put(self, path: str, name: str) -> None:
        """Make a copy of the file the object ``name``, in the place of one that is there.

        It is there when this returns, of the file's size, and of its hash where the store tells one. ``Kept`` where another is
        there, and is not replaced.
        """

    def get(self, name: str, path: str) -> None:
        """Make a copy of the object the file at ``path``, in a private folder. What is in it, is for the caller to compare."""

    def get_many(self, names: Sequence[str], folder: str) -> None:
        """Make copies of many small objects, each the file of its name in a private folder."""

    def delete(self, name: str) -> None:
        """Remove the object. One that is not there is no error."""

    def digest(self, name: str) -> str:
        """``sha256:<hex>``, ``sha1:<hex>`` or ``md5:<hex>`` of what lies there now; empty where the store tells none."""


def check_object(store: str, name: str) -> None:
    """EtcdError for what is no object's name, and could be a path."""
    if not is_object_name(name):
        raise EtcdError(f"{name!r} cannot be an object of the store {store}.", "choose a name that it lists.")


def check_changeable(store: str, append_only: bool, name: str) -> None:
    """Where nothing may be deleted or replaced, ``Kept``."""
    if append_only:
        raise Kept(
            f"{name} in the store {store} is neither deleted nor replaced, since append_only is set for it.",
            "do it there by hand with other credentials, or let the store's own life-cycle rules do it.",
        )


def not_there(store: str, name: str) -> EtcdError:
    return EtcdError(f"the store {store} has no {name}.", "see quorum-etcd list --offsite for what it has.")


def differs(store: str, name: str) -> EtcdError:
    return EtcdError(
        f"the store {store} has not kept {name} as it was given: it differs when it is read back.",
        "check that store and the network to it; the next run gives it again.",
    )
