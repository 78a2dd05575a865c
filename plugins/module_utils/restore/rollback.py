# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rollback: the old data and the old configuration, as they were. Safe at any step."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Dict

from ..core.trees import any_is_dir, free_name, move_in, move_out, relocate, remove, retired_name
from ..core.values import to_plain
from ..host.holders import holders
from ..host.settings.edits import reload_units
from ..host.settings.files import restore_copy
from . import steps
from .values import Swap
from .work import STOP_TIMEOUT, Work


class Rollback:
    """The way back, from wherever the restore has come to."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def rollback(self, reason: str = "") -> bool:
        """Put the old data and configuration back; what the restore made stays beside it. Safe at any step."""
        self.work.journal.must_write = False  # no line is worth a member that stays down
        done = self.work.journal.steps()
        if not done or done[-1] == steps.ROLLED_BACK:
            return False
        if steps.STOPPING not in done:
            for swap in self.work.plan.swaps:
                shutil.rmtree(swap.staged, ignore_errors=True)
            self.work.journal.record(steps.ROLLED_BACK, reason=reason or "nothing had been stopped")
            return True
        self.work.journal.record(steps.ROLLING_BACK, reason=reason)
        moved = self._has_moved()
        if moved:
            self.work.service.stop(STOP_TIMEOUT)
            self.work.demand_vacant()
        for number, swap in enumerate(self.work.plan.swaps):
            self._swap_back(number, swap)
        self._restore_configuration()
        if self.work.plan.was_to_run and (moved or self._is_startable()):
            self.work.service.start()
        self.work.resume_controllers()
        self.work.journal.record(steps.ROLLED_BACK)
        return True

    def _has_moved(self) -> bool:
        """Whether any of the old data has left its place: where none has, a member that runs is the old one."""
        swaps = self.work.plan.swaps
        return any(
            self.work.has_swap(steps.SET_ASIDE, number) or os.path.lexists(swap.near) or os.path.lexists(swap.aside)
            for number, swap in enumerate(swaps)
        )

    def _is_startable(self) -> bool:
        """Not beside somebody else's process on the same data; systemd may be asked: it starts what it is about to stop."""
        in_use = holders([swap.live for swap in self.work.plan.swaps])
        is_units = self.work.plan.member.service.manager == "systemd" and self.work.service.state() == "running"
        return not in_use or is_units

    def _swap_back(self, number: int, swap: Swap) -> None:
        """Undo one swap. The journal says which of the two moves were made, so that none is made twice.

        Where it could not be written when they were made, the disk says it: then all of them were.
        """
        if self.work.has_swap("put_back", number):
            return
        if not steps.is_put_back(to_plain(swap)):
            self._move_back(number, swap)
        # A run that does not know of this rollback goes forward, and needs what was staged.
        unused = [] if self.work.journal.unwritten else [swap.staged]
        for leftover in (*unused, swap.near + ".part", swap.aside + ".part"):
            shutil.rmtree(leftover, ignore_errors=True)
        self.work.journal.record("put_back", swap=number)
        if self.work.journal.unwritten and self.work.has_swap(steps.SET_ASIDE, number):
            with contextlib.suppress(OSError):  # the disk says it instead, see is_put_back
                os.makedirs(retired_name(swap.near), mode=0o700, exist_ok=True)

    def _move_back(self, number: int, swap: Swap) -> None:
        # The entries of a mount point are told apart by the journal alone: old ones before SET_ASIDE, restored ones after.
        set_aside = self.work.has_swap(steps.SET_ASIDE, number)
        if set_aside or (swap.kind == "directory" and any_is_dir(swap.near, swap.aside)):
            self._retire_new(number, swap)
        if swap.aside != swap.near:
            relocate(swap.aside, swap.near)
        self._make_way(number, swap)
        move_in(swap.kind, swap.near, swap.live)

    def _make_way(self, number: int, swap: Swap) -> None:
        """What a boot has made of nothing, since the restored data has left its place, goes out of the way too."""
        is_due = os.path.isdir(swap.near) or not swap.existed
        if swap.kind == "directory" and is_due and self.work.has_swap("retired", number) and os.path.lexists(swap.live):
            os.rename(swap.live, free_name(swap.near + ".stray"))

    def _retire_new(self, number: int, swap: Swap) -> None:
        """Rename the restored data out of the way, once; it may hold writes that were made since."""
        if self.work.has_swap("retired", number):
            return
        near, retired = retired_name(swap.near), retired_name(swap.aside)
        if swap.kind == "contents" or not (os.path.lexists(near) or os.path.lexists(retired)):
            move_out(swap.kind, swap.live, near)
        if retired != near:
            relocate(near, retired)
        self.work.journal.record("retired", swap=number)

    def _restore_configuration(self) -> None:
        """The files as they were; a later entry of the journal for the same file is a copy of what was edited already."""
        edits = self.work.plan.config
        kept: Dict[int, str] = {}
        for entry in self.work.journal.entries():
            if entry.step == "kept":
                kept.setdefault(entry.more["edit"], entry.more["copy"])
        units = False
        for number, copy in kept.items():
            path = edits[number].current_path()
            changed = restore_copy(copy, path) if copy else remove(path)
            units |= changed and edits[number].format == "unit"
        if units:
            reload_units(self.work.run)
