# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channels to the endpoints of a cluster: the one file that knows ``grpcio``, which only some hosts have.

Which endpoint is asked is decided here and not by gRPC, which knows neither leaders nor older views.
"""

from __future__ import annotations

import atexit
import os
import ssl
import sys
import threading
import time
from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ..core.errors import EtcdError
from .commands import Connection
from .handshake import fault
from .records import Malformed
from .refusals import Stopped, Unavailable, error_of

Metadata = Sequence[Tuple[str, str]]
THREADS_END = 5.0  # seconds

# Older gRPC, as 1.51 of Debian 12 and 13, moves a TLS handshake on only while a call waits for it, and else at this interval.
# Where one attempt has failed no call waits any more, and by gRPC's own 5 s each further attempt is over before its next step.
_POLLS = ("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100")

# etcd allows a ping each 5 s where a call is under way, and none otherwise. Older gRPC would send none for five minutes to
# somebody who says nothing, and newer gRPC has a second limit for the answer, which is a minute.
_KEEPALIVE = {
    "grpc.keepalive_time_ms": 8_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.http2.ping_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 0,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.http2.min_time_between_pings_ms": 7_000,
    "grpc.http2.min_ping_interval_without_data_ms": 7_000,
}
_OPTIONS = {
    **_KEEPALIVE,
    # A page is as large as its values: where that would be more than this, a smaller one can be asked for.
    "grpc.max_receive_message_length": 64 << 20,
    "grpc.max_send_message_length": -1,
    "grpc.enable_http_proxy": 0,  # a proxy of the environment would answer for a member that it cannot reach
    "grpc.enable_retries": 0,  # whether a transaction is sent again is not gRPC's to decide
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 2_000,
}


class Door:
    """An endpoint and the channel to it."""

    def __init__(self, endpoint: str, connection: Connection) -> None:
        self.endpoint, self._connection, self._grpc = endpoint, connection, _grpcio()
        self.version = ""  # of the member, once somebody has asked
        self._lock = threading.Lock()
        self._methods: Dict[str, Any] = {}
        self._files = _files(connection)
        self._channel = self._opened()
        self._closed = False

    def _opened(self) -> Any:
        parts = urlsplit(self.endpoint if "://" in self.endpoint else f"//{self.endpoint}")
        host, port = parts.hostname or "", parts.port or 2379
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        # gRPC waits for a connection as long as for the next attempt.
        options = {**_OPTIONS, "grpc.min_reconnect_backoff_ms": self._connection.dial_timeout * 1000}
        cacert, cert, key = self._files
        if parts.scheme == "https" or (not parts.scheme and (cacert or cert)):
            secret = self._grpc.ssl_channel_credentials(cacert or None, key or None, cert or None)
            return self._grpc.secure_channel(target, secret, options=list(options.items()))
        return self._grpc.insecure_channel(target, options=list(options.items()))

    def refresh(self) -> None:
        """Connect anew where the certificates have been renewed on disk: a channel keeps those that it began with."""
        try:
            files = _files(self._connection)
        except EtcdError:  # in the midst of a renewal
            return
        with self._lock:
            if files != self._files and not self._closed:
                old, self._files, self._methods = self._channel, files, {}
                self._channel = self._opened()
                old.close()

    def ask(self, method: str, request: bytes, seconds: float, metadata: Metadata, writes: bool = False) -> bytes:
        try:
            answer: bytes = self._method(method)(request, timeout=seconds, metadata=metadata)
        except Exception as error:
            raise self.error(error, writes) from error
        return answer

    def ask_soon(self, method: str, request: bytes, seconds: float, metadata: Metadata) -> Any:
        """gRPC's future; what its ``result`` raises is for ``error``."""
        try:
            return self._method(method).future(request, timeout=seconds, metadata=metadata)
        except Exception as error:
            raise self.error(error) from error

    def stream(self, method: str, requests: Iterator[bytes], metadata: Metadata) -> Any:
        try:
            return self._method(method, streams=True)(requests, metadata=metadata)
        except Exception as error:
            raise self.error(error) from error

    def _method(self, method: str, streams: bool = False) -> Any:
        with self._lock:
            if method not in self._methods:
                make = self._channel.stream_stream if streams else self._channel.unary_unary
                self._methods[method] = make(f"/etcdserverpb.{method}")
            return self._methods[method]

    def error(self, error: BaseException, writes: bool = False) -> EtcdError:
        """What was raised by gRPC, as the error that it is; ``writes``: by a transaction."""
        if isinstance(error, EtcdError):
            return error
        if isinstance(error, Malformed):
            return EtcdError(f"{self.endpoint}: its answer cannot be read: {error}.", "look what listens there.")
        if self._closed:
            return Stopped("the connection to etcd was closed.")
        if isinstance(error, self._grpc.FutureCancelledError):
            return error_of("CANCELLED", "cancelled", self.endpoint, writes)
        if isinstance(error, self._grpc.RpcError):
            return error_of(error.code().name, error.details() or "", self.endpoint, writes)
        if isinstance(error, ValueError):  # a call that began while the channel was changed
            return Unavailable(f"{self.endpoint}: {error}.")
        raise error

    def refused(self, reason: str) -> EtcdError:
        """The error for the reason that a canceled watch gives: words that elsewhere come with a code."""
        return error_of("", reason, self.endpoint)

    def fault(self) -> str:
        """What goes wrong in the TLS connection, in words; empty where nothing does."""
        return fault(self.endpoint, self._connection)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._channel.close()


class Doors:
    """All endpoints, of which one is spoken to until it fails."""

    def __init__(self, connection: Connection, say: Callable[[str], None]) -> None:
        if not connection.endpoints:
            raise EtcdError("no endpoints were given.", "set endpoints to the members' client URLs.")
        self.all: List[Door] = [Door(endpoint, connection) for endpoint in connection.endpoints]
        self._say = say
        self._lock = threading.Lock()
        self._current = 0

    @property
    def current(self) -> Door:
        return self.all[self._current]

    def leave(self, door: Door, why: Optional[EtcdError] = None) -> None:
        """The next endpoint is spoken to from now on, unless another thread has gone on already."""
        door.refresh()
        with self._lock:
            if self.current is not door or len(self.all) == 1:
                return
            self._current = (self._current + 1) % len(self.all)
            into = self.current.endpoint
        self._say(f"{why.message if why else ''} {into} is asked from now on.".strip())

    def close(self) -> None:
        for door in self.all:
            door.close()


@lru_cache(maxsize=None)
def _grpcio() -> Any:
    """The module: loaded for the first channel, since only what was read of a mirror says where it is unpacked."""
    os.environ.setdefault(*_POLLS)
    try:
        import grpc
    except ImportError as error:
        raise EtcdError(
            f"this Python ({sys.executable}) cannot load grpcio, and speaks to no etcd by gRPC without it: {error}.",
            "run mirror.yml, which sees to it: by the package python3-grpcio, or by wheels (etcd_mirror_grpcio_wheels).",
        ) from error
    atexit.register(_let_threads_end)
    return grpc


def _let_threads_end() -> None:
    """gRPC's threads end a moment after their channels. One that is stopped by the end of Python, in the middle of gRPC's code,
    can keep the process from its end for ever.
    """
    until = time.monotonic() + THREADS_END
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def _files(connection: Connection) -> Tuple[bytes, bytes, bytes]:
    """CA, certificate and key. gRPC would go by roots of its own where no CA is given, and not by the system's."""
    default = ssl.get_default_verify_paths().cafile or ""
    secure = any(endpoint.startswith("https:") for endpoint in connection.endpoints)
    cacert = connection.cacert or (default if secure else "")
    return _read(cacert), _read(connection.cert), _read(connection.key or connection.cert)


def _read(path: str) -> bytes:
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise EtcdError(
            f"{path}: {error.strerror}.", "name a certificate file that is there and can be read."
        ) from error
