# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON that somebody else wrote: read within limits, and held against the shape that is expected of it.

A shape is ``str``, ``int``, ``float`` (any number), ``bool``, ``ANY``; ``WORD``, a text on one line that can be printed;
``MOMENT``, a time in UTC; ``[shape]``, a list of such; ``{"key": shape, ...}``, an object that has these keys among others;
``{str: shape}``, one of any keys; and a tuple of shapes, of which one must fit. With ``NULL`` among them the value may also
be null, with None it may be null or missing.
"""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from typing import Any, List, Mapping, Tuple

from .errors import EtcdError

LARGEST_FILE = 1 << 20  # bytes; a manifest has some hundreds, the plan of a host in a cluster of nine some ten thousand
LARGEST_ANSWER = 64 << 20  # bytes of what etcd's own tools print
DEEPEST = 32  # levels; nothing here needs ten, and what is read is written and sent on by others, who recurse
_LONGEST_NUMBER = 40  # digits: Python before 3.11 takes minutes for a million
_LONGEST_WORD = 4096
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1  # etcd's numbers: int64 and uint64


ANY, WORD, NULL, MOMENT = "anything", "a word", "null", "a time such as 2026-11-24T03:16:00Z"
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", None: "null"}


def parse(text: str, largest: int = LARGEST_ANSWER) -> Any:
    """The value in ``text``. ValueError, with why in words, for what is no JSON or beyond the limits.

    Not JSON are also NaN and Infinity, which Python's own reader takes, and text with half of a surrogate pair, which
    nothing could write again.
    """
    if len(text) > largest:
        raise ValueError(f"it has more than {largest:,} characters")
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    _check_depth_and_text(value)
    return value


def read_file(path: str, what: str, next_step: str = "") -> Any:
    """The JSON in a file. FileNotFoundError where there is none; EtcdError, which begins with ``what``, for anything else."""
    return parse_file(read_bytes(path, what, next_step), path, what, next_step)


def read_bytes(path: str, what: str, next_step: str = "") -> bytes:
    """What a small file holds. FileNotFoundError where there is none; EtcdError, which begins with ``what``, for anything else.

    Only a regular file is read: one that is made by others may be a pipe, which nobody ever writes to.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = os.read(descriptor, LARGEST_FILE + 1) if regular else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EtcdError(f"{what} {path} cannot be read: {error.strerror}.", next_step) from error
    if not regular:
        raise EtcdError(f"{what} {path} is not a regular file.", next_step)
    if len(data) > LARGEST_FILE:
        raise EtcdError(f"{what} {path} has more than {LARGEST_FILE:,} bytes.", next_step)
    return data


def parse_file(data: bytes, path: str, what: str, next_step: str = "") -> Any:
    """The JSON in ``data``, which was read of the file ``path``; EtcdError as in ``read_file``."""
    try:
        return parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise EtcdError(f"{what} {path} is not JSON: it is no UTF-8.", next_step) from error
    except ValueError as error:
        raise EtcdError(f"{what} {path} is not JSON: {error}.", next_step) from error


def misfit(value: Any, shape: Any, place: str = "") -> str:
    """Where and how ``value`` is not of this shape, in words; empty where it is."""
    if isinstance(shape, tuple):
        tried = [misfit(value, one, place) for one in shape]
        return "" if "" in tried else next((why for why in tried if why), "")
    if isinstance(shape, list):
        if not isinstance(value, (list, tuple)):
            return _wrong(value, "a list", place)
        return next(filter(None, (misfit(one, shape[0], f"{place}[{at}]") for at, one in enumerate(value))), "")
    if isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            return _wrong(value, "an object", place)
        return next(filter(None, (misfit(*part) for part in _parts(value, shape, place))), "")
    return "" if _is(value, shape) else _wrong(value, _NAMES.get(shape, shape), place)


_MISSING = object()


def _parts(value: Mapping[Any, Any], shape: Mapping[Any, Any], place: str) -> List[Tuple[Any, Any, str]]:
    """(value, shape, place) of each member of an object that has to fit."""
    if str in shape:
        return [(key, str, f"a key of {place or 'it'}") for key in value] + [
            (one, shape[str], f"{place}.{key}".lstrip(".")) for key, one in value.items()
        ]
    return [(value.get(key, _MISSING), one, f"{place}.{key}".lstrip(".")) for key, one in shape.items()]


def _is(value: Any, shape: Any) -> bool:
    if shape == ANY:
        return value is not _MISSING
    if shape == NULL:
        return value is None
    if shape is None:
        return value is None or value is _MISSING
    if shape == WORD:
        return isinstance(value, str) and len(value) <= _LONGEST_WORD and value.isprintable()
    if shape == MOMENT:
        return isinstance(value, str) and _is_moment(value)
    if shape is bool or shape is str:
        return isinstance(value, shape)
    number = isinstance(value, int) and not isinstance(value, bool) and _LOWEST <= value <= _HIGHEST
    return number or (shape is float and isinstance(value, float) and _LOWEST <= value <= _HIGHEST)


def _is_moment(text: str) -> bool:
    try:
        return bool(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return False


def _wrong(value: Any, wanted: str, place: str) -> str:
    if value is _MISSING:
        return f"{place} is missing"
    return f"{place or 'it'} is {_in_words(value)} and not {wanted}"


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number in it has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number in it is infinite")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is in it")


def _check_depth_and_text(value: Any) -> None:
    level = [value]
    for _level in range(DEEPEST + 1):
        for one in level:
            if isinstance(one, str):
                _check_text(one)
        inner = [one for one in level if isinstance(one, (dict, list))]
        for one in inner:
            if isinstance(one, dict):
                for key in one:
                    _check_text(key)
        if not inner:
            return
        level = [part for one in inner for part in (one.values() if isinstance(one, dict) else one)]
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text in it is no Unicode") from None
