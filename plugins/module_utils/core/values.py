# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values with names and types, as frozen dataclasses, and the one way to make plain dictionaries of them and back.

Between rooms go values. They are dictionaries only at the doors: a module's parameters and its answer, a plan and a journal
on a host, JSON. What comes in by a door was written by somebody else, and is held against the type first.

A field of the type ``str`` is a word: one line that can be printed. One that holds more (a command, a message, a file's
text) says ``TEXT`` in its metadata, and one that holds a time in UTC says ``MOMENT``. A field with a default may be missing,
or null: an older version has not known it. One that says ``SPARSE`` is left out of the plain form while it is None. One that
says ``REST`` holds all that stands in the plain form and in no other field: a newer version's, or somebody else's.
"""

from __future__ import annotations

import collections.abc
import dataclasses
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Type, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from . import strict_json

T = TypeVar("T")

TEXT: Mapping[str, Any] = {"shape": str}
MOMENT: Mapping[str, Any] = {"shape": strict_json.MOMENT}
SPARSE: Mapping[str, Any] = {"sparse": True}
REST: Mapping[str, Any] = {"rest": True}


class Misfit(ValueError):
    """A plain value that is not of the type: where and how, in words, without a full stop."""


def to_plain(value: Any) -> Any:
    """Dictionaries, lists and scalars that hold the same: what a module answers, and JSON can have. Tuples become lists."""
    if dataclasses.is_dataclass(value):
        parts = [(field, getattr(value, field.name)) for field in _told_fields(value)]
        plain = {field.name: to_plain(one) for field, one in parts if one is not None or "sparse" not in field.metadata}
        rest = _rest_field(value)
        return {**to_plain(getattr(value, rest)), **plain} if rest else plain
    if isinstance(value, Mapping):
        return {key: to_plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(one) for one in value]
    return value


def from_plain(kind: Type[T], plain: Any, place: str = "") -> T:
    """The value of this kind, a dataclass, that ``plain`` holds; Misfit where it does not fit. ``place`` goes before the words.

    What a newer version has written besides is passed over where no field says ``REST``.
    """
    why = strict_json.misfit(plain, shape_of(cast(Any, kind)), place)
    if why:
        raise Misfit(why)
    return cast(T, _made(kind, plain))


@lru_cache(maxsize=None)
def shape_of(kind: Any) -> Any:
    """What ``strict_json.misfit`` holds a plain value against, for a type that a field of a value may have.

    These are ``str``, ``int``, ``float``, ``bool``, ``Any``, dataclasses, and of all of them ``Optional``, ``List``,
    ``Sequence``, ``Tuple[X, ...]``, ``Dict[str, X]`` and ``Mapping[str, X]``; and a ``Union`` of what is plain already.
    """
    if kind is Any:
        return strict_json.ANY
    if kind is str:
        return strict_json.WORD
    if kind in (int, float, bool):
        return kind
    if dataclasses.is_dataclass(kind):
        hints = _hints(cast(Any, kind))
        return {field.name: _shape_of_field(field, hints[field.name]) for field in _told_fields(kind)}
    inner = get_args(kind)
    if get_origin(kind) is Union and (inner[1:] == (type(None),) or all(map(_is_plain, inner))):
        return tuple(strict_json.NULL if one is type(None) else shape_of(one) for one in inner)
    if _is_mapping(kind) and inner[0] is str:
        return {str: shape_of(inner[1])}
    if _is_sequence(kind):
        return [shape_of(inner[0])]
    raise TypeError(f"{kind} is no type of a value's field")


def _shape_of_field(field: Any, hint: Any) -> Any:
    shape = _with_text(shape_of(hint), field.metadata["shape"]) if "shape" in field.metadata else shape_of(hint)
    return (shape, None) if _has_default(field) else shape


def _with_text(shape: Any, instead: Any) -> Any:
    """The shape, with ``instead`` in the place of each word in it."""
    if isinstance(shape, tuple):
        return tuple(_with_text(one, instead) for one in shape)
    if isinstance(shape, list):
        return [_with_text(one, instead) for one in shape]
    if isinstance(shape, dict):
        return {key: _with_text(one, instead) for key, one in shape.items()}
    return instead if shape == strict_json.WORD else shape


def _made(kind: Any, plain: Any) -> Any:
    """``plain``, which fits, as the value that it is."""
    if dataclasses.is_dataclass(kind):
        hints = _hints(cast(Any, kind))
        given = {
            field.name: _made(hints[field.name], plain[field.name])
            for field in _told_fields(kind)
            if not (_has_default(field) and plain.get(field.name) is None)
        }
        rest = _rest_field(kind)
        others = {rest: {key: one for key, one in plain.items() if key not in given}} if rest else {}
        return cast(Any, kind)(**given, **others)
    inner = get_args(kind)
    if plain is None or not inner:
        return plain
    if get_origin(kind) is Union:
        return plain if all(map(_is_plain, inner)) else _made(inner[0], plain)
    if _is_mapping(kind):
        return {key: _made(inner[1], one) for key, one in plain.items()}
    made = [_made(inner[0], one) for one in plain]
    return tuple(made) if get_origin(kind) is tuple else made


def _told_fields(kind: Any) -> List[Any]:
    """The fields of a value that its plain form has by their names."""
    return [field for field in dataclasses.fields(kind) if "rest" not in field.metadata]


def _rest_field(kind: Any) -> str:
    return next((field.name for field in dataclasses.fields(kind) if "rest" in field.metadata), "")


def _is_plain(kind: Any) -> bool:
    """Whether a value of this kind and its plain form are the same."""
    return kind in (str, int, float, bool, type(None)) or (bool(get_args(kind)) and all(map(_is_plain, get_args(kind))))


def _has_default(field: Any) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


@lru_cache(maxsize=None)
def _hints(kind: Any) -> Dict[str, Any]:
    return get_type_hints(kind)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple, collections.abc.Sequence)
