# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work beside other work: all at once, in order, and what goes wrong is not lost."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.threads import MOST, Beside, side_by_side


def test_all_are_at_work_at_once():
    met = threading.Barrier(MOST, timeout=10)

    def work(value):
        met.wait()
        return value * 2

    assert side_by_side(work, range(MOST)) == [2 * value for value in range(MOST)]


def test_no_more_than_that_are():
    working, most, lock = [0], [0], threading.Lock()

    def work(value):
        with lock:
            working[0] += 1
            most[0] = max(most[0], working[0])
        with lock:
            working[0] -= 1
        return str(value)

    values = list(range(3 * MOST + 1))
    assert side_by_side(work, values) == [str(value) for value in values] and most[0] <= MOST
    assert side_by_side(work, []) == []


def test_what_goes_wrong_is_told_to_whoever_waits():
    def broken():
        raise ValueError("here")

    begun = Beside(broken)
    with pytest.raises(ValueError, match="here"):
        begun.result()
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda value: 1 // value, [1, 0, 2])


def test_the_work_goes_on_meanwhile():
    go = threading.Event()
    begun = Beside(lambda: go.wait(10))
    go.set()
    assert begun.result() is True and begun.result() is True
