# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark takes minutes and is run by hand: what is tested here is that it can still be started as make does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("program", ["restore.py", "members.py", "mirror.py"])
def test_it_starts(program):
    argv = [sys.executable, f"benchmarks/{program}", "--help"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--rounds" in done.stdout, done.stderr
