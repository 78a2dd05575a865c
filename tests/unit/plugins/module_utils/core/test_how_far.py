# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a terminal shows of how far a long job is, drawn for a width, and what a log gets instead."""

from __future__ import annotations

import io
from itertools import product

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import (
    Bar,
    Far,
    NowAndThen,
    Pace,
    bar_on,
    counted_off,
    drawn,
)

CLEAR = "\r\x1b[K"


@pytest.mark.parametrize(
    ("far", "pace", "width", "line"),
    [
        (Far("Compared", 0, 100_000), 0, 60, "[.............................] Compared: 0 of 100,000 keys"),
        (
            Far("Compared", 41_000, 100_000),
            12_345.6,
            80,
            "[#########...............] Compared: 41,000 of 100,000 keys, 12,346/s, 5 s left",
        ),
        (
            Far("Compared", 50, 100),
            0.5,
            200,
            f"[{'#' * 20}{'.' * 20}] Compared: 50 of 100 keys, 0.5/s, 1 min 40 s left",
        ),
        (Far("Compared", 100, 100), 50, 60, "[#########################] Compared: 100 of 100 keys, 50/s"),
        # Nobody knows how many there are, or more have come since: neither a bar nor an end.
        (Far("Compared", 1200), 50, 80, "Compared: 1,200 keys, 50/s"),
        (Far("Compared", 1200, 1199), 50, 80, "Compared: 1,200 keys, 50/s"),
        (Far("Compared", 0, 0), 0, 80, "Compared: 0 keys"),
        (Far("Read of the log", 5, 10, "revisions"), 0, 50, "[######......] Read of the log: 5 of 10 revisions"),
        # What does not fit is left out: the bar, then the end, then the pace, and then it is cut.
        (Far("Compared", 41_000, 100_000), 12_345.6, 56, "Compared: 41,000 of 100,000 keys, 12,346/s, 5 s left"),
        (Far("Compared", 41_000, 100_000), 12_345.6, 50, "Compared: 41,000 of 100,000 keys, 12,346/s"),
        (Far("Compared", 41_000, 100_000), 12_345.6, 34, "Compared: 41,000 of 100,000 keys"),
        (Far("Compared", 41_000, 100_000), 12_345.6, 10, "Compared:"),
    ],
)
def test_a_line_for_a_width(far, pace, width, line):
    assert drawn(far, pace, width) == line


def test_no_line_is_wider_than_the_terminal():
    for width, done in product(range(1, 200), (0, 7, 123_456_789, 10**10)):
        assert len(drawn(Far("Compared", done, 10**10), 98_765.4, width)) <= max(0, width - 1)


def test_the_pace_is_that_of_the_last_seconds():
    pace = Pace()
    assert [pace.at(0.0, 0), pace.at(1.0, 500)] == [0, 0], "nobody can say yet"
    assert pace.at(2.0, 1000) == 500
    for second in range(3, 40):
        last = pace.at(float(second), 1000 + 10 * (second - 2))
    assert last == 10
    assert pace.at(40.0, 5) == 0, "begun anew"


def test_a_log_gets_a_line_each_thirty_seconds():
    now, said = [1000.0], []
    say = NowAndThen(lambda words: said.append((now[0] - 1000, words)), lambda: now[0])
    for second in range(0, 100):
        now[0] = 1000.0 + second
        say(f"{second} keys")
    assert said == [(30, "30 keys"), (60, "60 keys"), (90, "90 keys")]
    now[0] += 60
    say("")
    assert len(said) == 3


def test_a_bar_is_drawn_again_in_its_place_a_few_times_a_second():
    now, terminal = [0.0], io.StringIO()
    drawn_bar = Bar(terminal, lambda: now[0])
    for tenth in range(21):
        now[0] = tenth / 10
        drawn_bar.show(Far("Compared", tenth, 20))
    lines = terminal.getvalue().split(CLEAR)
    assert lines[0] == "" and 5 <= len(lines[1:]) <= 9
    assert all("Compared: " in line and "\n" not in line for line in lines[1:])
    with drawn_bar.away():
        terminal.write("a line\n")
    assert terminal.getvalue().endswith(f"{CLEAR}a line\n")
    with drawn_bar.away():
        pass
    assert terminal.getvalue().endswith("a line\n"), "it is not there any more"
    drawn_bar.show(Far("Compared", 20, 20))
    assert terminal.getvalue().split(CLEAR)[-1] == f"[{'#' * 40}] Compared: 20 of 20 keys, 10/s"
    drawn_bar.show(Far("Looked again at", 1, 2))
    assert "Looked again at: 1 of 2 keys" in terminal.getvalue().split(CLEAR)[-1], "another job is shown at once"


def test_a_terminal_that_is_gone_ends_nothing():
    terminal = io.StringIO()
    drawn_bar = Bar(terminal)
    terminal.close()
    drawn_bar.show(Far("Compared", 1, 2))
    with drawn_bar.away():
        pass


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_only_a_terminal_that_can_draw_again_has_a_bar():
    assert bar_on(Terminal(), {"TERM": "xterm"}) is not None
    assert bar_on(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}) is not None, "it has no colour"
    assert [bar_on(Terminal(), {"TERM": "dumb"}), bar_on(Terminal(), {})] == [None, None]
    assert [bar_on(io.StringIO(), {"TERM": "xterm"}), bar_on(None, {"TERM": "xterm"})] == [None, None]


def test_what_is_taken_is_counted():
    told = []
    assert list(counted_off("ab", told.append, "Compared", 2)) == ["a", "b"]
    assert told == [Far("Compared", 0, 2), Far("Compared", 1, 2)]
