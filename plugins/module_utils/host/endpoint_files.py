# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the list of endpoints stands in a client's file: found by a pattern, or by the name of a setting, exactly once."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Union

from ..core.errors import EtcdError
from .settings import env_file
from .settings import yaml_lines as yaml

ENV, YAML = "env", "yaml"  # JSON is a part of YAML
FORMATS = (ENV, YAML)
_PLACE = "name it by pattern, a regular expression with one group that holds the list."


class Span(NamedTuple):
    """The list is ``text[start:end]``; ``joint`` stands between two addresses where it has only one."""

    start: int
    end: int
    joint: str


def format_of(path: str) -> str:
    """The format that a file's name tells."""
    return YAML if path.endswith((".yml", ".yaml", ".json")) else ENV


def by_pattern(text: str, pattern: str, separator: str) -> Span:
    """EtcdError unless the pattern has one group, and fits at one place."""
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise EtcdError(f"its pattern {pattern!r} is no regular expression: {error}.", "correct it.") from error
    if compiled.groups != 1:
        raise EtcdError(
            f"its pattern {pattern!r} has {compiled.groups} groups.",
            "let it have one, which holds the list, and write (?:...) for any other.",
        )
    found = [match for match in compiled.finditer(text) if match.group(1) is not None]
    if len(found) != 1:
        times = f"{len(found)} times" if found else "nowhere"
        raise EtcdError(f"its pattern {pattern!r} fits {times}.", "let it fit the list of endpoints, and only that.")
    start, end = found[0].span(1)
    quote = text[start : start + 1] if text[start : start + 1] in ("'", '"') else ""
    return Span(start, end, f"{quote}{separator}{quote}")


def by_setting(text: str, setting: str, format: str, separator: str) -> Span:
    """``setting`` is the name of a variable, or the keys of YAML or JSON that lead to the list, as ``etcd3.hosts``."""
    return _in_env(text, setting, separator) if format == ENV else _in_yaml(text, setting.split("."), separator)


def _in_env(text: str, name: str, separator: str) -> Span:
    found = [one for one in env_file.assigned(text) if one.name == name]
    if len(found) != 1:
        raise EtcdError(f"it sets the variable {name} {_times(len(found))}.", f"correct the name, or {_PLACE}")
    return Span(found[0].start, found[0].end, separator)


def _times(number: int) -> str:
    return f"{number} times" if number else "nowhere"


def _in_yaml(text: str, keys: List[str], separator: str) -> Span:
    node: Union[yaml.Node, None] = yaml.parse(text)
    for at, key in enumerate(keys):
        node = node.get(key) if isinstance(node, yaml.Map) else None
        if node is None:
            raise EtcdError(f"it has no {'.'.join(keys[: at + 1])}.", f"correct the name, or {_PLACE}")
    setting = ".".join(keys)
    if isinstance(node, yaml.Scalar):
        return Span(_writable(node, setting).start, node.end, separator)
    items = [_writable(item, setting) for item in node.items] if isinstance(node, yaml.Sequence) else []
    if not items:
        raise EtcdError(f"{setting} is neither a text nor a list of texts.", f"correct the name, or {_PLACE}")
    indent = node.indent if isinstance(node, yaml.Sequence) else -1
    between = ", " if indent < 0 else f"{_line_end(text)}{' ' * indent}- "
    quote = {yaml.SINGLE: "'", yaml.DOUBLE: '"'}.get(items[0].style, "")
    return Span(items[0].start, items[-1].end, f"{quote}{between}{quote}")


def _writable(node: yaml.Node, setting: str) -> yaml.Scalar:
    if not isinstance(node, yaml.Scalar) or node.style in (yaml.BLOCK, yaml.FIXED, yaml.EMPTY):
        raise EtcdError(
            f"{setting} is empty, a block, an alias, or has a tag, so it cannot be set safely.",
            "write the addresses as plain text or as a list of them.",
        )
    return node


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
