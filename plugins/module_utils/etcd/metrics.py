# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a member says of itself to whoever may open a connection: its metrics, on each of its client URLs."""

from __future__ import annotations

import http.client
import re
import ssl
from urllib.parse import urlsplit

from .commands import Connection
from .handshake import tls_context

_APPLIED = re.compile(rb"^etcd_server_proposals_applied_total (\S+)$", re.MULTILINE)
_ENOUGH = 4 << 20  # bytes; etcd's metrics are some 100 kB


def applied_index(endpoint: str, connection: Connection) -> int:
    """The raft index that the member at ``endpoint`` has applied; 0 where it does not say.

    Up to 3.7 no user is needed for it, also where authentication is on.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return 0
    port, seconds = parts.port or 2379, connection.command_timeout
    try:
        if parts.scheme == "https":
            secure = tls_context(connection)
            to: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, port, timeout=seconds, context=secure
            )
        else:
            to = http.client.HTTPConnection(parts.hostname, port, timeout=seconds)
        return _index_in(_get(to))
    except (OSError, ValueError, http.client.HTTPException, ssl.SSLError):
        return 0


def _get(to: http.client.HTTPConnection) -> bytes:
    try:
        to.request("GET", "/metrics")
        answer = to.getresponse()
        return answer.read(_ENOUGH) if answer.status == 200 else b""
    finally:
        to.close()


def _index_in(metrics: bytes) -> int:
    found = _APPLIED.search(metrics)
    return int(float(found.group(1))) if found else 0
