# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A log on a host: what became of the last runs of a kind, one line of JSON each, for people and monitors."""

from __future__ import annotations

import contextlib
import json
import os
from itertools import islice
from typing import Generic, Iterator, List, Optional, Protocol, Type, TypeVar

from . import strict_json
from .durable import add_line, alone, put
from .values import from_plain, to_plain


class Entry(Protocol):
    """What a line of a log is: a value of ``core.values`` that names its cluster."""

    @property
    def cluster(self) -> str: ...


T = TypeVar("T", bound=Entry)


class Log(Generic[T]):
    """The file ``name`` of a state folder, of values of the class ``kind``, the newest last. At least ``most`` stay."""

    def __init__(self, name: str, kind: Type[T], most: int) -> None:
        self.name, self._kind, self._most = name, kind, most

    def add(self, state_dir: str, entry: T) -> None:
        """Add the entry; the oldest go. OSError where it cannot be written."""
        os.makedirs(state_dir, mode=0o755, exist_ok=True)
        path = os.path.join(state_dir, self.name)
        with alone(state_dir):
            lines = _lines(path)
            if len(lines) >= 2 * self._most:
                put(path, ("\n".join(lines[-self._most :]) + "\n").encode())
            add_line(path, json.dumps(to_plain(entry), sort_keys=True))

    def note(self, state_dir: str, entry: T, what: str) -> str:
        """Add the entry; in words why the ``what`` could not be recorded, empty where it was."""
        try:
            self.add(state_dir, entry)
        except OSError as error:
            return f"this {what} could not be recorded in {state_dir}: {error.strerror}."
        return ""

    def last(self, state_dir: str, cluster: str, most: int = 0) -> List[T]:
        """The entries of a cluster, the newest first."""
        return list(islice(self.each(state_dir, cluster), most or self._most))

    def each(self, state_dir: str, cluster: str) -> Iterator[T]:
        """The same, one after the other, read only as far as they are taken. A line that cannot be understood is none."""
        for line in reversed(_lines(os.path.join(state_dir, self.name))):
            entry = self._understood(line)
            if entry is not None and entry.cluster == cluster:
                yield entry

    def _understood(self, line: str) -> Optional[T]:
        with contextlib.suppress(ValueError):
            return from_plain(self._kind, strict_json.parse(line))
        return None


def _lines(path: str) -> List[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line for line in file.read().split("\n") if line]
    except OSError:
        return []
