# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store as it stands in the agent's settings, and the store itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

from ..core.values import TEXT
from ..etcd.commands import Run
from ..snapshot.names import safe
from .folder_store import Folder
from .rclone_store import Rclone
from .stores import Store


@dataclass(frozen=True)
class StoreSettings:
    """``folder`` or ``remote`` is empty. ``rclone_config`` and ``password_file`` are paths on this host."""

    name: str
    folder: str = field(default="", metadata=TEXT)
    remote: str = field(default="", metadata=TEXT)
    append_only: bool = False
    mounted: Union[bool, str] = True
    rclone_config: str = field(default="", metadata=TEXT)
    password_file: str = field(default="", metadata=TEXT)
    proxy: str = field(default="", metadata=TEXT)

    @property
    def encrypted(self) -> bool:
        return bool(self.password_file)


def store_of(settings: StoreSettings, cluster: str, snapshots: str, run: Run) -> Store:
    """The store for the objects of a cluster. ``snapshots`` is the folder of the local ones: a mount is another disk."""
    folder = safe(cluster)
    if settings.folder:
        return Folder(settings.name, settings.folder, folder, settings.append_only, settings.mounted, snapshots)
    return Rclone(
        run,
        settings.name,
        settings.remote,
        folder,
        settings.rclone_config,
        settings.password_file,
        settings.append_only,
        settings.proxy,
    )
