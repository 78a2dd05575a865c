# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings in an environment file, as systemd's ``EnvironmentFile=`` and a sourcing shell read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Match, Optional, Tuple

from ...core.errors import EtcdError
from .names import is_variable, setting_of, variable_of

# As systemd does it: all up to '=' is the name, and what is behind it a value by all rules also where that is no name.
_ASSIGNMENT = re.compile(r"[ \t]*([^\s#;][^=\r\n]*)=[ \t]*")
_LINE_END = re.compile(r"[\r\n]|\Z")
_NEXT_LINE = re.compile(r"\r?\n|\r|\Z")
_NAME = re.compile(r"(export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)\Z")
_COMMENTED = re.compile(r"[ \t]*[#;][#; \t]*(export[ \t]+)?([A-Z_][A-Z0-9_]*)=(.?)")
# Means the same to systemd, to every shell and to docker's --env-file, without quotes.
_SAFE = re.compile(r"[A-Za-z0-9_./:,=@%+\[\]-]*\Z")


@dataclass
class Assignment:
    """One ``NAME=value``; ``start`` and ``end`` enclose the value as it is written, ``next`` is the following line."""

    name: str
    value: str
    quote: str
    export: str
    line: int
    start: int
    end: int
    next: int


def variables(text: str) -> Dict[str, str]:
    """Every variable that is set, ETCD_ or not; the last one wins."""
    return {found.name: found.value for found in assigned(text)}


def by_systemd(text: str) -> Tuple[Dict[str, str], bool]:
    """What systemd sets, and whether there are lines with ``export``, which a shell reads and systemd passes over."""
    assignments = assigned(text)
    return {found.name: found.value for found in assignments if not found.export}, any(
        found.export for found in assignments
    )


def read(text: str) -> Dict[str, str]:
    return {setting_of(name): value for name, value in variables(text).items() if is_variable(name)}


def edit(text: str, wanted: Mapping[str, str]) -> str:
    for setting, value in wanted.items():
        text = set_variable(text, variable_of(setting), value)
    return text


def set_variable(text: str, name: str, value: str) -> str:
    assignments = assigned(text)
    same = [found for found in assignments if found.name == name]
    if not same:
        return _add(text, assignments, name, value)
    last = same[-1]
    if last.value == value:
        return text
    _refuse_ambiguity(text, last)
    return text[: last.start] + quote(value, last.quote) + text[last.end :]


def _refuse_ambiguity(text: str, found: Assignment) -> None:
    raw = text[found.start : found.end]
    if re.search(
        r"\s#", raw if not found.quote else re.sub(r"\A(\"(?:[^\"\\]|\\.)*\"|'[^']*')", "", raw, flags=re.DOTALL)
    ):
        raise EtcdError(
            f"line {found.line}: a comment follows the value of {found.name}; systemd takes it for a part of the value, a"
            " shell does not.",
            "move the comment to a line of its own.",
        )
    above = text[: text.rfind("\n", 0, found.start) + 1].rstrip("\r\n").rpartition("\n")[2]
    if above.lstrip().startswith(("#", ";")) and above.endswith("\\"):
        raise EtcdError(
            f"line {found.line}: the comment above {found.name} ends in a backslash, and systemd before 254 takes this line"
            " for a part of it.",
            "remove that backslash.",
        )


def _add(text: str, assignments: List[Assignment], name: str, value: str) -> str:
    """A new line: behind the one where the variable is commented out, else behind the last of etcd's, else at the end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    hint = _commented_out(text, name, assignments)
    own = [found for found in assignments if is_variable(found.name)]
    neighbour = own[-1] if own else (assignments[-1] if assignments else None)
    style = (neighbour.quote, neighbour.export, neighbour.next) if neighbour else ('"', "", len(text))
    quotes, export, at = hint or style
    line = f"{export}{name}={quote(value, quotes)}"
    head, tail = text[:at], text[at:]
    if head and not head.endswith("\n"):
        return head + newline + line + tail
    return head + line + newline + tail


def _commented_out(text: str, name: str, assignments: List[Assignment]) -> Optional[Tuple[str, str, int]]:
    """Quote, ``export`` and the offset behind the last commented-out line of ``name``."""
    found, offset = None, 0
    for raw in re.findall(r"[^\n]*\n|[^\n]+", text):
        match = _COMMENTED.match(raw)
        offset += len(raw)
        continued = raw.rstrip("\r\n").endswith("\\")
        inside = any(entry.start < offset - len(raw) < entry.end for entry in assignments)
        if match and match.group(2) == name and not continued and not inside:
            quotes = match.group(3) if match.group(3) in "'\"" else ""
            found = (quotes, match.group(1) or "", offset)
    return found


def assigned(text: str) -> List[Assignment]:
    """Every assignment, in the order of the file; of several for one name the last counts."""
    found, pos, line, counted = [], 0, 1, 0
    while pos < len(text):
        line_end = _end_of(_LINE_END.search(text, pos), pos)[0]
        match = _ASSIGNMENT.match(text, pos, line_end)
        if not match:
            pos = line_end + 1
            continue
        line, counted = line + text.count("\n", counted, pos), pos
        value, end = _value(text, match.end(), line)
        start = match.end()
        quotes = text[start : start + 1] if text[start : start + 1] in ("'", '"') else ""
        pos = _end_of(_NEXT_LINE.search(text, end), end)[1]
        end = start + len(text[start:end].rstrip())
        name = _NAME.match(match.group(1).rstrip())
        if name:
            found.append(Assignment(name.group(2), value, quotes, name.group(1) or "", line, start, end, pos))
    return found


def _value(text: str, pos: int, line: int) -> Tuple[str, int]:
    """The value that begins at ``pos`` and the offset of its line's end, by the rules of systemd's reader."""
    parts: List[str] = []
    while pos < len(text) and text[pos] not in "\r\n":
        if text[pos] in "'\"":
            part, pos = _quoted(text, pos, line)
            parts.append(part)
        elif text[pos] in " \t":
            pos += 1  # systemd skips blanks between quoted parts
        else:
            part, pos = _bare(text, pos)
            parts.append(part)
    return "".join(parts), pos


def _quoted(text: str, pos: int, line: int) -> Tuple[str, int]:
    pattern = r"'([^']*)'" if text[pos] == "'" else r'"((?:[^"\\]|\\.)*)"'
    match = re.compile(pattern, re.DOTALL).match(text, pos)
    if not match:
        raise EtcdError(f"line {line}: its quote is never closed.", "close the quote.")
    if text[pos] == "'":
        return match.group(1), match.end()
    body = re.sub(r"\\\r?\n", "", match.group(1))
    return re.sub(r'\\(["\\`$])', r"\1", body), match.end()


def _bare(text: str, pos: int) -> Tuple[str, int]:
    """An unquoted rest of a value: quotes inside it are characters like any other, trailing blanks are none."""
    end = _end_of(_BARE.match(text, pos), pos)[1]
    raw = text[pos:end]
    kept = raw[: _end_of(_KEPT.match(raw), 0)[1]]
    return re.sub(r"\\(.)", r"\1", re.sub(r"\\\r?\n", "", kept)), end


_BARE = re.compile(r"(?:[^\\\r\n]|\\\r?\n|\\.|\\\Z)*")
_KEPT = re.compile(r"(?:.*(?:[^\s\\]|\\(?:\r?\n|.)))?", re.DOTALL)


def _end_of(found: Optional[Match[str]], pos: int) -> Tuple[int, int]:
    """Where a match begins and ends; ``pos`` where there is none, which these patterns leave no room for."""
    return found.span() if found else (pos, pos)


def quote(value: str, quotes: str) -> str:
    """``value`` in the quotes that are asked for where they can hold it, else in double quotes."""
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise EtcdError(f"the value {value!r} holds a control character.", "give a value on one line.")
    if not quotes and _SAFE.match(value):
        return value
    if quotes == "'" and "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'
