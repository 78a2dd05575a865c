# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of real etcd members for the tests, and the way to run a playbook against it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from lab import Lab

CHECKOUT = Path(__file__).resolve().parents[2]
PLAYBOOK_SECONDS = 300
# What .ci/core-matrix sets for every play.
PASSED_ON = ("ANSIBLE_DEPRECATION_WARNINGS", "ANSIBLE_INJECT_FACT_VARS")


class Play(NamedTuple):
    """A finished ansible-playbook: exit code and everything that it printed."""

    rc: int
    output: str

    @property
    def text(self) -> str:
        """The output with its line breaks and indents folded, so that a sentence can be looked for."""
        return re.sub(r"\s+", " ", self.output)

    def recap(self, host: str) -> dict[str, int]:
        line = next(line for line in self.output.splitlines() if re.match(rf"{re.escape(host)}\s*:", line))
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}


def user_environment() -> dict[str, str]:
    """The environment without Ansible settings but for ``PASSED_ON``: make's own would show what no user has."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_") or key in PASSED_ON}


def play(*arguments: str | Path, cwd: Path = CHECKOUT, **env: str) -> Play:
    """Run ansible-playbook as users do, in ``user_environment``."""
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), *map(str, arguments)]
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**user_environment(), **env},
        capture_output=True,
        text=True,
        timeout=PLAYBOOK_SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    assert "DEPRECATION WARNING" not in output, output
    return Play(done.returncode, output)


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest):
    """A lab of three members, up; a parameter gives Lab's arguments."""
    with Lab(tmp_path / "lab", **getattr(request, "param", {})) as made:
        yield made
