# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The look at both clusters before a mirror begins, and the preflight of it.

What a user may do is not only read from its roles, but tried: by a read, and by a transaction whose condition never holds, which
etcd holds against everything that it holds a real one against, and which writes nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Callable, Dict, List, Optional, Union
from urllib.parse import urlsplit

from ..core.errors import EtcdError
from ..core.job import Findings, where
from ..etcd.certificate import read_certificate
from ..etcd.client import Client
from ..etcd.commands import Connection
from ..etcd.handshake import fault, tls_context
from ..etcd.messages import Compare, Delete, Put, prefix_range
from ..etcd.refusals import Compacted, Denied, NoSpace, Refused, TooLarge, Unavailable
from ..etcd.wire import Status
from .batches import MOST_OPERATIONS
from .governor import NEAR
from .names import probe
from .preflight import Access, Looked, judge
from .settings import MirrorSettings, connection_of
from .state import state_key

_NEVER = -1  # the version that no key has


def preflight(
    settings: MirrorSettings,
    source: Client,
    destination: Client,
    say: Callable[[str], None],
    now: float,
) -> None:
    """EtcdError where the mirror would not work, with all reasons. What is only to be known is said."""
    findings = Findings(settings.name)
    seen = [
        look(source, connection_of(settings.source), settings.source_prefix),
        look(destination, connection_of(settings.destination), settings.target_prefix, state_key(settings)),
    ]
    judge(settings, seen[0], seen[1], now, findings)
    for warning in findings.warnings:
        say(f"The {warning['host']}: {warning['cause']}")
    if not findings.refusals:
        return
    first, *others = findings.refusals
    causes = [f"{where(one)}{one['cause']}" for one in findings.refusals]
    steps = [f"{where(one)}{one['next_step']}" for one in findings.refusals] if others else [first["next_step"]]
    raise EtcdError(f"the mirror {settings.name} would not work: {' '.join(causes)}", " ".join(steps))


def look(client: Client, connection: Connection, prefix: bytes, state: bytes = b"") -> Looked:
    """What one side is; ``state`` is the key of the mirror's state, of a destination. What cannot be told by a cluster that does
    not answer is left out: the engine waits for that one.
    """
    statuses = client.status()
    answers = {endpoint: told for endpoint, told in statuses.items() if isinstance(told, Status)}
    silent = {
        endpoint: _why(endpoint, told, connection) for endpoint, told in statuses.items() if endpoint not in answers
    }
    return Looked(
        cluster_id=next((told.header.cluster_id for told in answers.values()), 0),
        versions={endpoint: told.version for endpoint, told in answers.items()},
        silent=silent,
        learners=[endpoint for endpoint, told in answers.items() if told.is_learner],
        alarms=_alarms(client),
        access=_access(client, connection, prefix, bool(state)),
        certificates=_certificates(connection),
        begun=bool(state) and _is_there(client, state),
        shallow=not state and _is_shallow(client, prefix),
    )


def _why(endpoint: str, told: Union[Status, EtcdError], connection: Connection) -> str:
    words = fault(endpoint, connection)
    return f"{words}." if words else getattr(told, "message", "")


def _alarms(client: Client) -> List[str]:
    """Not everybody may ask; a transaction meets them anyhow."""
    with contextlib.suppress(Denied, Unavailable, Refused):
        return [one.alarm for one in client.alarms()]
    return []


def _is_there(client: Client, key: bytes) -> bool:
    with contextlib.suppress(Denied, Unavailable):
        return bool(client.page(key, keys_only=True).kvs)
    return False


def _is_shallow(client: Client, prefix: bytes) -> bool:
    """Whether less is left of the history than an engine follows. Nobody tells how often a cluster is compacted."""
    key = probe(prefix)
    with contextlib.suppress(Denied, Unavailable):
        try:
            client.page(key, revision=max(1, client.page(key).header.revision - NEAR))
        except Compacted:
            return True
    return False


def _access(client: Client, connection: Connection, prefix: bytes, writes: bool) -> Access:
    user = connection.user or _named_by_certificate(connection)
    access = Access(user=user)
    try:
        found = client.permissions()
        if not found.enabled:
            access = Access()
        elif found.user:
            access = Access(user, found.roles, found.permissions, found.all)
        client.page(*prefix_range(prefix), limit=1, keys_only=True)
        if writes:
            client.commit([Compare(prefix + b"\0", None, _NEVER)], _everywhere(prefix))
    except Denied as error:
        return access._replace(denied=error.message)
    except TooLarge as error:
        return access._replace(trouble=error.message)
    except (NoSpace, Unavailable):  # there is an alarm for the one, and the other is waited for
        pass
    return access


def _everywhere(prefix: bytes) -> List[Union[Put, Delete]]:
    """As many operations as the mirror has in one transaction, with keys all over the prefix."""
    keys = [prefix + bytes([2 * number]) + b"quorum.etcd/preflight" for number in range(MOST_OPERATIONS)]
    return [Delete(key) if number % 2 else Put(key, b"") for number, key in enumerate(keys)]


def _named_by_certificate(connection: Connection) -> str:
    """Where nobody logs in, the common name of the client's certificate is the user."""
    found = read_certificate(_content(connection.cert))
    return found.common_name if found else ""


def _certificates(connection: Connection) -> Dict[str, float]:
    ends: Dict[str, float] = {}
    for path in (connection.cert, connection.cacert):
        found = read_certificate(_content(path))
        if found:
            ends[path] = found.not_after
    for endpoint in connection.endpoints:
        end = _end_of_server(endpoint, connection)
        if end is not None:
            ends[f"the certificate of {endpoint}"] = end
    return ends


def _end_of_server(endpoint: str, connection: Connection) -> Optional[float]:
    """When the certificate that a member shows ends; None where none is shown, or it is not trusted anyhow."""
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or not parts.hostname:
        return None
    address = parts.hostname, parts.port or 2379
    try:
        with socket.create_connection(address, connection.dial_timeout) as plain, tls_context(connection).wrap_socket(
            plain, server_hostname=parts.hostname
        ) as secure:
            shown = secure.getpeercert() or {}
            return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
    except (OSError, ValueError, KeyError):
        return None


def _content(path: str) -> bytes:
    if not path:
        return b""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read()
    return b""
