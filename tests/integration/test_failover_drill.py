# SPDX-License-Identifier: GPL-3.0-or-later
"""A member fails, as a drill: measured, put back, proven, and no acknowledged write is lost; refused where it would hurt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import pytest
from client import WRITER_KEY, Writer, differences, dump, seed
from conftest import CHECKOUT, Play, play, report_of
from lab import Lab

DRILL = CHECKOUT / "playbooks" / "failover_drill.yml"
LINES = ("3.4", "3.5", "3.6", "3.7")
SHORT = ("-e", "etcd_failover_drill_confirm=etcd", "-e", "etcd_failover_drill_seconds=5")
# Each way to fail in `make test`, each line among them; the rest in the long run.
SAMPLE = {
    ("3.4", "kill", "leader"),
    ("3.5", "stop", "follower"),
    ("3.6", "stop", "leader"),
    ("3.7", "kill", "follower"),
}


@pytest.fixture(scope="module")
def lab_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("drill") / "lab", line=request.param) as lab:
        seed(lab.members[0].client, 300)
        yield lab


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("refuses") / "lab") as lab:
        yield lab


def drill(lab: Lab, who: str, how: str, *arguments: str) -> Play:
    asked = ("-e", f"etcd_failover_drill_who={who}", "-e", f"etcd_failover_drill_how={how}")
    return play(DRILL, "-i", lab.inventory, *SHORT, *asked, *arguments)


CASES = [
    pytest.param(line, how, who, marks=[] if (line, how, who) in SAMPLE else [pytest.mark.long])
    for line in LINES
    for how in ("stop", "kill")
    for who in ("leader", "follower")
]


@pytest.mark.parametrize(("lab_of", "how", "who"), CASES, indirect=["lab_of"])
def test_it_fails_is_measured_and_comes_back(lab_of: Lab, how: str, who: str) -> None:
    lab = lab_of
    keys, led, pids = dump(lab.members[0].client), lab.leader(), {member.name: member.pid() for member in lab.members}
    with Writer(lab.endpoints) as writer:
        writer.wait_for_write()
        done = drill(lab, who, how)
        writer.wait_for_write()
    assert done.rc == 0, done.output
    lab.wait_ready()
    report = report_of(done)
    away, numbers = report["drill"]["member"], report["numbers"]
    assert (away == led) == (who == "leader") and report["drill"]["role"] == who
    assert {name for name, pid in pids.items() if lab.member(name).pid() != pid} == {away}, "one alone was taken away"
    # Nothing that was acknowledged is lost, and nothing of the drill is left.
    assert int(lab.members[0].client.get(WRITER_KEY).value) >= len(writer.acknowledged) - 1
    for member in lab.members:
        assert differences(keys, dump(member.client)) == []
    assert report["outcome"] == "drilled" and report["unfinished"] == [] and all(one["ok"] for one in report["proof"])
    assert len(report["proof"]) == 9 and report["put_back_by"] == "run" and report["came_back"] is None
    # The numbers are of this fault.
    assert numbers["leader_before"] == led and numbers["acknowledged"] > 0 and numbers["recovery"] is not None
    assert numbers["away"] > 0, "writes through the member failed while it was away"
    if who == "leader":
        assert numbers["leader_after"] not in ("", away) and numbers["term_after"] > numbers["term_before"]
        assert 0 <= numbers["detection"] <= numbers["election"]
        assert f"{numbers['leader_after']} led after" in report["headline"]
    else:
        assert numbers["detection"] is None and numbers["leader_after"] == led
    assert "Caught up after" in done.text and "Writes again after" in done.text
    page = Path(re.findall(r"Report: (\S+\.html)", done.output)[-1]).read_text()
    assert "away: the member is gone" in page and ("no writes" in page) == (numbers["gap"] > numbers["grain"])
    phases = {host: [row["phase"] for row in part["phases"]] for host, part in report["hosts"].items()}
    assert phases[report["drill"]["host"]] == ["ready", "away", "return", "prove"]
    assert phases[report["drill"]["measured_on"]] == ["ready", "measure", "prove"]


def test_check_mode_shows_all_of_it_and_touches_nothing(cluster: Lab) -> None:
    pids = [member.pid() for member in cluster.members]
    done = drill(cluster, "leader", "kill", "--check", "--diff")
    assert done.rc == 0 and f"{cluster.leader()}, the leader, on" in done.text, done.output
    for words in ("killed (SIGKILL)", "a timer on", "3 voters, 3 healthy, quorum 2", "2 of 3 are left", "measured on"):
        assert words in done.text
    assert "this is how the run would drill a failure in cluster etcd" in done.text
    assert [member.pid() for member in cluster.members] == pids
    assert not [path for member in cluster.members for path in member.dir.glob("state/restores/*/armed")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "etcd_failover_drill_confirm=prod"], "This takes a member away from cluster etcd;"),
        (["-e", "etcd_failover_drill_seconds=1"], "1 s is no time for a drill."),
        (["-e", "etcd_failover_drill_who=m9"], "no member is called m9."),
        (["-e", "etcd_failover_drill_how=cut"], "its peers are at the loopback"),
        (["-e", "etcd_failover_drill_hwo=stop"], "there is no variable etcd_failover_drill_hwo"),
    ],
)
def test_it_refuses(cluster: Lab, arguments: list[str], words: str) -> None:
    pids = [member.pid() for member in cluster.members]
    done = drill(cluster, "leader", "stop", *arguments)
    assert done.rc != 0 and "Nothing was touched." in done.text and words in done.text, done.output
    assert [member.pid() for member in cluster.members] == pids


def test_a_way_to_fail_that_there_is_not_is_refused_with_those_that_there_are(cluster: Lab) -> None:
    done = drill(cluster, "leader", "burn")
    assert done.rc != 0 and "etcd_failover_drill_how must be one of: stop, kill, cut, got: burn" in done.text, (
        done.output
    )
    assert "looking at the host" not in done.text


def test_with_a_member_down_nothing_can_be_spared(cluster: Lab) -> None:
    down = next(member for member in cluster.members if member.name != cluster.leader())
    cluster.stop(down)
    try:
        done = drill(cluster, "leader", "stop")
        assert done.rc != 0 and f"the voter {down.name} is not healthy" in done.text, done.output
        assert "3 voters, 2 healthy, quorum 2" in done.text and "1 of 3 is left" in done.text
    finally:
        cluster.start(down)
        cluster.wait_ready()


def test_what_is_refused_too_late_for_the_plan_is_refused_before_anything_is_touched(cluster: Lab) -> None:
    """One host at a time, so that the two which work together never do."""
    pids = [member.pid() for member in cluster.members]
    done = drill(cluster, "leader", "stop", "--forks", "1")
    assert done.rc != 0 and "needs --forks of 2 or more" in done.text, done.output
    assert "is not done: no member was taken away" in done.text
    assert [member.pid() for member in cluster.members] == pids
    assert drill(cluster, "follower", "stop").rc == 0, "and the next run is not hindered by it"
