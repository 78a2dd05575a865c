# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for of a mirror, by its module, as what is to be on the host. Pure, but for the folders that it looks for."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from ..core.errors import EtcdError
from ..core.text import seconds_of
from ..etcd.commands import Connection, Tool
from ..mirror.classic import Classic, command_of
from ..mirror.settings import KEEP, MirrorSettings, Seed, Side
from ..mirror.sides import TLS
from .compiled import compiled
from .metrics import folder_of as metrics_folder_of
from .mirror_install import SIDES, Mirror, secret_path
from .mirror_modules import folder_of
from .schedule import PROGRAM

QUORUM, ETCDCTL = "quorum", "etcdctl"
_TAKEN = (
    "name",
    "prefix",
    "destination_prefix",
    "leases",
    "on_restore",
    "keep_log",
    "overwrite",
    "log_max_bytes",
    "state_dir",
)
_LENGTHS = ("delay", "interval", "log_max_age", "max_lag", "verified_age")
# What make-mirror has nothing like.
_ENGINE_ONLY = ("exclude", "delay", "interval", "keep_log")


def wanted_mirror(
    given: Mapping[str, Any],
    extra: Mapping[str, Any],
    python: str,
    etcdctl: Callable[[], Optional[Tool]],
    began_with: Optional[Seed] = None,
) -> Mirror:
    """``given`` are the module's options, ``extra`` what its action adds: the program, and files and passwords of each side.

    ``python`` is the interpreter of the program; ``began_with`` what is known already of the snapshot that it began with.
    EtcdError for what could not work.
    """
    secrets: Dict[str, str] = {}
    taken: Dict[str, Any] = {name: given[name] for name in _TAKEN}
    taken.update({name: _seconds(name, given[name]) for name in _LENGTHS}, exclude=tuple(given["exclude"]))
    taken["metrics_dir"] = metrics_folder_of(given["metrics_dir"])
    for side in SIDES:
        taken[side], files = _side(given["name"], side, given[side], extra.get(side) or {}, given["command_timeout"])
        secrets.update(files)
    seed = given.get("seed")
    settings = MirrorSettings(**taken, seed=Seed(**seed) if seed else began_with)
    mirror = Mirror(settings, given["destination"]["group"] or "destination", secrets)
    if given["engine"] == ETCDCTL:
        return _classic(mirror, given, extra, etcdctl())
    program = extra.get("program") or ""
    return replace(
        mirror,
        settings=replace(settings, modules=folder_of(given["wheels"])),
        program=f"#!{python}\n".encode() + (compiled(base64.b64decode(program), PROGRAM) if program else b""),
        verify=given["verify"],
    )


def _side(
    name: str, side: str, given: Mapping[str, Any], extra: Mapping[str, str], timeout: int
) -> Tuple[Side, Dict[str, str]]:
    """How the engine reaches the side, and the contents of the files that are brought for it, by their paths."""
    files = {what: f"{extra[what].strip()}\n" for what in TLS if extra.get(what)}
    paths = {what: secret_path(name, side, what) if what in files else str(given[what]) for what in TLS}
    if given["user"]:
        files["password"] = f"{extra.get('password', '')}\n"
    made = Side(
        tuple(given["endpoints"]),
        user=given["user"],
        password_file=secret_path(name, side, "password") if given["user"] else "",
        command_timeout=timeout,
        **paths,
    )
    return made, {secret_path(name, side, what): text for what, text in files.items()}


def _classic(mirror: Mirror, given: Mapping[str, Any], extra: Mapping[str, Any], etcdctl: Optional[Tool]) -> Mirror:
    settings = mirror.settings
    source, destination = (_way(getattr(settings, side), extra.get(side) or {}) for side in SIDES)
    others = {f"etcd_mirror_{name}": bool(getattr(settings, name)) for name in _ENGINE_ONLY}
    others["etcd_mirror_leases"] = settings.leases == KEEP
    if not settings.overwrite:
        raise EtcdError(
            "make-mirror overwrites what the destination has under the same keys, and does not look first.",
            "set etcd_mirror_overwrite, if it may.",
        )
    wanted = Classic(source, destination, settings.prefix, settings.destination_prefix, given["revision"])
    command = command_of(etcdctl, wanted, others)
    # The source's password is in the file with the environment; this one nobody would read.
    unread = secret_path(settings.name, "source", "password")
    return replace(
        mirror, classic=command, secrets={path: text for path, text in mirror.secrets.items() if path != unread}
    )


def _way(side: Side, extra: Mapping[str, str]) -> Connection:
    password = extra.get("password", "") if side.user else ""
    return Connection(side.endpoints, side.cacert, side.cert, side.key, side.user, password, side.command_timeout)


def _seconds(name: str, given: str) -> int:
    try:
        return seconds_of(given)
    except ValueError as error:
        raise EtcdError(
            f"{given!r} is no length of time.", f"give etcd_mirror_{name} in seconds, or as 30m, 2h or 7d."
        ) from error
