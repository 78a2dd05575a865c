# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: a sample of them, and what becomes of those whose etcd cannot be had.

A sample is drawn from a seed: ``--sample 1/3 --seed 17`` runs a third, and draws the same third again.

Of every family, that is a test with several parameters, or all other tests of a file together, its share is drawn, and whatever
is marked ``essential``. Where that is no whole number of tests, the lot decides whether there is one more: a third of one test
is drawn by every third seed. The rest is deselected: it is not skipped, and the summary says what was drawn.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import defaultdict
from fractions import Fraction
from typing import Any, Sequence, Tuple

import pytest

Place = Tuple[str, str]  # a test: its file, and its name with parameters
DRAWN = "quorum_sample"  # what a worker of pytest-xdist tells of its draw


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sample")
    group.addoption("--sample", type=Fraction, metavar="SHARE", help="run a share of the tests, such as 1/3")
    group.addoption("--seed", default="1", help="what --sample draws from: the same seed draws the same tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After the selection by -k and -m: the sample is one of what is left."""
    share = config.getoption("sample")
    if share is None:
        return
    essential = {place_of(item) for item in items if item.get_closest_marker("essential")}
    wanted = drawn([place_of(item) for item in items], essential, share, config.getoption("seed"))
    kept = [item for item in items if place_of(item) in wanted]
    report = {"kept": [place_of(item) for item in kept], "of": len(items)}
    config.stash[OWN_DRAW] = report
    config.hook.pytest_deselected(items=[item for item in items if place_of(item) not in wanted])
    items[:] = kept


def place_of(item: pytest.Item) -> Place:
    """Not the node ID, to which pytest-xdist adds."""
    return item.location[0], item.location[2]


def drawn(places: Sequence[Place], essential: set[Place], share: Fraction, seed: str) -> set[Place]:
    """Of each family this share, rounded up or down by lot. What is added elsewhere does not change a family's draw."""
    wanted = set(essential)
    for family in families(places):
        by_lot = sorted(family, key=lambda place: (place not in essential, lot(place, seed)))
        more = Fraction(int.from_bytes(lot(min(family), f"{seed} more")[:4], "big"), 1 << 32)
        wanted.update(by_lot[: math.floor(len(family) * share + more)])
    return wanted


def families(places: Sequence[Place]) -> list[list[Place]]:
    found = defaultdict(list)
    for place in places:
        found[function_of(place)].append(place)
    several = [family for family in found.values() if len(family) > 1]
    others = defaultdict(list)
    for place in (place for family in found.values() if len(family) == 1 for place in family):
        others[place[0]].append(place)
    return [*several, *others.values()]


def function_of(place: Place) -> Place:
    return place[0], place[1].partition("[")[0]


def lot(place: Place, seed: str) -> bytes:
    return hashlib.sha256(repr((seed, *place)).encode()).digest()


# ---- what was drawn, in the summary ------------------------------------------------------------------------------------

OWN_DRAW = pytest.StashKey[dict]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None and OWN_DRAW in session.config.stash:
        output[DRAWN] = session.config.stash[OWN_DRAW]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker draws the same."""
    told = getattr(node, "workeroutput", {}).get(DRAWN)
    if told:
        node.config.stash[OWN_DRAW] = told


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    draw = config.stash.get(OWN_DRAW, None)
    if draw is None:
        return
    share, seed = config.getoption("sample"), config.getoption("seed")
    files = defaultdict(list)
    for file, name in draw["kept"]:
        files[file].append(name)
    terminalreporter.write_line(f"sample {share}, seed {seed}: {len(draw['kept'])} of {draw['of']} tests")
    for file, names in files.items():
        terminalreporter.write_line(f"  {file}: {', '.join(names)}")


# ---- a line of etcd that this machine cannot have ----------------------------------------------------------------------


def not_done(error: Exception) -> None:
    """Said, and no error, but in CI: there every line must be had. By its name: ansible-test knows no lab to import it from."""
    if type(error).__name__ == "NotHere" and os.environ.get("CI") != "true":
        pytest.skip(f"NOT DONE: {error}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    try:
        return (yield)
    except Exception as error:
        not_done(error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    try:
        return (yield)
    except Exception as error:
        not_done(error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """What hosts had to say when a test failed: those that several tests share are gone without a word after the last one."""
    report = yield
    if call.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if hasattr(value, "leave_logs"):
                value.leave_logs()
    return report
