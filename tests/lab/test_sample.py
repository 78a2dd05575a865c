# SPDX-License-Identifier: GPL-3.0-or-later
"""What --sample draws: the same for the same seed, its share of each family, and in the long run everything. And NOT DONE."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

OPTIONS = Path(__file__).resolve().parents[1] / "conftest.py"
SUITE = """\
import pytest

@pytest.mark.essential
def test_essential(): pass

@pytest.mark.parametrize("number", range(9))
@pytest.mark.xdist_group("one")
def test_many(number): pass

@pytest.mark.parametrize("number", range(2))
def test_two(number): pass

def test_a(): pass
def test_b(): pass
def test_c(): pass
def test_d(): pass
def test_e(): pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    shutil.copy(OPTIONS, tmp_path / "conftest.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = essential\naddopts = --strict-markers\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def run(suite: Path, *options: str, fails: bool = False, **more: str) -> tuple[set[str], str]:
    """The tests that passed, and all that was printed."""
    env = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        argv, cwd=suite, env={**env, **more}, capture_output=True, text=True, timeout=120, check=False
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "PASSED" in line]
    return {re.search(r"::(test_\w+(?:\[\d+\])?)", line).group(1) for line in lines}, done.stdout


def test_a_third_of_each_family(suite: Path) -> None:
    ran, output = run(suite, "--sample", "1/3", "--seed", "7")
    assert "test_essential" in ran, "of the other six it is one of two"
    counts = [len([name for name in ran if name.startswith(family)]) for family in ("test_many", "test_two", "test_")]
    assert counts[0] == 3 and counts[1] in (0, 1) and counts[2] == 3 + counts[1] + 2, ran
    assert f"sample 1/3, seed 7: {len(ran)} of 17 tests" in output
    assert f"{len(ran)} passed, {17 - len(ran)} deselected" in output and "skipped" not in output
    assert all(name in output.partition("sample 1/3")[2] for name in ran), "what was drawn is told"


def test_the_workers_draw_what_one_draws(suite: Path) -> None:
    alone, _output = run(suite, "--sample", "1/3", "--seed", "7")
    for dist in ("load", "loadgroup"):
        ran, output = run(suite, "--sample", "1/3", "--seed", "7", "-n", "2", "--dist", dist)
        assert ran == alone and f"sample 1/3, seed 7: {len(alone)} of 17 tests" in output, output


def test_every_test_has_its_turn_as_often_as_any_other(suite: Path) -> None:
    everything, output = run(suite)
    assert len(everything) == 17 and "sample" not in output
    spec = importlib.util.spec_from_file_location("options", OPTIONS)
    options = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(options)
    places = [("test_suite.py", name) for name in sorted(everything)]
    draws = Counter(place for seed in range(300) for place in options.drawn(places, set(), Fraction(1, 3), str(seed)))
    assert set(draws) == set(places) and min(draws.values()) > 60 and max(draws.values()) < 140, draws


def test_after_the_selection_by_name(suite: Path) -> None:
    ran, _output = run(suite, "--sample", "1/2", "-k", "test_two")
    assert len(ran) == 1, "a half of two"


def test_all_is_all(suite: Path) -> None:
    assert len(run(suite, "--sample", "1")[0]) == 17


LINE = """\
import pytest

class Unavailable(Exception): pass
class NotHere(Unavailable): pass

@pytest.fixture(scope="session")
def lab(): raise NotHere("no etcd 3.4: no apt")

def test_with_a_lab(lab): pass
def test_by_itself(): raise NotHere("no etcd 3.4: no apt")
def test_all_is_well(): pass
"""


def test_a_line_that_cannot_be_had_is_said_and_in_ci_an_error(suite: Path) -> None:
    (suite / "test_suite.py").write_text(LINE)
    passed, output = run(suite, "-ra")
    assert passed == {"test_all_is_well"} and "1 passed, 2 skipped" in output
    assert "NOT DONE: no etcd 3.4: no apt" in output
    passed, output = run(suite, fails=True, CI="true")
    assert passed == {"test_all_is_well"} and "1 failed, 1 passed, 1 error" in output
    (suite / "test_suite.py").write_text(LINE.replace("raise NotHere", "raise Unavailable"))
    assert "1 failed, 1 passed, 1 error" in run(suite, fails=True)[1]
