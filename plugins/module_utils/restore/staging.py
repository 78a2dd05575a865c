# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Claim and stage: the snapshot is verified and restored beside the old data, while the old cluster still serves."""

from __future__ import annotations

import contextlib
import os
import shutil

from ..core.errors import EtcdError
from ..core.progress import read_so_far
from ..core.trees import remove
from ..core.values import to_plain
from ..host.settings.files import backup_copy
from ..host.tools import keep_tools, tools_of
from ..snapshot import verify
from . import steps
from .proof import check_silent
from .restoring import Restoring
from .work import Work


class Stage:
    """What can be done before anything is stopped."""

    def __init__(self, work: Work, restoring: Restoring) -> None:
        self.work = work
        self.restoring = restoring

    def claim(self) -> bool:
        """Begin the journal, by which every other run sees whose the member is. True where it was not begun yet."""
        if self.work.journal.plan():
            return False
        self._discard_unused_stage()
        self.work.journal.open(to_plain(self.work.plan))
        return True

    def stage(self) -> bool:
        """Verify the bytes and restore them beside the live data, or, the slow way, only verify. True when something was done."""
        self.work.forbid_after_rollback()
        self.work.service.demand_responsive()
        if self.work.journal.has(steps.STAGED):
            return False
        self.claim()
        if not self._tool_verifies():
            self._verify_snapshot()
        self._keep_configuration()
        self._keep_tools()
        if self.work.plan.reports:  # one for all
            check_silent(self.work.plan.of, self.work.run, self.work.tools, self.work.connection)
        if not self.work.plan.slow:
            self._restore_from_planned()
        self.work.journal.record(steps.STAGED)
        return True

    def _discard_unused_stage(self) -> None:
        """An earlier restore that was staged and never used holds nothing that its snapshot does not.

        One that is at work on the old data has begun after this one was planned: the plan is of what is no more.
        """
        earlier = steps.latest(self.work.plan.member.state_dir, self.work.plan.member.data_dir)
        if earlier is None or earlier.folder == self.work.journal.folder:
            return
        if earlier.has(steps.STOPPING):
            if earlier.is_open():
                raise EtcdError(
                    f"the restore {os.path.basename(earlier.folder)} has begun to stop this member since this one was"
                    " planned.",
                    "nothing was stopped by this run; run again, and the other one is completed.",
                )
            return
        if not earlier.has(steps.ROLLED_BACK):
            for swap in (earlier.plan() or {}).get("swaps") or ():
                shutil.rmtree(swap["staged"], ignore_errors=True)
            earlier.record(steps.ROLLED_BACK, reason="never used")

    def _keep_configuration(self) -> None:
        """Copies of the files that will be edited, made before anything is, so that a rollback is exact to the byte."""
        for number, edit in enumerate(self.work.plan.config):
            path = edit.current_path()
            copy = backup_copy(path, self.work.journal.config_folder, str(number)) if os.path.exists(path) else ""
            self.work.journal.record("kept", edit=number, copy=copy)

    def _keep_tools(self) -> None:
        member = self.work.plan.member
        keep_tools(tools_of(member.tools), member.state_dir, self.work.run, member.service.image)

    def _tool_verifies(self) -> bool:
        """Whether the file need not be read here, since etcd's tool does that before anything is stopped.

        The tool compares what it has restored with the SHA-256 at the file's end, and refuses what does not match. Where
        that SHA-256 is the planned one, so is all that it speaks of.
        """
        wanted = self.work.plan.snapshot
        if self.work.plan.slow or not wanted.trailer:
            return False
        with contextlib.suppress(OSError, EtcdError):  # to read it to its end will say what is wrong
            return verify.trailer(wanted.path) == wanted.trailer
        return False

    def _verify_snapshot(self) -> None:
        """The very bytes that were planned, also on this host: members from different bytes form a broken cluster."""
        wanted = self.work.plan.snapshot
        path = wanted.path
        with self.work.progress.growing("verifying the snapshot", wanted.size, lambda: read_so_far(path)):
            verdict = verify.verify(path)
        if verdict.sha256 != wanted.sha256:
            if wanted.transfer:
                remove(wanted.path)  # our own copy: the next run brings it anew
            raise EtcdError(
                f"{wanted.path} on this host is not the snapshot that was planned (SHA-256 {verdict.sha256[:16] or '-'}…"
                f" instead of {wanted.sha256[:16]}…).",
                "nothing was stopped; remove that file and run again.",
            )

    def _restore_from_planned(self) -> None:
        try:
            self.restoring.restore()
        except EtcdError:
            self._verify_snapshot()  # where the bytes are to blame, this says it better
            raise
        self.restoring.drop_snapshot()
