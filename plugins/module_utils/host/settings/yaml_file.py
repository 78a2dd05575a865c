# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings in its own configuration file (``--config-file``)."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Optional, Tuple

from ...core.errors import EtcdError
from . import yaml_lines as yaml
from .names import NESTED

# Text settings whose value may look like a number: YAML would turn the token 0123 into 83.
_TEXT = re.compile(r"name|.*-(?:dir|token|file|urls|state|cluster|retention|mode|level)|auth-token|discovery.*|log-.*")
# What etcd takes as a list alone, which its flag has with commas.
_LISTS = frozenset(("cipher-suites", "log-outputs"))


def read(text: str) -> Dict[str, str]:
    """Scalars by flag name, also those of the TLS sections; lists become ``a,b``."""
    found: Dict[str, str] = {}
    for key, node in _in_order(yaml.parse(text)):
        if isinstance(node, yaml.Map):
            found.update(_section(key.lower(), node))
        else:
            found[key.lower()] = _text(node, key.lower())
    return found


def _in_order(home: yaml.Map) -> List[Tuple[str, yaml.Node]]:
    """As etcd takes them: by JSON, with keys in sorted order and letters of either case; the last one counts."""
    return sorted(home.nodes().items())


def edit(text: str, wanted: Mapping[str, str]) -> str:
    for setting, value in wanted.items():
        text = _set(text, setting, value)
    return text


def _section(name: str, section: yaml.Map) -> Dict[str, str]:
    flag_of = {place: flag for flag, place in NESTED.items()}
    found = {}
    for key, node in _in_order(section):
        if not isinstance(node, yaml.Map):
            flag = flag_of.get((name, key.lower()), f"{name}.{key}")
            found[flag] = _text(node, flag)
    return found


def _text(node: yaml.Node, setting: str) -> str:
    if isinstance(node, yaml.Sequence):
        return ",".join(_text(item, setting) for item in node.items if isinstance(item, yaml.Scalar))
    if not isinstance(node, yaml.Scalar):
        return ""
    return node.value if _TEXT.fullmatch(setting) else _number(node.value)


def _number(value: str) -> str:
    """A whole number as etcd gets it from YAML's ways to write one: 1_000, 0x10, 0o17, 017, 1e4."""
    bare = value.replace("_", "")
    sign, digits = (bare[:1], bare[1:]) if bare[:1] in ("+", "-") else ("", bare)
    for pattern, base in ((r"0x[0-9a-fA-F]+", 16), (r"0b[01]+", 2), (r"0o?[0-7]+", 8), (r"[1-9]\d{,30}", 10)):
        if re.fullmatch(pattern, digits):
            number = int(digits.replace("o", ""), base)
            return str(-number if sign == "-" else number)
    whole = re.fullmatch(r"([1-9]\d?)[eE]\+?(\d{1,2})", digits)
    return f"{sign.strip('+')}{whole.group(1)}{'0' * int(whole.group(2))}" if whole else value


def _set(text: str, setting: str, value: str) -> str:
    document = yaml.parse(text)
    section, key = NESTED.get(setting, ("", setting))
    title = _effective_key(document, section)
    home = document.get(title) if section else document
    if home is None or (isinstance(home, yaml.Scalar) and home.style == yaml.EMPTY):
        return _add_section(text, document, title, key, value)
    if not isinstance(home, yaml.Map):
        raise EtcdError(f"{section} is no map of settings.", "write one setting a line below it.")
    entry = home.entries.get(_effective_key(home, key))
    if entry is None and home.indent < 0:
        raise EtcdError(
            f"the settings are in braces, as in JSON, and {setting} is not among them.",
            f'add "{key}": "" to them, and run again.',
        )
    if entry is None:
        return _add(text, home, key, value, setting)
    return _replace(text, entry, value, setting)


def _effective_key(home: yaml.Map, key: str) -> str:
    """``key`` as the map has it, with letters of either case; of several, the one that counts."""
    return max((own for own in home.nodes() if own.lower() == key), default=key)


def _replace(text: str, entry: yaml.Entry, value: str, setting: str) -> str:
    node = entry.node
    if not isinstance(node, yaml.Scalar) or node.style == yaml.FIXED:
        raise EtcdError(
            f"line {entry.line}: {entry.key} is no plain value but a list, a map, an alias or one with a tag, so it cannot be"
            " set safely.",
            f"write it as '{entry.key}: value'.",
        )
    if node.value == value and node.style != yaml.EMPTY:
        return text
    style = yaml.SINGLE if node.style in (yaml.EMPTY, yaml.BLOCK) else node.style
    gap = " " if node.style == yaml.EMPTY else ""
    ending = _line_end(text) if node.style == yaml.BLOCK and text[node.start : node.end].endswith("\n") else ""
    return text[: node.start] + gap + _written(value, style, setting) + ending + text[node.end :]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _written(value: str, style: str, setting: str) -> str:
    """Numbers and booleans without quotes: etcd takes no quoted number where it wants one."""
    if setting in _LISTS:
        return f"[{', '.join(yaml.quote(item, yaml.SINGLE, True) for item in value.split(','))}]"
    text_setting = bool(_TEXT.fullmatch(setting))
    if style != yaml.PLAIN and not text_setting and value and yaml.is_other_type(value):
        style = yaml.PLAIN
    return yaml.quote(value, style, text_setting or not value)


def _add(text: str, home: yaml.Map, key: str, value: str, setting: str) -> str:
    newline = _line_end(text)
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
    newline = _line_end(text)
    line = f"  {key}: {_written(value, yaml.SINGLE, key)}"
    entry: Optional[yaml.Entry] = document.entries.get(section)
    head = text[: entry.end] if entry else text
    tail = text[entry.end :] if entry else ""
    glue = newline if head and not head.endswith("\n") else ""
    title = "" if entry else f"{section}:{newline}"
    end = "" if glue else newline
    return head + glue + title + line + end + tail
