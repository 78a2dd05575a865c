# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reader of the YAML that etcd's configuration files and static pod manifests are written in; JSON is a part of it.

Targets have no YAML library, and none would keep comments, order and quotes. This one gives each value with its place in
the text, so that one can be set without touching another. It reads maps, lists and scalars in every style, anchors, merge
keys and tags; what it does not know (keys that are no scalars, several lines where YAML allows one) it refuses with the
line. As in etcd, the last of equal keys counts, and what comes after the first document does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Dict, List, NoReturn, Optional, Tuple, Union, cast

from ...core.errors import EtcdError
from .yaml_scalars import block_value, folded, unquoted

# How a scalar is written. FLOW is a plain one between [] or {}; FIXED one that cannot be set by writing another into its
# place: an alias, or one with a tag.
PLAIN, SINGLE, DOUBLE, BLOCK, FLOW, FIXED, EMPTY = "plain", "single", "double", "block", "flow", "fixed", "empty"

# No configuration of a member comes near; a file made to be expensive is refused.
_MAX_LENGTH, _MAX_DEPTH = 1 << 20, 50
_WORDS_OF_OTHER_TYPES = re.compile(
    r"(?:~|null|true|false|yes|no|on|off|y|n|[-+]?[.\d][\d_.,:eExXa-fA-FoO+-]*|[-+]?\.(?:inf|nan))\Z", re.IGNORECASE
)
_PROPERTY = re.compile(r"(?:&([A-Za-z0-9_-]+)|!(!?[A-Za-z0-9]+|))(?:[ \t]+|\Z)")
_FLOW_GAP = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*")
_ALIAS = re.compile(r"\*([A-Za-z0-9_-]+)")


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
    """``indent`` is the column of its keys, -1 for a flow map; ``merged`` holds what ``<<`` brings."""

    entries: Dict[str, Entry] = field(default_factory=dict)
    indent: int = 0
    line: int = 0
    merged: Dict[str, Node] = field(default_factory=dict)

    def get(self, key: str) -> Optional[Node]:
        entry = self.entries.get(key)
        return entry.node if entry else self.merged.get(key)

    def nodes(self) -> Dict[str, Node]:
        return {**self.merged, **{key: entry.node for key, entry in self.entries.items()}}


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
    if len(text) > _MAX_LENGTH:
        raise EtcdError("this YAML is longer than 1 MiB.", "name the file that holds etcd's settings.")
    odd = re.search("\r(?!\n)|[\x85\u2028\u2029]", text)
    if odd:
        _fail(text.count("\n", 0, odd.start()) + 1, "it holds a line end that only YAML takes for one")
    return _Parser(text).document()


def quote(value: str, style: str, string: bool = True) -> str:
    """``value`` as a scalar: in ``style`` where that can hold it, else in quotes.

    ``string`` says that it must stay a string: then a plain word that YAML would take for a number is quoted.
    """
    if any(ord(char) < 32 or char in "\x7f\x85\u2028\u2029" for char in value):
        raise EtcdError(f"the value {value!r} holds a control character.", "give a value on one line.")
    if style in (DOUBLE, FLOW):  # JSON has these quotes only
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


class _Flow:
    """The lines of a document, and what is written in it as JSON and its like: in brackets, wherever lines end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = len(text)  # of the first document
        self.lines = self._split()
        self.at = 0
        self.depth = 0
        self.anchors: Dict[str, Node] = {}

    def _split(self) -> List[Line]:
        """The lines of the first document that hold something; of those in scalars over several lines, too."""
        found, offset, begun = [], 0, False
        for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+", self.text), 1):
            bare = raw.rstrip("\r\n")
            if number == 1 and bare.startswith("\ufeff"):
                bare, raw, offset = bare[1:], raw[1:], 1
            content = bare.lstrip(" ")
            mark = bare[:3] if not bare[3:4].strip() else ""
            if mark in ("---", "...") and begun:
                self.end = offset
                break
            if mark == "---" and not bare[3:].partition("#")[0].strip():
                begun = True
            elif content.strip() and not content.startswith("#"):
                begun = True
                indent = len(bare) - len(content)
                found.append(Line(number, indent, content.rstrip(), offset + indent, offset + len(raw)))
            offset += len(raw)
        return found

    def _line(self) -> Optional[Line]:
        return self.lines[self.at] if self.at < len(self.lines) else None

    def _alias(self, start: int, number: int) -> Tuple[Node, int]:
        name = _ALIAS.match(self.text, start, self.end)
        if not name or name.group(1) not in self.anchors:
            _fail(number, "its alias names no anchor above it")
        return _fixed(self.anchors[name.group(1)]), name.end()

    def _ended(self, node: Node, end: int, line: Line) -> Node:
        """``node``, behind which nothing but a comment may stand on the line."""
        stop = self.text.find("\n", end, self.end)
        rest = self.text[end : self.end if stop < 0 else stop].rstrip("\r")
        if rest.strip() and not re.match(r"\s+#", rest):
            _fail(line.number, f"{rest.strip()[:20]!r} behind the value is not understood")
        self._pass(end)
        return node

    def _pass(self, end: int) -> None:
        while (line := self._line()) is not None and line.start < end:
            self.at += 1

    def _flow_at(self, line: Line) -> Node:
        node, end = self._flow(line.start, line.number)
        return self._ended(node, end, line)

    def _flow(self, pos: int, number: int) -> Tuple[Node, int]:
        """The node that begins at ``pos``, and the offset behind it; ``number`` is the line that all of it begins on."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            _fail(number, f"it is nested more than {_MAX_DEPTH} levels deep")
        first = self.text[pos : pos + 1]
        found: Tuple[Node, int]
        if first == "{":
            found = self._flow_map(pos + 1, number)
        elif first == "[":
            found = self._flow_list(pos + 1, number)
        elif first == "*":
            found = self._alias(pos, number)
        else:
            found = self._flow_scalar(pos, number)
        self.depth -= 1
        return found

    def _flow_map(self, pos: int, number: int) -> Tuple[Map, int]:
        found = Map(indent=-1, line=number)
        while True:
            pos = self._flow_gap(pos, number)
            if self.text[pos] == "}":
                return found, pos + 1
            key, after = self._flow_scalar(pos, number)
            name = self.text[pos:after] if key.style == FLOW else key.value
            begun, pos = pos, self._flow_gap(after, number)
            node: Node = Scalar("", FIXED, number, pos, pos)
            if self.text[pos] == ":":
                if "\n" in self.text[begun:pos]:
                    _fail(number, "a key in its brackets goes on over several lines")
                pos = self._flow_gap(pos + 1, number)
                if self.text[pos] not in ",}":
                    node, pos = self._flow(pos, number)
            if name == "<<":
                found.merged.update(_merged(node, number))
            else:
                found.entries.pop(name, None)
                found.entries[name] = Entry(name, node, number, pos)
            pos = self._flow_next(pos, "}", number)

    def _flow_list(self, pos: int, number: int) -> Tuple[Sequence, int]:
        found = Sequence([], -1, number)
        while True:
            pos = self._flow_gap(pos, number)
            if self.text[pos] == "]":
                return found, pos + 1
            node, pos = self._flow(pos, number)
            found.items.append(node)
            pos = self._flow_next(pos, "]", number)

    def _flow_next(self, pos: int, closing: str, number: int) -> int:
        """Behind the comma at ``pos``, or at the bracket that closes."""
        pos = self._flow_gap(pos, number)
        if self.text[pos] == ",":
            return pos + 1
        if self.text[pos] != closing:
            _fail(number, f"{self.text[pos : pos + 10]!r} in its brackets is not understood")
        return pos

    def _flow_gap(self, pos: int, number: int) -> int:
        """Behind blanks, line ends and comments; never at the end of the text."""
        gap = _FLOW_GAP.match(self.text, pos, self.end)
        pos = gap.end() if gap else pos
        if pos >= self.end:
            _fail(number, "its brackets are never closed")
        return pos

    def _flow_scalar(self, pos: int, number: int) -> Tuple[Scalar, int]:
        first = self.text[pos]
        if first in "'\"":
            value, end = unquoted(self.text, pos, self.end, number)
            return Scalar(value, SINGLE if first == "'" else DOUBLE, number, pos, end), end
        if first in "&*!|>@`%,[]{}#?:" or (first == "-" and not self.text[pos + 1 : pos + 2].strip()):
            _fail(number, "what is in its brackets is not understood")
        plain = re.compile(r"(?:[^\s,\[\]{}:#?]|:(?![\s,\[\]{}]|\Z)|(?<!\s)#|[ \t]+(?![\s#]))+").match(
            self.text, pos, self.end
        )
        if not plain:
            _fail(number, "what is in its brackets is not understood")
        value = plain.group().rstrip()
        end = pos + len(value)
        return Scalar("" if value in ("~", "null", "Null", "NULL") else value, FLOW, number, pos, end), end


class _Parser(_Flow):
    """Blocks: what is told apart by its indentation."""

    def document(self) -> Map:
        line = self._line()
        if line is None:
            return Map()
        if line.content.startswith(("[", "- ")) or (line.indent and line.content[0] != "{"):
            _fail(line.number, "it is not a map of settings")
        found = self._flow_at(line) if line.content[0] == "{" else self._map(0)
        left = self._line()
        if left is not None:
            _fail(left.number, "its indentation fits nothing above it")
        return cast(Map, found)  # what begins with a brace is one

    def _item_at(self, indent: int, is_item: bool) -> Optional[Line]:
        """The line that is next where it goes on with a sequence, or with a map, of this indentation."""
        line = self._line()
        return line if line is not None and line.indent == indent and _is_item(line.content) == is_item else None

    def _block(self, indent: int) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            _fail(self.lines[self.at].number, f"it is nested more than {_MAX_DEPTH} levels deep")
        is_item = _is_item(self.lines[self.at].content)
        found: Node = self._sequence(indent) if is_item else self._map(indent)
        self.depth -= 1
        return found

    def _map(self, indent: int) -> Map:
        found = Map(indent=indent, line=self.lines[self.at].number)
        while (line := self._item_at(indent, is_item=False)) is not None:
            key, skip = _key(line)
            node = self._value(line, skip, indent)
            if key == "<<":
                found.merged.update(_merged(node, line.number))
                continue
            found.entries.pop(key, None)
            found.entries[key] = Entry(key, node, line.number, self.lines[self.at - 1].end)
        return found

    def _sequence(self, indent: int) -> Sequence:
        found = Sequence(indent=indent, line=self.lines[self.at].number)
        while (line := self._item_at(indent, is_item=True)) is not None:
            rest = line.content[1:].lstrip(" ")
            skip = len(line.content) - len(rest)
            if rest and (_is_item(rest) or _looks_like_key(rest)):
                self.lines[self.at] = replace(line, indent=indent + skip, content=rest, start=line.start + skip)
                found.items.append(self._block(indent + skip))
            else:
                found.items.append(self._value(line, skip, indent))
        return found

    def _value(self, line: Line, skip: int, indent: int) -> Node:
        """What stands behind ``key:`` or ``-``, on the line or below it; the parser is past it afterwards."""
        rest = line.content[skip:]
        start = line.start + skip + len(rest) - len(rest.lstrip())
        anchor, tag, start = self._properties(start, line)
        rest = self.text[start : line.start + len(line.content)]
        if rest.startswith("*") and (anchor or tag):
            _fail(line.number, "an alias has no anchor or tag of its own")
        if rest and not rest.startswith("#"):
            node = self._inline(line, start, indent)
        else:
            self.at += 1
            node = self._below(line, skip, indent)
        if isinstance(node, Scalar) and (tag or (anchor and node.style == EMPTY)):
            node = _fixed(node)
        if anchor:
            self.anchors[anchor] = node
        return node

    def _properties(self, start: int, line: Line) -> Tuple[str, str, int]:
        """An anchor and a tag in front of a value, and where that begins."""
        found = {"&": "", "!": ""}
        while self.text[start : start + 1] in ("&", "!"):
            word = _PROPERTY.match(self.text, start, line.start + len(line.content))
            if not word or found[word.group()[0]]:
                _fail(line.number, "its anchor or tag is not understood")
            found[word.group()[0]] = word.group(1) or "!"
            start = word.end()
        return found["&"], found["!"], start

    def _below(self, line: Line, skip: int, indent: int) -> Node:
        following = self._line()
        nested = following is not None and following.indent > indent
        list_of_key = self._item_at(indent, is_item=True) is not None
        if following is not None and (nested or (list_of_key and not _is_item(line.content))):
            if nested and not _is_item(following.content) and not _looks_like_key(following.content):
                if following.content[0] in "&!":
                    _fail(following.number, "its anchor or tag is not understood")
                return self._value(following, 0, indent)
            return self._block(following.indent)
        end = line.start + skip
        return Scalar("", EMPTY, line.number, end, end)

    def _inline(self, line: Line, start: int, indent: int) -> Node:
        """The value that begins at ``start``, on this line or over several."""
        first = self.text[start]
        if first == "*":
            node, end = self._alias(start, line.number)
            return self._ended(node, end, line)
        if first in "[{":
            return self._flow_at(replace(line, start=start))
        if first in "'\"":
            value, end = unquoted(self.text, start, self.end, line.number)
            return self._ended(Scalar(value, SINGLE if first == "'" else DOUBLE, line.number, start, end), end, line)
        if first in "|>":
            value, end = block_value(self.text, start, self.end, indent, line.number)
            self._pass(end)
            return Scalar(value, BLOCK, line.number, start, end)
        return self._plain(line, start, indent)

    def _plain(self, line: Line, start: int, indent: int) -> Node:
        if self.text[start] in "@`%,]}" or re.compile(r"[-?:](?=\s|\Z)").match(self.text, start):
            _fail(line.number, "its value begins with a character that it must not begin with")
        first = self._plain_part(line.content[start - line.start :], line.number)
        parts, end = [first], start + len(first)
        self.at += 1
        before = line
        while len(parts[-1]) and (following := self._line()) is not None and following.indent > indent:
            if following.content[0] in "\t" or self.text[end : following.start].strip():
                _fail(following.number, "the value above it continues behind a tab or a comment")
            part = self._plain_part(following.content, following.number)
            parts += [""] * (following.number - before.number - 1) + [part]
            end = following.start + len(part)
            before = following
            self.at += 1
        value = folded(parts)
        return Scalar("" if value in ("~", "null", "Null", "NULL") else value, PLAIN, line.number, start, end)

    @staticmethod
    def _plain_part(content: str, number: int) -> str:
        plain = re.split(r"(?:\s|^)#", content, maxsplit=1)[0].rstrip()
        if re.search(r":(?:\s|\Z)", plain):
            _fail(number, "it has two colons")
        return plain


def _merged(node: Node, line: int) -> Dict[str, Node]:
    """What a merge key brings: of one map, or of several, of which the first goes before the others."""
    maps = list(reversed(node.items)) if isinstance(node, Sequence) else [node]
    found: Dict[str, Node] = {}
    for one in maps:
        if not isinstance(one, Map):
            _fail(line, "its merge key names no map")
        found.update({key: _fixed(value) for key, value in one.nodes().items()})
    return found


def _fixed(node: Node) -> Node:
    return replace(node, style=FIXED) if isinstance(node, Scalar) else node


def _key(line: Line) -> Tuple[str, int]:
    """The key of a line and how many characters it takes with its colon."""
    found = _find_key(line.content)
    if found is None:
        _fail(line.number, "it is no 'key: value'")
    return found


def _find_key(content: str) -> Optional[Tuple[str, int]]:
    if content[0] in "'\"":
        try:
            key, end = unquoted(content, 0, len(content), 0)
        except EtcdError:
            return None
        colon = re.compile(r"[ \t]*:(?=\s|\Z)").match(content, end)
        return (key, colon.end()) if colon else None
    if content[0] in "&*!|>%@`{}[],#\t" or re.match(r"(?:[-?:]|---)(?:\s|\Z)", content):
        return None
    colon = re.search(r":(?=\s|\Z)", content)
    if not colon or re.search(r"\s#", content[: colon.start()]):
        return None
    return content[: colon.start()].rstrip(), colon.end()


def _looks_like_key(content: str) -> bool:
    return _find_key(content) is not None


def _is_item(content: str) -> bool:
    return content == "-" or content.startswith(("- ", "-\t"))


def _fail(line: int, why: str) -> NoReturn:
    raise EtcdError(f"line {line} of the YAML cannot be read: {why}.", "write it as plain 'key: value' lines.")
