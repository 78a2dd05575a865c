# SPDX-License-Identifier: GPL-3.0-or-later
"""member_replace.yml is killed at each step of its journals and between; the same command is simply run again and ends right.

All the time a client writes, none of whose operations fails.
"""

from __future__ import annotations

from typing import Any

import pytest
from killing import ANYBODY, Point, at_random, killed_at, marks
from members import Case, Members, again


def lost(fire: Members) -> dict[str, Any]:
    """A disk that is lost, on the same host."""
    fire.wanted, name = fire.voters(), fire.followers()[-1]
    fire.lose(name, disk=True)
    return {"dead": [name]}


def dead(fire: Members) -> dict[str, Any]:
    """A host that is gone, and another one takes its place."""
    name, (spare,) = fire.followers()[0], fire.free()
    fire.wanted = [spare, *(one for one in fire.voters() if one != name)]
    fire.limit = [one.host for one in fire.lab.everyone if one.name != name]
    fire.lose(name)
    return {"dead": [name], "by": [spare]}


def moved(fire: Members) -> dict[str, Any]:
    """The leader, which is well, to another host."""
    name, (spare,) = fire.leader(), fire.free()
    fire.wanted, fire.gone = [spare, *fire.followers()], [name]
    return {"move": {name: spare}}


def grown(fire: Members) -> dict[str, Any]:
    """One member becomes three."""
    new = fire.free()[:2]
    fire.wanted = [*fire.voters(), *new]
    return {"add": new}


def shrunk(fire: Members) -> dict[str, Any]:
    """The leader leaves, and nobody comes."""
    name = fire.leader()
    fire.wanted, fire.gone = fire.followers(), [name]
    return {"remove": [name]}


def rebuilt(fire: Members) -> dict[str, Any]:
    """A member that is well is made anew where it is, and is named by its ID."""
    fire.wanted, name = fire.voters(), fire.followers()[0]
    (entry,) = (entry for entry in fire.listed() if entry["name"] == name)
    return {"rebuild": [f"{entry['ID']:x}"]}


CASES = {
    case.__name__: Case(case.__name__, 1 if case is grown else 3, case)
    for case in (lost, dead, moved, grown, shrunk, rebuilt)
}
ARRIVAL = ["added", "prepared", "launched", "promoted"]
BEFORE, AFTER = ["planned", "claim_done", "change_begun"], ["change_done", "settle_begun", "settled"]
END = ["settle_done", "prove_begun", "proven", "finished"]
STEPS = {
    "lost": [*BEFORE, "removed", *ARRIVAL, *AFTER, *END],
    "dead": ["removed", *ARRIVAL, "settled", "finished"],
    "moved": ["change_begun", *ARRIVAL, "removed", "change_done", "retire_begun", "retired", "settled", "finished"],
    "grown": [*ARRIVAL, "change_done", "settled"],
    "shrunk": ["claim_begun", "removed", "retired", "proven"],
    "rebuilt": ["removed", "added", "promoted", "settled"],
}
# Between what is done and the journal's line of it.
UNWRITTEN = {
    "lost": ["removed", *ARRIVAL],
    "moved": [*ARRIVAL, "removed", "retired"],
    "rebuilt": ["removed", "added"],
}
SAMPLE = ("lost-added", "moved-removed")  # in `make test` too


def points(found: list[tuple[str, Point]], sample: tuple[str, ...] = ()) -> list:
    named = [(f"{case}-{point}", case, point) for case, point in found]
    return [
        pytest.param(case, point, id=name, marks=marks(name, sample, f"members-{number % 2}"))
        for number, (name, case, point) in enumerate(named)
    ]


def anywhere(steps: dict[str, list[str]]) -> list[tuple[str, Point]]:
    return [(case, Point(step, ANYBODY)) for case, each in steps.items() for step in each]


def between() -> list[tuple[str, Point]]:
    """Moments of a change and after it; a part of them with modules that live on."""
    return [
        (case, point._replace(member=ANYBODY))
        for case in ("lost", "dead", "moved", "grown", "rebuilt")
        for point in at_random(["change_begun", "change_begun", *STEPS[case]], 2, case)
    ]


@pytest.mark.parametrize(("case", "point"), points([*anywhere(STEPS), *between()], SAMPLE))
def test_killed_and_run_again(fire: Members, case: str, point: Point, record_property) -> None:
    fire.begin(CASES[case])
    killed_at(fire, point)
    again(fire)
    record_property("what became of it", "completed")


@pytest.mark.parametrize(("case", "point"), points(anywhere(UNWRITTEN)))
def test_killed_before_it_was_written_down(fire: Members, case: str, point: Point, record_property) -> None:
    fire.begin(CASES[case])
    killed_at(fire, point)
    fire.unwrite(point.step)
    again(fire)
    record_property("what became of it", "completed")


@pytest.mark.parametrize(("case", "point"), points([(case, Point("added", ANYBODY)) for case in ("lost", "moved")]))
def test_twice(fire: Members, case: str, point: Point, record_property) -> None:
    """The run that goes on is killed too, when it has prepared the newcomer."""
    fire.begin(CASES[case])
    killed_at(fire, point)
    killed_at(fire, Point("launched", ANYBODY))
    again(fire)
    record_property("what became of it", "completed")
