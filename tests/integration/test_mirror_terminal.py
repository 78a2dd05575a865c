# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent shows of how far a mirror is: at a real terminal a bar, and in a journal nothing that a terminal obeys."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from client import seed
from lab import Lab
from test_mirror_agent import PATIENCE, Mirror

COLUMNS = 80
CLEAR = "\r\x1b[K"
KEYS = 20_000


class Shown(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def bars(self) -> list[str]:
        """Each time that the bar was drawn, or that there was nothing in its place."""
        return self.err.split(CLEAR)[1:]


def at_a_terminal(mirror: Mirror, *words: str, command: str = "mirror", term: str = "xterm") -> Shown:
    """The command with a terminal for its stderr, until it has closed that, and a file for its stdout."""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    argv, environ = mirror.argv(*words, command=command), {**os.environ, "TERM": term}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=theirs, env=environ)
        os.close(theirs)
        shown, until = b"", time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):  # so ends a terminal that nobody has open any more
            while time.monotonic() < until:
                if select.select([mine], [], [], 0.5)[0]:
                    shown += os.read(mine, 1 << 16)
        os.close(mine)
        code = process.wait(timeout=PATIENCE)
        out.seek(0)
        return Shown(code, out.read(), shown.decode())


class Seen(NamedTuple):
    mirror: Mirror
    first: Shown


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A mirror that has caught up, and what its first copy looked like at a terminal."""
    folder = tmp_path_factory.mktemp("terminal")
    with Lab(folder / "source", members=1) as source, Lab(folder / "destination", members=1) as destination:
        seed(source.members[0].client, KEYS)
        mirror = Mirror(source, destination, folder / "host")
        yield Seen(mirror, at_a_terminal(mirror, "run", "dr", "--once"))


@pytest.fixture
def mirror(seen: Seen) -> Mirror:
    return seen.mirror


def a_bar(shown: Shown, what: str, of: str) -> None:
    """Of these words there were bars, each within the terminal, and none is left at the end."""
    drawn = [one for one in shown.bars if f"{what}: " in one]
    assert drawn and all(re.search(rf"\[#*\.*\] {what}: [\d,]+ of {of} keys", one) for one in drawn), shown
    assert all(len(one) < COLUMNS for one in drawn) and shown.bars[-1] == "", shown
    assert set(re.findall(r"[\x00-\x1f]", shown.err.replace(CLEAR, ""))) == set(), "and nothing else that it obeys"


def test_the_first_copy_is_seen_at_a_terminal(seen: Seen) -> None:
    code, out, _err = seen.first
    assert code == 0 and "caught up" in out and "\x1b" not in out, seen.first
    a_bar(seen.first, "Compared", f"{KEYS:,}")
    health = seen.mirror.told()[1]
    assert health["keys"] == KEYS, "counted anew when it had caught up"


def test_a_verification_and_a_recovery_are_seen_at_a_terminal(mirror: Mirror) -> None:
    verified = at_a_terminal(mirror, "verify", "dr", "--json")
    assert verified.code == 0 and json.loads(verified.out)["equal"], verified
    a_bar(verified, "Compared", f"{KEYS:,}")

    mirror.source.members[0].client.delete_range(b"app/", b"app0")
    wanted = ("dr", "--all", "--from-mirror", "--confirm", "dr", "--json")
    recovered = at_a_terminal(mirror, *wanted, command="recover")
    told = json.loads(recovered.out)
    assert recovered.code == 0 and told["done"] == told["created"] > 100, recovered
    a_bar(recovered, "Brought back", f"{told['done']:,}")


def test_an_error_comes_behind_the_bar(mirror: Mirror) -> None:
    mirror.destination.members[0].client.put(b"app/stranger", b"1")
    try:
        verified = at_a_terminal(mirror, "verify", "dr")
    finally:
        mirror.destination.members[0].client.delete(b"app/stranger")
    assert verified.code == 1 and verified.out.startswith("mirror dr DIFFERS from its source"), verified
    assert "app/stranger" in verified.out and verified.bars[-1] == "", verified


def test_a_terminal_that_cannot_draw_again_gets_lines_alone(mirror: Mirror) -> None:
    for words in (("run", "dr", "--once"), ("verify", "dr")):
        shown = at_a_terminal(mirror, *words, term="dumb")
        assert shown.code == 0 and shown.err == "", shown
    code, said = mirror.run("run", "dr", "--once", "--json")
    assert code == 0 and json.loads(said)["result"] == "caught up", said
    code, said = mirror.run("verify", "dr")
    assert code == 0 and "\x1b" not in said and "\r" not in said, said
