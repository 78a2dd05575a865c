# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that a proof looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence, Union

Told = Union[bool, int, str, Sequence[str], Mapping[str, str]]


@dataclass(frozen=True)
class Check:
    """What is looked at, what was planned, what was found, and whether that will do."""

    what: str
    expected: Told
    found: Told
    ok: bool


def check(what: str, expected: Told, found: Told, passed: Optional[bool] = None) -> Check:
    """``passed`` is for what need not be equal."""
    return Check(what, expected, found, expected == found if passed is None else passed)
