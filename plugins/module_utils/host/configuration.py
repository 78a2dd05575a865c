# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reasons to refuse a job that lie in a member's configuration: what it would do at the next start."""

from __future__ import annotations

from ..core.job import Findings
from ..core.text import in_mib
from .facts import MemberFacts, Setting

# What makes etcd do something else with its data than to serve it with the members that a job names.
_SWITCHES = {
    "force-new-cluster": "it makes etcd forget all other members at each start",
    "proxy": "it makes etcd a proxy instead of a member",
}
# etcd starts with one way to find its members only: "multiple discovery or bootstrap flags are set".
DISCOVERY = (
    "discovery", "discovery-srv", "discovery-endpoints", "experimental-discovery-endpoints",
)  # fmt: skip
# Bytes of a database that etcd reads in a second while it starts: at the very best, and from a slow disk.
FASTEST_START, SLOW_START = 1 << 30, 100 << 20
# Seconds until the members have elected a leader, on top of the reading.
ELECTION = 5


def check_configuration(host: str, member: MemberFacts, findings: Findings) -> None:
    """What can be said before a snapshot is chosen."""
    for problem in member.unsettable:
        findings.refuse(problem.cause, problem.next_step, host)
    for setting, place in sorted(member.settings.items()):
        reason = _harm(setting, place.value)
        if reason:
            findings.refuse(
                f"{setting} is set in {_where(place)}: {reason}.",
                "remove it there; a member that has data needs none of it.",
                host,
            )
    for setting, places in sorted(member.shadowed.items()):
        findings.refuse(
            f"{setting} is set twice, as a flag in {places.flag} and as a variable in {places.variable}: etcd ends at"
            " once where a flag shadows a variable.",
            "remove one of the two.",
            host,
        )


def _harm(setting: str, value: str) -> str:
    if not value or value.lower() in ("false", "f", "0", "off", "no"):
        return ""
    if setting in DISCOVERY:
        return "etcd does not start with it beside initial-cluster, which must be written"
    return _SWITCHES.get(setting, "")


def _where(place: Setting) -> str:
    return place.path or "the command line or the environment of its process"


def check_start(host: str, member: MemberFacts, size: int, findings: Findings) -> None:
    """Whether the service manager leaves etcd the time to read a database of ``size`` bytes before it says that it serves."""
    service = member.service
    limit = service.start_timeout
    if limit is None or not service.notifies:
        return
    unit, least, likely = service.name, ELECTION + size / FASTEST_START, ELECTION + size / SLOW_START
    so = f"{unit} has {limit:g} seconds to start, and etcd reads the {in_mib(size)} of this snapshot before it serves"
    if limit < least:
        findings.refuse(
            f"{so}: systemd would end it before.",
            f"give it time: TimeoutStartSec=infinity in a drop-in (systemctl edit {unit}).",
            host,
        )
    elif limit < likely:
        findings.warn(
            f"{so}: on a slow disk systemd ends it before; TimeoutStartSec=infinity in a drop-in (systemctl edit {unit})"
            " gives it time.",
            host,
        )
