# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a command says while it works, at a real terminal and in a journal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import termios

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.screen import Screen
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import Far

CLEAR = "\r\x1b[K"


class Terminal:
    """Of 50 columns, as a program that is shown there has it."""

    def __init__(self):
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")

    def shown(self):
        found = b""
        while select.select([self._mine], [], [], 0.2)[0]:
            found += os.read(self._mine, 1 << 16)
        return found.decode()

    def close(self):
        self.stream.close()
        os.close(self._mine)


@pytest.fixture
def terminal():
    found = Terminal()
    yield found
    found.close()


def test_a_terminal_has_a_bar_that_makes_room_for_lines(terminal):
    with Screen(terminal.stream, terminal.stream, {"TERM": "xterm"}) as screen:
        screen.tell(Far("Compared", 500, 1000))
        screen.say("No member answers.\x1b[2J")
        screen.tell(Far("Compared", 600, 1000))
    assert terminal.shown() == (
        f"{CLEAR}[#########..........] Compared: 500 of 1,000 keys{CLEAR}No member answers.\\x1b[2J\r\n"
        f"{CLEAR}[###########........] Compared: 600 of 1,000 keys{CLEAR}"
    )


def test_an_error_comes_where_the_bar_was(terminal):
    with pytest.raises(ValueError), Screen(terminal.stream, terminal.stream, {"TERM": "xterm"}) as screen:
        assert screen.shows(Far("Compared", 1, 2))
        raise ValueError
    assert terminal.shown().endswith(f"1 of 2 keys{CLEAR}")


def test_the_answer_on_stdout_stays_clean(terminal):
    out = io.StringIO()
    with Screen(out, terminal.stream, {"TERM": "xterm"}) as screen:
        screen.tell(Far("Compared", 1, 2))
    assert out.getvalue() == "" and "1 of 2 keys" in terminal.shown()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_journal_gets_a_line_each_thirty_seconds_and_nothing_that_a_terminal_obeys(terminal, term):
    err, now, out = io.StringIO(), [0.0], io.StringIO()
    stream = terminal.stream if term == "dumb" else err
    with Screen(out, stream, {"TERM": term}, lambda: now[0]) as screen:
        for second in range(70):
            now[0] = float(second)
            screen.tell(Far("Compared", 100 * second, 10_000))
            assert not screen.shows(None)
    text = terminal.shown().replace("\r\n", "\n") if term == "dumb" else err.getvalue()
    assert text == "Compared: 3,000 of 10,000 keys.\nCompared: 6,000 of 10,000 keys.\n" and out.getvalue() == ""
