# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters that serve many faults each, and what became of the faults."""

from __future__ import annotations

from collections import Counter
from typing import Iterator

import pytest
from beds import HostsBed, LabBed
from etcd_binaries import obtain
from ground import Ground
from hosts import Hosts
from killing import SEED
from lab import Lab

FAILED = pytest.StashKey[bool]()
OUTCOME = "what became of it"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    ground = getattr(item, "funcargs", {}).get("ground") or getattr(item, "funcargs", {}).get("real")
    if report.failed and ground is not None:
        report.sections.append(("journals of this round", ground.story()))
        report.sections.append(("seed", f"FAULTS_SEED={SEED}"))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """How many points there were, and what became of them."""
    passed = terminalreporter.stats.get("passed", [])
    outcomes = Counter(value for report in passed for name, value in report.user_properties if name == OUTCOME)
    failed = sum("tests/faults" in report.nodeid for report in terminalreporter.stats.get("failed", []))
    if outcomes:
        parts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        terminalreporter.write_line(
            f"kill points: {sum(outcomes.values())} ({parts}); {failed} tests of faults failed; seed {SEED}"
        )


class Pool:
    """One cluster for many tests; a new one after a test that failed."""

    def __init__(self, make) -> None:
        self._make, self._context, self._ground = make, None, None

    def get(self) -> Ground:
        if self._ground is None:
            self._context = self._make()
            made = self._context.__enter__()
            self._ground = Ground(LabBed(made) if isinstance(made, Lab) else HostsBed(made, obtain("3.6")))
        return self._ground

    def discard(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)
        self._context = self._ground = None


def one_round(pool: Pool, request: pytest.FixtureRequest) -> Iterator[Ground]:
    ground = pool.get()
    try:
        yield ground.begin()
    finally:
        ground.end()
        if request.node.stash.get(FAILED, False):
            pool.discard()


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory):
    pool = Pool(lambda: Lab(tmp_path_factory.mktemp("faults") / "lab"))
    yield pool
    pool.discard()


@pytest.fixture
def ground(labs: Pool, request: pytest.FixtureRequest):
    """A lab with a fresh round."""
    yield from one_round(labs, request)


@pytest.fixture(scope="session")
def all_hosts(tmp_path_factory: pytest.TempPathFactory):
    pool = Pool(lambda: Hosts(tmp_path_factory.mktemp("faults") / "hosts", line="3.6"))
    yield pool
    pool.discard()


@pytest.fixture
def real(all_hosts: Pool, request: pytest.FixtureRequest):
    """Real hosts with a fresh round."""
    yield from one_round(all_hosts, request)
