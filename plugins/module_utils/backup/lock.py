# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time in a folder of snapshots: an agent's or a play's, of this host or of another that has the folder too."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Callable, Iterator, Optional

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.text import rfc3339
from ..core.values import MOMENT, TEXT, from_plain, to_plain

NAME = ".quorum-etcd-backup.lock"
ENDED = (KeyboardInterrupt, SystemExit)  # in order, by Ctrl-C or SIGTERM: such a run can still say so itself
_LOOK_AGAIN = 0.2  # seconds between two tries
_LONGEST = 4096  # bytes of what is written into the lock


@dataclass(frozen=True)
class Holder:
    """Who has the lock, as it is written into it, for what ``work`` and of which ``cluster``: an older version says neither."""

    host: str
    pid: int
    since: str = field(metadata=MOMENT)
    work: str = field(default="", metadata=TEXT)
    cluster: str = field(default="", metadata=TEXT)

    def ended_in(self, work: str) -> str:
        """Of one that has left the lock as it was: what became of its run, in words."""
        return f"process {self.pid} of {self.host} ended in the middle of its {work}: it was killed, or its host lost power."

    def interrupted_in(self, work: str) -> str:
        return f"process {self.pid} of {self.host} was interrupted in its {work}."


def holder(clock: Callable[[], float], work: str, cluster: str) -> Holder:
    """Who this process is to others."""
    return Holder(socket.gethostname(), os.getpid(), rfc3339(clock()), work, cluster)


class Busy(EtcdError):
    """Another run has the lock."""


@contextlib.contextmanager
def locked(
    folder: str,
    seconds: float = 0.0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    work: str = "",
    cluster: str = "",
) -> Iterator[Optional[Holder]]:
    """Have the folder's lock for the block; waits for it at most ``seconds``, then Busy.

    Gives the holder that went without giving it back, who was killed or lost power; None where none did, as after one that was
    told to end. Its note is gone then: whoever has the lock records what became of it, see ``killed``. The kernel gives the lock
    back whatever becomes of its holder, also over NFS, so that none is ever left behind.
    """
    handle = _open(folder)
    try:
        _take(handle, folder, clock() + seconds, clock, sleep)
        left = _read(handle)
        # On a full disk the lock holds without words too.
        with contextlib.suppress(OSError):
            _write(handle, json.dumps(to_plain(holder(clock, work, cluster))))
        yield left
        with contextlib.suppress(OSError):
            _write(handle, "")
    except (Exception, *ENDED):
        with contextlib.suppress(OSError):
            _write(handle, "")
        raise
    finally:
        os.close(handle)


def _open(folder: str) -> int:
    try:
        return os.open(os.path.join(folder, NAME), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EtcdError(
            f"the folder {folder} cannot be locked: {error.strerror}.",
            "check that it is there, its owner and its mode.",
        ) from error


def _take(handle: int, folder: str, until: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if clock() < until:
                sleep(_LOOK_AGAIN)
                continue
        except OSError as error:
            raise EtcdError(
                f"the folder {folder} cannot be locked: {error.strerror}.", "choose one on a file system with locks."
            ) from error
        other = _read(handle)
        who = f"process {other.pid} of {other.host}, since {other.since}" if other else "another process"
        raise Busy(f"another run is at work in {folder} ({who}).", "wait for its end, and run this again.")


def _read(handle: int) -> Optional[Holder]:
    """What is written in the lock; None where there is nothing that can be understood."""
    try:
        return from_plain(Holder, strict_json.parse(os.pread(handle, _LONGEST, 0).decode("utf-8", "replace")))
    except (OSError, ValueError):
        return None


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)
