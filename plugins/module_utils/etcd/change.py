# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arithmetic of a changing membership: what a change leaves of the quorum, by its worst end, and in words.

Pure functions of three numbers. ``healthy`` are the voters that have answered a linearizable probe themselves; a voter that
is added counts as dead, since nobody knows whether it will ever start.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.text import counted
from .quorum import Quorum, has_quorum


@dataclass(frozen=True)
class Change:
    """A change of the membership: the quorum before and after it, and what it does (``removing m2``)."""

    before: Quorum
    after: Quorum
    does: str

    def __post_init__(self) -> None:
        # Numbers that cannot be are a programming error, and ValueError before anybody goes by them.
        for quorum in (self.before, self.after):
            has_quorum(quorum.voters, quorum.healthy)

    @property
    def keeps_quorum(self) -> bool:
        return self.after.held

    @property
    def ends_redundancy(self) -> bool:
        """It makes a cluster of one member, which none can replace."""
        return self.after.voters == 1 and self.before.voters > 1

    @property
    def left(self) -> str:
        """Healthy voters of all voters afterwards: ``1 of 2``. An operator who forces the change repeats it."""
        return f"{self.after.healthy} of {self.after.voters}"

    @property
    def words(self) -> str:
        """``3 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 2, quorum 2``"""
        before = f"{counted(self.before.voters, 'voter')}, {self.before.healthy} healthy, quorum {self.before.size}"
        return f"{before}: {self.does} leaves {self.left}, quorum {self.after.size}"


def after_removal(voters: int, healthy: int, removed_is_healthy: bool, name: str = "a voter") -> Change:
    """A voter goes. It must be one: a learner has no part in this."""
    after = Quorum(voters - 1, healthy - (1 if removed_is_healthy else 0))
    return Change(Quorum(voters, healthy), after, f"removing {name}")


def after_add(voters: int, healthy: int, name: str = "a voter") -> Change:
    """A voter comes, and never starts."""
    return Change(Quorum(voters, healthy), Quorum(voters + 1, healthy), f"adding {name}")


def after_promotion(voters: int, healthy: int, proven: bool, name: str = "a learner") -> Change:
    """A learner becomes a voter. ``proven``: it answers by itself, and has what the leader has."""
    after = Quorum(voters + 1, healthy + (1 if proven else 0))
    return Change(Quorum(voters, healthy), after, f"promoting {name}")
