# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host without etcd is to become: its member, where everything lies, and what cannot be meant."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence
from urllib.parse import urlsplit

from ...core.errors import EtcdError
from ..settings.edits import checked

PKI = "pki"  # below the folder of the configuration
FILE_NAMES = {
    "ca": "ca.crt",
    "cert": "server.crt",
    "key": "server.key",
    "peer_ca": "peer-ca.crt",
    "peer_cert": "peer.crt",
    "peer_key": "peer.key",
}
# A folder of ours lies in none of these: etcd's user would have to own one of them.
SYSTEM_FOLDERS = (
    "/",
    "/etc",
    "/home",
    "/mnt",
    "/opt",
    "/root",
    "/srv",
    "/usr",
    "/var",
    "/var/lib",
    "/var/lib/quorum-etcd",
)
ANY_ADDRESS = "0.0.0.0"
OF_CLUSTER = ("initial-", "force-new-cluster", "discovery", "experimental-discovery")
# Told by variables of their own, or known by the run alone.
NOT_FREE = {
    "name": "etcd_name",
    "data-dir": "etcd_data_dir",
    "wal-dir": "etcd_wal_dir",
    "initial-advertise-peer-urls": "etcd_peer_urls",
    "advertise-client-urls": "etcd_client_urls",
    "listen-peer-urls": "etcd_listen_peer_urls",
    "listen-client-urls": "etcd_listen_client_urls",
    **dict.fromkeys(("cert-file", "peer-cert-file"), "etcd_tls_cert"),
    **dict.fromkeys(("key-file", "peer-key-file"), "etcd_tls_key"),
    **dict.fromkeys(("trusted-ca-file", "peer-trusted-ca-file"), "etcd_tls_ca"),
}


@dataclass(frozen=True)
class TlsPaths:
    """The files of TLS on the host; all empty where there is none."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    peer_ca: str = ""
    peer_cert: str = ""
    peer_key: str = ""


@dataclass(frozen=True)
class Server:
    """A member that is not there yet. ``settings`` are the operator's own, by the names of etcd's flags."""

    name: str
    peer_urls: List[str]
    client_urls: List[str]
    listen_peer_urls: List[str]
    listen_client_urls: List[str]
    data_dir: str
    wal_dir: str
    user: str
    bin_dir: str
    config_file: str
    unit: str
    tls: TlsPaths = TlsPaths()
    settings: Dict[str, str] = field(default_factory=dict)

    @property
    def unit_path(self) -> str:
        return f"/etc/systemd/system/{self.unit}.service"

    @property
    def etcd(self) -> str:
        return os.path.join(self.bin_dir, "etcd")


def server_of(params: Mapping[str, Any]) -> Server:
    """What a module's parameters describe; EtcdError for what etcd could not be, before anything is touched."""
    peers, clients = list(params["peer_urls"]), list(params["client_urls"])
    tls = TlsPaths(**{name: params["tls"].get(name) or "" for name in TlsPaths.__dataclass_fields__})
    _check_urls({"etcd_peer_urls": peers, "etcd_client_urls": clients}, tls)
    server = Server(
        name=params["name"],
        peer_urls=peers,
        client_urls=clients,
        listen_peer_urls=list(params["listen_peer_urls"]) or listening(peers),
        listen_client_urls=list(params["listen_client_urls"]) or with_loopback(listening(clients)),
        data_dir=os.path.normpath(params["data_dir"]),
        wal_dir=os.path.normpath(params["wal_dir"]) if params["wal_dir"] else "",
        user=params["user"],
        bin_dir=os.path.normpath(params["bin_dir"]),
        config_file=os.path.normpath(params["config_file"]),
        unit=params["service_name"].partition(".service")[0],
        tls=tls,
        settings=checked(params["settings"]),
    )
    _check(server)
    return server


def tls_on_host(given: Mapping[str, Any], config_file: str, on_hosts: bool) -> Dict[str, str]:
    """Where the files of TLS are on the host: as given, or beside the configuration. What peers have of their own is left out
    where they have nothing of their own.
    """
    own = {
        name: given.get(name) or given.get(name.replace("peer_", "")) or "" for name in TlsPaths.__dataclass_fields__
    }
    unknown = sorted(given.keys() - own.keys())
    if unknown:
        raise EtcdError(f"there is no file {', '.join(unknown)} of TLS.", f"these are: {', '.join(own)}.")
    if on_hosts or not any(own.values()):
        return {name: str(path) for name, path in own.items()}
    folder = os.path.join(os.path.dirname(config_file), PKI)
    # What the peers share with the clients is put there once.
    places = {name: name.replace("peer_", "") if own[name] == own[name.replace("peer_", "")] else name for name in own}
    return {name: os.path.join(folder, FILE_NAMES[places[name]]) if own[name] else "" for name in own}


def listening(urls: Sequence[str]) -> List[str]:
    """Where to listen for these: etcd takes no name there, so that for a name it listens at every address."""
    found = []
    for url in urls:
        parts = urlsplit(url)
        host = parts.hostname or ""
        address = host if _is_address(host) else ANY_ADDRESS
        found.append(f"{parts.scheme}://{f'[{address}]' if ':' in address else address}:{parts.port}")
    return list(dict.fromkeys(found))


def with_loopback(urls: Sequence[str]) -> List[str]:
    """The host's own clients, such as a backup of it, need no other way to the member."""
    covered = {urlsplit(url).port for url in urls if urlsplit(url).hostname in (ANY_ADDRESS, "::", "127.0.0.1")}
    more = [
        f"{urlsplit(url).scheme}://127.0.0.1:{urlsplit(url).port}" for url in urls if urlsplit(url).port not in covered
    ]
    return list(dict.fromkeys([*urls, *more]))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check(server: Server) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", server.name):
        raise EtcdError(
            f"{server.name!r} cannot be the name of a member.", "set etcd_name to letters, digits, . _ and -."
        )
    if not re.fullmatch(r"[A-Za-z0-9:_.@-]+", server.unit):
        raise EtcdError(f"{server.unit!r} cannot be the name of a unit.", "set etcd_service_name, such as etcd.")
    if not re.fullmatch(r"[a-z_][a-z0-9_-]*", server.user) or server.user == "root":
        raise EtcdError(
            f"etcd is not run as the user {server.user!r}.", "set etcd_user to a user of its own, such as etcd."
        )
    listen = {
        "etcd_listen_peer_urls": server.listen_peer_urls,
        "etcd_listen_client_urls": server.listen_client_urls,
    }
    _check_urls(listen, server.tls)
    _check_paths(server)
    for setting in server.settings:
        if setting in NOT_FREE:
            raise EtcdError(
                f"{setting} is no free setting.", f"take it out of etcd_settings, and set {NOT_FREE[setting]}."
            )
        if setting.startswith(OF_CLUSTER) and setting != "initial-election-tick-advance":
            raise EtcdError(
                f"{setting} is not for the operator to set: it decides which cluster the member belongs to.",
                "take it out of etcd_settings.",
            )


def _check_urls(given: Mapping[str, Sequence[str]], tls: TlsPaths) -> None:
    wanted = "https" if tls.cert else "http"
    for variable, urls in given.items():
        if not urls:
            raise EtcdError(f"{variable} is empty.", f"set it, such as {wanted}://10.0.0.1:2380.")
        for url in urls:
            _check_url(variable, url, wanted)


def _check_url(variable: str, url: str, wanted: str) -> None:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if (
        not parts.hostname
        or not port
        or parts.path
        or parts.query
        or parts.username
        or parts.scheme not in ("http", "https")
    ):
        raise EtcdError(f"{url!r} in {variable} is no URL of a member.", f"write it as {wanted}://10.0.0.1:2380.")
    if parts.scheme != wanted:
        with_tls = "there is a certificate" if wanted == "https" else "there is no certificate"
        raise EtcdError(
            f"{url} in {variable} begins with {parts.scheme}, and {with_tls} for this host.",
            f"write it with {wanted}, or set etcd_tls_cert, etcd_tls_key and etcd_tls_ca.",
        )
    if variable.startswith("etcd_listen") and not _is_address(parts.hostname):
        raise EtcdError(f"{url} in {variable} has a name, and etcd listens at addresses alone.", "write the address.")
    if not variable.startswith("etcd_listen") and parts.hostname in (ANY_ADDRESS, "::"):
        raise EtcdError(f"{url} in {variable} leads nobody to this host.", "write its address.")


def _check_paths(server: Server) -> None:
    for variable, path in (("etcd_data_dir", server.data_dir), ("etcd_wal_dir", server.wal_dir)):
        if path and (
            not path.startswith("/") or path in SYSTEM_FOLDERS or any(char in path for char in " \t\n'\"\\%:")
        ):
            raise EtcdError(f"{variable} cannot be {path!r}.", "give a folder of its own, such as /var/lib/etcd/data.")
    # etcd makes its WAL directory beside the final place, and renames it.
    if server.wal_dir and os.path.dirname(server.wal_dir) in SYSTEM_FOLDERS:
        raise EtcdError(
            f"etcd's user must own the folder above etcd_wal_dir, and {os.path.dirname(server.wal_dir)} is the system's.",
            f"set it to {server.wal_dir}/wal.",
        )
    files = {name: getattr(server.tls, name) for name in TlsPaths.__dataclass_fields__}
    if any(files.values()) and not all(files.values()):
        missing = ", ".join(name for name, path in files.items() if not path)
        raise EtcdError(
            f"TLS needs a CA, a certificate and its key; missing: {missing}.",
            "set etcd_tls_ca, etcd_tls_cert and etcd_tls_key.",
        )
