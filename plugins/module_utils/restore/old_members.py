# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the recovery kit beside a snapshot tells of the old members, and what new hosts lack of it: warnings, never refusals."""

from __future__ import annotations

from typing import List, Mapping

from ..core.errors import EtcdError
from ..core.job import Findings
from ..etcd.versions import parse_version
from ..snapshot.entry import Snapshot
from ..snapshot.kit import Kit, KitMember
from .answers import Host


def check_files(hosts: Mapping[str, Host], findings: Findings) -> None:
    """Certificates and keys that a host's configuration names and that are not there: its etcd would not start."""
    for host, facts in hosts.items():
        for setting, path in sorted(facts.member.missing_files.items()):
            findings.warn(
                f"its configuration names {path} ({setting}), which is not there: etcd does not start without it. Put it there"
                " before the restore.",
                host,
            )


def check_kit(hosts: Mapping[str, Host], snapshot: Snapshot, findings: Findings) -> None:
    """Compare hosts that have no data yet with the old members of their names."""
    if snapshot.kit_problem:
        findings.warn(f"{snapshot.kit_problem} The snapshot itself is whole.")
    old = {member.name: member for member in snapshot.kit.members} if snapshot.kit else {}
    for host, facts in hosts.items():
        before = old.get(facts.member.name)
        if before and not facts.member.data.has_member:
            for words in _differences(before, facts):
                findings.warn(f"by the recovery kit the old member {before.name} {words}", host)


def _differences(before: KitMember, facts: Host) -> List[str]:
    found = []
    member, etcd = facts.member, facts.tools.etcd
    if before.version and etcd and _line(before.version) not in ("", etcd.version.line):
        found.append(f"ran etcd {before.version}, and here is {etcd.version}.")
    own = member.tls.by_setting()
    lacking = [f"{setting} {path}" for setting, path in sorted(before.tls_files.items()) if setting not in own]
    if lacking:
        found.append(f"had {', '.join(lacking)}, and the configuration here names none.")
    if before.data_dir and member.data_dir and before.data_dir != member.data_dir:
        found.append(f"had its data in {before.data_dir}, and here it will be in {member.data_dir}.")
    return found


def _line(version: str) -> str:
    try:
        return parse_version(version).line
    except EtcdError:
        return ""


def kit_rows(kit: Kit) -> List[List[str]]:
    """The old members, for the plan of a restore to hosts on which none runs."""
    rows = [["old members", f"by the recovery kit, made on {kit.host}:"]]
    for member in kit.members:
        words = [", ".join(member.client_urls or member.peer_urls) or "no URL"]
        words += [f"etcd {member.version}"] if member.version else []
        words += [f"data in {member.data_dir}"] if member.data_dir else []
        words += [f"on {member.host}"] if member.host else []
        rows.append(["", f"{member.name or member.id}: {', '.join(words)}"])
    return rows
