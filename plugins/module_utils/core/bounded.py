# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command that disturbs nobody: of the lowest priority, on one processor, with so much memory and time, and gone when whoever
began it is gone.

A supervisor holds it to that, in a process of its own. The supervisor's program is this very file, given to a new Python as its
text, since the modules travel to a host in an archive: so it imports nothing of ours.

Whoever begins commands holds a lifeline, a pipe with a name. The kernel closes it however they end, also by SIGKILL: the
supervisor sees that, and ends the whole process group of the command. Where the supervisor itself is killed, the kernel kills
the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import json
import os
import platform
import resource
import select
import signal
import sys
import time
from typing import Any, Dict, Iterator, List, Sequence

OUT_OF_TIME, NOT_RUN = 124, 127  # exit codes, as those of timeout(1) and of a shell
_TAIL = 64 << 10  # bytes of the end of what it prints that are passed on
_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_LOOK_AGAIN = 0.2
_PR_SET_PDEATHSIG = 1
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "s390x": 282, "ppc64le": 273}
_IOPRIO_IDLE = 3 << 13


@contextlib.contextmanager
def lifeline(path: str) -> Iterator[None]:
    """Commands that are held by the pipe ``path``, which is made here, live at most as long as the block, and this process."""
    os.mkfifo(path, 0o600)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.close(descriptor)
        os.unlink(path)


def bounded(argv: Sequence[str], held_by: str, folder: str, seconds: float, memory: int) -> List[str]:
    """The argv with which the command is run within its bounds, in ``folder``, for at most ``seconds``.

    ``held_by`` is the path of the lifeline, ``memory`` the bytes of its data. The exit code is the command's, 128 and the
    signal that has ended it, or OUT_OF_TIME; the output is the end of all that it printed.
    """
    bounds = {"held_by": held_by, "folder": folder, "seconds": seconds, "memory": memory}
    text = inspect.getsource(sys.modules[__name__])
    return [sys.executable, "-I", "-S", "-c", text, json.dumps(bounds), *argv]


# ---- the supervisor --------------------------------------------------------------------------------------------------


def supervise(bounds: Dict[str, Any], argv: Sequence[str]) -> int:
    try:
        held = os.open(bounds["held_by"], os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return OUT_OF_TIME
    if _is_cut(held):
        return OUT_OF_TIME
    said, saying = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if not child:
        _become(bounds, argv, saying, parent)
    os.close(saying)
    tail, until = b"", time.monotonic() + bounds["seconds"]
    code, ending = 0, 0.0
    watched = [said, held]
    while not _has_ended(child):
        for ready in select.select(watched, [], [], _LOOK_AGAIN)[0]:
            chunk = os.read(ready, 1 << 16)
            if ready == said:
                tail = (tail + chunk)[-_TAIL:]
            if not chunk:
                watched.remove(ready)
        now = time.monotonic()
        if not ending and (held not in watched or now > until):
            code, ending = (OUT_OF_TIME if held in watched else 0), now + _GRACE
            os.killpg(child, signal.SIGTERM)
        elif ending and now > ending:
            os.killpg(child, signal.SIGKILL)
    # What it has left in its group goes before its number is free again, and could be somebody else's.
    os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    while said in watched and select.select([said], [], [], 0)[0]:
        chunk = os.read(said, 1 << 16)
        tail = (tail + chunk)[-_TAIL:]
        if not chunk:
            break
    os.write(1, tail)
    return code or (os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _is_cut(held: int) -> bool:
    """Whether nobody holds the other end: before the first look there may have been nobody, which only a read tells."""
    try:
        return not os.read(held, 1)
    except BlockingIOError:
        return False


def _has_ended(child: int) -> bool:
    """Without collecting it: until then its number is nobody else's."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _become(bounds: Dict[str, Any], argv: Sequence[str], saying: int, parent: int) -> None:
    """Be the command, within its bounds; never returns."""
    try:
        os.setsid()  # and so a process group of its own
        go_last()
        _be_first_to_go(parent)
        for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_DATA, bounds["memory"])):
            allowed = resource.getrlimit(limit)[1]
            most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
            resource.setrlimit(limit, (most, most))
        os.chdir(bounds["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(saying, 1)
        os.dup2(saying, 2)
        # What the host has in its environment for its own etcd is not for this one.
        os.execvpe(argv[0], list(argv), {name: one for name, one in os.environ.items() if not name.startswith("ETCD_")})
    except OSError as error:
        os.write(saying, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_RUN)


def _be_first_to_go(parent: int) -> None:
    """Where memory is short; and not without its supervisor."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    if os.getppid() != parent:
        raise ProcessLookupError(0, "whoever began it is gone")


def go_last() -> None:
    """From now on this process, and all that it begins, is after everybody else for the disk and for the processor, of which it
    has one: the last that it may have, since many a host's first has more to do."""
    os.nice(19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with contextlib.suppress(OSError, AttributeError):
        if platform.machine() in _IOPRIO_SET:
            ctypes.CDLL(None).syscall(_IOPRIO_SET[platform.machine()], 1, 0, _IOPRIO_IDLE)


if __name__ == "__main__":
    raise SystemExit(supervise(json.loads(sys.argv[1]), sys.argv[2:]))
