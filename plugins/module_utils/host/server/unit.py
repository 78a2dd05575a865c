# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unit of a new member: as little of the host as etcd needs, by what systemd 247 and later know."""

from __future__ import annotations

import os
from typing import Sequence

from .wanted import SYSTEM_FOLDERS, Server

HEADER = "# Written by quorum.etcd's install.yml, which changes nothing here once there is a member.\n"
_UNIT = """\
[Unit]
Description=etcd, member @NAME@
Documentation=https://etcd.io/docs
After=network-online.target time-sync.target
Wants=network-online.target
# Another member may be away for longer than systemd would try: it never gives up.
StartLimitIntervalSec=0

[Service]
# etcd has started when it serves, which takes a quorum: nothing ends a member that waits for the others.
Type=notify
TimeoutStartSec=infinity
TimeoutStopSec=90s
User=@USER@
Group=@USER@
ExecStart=@ETCD@ --config-file=@CONFIG@
Restart=on-failure
RestartSec=5s
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=@FOLDERS@
ProtectHome=@HOME@
PrivateTmp=@TMP@
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit_text(server: Server) -> str:
    folders = dict.fromkeys(_writable(path) for path in (server.data_dir, server.wal_dir) if path)
    seen = [*folders, server.bin_dir, server.config_file, *vars(server.tls).values()]
    values = {
        "NAME": server.name,
        "USER": server.user,
        "ETCD": server.etcd,
        "CONFIG": server.config_file,
        "FOLDERS": " ".join(folders),
        "HOME": _hidden(seen, "/home", "/root", "/run/user"),
        "TMP": _hidden(seen, "/tmp", "/var/tmp"),
    }
    text = HEADER + _UNIT
    for name, value in values.items():
        text = text.replace(f"@{name}@", value.replace("%", "%%"))
    return text


def _writable(path: str) -> str:
    """The folder that holds it, where that is no other's: old data lies beside new, and etcd makes its WAL beside its place."""
    above = os.path.dirname(path)
    return path if above in SYSTEM_FOLDERS else above


def _hidden(paths: Sequence[str], *folders: str) -> str:
    inside = any(path == folder or path.startswith(f"{folder}/") for path in paths for folder in folders)
    return "no" if inside else "yes"
