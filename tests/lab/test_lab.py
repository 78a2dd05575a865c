# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of a lab: no two processes take the same, also while nobody listens there."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from pathlib import Path

import lab
import pytest


class Dice:
    """Only two pairs of ports."""

    def __init__(self) -> None:
        self.ports = [random.randrange(lab.FREE_PORTS.start, lab.FREE_PORTS.stop, 2) for _pair in range(2)]

    def randrange(self, *_range: int) -> int:
        return random.choice(self.ports)


def test_a_port_that_is_claimed_is_taken_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = Dice()
    monkeypatch.setattr(lab.random, "SystemRandom", lambda: dice)
    (one,) = lab._ports(None, 1)
    (other,) = lab._ports(None, 1)
    assert {one, other} == set(dice.ports)
    code = (
        f"import sys; sys.path.insert(0, {str(Path(lab.__file__).parent)!r}); import lab; sys.exit(lab._claim({one}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, "another process may not have it"
    lab._give_back([one, other])
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1, "now it may"


def test_a_port_at_which_somebody_listens_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = Dice()
    monkeypatch.setattr(lab.random, "SystemRandom", lambda: dice)
    with socket.create_server(("127.0.0.1", dice.ports[0] + 1)):
        assert lab._ports(None, 1) == [dice.ports[1]]
    lab._give_back(dice.ports)
