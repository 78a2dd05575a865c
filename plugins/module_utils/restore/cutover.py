# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stop and cutover: every member stops, followers before the leader, and the new data takes the place of the old."""

from __future__ import annotations

import os
import time

from ..core.errors import EtcdError
from ..core.progress import tree_size
from ..core.trees import free_name, move_in, move_out, relocate, size_of_part
from ..host.settings import edits as settings
from . import steps
from .proving import Proving
from .restoring import Restoring
from .values import Swap
from .watching import Closing, others_are_up, watch_start
from .work import STOP_TIMEOUT, Work

# Followers stop first, since a leader that stops together with them looks in vain for one to hand over to (up to 7 s).
FOLLOWERS_WAIT = 10.0
# Whoever sees that all others have stopped goes on at once, which spares the cluster the time between two tasks. Who does
# not see it (a run with fewer forks than hosts, a stop that hangs) leaves that to the next task, after its barrier.
OTHERS_WAIT = 3.0
# What comes next costs processor time on this host, which a member that reads its data has better use for: it is waited
# for, unless the others do not come up with it (a run with fewer forks than hosts).
UP_WAIT = 20.0
UP_TOGETHER = 1.0
# A member that serves goes on to the proof at once, which spares a task; what is not proven by then is the next task's.
PROOF_WAIT = 5.0


class Cutover:
    """The member stops, its old data goes aside, and it starts with the new."""

    def __init__(self, work: Work, restoring: Restoring, proving: Proving) -> None:
        self.work = work
        self.restoring = restoring
        self.proving = proving

    def stop(self) -> bool:
        """Stop the member; the leader waits for the others. If all others are seen to have stopped, go on: cut over, and,
        once the member says itself that it serves, prove. What is not reached here the next phases do, after their barriers.
        """
        self.work.need(steps.STAGED)
        if self.work.journal.has(steps.SWAPPED):
            return False  # a run that goes on after a kill: what runs here is the restored member already
        if self.work.journal.has(steps.STOPPED) and self.work.service.state() != "running":
            return False
        self.work.journal.record(steps.STOPPING)
        self._pause_controllers()
        with Closing(self.work.plan.others) as others:
            if self.work.plan.leads:
                others.wait(FOLLOWERS_WAIT)
            self.work.service.stop(STOP_TIMEOUT)
            self.work.journal.record(steps.STOPPED)
            if not self.work.plan.slow and others.wait(OTHERS_WAIT):
                self.cutover()
                if self._wait_until_up():
                    self.proving.seek(time.monotonic() + PROOF_WAIT, judges=False)
        return True

    def _pause_controllers(self) -> None:
        """Before this host's own member stops: when the first restored one starts, all have stopped, and so have these."""
        if self.work.controllers.pods:
            self.work.progress.say("stopping the controllers of Kubernetes")
            self.work.journal.record(steps.PAUSED, controllers=[pod.name for pod in self.work.controllers.pods])
            self.work.controllers.pause()

    def _wait_until_up(self) -> bool:
        def is_awaited(waited: float) -> bool:
            return waited < UP_WAIT and (waited < UP_TOGETHER or others_are_up(self.work))

        return watch_start(self.work, is_awaited)

    def cutover(self) -> bool:
        """Write the configuration, swap by rename, start without waiting. All members must have stopped before.

        The configuration comes first, since a host may boot in the middle of the swap: a member that finds no data must
        not join the old cluster, where it has voted and acknowledged writes. With ``new`` and the fresh token the two
        refuse each other, and a member that still finds its old data heeds neither. (A static pod, which is given
        ``existing``, cannot start before its manifest is back.)
        """
        self.work.need(steps.STOPPED)
        if self.work.journal.has(steps.STARTED) and self.work.service.state() == "running":
            return False
        settings.apply_edits(self.work.plan.config, "", "", self.work.run)
        self.work.journal.record(steps.CONFIGURED)
        if not self.work.journal.has(steps.SWAPPED):
            self.work.demand_vacant()
            for number, swap in enumerate(self.work.plan.swaps):
                self._set_aside(number, swap)
            if self.work.plan.slow and not self.work.journal.has(steps.RESTORED):
                self.restoring.restore()
                self.restoring.drop_snapshot()
                self.work.journal.record(steps.RESTORED)
            for swap in self.work.plan.swaps:
                move_in(swap.kind, swap.staged, swap.live)
            self.work.journal.record(steps.SWAPPED)
        self.work.service.start()
        self.work.journal.record(steps.STARTED)
        return True

    def _set_aside(self, number: int, swap: Swap) -> None:
        """Move the old data out of the way, once. What a reboot made of nothing since then is kept, out of the way too."""
        elsewhere = swap.aside != swap.near
        is_out = (elsewhere and os.path.isdir(swap.aside)) or (swap.kind == "directory" and os.path.isdir(swap.near))
        if not self.work.has_swap(steps.SET_ASIDE, number) and not is_out:
            if not self.work.plan.slow and not os.path.isdir(swap.staged):
                raise EtcdError(
                    f"the staged data {swap.staged} has vanished.", "run again with -e etcd_restore_rollback=true."
                )
            move_out(swap.kind, swap.live, swap.near)
        elif swap.kind == "directory" and self._is_not_in(swap) and os.path.lexists(swap.live):
            os.rename(swap.live, free_name(swap.near + ".stray"))
        if elsewhere:
            with self.work.progress.growing("moving the old data", tree_size(swap.near), size_of_part(swap.aside)):
                relocate(swap.near, swap.aside)
        self.work.journal.record(steps.SET_ASIDE, swap=number)

    def _is_not_in(self, swap: Swap) -> bool:
        """Whether the restored data is not yet in its place."""
        return os.path.isdir(swap.staged) or (self.work.plan.slow and not self.work.journal.has(steps.RESTORED))
