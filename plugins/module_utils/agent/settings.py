# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the agent, as it lies on a host: a JSON file of root's, and the password in a file beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Tuple

from ..backup.pki import check_pki
from ..backup.retention import policy_of
from ..backup.store_settings import StoreSettings, store_of
from ..backup.stores import Store
from ..core.errors import EtcdError
from ..core.values import TEXT
from ..etcd.commands import Connection, Run
from ..host.believed import File, believed
from ..host.trust import secret_in
from ..snapshot.packed import AUTO, CHOICES

PATH = "/etc/quorum-etcd/agent.json"
PASSWORD_PATH = "/etc/quorum-etcd/agent.password"
SIGNING_KEY_PATH = "/etc/quorum-etcd/signing.key"
_MADE = "run backup.yml with etcd_backup_schedule."
_NEXT = "run backup.yml again with etcd_backup_schedule, or mend it by hand."
_FILE = File("the configuration", "is", "it", "there is no configuration", _MADE, _NEXT)


@dataclass(frozen=True)
class Settings:
    """``here`` are the endpoints of this host's own member, ``max_age`` seconds after which ``status`` is no longer content.
    ``member`` are the options by which ``discover`` knows this host's member, for the recovery kit; ``host`` is what a play calls
    this host, and ``members_file`` what plays have seen of the others.

    ``metrics_dir`` is where node_exporter looks for files, empty for no metrics. ``drill_dir`` is where backups are restored to
    for a drill, empty for a folder of ``state_dir``; ``drill_check`` the site's own check of what was restored; ``drill_timeout``
    is in seconds, ``drill_memory`` in MiB. After ``proof_age`` days without a proof ``status`` is no longer content; 0 for never.
    ``offsite`` are the stores elsewhere, and ``offsite_keep`` how much is kept there.
    """

    cluster: str
    endpoints: Tuple[str, ...]
    folder: str
    here: Tuple[str, ...] = ()
    cacert: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password_file: str = ""
    command_timeout: int = 5
    bin_dir: str = ""
    state_dir: str = "/var/lib/quorum-etcd"
    keep: Any = 10
    every_member: bool = False
    accept_divergence: bool = False
    max_age: int = 7200
    metrics_dir: str = ""
    signing_key: str = ""
    signers: str = field(default="", metadata=TEXT)
    offsite: Tuple[StoreSettings, ...] = ()
    offsite_keep: Any = field(default_factory=lambda: {"days": 31})
    drill_dir: str = ""
    drill_check: Tuple[str, ...] = field(default=(), metadata=TEXT)
    drill_timeout: int = 3600
    drill_memory: int = 2048
    proof_age: int = 7
    compress: str = AUTO
    kit: bool = True
    kit_pki: bool = False
    kit_recipient: str = field(default="", metadata=TEXT)
    member: Dict[str, Any] = field(default_factory=dict)
    host: str = ""
    members_file: str = ""

    @property
    def store_names(self) -> FrozenSet[str]:
        return frozenset(store.name for store in self.offsite)


def load(path: str) -> Settings:
    """The settings in the file. EtcdError for one that is missing, wrong, or could have been written by others."""
    path = os.path.abspath(path)
    settings = believed(Settings, path, _FILE)
    policy_of(settings.keep)
    check_pki(settings.kit_pki, settings.kit_recipient)
    if settings.compress not in CHOICES:
        raise EtcdError(f"the configuration {path} has no compression that is known: {settings.compress}.", _NEXT)
    policy_of(settings.offsite_keep)
    if not settings.endpoints:
        raise EtcdError(f"the configuration {path} has no endpoints.", _NEXT)
    if not (settings.here or settings.every_member):
        raise EtcdError(
            f"the configuration {path} does not say which member is this host's (here), so it would never have its turn.",
            "name its endpoint, or set every_member to true.",
        )
    return settings


def connection_of(settings: Settings) -> Connection:
    return Connection(
        endpoints=settings.endpoints,
        cacert=settings.cacert,
        cert=settings.cert,
        key=settings.key,
        user=settings.user,
        password=secret_in(settings.password_file, _NEXT) if settings.password_file else "",
        command_timeout=settings.command_timeout,
    )


def stores_of(settings: Settings, run: Run) -> Tuple[Store, ...]:
    return tuple(store_of(one, settings.cluster, settings.folder, run) for one in settings.offsite)
