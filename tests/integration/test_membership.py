# SPDX-License-Identifier: GPL-3.0-or-later
"""The membership of real clusters changes, on every line of etcd: what the list says counts, and who has proven itself."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, Sequence

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.membership import Membership, Patience
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.proving import answering, lag, look
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import parse_version
from ansible_collections.quorum.etcd.plugins.module_utils.members.single import PROMOTED, Asked, carry_out, decide
from client import differences, dump, seed
from lab import Lab, Member

LINES = ("3.4", "3.5", "3.6", "3.7")
SHORT = Patience(refused=1, list=1)
NOT_ANSWERED = "Error: context deadline exceeded"
Runner = Callable[[Sequence[str], dict], Result]


def run(argv: Sequence[str], env: dict) -> Result:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **env}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def tools(lab: Lab) -> Tools:
    etcdctl = str(lab.bin_dir / "etcdctl")
    return Tools(etcdctl=Tool(etcdctl, parse_version(run([etcdctl, "version"], {"ETCDCTL_API": "3"}).out)))


def membership(lab: Lab, runner: Runner = run, **more: object) -> Membership:
    return Membership(runner, tools(lab), Connection(endpoints=lab.endpoints[:3], command_timeout=3), **more)


def loses(words: str) -> Runner:
    """etcdctl does what it is told, and the answer to the command with these words is lost where it has worked, once."""
    left = [1]

    def lossy(argv: Sequence[str], env: dict) -> Result:
        done = run(argv, env)
        if left and words in " ".join(argv) and done.rc == 0:
            left.clear()
            return Result(1, "", NOT_ANSWERED)
        return done

    return lossy


@contextmanager
def hangs(member: Member) -> Iterator[None]:
    pid = member.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def by_name(lab: Lab) -> dict:
    return {entry.name or entry.peer_urls[0]: entry for entry in lab.members[0].client.member_list()}


@pytest.fixture(scope="module", params=LINES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("membership") / "lab", line=request.param) as lab:
        seed(lab.members[0].client, 300)
        yield lab


def test_a_member_that_hangs_is_not_healthy_and_the_others_are(cluster: Lab) -> None:
    with hangs(cluster.members[2]):
        view = membership(cluster).look()
        assert {member.name: member.healthy for member in view.members} == {"m1": True, "m2": True, "m3": False}
        assert (view.has_quorum, view.serving_voters, view.may_fail) == (True, 2, 0), view
    cluster.wait_ready()
    view = membership(cluster).look()
    assert view.health == "healthy" and [member.healthy for member in view.members] == [True] * 3, view.summary


def test_where_two_of_three_hang_the_third_says_that_it_is_well_and_is_not_believed(cluster: Lab) -> None:
    """It leads nobody and follows nobody any more; until it has noticed, its status says healthy."""
    first = cluster.members[0]
    with hangs(cluster.members[1]), hangs(cluster.members[2]):
        view = look(run, tools(cluster), Connection(endpoints=[first.client_url], command_timeout=2))
        assert not view.has_quorum and answering(view) == [], view
    cluster.wait_ready()


def test_a_learner_is_added_promoted_leads_and_is_removed(cluster: Lab) -> None:
    """The whole way, each step twice: the second time there is nothing to do. Two answers are lost on it."""
    keys = dump(cluster.members[0].client)
    new = cluster.newcomer("m4")
    added = membership(cluster, loses("member add")).add("m4", [new.peer_url], learner=True)
    assert added.changed and by_name(cluster)[new.peer_url].learner
    again = membership(cluster).add("m4", [new.peer_url], learner=True)
    assert (again.id, again.changed) == (added.id, False)

    cluster.start(new)
    say = []
    made = membership(cluster, loses("member promote"), say=say.append).promote(added.id)
    assert made.changed and not by_name(cluster)["m4"].learner, say
    assert not membership(cluster).promote(added.id).changed
    cluster.wait_ready()
    view = membership(cluster).look()
    assert lag(view, added.id) == 0 and view.voters == 4 and view.serving_voters == 4, view

    assert membership(cluster).move_leader(added.id).changed
    assert membership(cluster).look().leader == added.id
    assert not membership(cluster).move_leader(added.id).changed
    assert differences(keys, dump(new.client)) == [], "what the newcomer holds, key by key"

    assert membership(cluster, loses("move-leader")).move_leader(view.members[0].id).changed
    assert membership(cluster, loses("member remove")).remove(added.id).changed
    assert sorted(by_name(cluster)) == ["m1", "m2", "m3"]
    assert not membership(cluster).remove(added.id).changed
    cluster.members.remove(new)
    cluster.kill(new)


def test_a_member_that_is_added_right_after_another_came_back_is_waited_for(cluster: Lab) -> None:
    """Before 3.5.30 and 3.6.11 etcd refuses it for as long as a voter was not connected for 5 s."""
    cluster.kill(cluster.members[1])
    cluster.start(cluster.members[1])
    cluster.wait_ready()
    added = membership(cluster).add("m5", ["http://127.0.0.1:9"], learner=True)
    assert added.changed
    with pytest.raises(EtcdError, match="in sync with leader"):  # it has never run
        membership(cluster, patience=SHORT).promote(added.id)
    with pytest.raises(EtcdError, match="too many learner|unhealthy|already|learner"):
        membership(cluster, patience=SHORT).add("m6", ["http://127.0.0.1:10"], learner=True)
    assert membership(cluster).remove(added.id).changed and sorted(by_name(cluster)) == ["m1", "m2", "m3"]


def test_a_member_that_is_added_again_in_the_second_in_which_it_was_added_and_removed(cluster: Lab) -> None:
    """Its ID would be that of the removed one, which etcd refuses as a member that it does not know."""
    urls = ["http://127.0.0.1:9"]
    last = ""
    for _round in range(4):
        added = membership(cluster).add("again", urls, learner=True)
        assert added.changed and added.id != last
        last = added.id
        assert membership(cluster).remove(last).changed


def test_a_dead_member_is_removed_and_the_list_of_the_others_counts(cluster: Lab) -> None:
    """Last, since the cluster has two members from here on."""
    dead = cluster.members[2]
    gone = by_name(cluster)["m3"]
    cluster.kill(dead)
    assert membership(cluster).remove(f"{gone.id:x}").changed
    assert sorted(by_name(cluster)) == ["m1", "m2"]
    view = membership(cluster).look()
    assert (view.voters, view.serving_voters, view.health) == (2, 2, "healthy"), view.summary


@pytest.mark.parametrize("line", LINES)
def test_with_a_password_a_learner_says_by_its_metrics_how_far_it_is(line: str, tmp_path: Path) -> None:
    """A learner checks no password, so its status cannot be had; and a follower that is to promote it would refuse."""
    with Lab(tmp_path / "lab", line=line) as lab:
        etcdctl, first = tools(lab), Connection(endpoints=lab.endpoints[:1])
        seed(lab.members[0].client, 50)
        for words in ("user add root:geheim", "role add root", "user grant-role root root", "auth enable"):
            assert run([etcdctl.etcdctl.path, *first.flags(), *words.split()], first.env()).rc == 0, words
        to = Connection(endpoints=lab.endpoints, user="root", password="geheim")
        new, changes = lab.newcomer("m4"), Membership(run, etcdctl, to)
        added = changes.add("m4", [new.peer_url], learner=True)
        wanted = Asked(PROMOTED, id=added.id, max_lag=0)
        assert decide(changes.look(), wanted).waits == f"{added.id} has never run"
        lab.start(new)
        assert carry_out(changes, wanted, decide(changes.look(), wanted), seconds=60) == added.id
        view = changes.look()
        assert [member.healthy for member in view.members] == [True] * 4 and view.voters == 4, view.summary
