# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove and finish: the restored cluster proves itself, or what serves now is judged, and the journal is closed."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Dict

from ..core.errors import EtcdError
from ..core.values import to_plain
from ..host.settings import edits as settings
from . import steps
from .proving import Found, Proving
from .proving import message as said_of
from .verdict import GIVEN_UP, GIVEN_UP_AFTER_A_FAILURE, INCOMPLETE, PROVEN, WRONG
from .watching import others_are_up, watch_start
from .work import STOP_TIMEOUT, Work


class Ending:
    """The restored member has been started: what of the cluster serves, and is it the planned one?"""

    def __init__(self, work: Work, proving: Proving) -> None:
        self.work = work
        self.proving = proving

    def prove(self, timeout: float) -> Dict[str, Any]:
        """Wait until the restored cluster has proven itself, at most ``timeout`` seconds; EtcdError where it has not.

        Either way it is told: ``{"verdict", "thorough", "missing", "proven": whether this member is, whatever the others}``.
        """
        deadline = time.monotonic() + timeout
        if self.work.service.state() in ("stopped", "failed"):
            self.work.service.start()  # it did not stay up when it was started; a second failure is for its log to explain
        # To look at all members takes processor time from those that start: first this one, which costs little.
        self.work.progress.say("waiting until the member serves")
        watch_start(
            self.work,
            lambda waited: time.monotonic() < deadline and (waited < GIVEN_UP or others_are_up(self.work)),
        )
        told = self._judge(deadline, GIVEN_UP)
        if told["verdict"] != PROVEN:
            message, next_step = told.pop("said")
            raise EtcdError(message, next_step, **told)
        return told

    def judge(self, timeout: float) -> Dict[str, Any]:
        """What serves now, where a phase has failed on some host: as ``prove`` tells it, but nothing is started.

        Empty where this member was not started with the restored data, or the way leads back already.
        """
        if not self.work.journal.has(steps.STARTED) or self.work.journal.goes_back():
            return {}
        told = self._judge(time.monotonic() + timeout, GIVEN_UP_AFTER_A_FAILURE)
        told.pop("said", None)
        return told

    def _judge(self, deadline: float, hope: float) -> Dict[str, Any]:
        """Seek the proof; what is wrong is stopped here at once, and what is only incomplete proves those that are there."""
        settled = bool(self.work.plan.settled)
        found = self.proving.seek(deadline, judges=True, hope=hope)
        proven = found.verdict == PROVEN
        if found.verdict == INCOMPLETE and self.work.plan.member.name not in found.missing:
            self.work.journal.record(steps.PROVEN, checks=to_plain(found.checks), missing=found.missing)
            proven = True
        if found.verdict == WRONG and not (settled and self.work.journal.has(steps.PROVEN)):
            self._stop_what_is_wrong(found, settled)
        stays = settled and not proven
        told = {"verdict": INCOMPLETE if stays else found.verdict, "thorough": found.thorough, "missing": found.missing}
        return {**told, "proven": proven, "said": said_of(found, settled)}

    def _stop_what_is_wrong(self, found: Found, settled: bool) -> None:
        """No client is to read it a second longer. That it is stopped is seen to once more by the rollback."""
        if not settled:
            self.work.journal.record(steps.WRONG, checks=to_plain(found.checks))
        with contextlib.suppress(EtcdError):
            self.work.service.stop(STOP_TIMEOUT)

    def finish(self) -> bool:
        """Flip ``new`` to ``existing``, so that a disk wiped later cannot boot a second cluster, and close the journal."""
        self.work.need(steps.PROVEN)
        edits = [edit.with_value("initial-cluster-state", "existing") for edit in self.work.plan.config]
        edited = bool(settings.apply_edits(edits, "", "", self.work.run))
        self.work.resume_controllers()
        if not self.work.journal.is_open():
            return edited  # and where a run that goes on for others has proven it once more, it is closed once more
        self.work.journal.record(steps.FINISHED)
        return True
