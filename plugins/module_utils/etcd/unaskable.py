# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a member that runs cannot be asked: etcdctl's own words, what they come to, and what to do about it.

A member that refuses a question lives, whatever is wrong with the question; a cluster of such members may be in the best
of health. Of a TLS connection that the member has ended etcdctl tells what it happens to see, seen on 3.4.23 to 3.7.3: the
member's alert, ``broken pipe`` or ``connection closed``. So that is looked at once more, by ``handshake``.
"""

from __future__ import annotations

import json
import re
from typing import Iterator, NamedTuple, Tuple

from .commands import Connection

_USER = "set etcd_auth_user (with the root role) and etcd_auth_password."
_CLIENT = "name a valid client certificate (clientAuth) of the CA that the member trusts in etcd_cert and etcd_key."
_TRUST = (
    "renew the member's certificate where it has expired; else name the CA that has signed it in etcd_cacert (with auto-tls"
    " the members' fixtures/client/cert.pem, all in one file)."
)
_SCHEME = "correct http or https in its advertise-client-urls, or set etcd_client_urls."
_NAME = "correct the name, or the resolver or /etc/hosts of this host; or set etcd_client_urls."

# By words that etcdctl, Go's resolver, Python's, or ``handshake`` say: what the member does, and what helps. The first fits.
_KINDS = (
    (r"open \S+: (no such file|permission denied)", "has no usable client certificate", _CLIENT),
    (r"invalid user ID or password", "refuses the password", "correct etcd_auth_user and etcd_auth_password."),
    (r"user name is empty", "wants a user and a password", _USER),
    (r"invalid auth token", "refuses the user", _USER),
    (r"permission denied", "refuses the user", "name a user with the root role in etcd_auth_user."),
    (r"private key does not match|failed to find any PEM|cannot be used", "has no usable client certificate", _CLIENT),
    (r"remote error: tls:|client certificate", "refuses the client certificate", _CLIENT),
    (r"certificate", "has a certificate that is not trusted", _TRUST),
    (r"handshake failed: (EOF|tls: first)|preface: EOF|speaks TLS", "is asked by the wrong scheme", _SCHEME),
    (r"no such host|not known|name resolution|No address associated", "has a name that does not resolve", _NAME),
)


class Refusal(NamedTuple):
    """What a member does instead of an answer, as ``refuses the password``, and what to do; empty where it is only silent."""

    does: str
    next_step: str


def refusal(said: str) -> Refusal:
    """What words of a failed question come to."""
    for pattern, does, next_step in _KINDS:
        if re.search(pattern, said):
            return Refusal(does, next_step)
    return Refusal("", "")


def own_words(printed: str, endpoint: str) -> str:
    """etcdctl's own cause why ``endpoint`` gave no answer, out of its standard error; empty where that does not name it.

    Its last line says only that the time was over where gRPC has tried again and again; the cause is in the log lines.
    """
    final = re.search(rf"endpoint {re.escape(endpoint)} \((.*)\)", printed)
    logged = [cause for target, cause in _logged(printed) if target.endswith(_address(endpoint))]
    told = [_inner(cause) for cause in logged if "desc = context deadline" not in cause]
    if told and (not final or "deadline exceeded" in final.group(1)):
        return told[-1]
    return _inner(final.group(1)) if final else ""


def last_words(printed: str) -> str:
    """The last line that is no log line, as of a command that fails as a whole."""
    plain = [line for line in printed.strip().splitlines() if not line.startswith("{")]
    return plain[-1] if plain else ""


def _logged(printed: str) -> Iterator[Tuple[str, str]]:
    for line in printed.splitlines():
        try:
            entry = json.loads(line) if line.startswith("{") else None
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("error"):
            yield str(entry.get("target", "")), str(entry["error"])


def _address(endpoint: str) -> str:
    return endpoint.split("://", 1)[-1].rstrip("/")


def _inner(cause: str) -> str:
    """The cause without what gRPC wraps around it: its code, ``latest balancer error``, ``connection error``, quotes."""
    wrapped = re.compile(
        r'^(rpc error: code = \w+ desc = |latest balancer error: |connection error: desc = "|transport: )'
    )
    while wrapped.match(cause):
        cause = wrapped.sub("", cause)
    return cause.replace('\\"', '"').rstrip('"') if cause.count('"') % 2 else cause


def handshake(endpoint: str, connection: Connection) -> str:
    """What ``etcd.handshake`` finds wrong; Python's TLS is loaded only where there is something to find."""
    from .handshake import fault

    return fault(endpoint, connection)
