# SPDX-License-Identifier: GPL-3.0-or-later
"""The leadership goes to the member that is named: proven, without a loss, and only where it works."""

from __future__ import annotations

from typing import Iterator

import pytest
from client import WRITER_KEY, Writer, differences, dump, seed
from conftest import CHECKOUT, Play, play, report_of
from lab import Lab

SWITCH_LEADER = CHECKOUT / "playbooks" / "switch_leader.yml"
CONFIRMED = ("-e", "etcd_switch_leader_confirm=etcd")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("switch") / "lab") as lab:
        seed(lab.members[0].client, 300)
        yield lab


def follower(lab: Lab) -> str:
    return next(member.name for member in lab.members if member.name != lab.leader())


def switch(lab: Lab, to: str, *arguments: str) -> Play:
    return play(SWITCH_LEADER, "-i", lab.inventory, *CONFIRMED, "-e", f"etcd_switch_leader_to={to}", *arguments)


def test_it_moves_and_nothing_acknowledged_is_lost(cluster: Lab) -> None:
    keys, before, to = dump(cluster.members[0].client), cluster.leader(), follower(cluster)
    pids = [member.pid() for member in cluster.members]
    with Writer(cluster.endpoints) as writer:
        writer.wait_for_write()
        done = switch(cluster, to)
        writer.wait_for_write()
    assert done.rc == 0, done.output
    assert cluster.leader() == to and [member.pid() for member in cluster.members] == pids
    assert int(cluster.members[0].client.get(WRITER_KEY).value) >= len(writer.acknowledged) - 1
    assert differences(keys, dump(cluster.members[0].client)) == []
    assert f"Switch of the leader of cluster etcd leader {before} -> {to}" in done.text
    assert "The switch of the leader of cluster etcd is done, and proven." in done.text
    report = report_of(done)
    assert report["outcome"] == "switched" and report["unfinished"] == [] and report["touched"]
    assert [check["what"] for check in report["proof"]] == [
        "leader that each member follows",
        "a write and its deletion",
    ]
    assert all(check["ok"] for check in report["proof"])
    phases = [[row["phase"] for row in host["phases"]] for host in report["hosts"].values()]
    assert phases == [["move", "prove"]] * 3


def test_where_it_leads_already_there_is_nothing_to_do(cluster: Lab) -> None:
    to = cluster.leader()
    done = switch(cluster, to)
    assert done.rc == 0 and "There is nothing to do" in done.text, done.output
    assert done.recap("m1")["changed"] == 0 and cluster.leader() == to


def test_check_mode_shows_what_would_be_and_changes_nothing(cluster: Lab) -> None:
    before, to = cluster.leader(), follower(cluster)
    done = switch(cluster, to, "--check", "--diff")
    assert done.rc == 0 and f"{before} -> {to}" in done.text, done.output
    assert "this is how the run would switch the leader of cluster etcd" in done.text
    assert cluster.leader() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "etcd_switch_leader_to="], "nobody is named who is to lead. Next: name one of m1, m2, m3"),
        (["-e", "etcd_switch_leader_to=m9"], "no member is called m9."),
        (["-e", "etcd_switch_leader_too=m1"], "there is no variable etcd_switch_leader_too"),
        (["-e", "etcd_switch_leader_confirm=prod"], "This moves the leadership of cluster etcd;"),
    ],
)
def test_it_refuses(cluster: Lab, arguments: list[str], words: str) -> None:
    before = cluster.leader()
    done = switch(cluster, follower(cluster), *arguments)
    assert done.rc != 0 and "Nothing was touched." in done.text and words in done.text, done.output
    assert cluster.leader() == before


def test_a_member_that_is_down_is_refused_and_another_takes_over(cluster: Lab) -> None:
    """The cluster has a quorum of two, and they need no third for it."""
    before = cluster.leader()
    down, to = [member for member in cluster.members if member.name != before]
    cluster.stop(down)
    try:
        done = switch(cluster, down.name)
        assert done.rc != 0 and f"{down.name} is not healthy" in done.text, done.output
        done = switch(cluster, to.name)
        assert done.rc == 0 and cluster.leader() == to.name, done.output
    finally:
        cluster.start(down)
        cluster.wait_ready()
