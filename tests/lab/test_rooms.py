# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between the rooms of module_utils: kept, and seen to be broken where somebody breaks it; and their size."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def lint(root: Path) -> subprocess.CompletedProcess:
    argv = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    environment = {"PYTHONPATH": str(root / "plugins"), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(CHECKOUT / "plugins/module_utils", tmp_path / "plugins/module_utils")
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def test_it_is_kept(checkout):
    done = lint(checkout)
    assert done.returncode == 0 and "2 kept, 0 broken" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "file, line, said",
    [
        (
            "host/service.py",
            "from ..restore.plan import RESTORE",
            "module_utils.host is not allowed to import module_utils.restore",
        ),
        (
            "core/trees.py",
            "from ..etcd import versions",
            "module_utils.core is not allowed to import module_utils.etcd",
        ),
        (
            "snapshot/save.py",
            "from ..host.tools import find_tools",
            "module_utils.snapshot is not allowed to import module_utils.host",
        ),
        ("parlour/__init__.py", "", "parlour"),
        (
            "agent/words.py",
            "from ..report import text",
            "module_utils.agent is not allowed to import module_utils.report",
        ),
    ],
)
def test_what_goes_up_or_sideways_or_has_no_floor_is_told(checkout, file, line, said):
    path = checkout / "plugins/module_utils" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    done = lint(checkout)
    assert done.returncode != 0 and said in done.stdout, done.stdout + done.stderr


def test_no_file_and_no_class_is_too_long_to_be_read():
    for path in (CHECKOUT / "plugins").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 500, path
        classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        assert [node.name for node in classes if (node.end_lineno or 0) - node.lineno > 250] == [], path
