# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quorum arithmetic: how many voters a cluster needs, and how many it can still lose. Learners never count.

``healthy`` is the number of voters that take part in it: a voter with an alarm still votes.
"""

from __future__ import annotations

from typing import NamedTuple

# What a member does: it answers; it runs and gives no answer; nobody opens; the cluster knows it, and it has never run.
SERVES, UNASKABLE, DOWN, UNSTARTED = "serves", "unaskable", "down", "unstarted"


class Quorum(NamedTuple):
    """What a cluster of ``voters``, of which ``healthy`` work, can do. All numbers are counts of members."""

    voters: int
    healthy: int

    @property
    def size(self) -> int:
        return quorum_size(self.voters)

    @property
    def held(self) -> bool:
        return has_quorum(self.voters, self.healthy)

    @property
    def may_fail(self) -> int:
        return may_fail(self.voters, self.healthy)

    @property
    def sentence(self) -> str:
        return sentence(self.voters, self.healthy)


def quorum_size(voters: int) -> int:
    """The least number of voters that is more than half of them: 2 of 3, 3 of 4, 3 of 5. A cluster without voters has 0."""
    _check(voters, 0)
    return voters // 2 + 1 if voters else 0


def has_quorum(voters: int, healthy: int) -> bool:
    """Whether ``healthy`` of ``voters`` can elect a leader and commit writes."""
    _check(voters, healthy)
    return voters > 0 and healthy >= quorum_size(voters)


def may_fail(voters: int, healthy: int) -> int:
    """How many more of the healthy voters may fail before writes stop; 0 too where they have stopped already."""
    _check(voters, healthy)
    return max(0, healthy - quorum_size(voters))


def sentence(voters: int, healthy: int) -> str:
    """The same for people, such as ``2 of 3 voters are up, 2 are needed: no further member may fail.``"""
    _check(voters, healthy)
    if not voters:
        return "The cluster has no voters that are known."
    start = f"{healthy} of {voters} {_plural(voters, 'voter')} {'is' if healthy == 1 else 'are'} up"
    needed = f"{quorum_size(voters)} {'is' if quorum_size(voters) == 1 else 'are'} needed"
    if not has_quorum(voters, healthy):
        return f"{start}, {needed}: there is no quorum, so nothing can be written."
    spare = may_fail(voters, healthy)
    if not spare:
        return f"{start}, {needed}: no further member may fail."
    return f"{start}, {needed}: {spare} more may fail."


def _plural(count: int, word: str) -> str:
    return word if count == 1 else word + "s"


def _check(voters: int, healthy: int) -> None:
    # A programming error, never an operator's: it may be a traceback.
    if not 0 <= healthy <= voters:
        raise ValueError(f"{healthy} healthy of {voters} voters is impossible")
