# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stores as an inventory has them (``etcd_backup_offsite``): held against what can be, and their secrets in files. Pure."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from ..core.errors import EtcdError
from .store_settings import StoreSettings

FOLDER = "/etc/quorum-etcd/offsite"  # where the secrets lie on a host
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")
_PROXY = re.compile(r"https?://[^\s@/]+/?\Z")
_SECTION = re.compile(r"^\s*\[([^\]]+)\]\s*$", re.MULTILINE)
_SEE = "see etcd_backup_offsite in the manual of the role agent."


class WantedStore(NamedTuple):
    """``files`` are the texts of files of root's alone, by their paths."""

    settings: StoreSettings
    files: Dict[str, str]


def wanted_stores(given: Sequence[Mapping[str, Any]], own: Sequence[str] = (), at: str = FOLDER) -> List[WantedStore]:
    """The stores of a list. ``own`` are folders of this host's that none of them may be, ``at`` is where the secrets are to lie.

    EtcdError for the first that could not be used, with its place in the list.
    """
    found: List[WantedStore] = []
    for number, one in enumerate(given, 1):
        told = {key: value for key, value in one.items() if value not in (None, "")}
        place = f"store {number} of etcd_backup_offsite"
        name = str(told.get("name", ""))
        if not _NAME.match(name):
            raise _refused(place, f"has no name that a file could have: {name!r}", "give it one, such as name: s3.")
        place = f"{place}, {name},"
        if name in (other.settings.name for other in found):
            raise _refused(place, "has the name of another", "give each a name of its own.")
        if ("folder" in told) == ("remote" in told):
            raise _refused(place, "needs one of folder and remote, and not both", _SEE)
        found.append(_folder(place, name, told, own) if "folder" in told else _remote(place, name, told, at))
    return found


def _folder(place: str, name: str, told: Mapping[str, Any], own: Sequence[str]) -> WantedStore:
    path = os.path.normpath(str(told["folder"]))
    mounted = told.get("mounted", True)
    alien = [key for key in ("rclone_config", "password", "proxy") if key in told]
    if alien:
        raise _refused(place, f"is a folder, for which {alien[0]} means nothing", "leave it out, or give a remote.")
    if not path.startswith("/"):
        raise _refused(place, f"has the folder {path}, which is no absolute path", "begin it with a slash.")
    for folder in own:
        if os.path.commonpath([path, os.path.normpath(folder)]) in (path, os.path.normpath(folder)):
            raise _refused(place, f"has the folder {path}, and {folder} is this host's own", "choose another folder.")
    if not isinstance(mounted, bool):
        mounted = _mount(place, str(mounted), path)
    return WantedStore(StoreSettings(name, path, "", bool(told.get("append_only")), mounted), {})


def _mount(place: str, given: str, path: str) -> Any:
    """A mount point's path, or what Ansible's templates make of true and false."""
    if given.lower() in ("true", "yes", "false", "no"):
        return given.lower() in ("true", "yes")
    point = os.path.normpath(given)
    if not point.startswith("/") or os.path.commonpath([point, path]) != point:
        raise _refused(place, f"has mounted: {given}, which {path} is not in", "give true, false, or the mount point.")
    return point


def _remote(place: str, name: str, told: Mapping[str, Any], at: str) -> WantedStore:
    remote, config = str(told["remote"]), str(told.get("rclone_config", ""))
    section = remote.partition(":")[0]
    # Options in the name itself are no secret of a file's: they would be in every list of processes.
    if ":" not in remote or not section or "," in section or "\n" in remote:
        raise _refused(
            place,
            "has a remote that does not begin with the name of a section of rclone_config and a colon",
            "write it as in remote: offsite:bucket/etcd, and all of its options into rclone_config.",
        )
    if "mounted" in told and told["mounted"] is not True:
        raise _refused(place, "is a remote, for which mounted means nothing", "leave it out, or give a folder.")
    if not config:
        raise _refused(place, "has no rclone_config", "give the text of one, from vault, or its path on the hosts.")
    files = {}
    if not (config.startswith("/") and "\n" not in config.strip()):
        if section not in _SECTION.findall(config):
            raise _refused(place, f"has an rclone_config without a section [{section}]", "add it, or mend the remote.")
        files[os.path.join(at, f"{name}.conf")] = config.strip() + "\n"
    proxy = str(told.get("proxy", ""))
    if proxy and not _PROXY.match(proxy):
        raise _refused(
            place, "has a proxy that is not like http://proxy.example.org:3128", "mend it; it can have no password."
        )
    password = str(told.get("password", ""))
    if "\n" in password.strip("\n"):
        raise _refused(place, "has a password of several lines", "give one line.")
    password_file = os.path.join(at, f"{name}.password") if password else ""
    if password:
        files[password_file] = password.strip("\n") + "\n"
    settings = StoreSettings(
        name=name,
        remote=remote,
        append_only=bool(told.get("append_only")),
        rclone_config=next((path for path in files if path.endswith(".conf")), config.strip()),
        password_file=password_file,
        proxy=proxy,
    )
    return WantedStore(settings, files)


def _refused(place: str, why: str, next_step: str) -> EtcdError:
    return EtcdError(f"{place} {why}.", next_step)
