# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of ours on a host: as they should be, whether they are so, and made so."""

from __future__ import annotations

import contextlib
import operator
import os
import stat
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

from ..core.durable import put


@dataclass(frozen=True)
class File:
    """What a file should be. ``shown`` is what a diff may show of it, empty for nothing.

    ``owner``: user and group, None for those of this process. ``same``: whether two contents mean the same.
    """

    path: str
    content: bytes
    mode: int
    shown: str = ""
    owner: Optional[Tuple[int, int]] = None
    same: Callable[[bytes, bytes], bool] = operator.eq


def text_file(path: str, text: str, mode: int) -> File:
    """One that a diff may show."""
    return File(path, text.encode(), mode, text)


class Files:
    """The files of a host whose root is ``root``, which is another folder than ``/`` in tests only."""

    def __init__(self, root: str = "/") -> None:
        self._root = root

    def at(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def has(self, path: str) -> bool:
        return os.path.lexists(self.at(path))

    def text(self, path: str) -> str:
        """Empty where it cannot be read."""
        with contextlib.suppress(OSError), open(self.at(path), encoding="utf-8", errors="replace") as present:
            return present.read()
        return ""

    def is_as(self, file: File) -> bool:
        """Whether the file is there as it should be, its owner's, and no link."""
        try:
            status = os.lstat(self.at(file.path))
            owner = (status.st_uid, status.st_gid) if file.owner else status.st_uid
            if (
                not stat.S_ISREG(status.st_mode)
                or stat.S_IMODE(status.st_mode) != file.mode
                or owner != (file.owner or os.geteuid())
            ):
                return False
            with open(self.at(file.path), "rb") as present:
                content = present.read()
        except OSError:
            return False
        return file.same(content, file.content)

    def diff(self, file: File) -> Dict[str, str]:
        before = self.text(file.path) if file.shown else ""
        after = file.shown or f"({len(file.content)} bytes, not shown)\n"
        return {"before_header": file.path, "before": before, "after_header": file.path, "after": after}

    def write(self, file: File) -> None:
        def prepare(descriptor: int) -> None:
            if file.owner:
                os.fchown(descriptor, *file.owner)
            os.fchmod(descriptor, file.mode)

        path = self.at(file.path)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        put(path, file.content, ".quorum-etcd-", prepare=prepare)


def removed(path: str) -> Dict[str, str]:
    """How a file changes that goes, as a diff shows it."""
    return {"before_header": path, "before": "(it is there)\n", "after_header": path, "after": ""}
