# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings in a systemd unit or drop-in: flags of ``ExecStart=`` and variables of ``Environment=``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Tuple

from ...core.errors import EtcdError
from .command_lines import Etcd, locate, options, set_flag
from .names import flags, is_variable, setting_of, variable_of

_SAFE = re.compile(r"[A-Za-z0-9_./:,=@+\[\]-]*\Z")
_ESCAPES = {
    "n": "\n", "t": "\t", "s": " ", "\\": "\\", '"': '"', "'": "'", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
}  # fmt: skip
_CODED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass
class Word:
    """A word of a directive, unquoted, and its place in the text as it is written, quotes included.

    ``source`` is the value with ``$$`` and ``%%``, which stand for a dollar and a percent sign that mean nothing else.
    """

    value: str
    start: int
    end: int
    source: str = ""


@dataclass
class Directive:
    """``Key=words``; ``start`` and ``end`` enclose all its lines, without the last line end."""

    section: str
    key: str
    words: List[Word]
    start: int
    end: int
    raw: str = ""


@dataclass
class Unit:
    """What one file says, or several merged in systemd's order."""

    exec_start: Optional[Directive] = None
    environment: List[Directive] = field(default_factory=list)
    environment_files: List[str] = field(default_factory=list)
    binds: List[str] = field(default_factory=list)
    root: str = ""


def parse(text: str) -> Unit:
    """The [Service] directives of one file that matter here; an empty assignment resets, as in systemd."""
    return merge(directives(text))


def merge(found: List[Directive]) -> Unit:
    unit = Unit()
    for directive in found:
        if directive.section != "Service":
            continue
        if directive.key == "ExecStart":
            unit.exec_start = directive if directive.words else None
        elif directive.key == "Environment":
            unit.environment = [*unit.environment, directive] if directive.raw.strip() else []
        elif directive.key == "EnvironmentFile":
            files = [directive.raw.strip()]
            unit.environment_files = [*unit.environment_files, *files] if files[0] else []
        elif directive.key in ("BindPaths", "BindReadOnlyPaths"):
            unit.binds = [*unit.binds, *directive.raw.split()] if directive.raw.strip() else []
        elif directive.key == "RootDirectory":
            unit.root = directive.raw.strip().rstrip("/")
    return unit


def variables(unit: Unit) -> Dict[str, str]:
    """Every variable of ``Environment=``; the last one wins. Specifiers stay as they are, but for ``%%``."""
    pairs = (word.value.partition("=") for directive in unit.environment for word in directive.words)
    return {name: value for name, equals, value in pairs if equals and _NAME.match(name)}


def etcd_of(command: Optional[Directive]) -> Optional[Etcd]:
    """etcd in the command; None where there is none that could be read."""
    if command is None:
        return None
    first = [word.value.lstrip("-@:+!|") for word in command.words[:1]]
    return locate([*first, *[word.value for word in command.words[1:]]])


def unexpanded(command: Directive, etcd: Etcd) -> List[str]:
    """etcd's arguments as systemd has them before it puts in variables: for a script that is the shell's own work."""
    return etcd.words if etcd.in_script else [word.source for word in command.words[etcd.at + 1 :]]


def exec_flags(unit: Unit) -> Dict[str, str]:
    """Flags of etcd on the command line; none where something starts it that nothing here can read."""
    etcd = etcd_of(unit.exec_start)
    return {name: found[0] for name, found in flags(etcd.words).items()} if etcd else {}


def container_variables(etcd: Etcd) -> Dict[str, str]:
    """Variables that a container's client is told to set: ``-e ETCD_NAME=m1``."""
    pairs = (pair.partition("=") for pair in options(etcd.client, "-e", "--env"))
    return {name: value for name, equals, value in pairs if equals}


def read(text: str) -> Dict[str, str]:
    """Settings of one file; as etcd itself does it, a flag goes before a variable."""
    unit = parse(text)
    etcd = etcd_of(unit.exec_start)
    found = container_variables(etcd) if etcd and etcd.client else variables(unit)
    from_variables = {setting_of(name): value for name, value in found.items() if is_variable(name)}
    return {**from_variables, **exec_flags(unit)}


def edit(text: str, wanted: Mapping[str, str]) -> str:
    for setting, value in wanted.items():
        text = _set(text, setting, value)
    return text


def _set(text: str, setting: str, value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise EtcdError(f"the value {value!r} of {setting} holds a control character.", "give a value on one line.")
    unit = parse(text)
    command, etcd = unit.exec_start, etcd_of(unit.exec_start)
    if command and etcd and setting in flags(etcd.words):
        return _set_flag(text, command, etcd, setting, value)
    if command and etcd and etcd.client:
        return _set_container_variable(text, command, etcd, setting, value)
    if variable_of(setting) in variables(unit) or (etcd and etcd.in_script):
        return set_variable(text, variable_of(setting), value)
    if command is not None and etcd is None:
        raise EtcdError(
            f"{command.words[0].value} in ExecStart= starts etcd in a way that cannot be read, so it is not known where"
            f" {setting} would count.",
            "start etcd itself in ExecStart=, or give it a configuration file with --config-file.",
        )
    if command and etcd and (len(command.words) > 1 or not unit.environment):
        return _add_flag(text, command, etcd, setting, value)
    return set_variable(text, variable_of(setting), value)


def _set_flag(text: str, command: Directive, etcd: Etcd, setting: str, value: str) -> str:
    before, flag_at, value_at = flags(etcd.words)[setting]
    if before == value:
        return text
    if "$" in (before if etcd.in_script else unexpanded(command, etcd)[max(flag_at, value_at)].replace("$$", "")):
        raise EtcdError(
            f"the flag --{setting} takes its value from {before} in the unit.", f"set it where {before} is defined."
        )
    if etcd.in_script:
        script = command.words[etcd.at]
        changed = set_flag(text[script.start : script.end], setting, before, value)
        return text[: script.start] + changed + text[script.end :]
    behind = etcd.at + 1
    if value_at < 0:
        word = command.words[behind + flag_at]
        return text[: word.end] + "=" + _quote_value(value) + text[word.end :]
    word = command.words[behind + value_at]
    prefix = "" if value_at > flag_at else word.value[: word.value.index("=") + 1]
    return text[: word.start] + _rewritten(text[word.start : word.end], prefix, value) + text[word.end :]


def _set_container_variable(text: str, command: Directive, etcd: Etcd, setting: str, value: str) -> str:
    """The variable where the container's client is told of it, else a flag of etcd's."""
    name = variable_of(setting)
    if name not in container_variables(etcd):
        return _add_flag(text, command, etcd, setting, value)
    word = [word for word in command.words if re.match(rf"(?:--env=)?{name}=", word.value)][-1]
    prefix = word.value[: word.value.index(name) + len(name) + 1]
    if word.value == prefix + value:
        return text
    return text[: word.start] + _rewritten(text[word.start : word.end], prefix, value) + text[word.end :]


def _rewritten(raw: str, prefix: str, value: str) -> str:
    """A word of ``prefix`` and a new value, quoted as the old word was where that is possible."""
    marks = raw[0] if raw[0] in "'\"" else ""
    if marks and raw.endswith(marks):
        return marks + _escape(prefix + value, marks) + marks
    inner = raw[len(prefix) : len(prefix) + 1]
    if prefix and inner in ("'", '"'):
        return prefix + inner + _escape(value, inner) + inner
    if value and _SAFE.match(value):
        return prefix + value
    return '"' + _escape(prefix + value, '"') + '"'


def _quote_value(value: str) -> str:
    return value if value and _SAFE.match(value) else '"' + _escape(value, '"') + '"'


def _escape(value: str, marks: str, dollar: bool = True) -> str:
    """Specifiers (%) always, variables ($) on command lines only: Environment= knows none."""
    value = value.replace("\\", "\\\\").replace(marks, "\\" + marks).replace("%", "%%")
    return value.replace("$", "$$") if dollar else value


def set_variable(text: str, name: str, value: str) -> str:
    """``text`` with the variable in ``Environment=``, where it stands or as a new line."""
    unit = parse(text)
    words = [word for directive in unit.environment for word in directive.words if word.value.startswith(name + "=")]
    if not words:
        return _add_variable(text, unit, name, value)
    word = words[-1]
    if word.value == f"{name}={value}":
        return text
    return text[: word.start] + _assignment(text[word.start : word.end], name, value) + text[word.end :]


def _assignment(raw: str, name: str, value: str) -> str:
    marks = raw[0] if raw[:1] in ("'", '"') else ""
    if not marks and _SAFE.match(value):
        inner = raw[len(name) + 1 : len(name) + 2]
        return f"{name}={inner}{value}{inner}" if inner in ("'", '"') else f"{name}={value}"
    marks = marks or '"'
    return marks + _escape(f"{name}={value}", marks, dollar=False) + marks


def _add_flag(text: str, command: Directive, etcd: Etcd, setting: str, value: str) -> str:
    """Behind the last word, on a line of its own where the command has one a line."""
    last = command.words[-1]
    spaced = any(word.startswith("-") and "=" not in word for word in etcd.words)
    joined = any(word.startswith("-") and "=" in word for word in etcd.words)
    dashes = "-" if any(re.match(r"-[^-]", word) for word in etcd.words) else "--"
    word = _rewritten("x", f"{dashes}{setting}=", value)
    if spaced and not joined:
        word = f"{dashes}{setting} {_quote_value(value)}"
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = re.search(r"\\\r?\n([ \t]*)[^\n]*\Z", text[command.start : last.start])
    glue = f" \\{newline}{indent.group(1)}" if indent else " "
    return text[: last.end] + glue + word + text[last.end :]


def _add_variable(text: str, unit: Unit, name: str, value: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    service = re.search(r"^\[Service\][ \t]*\r?(?:\n|\Z)", text, re.MULTILINE)
    if unit.environment:
        at = unit.environment[-1].end
        marks = '"' if text[unit.environment[-1].words[-1].start] == '"' else ""
        return text[:at] + newline + "Environment=" + _assignment(marks, name, value) + text[at:]
    line = "Environment=" + _assignment('"', name, value)
    if service is None:
        glue = newline if text and not text.endswith("\n") else ""
        return text + glue + ("" if not text else newline) + "[Service]" + newline + line + newline
    at = service.end()
    if not text[:at].endswith("\n"):
        return text[:at] + newline + line
    return text[:at] + line + newline + text[at:]


# ---- reading ---------------------------------------------------------------------------------------------------------


def directives(text: str) -> List[Directive]:
    """Every directive of a unit file, with the words of those whose words matter."""
    found: List[Directive] = []
    section, pos = "", 0
    while pos < len(text):
        end = _line_end(text, pos)
        line = text[pos:end].strip()
        title = re.match(r"\[([^\]]+)\]\Z", line)
        if title:
            section = title.group(1)
        elif line.startswith("[") and _goes_on(line):
            raise EtcdError(
                f"line {_number(text, pos)} of the unit: a section's name goes on.", "write it on one line."
            )
        elif line and line[0] not in "#;":
            end = _logical_end(text, pos)
            _add_directive(found, text, section, pos, end)
        pos = end + 1
    return found


def _add_directive(found: List[Directive], text: str, section: str, start: int, end: int) -> None:
    equals = text.find("=", start, end)
    if equals < 0:
        return
    if "\n" in text[start:equals]:
        raise EtcdError(f"line {_number(text, start)} of the unit: its name goes on.", "write it on one line.")
    key = text[start:equals].strip()
    stop = end - 1 if text[start:end].endswith("\r") else end
    words: List[Word] = []
    if section == "Service" and key in ("ExecStart", "Environment"):
        words = _words(text, equals + 1, stop, command=key == "ExecStart")
    found.append(Directive(section, key, words, start, stop, text[equals + 1 : stop]))


def _number(text: str, pos: int) -> int:
    return text.count("\n", 0, pos) + 1


def _line_end(text: str, pos: int) -> int:
    end = text.find("\n", pos)
    return len(text) if end < 0 else end


def _logical_end(text: str, pos: int) -> int:
    """The end of a directive that may go on over lines; comment lines in between do not end it."""
    end = _line_end(text, pos)
    while _goes_on(text[pos:end]) and end < len(text):
        pos = end + 1
        end = _line_end(text, pos)
        while text[pos:end].lstrip().startswith(("#", ";")) and end < len(text):
            pos = end + 1
            end = _line_end(text, pos)
    return end


def _goes_on(line: str) -> bool:
    """Whether a backslash ends it, one that no other backslash escapes."""
    bare = line.rstrip("\r")
    return (len(bare) - len(bare.rstrip("\\"))) % 2 == 1


_GAP = re.compile(r"(?:[ \t]|\\\r?\n(?:[ \t]*[#;][^\n]*(?:\n|\Z))*)+")


def _words(text: str, pos: int, end: int, command: bool) -> List[Word]:
    found: List[Word] = []
    while True:
        gap = _GAP.match(text, pos, end)
        pos = gap.end() if gap else pos
        if pos >= end or (text[pos] == "\\" and pos + 1 >= end):
            return found
        try:
            value, after = _word(text, pos, end, relaxed=command)
        except _UnknownEscape:
            return found
        plain = value.replace("%%", "%")
        found.append(Word(plain.replace("$$", "$") if command else plain, pos, after, value))
        pos = after


class _UnknownEscape(Exception):
    """systemd passes over the rest of such a line in ``Environment=``; in a command it leaves the escape as it is."""


def _word(text: str, pos: int, end: int, relaxed: bool) -> Tuple[str, int]:
    parts: List[str] = []
    marks = ""
    while pos < end:
        char = text[pos]
        if char == "\\":
            if re.compile(r"\\\r?(?:\n|\Z)").match(text, pos, end) and not marks:
                break
            part, pos = _unescape(text, pos, end, relaxed)
            parts.append(part)
            continue
        if not marks and char in " \t":
            break
        if char == marks:
            marks = ""
        elif not marks and char in "'\"":
            marks = char
        else:
            parts.append(char)
        pos += 1
    if marks:
        raise EtcdError(f"line {_number(text, pos)} of the unit: a quote is never closed.", "close it.")
    return "".join(parts), pos


def _unescape(text: str, pos: int, end: int, relaxed: bool) -> Tuple[str, int]:
    coded = _CODED.match(text, pos, end)
    if coded:
        octal = coded.group(4)
        number = int(octal, 8) if octal else int(next(filter(None, coded.groups()[:3])), 16)
        if 0 < number < 0x110000:
            return chr(number), coded.end()
    code = text[pos + 1 : min(pos + 2, end)]
    if code == "\n":
        return " ", pos + 2
    if code not in _ESCAPES and not relaxed:
        raise _UnknownEscape
    return _ESCAPES.get(code, "\\" + code), pos + 1 + len(code)
