# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings as text: an environment file, etcd's YAML, a systemd unit, a static pod's manifest.

``read`` and ``edit`` are pure functions from text to values and from text to text; an edit changes the value and nothing
else in the file. Settings are named by etcd's flags, without dashes in front.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Callable, Dict, Mapping, NamedTuple

from ...core.errors import EtcdError
from . import env_file as _settings_env
from . import pod as _settings_pod
from . import unit as _settings_unit
from . import yaml_file as _settings_yaml
from .command_lines import set_flag, split
from .names import check_setting, flags, setting_of


class Format(NamedTuple):
    """How the settings of one kind of file are read and edited."""

    read: Callable[[str], Dict[str, str]]
    edit: Callable[[str, Mapping[str, str]], str]


FORMATS = {
    "env": Format(_settings_env.read, _settings_env.edit),
    "yaml": Format(_settings_yaml.read, _settings_yaml.edit),
    "unit": Format(_settings_unit.read, _settings_unit.edit),
    "static_pod": Format(_settings_pod.read, _settings_pod.edit),
}

NOWHERE: Mapping[str, str] = MappingProxyType({})


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


def _reader(format: str) -> Format:
    if format not in FORMATS:
        raise EtcdError(
            f"settings of the format {format!r} cannot be read or edited.", f"use one of {', '.join(FORMATS)}."
        )
    return FORMATS[format]
