# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of the files where a member's settings live.

``plan_edits`` needs no file: it works from what ``discover`` found, so that a plan can be made on another machine than the
one whose files it is about.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ...core.errors import EtcdError
from ...core.values import TEXT
from ...etcd.commands import Run
from ..facts import MemberFacts, Setting
from .files import backup_copy, read_file, write_file
from .formats import FORMATS, edit, read
from .names import SECRET, check_setting

# Files of packages are replaced by their upgrades, so the changes to them go into a drop-in.
VENDOR_FOLDERS = ("/usr/lib/systemd/", "/lib/systemd/", "/run/systemd/", "/usr/local/lib/systemd/")


@dataclass(frozen=True)
class ChangedFile:
    """What changed in a file, as it is told: without passwords. ``backup`` is the path of a copy from before, or ''."""

    path: str = field(metadata=TEXT)
    format: str
    before: Dict[str, str] = field(metadata=TEXT)
    after: Dict[str, str] = field(metadata=TEXT)
    backup: str = ""


@dataclass(frozen=True)
class Edit:
    """What is to change in one file: ``before`` and ``after`` hold the same settings, with '' where one is absent.

    ``seed`` is what a drop-in begins with that is not there yet; ``parked`` is where a static pod's manifest lies while
    the pod is stopped; ``within`` is for settings in variables that are none of etcd's, see ``read``.
    """

    path: str = field(metadata=TEXT)
    format: str
    before: Dict[str, str] = field(metadata=TEXT)
    after: Dict[str, str] = field(metadata=TEXT)
    settings: Dict[str, str] = field(default_factory=dict, metadata=TEXT)
    seed: str = field(default="", metadata=TEXT)
    parked: str = field(default="", metadata=TEXT)
    within: Dict[str, str] = field(default_factory=dict, metadata=TEXT)

    def with_value(self, setting: str, value: str) -> Edit:
        """The same edit with another value, where this file is the one that holds ``setting``; else unchanged."""
        if setting not in self.settings:
            return self
        return replace(self, settings={**self.settings, setting: value}, after={**self.after, setting: value})

    def current_path(self) -> str:
        """Where the file lies now."""
        return (
            self.parked if self.parked and os.path.exists(self.parked) and not os.path.exists(self.path) else self.path
        )

    def texts(self) -> Tuple[str, str]:
        """The file's text now (or '' where it is yet to be made) and after the edit."""
        path = self.current_path()
        now = read_file(path) if os.path.exists(path) else ""
        return now, self.edited(now)

    def edited(self, now: str) -> str:
        """The text ``now`` with the edit made; EtcdError, with the path, where that cannot be done."""
        if not now and not self.seed:
            raise EtcdError(
                f"{self.path} is not there, so its settings cannot be changed.", "restore the file and run again."
            )
        try:
            return edit(self.format, _seeded(now, self.seed), self.settings, self.within)
        except EtcdError as error:
            raise EtcdError(f"{self.path}: {error.message}", error.next_step) from error

    def is_needed(self) -> bool:
        """Whether the file is to change at all."""
        now, after = self.texts()
        return now != after

    def report(self) -> ChangedFile:
        """The settings that change, as this host's file has them; a backup is added by who makes one."""
        now, _after = self.texts()
        present = read(self.format, now, self.within) if now else {}
        before = {setting: present.get(setting, self.before.get(setting, "")) for setting in self.settings}
        changed = [
            setting for setting in self.settings if setting not in present or before[setting] != self.after[setting]
        ]
        return ChangedFile(
            path=self.path,
            format=self.format,
            before={setting: _shown(setting, before[setting]) for setting in changed},
            after={setting: _shown(setting, self.after[setting]) for setting in changed},
        )

    def diff(self) -> Dict[str, str]:
        """The changed lines alone, for Ansible's diff: the rest of the file is nobody's business."""
        now, after = (text.splitlines(keepends=True) for text in self.texts())
        lines = [_masked(line) for line in difflib.ndiff(now, after)]
        return {
            "before_header": self.path,
            "after_header": self.path,
            "before": "".join(line[2:] for line in lines if line.startswith("- ")),
            "after": "".join(line[2:] for line in lines if line.startswith("+ ")),
        }


def in_words(edits: Sequence[Edit]) -> List[str]:
    """What is to change, a setting a line, as a plan shows it."""
    changed = ((edit, setting, value) for edit in edits for setting, value in edit.after.items())
    return [
        f"{setting} in {edit.path}: {edit.before.get(setting) or '(unset)'} -> {value}"
        for edit, setting, value in changed
        if (edit.before.get(setting) or "(unset)") != value
    ]


def checked(wanted: Mapping[str, object]) -> Dict[str, str]:
    """Settings as a user gives them, as text; EtcdError for what etcd would refuse or take for something else."""
    found = {check_setting(setting): _text(setting, value) for setting, value in wanted.items()}
    state = found.get("initial-cluster-state", "new")
    if state not in ("new", "existing"):
        raise EtcdError(f"initial-cluster-state cannot be {state!r}.", "set it to new or to existing.")
    return found


def _text(setting: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, (str, int, float)):
        return str(value)
    raise EtcdError(
        f"the value of {setting} is neither text, a number nor a list of texts.", "write it as etcd's flag takes it."
    )


def _shown(setting: str, value: str) -> str:
    return "********" if value and setting in SECRET else value


def _masked(line: str) -> str:
    """A line of a file without the passwords that etcd takes as settings."""
    return re.sub(r"(?i)(discovery[-_]password[\"']?\s*[:= ]\s*)(\"[^\"]*\"|'[^']*'|\S+)", r"\1********", line)


def plan_edits(member: MemberFacts, wanted: Mapping[str, str]) -> List[Edit]:
    """One edit for each file that holds, or is to hold, one of the wanted settings; also for those that are right already.

    EtcdError where a setting has no file that it could be written to.
    """
    edits: Dict[str, Edit] = {}
    for setting, value in wanted.items():
        found = member.settings.get(check_setting(setting))
        place = _place(member, setting, found)
        known = edits.get(place.path, place)
        edits[place.path] = replace(
            known,
            before={**known.before, setting: found.value if found else ""},
            after={**known.after, setting: value},
            settings={**known.settings, setting: value},
            seed=max(known.seed, place.seed, key=len),
            within={**known.within, **({setting: found.within} if found and found.within else {})},
        )
    return list(edits.values())


def _place(member: MemberFacts, setting: str, found: Optional[Setting]) -> Edit:
    """An edit without settings yet, of the file where ``setting`` lives or belongs."""
    home = found or member.config
    format, path = home.format, home.path
    if format not in FORMATS or not path:
        raise EtcdError(*_homeless(member, setting, found))
    service = member.service
    if format == "unit" and path.startswith(VENDOR_FOLDERS):
        if not service.dropin:
            raise EtcdError(
                f"{setting} lives in {path}, which belongs to a package.", f"set it in a drop-in of {service.name}."
            )
        if found and found.within:
            raise EtcdError(
                f"{setting} is set by {found.within} in {path}, which belongs to a package.",
                f"set {found.within} in a file of its own that EnvironmentFile= names, restart the member, and run again.",
            )
        as_flag = found is not None and found.kind == "flag"
        if as_flag and not service.exec_start:
            raise EtcdError(f"the command line in {path} cannot be overridden.", f"set {setting} in a drop-in by hand.")
        start = f"ExecStart=\nExecStart={service.exec_start}\n" if as_flag else ""
        return Edit(service.dropin, format, {}, {}, seed=f"[Service]\n{start}")
    parked = parked_manifest(path, member.state_dir) if format == "static_pod" else ""
    return Edit(path, format, {}, {}, parked=parked)


def _homeless(member: MemberFacts, setting: str, found: Optional[Setting]) -> Tuple[str, str]:
    """Why a setting has no place where it could be written, and what makes one."""
    name = member.name or "(unnamed)"
    obscure = member.service.obscure
    if obscure:
        cause = f"{obscure}, so it is not known where {setting} of the member {name} could be written."
    elif found and found.path:
        cause = f"{setting} of the member {name} is put together from variables in {found.path}."
    elif found:
        cause = (
            f"{setting} of the member {name} comes from the command line or environment of its process, and no file is known"
            " that sets it."
        )
    else:
        cause = f"no file is known that could hold these settings of the member {name}: {setting}."
    return cause, (
        "start etcd with --config-file and its settings in that file, or by a unit whose ExecStart= is etcd itself with an"
        " EnvironmentFile=; restart the member so, and run again."
    )


def _seeded(text: str, seed: str) -> str:
    if not seed or ("ExecStart=" in text or ("ExecStart=" not in seed and text)):
        return text
    if not text:
        return seed
    glue = "" if text.endswith("\n") else "\n"
    return text + glue + ("\n" if text.rstrip() else "") + seed


def apply_edits(edits: Sequence[Edit], backup_dir: str, stamp: str, run: Run) -> List[str]:
    """Make the edits; what is right already is left alone.

    Returns one item for each file that was changed: its backup in ``backup_dir``, or '' where none was made. Nothing is
    written before every edit is known to be possible.
    """
    todo = [(each, each.current_path(), *each.texts()) for each in edits]
    backups, units = [], False
    for each, path, now, after in todo:
        if now == after:
            continue
        exists = os.path.exists(path)
        backups.append(backup_copy(path, backup_dir, stamp) if backup_dir and exists else "")
        if not exists:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        write_file(path, after)
        units = units or each.format == "unit"
    if units:
        reload_units(run)
    return backups


def reload_units(run: Run) -> None:
    try:
        result = run(["systemctl", "daemon-reload"], {})
    except OSError as error:
        raise EtcdError(f"systemctl cannot be run: {error}.", "run 'systemctl daemon-reload'.") from error
    if result.rc != 0:
        raise EtcdError(
            f"systemctl daemon-reload failed with exit code {result.rc}: {result.err.strip()}",
            "run it by hand and see its log.",
        )


def parked_manifest(path: str, state_dir: str) -> str:
    """Where a static pod's manifest lies while the pod is stopped: a folder that no kubelet reads."""
    return os.path.join(state_dir, "static-pods", os.path.basename(path))
