# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a restore on one host: stage, stop, cutover, prove, finish, rollback.

Each follows this host's part of the plan, records its steps in the journal, and does again only what is not done yet.
Nothing of the old cluster is deleted: what is in the way is renamed and stays beside the new data, or, where the operator
named a folder on another file system because there is no room for both (``slow``), it is moved there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ..core import journal as steps
from ..core.errors import EtcdError
from ..core.journal import Journal
from ..core.progress import Progress, read_so_far, tree_size
from ..core.trees import (
    Staging,
    any_is_dir,
    free_name,
    move_in,
    move_out,
    relocate,
    remove,
    retired_name,
    size_of_part,
)
from ..core.values import to_plain
from ..etcd import database
from ..etcd.cluster import observe
from ..etcd.commands import Command, Connection, Run, run_checked
from ..etcd.view import ClusterView
from ..host import service
from ..host.holders import demand_vacant, holders
from ..host.kubernetes import Controllers
from ..host.settings import edits as settings
from ..host.tools import keep_tools, kept_tools, tools_from_dict
from ..snapshot import verify
from .proof import Check, check_silent, prove
from .proving import Found, Proving, pause
from .proving import message as said_of
from .verdict import GIVEN_UP, GIVEN_UP_AFTER_A_FAILURE, INCOMPLETE, PROVEN, WRONG

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
STOP_TIMEOUT = 60.0


class Restore:
    """One host's restore. ``connection`` has the credentials and TLS files to ask the cluster with."""

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        self.plan = plan
        self.run = run
        self.connection = connection
        self.tools = kept_tools(tools_from_dict(plan["member"]["tools"]), plan["member"]["state_dir"])
        self.journal = Journal(plan["member"]["state_dir"], plan["restore_id"])
        self.progress = Progress(os.path.join(plan["member"]["state_dir"], "progress"))
        self.service = service.manager(plan["member"], run)
        self.proving = Proving(plan, self.journal, self.progress, self._check, is_open)
        self.controllers = Controllers(plan.get("controllers") or [])  # a journal of an earlier version names none

    # ---- stage: restore beside the old data, while the old cluster still serves ----

    def claim(self) -> bool:
        """Begin the journal, by which every other run sees whose the member is. True where it was not begun yet."""
        if self.journal.plan():
            return False
        self._discard_unused_stage()
        self.journal.open(dict(self.plan))
        return True

    def stage(self) -> bool:
        """Verify the bytes and restore them beside the live data, or, the slow way, only verify. True when something was done."""
        self._forbid_after_rollback()
        self.service.demand_responsive()
        if self.journal.has(steps.STAGED):
            return False
        self.claim()
        if not self._tool_verifies():
            self._verify_snapshot()
        self._keep_configuration()
        self._keep_tools()
        if self.plan["reports"]:  # one for all
            check_silent(self.plan["of"], self.run, self.tools, self.connection)
        if not self.plan["slow"]:
            self._restore_from_planned()
        self.journal.record(steps.STAGED)
        return True

    def _keep_tools(self) -> None:
        member = self.plan["member"]
        keep_tools(tools_from_dict(member["tools"]), member["state_dir"], self.run, member["service"].get("image", ""))

    def _tool_verifies(self) -> bool:
        """Whether the file need not be read here, since etcd's tool does that before anything is stopped.

        The tool compares what it has restored with the SHA-256 at the file's end, and refuses what does not match. Where
        that SHA-256 is the planned one, so is all that it speaks of.
        """
        wanted = self.plan["snapshot"]
        if self.plan["slow"] or not wanted.get("trailer"):
            return False
        with contextlib.suppress(OSError, EtcdError):  # to read it to its end will say what is wrong
            return verify.trailer(wanted["path"]) == wanted["trailer"]
        return False

    def _restore_from_planned(self) -> None:
        try:
            self._restore_data()
        except EtcdError:
            self._verify_snapshot()  # where the bytes are to blame, this says it better
            raise
        self._drop_snapshot()

    def _verify_snapshot(self) -> None:
        """The very bytes that were planned, also on this host: members from different bytes form a broken cluster."""
        wanted = self.plan["snapshot"]
        path = wanted["path"]
        with self.progress.growing("verifying the snapshot", int(wanted["size"]), lambda: read_so_far(path)):
            verdict = verify.verify(path)
        if verdict.sha256 != wanted["sha256"]:
            if wanted["transfer"]:
                remove(wanted["path"])  # our own copy: the next run brings it anew
            raise EtcdError(
                f"{wanted['path']} on this host is not the snapshot that was planned (SHA-256 {verdict.sha256[:16] or '-'}…"
                f" instead of {wanted['sha256'][:16]}…).",
                "nothing was stopped; remove that file and run again.",
            )

    def _restore_data(self) -> None:
        """Restore into the staged directories, and flush them: what is renamed later must be on the disk by then."""
        staged = [swap["staged"] for swap in self.plan["swaps"]]
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
        command = Command(_made_in(stagings, self.plan["restore"]["argv"]), self.plan["restore"]["env"])
        with self.progress.growing("restoring", int(self.plan["snapshot"]["size"]), lambda: tree_size(snap)):
            run_checked(self.run, command, "see the message of etcd's tool; the old data was not touched.")
        self._check_revision(os.path.join(snap, "db"))
        self.progress.say("flushing the restored data to the disk")
        for staging in stagings:
            staging.lift()
            staging.give_to(self.plan["owner"])

    def _check_revision(self, path: str) -> None:
        """The exact revision, before anything is stopped: once clients write, only "at least" can be proven."""
        planned = int(self.plan["of"]["revision"])
        restored = database.describe(path).revision
        if restored != planned:
            raise EtcdError(
                f"the restored data has revision {restored}, and {planned} was planned.",
                "the old data was not touched; check the snapshot and the version of etcd's tools.",
            )

    def _drop_snapshot(self) -> None:
        """Nothing reads the snapshot any more: our own copy goes, another's leaves the memory to the restored data."""
        path = self.plan["snapshot"]["path"]
        if self.plan["snapshot"]["transfer"]:
            remove(path)
            return
        with contextlib.suppress(OSError, AttributeError):
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    def _discard_unused_stage(self) -> None:
        """An earlier restore that was staged and never used holds nothing that its snapshot does not.

        One that is at work on the old data has begun after this one was planned: the plan is of what is no more.
        """
        earlier = steps.latest(self.plan["member"]["state_dir"], self.plan["member"]["data_dir"])
        if earlier is None or earlier.folder == self.journal.folder:
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
        for number, edit in enumerate(self._edits()):
            path = edit.current_path()
            copy = settings.backup_copy(path, self.journal.config_folder, str(number)) if os.path.exists(path) else ""
            self.journal.record("kept", edit=number, copy=copy)

    def _edits(self) -> List[settings.Edit]:
        return [settings.Edit.from_dict(edit) for edit in self.plan["config"]]

    # ---- stop: every member, followers before the leader ----

    def stop(self) -> bool:
        """Stop the member; the leader waits for the others. If all others are seen to have stopped, go on: cut over, and,
        once the member says itself that it serves, prove. What is not reached here the next phases do, after their barriers.
        """
        self._need(steps.STAGED)
        if self.journal.has(steps.SWAPPED):
            return False  # a run that goes on after a kill: what runs here is the restored member already
        if self.journal.has(steps.STOPPED) and self.service.state() != "running":
            return False
        self.journal.record(steps.STOPPING)
        self._pause_controllers()
        with Closing(self.plan["others"]) as others:
            if self.plan["leads"]:
                others.wait(FOLLOWERS_WAIT)
            self.service.stop(STOP_TIMEOUT)
            self.journal.record(steps.STOPPED)
            if not self.plan["slow"] and others.wait(OTHERS_WAIT):
                self.cutover()
                if self._wait_until_up():
                    self.proving.seek(time.monotonic() + PROOF_WAIT, judges=False)
        return True

    def _pause_controllers(self) -> None:
        """Before this host's own member stops: when the first restored one starts, all have stopped, and so have these."""
        if self.controllers.pods:
            self.progress.say("stopping the controllers of Kubernetes")
            self.journal.record(steps.PAUSED, controllers=[pod["name"] for pod in self.controllers.pods])
            self.controllers.pause()

    def _resume_controllers(self) -> None:
        """Only what this restore took away; what somebody had stopped before stays so."""
        if self.journal.has(steps.PAUSED) and self.controllers.resume():
            self.journal.record(steps.RESUMED)

    def _wait_until_up(self) -> bool:
        def is_awaited(waited: float) -> bool:
            return waited < UP_WAIT and (waited < UP_TOGETHER or self._others_are_up())

        return self._watch_start(is_awaited)

    def _watch_start(self, is_awaited: Callable[[float], bool]) -> bool:
        """Look at the member while it starts, as long as it is awaited after so many seconds. True when it says it serves."""
        began, was_down = time.monotonic(), False
        while (ascent := self.service.ascent()) == "starting" and is_awaited(time.monotonic() - began):
            was_down = True
            pause(began)
        if was_down and ascent == "serving":
            self._once(steps.SERVING)  # it said so itself, which it does when there is a leader
        return ascent == "serving"

    # ---- cutover: configuration, old data aside, new data in place, start ----

    def cutover(self) -> bool:
        """Write the configuration, swap by rename, start without waiting. All members must have stopped before.

        The configuration comes first, since a host may boot in the middle of the swap: a member that finds no data must
        not join the old cluster, where it has voted and acknowledged writes. With ``new`` and the fresh token the two
        refuse each other, and a member that still finds its old data heeds neither. (A static pod, which is given
        ``existing``, cannot start before its manifest is back.)
        """
        self._need(steps.STOPPED)
        if self.journal.has(steps.STARTED) and self.service.state() == "running":
            return False
        settings.apply_edits(self._edits(), "", "", self.run)
        self.journal.record(steps.CONFIGURED)
        if not self.journal.has(steps.SWAPPED):
            self._demand_vacant()
            for number, swap in enumerate(self.plan["swaps"]):
                self._set_aside(number, swap)
            if self.plan["slow"] and not self.journal.has(steps.RESTORED):
                self._restore_data()
                self._drop_snapshot()
                self.journal.record(steps.RESTORED)
            for swap in self.plan["swaps"]:
                move_in(swap["kind"], swap["staged"], swap["live"])
            self.journal.record(steps.SWAPPED)
        self.service.start()
        self.journal.record(steps.STARTED)
        return True

    def _demand_vacant(self) -> None:
        """Stopped is seen, and not believed: whoever uses the data, by whatever name, would write into what is renamed."""
        demand_vacant(
            [folder for swap in self.plan["swaps"] for folder in (swap["live"], swap["near"])],
            "see to it that nothing starts it (another unit, a watchdog, by hand), or, where its unit has another name, set"
            " etcd_service_name; then run again.",
        )

    def _set_aside(self, number: int, swap: Mapping[str, Any]) -> None:
        """Move the old data out of the way, once. What a reboot made of nothing since then is kept, out of the way too."""
        elsewhere = swap["aside"] != swap["near"]
        is_out = (elsewhere and os.path.isdir(swap["aside"])) or (
            swap["kind"] == "directory" and os.path.isdir(swap["near"])
        )
        if not self._has_swap(steps.SET_ASIDE, number) and not is_out:
            if not self.plan["slow"] and not os.path.isdir(swap["staged"]):
                raise EtcdError(
                    f"the staged data {swap['staged']} has vanished.", "run again with -e etcd_restore_rollback=true."
                )
            move_out(swap["kind"], swap["live"], swap["near"])
        elif swap["kind"] == "directory" and self._is_not_in(swap) and os.path.lexists(swap["live"]):
            os.rename(swap["live"], free_name(swap["near"] + ".stray"))
        if elsewhere:
            with self.progress.growing("moving the old data", tree_size(swap["near"]), size_of_part(swap["aside"])):
                relocate(swap["near"], swap["aside"])
        self.journal.record(steps.SET_ASIDE, swap=number)

    def _is_not_in(self, swap: Mapping[str, Any]) -> bool:
        """Whether the restored data is not yet in its place."""
        return os.path.isdir(swap["staged"]) or (self.plan["slow"] and not self.journal.has(steps.RESTORED))

    def _has_swap(self, step: str, number: int) -> bool:
        return any(entry["step"] == step and entry.get("swap") == number for entry in self.journal.entries())

    # ---- prove, then finish ----

    def prove(self, timeout: float) -> Dict[str, Any]:
        """Wait until the restored cluster has proven itself, at most ``timeout`` seconds; EtcdError where it has not.

        Either way it is told: ``{"verdict", "thorough", "missing", "proven": whether this member is, whatever the others}``.
        """
        deadline = time.monotonic() + timeout
        if self.service.state() in ("stopped", "failed"):
            self.service.start()  # it did not stay up when it was started; a second failure is for its log to explain
        # To look at all members takes processor time from those that start: first this one, which costs little.
        self.progress.say("waiting until the member serves")
        self._watch_start(lambda waited: time.monotonic() < deadline and (waited < GIVEN_UP or self._others_are_up()))
        told = self._judge(deadline, GIVEN_UP)
        if told["verdict"] != PROVEN:
            message, next_step = told.pop("said")
            raise EtcdError(message, next_step, **told)
        return told

    def judge(self, timeout: float) -> Dict[str, Any]:
        """What serves now, where a phase has failed on some host: as ``prove`` tells it, but nothing is started.

        Empty where this member was not started with the restored data, or the way leads back already.
        """
        if not self.journal.has(steps.STARTED) or self.journal.goes_back():
            return {}
        told = self._judge(time.monotonic() + timeout, GIVEN_UP_AFTER_A_FAILURE)
        told.pop("said", None)
        return told

    def _judge(self, deadline: float, hope: float) -> Dict[str, Any]:
        """Seek the proof; what is wrong is stopped here at once, and what is only incomplete proves those that are there."""
        settled = bool(self.plan.get("settled"))  # the journal of an earlier version does not say
        found = self.proving.seek(deadline, judges=True, hope=hope)
        proven = found.verdict == PROVEN
        if found.verdict == INCOMPLETE and self.plan["member"]["name"] not in found.missing:
            self.journal.record(steps.PROVEN, checks=to_plain(found.checks), missing=found.missing)
            proven = True
        if found.verdict == WRONG and not (settled and self.journal.has(steps.PROVEN)):
            self._stop_what_is_wrong(found, settled)
        stays = settled and not proven
        told = {"verdict": INCOMPLETE if stays else found.verdict, "thorough": found.thorough, "missing": found.missing}
        return {**told, "proven": proven, "said": said_of(found, settled)}

    def _stop_what_is_wrong(self, found: Found, settled: bool) -> None:
        """No client is to read it a second longer. That it is stopped is seen to once more by the rollback."""
        if not settled:
            self.journal.record(steps.WRONG, checks=to_plain(found.checks))
        with contextlib.suppress(EtcdError):
            self.service.stop(STOP_TIMEOUT)

    def _others_are_up(self) -> bool:
        return all(is_open(url) for url in self.plan["others"])

    def _once(self, step: str) -> None:
        if not self.journal.has(step):
            self.journal.record(step)

    def _check(self, thorough: bool) -> Tuple[ClusterView, List[Check]]:
        view = observe(self.run, self.tools, self.connection, hash_check=thorough)
        return view, prove(self.plan["of"], view, self.run, self.tools, self.connection, thorough)

    def finish(self) -> bool:
        """Flip ``new`` to ``existing``, so that a disk wiped later cannot boot a second cluster, and close the journal."""
        self._need(steps.PROVEN)
        edits = [edit.with_value("initial-cluster-state", "existing") for edit in self._edits()]
        edited = bool(settings.apply_edits(edits, "", "", self.run))
        self._resume_controllers()
        if not self.journal.is_open():
            return edited  # and where a run that goes on for others has proven it once more, it is closed once more
        self.journal.record(steps.FINISHED)
        return True

    # ---- rollback: the old data, the old configuration, as it was ----

    def rollback(self, reason: str = "") -> bool:
        """Put the old data and configuration back; what the restore made stays beside it. Safe at any step."""
        self.journal.must_write = False  # no line is worth a member that stays down
        done = self.journal.steps()
        if not done or done[-1] == steps.ROLLED_BACK:
            return False
        if steps.STOPPING not in done:
            for swap in self.plan["swaps"]:
                shutil.rmtree(swap["staged"], ignore_errors=True)
            self.journal.record(steps.ROLLED_BACK, reason=reason or "nothing had been stopped")
            return True
        self.journal.record(steps.ROLLING_BACK, reason=reason)
        moved = self._has_moved()
        if moved:
            self.service.stop(STOP_TIMEOUT)
            self._demand_vacant()
        for number, swap in enumerate(self.plan["swaps"]):
            self._swap_back(number, swap)
        self._restore_configuration()
        if self.plan["was_to_run"] and (moved or self._is_startable()):
            self.service.start()
        self._resume_controllers()
        self.journal.record(steps.ROLLED_BACK)
        return True

    def _has_moved(self) -> bool:
        """Whether any of the old data has left its place: where none has, a member that runs is the old one."""
        swaps = self.plan["swaps"]
        return any(
            self._has_swap(steps.SET_ASIDE, number) or os.path.lexists(swap["near"]) or os.path.lexists(swap["aside"])
            for number, swap in enumerate(swaps)
        )

    def _is_startable(self) -> bool:
        """Not beside somebody else's process on the same data; systemd may be asked: it starts what it is about to stop."""
        in_use = holders([swap["live"] for swap in self.plan["swaps"]])
        is_units = self.plan["member"]["service"]["manager"] == "systemd" and self.service.state() == "running"
        return not in_use or is_units

    def _swap_back(self, number: int, swap: Mapping[str, Any]) -> None:
        """Undo one swap. The journal says which of the two moves were made, so that none is made twice.

        Where it could not be written when they were made, the disk says it: then all of them were.
        """
        if self._has_swap("put_back", number):
            return
        if not steps.is_put_back(swap):
            self._move_back(number, swap)
        # A run that does not know of this rollback goes forward, and needs what was staged.
        unused = [] if self.journal.unwritten else [swap["staged"]]
        for leftover in (*unused, swap["near"] + ".part", swap["aside"] + ".part"):
            shutil.rmtree(leftover, ignore_errors=True)
        self.journal.record("put_back", swap=number)
        if self.journal.unwritten and self._has_swap(steps.SET_ASIDE, number):
            with contextlib.suppress(OSError):  # the disk says it instead, see is_put_back
                os.makedirs(retired_name(swap["near"]), mode=0o700, exist_ok=True)

    def _move_back(self, number: int, swap: Mapping[str, Any]) -> None:
        # The entries of a mount point are told apart by the journal alone: old ones before SET_ASIDE, restored ones after.
        set_aside = self._has_swap(steps.SET_ASIDE, number)
        if set_aside or (swap["kind"] == "directory" and any_is_dir(swap["near"], swap["aside"])):
            self._retire_new(number, swap)
        if swap["aside"] != swap["near"]:
            relocate(swap["aside"], swap["near"])
        self._make_way(number, swap)
        move_in(swap["kind"], swap["near"], swap["live"])

    def _make_way(self, number: int, swap: Mapping[str, Any]) -> None:
        """What a boot has made of nothing, since the restored data has left its place, goes out of the way too."""
        is_due = os.path.isdir(swap["near"]) or not swap["existed"]
        if (
            swap["kind"] == "directory"
            and is_due
            and self._has_swap("retired", number)
            and os.path.lexists(swap["live"])
        ):
            os.rename(swap["live"], free_name(swap["near"] + ".stray"))

    def _retire_new(self, number: int, swap: Mapping[str, Any]) -> None:
        """Rename the restored data out of the way, once; it may hold writes that were made since."""
        if self._has_swap("retired", number):
            return
        near, retired = retired_name(swap["near"]), retired_name(swap["aside"])
        if swap["kind"] == "contents" or not (os.path.lexists(near) or os.path.lexists(retired)):
            move_out(swap["kind"], swap["live"], near)
        if retired != near:
            relocate(near, retired)
        self.journal.record("retired", swap=number)

    def _restore_configuration(self) -> None:
        """The files as they were; a later entry of the journal for the same file is a copy of what was edited already."""
        edits = self._edits()
        kept: Dict[int, str] = {}
        for entry in self.journal.entries():
            if entry["step"] == "kept":
                kept.setdefault(entry["edit"], entry["copy"])
        units = False
        for number, copy in kept.items():
            path = edits[number].current_path()
            changed = settings.restore_copy(copy, path) if copy else remove(path)
            units |= changed and edits[number].format == "unit"
        if units:
            settings.reload_units(self.run)

    # ---- what must have happened before ----

    def _need(self, step: str) -> None:
        self._forbid_after_rollback()
        if not self.journal.has(step):
            raise EtcdError(
                f"the restore {self.plan['restore_id']} of {self.plan['member']['name']} is not at this point: '{step}' is"
                " not in its journal.",
                "run restore.yml, which does the phases in their order.",
            )

    def _forbid_after_rollback(self) -> None:
        """Old data may be in place again, or none at all: whatever the journal says of the steps before is over."""
        if self.journal.goes_back() or any(steps.is_put_back(swap) for swap in self.plan["swaps"]):
            raise EtcdError(
                f"the restore {self.plan['restore_id']} was rolled back, or was about to be.",
                "run restore.yml again: it ends the rollback, or makes a new plan.",
            )


class Closing:
    """Watches from now on which of these peer URLs have been seen closed: one that starts anew opens its own again.

    A context manager. What cannot be reached at all counts as closed. A member that is wrongly taken for stopped does no
    harm: with the fresh token the old and the new cluster refuse each other.
    """

    def __init__(self, urls: Sequence[str], connect: Optional[Callable[..., Any]] = None) -> None:
        self._open = list(urls)
        self._connect = connect or socket.create_connection
        self._over, self._all_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Closing:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()

    def wait(self, seconds: float) -> bool:
        """Whether all of them have been seen closed, at the latest after so many seconds."""
        return self._all_closed.wait(seconds)

    def _watch(self) -> None:
        while self._open and not self._over.is_set():
            self._open = [url for url in self._open if is_open(url, self._connect)]
            if self._open:
                self._over.wait(0.05)
        if not self._open:
            self._all_closed.set()


def is_open(url: str, connect: Callable[..., Any] = socket.create_connection) -> bool:
    """Whether somebody listens at a peer URL."""
    parts = urlsplit(url)
    try:
        connect((parts.hostname, parts.port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _made_in(stagings: Sequence[Staging], argv: Sequence[str]) -> List[str]:
    """The tool's command, with the way into each staging in the place of its path."""
    return [_by_the_way(stagings, word) for word in argv]


def _by_the_way(stagings: Sequence[Staging], word: str) -> str:
    option, equals, path = word.partition("=")
    for staging in stagings:
        if equals and (path + "/").startswith(staging.path.rstrip("/") + "/"):
            return f"{option}={staging.way}{path[len(staging.path.rstrip('/')) :]}"
    return word
