# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which snapshot a restore takes, once for the whole cluster, and what speaks against it."""

from __future__ import annotations

from typing import Container, Dict, Mapping, Optional, Sequence, Set

from ..core.errors import EtcdError
from ..core.job import Findings
from ..core.trees import is_inside
from ..etcd import commands
from ..etcd.commands import Tools
from ..etcd.versions import Version, parse_version
from ..host.aside import live
from ..host.facts import MemberFacts
from ..snapshot.entry import Snapshot
from ..snapshot.order import clock_of, disagreeing, newest, revision
from ..snapshot.usable import concerns
from ..snapshot.verify import DATABASE
from .answers import Host
from .terms import Options, said_of
from .values import ChosenSnapshot


def choose_snapshot(
    name: str, hosts: Mapping[str, Host], options: Options, findings: Findings
) -> Optional[ChosenSnapshot]:
    candidates = [ChosenSnapshot(**vars(entry)) for entry in options.controller_snapshots]
    candidates += [ChosenSnapshot(**vars(entry), on=host) for host, facts in hosts.items() for entry in facts.snapshots]
    if options.snapshot == "latest":
        chosen = _newest(name, hosts, candidates, findings)
        if chosen is None:
            bad = "".join(f" {entry.reason}" for entry in candidates if not entry.ok)
            findings.refuse(
                f"no usable snapshot of this cluster was found in etcd_backup_dir on the hosts or the controller.{bad}",
                "name one: -e etcd_restore_snapshot=/path/to/snapshot.db (on the controller or on a member).",
            )
            return None
    else:
        named = [entry for entry in candidates if entry.path == options.snapshot]
        if not named:
            findings.refuse(
                f"{options.snapshot} is neither on the controller nor on a member.", "check the path and run again."
            )
            return None
        _check_not_live(options.snapshot, hosts, findings)
        different = {entry.sha256: entry.on or "the controller" for entry in reversed(named) if entry.ok}
        if len(different) > 1:
            findings.refuse(
                f"{options.snapshot} is not the same file on {' and '.join(sorted(different.values()))}.",
                "copy the one that you mean to a name of its own, on the controller or on a member, and name that.",
            )
        chosen = next((entry for entry in named if entry.ok), named[0])
    _check_snapshot(chosen, hosts, options, findings)
    return chosen


def _newest(
    name: str, hosts: Mapping[str, Host], candidates: Sequence[ChosenSnapshot], findings: Findings
) -> Optional[ChosenSnapshot]:
    urls = {url for facts in hosts.values() for url in facts.member.peer_urls}
    own = [entry for entry in candidates if entry.ok and entry.kind != DATABASE and _is_of(entry, name, urls)]
    chosen = newest([entry for entry in own if entry.verified], _living(hosts), _undone(hosts))
    if chosen is None:
        return None
    for other in disagreeing(chosen, own):
        findings.warn(
            "the snapshots' revisions and times do not agree on which is the newest:"
            f" {_told_of(chosen)} is taken, and not {_told_of(other)}; if that is the one to restore, name it:"
            f" -e etcd_restore_snapshot={other.path}"
        )
    return chosen


def _told_of(entry: ChosenSnapshot) -> str:
    where = f"{entry.path} on {entry.on or 'the controller'}"
    return f"{where} (revision {revision(entry):,}, taken {entry.taken_at}{clock_of(entry)})"


def _living(hosts: Mapping[str, Host]) -> Set[str]:
    """The IDs of the etcd cluster and its members that are on these hosts now, running or stopped."""
    found: Set[str] = set()
    for facts in hosts.values():
        if facts.view:
            found |= {facts.view.cluster_id, *(member.id for member in facts.view.members)}
        found.update(facts.member.data.member_ids)
    return found - {""}


def _undone(hosts: Mapping[str, Host]) -> Set[str]:
    """The IDs of etcd clusters that a restore has made and a rollback has taken back, with those of their members."""
    plans = [facts.last.plan.of for facts in hosts.values() if facts.last and facts.last.back]
    return {number for of in plans for number in (of.cluster_id, *of.members) if number}


def _is_of(entry: Snapshot, name: str, peer_urls: Container[str]) -> bool:
    """Whether a snapshot is of this cluster: its manifest says so, or a member in it has one of these peer URLs."""
    said = said_of(entry)
    if said:
        return said == name
    return _has_one_of(entry, peer_urls)


def _has_one_of(entry: Snapshot, peer_urls: Container[str]) -> bool:
    return any(url in peer_urls for member in entry.members for url in member.peer_urls)


def _check_snapshot(snapshot: ChosenSnapshot, hosts: Mapping[str, Host], options: Options, findings: Findings) -> None:
    where = f"{snapshot.path} on {snapshot.on or 'the controller'}"
    copied = snapshot.kind == DATABASE
    if options.signers and not snapshot.signed_by:
        reason = snapshot.reason or "it is not known who has signed it."
        findings.refuse(f"{where} cannot be used: {reason}", "choose another snapshot.")
        return
    if copied and not options.skip_hash_check:
        findings.refuse(
            f"{where} is a copied database and not a snapshot: it carries no hash that could prove it whole.",
            "if it was copied from a stopped member and nothing better is left, set etcd_restore_skip_hash_check=true.",
        )
    elif not snapshot.ok and not copied:
        findings.refuse(f"{where} cannot be used: {snapshot.reason}", "choose another snapshot.")
    if not snapshot.ok:
        return
    if snapshot.compression and not snapshot.on and snapshot.compression not in options.can_unpack:
        findings.refuse(
            f"{where} is packed by {snapshot.compression}, and there is no {snapshot.compression} on the controller.",
            f"install {snapshot.compression} there, or copy the file to a host that has it, and name it.",
        )
    if copied:
        findings.warn(
            f"{where} is a copied database: nothing vouches for its content, and what was only in the WAL of the member that"
            " it was copied from is not in it and will be lost."
        )
    written_by = snapshot.cluster_version or (snapshot.manifest.etcd_version if snapshot.manifest else "")
    try:
        version = parse_version(written_by) if written_by else None
    except EtcdError as error:
        findings.refuse(f"{where}: {error.message}", "choose another snapshot.")
        return
    for host, facts in hosts.items():
        if version:
            _check_snapshot_version(host, facts.tools, version, where, findings)
    settings = {host: _values(facts.member) for host, facts in hosts.items()}
    for concern in concerns(snapshot.alarms, snapshot.size, settings):
        if concern.stops:
            findings.refuse(concern.cause, concern.next_step, concern.host)
        else:
            findings.warn(f"{concern.cause} {concern.next_step}", concern.host)
    if snapshot.auth_enabled:
        _check_user(snapshot.users, where, hosts, options.auth_user, findings)
    peer_urls = {url for facts in hosts.values() for url in facts.member.peer_urls}
    if snapshot.members and not _has_one_of(snapshot, peer_urls):
        names = ", ".join(sorted(member.name for member in snapshot.members))
        findings.warn(f"{where} was taken from a cluster with other members ({names}): a clone, or the wrong snapshot?")


def _values(member: MemberFacts) -> Dict[str, str]:
    return {name: setting.value for name, setting in member.settings.items()}


def _check_user(
    users: Optional[Mapping[str, bool]], where: str, hosts: Mapping[str, Host], user: str, findings: Findings
) -> None:
    """The restored cluster has the snapshot's users, not today's: one of them must be able to prove it.

    ``users``: by name whether the role root is theirs; None where they are not known. Of their passwords there are bcrypt
    hashes, which nothing in Python's standard library can compare.
    """
    cause = f"authentication is on in {where}, and"
    if not user:
        cause += " without a user the restored cluster could not be proven"
        if all(facts.member.connection.cert for facts in hosts.values()):
            findings.warn(
                f"{cause}, unless the client certificate's name is one: set etcd_auth_user and etcd_auth_password."
            )
        else:
            findings.refuse(f"{cause}.", "set etcd_auth_user (with the root role) and etcd_auth_password.")
        return
    if users is None:
        return
    able = ", ".join(sorted(name for name, root in users.items() if root)) or "none"
    if not users.get(user):
        lacks = "has not the role root there" if user in users else "is none of its users"
        findings.refuse(
            f"{cause} {user} {lacks}: the restored cluster could not be proven.",
            f"set etcd_auth_user to a user of that time with the role root ({able}), with the password of that time.",
        )
    else:
        findings.warn(
            f"{cause} the restored cluster has its users and passwords: etcd_auth_password must be what {user} had when it"
            " was taken, which cannot be tried before."
        )


def _check_not_live(path: str, hosts: Mapping[str, Host], findings: Findings) -> None:
    """The database of a running member changes while it is read: what is copied from it is torn."""
    for host, facts in hosts.items():
        found = [entry for entry in facts.snapshots if entry.path == path]
        folder = live(facts.member.data, facts.member.data_dir) if facts.member.running else ""
        if folder and any(is_inside(entry.real_path, folder) for entry in found):
            findings.refuse(
                f"{path} is the live database of a running member: what is read from it now can be torn.",
                "take a snapshot with backup.yml; or, where that cannot be, stop the member and copy it then.",
                host,
            )


def _check_snapshot_version(host: str, tools: Tools, written_by: Version, where: str, findings: Findings) -> None:
    try:
        restorer = commands.restore_tool(tools)
    except EtcdError:
        return  # said already, by _check_host
    for tool in filter(None, (tools.etcd, restorer)):
        if tool.version[:2] < written_by[:2]:
            findings.refuse(
                f"{where} was written by etcd {written_by.line}, and {tool.path} is {tool.version}: an older etcd must not"
                " open it.",
                f"install etcd {written_by.line} on this host, or choose a snapshot of etcd {tool.version.line} or older.",
                host,
            )
            return
