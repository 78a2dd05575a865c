# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member's URLs: which lead to it from its own host, and which from every host of the cluster."""

from __future__ import annotations

from typing import List, Optional, Sequence
from urllib.parse import urlsplit

_WILDCARDS = ("0.0.0.0", "::")


def reachable(listen: Sequence[str]) -> List[str]:
    """Listen URLs as a client on this host can use them: every address becomes the loopback's."""
    return [url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:") for url in listen]


def advertised(listen: Sequence[str]) -> List[str]:
    """etcd's own default where no peer URL is advertised; with a wildcard it guesses an address, and nobody can here."""
    wild = any(urlsplit(url).hostname in _WILDCARDS for url in listen)
    return [] if wild or not listen else ["http://localhost:2380"]


def of_its_own(url: str, listen: Sequence[str], peers: Sequence[str]) -> str:
    """A client URL that leads every host to itself, by the peer URL's host instead, where the member listens there too."""
    parts, peer = urlsplit(url), urlsplit(peers[0] if peers else "")
    if not _leads_home(parts.hostname) or not peer.hostname or _leads_home(peer.hostname):
        return url
    listens = [urlsplit(one) for one in listen]
    there = [one for one in listens if one.hostname in (*_WILDCARDS, peer.hostname) and one.port == parts.port]
    return f"{parts.scheme}://{peer.netloc.rpartition(':')[0]}:{parts.port}" if there else url


def _leads_home(host: Optional[str]) -> bool:
    return host in (*_WILDCARDS, "localhost", "::1") or (host or "").startswith("127.")
