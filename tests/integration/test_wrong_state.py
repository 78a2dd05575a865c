# SPDX-License-Identifier: GPL-3.0-or-later
"""What etcd does where a member's state flag, token, URL or data is wrong, and that member_replace.yml puts each right.

That a unit is active, or has ended with 0, says nothing of a member: in none of these states is it one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from client import RetryingWriter, differences, dump, seed
from conftest import CHECKOUT, play
from lab import Lab
from membership import listed
from wrong_states import STATES, Broken, wrong_port

MEMBER_REPLACE = CHECKOUT / "playbooks" / "member_replace.yml"
LINES = ("3.4", "3.5", "3.6", "3.7")
REMOVED = "the member has been permanently removed from the cluster"
# What etcd says, and the exit codes that were seen with it. One that finds itself removed ends with 0 or with 1: it depends on
# whether its listener ends before or after it, on every line.
SAYS = {
    "new_with_the_same_token": (REMOVED, (0, 1)),
    "new_with_another_token": ("cluster ID mismatch", (None,)),
    "existing_and_not_in_the_list": ("member count is unequal", (1,)),
    "existing_with_a_wrong_peer_url": ("PeerURLs: no match found for existing member", (1,)),
    "removed_with_its_old_data": (REMOVED, (0, 1)),
}
# Whether the list has a place for it, that nobody sits on; its peer URL is right but for the row that says so.
SEATED = {"new_with_the_same_token", "new_with_another_token", "existing_with_a_wrong_peer_url"}


def check_what_etcd_does(lab: Lab, state: str, broken: Broken) -> None:
    words, codes = SAYS[state]
    assert words in broken.said and broken.exit_code in codes, (broken.exit_code, broken.said[-3000:])
    if words == REMOVED:
        assert re.search("data-dir used by this member must be removed", broken.said), broken.said[-3000:]
    assert (lab.member("m3").pid() is not None) == (broken.exit_code is None)
    entries = listed(lab.member("m1"))
    assert sorted(entry.name for entry in entries if entry.name) == ["m1", "m2"]
    url = lab.member("m3").peer_url
    seat = {wrong_port(url) if "wrong" in state else url} if state in SEATED else set()
    assert {one for entry in entries if not entry.name for one in entry.peer_urls} == seat


# The job is the same for all lines, so each state is mended on one of them, and one of each line.
MENDED = {(state, "3.6") for state in STATES} | {
    ("new_with_the_same_token", "3.4"),
    ("removed_with_its_old_data", "3.5"),
    ("new_with_another_token", "3.7"),
}


def seeded(lab: Lab) -> dict:
    seed(lab.member("m1").client, 300)
    return dump(lab.member("m1").client)


@pytest.mark.parametrize(
    ("state", "line"), [(state, line) for state in STATES for line in LINES if (state, line) not in MENDED]
)
def test_it_is_no_member(tmp_path: Path, state: str, line: str) -> None:
    with Lab(tmp_path / "lab", line=line) as lab:
        expected = seeded(lab)
        check_what_etcd_does(lab, state, STATES[state](lab, lab.member("m3")))
        for name in ("m1", "m2"):
            assert differences(expected, dump(lab.member(name).client)) == [], name


@pytest.mark.parametrize(("state", "line"), sorted(MENDED))
def test_it_is_no_member_and_is_made_one(tmp_path: Path, state: str, line: str) -> None:
    """The others serve on all the time, and every key is on every member in the end."""
    with Lab(tmp_path / "lab", line=line) as lab:
        expected = seeded(lab)
        check_what_etcd_does(lab, state, STATES[state](lab, lab.member("m3")))
        asked = {"dead": ["m3"], "confirm": "etcd", "backup": False}
        if "wrong" in state:
            asked["remove"] = [wrong_port(lab.member("m3").peer_url)]
        variables = {f"etcd_member_replace_{name}": value for name, value in asked.items()}
        with RetryingWriter(lab.endpoints) as writer:
            done = play(MEMBER_REPLACE, "-i", lab.inventory, "-e", json.dumps(variables))
        assert done.rc == 0, done.output
        entries = listed(lab.member("m3"))
        assert {entry.name: entry.peer_urls for entry in entries} == {one.name: (one.peer_url,) for one in lab.members}
        assert not any(entry.learner for entry in entries)
        writer.check(lab.member("m3").client)
        for one in lab.members:
            assert differences(expected, dump(one.client)) == [], one.name
            text = one.config_file.read_text()
            assert 'initial-cluster-state: "existing"' in text and lab.member("m3").peer_url in text, one.name
