# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a snapshot becomes data: by etcd's own tool, into directories that nobody else can reach meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace
from typing import List, Sequence

from ..core.errors import EtcdError
from ..core.progress import tree_size
from ..core.trees import Staging, remove
from ..core.values import to_plain
from ..etcd import database
from ..etcd.commands import run_checked
from .work import Work


class Restoring:
    """The staged directories are filled before anything is stopped, or, the slow way, once the old data has moved away."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def restore(self) -> None:
        """Restore into the staged directories, and flush them: what is renamed later must be on the disk by then."""
        staged = [swap.staged for swap in self.work.plan.swaps]
        for folder in staged:
            shutil.rmtree(folder, ignore_errors=True)  # only ever our own half-made copy: the name has our id
        os.makedirs(os.path.dirname(staged[0]), mode=0o700, exist_ok=True)
        try:
            with contextlib.ExitStack() as held:
                self._fill([held.enter_context(Staging(folder)) for folder in staged])
        except (EtcdError, OSError):
            for folder in staged:
                shutil.rmtree(folder, ignore_errors=True)  # a full disk is full for the old cluster too
            raise

    def _fill(self, stagings: Sequence[Staging]) -> None:
        snap = os.path.join(
            stagings[0].way, "member", "snap"
        )  # without the WAL, which is made in its full size at once
        command = replace(self.work.plan.restore, argv=_made_in(stagings, self.work.plan.restore.argv))
        with self.work.progress.growing("restoring", self.work.plan.snapshot.size, lambda: tree_size(snap)):
            run_checked(self.work.run, command, "see the message of etcd's tool; the old data was not touched.")
        self._check_revision(os.path.join(snap, "db"))
        self.work.progress.say("flushing the restored data to the disk")
        for staging in stagings:
            staging.lift()
            staging.give_to(to_plain(self.work.plan.owner))

    def _check_revision(self, path: str) -> None:
        """The exact revision, before anything is stopped: once clients write, only "at least" can be proven."""
        planned = self.work.plan.of.revision
        restored = database.describe(path).revision
        if restored != planned:
            raise EtcdError(
                f"the restored data has revision {restored}, and {planned} was planned.",
                "the old data was not touched; check the snapshot and the version of etcd's tools.",
            )

    def drop_snapshot(self) -> None:
        """Nothing reads the snapshot any more: our own copy goes, another's leaves the memory to the restored data."""
        path = self.work.plan.snapshot.path
        if self.work.plan.snapshot.transfer:
            remove(path)
            return
        with contextlib.suppress(OSError, AttributeError):
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _made_in(stagings: Sequence[Staging], argv: Sequence[str]) -> List[str]:
    """The tool's command, with the way into each staging in the place of its path."""
    return [_by_the_way(stagings, word) for word in argv]


def _by_the_way(stagings: Sequence[Staging], word: str) -> str:
    option, equals, path = word.partition("=")
    for staging in stagings:
        if equals and (path + "/").startswith(staging.path.rstrip("/") + "/"):
            return f"{option}={staging.way}{path[len(staging.path.rstrip('/')) :]}"
    return word
