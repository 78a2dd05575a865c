# SPDX-License-Identifier: GPL-3.0-or-later
"""Every snapshot that a restore can begin with, and every cluster that it can end in, compared key by key."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Sequence

import pytest
from client import GatewayError, differences, dump, seed
from conftest import CHECKOUT, Play, play
from lab import Lab, Member

BACKUP, RESTORE = CHECKOUT / "playbooks" / "backup.yml", CHECKOUT / "playbooks" / "restore.yml"
CONFIRM = ("-e", "etcd_restore_confirm=etcd")


def seeded(lab: Lab, keys: int = 300) -> dict:
    """Seed, take a backup with the playbook, and return what it holds."""
    seed(lab.members[0].client, keys)
    expected = dump(lab.members[0].client)
    done = play(BACKUP, "-i", lab.inventory)
    assert done.rc == 0, done.output
    return expected


def taken(lab: Lab) -> Path:
    return next(lab.backup_dir.glob("*.db"))


def restore(lab: Lab, *extra: str, inventory: Path | None = None) -> Play:
    arguments = [word for one in extra for word in (("-e", one) if not one.startswith("-") else (one,))]
    return play(RESTORE, "-i", inventory or lab.inventory, *CONFIRM, *arguments)


def inventory(lab: Lab, only: Sequence[str] = (), **variables: str) -> Path:
    """The lab's inventory with these of its hosts alone, and more variables for each."""
    lines = lab.inventory.read_text().replace("{{ inventory_dir }}", str(lab.dir)).splitlines()
    gone = [member.host for member in lab.members if only and member.host not in only]
    kept = [line for line in lines if not re.match(rf"    ({'|'.join(gone) or '-'}):", line)]
    path = lab.dir / "some.yml"
    path.write_text(
        "\n".join([*kept, *[f"    {name}: {json.dumps(value)}" for name, value in variables.items()]]) + "\n"
    )
    return path


def assert_holds(expected: dict, members: Sequence[Member]) -> None:
    for member in members:
        assert differences(expected, dump(member.client)) == [], member.name
    assert {entry.name for entry in members[0].client.member_list()} == {member.name for member in members}
    for member in members:
        assert re.search("(?i)state.*existing", member.config_file.read_text()), member.name


# ---- more and fewer members ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", [{"line": "3.6"}], indirect=True, ids=["3.6"])
def test_three_members_become_one_which_grows_again(lab: Lab) -> None:
    expected = seeded(lab)
    first, second, third = lab.members
    alone = inventory(lab, only=["m1"])
    lost = '{"etcd_restore_exclude": ["m2", "m3"]}'

    refused = restore(lab, lost, inventory=alone)
    assert (
        refused.rc != 0
        and f"the old member m2 is left out, but it still runs and answers at {second.client_url}" in refused.text
    )

    # Stopped, and started again behind the back of the restore: the proof finds them, and everything goes back.
    lab.stop(second)
    lab.stop(third)
    script = first.dir / "etcd.sh"
    good = script.read_text()
    script.write_text(
        good.replace("start() {", f"start() {{\n    sh {second.dir}/etcd.sh start; sh {third.dir}/etcd.sh start", 1)
    )
    failed = restore(lab, lost, "etcd_restore_prove_timeout=8", inventory=alone)
    assert failed.rc != 0 and "old members that answer: expected []" in failed.text, failed.output
    assert "The old data and configuration are back" in failed.text
    script.write_text(good)
    lab.wait_ready()
    assert differences(expected, dump(first.client)) == []

    lab.stop(second)
    lab.stop(third)
    done = restore(lab, lost, inventory=alone)
    assert done.rc == 0, done.output
    assert "old members that answer none" in done.text
    assert_holds(expected, [first])

    # Grown by etcd's own words, with the configuration that the restore has left on m1.
    first.client.call("cluster/member/add", {"peerURLs": [second.peer_url]})
    shutil.rmtree(second.data_dir)
    text = second.config_file.read_text()
    text = re.sub("initial-cluster: .*", f"initial-cluster: m1={first.peer_url},m2={second.peer_url}", text)
    second.config_file.write_text(text.replace('state: "new"', 'state: "existing"'))
    lab.start(second)
    for _again in range(2):
        lab.stop(first)  # it starts with what is in its configuration now
        lab.start(first)
    for member in (first, second):
        assert differences(expected, _dump_soon(member)) == []
    assert {entry.name for entry in first.client.member_list()} == {"m1", "m2"}


def _dump_soon(member: Member) -> dict:
    for _try in range(200):
        try:
            member.client.get(b"x")
            break
        except GatewayError:
            pass
    return dump(member.client)
