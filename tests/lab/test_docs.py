# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages for those who change the code: every file that they name is there, and every room has its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.agent.cli import COMMANDS

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


def test_every_module_is_where_its_users_look():
    modules = {path.stem: path.read_text() for path in (CHECKOUT / "plugins/modules").glob("*.py")}
    readme = (CHECKOUT / "README.md").read_text()
    table = readme.partition("\n| module |")[2].partition("\n\n")[0]
    named = {word for row in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(modules)
    group = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())["action_groups"]["etcd"]
    assert set(group) == {name for name, text in modules.items() if "quorum.etcd.connection" in text}


def test_every_command_of_the_agent_stands_in_the_readme():
    assert [name for name in COMMANDS if f"quorum-etcd {name}" not in (CHECKOUT / "README.md").read_text()] == []
