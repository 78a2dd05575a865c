# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages for those who change the code: every file that they name is there, and every room has its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
UTILS = CHECKOUT / "plugins/module_utils"
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
MADE = (".cache", ".venv", "plan.json")  # what is named there and is in no checkout


def named(page: str) -> set[str]:
    """The paths in code marks, of the checkout or of module_utils."""
    text = (CHECKOUT / page).read_text()
    words = set(re.findall(r"`([\w./-]+)`", text)) | set(re.findall(r"\b(?:tests|docs)/[\w./-]+", text))
    return {word.rstrip(".") for word in words if "/" in word or word.endswith((".py", ".yml", ".md", ".toml"))}


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page):
    paths = {path for path in named(page) if not path.startswith(MADE) and path != "__init__.py"}
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not ((CHECKOUT / path).exists() or (UTILS / path).exists())] == []


def test_every_room_has_its_line():
    rooms = {path.parent.name for path in UTILS.glob("*/__init__.py")}
    lines = set(re.findall(r"^\| \d \| `(\w+)/` \|", (CHECKOUT / PAGES[0]).read_text(), re.MULTILINE))
    assert lines == rooms
