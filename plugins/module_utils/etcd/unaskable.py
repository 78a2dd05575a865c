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
import socket
import ssl
from typing import Iterator, NamedTuple, Tuple
from urllib.parse import urlsplit

from .commands import Connection

# What begins an HTTP/2 connection: its preface and empty settings. Whoever answers it has accepted the certificate.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

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


# TLS, looked at by itself.


def handshake(endpoint: str, connection: Connection) -> str:
    """What goes wrong in a TLS connection to ``endpoint``, in words; empty where nothing does, or nothing can be told.

    etcdctl is the judge, and has failed by now: only the words are from here.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    address, seconds = (parts.hostname, parts.port or 2379), connection.dial_timeout
    try:
        if parts.scheme == "http":
            return "it speaks TLS, and was asked without" if _speaks_tls(address, seconds) else ""
        return _tls_fault(address, seconds, connection)
    except (OSError, ValueError):  # nobody opens any more, or hangs; no fault of the certificates
        return ""


def _speaks_tls(address: Tuple[str, int], seconds: float) -> bool:
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(address, seconds) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _tls_fault(address: Tuple[str, int], seconds: float, connection: Connection) -> str:
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        _load(context, connection)
    except OSError as error:  # ssl.SSLError is one
        return f"the client certificate, its key or the CA cannot be used: {_reason(error)}"
    with socket.create_connection(address, seconds) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=address[0]) as secure:
                secure.sendall(_PREFACE)
                secure.recv(1)  # from TLS 1.3 on what the other side thinks of a client's certificate comes only now
                return ""
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not trusted: {error.verify_message}"
        except ssl.SSLError as error:
            alert = re.search(r"ALERT_(\w+)", error.reason or "")
            return _ended(alert.group(1) if alert else "", connection)
        except ConnectionError:
            return _ended("", connection)


def _ended(alert: str, connection: Connection) -> str:
    """Why the member has ended the connection; not each of them says so in an alert that arrives."""
    if not alert:
        why = own_fault(connection) if connection.cert else ""
        return f"it refuses the client certificate {connection.cert}: {why}" if why else ""
    word = alert.lower().replace("_", " ")
    if "certificate" not in word and "unknown ca" not in word:
        return f"it ends the TLS handshake: {word}"
    if not connection.cert:
        return f"it wants a client certificate: {word}"
    why = own_fault(connection)
    return f"it refuses the client certificate {connection.cert}: {why or word}"


def own_fault(connection: Connection) -> str:
    """What a server that trusts ``cacert`` finds wrong with the client's own certificate, tried without any network."""
    server, client = _context(ssl.PROTOCOL_TLS_SERVER), _context(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server.verify_mode = ssl.CERT_REQUIRED
    try:
        for context in (server, client):
            _load(context, connection)
        return _introduce(server, client)
    except OSError as error:
        return _reason(error)


def _introduce(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _round in range(10):  # a handshake has two or three
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return ""


def _context(protocol: int) -> ssl.SSLContext:
    """As lenient as Go's, whose word counts: old keys are no fault here."""
    context = ssl.SSLContext(protocol)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _load(context: ssl.SSLContext, connection: Connection) -> None:
    if connection.cacert:
        context.load_verify_locations(connection.cacert)
    else:
        context.load_default_certs()
    if connection.cert:
        context.load_cert_chain(connection.cert, connection.key or None)


def _reason(error: OSError) -> str:
    told = getattr(error, "verify_message", "") or (getattr(error, "reason", "") or "").lower().replace("_", " ")
    return told or error.strerror or str(error)
