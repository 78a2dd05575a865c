# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a page of keys is asked for.

etcd counts a range to its end, whatever the limit of the page: paging through n keys takes it the square of n, and nobody can
write while it counts. So a page is asked for up to a key that lies soon behind those that are wanted, by how densely the keys
before lie. A guess that is wrong costs a smaller page, or a longer count; where it was wrong a few times, all is counted once.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import Sequence

from ..etcd.messages import prefix_range

_REACH = 2  # times the keys that are wanted
_FEW = 4  # a page with less than such a part of them was asked for too short
_MOST_SHORT = 3  # of such pages, one after the other
_SAMPLE = 50  # keys by which it is known of which bytes keys are made
_GAP = 6  # digits that each of them makes the next guess longer
_CARRIED, _DIGITS = (
    16,
    24,
)  # bytes before the first that differs, into which a number may carry; and all that make the number


class Horizon:
    """Of pages that are read one after the other, in the order of their keys."""

    def __init__(self) -> None:
        self._first, self._keys, self._short = b"", 0, 0
        self._letters = b""

    def end(self, start: bytes, end: bytes, wanted: int) -> bytes:
        """Where to end a page that begins at ``start``: no later than ``end``, where one zero byte is the end of everything."""
        if not self._keys or self._short >= _MOST_SHORT:
            return end
        wanted *= _REACH * len(self._letters) ** (_GAP * self._short)
        near = _beyond(self._first, start, wanted, self._keys, self._letters)
        return near if start < near and (end == b"\0" or near < end) else end

    def saw(self, keys: Sequence[bytes], wanted: int, is_whole: bool) -> None:
        """A page had these; ``is_whole``: they are as many as were wanted, or all up to the real end."""
        self._short = 0 if is_whole or len(keys) * _FEW >= wanted else self._short + 1
        if keys:
            self._first, self._keys = keys[0], len(keys)
            self._letters = bytes(sorted(set(b"".join(keys[:: 1 + len(keys) // _SAMPLE]))))


def _beyond(first: bytes, last: bytes, wanted: int, keys: int, letters: bytes) -> bytes:
    """The key as far behind ``last`` as so many wanted keys take, where ``keys`` lie between these two.

    A key is a number whose digits are the letters that keys are made of, so that behind 0999 comes 1000.
    """
    common = len(os.path.commonprefix([first, last]))
    stem = last[: max(0, common - _CARRIED)]
    low, high = (_number(key[len(stem) :], letters) for key in (first, last))
    far = high + max(1, (high - low) * wanted // keys)
    return stem + _key(far, letters) if far < len(letters) ** _DIGITS else prefix_range(stem)[1]


def _number(key: bytes, letters: bytes) -> int:
    number, base = 0, len(letters)
    for at in range(_DIGITS):
        place = bisect_left(letters, key[at]) if at < len(key) else 0
        number = number * base + min(place, base - 1)
    return number


def _key(number: int, letters: bytes) -> bytes:
    digits = bytearray()
    for _digit in range(_DIGITS):
        number, place = divmod(number, len(letters))
        digits.append(letters[place])
    return bytes(reversed(digits))
