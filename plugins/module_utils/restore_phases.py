# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a restore on one host: stage, stop, cutover, prove, finish, rollback.

Each follows this host's part of the plan, records its steps in the journal, and does again only what is not done yet.
Nothing of the old cluster is deleted: what is in the way is renamed and stays beside the new data.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import time
from typing import Any, Callable, Dict, List, Mapping, Optional
from urllib.parse import urlsplit

from . import journal as steps
from . import service, settings, snapshots
from .cluster import observe
from .commands import Command, Connection, Run, run_checked
from .discovery import keep_tools, kept_tools, tools_from_dict
from .errors import EtcdError
from .journal import Journal, sync_folder
from .proof import failures, prove

# Followers stop first, since a leader that stops together with them looks in vain for one to hand over to (up to 7 s).
FOLLOWERS_WAIT = 10.0
STOP_TIMEOUT = 60.0


class Restore:
    """One host's restore. ``connection`` has the credentials and TLS files to ask the cluster with."""

    def __init__(self, plan: Mapping[str, Any], run: Run, connection: Connection) -> None:
        self.plan = plan
        self.run = run
        self.connection = connection
        self.tools = kept_tools(tools_from_dict(plan["member"]["tools"]), plan["member"]["state_dir"])
        self.journal = Journal(plan["member"]["state_dir"], plan["restore_id"])
        self.service = service.manager(plan["member"], run)

    # ---- stage: restore beside the old data, while the old cluster still serves ----

    def stage(self) -> bool:
        """Verify the bytes and restore them beside the live data. True when something was done."""
        self._forbid(steps.ROLLED_BACK, "was rolled back", "run restore.yml again for a new one")
        if self.journal.has(steps.STAGED):
            return False
        self._discard_unused_stage()
        self.journal.open(dict(self.plan))
        self._verify_snapshot()
        for swap in self.plan["swaps"]:
            shutil.rmtree(swap["staged"], ignore_errors=True)  # only ever our own half-made copy: the name has our id
        data = self.plan["swaps"][0]["staged"]
        os.makedirs(os.path.dirname(data), mode=0o700, exist_ok=True)
        run_checked(
            self.run,
            Command(self.plan["restore"]["argv"], self.plan["restore"]["env"]),
            "see the message of etcd's tool",
        )
        for swap in self.plan["swaps"]:
            _give_to(swap["staged"], self.plan["owner"])
            sync_tree(swap["staged"])
        self._keep_configuration()
        self.tools = keep_tools(self.tools, self.plan["member"]["state_dir"])
        self.journal.record(steps.STAGED)
        return True

    def _verify_snapshot(self) -> None:
        """The very bytes that were planned, also on this host: members from different bytes form a broken cluster."""
        wanted = self.plan["snapshot"]
        verdict = snapshots.verify(wanted["path"])
        if verdict.sha256 != wanted["sha256"]:
            raise EtcdError(
                f"{wanted['path']} on this host is not the snapshot that was planned (SHA-256 {verdict.sha256[:16] or '-'}…"
                f" instead of {wanted['sha256'][:16]}…).",
                "nothing was stopped; remove that file and run again.",
            )

    def _discard_unused_stage(self) -> None:
        """An earlier restore that was staged and never used holds nothing that its snapshot does not."""
        earlier = steps.latest(self.plan["member"]["state_dir"])
        if earlier is None or earlier.folder == self.journal.folder or earlier.has(steps.STOPPING):
            return
        if not earlier.has(steps.ROLLED_BACK):
            for swap in earlier.plan()["swaps"]:
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
        self._need(steps.STAGED)
        if self.journal.has(steps.SWAPPED):
            return False  # a run that goes on after a kill: what runs here is the restored member already
        if self.journal.has(steps.STOPPED) and self.service.state() != "running":
            return False
        self.journal.record(steps.STOPPING)
        wait_until_closed(self.plan["stop_after"], FOLLOWERS_WAIT)
        self.service.stop(STOP_TIMEOUT)
        self.journal.record(steps.STOPPED)
        return True

    # ---- cutover: old data aside, new data in place, configuration, start ----

    def cutover(self) -> bool:
        """Swap by rename, write ``new`` and the token, start without waiting. All members must have stopped before."""
        self._need(steps.STOPPED)
        if self.journal.has(steps.STARTED) and self.service.state() == "running":
            return False
        if not self.journal.has(steps.SWAPPED):
            for number, swap in enumerate(self.plan["swaps"]):
                self._swap_in(number, swap)
            self.journal.record(steps.SWAPPED)
        self._configure("new")
        self.journal.record(steps.CONFIGURED)
        self.service.start()
        self.journal.record(steps.STARTED)
        return True

    def _swap_in(self, number: int, swap: Mapping[str, Any]) -> None:
        aside_is_made = swap["kind"] == "directory" and os.path.isdir(swap["aside"])
        if not self._has_swap(steps.SET_ASIDE, number) and not aside_is_made:
            if not os.path.isdir(swap["staged"]):
                raise EtcdError(
                    f"the staged data {swap['staged']} has vanished.", "run again with -e etcd_restore_rollback=true."
                )
            _move_out(swap["kind"], swap["live"], swap["aside"])
        elif swap["kind"] == "directory" and os.path.isdir(swap["staged"]) and os.path.lexists(swap["live"]):
            # A reboot started etcd between the two renames, on nothing: what it made is kept, out of the way.
            os.rename(swap["live"], _free_name(swap["aside"] + ".stray"))
        self.journal.record(steps.SET_ASIDE, swap=number)
        _move_in(swap["kind"], swap["staged"], swap["live"])

    def _has_swap(self, step: str, number: int) -> bool:
        return any(entry["step"] == step and entry.get("swap") == number for entry in self.journal.entries())

    # ---- prove, then finish ----

    def prove(self, timeout: float) -> Dict[str, Any]:
        """Wait until the restored cluster has proven itself, at most ``timeout`` seconds; EtcdError where it has not."""
        of = self.plan["of"]
        checks: List[Dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            view = observe(self.run, self.tools, self.connection)
            checks = prove(of, view, self.run, self.tools, self.connection)
            if not failures(checks):
                self.journal.record(steps.PROVEN, checks=checks)
                return {"checks": checks, "view": view}
            time.sleep(0.2)
        raise EtcdError(
            "the restored cluster did not prove itself: "
            + "; ".join(
                f"{check['what']}: expected {check['expected']}, found {check['found']}" for check in failures(checks)
            )
            + ".",
            "look at etcd's log on the members that are named.",
        )

    def finish(self) -> bool:
        """Flip ``new`` to ``existing``, so that a disk wiped later cannot boot a second cluster, and close the journal."""
        self._need(steps.PROVEN)
        edited = self._configure("existing")
        if self.journal.has(steps.FINISHED):
            return edited
        if self.plan["snapshot"]["transfer"]:
            _remove(self.plan["snapshot"]["path"])  # our own copy of what lies where it came from
        self.journal.record(steps.FINISHED)
        return True

    def _configure(self, state: str) -> bool:
        edits = [
            settings.Edit.from_dict(edit).with_value("initial-cluster-state", state) for edit in self.plan["config"]
        ]
        return bool(settings.apply_edits(edits, "", "", self.run))

    # ---- rollback: the old data, the old configuration, as it was ----

    def rollback(self) -> bool:
        """Put the old data and configuration back; what the restore made stays beside it. Safe at any step."""
        done = self.journal.steps()
        if not done or done[-1] == steps.ROLLED_BACK:
            return False
        if steps.STOPPING not in done:
            for swap in self.plan["swaps"]:
                shutil.rmtree(swap["staged"], ignore_errors=True)
            self.journal.record(steps.ROLLED_BACK, reason="nothing had been stopped")
            return True
        self.journal.record(steps.ROLLING_BACK)
        self.service.stop(STOP_TIMEOUT)
        for number, swap in enumerate(self.plan["swaps"]):
            self._swap_back(number, swap)
        self._restore_configuration()
        if self.plan["was_running"]:
            self.service.start()
        self.journal.record(steps.ROLLED_BACK)
        return True

    def _swap_back(self, number: int, swap: Mapping[str, Any]) -> None:
        """Undo one swap. The journal says which of the two moves were made, so that none is made twice."""
        if self._has_swap("put_back", number):
            return
        # The entries of a mount point are told apart by the journal alone: old ones before SET_ASIDE, restored ones after.
        set_aside = self._has_swap(steps.SET_ASIDE, number)
        if set_aside or (swap["kind"] == "directory" and os.path.isdir(swap["aside"])):
            self._retire_new(number, swap)
        _move_in(swap["kind"], swap["aside"], swap["live"])
        shutil.rmtree(swap["staged"], ignore_errors=True)
        self.journal.record("put_back", swap=number)

    def _retire_new(self, number: int, swap: Mapping[str, Any]) -> None:
        """Rename the restored data out of the way, once; it may hold writes that were made since."""
        if self._has_swap("retired", number):
            return
        retired = swap["aside"].replace(".before-", ".rolled-back-")
        if swap["kind"] == "contents" or not os.path.lexists(retired):
            _move_out(swap["kind"], swap["live"], retired)
        self.journal.record("retired", swap=number)

    def _restore_configuration(self) -> None:
        """The files as they were; a later entry of the journal for the same file is a copy of what was edited already."""
        edits, kept = self._edits(), {}
        for entry in self.journal.entries():
            if entry["step"] == "kept":
                kept.setdefault(entry["edit"], entry["copy"])
        units = False
        for number, copy in kept.items():
            path = edits[number].current_path()
            changed = settings.restore_copy(copy, path) if copy else _remove(path)
            units |= changed and edits[number].format == "unit"
        if units:
            settings.reload_units(self.run)

    # ---- what must have happened before ----

    def _need(self, step: str) -> None:
        self._forbid(steps.ROLLED_BACK, "was rolled back", "run restore.yml again for a new one")
        if not self.journal.has(step):
            raise EtcdError(
                f"the restore {self.plan['restore_id']} of {self.plan['member']['name']} is not at this point: '{step}' is"
                " not in its journal.",
                "run restore.yml, which does the phases in their order.",
            )

    def _forbid(self, step: str, words: str, next_step: str) -> None:
        if self.journal.has(step):
            raise EtcdError(f"the restore {self.plan['restore_id']} {words}.", f"{next_step}.")


def wait_until_closed(urls: List[str], seconds: float, connect: Optional[Callable[..., Any]] = None) -> None:
    """Wait until nothing listens at these peer URLs any more, at most ``seconds``; what then still answers is let be."""
    connect = connect or socket.create_connection
    deadline = time.monotonic() + seconds
    for url in urls:
        parts = urlsplit(url)
        while time.monotonic() < deadline:
            try:
                connect((parts.hostname, parts.port), timeout=0.5).close()
            except OSError:
                break
            time.sleep(0.05)


def sync_tree(path: str) -> None:
    """Flush every file below ``path``: a rename must not be on the disk before the data that it names."""
    for folder, _folders, files in os.walk(path):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(folder)


def _give_to(path: str, owner: Mapping[str, Any]) -> None:
    """Owner and mode for everything restored; the tool ran as root and etcd may not."""
    uid, gid = _uid(owner["user"]), _gid(owner["group"])
    for folder, _folders, files in os.walk(path):
        for item in [folder, *[os.path.join(folder, name) for name in files]]:
            os.chown(item, uid, gid)
    os.chmod(path, int(owner["mode"] or "0700", 8))


def _uid(user: Any) -> int:
    if user in (None, ""):
        return os.geteuid()
    return int(user) if str(user).isdigit() else pwd.getpwnam(str(user)).pw_uid


def _gid(group: Any) -> int:
    if group in (None, ""):
        return os.getegid()
    if str(group).isdigit():
        return int(group)
    try:
        return grp.getgrnam(str(group)).gr_gid
    except KeyError:
        return pwd.getpwnam(str(group)).pw_gid  # the service's user, whose main group may have another name


def _move_out(kind: str, live: str, aside: str) -> None:
    """Rename what is live to ``aside``, or its entries where it is a mount point; idempotent, also when cut off half-way."""
    if kind == "directory":
        if os.path.lexists(live):
            os.rename(live, aside)
            sync_folder(os.path.dirname(aside))
        return
    os.makedirs(aside, mode=0o700, exist_ok=True)
    for name in os.listdir(live):
        if not _is_ours(name) and name != "lost+found":
            os.rename(os.path.join(live, name), os.path.join(aside, name))
    sync_folder(aside)
    sync_folder(live)


def _move_in(kind: str, source: str, live: str) -> None:
    """Rename ``source`` to ``live``, or its entries into it; nothing to do where ``source`` has already gone."""
    if not os.path.isdir(source):
        return
    if kind == "directory":
        os.rename(source, live)
        sync_folder(os.path.dirname(live))
        return
    for name in os.listdir(source):
        os.rename(os.path.join(source, name), os.path.join(live, name))
    os.rmdir(source)
    sync_folder(live)


def _is_ours(name: str) -> bool:
    return name.startswith((".restore-", ".before-", ".rolled-back-"))


def _free_name(path: str) -> str:
    number = 1
    while os.path.lexists(f"{path}-{number}"):
        number += 1
    return f"{path}-{number}"


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
