# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the proof of a restore will be able to ask each member: what can be tried on those that run is tried before.

A member that refuses to be asked now would refuse the proof as well, after the cluster has been stopped for it.
"""

from __future__ import annotations

from typing import Dict, List, Mapping
from urllib.parse import urlsplit

from ..core.job import Findings
from ..etcd.quorum import SERVES, UNASKABLE
from ..etcd.view import EndpointView
from ..host.facts import MemberFacts, Setting
from .answers import Host


def check_reach(hosts: Mapping[str, Host], findings: Findings) -> None:
    """Each member answers at its own client URL, which is nobody else's, and is reached from the others' hosts."""
    shared = _check_shared(hosts, findings)
    for host, facts in hosts.items():
        _check_asked(host, facts, findings)
        if host not in shared:
            _check_itself(host, facts, findings)
        _check_others(host, hosts, findings)
    _check_distinct(hosts, findings)


def own_answers(facts: Host) -> List[EndpointView]:
    """What the host's own client URLs answered."""
    own = facts.member.connection.endpoints
    return [answer for answer in (facts.view.endpoints if facts.view else ()) if answer.endpoint in own]


def _serving(facts: Host) -> List[EndpointView]:
    return [answer for answer in own_answers(facts) if answer.state == SERVES]


def _check_asked(host: str, facts: Host, findings: Findings) -> None:
    member, answers = facts.member, own_answers(facts)
    if _makes_its_certificate(member.settings):
        findings.refuse(
            "it makes its own certificate (auto-tls) in its data directory, so with the restored data it would have a new"
            " one, which nobody trusts, and could not be proven.",
            "give it a certificate (cert-file and key-file in place of auto-tls), and restart it where it runs.",
            host,
        )
        return
    if any(answer.state == SERVES for answer in answers):
        return
    who = "its etcd runs and" if member.running else "its client URL"
    for answer in answers:
        if answer.refusal:
            findings.refuse(
                f"{who} cannot be asked: {answer.endpoint} {answer.refusal}: {answer.error}.",
                answer.next_step,
                host,
            )
            return
    for answer in answers:
        if answer.state == UNASKABLE:
            findings.warn(
                f"{who} gives no answer: {answer.endpoint}: {answer.error}. It hangs, or there is no quorum to let a"
                " user log in; so nothing is known of a quorum.",
                host,
            )
            return
    if answers and facts.view and facts.view.opens:
        told = "; ".join(f"{answer.endpoint}: {answer.error}" for answer in answers)
        findings.refuse(
            f"its etcd runs and opens {', '.join(facts.view.opens)}, but cannot be reached at its client URL ({told}).",
            f"set etcd_client_urls to a URL that reaches it from every host of the cluster, such as {_suggested(member)}.",
            host,
        )


def _makes_its_certificate(settings: Mapping[str, Setting]) -> bool:
    """Whether etcd heeds ``auto-tls``, which it does not beside a certificate."""
    makes = settings.get("auto-tls")
    return makes is not None and makes.value.lower() in ("true", "1", "t") and "cert-file" not in settings


def _check_shared(hosts: Mapping[str, Host], findings: Findings) -> List[str]:
    """One URL of its own is enough: beside it all may have that of a balancer, or of the loopback. Returns who has none."""
    owners: Dict[str, List[str]] = {}
    for host, facts in hosts.items():
        for url in dict.fromkeys(facts.member.connection.endpoints):
            owners.setdefault(url, []).append(host)
    shared = []
    for host, facts in hosts.items():
        urls = facts.member.connection.endpoints
        others = [other for url in urls for other in owners[url] if other != host]
        if urls and all(len(owners[url]) > 1 for url in urls):
            shared.append(host)
            findings.refuse(
                f"it has the same client URL as {others[0]}: {', '.join(urls)}. Whoever answers there, the others could not be"
                " proven.",
                f"set etcd_client_urls of each host to a URL of its own, here such as {_suggested(facts.member)}.",
                host,
            )
    return shared


def _suggested(member: MemberFacts) -> str:
    """The peer URL's host with the client URL's port."""
    url = urlsplit((member.client_urls or ["http://HOST:2379"])[0])
    peer = urlsplit((member.peer_urls or ["http://HOST:2380"])[0]).netloc.rpartition(":")[0]
    return f"{url.scheme}://{peer}:{url.port or 2379}"


def _check_itself(host: str, facts: Host, findings: Findings) -> None:
    """That it is this very member that answers at one of its client URLs, and not another behind a balancer or a wrong name."""
    member, others = facts.member, {}
    listed = {one.id: one for one in (facts.view.members if facts.view else ())}
    for answer in _serving(facts):
        found = listed.get(answer.member_id)
        if not (found and found.peer_urls):
            return  # no list tells who it is
        if found.name == member.name or set(found.peer_urls) & set(member.peer_urls):
            return
        others[answer.endpoint] = found.name or found.id
    for url, name in others.items():
        findings.refuse(
            f"its client URL {url} is answered by the member {name}.",
            f"set etcd_client_urls to a URL of its own, such as {_suggested(member)}.",
            host,
        )
        return


def _check_distinct(hosts: Mapping[str, Host], findings: Findings) -> None:
    """Where no member list tells who is who, one ID behind the URLs of two hosts tells that there is one member."""
    owners: Dict[str, str] = {}
    for host, facts in hosts.items():
        if facts.view is None or facts.view.members_complete:
            continue  # said by _check_itself
        ids = {answer.member_id: answer.endpoint for answer in _serving(facts)}
        if ids and all(number in owners for number in ids):
            number, url = next(iter(ids.items()))
            findings.refuse(
                f"its client URL {url} is answered by the same member as that of {owners[number]}.",
                f"set etcd_client_urls to a URL of its own, such as {_suggested(facts.member)}.",
                host,
            )
        owners.update({number: host for number in ids if number not in owners})


def _check_others(host: str, hosts: Mapping[str, Host], findings: Findings) -> None:
    """Each host asks all members in the proof: those that answer on their own hosts must answer here too."""
    view = hosts[host].view
    if not (_serving(hosts[host]) and view and view.members_complete):
        return
    for name, other in hosts.items():
        serving = {answer.endpoint for answer in _serving(other)} if name != host else set()
        for member in view.members:
            if member.endpoint in serving and member.state != SERVES:
                findings.refuse(
                    f"it cannot ask the member {member.name} at {member.endpoint}, which answers on its own host:"
                    f" {'; '.join(member.errors)}.",
                    "open the way from here to there (firewall, name, certificate), or set etcd_client_urls of that host.",
                    host,
                )
