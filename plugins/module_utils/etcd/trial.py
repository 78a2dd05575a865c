# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What shows that a cluster can be used: whom its members follow, and a write. Each is a check of a proof."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Union

from ..core.check import Check, check
from ..core.errors import EtcdError
from .commands import Connection, Run, Tool, Tools, delete, endpoint_status, parse_json, put, run_checked
from .identity import hex_id

NOT_WRITTEN = "not written: etcd_auth_user is not set, or may not write"
WRITE = "a write and its deletion"
_DENIED = ("permission denied", "user name is empty", "invalid auth token", "authentication failed")


def leader_of_each(run: Run, etcdctl: Tool, connection: Connection, members: Mapping[str, str], leader: str) -> Check:
    """Whether each of these members (ID -> name), asked at its own endpoint, follows the one that is called ``leader``."""
    command = endpoint_status(etcdctl, connection)
    said = parse_json(run(command.argv, command.env).out or "[]", command)
    found: Dict[str, str] = {}
    for row in said if isinstance(said, list) else ():
        status = row.get("Status") or {}
        member = _id((status.get("header") or {}).get("member_id"))
        if member in members:
            found[members[member]] = members.get(_id(status.get("leader")), "")
    expected = dict.fromkeys(members.values(), leader)
    return check("leader that each member follows", expected, found)


def _id(number: Any) -> str:
    """etcd's JSON has 64-bit numbers as numbers or as text, and leaves 0 out."""
    return hex_id(int(number or 0))


def written(run: Run, tools: Tools, connection: Connection, key: str, job: str) -> Check:
    """Whether a key can be written and deleted; where nobody may, that is no fault of the cluster."""
    found = write(run, tools, connection, key, job)
    return check(WRITE, True, found, found in (True, NOT_WRITTEN))


def write(run: Run, tools: Tools, connection: Connection, key: str, job: str) -> Union[bool, str]:
    """Whether clients can write: a key of the job's own comes and goes. In words why not; NOT_WRITTEN: nobody may."""
    if tools.etcdctl is None:
        return "etcdctl is missing"
    try:
        run_checked(run, put(tools.etcdctl, connection, key, f"written and deleted by the proof of a {job}"))
        run_checked(run, delete(tools.etcdctl, connection, key))
    except EtcdError as error:
        return NOT_WRITTEN if is_denied(error) else error.message
    return True


def is_denied(error: EtcdError) -> bool:
    """Whether the user may not do that, or is not known: the cluster is not at fault."""
    return any(words in error.message for words in _DENIED)
