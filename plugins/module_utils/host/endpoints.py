# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A list of endpoints in a client's file, as text: which addresses it names, and the same list after the members changed.

What stands between the addresses is kept as it is: commas, blanks, quotes, ends of lines and the dashes of YAML.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.values import TEXT

Urls = Mapping[str, Sequence[str]]
_ADDRESS = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?)"
    r"(?::(?P<port>\d{1,5}))?(?P<rest>/[^\s,;\"'\[\]{}#]*)?(?=[\s,;|\"'\]]|\Z)"
)
_BETWEEN = re.compile(r"[\s,;|\"'\[\]]|-(?=\s)")
_NO_MEMBER = (
    "the list would name no member: those that it has are gone, and no other has a client URL that it could name.",
    "give the members client URLs (advertise-client-urls) that lead every host to them.",
)
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


@dataclass(frozen=True)
class Membership:
    """The members by name, with their client URLs, ``now`` and ``before`` the change (of which a later run knows less).

    ``own``: the client URLs of the member on the client's own host, for which a loopback address there stands. ``only``: a list
    is to name members alone, besides the addresses in ``stay``; one that would not is refused.
    """

    now: Dict[str, List[str]]
    before: Dict[str, List[str]] = field(default_factory=dict)
    own: List[str] = field(default_factory=list)
    only: bool = False
    stay: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rewritten:
    """A list after the change. ``others`` are addresses of no member, which stay: a load balancer's, or nobody knows whose.

    ``unusable``: members that have no client URL by which this client could reach them, such as one that leads it to itself.
    """

    text: str
    before: List[str] = field(metadata=TEXT)
    after: List[str] = field(metadata=TEXT)
    others: List[str] = field(default_factory=list, metadata=TEXT)
    unusable: List[str] = field(default_factory=list, metadata=TEXT)


def addresses(text: str) -> List[str]:
    """The addresses that a list names, as they are written; EtcdError where there is anything else in it."""
    return _List.read(text).items


def is_loopback(address: str) -> bool:
    """Whether an address of a list leads every host to itself."""
    return _parsed(address).leads_home


def rewrite(text: str, members: Membership, joint: str = ",") -> Rewritten:
    """The list ``text`` for the members of now: order, form and addresses of others stay as they are.

    A list that names several members, or all, is taken for the whole membership: what it lacks is added. One that names a
    single member of several stays a list of one, and comes to name all only where that member is gone. ``joint`` stands between
    two addresses where the list has only one. EtcdError where it cannot be read, or written.
    """
    listed = _List.read(text)
    before, found = list(listed.items), [_parsed(item) for item in listed.items]
    whose = [_member_of(one, members) for one in found]
    stale = [at for at, name in enumerate(whose) if name and not _is_now(found[at], members)]
    staying = {name for at, name in enumerate(whose) if name and at not in stale}
    # Newcomers first: they take the places of those that are gone.
    lacking = sorted(members.now.keys() - staying, key=lambda name: (name in members.before, name))
    if not _is_whole(whose, staying, members):
        lacking = []
    added, unusable = _to_add(lacking, members, [one for one, name in zip(found, whose) if name])
    for at, address in zip(stale, added):
        listed.items[at] = address
    rest = added[len(stale) :]
    last = max((at for at, name in enumerate(whose) if name), default=-1)
    for address in reversed(rest):
        listed.insert(last + 1, address, joint)
    for at in reversed(stale[len(added) :]):
        listed.remove(at)
    others = [item for item, name in zip(before, whose) if not name]
    if members.only:
        _refuse_strangers(others, members)
        if others == listed.items != before:
            raise EtcdError(*_NO_MEMBER)
    return Rewritten(text=_proven(listed, before), before=before, after=listed.items, others=others, unusable=unusable)


def _refuse_strangers(others: Sequence[str], members: Membership) -> None:
    stay = {_parsed(one).key for one in members.stay}
    strangers = [one for one in others if _parsed(one).key not in stay]
    if strangers:
        urls = ", ".join(f'"https://{one.rpartition("//")[2]}"' for one in strangers)
        raise EtcdError(
            f"it would still name {', '.join(strangers)}, of which nobody knows whose it is: its client could go on with the"
            " cluster that is left.",
            f"if that is an address of the cluster that is left, run this with -e '{{\"etcd_clients_gone\": [{urls}]}}'; if it"
            " is another's and right as it is, with etcd_clients_stay in the same way.",
        )


def _is_whole(whose: Sequence[str], staying: Iterable[str], members: Membership) -> bool:
    """Whether the list is to name every member."""
    named = {name for name in whose if name}
    return bool(named) and (not staying or len(named) >= min(2, len(members.before or members.now)))


def _proven(listed: _List, was: Sequence[str]) -> str:
    text = listed.text()
    if was and not listed.items:
        raise EtcdError(*_NO_MEMBER)
    if addresses(text) != listed.items:
        raise EtcdError("the list cannot be rewritten without changing what stands around it.", "change it by hand.")
    return text


# ---- the text --------------------------------------------------------------------------------------------------------


@dataclass
class _List:
    """``items`` with the ``gaps`` between them, one less, and what stands around."""

    lead: str
    items: List[str]
    gaps: List[str]
    tail: str

    @classmethod
    def read(cls, text: str) -> _List:
        items: List[str] = []
        gaps = [""]
        at = 0
        while at < len(text):
            address = _ADDRESS.match(text, at) if gaps[-1] or not items else None
            found = address or _BETWEEN.match(text, at)
            if address:
                items.append(address.group())
                gaps.append("")
            elif found:
                gaps[-1] += found.group()
            if not found:
                # What it is instead is not said: it could be a password.
                raise EtcdError(
                    f"in the list of endpoints, behind {len(items)} of them, stands something that is no address.",
                    "let it hold nothing but addresses with commas, blanks or quotes between them: no variables or comments.",
                )
            at = found.end()
        return cls(gaps[0], items, gaps[1:-1], gaps[-1] if items else "")

    def insert(self, at: int, item: str, joint: str) -> None:
        """Behind the item before ``at``, with the gap that the list has."""
        self.gaps.insert(max(at - 1, 0), self.gaps[-1] if self.gaps else joint)
        self.items.insert(at, item)

    def remove(self, at: int) -> None:
        del self.items[at]
        if self.gaps:
            del self.gaps[min(at, len(self.gaps) - 1)]

    def text(self) -> str:
        return self.lead + "".join(item + gap for item, gap in zip(self.items, [*self.gaps, ""])) + self.tail


# ---- addresses and members -------------------------------------------------------------------------------------------


class _Address(NamedTuple):
    """``host`` in one spelling of each; ``port`` is 0 where none is said."""

    scheme: str
    host: str
    port: int
    rest: str

    @property
    def key(self) -> Tuple[str, int]:
        return self.host, self.port

    @property
    def leads_home(self) -> bool:
        return self.host in _LOOPBACK_NAMES or bool(_ip(self.host) and ipaddress.ip_address(self.host).is_loopback)

    @property
    def is_wildcard(self) -> bool:
        return bool(_ip(self.host) and ipaddress.ip_address(self.host).is_unspecified)

    def written(self, scheme: str, rest: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme + '://' if scheme else ''}{host}:{self.port}{rest}"


def _parsed(text: str) -> _Address:
    """Of what ``_ADDRESS`` matches, or a member's URL; one that is neither has no host."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        return _Address("", "", 0, "")
    bare = found.group("host").strip("[]").rstrip(".").lower()
    return _Address(
        found.group("scheme") or "", _ip(bare) or bare, int(found.group("port") or 0), found.group("rest") or ""
    )


def _ip(host: str) -> str:
    """An IP address in its usual spelling; empty for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _names(urls: Urls) -> Dict[Tuple[str, int], str]:
    """Whose a host and port is; those of several members are nobody's."""
    found: Dict[Tuple[str, int], str] = {}
    for name in sorted(urls):
        for url in urls[name]:
            key = _parsed(url).key
            found[key] = name if found.get(key, name) == name else ""
    return {key: name for key, name in found.items() if name and key[1]}


def _known(members: Membership) -> Dict[Tuple[str, int], str]:
    """Whose it is, or was. One that two names had before, such as one that is told besides, is gone all the same."""
    before = {_parsed(url).key: name for name in sorted(members.before) for url in members.before[name]}
    now = _names(members.now)
    shared = {_parsed(url).key for urls in members.now.values() for url in urls} - now.keys()
    return {**{key: name for key, name in before.items() if key[1] and key not in shared}, **now}


def _key_of(address: _Address, members: Membership) -> Tuple[str, int]:
    """The address; for a loopback one that stands for the member on this host, that member's own."""
    known = _known(members)
    if address.key in known or not address.leads_home:
        return address.key
    own = [_parsed(url).key for url in members.own]
    return next((key for key in own if key in known and key[1] == address.port), address.key)


def _member_of(address: _Address, members: Membership) -> str:
    """The name of the member that it is, or was; empty for another's."""
    return _known(members).get(_key_of(address, members), "")


def _is_now(address: _Address, members: Membership) -> bool:
    return _key_of(address, members) in _names(members.now)


def _to_add(lacking: Sequence[str], members: Membership, models: Sequence[_Address]) -> Tuple[List[str], List[str]]:
    """The addresses of the members ``lacking``, written as the last of ``models`` is, and those that have none to write."""
    known = _names(members.now)
    # Only where all share one machine, as in a lab, is a loopback address one that a client can be told.
    shared = any(one.leads_home and one.key in known for one in models)
    added, unusable = [], []
    for name in lacking:
        urls = [_parsed(url) for url in members.now[name]]
        usable = [
            url
            for url in urls
            if url.port and not url.is_wildcard and (shared or not url.leads_home) and known.get(url.key) == name
        ]
        chosen: Optional[_Address] = min(usable, key=lambda url: url.scheme != models[-1].scheme, default=None)
        if chosen is None:
            unusable.append(name)
            continue
        scheme = chosen.scheme if models[-1].scheme else ""
        added.append(chosen.written(scheme, models[-1].rest))
    return added, unusable
