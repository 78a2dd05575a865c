# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a member says when it does not do what was asked over gRPC, as errors of a class each: code and words go in, pure.

The words are those of etcd's ``rpctypes``, equal in 3.4 to 3.7; the codes are gRPC's own. Of a transaction that may have been
committed all the same that is said (``unknown``): nobody but its caller knows how to find out.
"""

from __future__ import annotations

import re
from typing import Pattern, Sequence, Tuple, Type

from ..core.errors import EtcdError
from ..core.text import printable


class Refused(EtcdError):
    """etcd has said no, and will again. The other classes say to what, where it matters."""


class Unavailable(EtcdError):
    """Nobody has answered, or nobody who could: to be tried again. ``unknown``: what was asked may have been done."""

    unknown = False


class Stale(Unavailable):
    """What answers has an older view than what was seen of this cluster before. ``revision`` and ``raft_term`` are its own.

    One member that is cut off, for a while; or the cluster was restored, where it is all of them.
    """

    revision = 0
    raft_term = 0


class OtherCluster(Stale):
    """What answers is a member of another cluster than this client has spoken to before. ``cluster_id`` is that one's."""

    cluster_id = 0


class TokenEnded(Unavailable):
    """The user's token is not known, or not any more: a new one is wanted. Nothing was done."""


class Compacted(Refused):
    """The revision is not there any more. ``compact_revision``: the first that is; 0 where that was not told."""

    compact_revision = 0


class Denied(Refused):
    """The user may not do that, or is not let in."""


class NoSpace(Refused):
    """The database is full: nothing but deletions until its alarm is disarmed."""


class TooLarge(Refused):
    """The request is larger than the members accept, or has too many operations."""


class NoLease(Refused):
    """The lease is not there (any more), or there is one with this ID already."""


class Unsupported(Refused):
    """This version of etcd does not know the call."""


class Stopped(EtcdError):
    """The client was closed by its own side."""


_DENIED = re.compile(
    "permission denied|user name is empty|authentication failed|authentication is not enabled|role name not found"
    "|user name not found|root user does not|unhandled rpc for user"
)
_TOKEN = re.compile("invalid auth token|revision of auth store is old|auth token expired|token has expired")
_COMPACTED = re.compile("required revision has been compacted")
_FUTURE = re.compile("required revision is a future revision")
_SPACE = re.compile("database space exceeded")
_LARGE = re.compile(r"request is too large|too many operations in txn|larger than max|message too large")
_LEASE = re.compile("requested lease not found|lease already exists|too large lease TTL")
# Nothing was proposed: there was no connection, or the member has refused before it began. A leader that is lost later gives
# other words ("request timed out", "leader changed"), and so does a connection that breaks under way.
_NOT_BEGUN = re.compile(
    "failed to connect|connections to all backends failing|name resolution|DNS|too many requests|not supported for learner"
    "|^etcdserver: no leader$|^etcdserver: not capable$|empty address list|Endpoint .*unavailable"
)
_PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "UNKNOWN", "INTERNAL", "DATA_LOSS")
_REFUSALS: Tuple[Tuple[Pattern[str], Type[EtcdError], str], ...] = (
    (_TOKEN, TokenEnded, ""),
    (_DENIED, Denied, "look at the user, the password and the roles of the user in etcd."),
    (_COMPACTED, Compacted, ""),
    (_SPACE, NoSpace, "compact and defragment the cluster, then disarm its alarm; or raise quota-backend-bytes."),
    (_LARGE, TooLarge, "raise max-request-bytes of the members to that of the cluster that the value comes from."),
    (_LEASE, NoLease, ""),
)


def error_of(code: str, words: str, endpoint: str, writes: bool = False) -> EtcdError:
    """The error for what gRPC has told: the name of its code, and its words. ``writes``: a transaction was asked for."""
    told = printable(words.strip())[:300] or code.replace("_", " ").lower()
    message = f"{endpoint}: {told}."
    if _FUTURE.search(words):
        return Stale(f"{endpoint} is behind: {told}.")
    for pattern, kind, next_step in _REFUSALS:
        if pattern.search(words):
            return kind(message, next_step)
    if code == "UNIMPLEMENTED":
        return Unsupported(message)
    if code in _PASSING or (code in ("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION") and _NOT_BEGUN.search(words)):
        error = Unavailable(message)
        error.unknown = writes and not _NOT_BEGUN.search(words)
        return error
    return Refused(message)


def all_silent(errors: Sequence[EtcdError], fault: str = "") -> Unavailable:
    """What is said when no endpoint does what was asked: each with its own reason. Stale where one that answers is.

    ``fault``: what goes wrong in the TLS connection, where something does.
    """
    last = [*errors, *(error for error in errors if isinstance(error, Stale))][-1]
    words = " ".join(dict.fromkeys(error.message for error in errors))
    kind = type(last) if isinstance(last, Unavailable) else Unavailable
    found = kind(words + (f" The connection says: {fault}." if fault else ""), _reach_step(fault))
    for name in ("unknown", "revision", "raft_term", "cluster_id"):
        if hasattr(last, name):
            setattr(found, name, getattr(last, name))
    return found


def _reach_step(fault: str) -> str:
    if fault:
        return "mend the certificates, or name others."
    return "look whether the members run and have a leader, and whether they can be reached from this host."
