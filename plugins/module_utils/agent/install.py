# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent on a host: its files as they should be, and the timer that runs it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional

from ..backup.pki import check_pki
from ..backup.rclone_store import check_rclone
from ..backup.records import BACKUPS, UPLOADS, Attempt, Upload
from ..backup.retention import policy_of
from ..backup.store_settings import StoreSettings
from ..backup.wanted_stores import FOLDER as SECRETS
from ..core import strict_json
from ..core.errors import EtcdError
from ..core.trees import remove
from ..core.values import to_plain
from ..etcd.commands import Run
from ..host.made import File, Files, removed, text_file
from ..host.trust import weakness
from ..snapshot.scratch import make_folder
from ..snapshot.signature import Signing
from .compiled import are_the_same
from .metrics import metrics_path
from .mirror_units import mirrors_of
from .other_members import PATH as MEMBERS_PATH
from .other_members import Known, text_of
from .schedule import (
    CRON_PATH,
    DRILL_DELAY,
    DRILL_SERVICE_PATH,
    DRILL_TIMER_PATH,
    NEVER,
    PROGRAM,
    SERVICE_PATH,
    TIMER_PATH,
    UNIT,
    cron_lines,
    drill_unit,
    service_unit,
    timer_unit,
)
from .settings import PASSWORD_PATH, PATH, SIGNING_KEY_PATH, Settings, stores_of
from .systemd import begin, check_calendar, runs, systemctl, turned

SERVICE = f"{UNIT}.service"
TIMERS = (TIMER_PATH, DRILL_TIMER_PATH)
UNITS = (*TIMERS, SERVICE_PATH, DRILL_SERVICE_PATH)
EVERY_PATH = (*UNITS, CRON_PATH, PATH, PASSWORD_PATH, SIGNING_KEY_PATH, MEMBERS_PATH, PROGRAM)


@dataclass(frozen=True)
class Wanted:
    """``program`` are the bytes of the zipapp with its interpreter's line and its bytecode; ``delay`` is in seconds.

    ``signing_key`` is the text of the private key, where it is put there with the agent; ``secrets`` are the texts of the files
    that the off-site stores need, by their paths. ``drill_schedule`` is when backups are drilled, or ``never``. ``others`` is
    what it shall know of the cluster's other hosts.
    """

    settings: Settings
    password: str
    schedule: str
    delay: int
    program: bytes
    signing_key: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    drill_schedule: str = NEVER
    others: Known = Known({})


def has_systemd(root: str = "/") -> bool:
    """Whether systemd runs this host, and not only lies there."""
    return os.path.isdir(os.path.join(root, "run/systemd/system"))


def files_of(wanted: Wanted, systemd: bool) -> List[File]:
    """Every file of the agent. EtcdError for a policy or a schedule that this host could not use."""
    settings = wanted.settings
    policy_of(settings.keep)
    policy_of(settings.offsite_keep)
    Signing(settings.signing_key, settings.signers).check()
    check_pki(settings.kit_pki, settings.kit_recipient)
    text = json.dumps(to_plain(settings), indent=2, sort_keys=True) + "\n"
    found = [File(PROGRAM, wanted.program, 0o755, same=are_the_same), text_file(PATH, text, 0o600)]
    if settings.password_file:
        found.append(File(PASSWORD_PATH, (wanted.password + "\n").encode(), 0o600))
    if settings.signing_key == SIGNING_KEY_PATH:
        found.append(File(SIGNING_KEY_PATH, (wanted.signing_key.strip() + "\n").encode(), 0o600))
    found += [File(path, content.encode(), 0o600) for path, content in sorted(wanted.secrets.items())]
    if settings.members_file == MEMBERS_PATH:
        found.append(File(MEMBERS_PATH, text_of(wanted.others).encode(), 0o600))
    if systemd:
        folders = [settings.folder, settings.state_dir]
        own = (settings.cacert, settings.cert, settings.key, settings.bin_dir, settings.signing_key)
        paths = [path for path in (*own, *(store.rclone_config for store in settings.offsite)) if path]
        optional = [path for path in (settings.metrics_dir, *(store.folder for store in settings.offsite)) if path]
        found.append(text_file(SERVICE_PATH, service_unit(settings.cluster, folders, paths, optional), 0o644))
        found.append(text_file(TIMER_PATH, timer_unit(settings.cluster, wanted.schedule, wanted.delay), 0o644))
        if wanted.drill_schedule != NEVER:
            found += _drill_units(wanted, [*paths, settings.folder, *(store.folder for store in settings.offsite)])
    else:
        found.append(text_file(CRON_PATH, cron_lines(wanted.schedule, wanted.delay, wanted.drill_schedule), 0o644))
    return found


def _drill_units(wanted: Wanted, paths: List[str]) -> List[File]:
    settings = wanted.settings
    folders = [path for path in (settings.state_dir, settings.drill_dir) if path]
    seen = [*paths, *settings.drill_check[:1]]
    metrics = [path for path in (settings.metrics_dir,) if path]
    service = drill_unit(settings.cluster, settings.drill_memory, folders, seen, metrics)
    timer = timer_unit(settings.cluster, wanted.drill_schedule, DRILL_DELAY, "Drill of the backups")
    return [text_file(DRILL_SERVICE_PATH, service, 0o644), text_file(DRILL_TIMER_PATH, timer, 0o644)]


class Installation:
    """The agent of this host. ``root`` is another folder than ``/`` in tests only."""

    def __init__(self, run: Run, root: str = "/") -> None:
        self._run = run
        self._files = Files(root)
        self._systemd = has_systemd(root)

    def install(self, wanted: Wanted, pretend: bool) -> List[Dict[str, str]]:
        """Make the files as they should be, and let the timer run. Returns what changes, as diffs; with ``pretend`` nothing does.

        EtcdError, before anything is touched, for what could not work here.
        """
        self._check(wanted, pretend)
        files = files_of(wanted, self._systemd)
        due = [file for file in files if not self._files.is_as(file)]
        kept = {file.path for file in files} | {metrics_path(wanted.settings.metrics_dir)}
        gone = [path for path in self._present() if path not in kept]
        changes = [self._files.diff(file) for file in due] + [removed(path) for path in gone]
        timers = [path for path in TIMERS if path in kept]
        if self._systemd and not changes:
            stopped = [unit for unit in map(os.path.basename, timers) if not runs(self._run, unit)]
            changes = [turned(unit, True) for unit in stopped]
        if changes and not pretend:
            make_folder(self._files.at(wanted.settings.folder))
            if wanted.settings.drill_dir:
                make_folder(self._files.at(wanted.settings.drill_dir))
            for folder in filter(None, (wanted.settings.state_dir, wanted.settings.metrics_dir)):
                os.makedirs(self._files.at(folder), mode=0o755, exist_ok=True)
            for file in due:
                self._files.write(file)
            self._take_away(gone)
            if self._systemd:
                begin(self._run, map(os.path.basename, timers))
        return changes

    def remove(self, pretend: bool) -> List[Dict[str, str]]:
        """Take the agent away again; snapshots and records stay. Returns what changes."""
        gone = self._present()
        if gone and not pretend:
            self._take_away(gone)
            if self._systemd:
                systemctl(self._run, "daemon-reload")
        return [removed(path) for path in gone]

    def _take_away(self, gone: List[str]) -> None:
        for path in gone if self._systemd else ():
            if path in TIMERS:
                systemctl(self._run, "disable", "--now", "--quiet", os.path.basename(path))
                systemctl(self._run, "stop", os.path.basename(path).replace(".timer", ".service"))
        for path in gone:
            remove(self._files.at(path))

    def first_run(self, settings: Settings, again: bool) -> Optional[Attempt]:
        """Let it work once, as the timer will, so that what is wrong is seen now and not tonight. EtcdError where it fails.

        Without ``again`` only where its last run was no good one, or there was none; None where it was not due.
        """
        before = BACKUPS.last(settings.state_dir, settings.cluster, 1)
        if not again and before and before[0].is_good and not _failed_upload(settings):
            return None
        command = ["systemctl", "start", SERVICE] if self._systemd else [PROGRAM, "backup"]
        result = self._run(command, {})
        after = BACKUPS.last(settings.state_dir, settings.cluster, 1)
        if after and not after[0].is_good:
            raise EtcdError(f"the agent is set up, and its first run failed: {after[0].cause}", after[0].next_step)
        upload = _failed_upload(settings)
        if upload:
            raise EtcdError(
                f"the agent is set up, and its first run could not ship to the store {upload.store}: {upload.cause}",
                upload.next_step,
            )
        if result.rc or not after:
            said = (result.err or result.out).strip().splitlines()
            raise EtcdError(
                f"the agent is set up, and {' '.join(command)} failed with exit code {result.rc}: {said[-1] if said else ''}",
                f"see journalctl -u {SERVICE}." if self._systemd else "run it by hand.",
            )
        return after[0]

    def reach(self, settings: Settings) -> None:
        """Look into each off-site store, as this host may have to ship there tonight. EtcdError where one is not reached."""
        for store in stores_of(settings, self._run):
            try:
                store.names()
            except EtcdError as error:
                raise EtcdError(f"the agent is set up, and from this host {error.message}", error.next_step) from error

    def _check(self, wanted: Wanted, pretend: bool) -> None:
        """EtcdError where this host could not have this agent; with ``pretend`` rclone may be what is yet to be installed."""
        other = self._known().get("cluster")
        if other not in (None, wanted.settings.cluster):
            raise EtcdError(
                f"the agent of this host makes the backups of cluster {other}, and can have but one.",
                "remove it first, with etcd_backup_schedule=absent in a run for that cluster.",
            )
        if not (self._systemd or os.path.isdir(self._files.at(os.path.dirname(CRON_PATH)))):
            raise EtcdError(
                "this host has neither systemd nor cron.", "install cron, or schedule backup.yml elsewhere."
            )
        for store in wanted.settings.offsite:
            if store.remote:
                self._check_remote(store, wanted.secrets, pretend)
        drills = [wanted.drill_schedule] if wanted.drill_schedule != NEVER else []
        for schedule in [wanted.schedule, *drills] if self._systemd else ():
            timer_unit("", schedule, 0)
            check_calendar(self._run, schedule)

    def _check_remote(self, store: StoreSettings, secrets: Mapping[str, str], pretend: bool) -> None:
        """A configuration of rclone can name programs that are run, so nobody else may write it."""
        if not pretend:
            check_rclone(self._run, store.name)
        weak = "" if store.rclone_config in secrets else weakness(self._files.at(store.rclone_config))
        if weak:
            raise EtcdError(
                f"the rclone_config of the store {store.name} is not believed: {weak}.",
                "let it be there, and only root write it.",
            )

    def _known(self) -> Mapping[str, Any]:
        """The configuration as it is; empty where there is none that can be read."""
        try:
            known = strict_json.read_file(self._files.at(PATH), "the configuration")
        except (FileNotFoundError, EtcdError):
            return {}
        return known if isinstance(known, dict) else {}

    def _present(self) -> List[str]:
        """The agent's files that are there; with them goes what it has told a monitor, which would else grow old."""
        metrics = metrics_path(str(self._known().get("metrics_dir") or ""))
        secrets: List[str] = []
        with contextlib.suppress(OSError):
            secrets = [os.path.join(SECRETS, name) for name in sorted(os.listdir(self._files.at(SECRETS)))]
        found = [path for path in (*EVERY_PATH, metrics, *secrets) if path and self._files.has(path)]
        # A mirror's engine is the same program.
        return [path for path in found if path != PROGRAM or not mirrors_of(self._files.at("/"))]


def _failed_upload(settings: Settings) -> Optional[Upload]:
    """What became of a store that was not brought up to date the last time; None where all were."""
    newest: Dict[str, Upload] = {}
    for one in UPLOADS.last(settings.state_dir, settings.cluster):
        newest.setdefault(one.store, one)
    shipped_to = (newest.get(store.name) for store in settings.offsite)
    return next((one for one in shipped_to if one and not one.is_good), None)
