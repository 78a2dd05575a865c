# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that a proof looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Mapping, Optional, Sequence, Union

from .journal import Entry
from .values import TEXT, from_plain

Told = Union[bool, int, str, Sequence[str], Mapping[str, str]]


@dataclass(frozen=True)
class Check:
    """What is looked at, what was planned, what was found, and whether that will do."""

    what: str = field(metadata=TEXT)
    expected: Told = field(metadata=TEXT)
    found: Told = field(metadata=TEXT)
    ok: bool


def check(what: str, expected: Told, found: Told, passed: Optional[bool] = None) -> Check:
    """``passed`` is for what need not be equal."""
    return Check(what, expected, found, expected == found if passed is None else passed)


def checks_of(entry: Entry) -> List[Check]:
    """Those of a proof that a journal has on record."""
    return [from_plain(Check, plain) for plain in entry.more.get("checks") or ()]
