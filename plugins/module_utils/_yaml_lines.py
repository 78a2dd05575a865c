# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line-wise reader of the YAML that etcd's configuration files and static pod manifests are written in.

Targets have no YAML library, and none would keep comments, order and quotes. This one knows block maps, block lists and
scalars on one line, each with its place in the text; flow lists are read and never edited. Of what it does not know
(anchors, tags, flow maps, scalars over several lines, duplicate keys) it says so, with the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, NoReturn, Optional, Tuple, Union

from .errors import EtcdError

PLAIN, SINGLE, DOUBLE, BLOCK, EMPTY = "plain", "single", "double", "block", "empty"

_ESCAPES = {"\\": "\\", '"': '"', "/": "/", "n": "\n", "t": "\t", "r": "\r", "0": "\0", " ": " ", "e": "\x1b"}
_WORDS_OF_OTHER_TYPES = re.compile(
    r"(?:~|null|true|false|yes|no|on|off|y|n|[-+]?[.\d][\d_.,:eExXa-fA-FoO+-]*|[-+]?\.(?:inf|nan))\Z", re.IGNORECASE
)


@dataclass
class Scalar:
    """One value; ``start`` and ``end`` are offsets of all of it in the text, quotes included; ``line`` counts from 1."""

    value: str
    style: str
    line: int
    start: int
    end: int


@dataclass
class Sequence:
    """A list; ``indent`` is the column of its dashes, -1 for a flow list."""

    items: List[Node] = field(default_factory=list)
    indent: int = 0
    line: int = 0


@dataclass
class Entry:
    """A key of a map, its value, and the offset at which the next line after all of it begins."""

    key: str
    node: Node
    line: int
    end: int


@dataclass
class Map:
    entries: Dict[str, Entry] = field(default_factory=dict)
    indent: int = 0
    line: int = 0

    def get(self, key: str) -> Optional[Node]:
        entry = self.entries.get(key)
        return entry.node if entry else None


Node = Union[Scalar, Sequence, Map]


@dataclass
class Line:
    """A line that holds something: ``content`` without indentation and line end, which begins at offset ``start``."""

    number: int
    indent: int
    content: str
    start: int
    end: int  # offset of the next line


def parse(text: str) -> Map:
    """The map that ``text`` is; EtcdError with the line number where it is anything else."""
    return _Parser(text).document()


def quote(value: str, style: str, string: bool = True) -> str:
    """``value`` as a scalar: in ``style`` where that can hold it, else in single quotes.

    ``string`` says that it must stay a string: then a plain word that YAML would take for a number is quoted.
    """
    if any(ord(char) < 32 or char in "\x7f\x85\u2028\u2029" for char in value):
        raise EtcdError(f"the value {value!r} holds a control character.", "give a value on one line.")
    if style == DOUBLE:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if style == PLAIN and _is_plain(value) and not (string and _WORDS_OF_OTHER_TYPES.match(value)):
        return value
    return "'" + value.replace("'", "''") + "'"


def is_other_type(value: str) -> bool:
    """Whether YAML takes this plain word for a number, a boolean or nothing."""
    return not value or bool(_WORDS_OF_OTHER_TYPES.match(value))


def _is_plain(value: str) -> bool:
    if not value or value != value.strip() or value[0] in "!&*|>'\"%@`#{}[],?:" or value in ("-", "---", "..."):
        return False
    return not (
        value.startswith(("- ", "--- ")) or ": " in value or " #" in value or value.endswith(":") or "\t" in value
    )


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = self._split(text)
        self.at = 0

    def _split(self, text: str) -> List[Line]:
        found, offset = [], 0
        for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
            bare = raw.rstrip("\r\n")
            content = bare.lstrip(" ")
            indent = len(bare) - len(content)
            bom = content.startswith("\ufeff")
            if content.startswith("\t"):
                _fail(number, "a tab indents it")
            if bom:
                _fail(number, "it starts with a byte order mark")
            if content and not content.startswith("#"):
                found.append(Line(number, indent, content.rstrip(), offset + indent, offset + len(raw)))
            offset += len(raw)
        return found

    def document(self) -> Map:
        if self.lines and self.lines[0].content.split("#")[0].strip() == "---":
            self.at = 1
        if self._line() is None:
            return Map()
        line = self._line()
        if line.content.startswith(("{", "[", "%", "- ")) or line.indent:
            _fail(line.number, "it is not a map of settings in block style")
        found = self._map(0)
        if self._line() is not None:
            _fail(self._line().number, "its indentation fits nothing above it")
        return found

    def _line(self) -> Optional[Line]:
        return self.lines[self.at] if self.at < len(self.lines) else None

    def _block(self, indent: int) -> Node:
        return self._sequence(indent) if _is_item(self._line().content) else self._map(indent)

    def _map(self, indent: int) -> Map:
        found = Map(indent=indent, line=self._line().number)
        while self._line() is not None and self._line().indent == indent and not _is_item(self._line().content):
            line = self._line()
            key, skip = _key(line)
            if key in found.entries:
                _fail(line.number, f"{key} is there twice")
            node = self._value(line, skip, indent)
            found.entries[key] = Entry(key, node, line.number, self.lines[self.at - 1].end)
        return found

    def _sequence(self, indent: int) -> Sequence:
        found = Sequence(indent=indent, line=self._line().number)
        while self._line() is not None and self._line().indent == indent and _is_item(self._line().content):
            line = self._line()
            rest = line.content[1:].lstrip(" ")
            skip = len(line.content) - len(rest)
            if rest and (_is_item(rest) or _looks_like_key(rest)):
                inner = Line(line.number, indent + skip, rest, line.start + skip, line.end)
                self.lines[self.at] = inner
                found.items.append(self._block(inner.indent))
            else:
                found.items.append(self._value(line, skip, indent))
        return found

    def _value(self, line: Line, skip: int, indent: int) -> Node:
        """What stands behind ``key:`` or ``-``, on the line or below it; the parser is past it afterwards."""
        rest = line.content[skip:]
        padding = len(rest) - len(rest.lstrip(" "))
        rest, start = rest.lstrip(" "), line.start + skip + padding
        self.at += 1
        if not rest or rest.startswith("#"):
            return self._below(line, skip, indent)
        if rest[0] in "|>":
            return self._block_scalar(line, start, indent)
        if rest[0] == "[":
            return self._flow_list(line, start)
        node = self._inline(line, rest, start)
        following = self._line()
        if following is not None and following.indent > indent:
            _fail(following.number, "the value above it continues over several lines")
        return node

    def _below(self, line: Line, skip: int, indent: int) -> Node:
        following = self._line()
        nested = following is not None and following.indent > indent
        list_of_key = following is not None and following.indent == indent and _is_item(following.content)
        if nested or (list_of_key and not _is_item(line.content)):
            return self._block(following.indent)
        end = line.start + skip
        return Scalar("", EMPTY, line.number, end, end)

    def _block_scalar(self, line: Line, start: int, indent: int) -> Scalar:
        while self._line() is not None and self._line().indent > indent:
            self.at += 1
        return Scalar("", BLOCK, line.number, start, self.lines[self.at - 1].end)

    def _inline(self, line: Line, rest: str, start: int) -> Node:
        if rest[0] in "&*!@`%":
            _fail(line.number, "anchors, aliases and tags are not understood")
        if rest[0] == "{":
            if rest.split("#")[0].strip() == "{}":
                return Map(line=line.number)
            _fail(line.number, "flow maps ({...}) are not understood")
        if rest[0] in "'\"":
            value, length = unquote(rest, line.number)
            _expect_end(rest[length:], line.number)
            return Scalar(value, SINGLE if rest[0] == "'" else DOUBLE, line.number, start, start + length)
        plain = re.split(r"\s#", rest, maxsplit=1)[0].rstrip()
        if ": " in plain or plain.endswith(":"):
            _fail(line.number, "it has two colons")
        value = "" if plain in ("~", "null", "Null", "NULL") else plain
        return Scalar(value, PLAIN, line.number, start, start + len(plain))

    def _flow_list(self, line: Line, start: int) -> Sequence:
        """``[a, b]``, also over several lines."""
        items, pos = [], start + 1
        while True:
            blank = re.compile(r"(?:\s|(?<=\s)#[^\n]*|,)*").match(self.text, pos)
            pos = blank.end()
            if self.text[pos : pos + 1] == "]":
                break
            value, pos = self._flow_item(line, pos)
            items.append(value)
        while self._line() is not None and self._line().start <= pos:
            self.at += 1
        _expect_end(self.text[pos + 1 : self.lines[self.at - 1].end].rstrip("\r\n"), line.number)
        return Sequence(items, -1, line.number)

    def _flow_item(self, line: Line, pos: int) -> Tuple[Scalar, int]:
        if not self.text[pos : pos + 1] or self.text[pos] in "[{&*!":
            _fail(line.number, "this list is not understood")
        if self.text[pos] in "'\"":
            value, length = unquote(self.text[pos:].split("\n")[0], line.number)
            return Scalar(value, BLOCK, line.number, pos, pos + length), pos + length
        plain = re.compile(r"[^,\]\n]*").match(self.text, pos)
        value = plain.group().rstrip()
        return Scalar(value, BLOCK, line.number, pos, plain.end()), plain.end()


def unquote(text: str, line: int) -> Tuple[str, int]:
    """The quoted scalar at the beginning of ``text`` and its length with the quotes."""
    if text[0] == "'":
        found = re.match(r"'((?:[^']|'')*)'", text)
        if not found:
            _fail(line, "its quote is not closed on the same line")
        return found.group(1).replace("''", "'"), found.end()
    found = re.match(r'"((?:[^"\\]|\\.)*)"', text)
    if not found:
        _fail(line, "its quote is not closed on the same line")
    return re.sub(
        r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", lambda e: _escape(e.group(1), line), found.group(1)
    ), found.end()


def _escape(code: str, line: int) -> str:
    if code[0] in "xu" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code not in _ESCAPES:
        _fail(line, f"the escape \\{code} is not understood")
    return _ESCAPES[code]


def _key(line: Line) -> Tuple[str, int]:
    """The key of a line and how many characters it takes with its colon."""
    if line.content[0] in "'\"":
        key, length = unquote(line.content, line.number)
        colon = re.compile(r"\s*:(?=\s|$)").match(line.content, length)
        if colon:
            return key, colon.end()
    found = re.match(r"([^\s'\"&*!|>%@`{}\[\],?#][^#]*?)\s*:(?=\s|$)", line.content)
    if not found:
        _fail(line.number, "it is no 'key: value'")
    if found.group(1) == "<<":
        _fail(line.number, "merge keys are not understood")
    return found.group(1), found.end()


def _looks_like_key(text: str) -> bool:
    return bool(re.match(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"\[\]{}&*!|>#][^#'\"]*?)\s*:(?:\s|$)", text))


def _is_item(content: str) -> bool:
    return content == "-" or content.startswith("- ")


def _expect_end(rest: str, line: int) -> None:
    if rest.strip() and not re.match(r"\s+#", rest):
        _fail(line, f"{rest.strip()[:20]!r} behind the value is not understood")


def _fail(line: int, why: str) -> NoReturn:
    raise EtcdError(f"line {line} of the YAML cannot be read: {why}.", "write it as plain 'key: value' lines.")
