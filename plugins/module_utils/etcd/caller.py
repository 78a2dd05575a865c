# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a cluster is asked over gRPC: by one endpoint until it fails, with a token that is renewed; no older view is believed."""

from __future__ import annotations

import threading
from typing import Callable, Dict, Optional, TypeVar

from ..core.errors import EtcdError
from . import wire
from .commands import Connection
from .doors import Door, Doors, Metadata
from .messages import Header
from .refusals import Denied, Stopped, TokenEnded, Unavailable, all_silent
from .seen import Seen, older

_PAUSE = 0.2  # seconds between two rounds of all endpoints
_LEADER = (("hasleader", "true"),)  # a member without one refuses at once, and ends its watches

T = TypeVar("T")


class Caller:
    """Thread-safe. ``say`` is told in words when another endpoint is asked; ``clock`` is in seconds, and goes forward only."""

    def __init__(self, connection: Connection, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.connection, self.clock = connection, clock
        self.doors = Doors(connection, say)
        self.seen = Seen()
        self._lock = threading.Lock()
        self._token: Optional[str] = None if connection.user else ""  # None: one is wanted; empty: none is
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        self.doors.close()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def ask(
        self,
        method: str,
        request: bytes,
        read: Callable[[bytes], T],
        *,
        seconds: float = 0.0,
        leader: bool = True,
        writes: bool = False,
    ) -> T:
        """``seconds``: that it may take at one endpoint. ``leader``: only a member that has one may answer."""
        seconds = seconds or self.connection.command_timeout

        def ask(door: Door) -> T:
            before = self.seen.view
            answer = door.ask(method, request, seconds, self.metadata(door, leader), writes)
            try:
                value = read(answer)
            except ValueError as error:
                raise door.error(error) from error
            header = getattr(value, "header", None)
            if isinstance(header, Header):
                wrong = older(header, before, door.endpoint)
                if wrong:
                    raise wrong
                self.seen.add(header)
            return value

        return self.try_each(ask)

    def try_each(self, ask: Callable[[Door], T]) -> T:
        """By the present endpoint, and the others in turn, until one does it or the time of a command is over."""
        until = self.clock() + self.connection.command_timeout
        errors: Dict[str, EtcdError] = {}
        while not self.closed:
            door = self.doors.current
            try:
                return self.at(door, ask)
            except Unavailable as error:
                self.doors.leave(door, error)
                if error.unknown:
                    raise
                errors.pop(door.endpoint, None)  # the last one that was asked stands last
                errors[door.endpoint] = error
            if len(errors) >= len(self.doors.all):
                if self.clock() > until:
                    raise all_silent(list(errors.values()), door.fault())
                self._closed.wait(_PAUSE)
        raise Stopped("the connection to etcd was closed.")

    def at(self, door: Door, ask: Callable[[Door], T]) -> T:
        """By this endpoint, with a new token where the one at hand is none any more."""
        try:
            return ask(door)
        except (TokenEnded, Denied) as error:
            if not self.forget_token(error):
                raise
        return ask(door)

    def metadata(self, door: Door, leader: bool) -> Metadata:
        own = _LEADER if leader else ()
        if not self.connection.user:
            return own
        with self._lock:
            if self._token is None:
                self._token = self._login(door)
            return (*own, ("token", self._token)) if self._token else own

    def logged_in(self) -> bool:
        """Whether there is a token: there is none where authentication is off, or no user was named."""
        return bool(dict(self.try_each(lambda door: self.metadata(door, False))))

    def _login(self, door: Door) -> str:
        request = wire.authenticate_request(self.connection.user, self.connection.password)
        try:
            return wire.token(door.ask("Auth/Authenticate", request, self.connection.command_timeout, ()))
        except Denied as error:
            if "authentication is not enabled" in error.message:
                return ""
            raise

    def forget_token(self, error: EtcdError) -> bool:
        """Whether another token may help against this error; the old one is not used any more then."""
        turned_on = isinstance(error, Denied) and self._token == ""
        if not self.connection.user or not (isinstance(error, TokenEnded) or turned_on):
            return False
        with self._lock:
            self._token = None
        return True
