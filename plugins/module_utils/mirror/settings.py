# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a mirror is to do, as it lies on the host of its engine: a JSON file of root's, and the passwords in files beside it."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from typing import Optional, Tuple

from ..core.errors import EtcdError
from ..core.values import TEXT
from ..etcd.commands import Connection
from ..host.believed import File, believed
from ..host.trust import find_modules_in, secret_in

FOLDER = "/etc/quorum-etcd/mirror"
STATE_FOLDER = "/var/lib/quorum-etcd/mirror"
DROP, KEEP = "drop", "keep"
REFUSE, RESYNC = "refuse", "resync"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")  # it is part of paths, of a unit's name and of a key
_ID = re.compile(r"[0-9a-fA-F]{1,16}\Z")
_NEXT = "run mirror.yml again, or mend it by hand."
_FILE = File("the settings", "are", "them", "there are no settings of a mirror in", "run mirror.yml.", _NEXT)


@dataclass(frozen=True)
class Side:
    """How the engine reaches one of the two clusters. Paths are on its host; ``command_timeout`` is in seconds."""

    endpoints: Tuple[str, ...]
    cacert: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password_file: str = ""
    command_timeout: int = 5


@dataclass(frozen=True)
class Seed:
    """The destination's cluster was restored from a snapshot of the source's; both IDs in hexadecimal.

    It had all of the source up to ``revision``, and nothing else when it was at ``restored_to`` itself. ``term`` and
    ``raft_index`` are the source's at that time.
    """

    source: str
    destination: str
    revision: int
    restored_to: int
    term: int = 0
    raft_index: int = 0


@dataclass(frozen=True)
class MirrorSettings:
    """Prefixes are text, in etcd UTF-8. ``destination_prefix`` takes the place of ``prefix`` in the destination; None: the same.
    ``exclude`` are prefixes of source keys that are not mirrored. ``overwrite``: a destination with keys that no mirror has
    written may be taken, and they are replaced or deleted.

    ``delay`` is how many seconds what was read is held back, ``interval`` how often a timer runs it, 0 for a service. The log is
    kept for ``log_max_age`` seconds and up to ``log_max_bytes``, 0 for no bound; what is read and not applied is bounded so too.

    For monitors: ``max_lag`` is how many seconds it may be behind besides, ``verified_age`` how many may pass until it is
    compared with its source again, 0 for any; ``metrics_dir`` is where node_exporter looks for files, empty for no metrics.

    ``seed`` is the snapshot that the destination was restored from; None for none, or one that nobody knows enough of.

    ``modules`` is the folder where Python's modules were unpacked that this host has none of, empty for none.
    """

    name: str
    source: Side
    destination: Side
    prefix: str = field(default="", metadata=TEXT)
    destination_prefix: Optional[str] = field(default=None, metadata=TEXT)
    exclude: Tuple[str, ...] = field(default=(), metadata=TEXT)
    leases: str = DROP
    on_restore: str = REFUSE
    overwrite: bool = False
    delay: int = 0
    keep_log: bool = False
    log_max_age: int = 7 * 86400
    log_max_bytes: int = 10 << 30
    state_dir: str = ""
    interval: int = 0
    max_lag: int = 60
    verified_age: int = 0
    metrics_dir: str = ""
    modules: str = ""
    seed: Optional[Seed] = None

    @property
    def source_prefix(self) -> bytes:
        return self.prefix.encode()

    @property
    def target_prefix(self) -> bytes:
        return (self.prefix if self.destination_prefix is None else self.destination_prefix).encode()

    @property
    def folder(self) -> str:
        """Of its state on this host."""
        return self.state_dir or os.path.join(STATE_FOLDER, self.name)


def path_of(name: str) -> str:
    """Where the settings of the mirror of this name lie. EtcdError for what is no name of one."""
    if not NAME.match(name):
        raise EtcdError(
            f"{name!r} is no name of a mirror.", "use letters, digits, dots, dashes and underscores, at most 63."
        )
    return os.path.join(FOLDER, f"{name}.json")


def load(path: str) -> MirrorSettings:
    """The settings in the file, whose ``modules`` this Python finds from then on: whoever reads them may speak to etcd.

    EtcdError for a file that is missing, wrong, or could have been written by others, as these modules.
    """
    path = os.path.abspath(path)
    settings = believed(MirrorSettings, path, _FILE)
    why = wrong_in(settings)
    if why:
        raise EtcdError(f"the settings {path} are wrong: {why}.", _NEXT)
    find_modules_in(settings.modules)
    return settings


def seed_in(path: str) -> Optional[Seed]:
    """The snapshot that the mirror with the settings in this file began with; None where none is known, or it is wrong: it would
    be written there again.
    """
    with contextlib.suppress(EtcdError):
        seed = believed(MirrorSettings, path, _FILE).seed
        return seed if seed and not _wrong_with_seed(seed) else None
    return None


def wrong_in(settings: MirrorSettings) -> str:
    """What no mirror could be run with, in words; empty where it can."""
    if not NAME.match(settings.name):
        return f"{settings.name} is no name of a mirror"
    for what, side in (("source", settings.source), ("destination", settings.destination)):
        why = _wrong_with(side)
        if why:
            return f"the {what} {why}"
    if settings.leases not in (DROP, KEEP):
        return f"leases is {settings.leases}, and neither {DROP} nor {KEEP}"
    if settings.on_restore not in (REFUSE, RESYNC):
        return f"on_restore is {settings.on_restore}, and neither {REFUSE} nor {RESYNC}"
    for name in ("delay", "interval", "log_max_age", "log_max_bytes", "max_lag", "verified_age"):
        if getattr(settings, name) < 0:
            return f"{name} is negative"
    for name in ("state_dir", "modules"):
        path = getattr(settings, name)
        if path and not os.path.isabs(path):
            return f"{name} is {path}, and no absolute path"
    wrong_seed = _wrong_with_seed(settings.seed) if settings.seed else ""
    return wrong_seed or _wrong_with_leases(settings) or _wrong_with_exclusions(settings)


def connection_of(side: Side) -> Connection:
    """EtcdError where the password cannot be read, or could be by others."""
    return Connection(
        endpoints=side.endpoints,
        cacert=side.cacert,
        cert=side.cert,
        key=side.key,
        user=side.user,
        password=secret_in(side.password_file, _NEXT) if side.password_file else "",
        command_timeout=side.command_timeout,
    )


def _wrong_with(side: Side) -> str:
    if not side.endpoints:
        return "has no endpoints"
    if bool(side.cert) != bool(side.key):
        return "has one of certificate and key, and not the other"
    if side.password_file and not side.user:
        return "has a password and no user"
    if side.command_timeout < 1:
        return "has a command_timeout below a second"
    return ""


def _wrong_with_seed(seed: Seed) -> str:
    for name in ("source", "destination"):
        id = getattr(seed, name)
        if not _ID.match(id):
            return f"the {name} of its seed is {id!r}, and no cluster's ID in hexadecimal"
    for name in ("revision", "restored_to", "term", "raft_index"):
        if getattr(seed, name) < 0:
            return f"the {name} of its seed is negative"
    return ""


def _wrong_with_leases(settings: MirrorSettings) -> str:
    """Kept leases are renewed by an engine that runs all the time and has what the source has."""
    if settings.leases == KEEP and settings.delay:
        return f"leases is {KEEP}, and delay is set: they would run out before; set one of both"
    if settings.leases == KEEP and settings.interval:
        return f"leases is {KEEP}, and interval is set: nobody would renew them meanwhile; set one of both"
    return ""


def _wrong_with_exclusions(settings: MirrorSettings) -> str:
    for one in settings.exclude:
        if not one or settings.prefix.startswith(one):
            return f"exclude has {one!r}, and nothing would be mirrored"
        if not one.startswith(settings.prefix):
            return f"exclude has {one!r}, which is not below the prefix"
    return ""
