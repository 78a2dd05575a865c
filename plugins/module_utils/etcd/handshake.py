# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member spoken to by Python's own TLS: what goes wrong in a connection (see ``unaskable``), and what needs no etcdctl."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from contextlib import closing
from typing import Tuple
from urllib.parse import urlsplit

from .commands import Connection

# What begins an HTTP/2 connection: its preface and empty settings. Whoever answers it has accepted the certificate.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

_MOST = 8 << 20  # bytes of an answer that are read


def fault(endpoint: str, connection: Connection) -> str:
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


def get(endpoint: str, path: str, connection: Connection) -> str:
    """What a member answers there by HTTP, of this certificate and to it; empty where it gives no such answer in time."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    host, port, seconds = parts.hostname, parts.port or 2379, connection.command_timeout
    try:
        if parts.scheme == "http":
            asked = http.client.HTTPConnection(host, port, timeout=seconds)
        else:
            asked = http.client.HTTPSConnection(host, port, timeout=seconds, context=tls_context(connection))
        with closing(asked):
            asked.request("GET", path)
            answer = asked.getresponse()
            text = answer.read(_MOST).decode("utf-8", "replace")
            return text if answer.status == 200 else ""
    except (OSError, ValueError, http.client.HTTPException):
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
    try:
        context = tls_context(connection)
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


def tls_context(connection: Connection) -> ssl.SSLContext:
    """How a client of this connection speaks TLS."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, connection)
    return context


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
