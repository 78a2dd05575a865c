# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words for people: tables, times, durations and sizes, as lines for a terminal."""

from __future__ import annotations

import calendar
import re
import time
from datetime import datetime
from typing import Callable, List, Optional, Sequence

_RFC3339 = "%Y-%m-%dT%H:%M:%SZ"


def printable(line: str) -> str:
    """The line with everything that a terminal would obey, and not show, in escapes: some of its words are the hosts'."""
    return line if line.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)


def table(rows: Sequence[Sequence[object]], indent: str = "  ") -> List[str]:
    """Rows as aligned columns."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    return [indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def instant(text: str) -> datetime:
    """A time as the journal, the manifest or the plan writes it, with or without a fraction."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else _RFC3339)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    seconds = int(seconds)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LENGTH = re.compile(r"(\d{1,9}) ?(s|m|min|h|d|)\Z")


def seconds_of(text: str) -> int:
    """The seconds of a length of time as people write it: ``90``, ``30m``, ``2h`` or ``7d``. ValueError for what is none."""
    found = _LENGTH.match(text.strip())
    if not found:
        raise ValueError(text)
    return int(found.group(1)) * _UNITS[found.group(2)]


def size(count: int) -> str:
    """Bytes in MiB; empty for none, which is what a member that does not answer reports."""
    return f"{count / (1 << 20):,.1f} MiB" if count else ""


def in_mib(size: int) -> str:
    """Bytes in whole MiB."""
    return f"{size / (1 << 20):,.0f} MiB"


def rfc3339(moment: float) -> str:
    """Seconds since the epoch as ``2026-11-24T03:16:00Z``."""
    return time.strftime(_RFC3339, time.gmtime(moment))


def epoch(text: str) -> float:
    """The seconds since the epoch of such a time."""
    return float(calendar.timegm(time.strptime(text, _RFC3339)))


def seconds_since(text: str, now: float) -> int:
    """Whole seconds from a moment, RFC 3339, to ``now``, in seconds since the epoch; 0 for one that is yet to come."""
    return max(0, int(now - epoch(text)))


def clock(time: str) -> str:
    """A time as above, as people read it, to the second."""
    return f"{time[:10]} {time[11:19]} UTC"


def span(seconds: Optional[float], rounding: Callable[[float], float] = round) -> str:
    """A length of time, to a tenth of a second below a minute; ``rounding`` up for what is at most, down for at least."""
    if seconds is None:
        return "an unknown time"
    if seconds >= 60 or seconds == int(seconds):
        return duration(rounding(seconds))
    # A float such as 0.3 is a little less than three tenths, which no rounding may turn into two.
    tenths = rounding(round(seconds * 10, 6))
    return f"{tenths / 10:.1f} s" if tenths else f"{seconds:.2f} s"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def counted(number: int, word: str) -> str:
    """``1 check`` or ``1,200 checks``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
