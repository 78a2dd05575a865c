# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moments as people write them: a time in UTC, or how long ago it was."""

from __future__ import annotations

import calendar
import contextlib
from datetime import datetime

from ..core.errors import EtcdError
from ..core.text import seconds_of

_FORMS = (
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of ``2026-11-28T12:00:00Z``, ``2026-11-28 12:00``, ``2026-11-28``, or of ``45s``, ``30m``, ``2h``
    or ``3d`` before ``now``. EtcdError for anything else.
    """
    with contextlib.suppress(ValueError):
        return now - seconds_of(text)
    for form in _FORMS:
        try:
            at = datetime.strptime(text.strip(), form)
        except ValueError:
            continue
        return calendar.timegm(at.timetuple()) + at.microsecond / 1e6
    raise EtcdError(
        f"{text!r} is no moment.",
        "write a time in UTC, such as 2026-11-28T12:00:00Z, or how long ago it was: 45s, 30m, 2h, 3d.",
    )
