# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of hosts with other types than expected, and the plan that is made of them: a refusal of that host, or a plan."""

from __future__ import annotations

import copy
import json
import os
import random

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import refusals_in_words
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import printable
from ansible_collections.quorum.etcd.plugins.module_utils.restore.plan import make_plan
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS
from ansible_collections.quorum.etcd.plugins.module_utils.restore.text import plan_in_words
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import (
    hosts,
    options,
    snapshot,
    with_journals,
)

# What may stand where something else belongs. A run tries FUZZ_ROUNDS of all places and values, drawn by FUZZ_SEED.
WRONG = [None, True, 7, -1, 1 << 70, 1.5, float("nan"), "", "x", "\x1b[2J\n", [], [7], ["x", None], {}, {"x": 7}]
MISSING = object()
SEED = int(os.environ.get("FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "300"))


def fresh():
    return hosts(snapshots=[snapshot()])


def interrupted():
    return with_journals(make_plan(fresh(), options()))


def finished():
    return with_journals(make_plan(fresh(), options()), all={"step": "finished", "open": False})


CASES = {
    "a restore": (fresh, {}),
    "a snapshot on a host": (fresh, {"controller_snapshots": []}),
    "a named snapshot": (fresh, {"snapshot": "/backups/a.db"}),
    "a run that goes on": (interrupted, {}),
    "a rollback": (finished, {"rollback": True}),
    "once more": (finished, {"again": True}),
}


def places(value, path=()):
    """Every place in an answer, also those of objects and lists."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def changed(facts, path, value):
    facts = copy.deepcopy(facts)
    home = facts
    for key in path[:-1]:
        home = home[key]
    if value is not MISSING:
        home[path[-1]] = value
    elif isinstance(home, dict):
        del home[path[-1]]
    return facts


def planned(given, asked, told):
    """The plan in all its words; anything but a plan fails with what was changed."""
    try:
        plan = make_plan(given, asked)
        words = plan_in_words(plan)
        assert all(isinstance(line, str) for line in words)
        if plan["refusals"]:
            refusals_in_words(plan, WORDS)
        json.dumps(plan)
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}, for {told}; what the plan reads of it belongs in its type")
    return plan


@pytest.mark.parametrize("case", CASES)
def test_an_answer_with_another_type_is_a_refusal_of_its_host_or_not_read(case):
    print(f"FUZZ_SEED={SEED} FUZZ_ROUNDS={ROUNDS}")
    make, asked = CASES[case]
    given = make()
    assert planned(given, options(**asked), "nothing")["refusals"] == []
    # The first host's: what is said of the whole cluster when a restore goes on is its.
    paths = [path for path in places(given["host1"]) if path[0] not in ("cluster", "why")]
    tries = [(path, value) for path in paths for value in [*WRONG, MISSING]]
    for path, value in random.Random(SEED).sample(tries, min(ROUNDS, len(tries))):
        one = {**given, "host1": changed(given["host1"], path, value)}
        plan = planned(one, options(**asked), (path, value))
        foreign = [item for item in plan["refusals"] if "cannot be understood" in item["cause"]]
        assert [item["host"] for item in foreign] in ([], ["host1"]) and all(item["next_step"] for item in foreign)
        assert not any("\n" in line or "\x1b" in line for line in map(printable, plan_in_words(plan)))


@pytest.mark.parametrize(
    "path, value, why",
    [
        (("member", "peer_urls"), "http://10.0.0.2:2380", "member.peer_urls is 'http://10.0.0.2:2380' and not a list"),
        (("member", "running"), "yes", "member.running is 'yes' and not true or false"),
        (("member", "disk", 0, "free"), "10 GiB", "member.disk[0].free is '10 GiB' and not a whole number"),
        (("member",), ["x"], "member is a list and not an object"),
        (("view", "revision"), [120], "view.revision is a list and not a whole number"),
        (("snapshots", 0, "size"), None, "snapshots[0].size is None and not a whole number"),
        (("recorded",), {"etcd": "many"}, "recorded.etcd is 'many' and not a whole number"),
        (("member", "journal"), {"open": True, "touched": True}, "member.journal.restore_id is missing"),
    ],
)
def test_it_is_one_clear_reason_that_names_the_host_and_the_place(path, value, why):
    given = fresh()
    given["host2"] = changed({**given["host2"], "recorded": {}}, path, value)
    (refusal,) = make_plan(given, options())["refusals"]
    assert refusal["host"] == "host2" and refusal["cause"] == f"what it answered cannot be understood: {why}."


def test_several_at_once():
    print(f"FUZZ_SEED={SEED} FUZZ_ROUNDS={ROUNDS}")  # pytest shows it with a failure
    for number in range(ROUNDS):
        chance = random.Random(f"{SEED}-{number}")
        make, asked = CASES[chance.choice(list(CASES))]
        given = make()
        told = []
        for _change in range(chance.randint(2, 5)):
            host = chance.choice(list(given))
            path = chance.choice([path for path in places(given[host]) if path[0] not in ("cluster", "why")])
            value = copy.deepcopy(chance.choice(WRONG))
            given[host] = changed(given[host], path, value)
            told.append((host, path, value))
        planned(given, options(**asked), told)
