# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command that reads what is written here, or writes what is read here, although whoever runs commands only tells its end.

It opens our end of a pipe by its path in ``/proc``, so that nothing lies on a disk, and nobody waits for a command that never
began: with its end, whatever it was, the pipe ends too.
"""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO, Callable, Generic, Iterator, Sequence, TypeVar

from .threads import Beside

R = TypeVar("R")  # what is told of the end of a command
Command = Callable[[Sequence[str]], R]


class Piped(Generic[R]):
    """``stream`` is our end. After the block ``result`` is what was told of the command's end."""

    result: R

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.cut_off = False  # the command had ended before it was given all


@contextlib.contextmanager
def fed(run: Command[R], argv: Callable[[str], Sequence[str]]) -> Iterator[Piped[R]]:
    """The command, whose words ``argv`` makes with the path that it is to read, reads what the block writes."""
    theirs, ours = os.pipe()
    piped: Piped[R] = Piped(os.fdopen(ours, "wb"))
    ended = _begun(run, argv, theirs)
    try:
        with piped.stream:
            yield piped
    except BrokenPipeError:
        piped.cut_off = True
    finally:
        piped.result = ended.result()


@contextlib.contextmanager
def drawn(run: Command[R], argv: Callable[[str], Sequence[str]]) -> Iterator[Piped[R]]:
    """The command, whose words ``argv`` makes with the path that it is to write, writes what the block reads."""
    ours, theirs = os.pipe()
    piped: Piped[R] = Piped(os.fdopen(ours, "rb"))
    ended = _begun(run, argv, theirs)
    try:
        with piped.stream:
            yield piped
    finally:
        piped.result = ended.result()


def _begun(run: Command[R], argv: Callable[[str], Sequence[str]], theirs: int) -> Beside[R]:
    def work() -> R:
        try:
            return run(argv(f"/proc/{os.getpid()}/fd/{theirs}"))
        finally:
            os.close(theirs)

    return Beside(work)
