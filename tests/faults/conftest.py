# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters that serve many faults each, and what became of the faults."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterator

import pytest
from beds import HostsBed, LabBed
from etcd_binaries import obtain
from ground import Ground
from hosts import Hosts
from killing import SEED
from lab import Lab
from members import Members

FAILED = pytest.StashKey[bool]()
OUTCOME = "what became of it"
WRITES = "writes"  # of a client that wrote all the time


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    used = getattr(item, "funcargs", {})
    ground = next((used[name] for name in ("ground", "real", "fire") if name in used), None)
    if report.failed and ground is not None:
        report.sections.append(("journals of this round", ground.story()))
        report.sections.append(("seed", f"FAULTS_SEED={SEED}"))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """How many points there were, and what became of them."""
    passed = terminalreporter.stats.get("passed", [])
    outcomes = Counter(value for report in passed for name, value in report.user_properties if name == OUTCOME)
    for writes in (value for report in passed for name, value in report.user_properties if name == WRITES):
        terminalreporter.write_line(f"writes: {writes}")
    failed = sum("tests/faults" in report.nodeid for report in terminalreporter.stats.get("failed", []))
    if outcomes:
        parts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        terminalreporter.write_line(
            f"kill points: {sum(outcomes.values())} ({parts}); {failed} tests of faults failed; seed {SEED}"
        )


def under_restores(made: Lab | Hosts) -> Ground:
    return Ground(LabBed(made) if isinstance(made, Lab) else HostsBed(made, obtain("3.6")))


class Pool:
    """One cluster for many tests; a new one after a test that failed. ``under``: what stands under the fire of its rounds."""

    def __init__(self, make, under=under_restores) -> None:
        self._make, self._under, self._context, self._ground = make, under, None, None

    def get(self) -> Any:
        if self._ground is None:
            self._context = self._make()
            self._ground = self._under(self._context.__enter__())
        return self._ground

    def round(self, request: pytest.FixtureRequest, begin=lambda ground: ground) -> Iterator[Any]:
        """The cluster for one test, which begins a round of it or whose fixture does."""
        ground = self.get()
        try:
            yield begin(ground)
        finally:
            ground.end()
            if request.node.stash.get(FAILED, False):
                self.discard()

    def discard(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)
        self._context = self._ground = None


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory):
    pool = Pool(lambda: Lab(tmp_path_factory.mktemp("faults") / "lab"))
    yield pool
    pool.discard()


@pytest.fixture
def lab(labs: Pool, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab that they share, for a test that begins its own round; a new one after a test that failed."""
    yield from labs.round(request, lambda ground: ground.bed.of)


@pytest.fixture
def ground(labs: Pool, request: pytest.FixtureRequest):
    """A lab with a fresh round."""
    yield from labs.round(request, Ground.begin)


@pytest.fixture(scope="session")
def all_hosts(tmp_path_factory: pytest.TempPathFactory):
    pool = Pool(lambda: Hosts(tmp_path_factory.mktemp("faults") / "hosts", line="3.6"))
    yield pool
    pool.discard()


@pytest.fixture
def real(all_hosts: Pool, request: pytest.FixtureRequest):
    """Real hosts with a fresh round."""
    yield from all_hosts.round(request, Ground.begin)


@pytest.fixture(scope="session")
def member_labs(tmp_path_factory: pytest.TempPathFactory):
    pool = Pool(lambda: Lab(tmp_path_factory.mktemp("faults") / "lab", spares=1), Members)
    yield pool
    pool.discard()


@pytest.fixture
def fire(member_labs: Pool, request: pytest.FixtureRequest):
    """A lab whose membership is to change; the test begins the round with its case."""
    yield from member_labs.round(request)
