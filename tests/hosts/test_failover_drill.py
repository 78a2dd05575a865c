# SPDX-License-Identifier: GPL-3.0-or-later
"""A member fails, as a drill, on hosts with systemd and a packet filter: killed, cut off, and put back by systemd's own timer."""

from __future__ import annotations

from typing import Iterator

import pytest
from client import differences, dump, seed
from conftest import Play, play, report_of
from failing import (
    arguments,
    boot_units,
    controller_killed,
    is_armed,
    power_fails_while_away,
    shell,
    times_taken,
)
from hosts import Hosts, Member
from waiting import until

DROP_IN = "/run/systemd/system/etcd.service.d/zzz-quorum-etcd-drill.conf"
RULES = "nft list ruleset; iptables-save; ip6tables-save"
# Of the member's host: every Python there is a module's.
KILL_MODULES = (
    'for one in /proc/[0-9]*; do case "$(readlink "$one/exe")" in */python3*) kill -9 "${one#/proc/}";; esac; done'
)
pytestmark = pytest.mark.xdist_group("failover-drill")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("failover") / "hosts"
    with Hosts(folder, line="3.5", distribution="filtering", tls=True) as made:
        seed(made.client(made.members[0]), 200)
        yield made


def leader(hosts: Hosts) -> Member:
    views = [(member, hosts.client(member).status()) for member in hosts.members]
    return next(member for member, view in views if view.leader == view.member_id)


def drilled(done: Play) -> dict:
    """The report of a run that ended well."""
    assert done.rc == 0, done.output
    return report_of(done)


def assert_nothing_is_left(hosts: Hosts, keys: dict) -> None:
    hosts.wait_ready()
    for member in hosts.members:
        assert "quorum" not in shell(hosts, member, f"({RULES}) 2>/dev/null || :").lower(), member.host
        assert shell(hosts, member, f"test -e {DROP_IN} && echo there || :") == "", member.host
        assert not is_armed(hosts, member) and boot_units(hosts, member) == []
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
    until(lambda: not is_armed(hosts, led), "the timer puts it back")
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


def test_a_boot_puts_back_what_it_would_not_start(hosts: Hosts) -> None:
    """The unit of the member is not enabled, and no timer lives any more."""
    keys, led = dump(hosts.client(hosts.members[0])), leader(hosts)
    shell(hosts, led, "systemctl --quiet disable etcd")
    try:
        power_fails_while_away(hosts, led, how="stop")
        assert_nothing_is_left(hosts, keys)
    finally:
        shell(hosts, led, "systemctl --quiet enable etcd")
    assert drilled(play(*arguments(hosts, how="stop")))["outcome"] == "drilled"
    assert_nothing_is_left(hosts, keys)
