# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a member is: its ID, its cluster's ID, and the ``initial-cluster`` string, all computable before etcd starts."""

from __future__ import annotations

import hashlib
import re
from typing import Dict, Iterable, List, Mapping, Sequence
from urllib.parse import urlsplit

from ..core.errors import EtcdError

_SYNTAX = "write initial-cluster as name=http://host:2380,name=http://host:2380."


def member_id(peer_urls: Sequence[str], token: str) -> int:
    """The 64-bit ID that a member with these peer URLs gets in a new cluster (or a restore) with this token.

    etcd: ``computeMemberID`` in ``server/etcdserver/api/membership/member.go``: the first 8 bytes, big endian, of the
    SHA-1 of the sorted peer URLs, joined by nothing, followed by the token. A member that is *added* to a running
    cluster has the time of its addition in the hash as well, so its ID cannot be predicted.
    """
    return _sha1_head("".join(sorted(url.strip() for url in peer_urls)).encode() + token.encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    """The 64-bit ID of a new cluster of these members.

    etcd: ``(*RaftCluster).genID`` in ``server/etcdserver/api/membership/cluster.go``: the first 8 bytes of the SHA-1 of
    the members' IDs in ascending order, each as 8 bytes, big endian.
    """
    return _sha1_head(b"".join(number.to_bytes(8, "big") for number in sorted(member_ids)))


def hex_id(number: int) -> str:
    """An ID as etcd prints it: lower-case hex without leading zeros."""
    return format(number, "x")


def parse_initial_cluster(text: str) -> Dict[str, List[str]]:
    """``a=http://x:2380,a=http://y:2380,b=...`` as name -> sorted URLs, the names in alphabetical order.

    Raises EtcdError for a pair without a name or URL, a URL that etcd would refuse, and a URL that is used twice.
    """
    members: Dict[str, List[str]] = {}
    for pair in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, url = pair.partition("=")
        if not name or not equals:
            raise EtcdError(f"initial-cluster {text!r}: {pair!r} is not of the form name=URL.", _SYNTAX)
        members.setdefault(name, []).append(url.strip())
    return _checked(members, f"initial-cluster {text!r}")


def format_initial_cluster(members: Mapping[str, Sequence[str]]) -> str:
    """The inverse of ``parse_initial_cluster``: sorted by name, then URL, so that every host writes the same string."""
    checked = _checked(members, "initial-cluster")
    return ",".join(f"{name}={url}" for name, urls in checked.items() for url in urls)


def check_peer_url(url: str, place: str = "peer URL") -> None:
    """EtcdError unless etcd takes ``url`` as a peer URL (``NewURLs`` in ``client/pkg/types/urls.go``)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EtcdError(f"{place}: {url!r} is not a URL ({error}).", _SYNTAX) from error
    if parts.scheme in ("unix", "unixs"):
        return
    if parts.scheme not in ("http", "https"):
        raise EtcdError(f"{place}: the scheme of {url!r} is not http, https, unix or unixs.", _SYNTAX)
    if not parts.hostname or port is None or not re.search(r":\d+$", parts.netloc):
        raise EtcdError(f"{place}: {url!r} has no host and port.", _SYNTAX)
    if parts.path:
        raise EtcdError(f"{place}: {url!r} has a path, which etcd refuses.", _SYNTAX)


def _checked(members: Mapping[str, Sequence[str]], place: str) -> Dict[str, List[str]]:
    owner: Dict[str, str] = {}
    for name, urls in members.items():
        if not name or re.search(r"[=,\s]", name):
            raise EtcdError(f"{place}: {name!r} cannot be a member's name.", _SYNTAX)
        if not urls:
            raise EtcdError(f"{place}: member {name!r} has no peer URL.", _SYNTAX)
        for url in urls:
            check_peer_url(url, f"{place}, member {name!r}")
            if url in owner:
                raise EtcdError(
                    f"{place}: the peer URL {url} stands twice, for {owner[url]!r} and {name!r}.",
                    "give every member peer URLs of its own.",
                )
            owner[url] = name
    return {name: sorted(members[name]) for name in sorted(members)}


def _sha1_head(data: bytes) -> int:
    # SHA-1 is etcd's choice and nothing here depends on its strength.
    return int.from_bytes(hashlib.sha1(data).digest()[:8], "big")
