# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of YAML's scalars that are more than a word: in quotes, folded over lines, or as a block."""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

from ...core.errors import EtcdError

_ESCAPES = {
    "\\": "\\", '"': '"', "/": "/", " ": " ", "\t": "\t", "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n",
    "v": "\v", "f": "\f", "r": "\r", "e": "\x1b", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_QUOTED = {"'": re.compile(r"'(?:[^']|'')*'"), '"': re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)


def unquoted(text: str, start: int, end: int, line: int) -> Tuple[str, int]:
    """The value of the quoted scalar that begins at ``start``, and the offset behind its closing quote."""
    found = _QUOTED[text[start]].match(text, start, end)
    if not found:
        raise EtcdError(f"line {line} of the YAML cannot be read: its quote is never closed.", "close the quote.")
    lines = re.split(r"\r?\n", found.group()[1:-1])
    if text[start] == "'":
        return folded(_trimmed(lines)).replace("''", "'"), found.end()
    return _ESCAPE.sub(lambda code: _escape(code.group(1), line), _joined(lines)), found.end()


def folded(lines: Sequence[str]) -> str:
    """Lines as YAML folds them: an end of line is a blank, and each empty line an end of line."""
    value, empty = lines[0], 0
    for number, line in enumerate(lines[1:], 1):
        if not line and number < len(lines) - 1:
            empty += 1
            continue
        value += ("\n" * empty or " ") + line
        empty = 0
    return value


def _trimmed(lines: Sequence[str]) -> List[str]:
    """Without the blanks around the line ends."""
    last = len(lines) - 1
    found = [line.rstrip(" \t") if number < last else line for number, line in enumerate(lines)]
    return [line.lstrip(" \t") if number else line for number, line in enumerate(found)]


def _joined(lines: Sequence[str]) -> str:
    """Lines in double quotes: a backslash at the end of one joins it with the next, as they are."""
    parts: List[str] = [lines[0]]
    glued = ""
    for line in lines[1:]:
        before = parts.pop()
        if _escapes_its_end(before):
            glued += before[:-1]
            parts.append(line.lstrip(" \t"))
            if not parts[-1]:
                raise EtcdError("an empty line follows an escaped line end in the YAML.", "remove it.")
            parts[-1], glued = glued + parts[-1], ""
            continue
        bare = before.rstrip(" \t")
        if _escapes_its_end(bare) and bare != before:
            bare += before[len(bare)]  # an escaped blank is none
        parts += [bare, line.lstrip(" \t")]
    return folded(parts)


def _escapes_its_end(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _escape(code: str, line: int) -> str:
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        if number < 0x110000:
            return chr(number)
    if code not in _ESCAPES:
        raise EtcdError(
            f"line {line} of the YAML cannot be read: the escape \\{code} is not understood.", "write it without."
        )
    return _ESCAPES[code]


def block_value(text: str, start: int, end: int, indent: int, line: int) -> Tuple[str, int]:
    """The value of ``|`` or ``>`` at ``start`` below a parent at column ``indent``, and the offset of the line behind it."""
    head = re.compile(r"([|>])([+-]?)([1-9]?)([+-]?)[ \t]*(?:(?<=[ \t])#[^\n]*)?\r?(?:\n|\Z)").match(text, start, end)
    if not head or (head.group(2) and head.group(4)):
        raise EtcdError(
            f"line {line} of the YAML cannot be read: what follows | or > is not understood.",
            "write the value on one line, in quotes.",
        )
    deep = indent + int(head.group(3)) if head.group(3) else 0
    found: List[str] = []
    pos = kept = head.end()
    blank = 0  # the longest of the empty lines at its beginning
    while pos < end:
        stop = text.find("\n", pos, end)
        after = end if stop < 0 else stop + 1
        raw = text[pos:after].rstrip("\r\n")
        column = len(raw) - len(raw.lstrip(" "))
        if raw.strip(" ") and not deep:
            deep = max(column, indent + 1)
            if blank > deep:
                raise EtcdError(
                    f"line {line} of the YAML cannot be read: an empty line below it is indented more than the text.",
                    "write the value on one line, in quotes.",
                )
        blank = max(blank, column)
        if raw.strip(" ") and column < max(deep, indent + 1):
            break
        found.append(raw[deep:] if deep else "")
        pos = after
        kept = pos if raw.strip(" ") else kept
    value = _block_text(found, head.group(1), head.group(2) or head.group(4))
    is_cut = found and found[-1] and kept == end and text[end - 1] != "\n"
    return value[:-1] if is_cut and value.endswith("\n") else value, kept


def _block_text(lines: List[str], kind: str, chomping: str) -> str:
    bare = list(lines)
    while bare and not bare[-1]:
        bare.pop()
    body = "\n".join(bare) if kind == "|" else _folded_block(bare)
    if chomping == "+":
        return body + "\n" * (len(lines) - len(bare) + bool(bare))
    return body + "\n" if bare and not chomping else body


def _folded_block(lines: Sequence[str]) -> str:
    """As ``folded``, but for lines that are indented further: they and their ends stay as they are."""
    value, breaks, deeper = "", 0, True
    for line in lines:
        if not line:
            breaks += 1
            continue
        is_deeper = line[0] in " \t"
        if value or breaks:
            keeps = deeper or is_deeper
            value += "\n" * (breaks + 1 if keeps and value else breaks) or " "
        value, breaks, deeper = value + line, 0, is_deeper
    return value
