# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML and SVG elements. Every text is escaped here and nowhere else, so that none can be forgotten."""

from __future__ import annotations

import html
import re
from typing import Any

VOID = ("meta",)
# Controls, marks that turn the direction of the text after them, and halves of characters: what no page can show as it is.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Markup(str):
    """Text that is markup already."""


def tag(_name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. Children are escaped unless they are Markup; lists are taken apart, None is left out.

    Attributes are written with dashes for underscores, and without a last underscore (``class_``); one that is True has
    no value, one that is None or False is left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    return Markup(f"<{_name}{given}>" if _name in VOID else f"<{_name}{given}>{join(*children)}</{_name}>")


def join(*children: Any) -> Markup:
    """Children one after the other, as ``tag`` takes them."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return join(*child) if isinstance(child, (list, tuple)) else _escape(child)


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_escape(value)}"'


def _escape(value: Any) -> str:
    return html.escape(_UNPRINTABLE.sub("\ufffd", str(value)))
