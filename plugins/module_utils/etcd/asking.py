# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the endpoints of a cluster how they are, whatever its state.

What etcdctl does, seen on 3.4.23, 3.5.35, 3.6.16 and 3.7.3: ``endpoint status`` prints JSON of the endpoints that answer and
exits 1 when one does not (``[]`` up to 3.5 and ``null`` from 3.6 when none does). Each endpoint that is down costs the whole
command timeout, one after the other, since ``--dial-timeout`` does not end it: so every endpoint is knocked at first, all at
once.

A member that answers ``serves``. One that opens and gives no answer, or whose name leads nowhere, is ``unaskable``: it may
be in the best of health, so a quorum that depends on it is unknown, and not missing. What nobody opens is ``down``.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ..core.threads import side_by_side
from .commands import Connection, Run, Tool, endpoint_status
from .printed import Status, rows, status_of
from .quorum import DOWN, SERVES, UNASKABLE
from .unaskable import Refusal, handshake, last_words, own_words, refusal

# What a learner says to every user that logs in.
NO_LOGIN = "rpc not supported for learner"
# Whether a TCP connection to an endpoint can be made within seconds: empty for yes, else the cause in words.
Knock = Callable[[str, float], str]
# What goes wrong in a TLS connection to an endpoint, in words; empty where nothing is found.
Handshake = Callable[[str, Connection], str]


class Answer(NamedTuple):
    """What an endpoint said: its status, or (``status`` None) why it said nothing.

    ``opened``: somebody is there, whether or not it said anything.
    """

    endpoint: str
    status: Optional[Status]
    error: str = ""
    opened: bool = False

    @property
    def refusal(self) -> Refusal:
        return refusal("" if self.status else self.error)

    @property
    def state(self) -> str:
        if self.status:
            return SERVES
        return UNASKABLE if self.opened or self.refusal.does else DOWN

    @property
    def cluster_id(self) -> str:
        return self.status.cluster_id if self.status else ""

    @property
    def member_id(self) -> str:
        return self.status.member_id if self.status else ""

    @property
    def leader_id(self) -> str:
        """Whom the member follows, or itself where it leads."""
        return self.status.leader if self.status else ""

    @property
    def has_leader(self) -> bool:
        return bool(self.leader_id)


def reach(endpoint: str, seconds: float) -> str:
    """Knock at an endpoint: empty when a TCP connection can be made, else why not. What is not TCP counts as reached."""
    parts = urlsplit(endpoint if "://" in endpoint else "//" + endpoint)
    try:
        if parts.scheme in ("unix", "unixs") or not parts.hostname:
            return ""
        with socket.create_connection((parts.hostname, parts.port or 2379), timeout=seconds):
            return ""
    except socket.timeout:
        return f"no connection within {seconds:g} s"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def ask(
    run: Run,
    etcdctl: Tool,
    connection: Connection,
    endpoints: Sequence[str],
    knock: Knock,
    look: Handshake = handshake,
) -> List[Answer]:
    """The status of each endpoint, in one command; those where nobody opens are not asked, which keeps it quick."""
    endpoints = list(dict.fromkeys(endpoints))
    closed = dict(zip(endpoints, side_by_side(lambda url: knock(url, connection.dial_timeout), endpoints)))
    opened = [url for url in endpoints if not closed[url]]
    if not opened:
        return [Answer(url, None, closed[url]) for url in endpoints]
    said, errors = _statuses(run, etcdctl, connection, opened)
    # Where authentication is on, etcdctl first logs in at each endpoint, and gives all of them up at the first that
    # refuses it: a learner always does, a member that hangs does after the time limit. The others are asked alone. 3.4 logs in
    # anew for each endpoint at any of them, so that a learner's refusal is told of its neighbours.
    unasked = [url for url in opened if url not in said and (url not in errors or NO_LOGIN in errors[url])]
    for url in unasked if len(opened) > 1 else ():
        errors.pop(url, None)
        alone, complaints = _statuses(run, etcdctl, connection, [url])
        said.update(alone)
        errors.update(complaints)
    # One that only keeps silent, as while it starts, has no fault of its connection to look for.
    silent = [url for url in opened if url not in said and "deadline exceeded" not in errors.get(url, "")]
    looks = dict(zip(silent, side_by_side(lambda url: look(url, connection), silent)))
    for url in filter(looks.get, silent):
        errors[url] = f"{looks[url]} ({errors[url]})" if errors.get(url) else looks[url]
    return [_answer(url, said.get(url), closed[url] or errors.get(url, ""), not closed[url]) for url in endpoints]


def _statuses(
    run: Run, etcdctl: Tool, connection: Connection, endpoints: Sequence[str]
) -> Tuple[Dict[str, object], Dict[str, str]]:
    """By endpoint: the statuses that were printed, and the complaints; in neither is one that was not got to."""
    command = endpoint_status(etcdctl, replace(connection, endpoints=endpoints))
    result = run(command.argv, command.env)
    said = {str(row.get("Endpoint")): row.get("Status") for row in rows(result.out, command, result.rc)}
    alone = len(endpoints) == 1
    named = [url for url in endpoints if url not in said and (alone or f"endpoint {url} (" in result.err)]
    return said, {url: own_words(result.err, url) or last_words(result.err) or "no answer" for url in named}


def _answer(url: str, printed: object, error: str, opened: bool) -> Answer:
    if printed is None:
        return Answer(url, None, error or "no answer", opened)
    return Answer(url, status_of(url, printed), opened=True)
