# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking an etcd which settings it knows in its configuration file, and of which type, without starting a member.

It is given a file that it must refuse: the setting in question with a value of no type, and behind it ``name`` with another
one. etcd reads all of a file, in the order of its keys, and names the first that does not fit: so it names ``name`` alone
where it has passed over the other. Capital letters count as small ones, and come before them. Seen on 3.4 to 3.7.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import Dict, Iterable, List, Mapping, Optional

from ...core.errors import EtcdError
from ...etcd.commands import Run, etcd_with
from ..settings.names import NESTED

GUARD = "name: [[]]\n"
# The last of etcd's settings by name that every version has.
LAST = "wal-dir"
_MISFIT = re.compile(r"cannot unmarshal \w+ into Go struct field \S*?\.([a-z0-9-]+) of type ([\w\[\]]+(?:\.\w+)?)")
NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def types_of(run: Run, etcd: str, settings: Iterable[str]) -> Dict[str, str]:
    """Of each setting its type, as Go calls it; empty for one that this etcd does not know."""
    return {setting: _type(run, etcd, setting) for setting in settings}


def _type(run: Run, etcd: str, setting: str) -> str:
    section, key = NESTED.get(setting, ("", setting))
    line = f"{section.upper()}: {{{key.upper()}: {{}}}}\n" if section else f"{key.upper()}: {{}}\n"
    if setting == "name":
        return "string"
    found = _misfit(run, etcd, line + GUARD)
    return found[1] if found and found[0] == key else ""


def complaint(run: Run, etcd: str, text: str) -> str:
    """What this etcd has against the types of the values in its configuration; empty for nothing."""
    settings = [line for line in text.splitlines() if not line.startswith(f"{LAST}:")]
    said = _said(run, etcd, "\n".join([*settings, f"{LAST}: [[]]\n"]))
    found = _MISFIT.search(said)
    if found and found.group(1) == LAST:
        return ""
    return f"{found.group(1)} is to be of type {found.group(2)}" if found else said.strip()[-300:]


def in_its_types(run: Run, etcd: str, settings: Mapping[str, str]) -> Dict[str, str]:
    """The operator's settings as the file of this etcd takes them: a time is a number of nanoseconds there.

    EtcdError for one that it does not know.
    """
    types = types_of(run, etcd, settings)
    unknown = [setting for setting in settings if not types[setting]]
    if unknown:
        raise EtcdError(
            f"{etcd} does not know the setting {', '.join(unknown)} in a configuration file, and would pass over it without a"
            " word.",
            "name it as this version does, or take it out of etcd_settings.",
        )
    return {
        setting: _nanoseconds(value) if types[setting] == "time.Duration" else value
        for setting, value in settings.items()
    }


def _nanoseconds(value: str) -> str:
    parts = re.findall(r"(\d+)(ms|s|m|h)", value)
    if not parts or "".join(map("".join, parts)) != value:
        return value
    return str(sum(int(number) * NANOSECONDS[unit] for number, unit in parts))


def _misfit(run: Run, etcd: str, text: str) -> Optional[List[str]]:
    found = _MISFIT.search(_said(run, etcd, text))
    return list(found.groups()) if found else None


def _said(run: Run, etcd: str, text: str) -> str:
    """What etcd says to a file that it must refuse."""
    with tempfile.TemporaryDirectory(prefix="quorum-etcd-asked-") as folder:
        path = os.path.join(folder, "etcd.yml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        try:
            command = etcd_with(etcd, path)
            result = run(command.argv, command.env)
        except OSError as error:
            raise EtcdError(
                f"{etcd} cannot be run: {error.strerror}.", "see that it is a program for this host."
            ) from error
    if result.rc == 0:
        raise EtcdError(f"{etcd} took a configuration that no etcd can take.", "see that it is etcd itself.")
    return f"{result.err}\n{result.out}\n"
