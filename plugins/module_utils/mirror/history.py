# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened to the keys of the source, as the mirror's log has it: which were created, changed and deleted, and when.

Values are shown by their length and hash unless they are asked for: they may be secrets.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..core.text import counted, rfc3339
from ..etcd.messages import Event, KeyValue
from .segment_format import Head, Record
from .segment_reader import Segment, entries, segments_of

LOG = "log"  # the folder of the log in that of a mirror's state
CREATED, CHANGED, DELETED = "created", "changed", "deleted"
_HASH = 12  # hexadecimal digits that people are shown


class Asked(NamedTuple):
    """Which part of the history: keys of a prefix, read from ``since`` until ``until`` (seconds since the epoch), both included;
    the newest ``most`` of it.
    """

    prefix: bytes = b""
    since: float = 0.0
    until: float = float("inf")
    most: int = 1000


class Change(NamedTuple):
    revision: int
    wall: float
    event: Event

    @property
    def what(self) -> str:
        if self.event.deleted:
            return DELETED
        return CREATED if self.event.kv.version == 1 else CHANGED


class Gap(NamedTuple):
    """From here on the log has what happened in a cluster after a revision; what was between this and what it had before is not
    known.
    """

    cluster: int
    after: int
    wall: float
    why: str


class History(NamedTuple):
    """``shown`` are the newest, in their order; the numbers are of all that was asked for. ``first`` and ``last``: the times
    from and until which the log has anything, None for an empty one.
    """

    shown: Sequence[Union[Change, Gap]]
    created: int
    changed: int
    deleted: int
    first: Optional[float]
    last: Optional[float]

    @property
    def total(self) -> int:
        return self.created + self.changed + self.deleted


def log_folder(state_folder: str) -> str:
    return os.path.join(state_folder, LOG)


def history(folder: str, asked: Asked) -> History:
    """Read once, from the first segment that can have any of it. Damaged or NotCovered as ``entries`` raises them."""
    segments = segments_of(folder)
    shown: Deque[Union[Change, Gap]] = deque(maxlen=asked.most)
    numbers = {CREATED: 0, CHANGED: 0, DELETED: 0}
    last = segments[0].head.wall if segments else None
    for one, wall in _walk(folder, _first_of(segments, asked.since), asked.prefix):
        last = max(last or wall, wall)
        if one is None or wall > asked.until or wall < asked.since:
            continue
        shown.append(one)
        if isinstance(one, Change):
            numbers[one.what] += 1
    first = segments[0].head.wall if segments else None
    return History(list(shown), numbers[CREATED], numbers[CHANGED], numbers[DELETED], first, last)


def _walk(folder: str, first: int, prefix: bytes = b"") -> Iterator[Tuple[Optional[Union[Change, Gap]], float]]:
    """Each change and gap with its time; None for what only says how far the log is."""
    for one in entries(folder, first):
        if isinstance(one, Head):
            yield (None if one.goes_on else Gap(one.cluster, one.after, one.wall, one.why)), one.wall
        elif isinstance(one, Record):
            yield None, one.wall
            for event in one.events:
                if event.kv.key.startswith(prefix):
                    yield Change(one.revision, one.wall, event), one.wall


def _first_of(segments: Sequence[Segment], since: float) -> int:
    """The oldest segment that ends at ``since`` or later."""
    return next((one.sequence for one in segments if one.close is None or one.close.wall >= since), 0)


# ---- as data and in words ------------------------------------------------------------------------------------------------


def told(found: History, values: bool) -> Dict[str, Any]:
    """As JSON can have it: keys and values are bytes, so in base64 too."""
    return {
        "first": _time(found.first),
        "last": _time(found.last),
        "created": found.created,
        "changed": found.changed,
        "deleted": found.deleted,
        "changes": [_change_told(one, values) if isinstance(one, Change) else _gap_told(one) for one in found.shown],
    }


def _change_told(change: Change, values: bool) -> Dict[str, Any]:
    kv, previous = change.event.kv, change.event.previous
    return {
        "what": change.what,
        "at": _time(change.wall),
        "revision": change.revision,
        "key": readable(kv.key),
        "key_base64": base64.b64encode(kv.key).decode(),
        "version": kv.version,
        "create_revision": kv.create_revision,
        "lease": f"{kv.lease:x}" if kv.lease else "",
        "value": None if change.event.deleted else _value_told(kv, values),
        "previous": previous and {**_value_told(previous, values), "revision": previous.mod_revision},
    }


def _value_told(kv: KeyValue, values: bool) -> Dict[str, Any]:
    told_value: Dict[str, Any] = {"bytes": len(kv.value), "sha256": hashlib.sha256(kv.value).hexdigest()}
    return {**told_value, "base64": base64.b64encode(kv.value).decode()} if values else told_value


def _gap_told(gap: Gap) -> Dict[str, Any]:
    return {"what": "gap", "at": _time(gap.wall), "revision": gap.after, "cluster": f"{gap.cluster:x}", "why": gap.why}


def in_words(found: History, asked: Asked, values: bool) -> List[str]:
    if found.first is None or found.last is None:
        return ["the log is empty: nothing was read yet, or it is not kept"]
    lines = [f"the log has what was read from {rfc3339(found.first)} to {rfc3339(found.last)}"]
    if asked.since < found.first:
        lines.append("  what was before is not in it")
    lines += [line for one in found.shown for line in _lines_of(one, values)]
    lines.append(
        f"{counted(found.total, 'change')}: {found.created:,} created, {found.changed:,} changed, {found.deleted:,} deleted"
    )
    hidden = found.total - sum(isinstance(one, Change) for one in found.shown)
    return lines + ([f"  shown are the newest; {hidden:,} more with --most"] if hidden else [])


def _lines_of(one: Union[Change, Gap], values: bool) -> List[str]:
    if isinstance(one, Gap):
        return [f"{rfc3339(one.wall)}  GAP, cluster {one.cluster:x} from revision {one.after:,} on: {one.why}"]
    kv, previous = one.event.kv, one.event.previous
    was = _in_short(previous) if previous else ""
    now = "" if one.event.deleted else _in_short(kv)
    words = " -> ".join(part for part in (was, now) if part)
    lines = [f"{rfc3339(one.wall)}  revision {one.revision:<10} {one.what:8}{readable(kv.key)}{words and '  ' + words}"]
    if values:
        lines += [f"    was {readable(previous.value)}"] if previous else []
        lines += [] if one.event.deleted else [f"    is  {readable(kv.value)}"]
    return lines


def _in_short(kv: KeyValue) -> str:
    return f"{len(kv.value):,} bytes {hashlib.sha256(kv.value).hexdigest()[:_HASH]}"


def readable(data: bytes) -> str:
    """Bytes as a line that can be printed: what is no such text, and each backslash, in escapes."""
    text = data.decode("utf-8", "backslashreplace") if b"\\" not in data else ""
    if text.isprintable() and text.encode() == data:
        return text
    return "".join(chr(one) if 0x20 <= one < 0x7F and one != 0x5C else f"\\x{one:02x}" for one in data)


def _time(moment: Optional[float]) -> Optional[str]:
    return None if moment is None else rfc3339(moment)
