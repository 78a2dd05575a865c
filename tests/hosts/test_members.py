# SPDX-License-Identifier: GPL-3.0-or-later
"""Members replaced on real hosts: systemd, SSH with become, mutual TLS and users, while a client writes through all of them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client import Client, GatewayError, RetryingWriter, differences, dump, seed
from conftest import CHECKOUT, Play, play
from hosts import Hosts, Member
from waiting import until

MEMBER_REPLACE = CHECKOUT / "playbooks" / "member_replace.yml"
CONFIRM = ("-e", "etcd_member_replace_confirm=etcd")
LINES = ["3.4", "3.5", "3.6", "3.7"]
KEYS = 300
# Debian 12's package, with its defaults file; Debian 13's; upstream binaries with a YAML file, the data dir a mount point; the
# same with flags in the unit.
SECURE = {
    "3.4": {},
    "3.5": {"distribution": "debian13", "wal_dir": "/var/lib/etcd-wal/wal"},
    "3.6": {"data_mount": True},
    "3.7": {"owner": "kv"},
}


def change(hosts: Hosts, **variables: object) -> Play:
    wanted = json.dumps({f"etcd_member_replace_{name}": value for name, value in variables.items()})
    return play(MEMBER_REPLACE, "-i", hosts.inventory, *CONFIRM, "-e", wanted)


def members_of(hosts: Hosts, *names: str) -> list[Member]:
    return [hosts.member(name) for name in names]


def check_whole(hosts: Hosts, expected: dict, *names: str) -> None:
    """These are the members, voters all, with all keys, named by every configuration, and started by the boot of their hosts."""
    wanted = {name: hosts.member(name).peer_url for name in names}
    listed = hosts.client(hosts.member(names[0])).member_list()
    assert {one.name: one.peer_urls[0] for one in listed} == wanted
    assert not any(one.learner for one in listed)
    for member in members_of(hosts, *names):
        hosts.client(member).get(b"back")  # linearizable: it has caught up
        assert differences(expected, dump(hosts.client(member))) == [], member.host
        text = hosts.run(member, ["cat", member.config_file])
        assert all(url in text for url in wanted.values()), text
        assert "existing" in text, text
        assert hosts.run(member, ["systemctl", "is-active", "etcd"]) == "active"
        assert hosts.run(member, ["systemctl", "is-enabled", "etcd"]) == "enabled"


def unit(hosts: Hosts, member: Member, *properties: str) -> dict[str, str]:
    shown = hosts.run(member, ["systemctl", "show", f"--property={','.join(properties)}", "etcd"])
    return dict(line.split("=", 1) for line in shown.splitlines())


def leader_of(hosts: Hosts, *names: str) -> str:
    views = [(name, hosts.client(hosts.member(name)).status()) for name in names]
    return next(name for name, view in views if view.leader == view.member_id)


def kept_data(hosts: Hosts, member: Member) -> str:
    """The old database, which nobody deletes: beside the data directory, or inside it where that is a mount point."""
    parent = str(Path(member.data_dir).parent)
    return hosts.run(member, ["find", parent, "-path", "*before-*", "-path", "*/snap/db"])


@pytest.mark.parametrize("line", LINES)
def test_a_lost_disk_a_dead_host_and_a_leader_that_moves(tmp_path: Path, line: str) -> None:
    """The fourth host takes the place of the third, which is dead; then that one is back, and takes the leader's."""
    settings = {"line": line, "tls": True, "auth": True, "spares": 1, **SECURE[line]}
    with Hosts(tmp_path / f"replace-{line}", **settings) as hosts:
        m3 = hosts.member("m3")
        seed(hosts.client(hosts.members[0]), KEYS)
        expected = dump(hosts.client(hosts.members[0]), serializable=False)
        hosts.lose_data(m3)
        with RetryingWriter([hosts.client(member, timeout=1.5) for member in hosts.all]) as writer:
            done = change(hosts, dead=["m3"])
            assert done.rc == 0, done.output
            check_whole(hosts, expected, "m1", "m2", "m3")

            hosts.power_off(m3)
            done = change(hosts, dead=["m3"], by=["m4"])
            assert done.rc == 0, done.output
            check_whole(hosts, expected, "m1", "m2", "m4")

            # What comes back is the data of a member that was removed: its etcd ends, whatever systemd makes of it.
            hosts.power_on(m3)
            hosts.wait_reachable(m3)
            leader = leader_of(hosts, "m1", "m2", "m4")
            stay = [name for name in ("m1", "m2", "m4") if name != leader]
            done = change(hosts, move={leader: "m3"})
            assert done.rc == 0, done.output
            check_whole(hosts, expected, *stay, "m3")
        writer.check(hosts.client(m3))
        assert hosts.password not in done.output

        left = hosts.member(leader)
        assert unit(hosts, left, "ActiveState", "UnitFileState") == {
            "ActiveState": "inactive",
            "UnitFileState": "disabled",
        }
        assert kept_data(hosts, left) and kept_data(hosts, m3)

        hosts.on_each(hosts.reboot, hosts.all)
        hosts.wait_ready(members=members_of(hosts, *stay, "m3"))
        check_whole(hosts, expected, *stay, "m3")
        hosts.wait_reachable(left)
        assert unit(hosts, left, "ActiveState")["ActiveState"] == "inactive"
        again = change(hosts, move={leader: "m3"})
        assert again.rc == 0 and "nothing to do" in again.text, again.output


# ---- what the state flag does when it is wrong, and systemd hides ---------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory):
    with Hosts(tmp_path_factory.mktemp("states") / "states", line="3.6") as hosts:
        seed(hosts.client(hosts.members[0]), KEYS)
        yield hosts


OTHER_PORT = 2390
# What is done to m3, which was removed and whose disk is new: whether it is added again, and with which port; what its
# configuration says; what its log then says; and what the operator names.
STATES = {
    "the removed ID boots, and ends with success": (
        {"added": 2380, "state": "new"},
        "removed from the cluster",
        {"dead": ["m3"]},
    ),
    "another token runs for ever": (
        {"added": 2380, "state": "new", "token": "another"},
        "cluster ID mismatch",
        {"dead": ["m3"]},
    ),
    "it is in no list": ({"state": "existing"}, "member count is unequal", {"dead": ["m3"]}),
    "another peer URL": ({"added": OTHER_PORT, "state": "existing"}, "PeerURLs: no match", {"dead": ["m3"]}),
    "the data of a removed member": ({"data": True}, "removed", {"dead": ["m3"]}),
    "a cluster of its own": (
        {"member": True, "state": "new", "token": "another", "alone": True},
        "ready to serve client requests",
        {"dead": ["m3"]},
    ),
}


def ask(client: Client, path: str, body: dict) -> None:
    """etcd changes no membership before its members have been connected for some seconds; what timed out may have worked."""
    until = time.monotonic() + 90
    while True:
        try:
            client.call(f"cluster/member/{path}", body)
            return
        except GatewayError as error:
            if any(words in str(error) for words in ("Peer URLs already exist", "member not found")):
                return
            if not any(words in str(error) for words in ("unhealthy", "timed out")) or time.monotonic() > until:
                raise
        time.sleep(0.5)


def spoil(hosts: Hosts, state: str = "", token: str = "", added: int = 0, data=False, member=False, alone=False) -> str:
    """m3 as somebody has left it. Returns the peer URL that it was added with."""
    m3, through = hosts.member("m3"), hosts.client(hosts.members[0])
    peer_url = m3.peer_url.replace("2380", str(added or 2380))
    for entry in through.member_list() if not member else ():
        if entry.name == "m3" or m3.peer_url in entry.peer_urls:
            ask(through, "remove", {"ID": str(entry.id)})
    if not data:
        hosts.lose_data(m3)
    if added:
        ask(through, "add", {"peerURLs": [peer_url]})
    wanted = {"state": state, "token": token}
    for name, value in wanted.items():
        if value:
            hosts.run(
                m3, ["sed", "-i", f"s|^initial-cluster-{name}:.*|initial-cluster-{name}: {value}|", m3.config_file]
            )
    if alone:
        hosts.run(m3, ["sed", "-i", f"s|^initial-cluster:.*|initial-cluster: m3={m3.peer_url}|", m3.config_file])
    return peer_url


def wait_for_log(hosts: Hosts, member: Member, words: str, since: str) -> None:
    command = f"until journalctl --no-pager -u etcd --since {since!r} | grep -q {words!r}; do sleep 0.5; done"
    hosts.run(member, ["timeout", "120", "sh", "-c", command])


@pytest.mark.parametrize("case", STATES)
def test_a_member_that_was_left_in_a_wrong_state_is_repaired(plain: Hosts, case: str) -> None:
    given, words, asked = STATES[case]
    m3 = plain.member("m3")
    expected = dump(plain.client(plain.members[0]), serializable=False)
    since = plain.run(m3, ["date", "+%Y-%m-%d %H:%M:%S"])
    peer_url = spoil(plain, **given)
    plain.start(m3)
    wait_for_log(plain, m3, words, since)
    if peer_url != m3.peer_url:  # a seat that nobody will take, and that only who made it can give up
        refused = change(plain, **asked)
        assert refused.rc != 0 and "or in etcd_member_replace_remove" in refused.text, refused.output
        asked = {**asked, "remove": [peer_url]}
    done = change(plain, **asked)
    assert done.rc == 0, done.output
    check_whole(plain, expected, "m1", "m2", "m3")


# ---- its host loses its power on the way ----------------------------------------------------------------------------------


def seated(hosts: Hosts, is_started: bool) -> bool:
    """Whether m3 has a seat, or has started on it."""
    m3, listed = hosts.member("m3"), hosts.client(hosts.members[0]).member_list()
    return any(m3.peer_url in one.peer_urls and (one.name == "m3" or not is_started) for one in listed)


@pytest.mark.parametrize("is_started", [False, True], ids=["added", "started"])
def test_a_newcomer_whose_host_loses_its_power_comes_with_the_next_run(plain: Hosts, is_started: bool) -> None:
    """Its unit is enabled: the boot starts etcd with whatever data and configuration there is at that moment."""
    m3, others = plain.member("m3"), plain.members[:2]
    expected = dump(plain.client(others[0]), serializable=False)
    plain.lose_data(m3)
    (old,) = (one.id for one in plain.client(others[0]).member_list() if one.name == "m3")
    with RetryingWriter([plain.client(member, timeout=1.5) for member in plain.members]) as writer:
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(change, plain, dead=["m3"])
            until(lambda: run.done() or not is_there(plain, old), "the removal of the old member")
            until(lambda: run.done() or seated(plain, is_started), "the new member's seat")
            plain.power_off(m3)
            done = run.result()
        assert done.rc != 0, done.output
        plain.power_on(m3)
        plain.wait_reachable(m3)
        again = change(plain, dead=["m3"])
        assert again.rc == 0, again.output
        check_whole(plain, expected, "m1", "m2", "m3")
    writer.check(plain.client(m3))


def is_there(hosts: Hosts, member_id: int) -> bool:
    return any(one.id == member_id for one in hosts.client(hosts.members[0]).member_list())
