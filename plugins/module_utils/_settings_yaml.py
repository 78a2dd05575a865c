# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings in its own configuration file (``--config-file``)."""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Tuple

from . import _yaml_lines as yaml
from ._names import NESTED
from .errors import EtcdError

# Text settings whose value may look like a number: YAML would turn the token 0123 into 83.
_TEXT = re.compile(r"name|.*-(?:dir|token|file|urls|state|cluster|retention|mode|level)|auth-token|discovery.*|log-.*")


def read(text: str) -> Dict[str, str]:
    """Scalars by flag name, also those of the TLS sections; lists become ``a,b``."""
    found: Dict[str, str] = {}
    document = yaml.parse(text)
    for entry in document.entries.values():
        if isinstance(entry.node, yaml.Map):
            found.update(_section(entry.key, entry.node))
        else:
            found[entry.key] = _text(entry.node)
    return found


def edit(text: str, wanted: Mapping[str, str]) -> str:
    for setting, value in wanted.items():
        text = _set(text, setting, value)
    return text


def _section(name: str, section: yaml.Map) -> Dict[str, str]:
    flag_of = {place: flag for flag, place in NESTED.items()}
    return {
        flag_of.get((name, entry.key), f"{name}.{entry.key}"): _text(entry.node)
        for entry in section.entries.values()
        if not isinstance(entry.node, yaml.Map)
    }


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.Sequence):
        return ",".join(_text(item) for item in node.items if isinstance(item, yaml.Scalar))
    return node.value if isinstance(node, yaml.Scalar) else ""


def _set(text: str, setting: str, value: str) -> str:
    document = yaml.parse(text)
    section, key = NESTED.get(setting, ("", setting))
    home = document.get(section) if section else document
    if home is None or (isinstance(home, yaml.Scalar) and home.style == yaml.EMPTY):
        return _add_section(text, document, section, key, value)
    if not isinstance(home, yaml.Map) or (section and home.entries == {}):
        raise EtcdError(f"{section} is no map of settings in block style.", "write one setting a line below it.")
    entry = home.entries.get(key)
    if entry is None:
        return _add(text, home, key, value, setting)
    return _replace(text, entry, value, setting)


def _replace(text: str, entry: yaml.Entry, value: str, setting: str) -> str:
    node = entry.node
    if not isinstance(node, yaml.Scalar) or node.style == yaml.BLOCK:
        raise EtcdError(
            f"line {entry.line}: {entry.key} is not a value on one line, so it cannot be set safely.",
            f"write it as '{entry.key}: value'.",
        )
    if node.value == value and node.style != yaml.EMPTY:
        return text
    style = yaml.SINGLE if node.style == yaml.EMPTY else node.style
    gap = " " if node.style == yaml.EMPTY else ""
    return text[: node.start] + gap + _written(value, style, setting) + text[node.end :]


def _written(value: str, style: str, setting: str) -> str:
    """Numbers and booleans without quotes: etcd takes no quoted number where it wants one."""
    text_setting = bool(_TEXT.fullmatch(setting))
    if style != yaml.PLAIN and not text_setting and value and yaml.is_other_type(value):
        style = yaml.PLAIN
    return yaml.quote(value, style, text_setting or not value)


def _add(text: str, home: yaml.Map, key: str, value: str, setting: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    line = " " * home.indent + f"{key}: {_written(value, _style(home), setting)}"
    at = _place(text, home, key)
    head, tail = text[:at], text[at:]
    if head and not head.endswith("\n"):
        return head + newline + line + tail
    return head + line + newline + tail


def _style(home: yaml.Map) -> str:
    """How the text values of this map are quoted; single quotes where there is none to go by."""
    styles = [
        entry.node.style
        for entry in home.entries.values()
        if isinstance(entry.node, yaml.Scalar)
        and (entry.node.style in (yaml.SINGLE, yaml.DOUBLE) or not yaml.is_other_type(entry.node.value))
    ]
    usual = [style for style in styles if style in (yaml.SINGLE, yaml.DOUBLE, yaml.PLAIN)]
    return max(usual, key=usual.count) if usual else yaml.SINGLE


def _place(text: str, home: yaml.Map, key: str) -> int:
    """Where a new key goes: below its commented-out line, below its nearest relative by name, or at the end."""
    commented = re.compile(rf"^ {{{home.indent}}}#[# \t]*{re.escape(key)}:[^\n]*(?:\n|\Z)", re.MULTILINE)
    entries = list(home.entries.values())
    starts = _line_starts(text)
    limit = (starts[entries[0].line - 1], entries[-1].end) if home.indent and entries else (0, len(text))
    hints = [found.end() for found in commented.finditer(text, *limit)]
    if hints and not any(starts[entry.line - 1] < hints[-1] < entry.end for entry in entries):
        return hints[-1]
    relatives = [entry for entry in entries if _kin(entry.key, key)]
    if relatives or home.indent:
        return (relatives or entries)[-1].end
    return len(text)


def _kin(one: str, other: str) -> bool:
    return one.split("-")[:2] == other.split("-")[:2]


def _line_starts(text: str) -> Tuple[int, ...]:
    return (0, *[found.end() for found in re.finditer(r"\n", text)])


def _add_section(text: str, document: yaml.Map, section: str, key: str, value: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    line = f"  {key}: {_written(value, yaml.SINGLE, key)}"
    entry: Optional[yaml.Entry] = document.entries.get(section)
    head = text[: entry.end] if entry else text
    tail = text[entry.end :] if entry else ""
    glue = newline if head and not head.endswith("\n") else ""
    title = "" if entry else f"{section}:{newline}"
    end = "" if glue else newline
    return head + glue + title + line + end + tail
