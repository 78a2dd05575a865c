# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The classic mirror, etcd's own ``etcdctl make-mirror``: what is refused before it is set up, as it is known to hurt.

How it is was read in etcd's source, and seen: one put at a time, one endpoint of the destination, everything anew after a
restart, nothing deleted that was deleted while it was away, an end at the first compaction that it meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

from ..core.errors import EtcdError
from ..etcd.commands import Command, Connection, Tool, make_mirror
from ..etcd.versions import mirrors_from_a_revision, mirrors_to_users

_ENGINE = "leave it out, or take this collection's own engine (etcd_mirror_engine=quorum)."


@dataclass(frozen=True)
class Classic:
    """What is wanted. ``destination_prefix`` None: keys keep their names. ``revision`` 0: all keys, else what came after it."""

    source: Connection
    destination: Connection
    prefix: str = ""
    destination_prefix: Optional[str] = None
    revision: int = 0


def command_of(etcdctl: Optional[Tool], wanted: Classic, others: Mapping[str, bool]) -> Command:
    """The command that mirrors. EtcdError for what could not work, or would do harm.

    ``others``: what else was asked for, by the names of the variables, and whether it was.
    """
    if not etcdctl:
        raise EtcdError(
            "no etcdctl was found on the host of the mirror.",
            "install the etcd client tools there, or set etcd_bin_dir to the folder that holds them.",
        )
    _check_endpoints(wanted.source, wanted.destination)
    _check_users(etcdctl, wanted.source, wanted.destination)
    _check_revision(etcdctl, wanted)
    for name, asked in others.items():
        if asked:
            raise EtcdError(f"make-mirror knows nothing like {name}.", _ENGINE)
    for text in (wanted.prefix, wanted.destination_prefix or ""):
        if not text.isprintable():
            raise EtcdError(f"the prefix {text!r} cannot be a word of a command.", _ENGINE)
    given = (wanted.source, wanted.destination, wanted.prefix, wanted.destination_prefix, wanted.revision)
    return make_mirror(etcdctl, *given)


def _check_endpoints(source: Connection, destination: Connection) -> None:
    if not source.endpoints:
        raise EtcdError("the source has no endpoint.", "start a member of it, and run this again.")
    if len(destination.endpoints) != 1:
        known = ", ".join(destination.endpoints) or "none"
        raise EtcdError(
            "make-mirror writes to one endpoint of the destination, and waits while that one is down (etcd #12209);"
            f" it has {known}.",
            "say which with etcd_mirror_destination_endpoint, or take this collection's own engine, which takes all.",
        )
    same = set(source.endpoints) & set(destination.endpoints)
    if same:
        raise EtcdError(
            f"{', '.join(sorted(same))} is an endpoint of the source and of the destination.",
            "name two clusters: a mirror that writes what it reads never ends.",
        )


def _check_users(etcdctl: Tool, source: Connection, destination: Connection) -> None:
    """``--dest-password`` stands in the process list in every version, and no variable takes its place."""
    if destination.user and not mirrors_to_users(etcdctl.version):
        raise EtcdError(
            f"make-mirror of etcdctl {etcdctl.version} cannot say who it is at the destination, which has users.",
            "give the host etcdctl 3.5 or later (etcd_bin_dir), or take this collection's own engine.",
        )
    if ":" in destination.user:
        raise EtcdError(
            "the destination's user has a colon in its name, after which make-mirror takes the rest for the password.",
            "make another user for the mirror.",
        )
    for side, whose in ((source, "source"), (destination, "destination")):
        if side.user and not side.password:
            raise EtcdError(
                f"there is no password for the {whose}'s user {side.user}, and nobody to type it.",
                "give it, from vault.",
            )
        if not side.password.isprintable():
            raise EtcdError(
                f"the password of the {whose}'s user has something in it that is no character of a line.",
                "give the user another one.",
            )


def _check_revision(etcdctl: Tool, wanted: Classic) -> None:
    if not wanted.revision:
        return
    if not mirrors_from_a_revision(etcdctl.version):
        raise EtcdError(
            f"make-mirror of etcdctl {etcdctl.version} cannot begin at a revision (--rev).",
            "give the host etcdctl 3.6 or later, or leave etcd_mirror_revision out.",
        )
    if wanted.destination_prefix is None:
        raise EtcdError(
            "make-mirror with --rev and without --dest-prefix writes to the wrong keys (etcd #22421).",
            "set etcd_mirror_destination_prefix too, to the same as etcd_mirror_prefix, or leave etcd_mirror_revision out.",
        )
