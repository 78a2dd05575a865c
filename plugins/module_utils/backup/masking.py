# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets in configuration files are masked: in units, environment files, YAML, JSON and command lines. Pure functions.

What is masked goes by the name before it, or by its shape; the rest stays as it is, to the byte. Rather too much than too
little: a name that speaks of a password is enough, unless it is one of a file.
"""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Match

MASK = "(masked)"
_NAME = (
    r"[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|credential|token|private[-_]?key|api[-_]?key|access[-_]?key)[\w.-]*"
)
# etcd's own that are no secrets, and names of files, folders and objects of Kubernetes.
_HARMLESS = re.compile(
    r"(?i)(?:etcd[-_])?(?:initial[-_]cluster[-_]token|auth[-_]token(?:[-_]ttl)?)\Z"
    r"|.*(?:file|path|dir|name|ttl|ref|mount)\Z"
)
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'"
# NAME=..., NAME: ..., - NAME: ..., export NAME=..., "NAME": "...", at the beginning of a line: all of the line is its value.
_LINE = re.compile(rf"(?i)^(\s*(?:[#;]+\s*)?(?:-\s+)?(?:export\s+)?[\"']?({_NAME})[\"']?\s*[=:]\s*)(\S.*)$")
_QUOTED_PAIR = re.compile(rf"(?i)([\"'])({_NAME})=((?:(?!\1)[^\\]|\\.)*)\1")
_PAIR = re.compile(rf"(?i)(?<![\w.\"'-])({_NAME})=({_QUOTED}|[^\s\"',;&]+)")
_FLAG = re.compile(rf"(?i)(?<!\S)([\"']?--?({_NAME})(?:=|\s+))({_QUOTED}|[^\s\"']+)")
_IN_JSON = re.compile(rf"(?i)([\"']({_NAME})[\"']\s*:\s*)({_QUOTED})")
_USER = re.compile(r"((?:ETCDCTL_USER|--user)[=\s]\s*[\"']?[^\s:\"']+:)([^\s\"']+)")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/@:\"']*:)([^\s/@\"']+)(?=@)")
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9+/=._~-]{8,})")
_PEM = re.compile(r"(-----BEGIN ([A-Z ]*PRIVATE KEY)-----).*?(-----END \2-----|\Z)", re.DOTALL)
# - name: SOME_PASSWORD, and then its value: (the environment of a container).
_NAMED = re.compile(rf"(?i)^\s*(?:-\s+)?[\"']?name[\"']?\s*:\s*[\"']?({_NAME})[\"']?\s*$")
_VALUE = re.compile(r"^(\s*(?:-\s+)?[\"']?value[\"']?\s*:\s*)(\S.*)$")
_ONE_NAME = re.compile(rf"(?i){_NAME}\Z")
_BLOCK = re.compile(r"[|>][+-]?\d?\s*(?:#.*)?\Z")


def masked(text: str) -> str:
    """The text with every secret that can be told for one replaced by ``MASK``."""
    text = _PEM.sub(rf"\1{MASK}\3", text)
    lines: List[str] = []
    hidden = _Hidden()
    for line in text.split("\n"):
        lines.append(hidden.masked(line))
    return "\n".join(lines)


def masked_plain(plain: Any, name: str = "") -> Any:
    """The same for dictionaries, lists and scalars, as JSON has them; ``name`` is the key before them."""
    if isinstance(plain, Mapping):
        return {key: masked_plain(one, name if key == "value" else key) for key, one in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [masked_plain(one, name) for one in plain]
    if not isinstance(plain, str):
        return plain
    return MASK if _ONE_NAME.match(name) and not _harmless(name) and plain else _within(plain)


class _Hidden:
    """Where in a text a secret goes on over lines: by a backslash, as a YAML block, or as the value of a name before it."""

    def __init__(self) -> None:
        self._goes_on = False
        self._block = -1  # indentation of the key whose block is a secret
        self._named = 0  # lines for which a value is that of a secret's name

    def masked(self, line: str) -> str:
        if self._goes_on:
            self._goes_on = _ends_with_backslash(line)
            return MASK
        if self._block >= 0:
            if not line.strip() or _indentation(line) > self._block:
                return MASK if line.strip() else line
            self._block = -1
        whole = _LINE.match(line)
        if whole and not _harmless(whole.group(2)):
            return self._begun(whole.group(1), whole.group(3), line)
        value = _VALUE.match(line) if self._named else None
        self._named = max(0, self._named - 1)
        if value:
            return self._begun(value.group(1), value.group(2), line)
        named = _NAMED.match(line)
        if named and not _harmless(named.group(1)):
            self._named = 3
        return _within(line)

    def _begun(self, before: str, value: str, line: str) -> str:
        self._named = 0
        self._goes_on = _ends_with_backslash(line)
        if _BLOCK.match(value):
            self._block = _indentation(line)
            return line
        return before + MASK


def _within(line: str) -> str:
    """Secrets in the middle of a line."""
    line = _QUOTED_PAIR.sub(lambda found: found.group(0) if _harmless(found.group(2)) else _pair(found), line)
    line = _IN_JSON.sub(_value, line)
    line = _FLAG.sub(_value, line)
    line = _PAIR.sub(lambda found: found.group(0) if _harmless(found.group(1)) else f"{found.group(1)}={MASK}", line)
    for shape in (_USER, _URL, _BEARER):
        line = shape.sub(rf"\1{MASK}", line)
    return line


def _pair(found: Match[str]) -> str:
    return f"{found.group(1)}{found.group(2)}={MASK}{found.group(1)}"


def _value(found: Match[str]) -> str:
    return found.group(0) if _harmless(found.group(2)) else found.group(1) + MASK


def _harmless(name: str) -> bool:
    return bool(_HARMLESS.match(name.lstrip("-")))


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _ends_with_backslash(line: str) -> bool:
    return line.rstrip("\r").endswith("\\")
