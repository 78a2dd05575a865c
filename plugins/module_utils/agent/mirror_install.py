# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mirror on the host of its engine: its files as they should be, and the service or timer that runs it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.text import epoch
from ..core.trees import remove
from ..core.values import to_plain
from ..etcd.commands import Command, Run
from ..host.made import File, Files, removed, text_file
from ..mirror.settings import FOLDER, MirrorSettings, path_of, wrong_in
from ..mirror.sides import TLS
from ..mirror.status import FAILED, STARTING, MirrorStatus, last
from .compiled import are_the_same
from .install import has_systemd
from .mirror_metrics import mirror_metrics_path
from .mirror_units import (
    COUNTED,
    COUNTED_PATH,
    classic_unit,
    enabled_of,
    engine_unit,
    environment_file,
    mirror_timer,
    mirrors_of,
    timer_of,
    unit_of,
    verify_of,
    verify_timer,
    verify_timer_of,
    verify_unit,
)
from .schedule import NEVER, PROGRAM
from .settings import PATH as AGENT_PATH
from .systemd import begin, check_calendar, is_at_work, runs, systemctl, turned

_LOOK_AGAIN = 0.5  # seconds
SIDES = ("source", "destination")
_SECRETS = ("password", *TLS)


@dataclass(frozen=True)
class Mirror:
    """What is to be on the host. ``secrets`` are the contents of files, by their paths.

    ``classic`` is the command of etcd's own tool, None for this collection's engine, of which ``program`` are the bytes.
    ``verify`` is when it is compared with its source, or ``never``. ``destination`` names the cluster that is written to.
    """

    settings: MirrorSettings
    destination: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    program: bytes = b""
    classic: Optional[Command] = None
    verify: str = NEVER


def secret_path(name: str, side: str, what: str) -> str:
    """Where a secret of a side lies; ``what`` is one of ``_SECRETS``."""
    return os.path.join(FOLDER, f"{name}.{side}.{what}")


def environment_path(name: str) -> str:
    return os.path.join(FOLDER, f"{name}.environment")


def _unit_path(unit: str) -> str:
    return os.path.join("/etc/systemd/system", unit)


def _units_of(name: str) -> List[str]:
    """The timers before what they begin."""
    return [verify_timer_of(name), verify_of(name), timer_of(name), unit_of(name)]


def paths_of(name: str) -> List[str]:
    """Every file of this mirror alone, the units first: what is taken away is stopped before."""
    units = [_unit_path(unit) for unit in _units_of(name)]
    secrets = [secret_path(name, side, what) for side in SIDES for what in _SECRETS]
    return [*units, path_of(name), environment_path(name), *secrets]


def files_of(wanted: Mirror) -> List[File]:
    """Every file of the mirror. EtcdError for settings with which none could be run."""
    settings, name = wanted.settings, wanted.settings.name
    why = wrong_in(settings)
    if why:
        raise EtcdError(f"no mirror can be run so: {why}.", "correct the variables etcd_mirror_*.")
    found = [File(path, text.encode(), 0o600) for path, text in sorted(wanted.secrets.items())]
    timer, unit = _unit_path(timer_of(name)), _unit_path(unit_of(name))
    seen = [
        path for side in (settings.source, settings.destination) for path in (side.cacert, side.cert, side.key) if path
    ]
    if wanted.classic:
        environment, password = environment_path(name), settings.destination.password_file
        found.append(File(environment, environment_file(wanted.classic.env).encode(), 0o600))
        found.append(text_file(COUNTED_PATH, COUNTED, 0o755))
        found.append(text_file(unit, classic_unit(name, wanted.classic, environment, password, seen), 0o644))
        return found
    text = json.dumps(to_plain(settings), indent=2, sort_keys=True) + "\n"
    service = engine_unit(name, settings.folder, seen, settings.metrics_dir, bool(settings.interval))
    found.append(File(PROGRAM, wanted.program, 0o755, same=are_the_same))
    found.append(text_file(path_of(name), text, 0o600))
    found.append(text_file(unit, service, 0o644))
    if settings.interval:
        found.append(text_file(timer, mirror_timer(name, settings.interval), 0o644))
    if wanted.verify != NEVER:
        verifies = verify_unit(name, settings.folder, seen, settings.metrics_dir)
        found.append(text_file(_unit_path(verify_of(name)), verifies, 0o644))
        found.append(text_file(_unit_path(verify_timer_of(name)), verify_timer(name, wanted.verify), 0o644))
    return found


class Installation:
    """The mirrors of this host. ``root`` is another folder than ``/`` in tests only."""

    def __init__(self, run: Run, root: str = "/") -> None:
        self._run = run
        self._files = Files(root)
        self._systemd = has_systemd(root)

    def install(self, wanted: Mirror, pretend: bool) -> List[Dict[str, str]]:
        """Make it as it should be, and let it run. Returns what changes, as diffs; with ``pretend`` nothing does.

        EtcdError, before anything is touched, for what could not work here.
        """
        if not self._systemd:
            raise EtcdError(
                "this host has no systemd, which would run the mirror.", "let another host be etcd_mirror_engine_host."
            )
        if wanted.verify != NEVER and not wanted.classic:
            check_calendar(self._run, wanted.verify)
        name, files = wanted.settings.name, files_of(wanted)
        due = [file for file in files if not self._files.is_as(file)]
        kept = {file.path for file in files}
        gone = [path for path in paths_of(name) if self._files.has(path) and path not in kept]
        changes = [self._files.diff(file) for file in due] + [removed(path) for path in gone]
        begins = [unit for unit in self._begins(wanted) if changes or not runs(self._run, unit)]
        changes = changes or [turned(unit, True) for unit in begins]
        if changes and not pretend:
            if not wanted.classic:
                os.makedirs(self._files.at(wanted.settings.folder), mode=0o700, exist_ok=True)
            os.makedirs(self._files.at(FOLDER), mode=0o700, exist_ok=True)
            self._take_away(gone)
            for file in due:
                self._files.write(file)
            begin(self._run, begins)
        return changes

    def stop(self, name: str, pretend: bool) -> List[Dict[str, str]]:
        """Let nothing of it work until it is installed again, or this host boots. Returns what changes."""
        there = [unit for unit in _units_of(name) if self._files.has(_unit_path(unit))]
        at_work = [unit for unit in there if is_at_work(self._run, unit)]
        for unit in [] if pretend else at_work:
            systemctl(self._run, "stop", unit)
        return [turned(unit, False) for unit in at_work]

    def is_here(self, name: str) -> bool:
        return self._files.has(_unit_path(unit_of(name)))

    def remove(self, name: str, pretend: bool) -> List[Dict[str, str]]:
        """Take a mirror away; what it has written, its log and its state stay. Returns what changes."""
        gone = self._present(name)
        if gone and not pretend:
            self._take_away(gone)
            systemctl(self._run, "daemon-reload")
        others = self.has_others(name)
        for path in (PROGRAM, COUNTED_PATH):
            if gone and not others and self._files.has(path):
                gone.append(path)
                if not pretend:
                    remove(self._files.at(path))
        return [removed(path) for path in gone]

    def _present(self, name: str) -> List[str]:
        """The mirror's files that are there; with them goes what it has told a monitor, which would else grow old."""
        metrics: List[str] = []
        with contextlib.suppress(OSError, EtcdError, AttributeError):
            known = strict_json.read_file(self._files.at(path_of(name)), "the settings of the mirror")
            metrics = [mirror_metrics_path(str(known.get("metrics_dir") or ""), name)]
        return [path for path in (*paths_of(name), *metrics) if path and self._files.has(path)]

    def first_words(self, settings: MirrorSettings, patience: float = 20.0) -> Optional[MirrorStatus]:
        """What the engine that was just begun says first, so that what is wrong is seen now; None for nothing in time.

        ``patience`` in seconds. EtcdError where it does not go on.
        """
        begun, until = int(time.time()), time.monotonic() + patience
        while time.monotonic() < until:
            status = last(self._files.at(settings.folder))
            if status and status.time and epoch(status.time) >= begun:
                if status.phase == FAILED:
                    cause, _next, next_step = status.why.partition(" Next: ")
                    raise EtcdError(f"the mirror is set up, and its engine does not go on: {cause}", next_step)
                if status.phase != STARTING:
                    return status
            time.sleep(_LOOK_AGAIN)
        return None

    def has_others(self, name: str) -> bool:
        """Whether the agent's program has more to do here than this mirror: another one, or backups."""
        return self._files.has(AGENT_PATH) or any(one != name for one in mirrors_of(self._files.at("/")))

    def _begins(self, wanted: Mirror) -> List[str]:
        settings, classic = wanted.settings, bool(wanted.classic)
        return enabled_of(
            settings.name, bool(settings.interval) and not classic, wanted.verify != NEVER and not classic
        )

    def _take_away(self, gone: List[str]) -> None:
        for path in gone:
            if path.endswith((".timer", ".service")):
                systemctl(self._run, "disable", "--now", "--quiet", os.path.basename(path))
            if path.endswith(".timer"):
                systemctl(self._run, "stop", os.path.basename(path).replace(".timer", ".service"))
        for path in gone:
            remove(self._files.at(path))


def in_words(wanted: Mirror, versions: Mapping[str, str]) -> List[str]:
    """The plan. ``versions`` are those of each side, in words."""
    settings = wanted.settings
    tool = "etcd's own make-mirror" if wanted.classic else "this collection's engine"
    lines = [f"Mirror {settings.name}, by {tool}:"]
    prefixes = (settings.prefix, settings.target_prefix.decode())
    for word, side, prefix in zip(("from", "to"), (settings.source, settings.destination), prefixes):
        keys = f"the keys below {prefix!r}" if prefix else "all keys"
        lines.append(f"  {word:6}  {keys} of {', '.join(side.endpoints)}{versions.get(word, '')}")
    lines += [f"  without  {one!r}" for one in settings.exclude]
    lines.append(f"  runs    {_runs_in_words(wanted)}")
    lines += [f"  {line}" for line in _terms(wanted)]
    return lines


def _runs_in_words(wanted: Mirror) -> str:
    settings = wanted.settings
    if settings.interval and not wanted.classic:
        return f"until it has caught up, {settings.interval} s after the last time ({timer_of(settings.name)})"
    delay = f", {settings.delay} s behind on purpose" if settings.delay else ""
    return f"all the time{delay} ({unit_of(settings.name)})"


def _terms(wanted: Mirror) -> List[str]:
    settings, whose = wanted.settings, wanted.destination
    if wanted.classic:
        return [
            f"What {whose} has under the same keys is overwritten. What was deleted while the mirror did not run stays there.",
            "After each start all keys are written again, one by one. Nothing compares the two clusters.",
        ]
    leases = "live as long as in the source" if settings.leases == "keep" else "stay until the source deletes them"
    told = [
        f"What {whose} has there and the source has not is deleted; what differs is overwritten.",
        f"Keys with a lease {leases}.",
    ]
    if settings.keep_log:
        told.append(f"What was read is kept in {os.path.join(settings.folder, 'log')}.")
    return told
