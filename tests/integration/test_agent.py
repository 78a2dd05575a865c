# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a host runs it, one file of Python, against a lab of three real members: each has an agent of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, ended, made_program
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import locked
from client import Writer, seed
from lab import Lab

SEED = int(os.environ.get("FAULTS_SEED", "1"))
KILLS = 8
PRIVATE = ".quorum-etcd-saving-"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory):
    with Lab(tmp_path_factory.mktemp("agent") / "lab") as made:
        seed(made.members[0].client, 300)
        yield made


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_program(tmp_path_factory.mktemp("program"))


@pytest.fixture
def agents(lab: Lab, program: Path, tmp_path: Path) -> dict[str, Agent]:
    return {member.name: Agent(lab, member, program, tmp_path / member.name) for member in lab.members}


@pytest.fixture
def agent(lab: Lab, program: Path, tmp_path: Path) -> Agent:
    """One that does not wait for its turn."""
    return Agent(lab, lab.members[0], program, tmp_path / "own", every_member=True)


def at_once(agents: dict[str, Agent], *options: str) -> dict[str, dict[str, Any]]:
    """All agents begin together; what each made of it."""
    begun = {name: agent.begin("backup", *options) for name, agent in agents.items()}
    found = {name: ended(process) for name, process in begun.items()}
    assert all(code == 0 for code, _data in found.values()), found
    return {name: data for name, (_code, data) in found.items()}


def test_one_of_three_saves_while_a_writer_writes_and_another_takes_over(lab: Lab, agents: dict[str, Agent]) -> None:
    assert agents["m1"].run("status")[0] == 3, "there has been no run"
    before = lab.members[0].client.status().revision
    with Writer(lab.endpoints, interval=0.005) as writer:
        writer.wait_for_write()
        made = at_once(agents)
    after = lab.members[0].client.status().revision
    assert Counter(one["result"] for one in made.values()) == {"saved": 1, "not its turn": 2}, made
    (first,) = [name for name, one in made.items() if one["result"] == "saved"]
    others = [name for name in agents if name != first]
    assert before < made[first]["revision"] <= after
    assert made[first]["endpoint"] == lab.member(first).client_url, "its own member's bytes need no network"
    assert [agents[name].snapshots() for name in others] == [[], []]

    code, listed = agents[first].run("list", "--verify")
    (snapshot,) = listed["snapshots"]
    assert code == 0 and snapshot["ok"] and snapshot["verified"] and snapshot["verdict"] == "keep"
    assert snapshot["manifest"]["source_host"] and snapshot["manifest"]["hashkv"]
    assert f"it is the turn of {first}, at {lab.member(first).client_url}" in agents[others[0]].words("status")
    assert all(agent.run("status")[0] == 0 for agent in agents.values())

    # Nobody writes any more: the last writes are saved, and then nothing is saved again.
    assert at_once(agents)[first]["result"] == "saved"
    again = at_once(agents)[first]
    assert again["result"] == "unchanged" and Path(again["path"]).name == agents[first].snapshots()[-1]
    assert len(agents[first].snapshots()) == 2 and "nothing to save: nothing was written" in agents[first].words(
        "backup"
    )
    assert agents[first].run("status")[0] == 0

    # What was read and found damaged is no backup: a new one is made although nothing was written.
    newest = agents[first].folder / agents[first].snapshots()[-1]
    spoilt = bytearray(newest.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    newest.write_bytes(spoilt)
    time.sleep(1.1)  # names tell seconds
    assert at_once(agents)[first]["result"] == "saved"
    code, listed = agents[first].run("list", "--verify")
    assert code == 1 and [one["name"] for one in listed["snapshots"] if not one["ok"]] == [newest.name]

    # The member whose turn it was is down: the next one takes over, and its own agent knows that it is not its turn.
    lab.kill(lab.member(first))
    try:
        made = at_once(agents)
        assert made[first]["result"] == "not its turn"
        assert sorted(made[name]["result"] for name in others) == ["not its turn", "saved"], made
    finally:
        lab.start(lab.member(first))
        lab.wait_ready()
    assert at_once(agents)[first]["result"] != "failed"


def test_two_at_once_do_not_spoil_each_other(agent: Agent) -> None:
    assert agent.run("backup")[0] == 0
    with locked(str(agent.folder)):
        code, refused = agent.run("backup", "--force")
        assert code == 2 and refused["result"] == "refused"
        assert f"another run is at work in {agent.folder} (process {os.getpid()} of " in refused["cause"]
        assert agent.run("prune")[0] == 2
        waiting = agent.begin("backup", "--force", "--wait", "60")
        time.sleep(1)
        assert waiting.poll() is None
    assert ended(waiting)[1]["result"] == "saved"

    begun = [agent.begin("backup", "--force") for _one in range(3)]
    found = [ended(process) for process in begun]
    saved = sum(data["result"] == "saved" for _code, data in found)
    assert saved >= 1 and all((code, data["result"]) in ((0, "saved"), (2, "refused")) for code, data in found), found
    code, listed = agent.run("list", "--verify")
    assert code == 0 and len(listed["snapshots"]) == saved + 2
    assert all(one["ok"] and one["manifest"] for one in listed["snapshots"])


MOMENTS = ("as it begins", "with the lock", "as it saves", "with a draft")


def kill_at(moment: str, agent: Agent, later: float) -> None:
    """SIGKILL for a run, so many seconds after that moment."""
    before = set(agent.folder.glob(f"{PRIVATE}*"))
    process = agent.begin("backup", "--force")
    while process.poll() is None:
        new = set(agent.folder.glob(f"{PRIVATE}*")) - before
        lock = (agent.folder / ".quorum-etcd-backup.lock").read_text()
        drafts = [path for one in new for path in one.glob("snapshot.db*")]
        if {MOMENTS[0]: True, MOMENTS[1]: f'"pid": {process.pid},' in lock, MOMENTS[2]: new, MOMENTS[3]: drafts}[
            moment
        ]:
            break
        time.sleep(0.002)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_at_any_moment_it_leaves_nothing_half(agent: Agent) -> None:
    dice = random.Random(SEED)
    assert agent.run("backup")[0] == 0
    for number in range(KILLS):
        kill_at(MOMENTS[number % len(MOMENTS)], agent, dice.uniform(0, 0.08))
        code, listed = agent.run("list", "--verify")
        assert code == 0 and all(one["ok"] and one["verified"] for one in listed["snapshots"]), listed
    time.sleep(1.1)
    code, after = agent.run("backup", "--force")
    assert (code, after["result"]) == (0, "saved")
    assert agent.run("status")[0] == 0
    records = (agent.config.parent / "state" / "backups.jsonl").read_text()
    assert "ended in the middle of its backup: it was killed" in records
    assert not list(agent.folder.glob(f"{PRIVATE}*")), "what they left takes room away"

    # Told to end, it clears away what it had begun.
    process = agent.begin("backup", "--force")
    while process.poll() is None and not list(agent.folder.glob(f"{PRIVATE}*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM and not list(agent.folder.glob(f"{PRIVATE}*"))


def test_it_keeps_what_it_was_told_to_and_says_what_it_would_remove(lab: Lab, agent: Agent) -> None:
    agent.set(keep="all")
    for number in range(4):
        lab.members[0].client.put(b"number", b"%d" % number)
        assert agent.run("backup")[1]["result"] == "saved"
        time.sleep(1.1)
    names = agent.snapshots()
    shutil.copy(agent.folder / names[0], agent.folder / "before-upgrade.db")
    agent.set(keep=2)
    code, told = agent.run("prune", "--dry-run")
    doomed = sorted(one["name"] for one in told["snapshots"] if one["verdict"] == "remove")
    assert (code, doomed) == (0, names[:2]) and len(agent.snapshots()) == 5
    assert f"would remove {agent.folder / names[0]}, as no rule keeps it" in agent.words("prune", "--dry-run")
    assert "one of the last 2" in agent.words("list") and "no rule keeps it" in agent.words("list")

    code, other = agent.run("prune", "--cluster-id", "1234567890abcdef")
    assert code == 0 and not [one for one in other["snapshots"] if one["verdict"] == "remove"]
    code, told = agent.run("prune")
    assert code == 0 and agent.snapshots() == ["before-upgrade.db", *names[2:]]
    assert sorted(path.name for path in agent.folder.glob("*.json")) == [f"{name}.json" for name in names[2:]]

    # The next run does the same by itself.
    lab.members[0].client.put(b"number", b"more")
    made = agent.run("backup")[1]
    assert made["result"] == "saved" and made["removed"] == [names[2]]


def test_what_goes_wrong_is_recorded_and_told_by_exit_codes(lab: Lab, agent: Agent, tmp_path: Path) -> None:
    assert agent.run("backup")[0] == 0
    assert agent.run("status")[0] == 0
    agent.set(max_age=0)
    time.sleep(1.1)
    code, told = agent.run("status")
    assert (code, told["state"]) == (3, "too old") and "see whether its timer runs" in told["why"]

    agent.set(max_age=7200, endpoints=["http://127.0.0.1:9"])
    code, told = agent.run("backup", "--force")
    assert (code, told["result"]) == (1, "failed") and "no member answers" in told["cause"] and told["next_step"]
    assert agent.run("prune")[0] == 1, "whose snapshots are to be counted is not known"
    code, told = agent.run("status")
    assert (code, told["state"]) == (1, "failed") and "no member answers" in told["why"]
    assert told["newest"]["result"] == "saved", "what there is, is told all the same"
    agent.set(endpoints=lab.endpoints)
    assert agent.run("backup")[1]["result"] == "unchanged"
    assert agent.run("status")[0] == 0
    for name in agent.snapshots():
        (agent.folder / name).unlink()
    code, told = agent.run("status")
    assert code == 1 and "is gone" in told["why"]

    agent.set(keep=0)
    code, told = agent.run("backup")
    assert (code, told["result"]) == (2, "refused") and "does not say how many" in told["cause"]
    agent.config.write_text("{")
    assert agent.run("backup")[0] == 2
    agent.config.chmod(0o666)
    assert "can be written by others" in agent.run("status")[1]["cause"]
    assert subprocess.run([*agent.argv, "--wrong"], capture_output=True, check=False).returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_is_too_small_is_noticed_before(lab: Lab, agent: Agent, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        agent.set(folder=str(small))
        code, told = agent.run("backup")
        assert (code, told["result"]) == (1, "failed"), told
        assert "bytes free, and a snapshot of" in told["cause"] and "prune old snapshots" in told["next_step"]
        assert [path.name for path in small.iterdir()] == [".quorum-etcd-backup.lock"]
        assert agent.run("status")[0] == 1
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("line", ["3.4", "3.5", "3.6", "3.7"])
def test_every_line_of_etcd(tmp_path: Path, program: Path, line: str) -> None:
    with Lab(tmp_path / "lab", members=1, line=line) as lab:
        seed(lab.members[0].client, 50)
        agent = Agent(lab, lab.members[0], program, tmp_path / "own", keep=1)
        code, made = agent.run("backup")
        assert (code, made["result"]) == (0, "saved") and made["revision"] == lab.members[0].client.status().revision
        assert agent.run("backup")[1]["result"] == "unchanged"
        lab.members[0].client.put(b"more", b"1")
        assert agent.run("backup")[1]["removed"] == [Path(made["path"]).name]
        code, listed = agent.run("list", "--verify")
        (one,) = listed["snapshots"]
        assert code == 0 and one["ok"] and one["verified"] and one["manifest"]["etcd_version"].startswith(f"{line}.")
        assert agent.run("prune")[0] == agent.run("status")[0] == 0
