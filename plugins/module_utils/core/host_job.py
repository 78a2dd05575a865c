# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a job on one host, as a module does them: a phase a task, by this host's part of the plan."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Sequence

from .errors import EtcdError
from .journal import Journal, exclusive
from .progress import Progress
from .values import to_plain


class Phase(NamedTuple):
    """What a host is told to do. ``timeout``: seconds that it may wait; ``reason``: why it goes back, for the journal."""

    name: str
    timeout: float = 120.0
    reason: str = ""


class HostJob:
    """A job sets ``PHASES``, those of them that only look in ``LOOKS``, and does them in ``do``."""

    PHASES: Sequence[str] = ()
    LOOKS: Sequence[str] = ()

    def __init__(self, plan: Mapping[str, Any], journal: Journal, progress: Progress) -> None:
        self.plan = plan
        self.journal = journal
        self.progress = progress

    def do(self, phase: Phase) -> Dict[str, Any]:
        """Do what is not done yet of the phase: ``{"changed": bool, ...}`` with what the module answers besides."""
        raise NotImplementedError

    def answer(self, phase: Phase, check: bool) -> Dict[str, Any]:
        """The module's whole answer; with ``check`` nothing is done. EtcdError has the journal so far."""
        state_dir = self.plan["member"]["state_dir"]
        try:
            if check:
                return {"changed": phase.name not in self.LOOKS, "journal": to_plain(self.journal.entries())}
            with exclusive(state_dir), self.progress.shown():
                return {**self.do(phase), "journal": to_plain(self.journal.entries())}
        except OSError as error:
            raise EtcdError(
                f"{error.filename or state_dir}: {error.strerror or error}.",
                "see that it is there, can be written and has room, and run again.",
                journal=to_plain(self.journal.entries()),
            ) from error
        except EtcdError as error:
            error.context["journal"] = to_plain(self.journal.entries())
            raise
