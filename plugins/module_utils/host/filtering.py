# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that is cut off the network: rules of our own in the kernel's packet filter, beside all others, for its ports alone.

What goes over the loopback stays, as it does where a cable is pulled; so do SSH and all that is no etcd's. The rules are
dropped by a reboot, and go in one command.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Dict, List, Sequence, Set, Tuple
from urllib.parse import urlsplit

from ..core.errors import EtcdError
from .processes import Host

NFT, IPTABLES = "nft", "iptables"
TABLE, CHAIN = "quorum_etcd_drill", "QUORUM_ETCD_DRILL"
# Where these tools are; not every login has that in its PATH.
FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
# The kernel's two ways of a packet that is for this host or from it, and the letter of the device there.
_WAY = {"input": "i", "output": "o"}
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Cut:
    """What is cut: the ports at which the member listens, and the addresses and ports of its peers, which it dials."""

    ports: Sequence[int]
    peers: Sequence[Tuple[str, int]]


def packet_filter(host: Host) -> str:
    """What this host has to make such rules with; empty where it has neither."""
    return next((tool for tool in (NFT, IPTABLES) if any(host.exists(f"{folder}/{tool}") for folder in FOLDERS)), "")


def shares_network(host: Host, pid: int) -> bool:
    """Whether a process is in this host's own network: it sees a listening socket that is one of ours too.

    Who may not trace the process cannot compare the network namespaces themselves, as root in a container.
    """
    return bool(_listening(host, str(pid)) & _listening(host, "self"))


def _listening(host: Host, pid: str) -> Set[str]:
    """The inodes of the sockets that listen."""
    texts = [host.read(f"/proc/{pid}/net/{name}") or "" for name in ("tcp", "tcp6")]
    rows = [line.split() for text in texts for line in text.splitlines()[1:]]
    return {row[9] for row in rows if len(row) > 9 and row[3] == "0A"}


def port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme, 0)


def is_local(url: str) -> bool:
    """Whether what is at this URL can only be reached on its own host; such a member has no network to be cut from."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")


def cut_of(own_urls: Sequence[str], peer_urls: Sequence[str]) -> Cut:
    """The cut of a member with these URLs of its own, whose peers advertise those; names are looked up here and now."""
    peers: Set[Tuple[str, int]] = set()
    for url in peer_urls:
        try:
            found = socket.getaddrinfo(urlsplit(url).hostname, port_of(url), type=socket.SOCK_STREAM)
        except OSError as error:
            raise EtcdError(
                f"the peer URL {url} cannot be looked up here: {error}.", "see that its name resolves."
            ) from error
        peers.update((str(address[0]).partition("%")[0], port_of(url)) for *_kind, address in found)
    return Cut(sorted({port_of(url) for url in own_urls}), sorted(peers))


def nft_rules(cut: Cut) -> str:
    """A table of our own, that is made in one transaction."""
    chains = ""
    for hook, rules in _rules(cut).items():
        lines = [f"{_WAY[hook]}ifname lo accept"]
        for at, address, port in rules:
            side, end = ("saddr", "sport") if at == "from" else ("daddr", "dport")
            lines.append(
                f"{_family(address)} {side} {address} tcp {end} {port} drop" if address else f"tcp {end} {port} drop"
            )
        inside = "".join(f"  {line}\n" for line in lines)
        chains += f" chain {hook} {{\n  type filter hook {hook} priority -300; policy accept;\n{inside} }}\n"
    return f"table inet {TABLE} {{\n{chains}}}\n"


def iptables_rules(cut: Cut) -> List[List[str]]:
    """The same as commands, one after the other: chains of our own, that are jumped to when they are complete."""
    found = []
    for tool, family in _tools(cut):
        for hook, rules in _rules(cut).items():
            chain = f"{CHAIN}_{hook}".upper()
            found.append([tool, "-w", "-N", chain])
            for at, address, port in rules:
                if address and _family(address) != family:
                    continue
                side, end = ("-s", "--sport") if at == "from" else ("-d", "--dport")
                found.append(
                    [
                        tool,
                        "-w",
                        "-A",
                        chain,
                        "-p",
                        "tcp",
                        *([side, address] if address else []),
                        end,
                        str(port),
                        "-j",
                        "DROP",
                    ]
                )
            found.append([tool, "-w", "-I", hook.upper(), "!", f"-{_WAY[hook]}", "lo", "-j", chain])
    return found


def _rules(cut: Cut) -> Dict[str, List[Tuple[str, str, int]]]:
    """By way: what is dropped, as ``from`` or ``to``, address (empty: any) and port."""
    return {
        "input": [("to", "", port) for port in cut.ports] + [("from", *peer) for peer in cut.peers],
        "output": [("from", "", port) for port in cut.ports] + [("to", *peer) for peer in cut.peers],
    }


def _tools(cut: Cut) -> List[Tuple[str, str]]:
    """Without an address of the newer kind nobody reaches the member by it, and a host may lack the tool."""
    newer = any(_family(address) == "ip6" for address, _port in cut.peers)
    return [("iptables", "ip"), *([("ip6tables", "ip6")] if newer else [])]


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


def uncut_lines(tool: str) -> List[str]:
    """Lines of a shell script that take the rules away, and do nothing where there are none; the last one tells."""
    if tool == NFT:
        return [f"nft delete table inet {TABLE} 2>/dev/null", f"! nft list table inet {TABLE} >/dev/null 2>&1"]
    lines, left = [], []
    for one in ("iptables", "ip6tables"):
        for hook, way in _WAY.items():
            chain = f"{CHAIN}_{hook}".upper()
            gone = [f"-D {hook.upper()} ! -{way} lo -j {chain}", f"-F {chain}", f"-X {chain}"]
            lines += [f"{one} -w {words} 2>/dev/null" for words in gone]
            left.append(f"! {one} -w -n -L {chain} >/dev/null 2>&1")
    return [*lines, " && ".join(left)]
