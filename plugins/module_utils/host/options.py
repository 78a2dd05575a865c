# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator says of a member; it goes before what is found."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, List, Mapping, Optional


@dataclass(frozen=True)
class Options:
    """Those of the documentation fragments ``member`` and ``connection`` that say something of a host; empty is not said."""

    name: str = ""
    peer_urls: Optional[List[str]] = None
    client_urls: Optional[List[str]] = None
    data_dir: str = ""
    wal_dir: str = ""
    config_file: str = ""
    service_manager: str = ""
    service_name: str = ""
    manifest: str = "/etc/kubernetes/manifests/etcd.yaml"
    start_command: str = ""
    stop_command: str = ""
    status_command: str = ""
    state_dir: str = "/var/lib/quorum-etcd"
    aside_dir: str = ""
    bin_dir: str = ""
    endpoints: Optional[List[str]] = None
    cacert: str = ""
    cert: str = ""
    key: str = ""


def options_of(params: Mapping[str, Any]) -> Options:
    """Of a module's parameters, with the defaults of those that are missing or null."""
    names = [field.name for field in fields(Options)]
    return Options(**{name: params[name] for name in names if params.get(name) is not None})
