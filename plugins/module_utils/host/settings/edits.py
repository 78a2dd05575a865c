# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings where they live: an environment file, etcd's YAML, a systemd unit, a static pod's manifest.

``read`` and ``edit`` are pure functions from text to values and from text to text; an edit changes the value and nothing
else in the file. Settings are named by etcd's flags, without dashes in front. ``plan_edits`` needs no file: it works from
what ``discover`` reported, so that a plan can be made on another machine than the one whose files it is about.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ...core.errors import EtcdError
from ...core.trees import sync_folder
from ...core.values import TEXT
from ...etcd.commands import Run
from . import env_file as _settings_env
from . import pod as _settings_pod
from . import unit as _settings_unit
from . import yaml_file as _settings_yaml
from .command_lines import set_flag, split
from .names import NESTED, SECRET, check_setting, flags, setting_of, variable_of

FORMATS = {"env": _settings_env, "yaml": _settings_yaml, "unit": _settings_unit, "static_pod": _settings_pod}
# Files of packages are replaced by their upgrades, so the changes to them go into a drop-in.
VENDOR_FOLDERS = ("/usr/lib/systemd/", "/lib/systemd/", "/run/systemd/", "/usr/local/lib/systemd/")

NOWHERE: Mapping[str, str] = MappingProxyType({})

__all__ = ["NESTED", "SECRET", "Edit", "apply_edits", "edit", "plan_edits", "read", "restore_copy", "variable_of"]


def read(format: str, text: str, within: Mapping[str, str] = NOWHERE) -> Dict[str, str]:
    """The settings that ``text`` makes; EtcdError with the line where it is not understood.

    ``within`` names the variable of each setting that the text holds in a variable which is none of etcd's: as its whole
    value, or as a flag among others, as in ``ETCD_OPTS="--name=m1"``.
    """
    found = dict(_reader(format).read(text))
    if within:
        values = _variables(format, text)
        found.update({setting: _within(values.get(name, ""), setting) for setting, name in within.items()})
    return found


def edit(format: str, text: str, wanted: Mapping[str, str], within: Mapping[str, str] = NOWHERE) -> str:
    """``text`` with the wanted settings and no other change; idempotent. EtcdError where that cannot be done safely."""
    wanted = {check_setting(setting): value for setting, value in wanted.items()}
    before, edited = _everything(format, text, within), text
    for setting, name in within.items():
        edited = _edit_within(format, edited, name, setting, wanted[setting])
    edited = _reader(format).edit(
        edited, {setting: value for setting, value in wanted.items() if setting not in within}
    )
    # The text is read again, so that an edit which would mean something else is never written.
    if _everything(format, edited, within) != {**before, **wanted}:
        raise EtcdError(
            f"{', '.join(sorted(wanted))} cannot be set without changing what the rest of the file means.",
            "set it by hand, on a line of its own.",
        )
    return edited


def _everything(format: str, text: str, within: Mapping[str, str]) -> Dict[str, str]:
    """What ``read`` says, and all other flags of the variables that are looked into."""
    found = read(format, text, within)
    for name in set(within.values()):
        found.pop(setting_of(name), None)  # ETCD_OPTS looks like a setting, and is none
        others = flags(split(_variables(format, text).get(name, "")))
        found.update({f"{name} {flag}": value[0] for flag, value in others.items() if flag not in within})
    return found


def _variables(format: str, text: str) -> Dict[str, str]:
    if format == "unit":
        return _settings_unit.variables(_settings_unit.parse(text))
    if format == "env":
        return _settings_env.variables(text)
    raise EtcdError(f"a file of the format {format} holds no variables.", "set it by hand.")


def _within(value: str, setting: str) -> str:
    found = flags(split(value))
    return found[setting][0] if setting in found else value


def _edit_within(format: str, text: str, name: str, setting: str, value: str) -> str:
    before = _variables(format, text).get(name)
    if before is None:
        raise EtcdError(f"the variable {name}, which holds {setting}, is not set here any more.", "run again.")
    found = flags(split(before))
    after = set_flag(before, setting, found[setting][0], value) if setting in found else value
    module = _settings_unit if format == "unit" else _settings_env
    return module.set_variable(text, name, after)


def detect_format(path: str, text: str) -> str:
    """``yaml`` or ``env``: by the file's name, else by its first line that says something."""
    if path.endswith((".yml", ".yaml", ".json")):
        return "yaml"
    for line in text.splitlines():
        bare = line.strip().lstrip("#; ")
        if not bare or bare == "---":
            continue
        if bare.startswith("export ") or (bare.partition("=")[0].strip().isidentifier() and "=" in bare):
            return "env"
        if not line.strip().startswith(("#", ";")) and ": " in bare + " ":
            return "yaml"
    return "env"


def _reader(format: str) -> Any:
    if format not in FORMATS:
        raise EtcdError(
            f"settings of the format {format!r} cannot be read or edited.", f"use one of {', '.join(FORMATS)}."
        )
    return FORMATS[format]


# ---- edits of a member's files ---------------------------------------------------------------------------------------


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

    def report(self) -> Dict[str, Any]:
        """The settings that change, as this host's file has them; a backup is added by who makes one."""
        now, _after = self.texts()
        present = read(self.format, now, self.within) if now else {}
        before = {setting: present.get(setting, self.before.get(setting, "")) for setting in self.settings}
        changed = [
            setting for setting in self.settings if setting not in present or before[setting] != self.after[setting]
        ]
        return {
            "path": self.path,
            "format": self.format,
            "before": {setting: _shown(setting, before[setting]) for setting in changed},
            "after": {setting: _shown(setting, self.after[setting]) for setting in changed},
            "backup": "",
        }

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

    def as_dict(self) -> Dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Edit:
        return cls(**values)


def checked(wanted: Mapping[str, Any]) -> Dict[str, str]:
    """Settings as a user gives them, as text; EtcdError for what etcd would refuse or take for something else."""
    found = {check_setting(setting): _text(setting, value) for setting, value in wanted.items()}
    state = found.get("initial-cluster-state", "new")
    if state not in ("new", "existing"):
        raise EtcdError(f"initial-cluster-state cannot be {state!r}.", "set it to new or to existing.")
    return found


def _text(setting: str, value: Any) -> str:
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


def plan_edits(member: Mapping[str, Any], wanted: Mapping[str, str]) -> List[Edit]:
    """One edit for each file that holds, or is to hold, one of the wanted settings; also for those that are right already.

    ``member`` is what ``discover`` returned. EtcdError where a setting has no file that it could be written to.
    """
    edits: Dict[str, Edit] = {}
    for setting, value in wanted.items():
        found = member["settings"].get(check_setting(setting)) or {}
        place = _place(member, setting, found)
        known = edits.get(place.path, place)
        edits[place.path] = replace(
            known,
            before={**known.before, setting: found.get("value", "")},
            after={**known.after, setting: value},
            settings={**known.settings, setting: value},
            seed=max(known.seed, place.seed, key=len),
            within={**known.within, **({setting: found["within"]} if found.get("within") else {})},
        )
    return list(edits.values())


# What a restore writes, with values that are made as its own will be.
_REHEARSED = {
    "initial-cluster": "m1=https://192.0.2.1:2380,m2=https://[2001:db8::2]:2380,m3=https://m3.example:2380",
    "initial-cluster-token": "etcd-20261124T030000Z-0a1b2c3d",
    "initial-cluster-state": "new",
}


def rehearse(member: Mapping[str, Any], read_text: Callable[[str], Optional[str]]) -> List[Dict[str, str]]:
    """Why the settings that a restore writes cannot be set, found by setting them in memory: before anything is stopped.

    One item ``{"cause", "next_step"}`` for each cause, whatever number of settings it is for; none where all can be set.
    ``read_text`` gives the text of a file of the host's, None where there is none.
    """
    found: Dict[Tuple[str, str], List[str]] = {}
    for setting, value in _REHEARSED.items():
        _rehearse(member, read_text, {setting: value}, found)
    if not found:  # each by itself can be set, and all in one file may get into each other's way
        _rehearse(member, read_text, _REHEARSED, found)
    return [
        {"cause": cause.replace(_SETTING, _in_words(settings)), "next_step": step.replace(_SETTING, settings[0])}
        for (cause, step), settings in found.items()
    ]


_SETTING = "\0"  # stands for the name of a setting in words that are the same for several


def _rehearse(
    member: Mapping[str, Any],
    read_text: Callable[[str], Optional[str]],
    wanted: Mapping[str, str],
    found: Dict[Tuple[str, str], List[str]],
) -> None:
    try:
        for each in plan_edits(member, wanted):
            text = read_text(each.path)
            each.edited((read_text(each.parked) if text is None and each.parked else text) or "")
    except EtcdError as error:
        name = re.compile(r"(?<![\w-])" + re.escape(next(iter(wanted))) + r"(?![\w-])")
        said = (name.sub(_SETTING, error.message), name.sub(_SETTING, error.next_step))
        found.setdefault(said, []).extend(wanted)


def _in_words(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _place(member: Mapping[str, Any], setting: str, found: Mapping[str, Any]) -> Edit:
    """An edit without settings yet, of the file where ``setting`` lives or belongs."""
    home = found or member["config"]
    format, path = home["format"], home["path"]
    if format not in FORMATS or not path:
        raise EtcdError(*_homeless(member, setting, found))
    service = member["service"]
    if format == "unit" and path.startswith(VENDOR_FOLDERS):
        if not service.get("dropin"):
            raise EtcdError(
                f"{setting} lives in {path}, which belongs to a package.", f"set it in a drop-in of {service['name']}."
            )
        if found.get("within"):
            raise EtcdError(
                f"{setting} is set by {found['within']} in {path}, which belongs to a package.",
                f"set {found['within']} in a file of its own that EnvironmentFile= names, restart the member, and run again.",
            )
        as_flag = found.get("kind") == "flag"
        if as_flag and not service.get("exec_start"):
            raise EtcdError(f"the command line in {path} cannot be overridden.", f"set {setting} in a drop-in by hand.")
        start = f"ExecStart=\nExecStart={service['exec_start']}\n" if as_flag else ""
        return Edit(service["dropin"], format, {}, {}, seed=f"[Service]\n{start}")
    parked = parked_manifest(path, member["state_dir"]) if format == "static_pod" else ""
    return Edit(path, format, {}, {}, parked=parked)


def _homeless(member: Mapping[str, Any], setting: str, found: Mapping[str, Any]) -> Tuple[str, str]:
    """Why a setting has no place where it could be written, and what makes one."""
    name = member["name"] or "(unnamed)"
    obscure = member["service"].get("obscure") or ""
    if obscure:
        cause = f"{obscure}, so it is not known where {setting} of the member {name} could be written."
    elif found and found["path"]:
        cause = f"{setting} of the member {name} is put together from variables in {found['path']}."
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


# ---- files -----------------------------------------------------------------------------------------------------------


def read_file(path: str) -> str:
    """The text, byte for byte: line ends as they are, and bytes that are no UTF-8 kept."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except OSError as error:
        raise EtcdError(f"{path} cannot be read: {error.strerror}.", "check its permissions.") from error


def write_file(path: str, text: str, mode: int = 0o644) -> None:
    """Replace the file at once and durably; owner, group, mode and SELinux context stay. A new file gets ``mode``."""
    _write_bytes(path, text.encode("utf-8", "surrogateescape"), path, mode)


def _write_bytes(path: str, content: bytes, like: str, mode: int = 0o600) -> None:
    path = _behind_links(path)  # a symbolic link stays one
    folder, name = os.path.split(path)
    # The dot hides it from the kubelet, the ending from systemd: both read every other file of their folders.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            _take_after(like, stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(folder)


def _behind_links(path: str) -> str:
    """The file itself. A link that is neither root's nor of whom it leads to, or leads to nothing, was put there to harm."""
    real = os.path.realpath(path)
    if os.path.islink(path):
        trusted = {0, os.geteuid()}
        if os.path.exists(real):
            trusted.add(os.stat(real).st_uid)
        owner = os.lstat(path).st_uid
        if owner not in trusted:
            raise EtcdError(
                f"{path} is a link to {real}, made by a user (uid {owner}) that does not own it.",
                "see who put it there; put the file itself in its place.",
            )
    return real


def _take_after(like: str, descriptor: int, mode: int) -> None:
    """Owner, group, mode and extended attributes of ``like``, where it exists."""
    try:
        status = os.stat(like)
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, status.st_mode & 0o7777)
    for name in _attributes(like):
        try:
            os.setxattr(descriptor, name, os.getxattr(like, name))
        except OSError:
            continue  # a file system or a policy that has none


def _attributes(path: str) -> List[str]:
    try:
        return os.listxattr(path)
    except (OSError, AttributeError):
        return []


def backup_copy(path: str, folder: str, stamp: str) -> str:
    """A copy of ``path`` in ``folder``, named by the file and ``stamp``; it is readable to nobody whom the file was not."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    content = _content(path)
    target = os.path.join(folder, f"{os.path.basename(path)}.{stamp}")
    number = 1
    while os.path.exists(target):
        if _content(target) == content:
            return target
        number += 1
        target = os.path.join(folder, f"{os.path.basename(path)}.{stamp}-{number}")
    _write_bytes(target, content, path)
    return target


def restore_copy(copy: str, path: str) -> bool:
    """Put a backup back, to the byte, with its owner and mode. True where the file was not like that already."""
    content = _content(copy)
    if os.path.exists(path) and _content(path) == content:
        return False
    _write_bytes(path, content, path if os.path.exists(path) else copy)
    return True


def _content(path: str) -> bytes:
    """To read another's file for whoever put a link to it is to give it away: a copy goes back to the link's place."""
    descriptor = os.open(_behind_links(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()
