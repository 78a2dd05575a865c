# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what comes true in its own time. The patience is for a busy machine: nothing is measured by it."""

from __future__ import annotations

import time
from typing import Callable

PATIENCE = 300.0  # seconds
LOOK = 0.02  # seconds between two looks


def until(happened: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """AssertionError, which says what was waited for, where it has not come true by then."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"within {seconds:g} s it has not come true: {what}"
        time.sleep(LOOK)
