# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host can take a seat: what is looked at before the membership is touched."""

from __future__ import annotations

from typing import List, Tuple
from urllib.parse import urlsplit

from ..core.job import Findings
from ..core.text import in_mib
from ..etcd.versions import parse_version
from ..etcd.view import ClusterView, MemberView
from ..host.configuration import check_configuration, check_start
from ..host.data import WAL_SEGMENT
from ..host.facts import MemberFacts
from ..host.manageable import check_service
from .begun import comes_here
from .sequence import Change

# etcd makes the next segment before it is needed.
_WAL = 2 * WAL_SEGMENT
# What is sent to a newcomer lies beside what is made of it for a moment.
_MARGIN = 1.1


def check_newcomer(host: str, member: MemberFacts, change: Change, view: ClusterView, findings: Findings) -> None:
    missing = [words for words, value in _needed(member) if not value]
    if missing:
        findings.refuse(
            f"etcd is not set up here: {', '.join(missing)} not known.",
            "prepare the host with install.yml, or say it in the inventory (etcd_name, etcd_peer_urls, ...).",
            host,
        )
        return
    check_service(host, member, "adds and removes its members", _its_own_means, findings)
    check_configuration(host, member, findings)
    _check_identity(host, member, change, view, findings)
    _check_version(host, member, view, findings)
    size = max((one.db_size for one in view.members), default=0)
    _check_room(host, member, size, findings)
    check_start(host, member, size, findings)


def _needed(member: MemberFacts) -> List[Tuple[str, object]]:
    return [
        ("the member's name is", member.name),
        ("its peer URLs are", member.peer_urls),
        ("its client URLs are", member.client_urls),
        ("its data directory is", member.data_dir),
        ("the etcd executable is", member.tools.etcd),
        ("etcdctl is", member.tools.etcdctl),
    ]


def _its_own_means(distribution: str) -> str:
    return f"take the node out of {distribution} and let it join again, by {distribution}'s own means."


def _check_identity(host: str, member: MemberFacts, change: Change, view: ClusterView, findings: Findings) -> None:
    stay = [one for one in view.members if one.id != change.goes]
    for one in stay:
        if one.name == member.name and not set(one.peer_urls) & set(member.peer_urls):
            findings.refuse(
                f"its member is called {member.name}, as the one at {', '.join(one.peer_urls)} is.",
                "give it a name of its own in its configuration, or by etcd_name.",
                host,
            )
    is_here = any(set(one.peer_urls) & set(member.peer_urls) for one in view.members)
    if member.running and not (is_here or change.gives_up or comes_here(host, member)):
        findings.refuse(
            f"etcd runs here (process {member.pid}) and is no member of this cluster, so it has data of another one.",
            "stop it, if that is to be given up: its data is then moved aside, and kept.",
            host,
        )
    theirs = {urlsplit(url).scheme for one in stay for url in one.peer_urls}
    own = {urlsplit(url).scheme for url in member.peer_urls}
    if theirs and not own & theirs:
        findings.refuse(
            f"its peer URL is {', '.join(member.peer_urls)}, and the members speak {' and '.join(sorted(theirs))}.",
            "set initial-advertise-peer-urls and listen-peer-urls to that, with the certificates that it needs.",
            host,
        )


def _check_version(host: str, member: MemberFacts, view: ClusterView, findings: Findings) -> None:
    tool = member.tools.etcd
    running = {parse_version(one.version).line for one in _those_that_run(view)}
    if tool and running and parse_version(tool.version).line not in running:
        findings.refuse(
            f"it has etcd {tool.version}, and the members run {', '.join(sorted(running))}.",
            "install etcd of that line there; to change the version of a cluster is another job.",
            host,
        )


def _those_that_run(view: ClusterView) -> List[MemberView]:
    return [one for one in view.members if one.version]


def _check_room(host: str, member: MemberFacts, size: int, findings: Findings) -> None:
    device = member.data.device
    disk = next((disk for disk in member.disk if disk.device == device), None)
    needs = int(size * _MARGIN) + _WAL
    if disk and disk.free < needs:
        findings.refuse(
            f"the file system of {disk.path} has {in_mib(disk.free)} free, and the member's data needs {in_mib(needs)}"
            " beside the old, which is kept.",
            "make room on it.",
            host,
        )
