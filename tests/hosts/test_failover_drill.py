# SPDX-License-Identifier: GPL-3.0-or-later
"""A member fails, as a drill, on hosts with systemd and a packet filter: killed, cut off, and put back by systemd's own timer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest
from client import differences, dump, seed
from conftest import CHECKOUT, Play, play, playbook_argv, report_of, user_environment
from hosts import Hosts, Member
from images import base_image

DRILL = CHECKOUT / "playbooks" / "failover_drill.yml"
STATE = "/var/lib/quorum-etcd/restores"
DROP_IN = "/run/systemd/system/etcd.service.d/zzz-quorum-etcd-drill.conf"
RULES = "nft list ruleset; iptables-save; ip6tables-save"
SECONDS = 6
# Of the member's host: every Python there is a module's.
KILL_MODULES = (
    'for one in /proc/[0-9]*; do case "$(readlink "$one/exe")" in */python3*) kill -9 "${one#/proc/}";; esac; done'
)
pytestmark = pytest.mark.xdist_group("failover-drill")


class FilteringHosts(Hosts):
    """With Debian's nftables and iptables."""

    def _image(self) -> str:
        return base_image("filtering")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("failover") / "hosts"
    with FilteringHosts(folder, line="3.5", distribution="debian13", tls=True) as made:
        seed(made.client(made.members[0]), 200)
        yield made


def leader(hosts: Hosts) -> Member:
    views = [(member, hosts.client(member).status()) for member in hosts.members]
    return next(member for member, view in views if view.leader == view.member_id)


def arguments(hosts: Hosts, **asked: object) -> list[str | Path]:
    wanted = {"confirm": "etcd", "seconds": SECONDS, **asked}
    given = json.dumps({f"etcd_failover_drill_{name}": value for name, value in wanted.items()})
    return [DRILL, "-i", hosts.inventory, "-e", given]


def drilled(done: Play) -> dict:
    """The report of a run that ended well."""
    assert done.rc == 0, done.output
    return report_of(done)


@contextmanager
def controller_killed(hosts: Hosts, is_away: Callable[[], bool], **asked: object) -> Iterator[None]:
    """A drill whose controller is killed as soon as the member is away; in the block it is dead, and nothing else."""
    with subprocess.Popen(
        playbook_argv(*arguments(hosts, **asked)),
        cwd=CHECKOUT,
        env=user_environment(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        until(is_away, "it was never taken away")
        os.killpg(running.pid, signal.SIGKILL)
        yield


def shell(hosts: Hosts, member: Member, script: str) -> str:
    return hosts.run(member, ["sh", "-c", script])


def until(happened: Callable[[], bool], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def is_armed(hosts: Hosts, member: Member) -> bool:
    return "armed" in shell(hosts, member, f"ls {STATE}/*/ 2>/dev/null || :").split()


def times_taken(hosts: Hosts, member: Member) -> int:
    return shell(hosts, member, f"cat {STATE}/*/journal.jsonl 2>/dev/null || :").count('"step": "taken"')


def assert_nothing_is_left(hosts: Hosts, keys: dict) -> None:
    hosts.wait_ready()
    for member in hosts.members:
        assert "quorum" not in shell(hosts, member, f"({RULES}) 2>/dev/null || :").lower(), member.host
        assert shell(hosts, member, f"test -e {DROP_IN} && echo there || :") == "", member.host
        assert not is_armed(hosts, member)
        assert shell(hosts, member, "systemctl list-timers --all --no-legend 'quorum-etcd-drill-*'") == "", member.host
        hosts.client(member).get(b"back")  # linearizable: it has caught up
        left = {key: value for key, value in dump(hosts.client(member)).items() if b"quorum.etcd/" not in key}
        assert differences(keys, left) == [], member.host


def test_killed_it_is_not_started_again_by_systemd_before_its_time(hosts: Hosts) -> None:
    keys, led = dump(hosts.client(hosts.members[0])), leader(hosts)
    report = drilled(play(*arguments(hosts, how="kill")))
    assert report["drill"]["member"] == led.name and report["came_back"] is None and report["put_back_by"] == "run"
    assert report["numbers"]["leader_after"] not in ("", led.name)
    assert_nothing_is_left(hosts, keys)
    assert hosts.run(led, ["systemctl", "show", "--property=Restart", "--value", "etcd"]) == "on-abnormal"


@pytest.mark.parametrize("tool", ["nft", "iptables"])
def test_cut_off_its_network_it_runs_on_and_another_leads(hosts: Hosts, tool: str) -> None:
    keys, led = dump(hosts.client(hosts.members[0])), leader(hosts)
    pid = hosts.run(led, ["systemctl", "show", "--property=MainPID", "--value", "etcd"])
    if tool == "iptables":
        hosts.on_each(lambda member: hosts.run(member, ["chmod", "0", "/usr/sbin/nft"]))
        hosts.on_each(lambda member: hosts.run(member, ["mv", "/usr/sbin/nft", "/usr/sbin/nft.hidden"]))
    try:
        report = drilled(play(*arguments(hosts, how="cut")))
    finally:
        if tool == "iptables":
            hosts.on_each(lambda member: hosts.run(member, ["mv", "/usr/sbin/nft.hidden", "/usr/sbin/nft"]))
            hosts.on_each(lambda member: hosts.run(member, ["chmod", "755", "/usr/sbin/nft"]))
    assert report["drill"] == {**report["drill"], "member": led.name, "how": "cut", "role": "leader"}
    assert report["numbers"]["leader_after"] not in ("", led.name) and report["numbers"]["away"] > 0
    assert hosts.run(led, ["systemctl", "show", "--property=MainPID", "--value", "etcd"]) == pid, "it ran on"
    assert_nothing_is_left(hosts, keys)


@pytest.mark.parametrize("how", ["cut", "kill"])
def test_controller_and_module_killed_while_it_is_away_systemds_timer_puts_it_back(hosts: Hosts, how: str) -> None:
    keys, led = dump(hosts.client(hosts.members[0])), leader(hosts)
    before = times_taken(hosts, led)
    with controller_killed(hosts, lambda: times_taken(hosts, led) > before, how=how):
        shell(hosts, led, KILL_MODULES)
    assert is_armed(hosts, led) and "quorum-etcd-drill-" in shell(hosts, led, "systemctl list-timers --no-legend")
    if how == "cut":
        assert "quorum_etcd_drill" in shell(hosts, led, "nft list ruleset")
    else:
        assert "is there" in shell(hosts, led, f"test -e {DROP_IN} && echo is there")
    until(lambda: not is_armed(hosts, led), "the timer has not put it back")
    assert_nothing_is_left(hosts, keys)
    report = drilled(play(*arguments(hosts, how="stop")))
    assert report["outcome"] == "drilled"
    assert_nothing_is_left(hosts, keys)


def test_a_host_that_boots_in_the_middle_is_right_again(hosts: Hosts) -> None:
    keys, led = dump(hosts.client(hosts.members[0])), leader(hosts)

    def is_away() -> bool:
        return shell(hosts, led, f"test -e {DROP_IN} && echo there || :") == "there"

    with controller_killed(hosts, is_away, how="kill", seconds=60):
        hosts.power_off(led)
    hosts.power_on(led)
    hosts.wait_ready()
    assert shell(hosts, led, f"test -e {DROP_IN} && echo there || :") == ""
    assert drilled(play(*arguments(hosts, how="stop")))["outcome"] == "drilled"
    assert_nothing_is_left(hosts, keys)
