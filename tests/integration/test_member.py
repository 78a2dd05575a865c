# SPDX-License-Identifier: GPL-3.0-or-later
"""The module member, as people use it in their own playbooks, on real clusters of every line of etcd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from client import Client, differences, dump, seed
from conftest import STATUS, Play, play
from lab import Lab

LINES = ("3.4", "3.5", "3.6", "3.7")


def tasks(lab: Lab, *wanted: dict[str, Any], flags: tuple[str, ...] = (), **connection: Any) -> tuple[Play, list[dict]]:
    """A playbook of these tasks; what it printed, and the result of each."""
    defaults = {"endpoints": lab.endpoints[:3], "bin_dir": str(lab.bin_dir), "timeout": 30, **connection}
    keep = {"content": "{{ results | to_json }}", "dest": str(lab.dir / "results.json")}
    steps: list[dict[str, Any]] = []
    for number, arguments in enumerate(wanted):
        steps += [{"quorum.etcd.member": arguments, "register": f"result_{number}", "ignore_errors": True}]
    results = "[" + ", ".join(f"result_{number}" for number in range(len(wanted))) + "]"
    steps += [
        {
            "ansible.builtin.copy": keep,
            "vars": {"results": f"{{{{ {results} }}}}"},
            "check_mode": False,
            "diff": False,
        }
    ]
    book = [{"hosts": "m1", "gather_facts": False, "module_defaults": {"quorum.etcd.member": defaults}, "tasks": steps}]
    (lab.dir / "member.yml").write_text(yaml.safe_dump(book))
    done = play(lab.dir / "member.yml", "-i", lab.inventory, *flags)
    assert done.rc == 0, done.output
    return done, json.loads((lab.dir / "results.json").read_text())


def listed(client: Client) -> dict[str, bool]:
    """By name, or peer URL of one that has never run, whether a member is a learner."""
    return {entry.name or entry.peer_urls[0]: entry.learner for entry in client.member_list()}


def id_of(client: Client, name: str) -> str:
    return next(f"{entry.id:x}" for entry in client.member_list() if entry.name == name)


@pytest.mark.parametrize("lab", [{"line": line} for line in LINES], ids=LINES, indirect=True)
def test_the_life_of_a_member(lab: Lab) -> None:
    """Added, added again, started, promoted, it leads, and it goes; each the second time changes nothing."""
    seed(lab.members[0].client, 300)
    client, keys = lab.members[0].client, dump(lab.members[0].client)
    new = lab.newcomer("m4")
    wanted = {"name": "m4", "peer_urls": [new.peer_url]}
    shown, (planned,) = tasks(lab, wanted, flags=("--check", "--diff"))
    assert planned["changed"] and planned["id"] == "" and sorted(listed(client)) == ["m1", "m2", "m3"]
    assert f"+m4 (new) {new.peer_url} learner that has never run" in shown.output, shown.output

    _shown, (added, again) = tasks(lab, wanted, wanted)
    assert added["changed"] and not again["changed"] and added["id"] == again["id"] != ""
    assert listed(client)[new.peer_url] is True and len(added["before"]) == 3 and len(added["members"]) == 4

    lab.start(new)
    promote, lead = {"state": "promoted", "id": added["id"]}, {"state": "leader", "name": "m4"}
    _shown, results = tasks(lab, promote, promote, lead, lead)
    assert [result["changed"] for result in results] == [True, False, True, False], results
    assert results[0]["arithmetic"] == "3 voters, 3 healthy, quorum 2: promoting m4 leaves 4 of 4, quorum 3"
    assert listed(client)["m4"] is False and lab.leader() == "m4"
    assert differences(keys, dump(new.client)) == [], "what the newcomer holds, key by key"

    away = {"state": "absent", "name": "m4", "peer_urls": [new.peer_url]}
    shown, (gone, again) = tasks(lab, away, away, flags=("--diff",))
    assert gone["changed"] and not again["changed"] and sorted(listed(client)) == ["m1", "m2", "m3"], gone
    assert f"-m4 {added['id']} {new.peer_url} leader" in shown.output, shown.output
    assert differences(keys, dump(client)) == []


@pytest.mark.parametrize("lab", [{"line": "3.6"}], ids=["3.6"], indirect=True)
def test_what_would_lose_the_quorum_is_refused_with_its_arithmetic(lab: Lab) -> None:
    """Three members become two, and two become one."""
    seed(lab.members[0].client, 300)
    three_become_two(lab)
    two_become_one(lab)


def three_become_two(shrinking: Lab) -> None:
    """With a member down: nothing that would stop the writes, and not by chance either; the dead one goes."""
    client, third = shrinking.members[0].client, shrinking.members[2]
    dead = id_of(client, "m3")
    shrinking.kill(third)
    voter = {"name": "m5", "peer_urls": ["http://127.0.0.1:9"], "learner": False}
    _shown, results = tasks(
        shrinking,
        {"state": "absent", "name": "m2"},
        {"state": "absent", "name": "m2", "force": "yes"},
        voter,
        {"state": "leader", "name": "m3"},
        {"state": "absent", "name": "m2", "id": dead},
        {"state": "absent", "name": "m"},
        command_timeout=3,
    )
    told = [result["msg"] if result.get("failed") else "" for result in results]
    assert told[0].startswith("3 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 2, quorum 2: no quorum."), told
    assert 'set force: "1 of 2"' in told[0] and "force is 'yes', and that is not what it leaves" in told[1], told
    assert "3 voters, 2 healthy, quorum 2: adding m5 leaves 2 of 4, quorum 3" in told[2], told
    assert "m3 is not healthy" in told[3] and f"no member is m2 ID {dead}" in told[4] and told[5] == "", told
    assert not any(result["changed"] for result in results) and sorted(listed(client)) == ["m1", "m2", "m3"]

    _shown, (gone,) = tasks(shrinking, {"state": "absent", "name": "m3"}, command_timeout=3)
    assert gone["changed"] and gone["arithmetic"].endswith("removing m3 leaves 2 of 2, quorum 2"), gone
    assert sorted(listed(client)) == ["m1", "m2"]


def two_become_one(shrinking: Lab) -> None:
    """When told so; and one without a quorum is not forced."""
    client, second = shrinking.members[0].client, shrinking.members[1]
    _shown, (refused,) = tasks(shrinking, {"state": "absent", "name": "m2"})
    assert "removing m2 leaves 1 of 1, quorum 1: no member that may fail" in refused["msg"], refused
    shrinking.kill(second)
    _shown, results = tasks(
        shrinking, *({"state": "absent", "name": "m2", "force": force} for force in ("", "1 of 1")), command_timeout=2
    )
    for result in results:
        assert result["failed"] and "no quorum, and nothing forces" in result["msg"], result
        assert "restore.yml" in result["msg"] and "member/snap/db" in result["msg"]
    shrinking.start(second)
    shrinking.members[:] = shrinking.members[:2]
    shrinking.wait_ready()
    _shown, (gone,) = tasks(shrinking, {"state": "absent", "name": "m2", "force": "1 of 1"})
    assert gone["changed"] and sorted(listed(client)) == ["m1"], gone
    assert client.put(b"still", b"written")


def test_status_names_what_is_known_to_go_wrong_with_the_version_that_runs(tmp_path: Path) -> None:
    """Of 3.4.23 as Debian has it; of the newest of a line that is alive it has nothing to say."""
    with Lab(tmp_path / "old", members=1, line="3.4") as old:
        shown = play(STATUS, "-i", old.inventory)
        assert shown.rc == 0, "a hazard is no problem yet"
        lines = [line for line in shown.output.splitlines() if "HAZARD" in line]
        assert any("m1: for a defragmentation and a change of the membership" in line for line in lines), shown.output
        assert "(etcd #20271). Let nothing defragment a member that is new" in shown.text
        assert "Upgrade to 3.4.38 or later, which cures it." in shown.text and "ended with 3.4.45" in shown.text
    with Lab(tmp_path / "new", members=1, line="3.7") as new:
        shown = play(STATUS, "-i", new.inventory)
        assert shown.rc == 0 and "HAZARD" not in shown.output, shown.output
