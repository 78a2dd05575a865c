# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of real etcd members for the tests, and the way to run a playbook against it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from client import differences, dump, seed
from lab import HOME, Lab

CHECKOUT = Path(__file__).resolve().parents[2]
BACKUP, RESTORE, STATUS = (CHECKOUT / "playbooks" / f"{name}.yml" for name in ("backup", "restore", "status"))
# Tests that read a snapshot, cut it or change a byte of it want it plain; test_compressed.py and the agent's have it as users do.
PLAIN = ("-e", "etcd_backup_compress=none")
CONFIRM = ("-e", "etcd_restore_confirm=etcd")
PLAYBOOK_SECONDS = 300
LOGS = CHECKOUT / ".cache" / "logs" / "tests"
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
        # Lines of progress begin with the host too.
        line = next(line for line in self.output.splitlines() if re.match(rf"{re.escape(host)}\s*: ok=", line))
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}


def user_environment() -> dict[str, str]:
    """The environment without Ansible settings but for ``PASSED_ON``: make's own would show what no user has.

    Nor has a user Python told to leave nothing in its buffers. The home is the checkout's own: what a play leaves there is
    nobody's.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_") or key in PASSED_ON}
    kept.pop("PYTHONUNBUFFERED", None)
    HOME.mkdir(parents=True, exist_ok=True)
    return {**kept, "HOME": str(HOME)}


def playbook_argv(*arguments: str | Path) -> list[str]:
    """ansible-playbook with these arguments, and with a folder for its reports that is not that of whoever runs the tests."""
    own = ["-e", f"etcd_report_dir={CHECKOUT / '.cache' / 'reports'}"]
    return [str(Path(sys.executable).parent / "ansible-playbook"), *own, *map(str, arguments)]


def play(*arguments: str | Path, cwd: Path = CHECKOUT, **env: str) -> Play:
    """Run ansible-playbook as users do, in ``user_environment``."""
    argv = playbook_argv(*arguments)
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
    keep(running_test(), f"$ {' '.join(argv)}\n{output}\n")
    assert "Traceback" not in output, output
    assert "DEPRECATION WARNING" not in output, output
    return Play(done.returncode, output)


def report_of(done: Play) -> dict:
    """The report that a run has named last."""
    return json.loads(Path(re.findall(r"Report: (\S+)\.html", done.output)[-1] + ".json").read_text())


def seeded(lab: Lab, keys: int = 600, **env: str) -> dict:
    """Seed, take a backup with the playbook (with ``env`` besides its environment), and return what it holds."""
    seed(lab.members[0].client, keys)
    expected = dump(lab.members[0].client)
    done = play(BACKUP, "-i", lab.inventory, *PLAIN, **env)
    assert done.rc == 0, done.output
    said = f"The snapshot of cluster etcd lies on {lab.members[0].host}, in {lab.backup_dir}/"
    assert said in done.text, done.output
    return expected


def holds(lab: Lab, expected: dict) -> bool:
    """Whether every member has this very data, key by key."""
    return all(differences(expected, dump(member.client)) == [] for member in lab.members)


def running_test() -> str:
    """The running test as a file name."""
    return re.sub(r"[^\w.-]+", "_", os.environ.get("PYTEST_CURRENT_TEST", "no-test").split(" ")[0].rpartition("/")[2])


def keep(name: str, text: str) -> None:
    """Add to what is left behind for whoever looks into a failure: every play, and the logs of a lab that failed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("a") as log:
        log.write(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    found = getattr(item, "funcargs", {}).values()
    if report.failed:
        for lab in (value for value in found if isinstance(value, Lab)):
            journals = "".join(
                f"--- {path}\n{path.read_text()}" for path in sorted(lab.dir.glob("*/state/**/journal.jsonl"))
            )
            keep(running_test(), f"{lab.logs(lines=400)}\n{journals}")
    return report


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest):
    """A lab of three members, up; a parameter gives Lab's arguments."""
    with Lab(tmp_path / "lab", **getattr(request, "param", {})) as made:
        yield made
