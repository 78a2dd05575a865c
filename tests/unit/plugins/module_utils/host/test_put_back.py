# SPDX-License-Identifier: GPL-3.0-or-later
"""What was taken away comes back: the script and its timer, really run; and what takes away, by its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host import put_back as subject
from ansible_collections.quorum.etcd.plugins.module_utils.host.absence import CUT, KILL, STOP, lines_back
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import Service
from ansible_collections.quorum.etcd.plugins.module_utils.host.filtering import (
    Cut,
    cut_of,
    iptables_rules,
    is_local,
    nft_rules,
    packet_filter,
    shares_network,
    uncut_lines,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host
from ansible_collections.quorum.etcd.plugins.module_utils.host.put_back import PutBack
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings.edits import parked_manifest
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import service

CUT_OF = Cut((2379, 2380), (("10.0.0.2", 2380), ("fd00::3", 2380)))


def run(argv, env):
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(autouse=True)
def units(monkeypatch, tmp_path_factory):
    """The folder of the units, on a host without systemd."""
    folder = tmp_path_factory.mktemp("etc") / "system"
    monkeypatch.setattr(subject, "SYSTEMD", "/nowhere")
    monkeypatch.setattr(subject, "_UNITS", str(folder))
    return folder


class Systemd:
    """Answers for systemd, and keeps what was asked, each with what of the boot's unit was there then."""

    def __init__(self, units, **answers):
        self.units, self.calls, self.seen, self.answers = units, [], [], answers

    def run(self, argv, env):
        if argv[0] == "sh":
            return run(argv, env)
        self.calls.append(list(argv))
        self.seen.append(files(self.units))
        shown = {"is-active": "active", "is-enabled": "enabled", **self.answers}.get(argv[1], "")
        return Result(3 if shown in ("inactive", "disabled") else 0, f"{shown}\n", "")

    def boot(self):
        """What a boot does: systemd starts what is enabled, where its condition holds."""
        for link in self.units.glob("multi-user.target.wants/*"):
            if not link.exists():
                continue
            said = dict(line.split("=", 1) for line in link.read_text().splitlines() if "=" in line)
            if os.path.exists(said["ConditionPathExists"].replace("%%", "%")):
                folder = said["WorkingDirectory"].replace("%%", "%")
                subprocess.run(said["ExecStart"].split(), cwd=folder, check=False)


@pytest.fixture
def systemd(monkeypatch, tmp_path, units):
    monkeypatch.setattr(subject, "SYSTEMD", str(tmp_path))
    units.mkdir()
    return Systemd(units)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def lines(tmp_path, what="back"):
    return [f"echo x >>'{tmp_path / what}'"]


def until(happened):
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(tmp_path):
    return os.path.exists(f"/proc/{(tmp_path / 'timer.pid').read_text().strip()}")


def test_the_timer_puts_back_and_once_is_enough(tmp_path):
    back = PutBack(str(tmp_path), run)
    back.arm(lines(tmp_path), 1)
    assert back.is_armed and not (tmp_path / "back").exists() and alive(tmp_path)
    until(lambda: not back.is_armed)
    until(lambda: not alive(tmp_path))
    assert back.now() == "timer" and (tmp_path / "back").read_text() == "x\n"


def test_the_run_puts_back_and_the_timer_does_nothing_any_more(tmp_path):
    back = PutBack(str(tmp_path), run)
    back.arm(lines(tmp_path), 600)
    assert back.now() == "run"
    until(lambda: not alive(tmp_path))
    assert (tmp_path / "back").read_text() == "x\n" and not back.is_armed


def test_the_timer_is_nobodys_child_and_has_nothing_of_whoever_armed_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_RUN", "geheim")
    back = PutBack(str(tmp_path), run)
    back.arm(lines(tmp_path), 600)
    pid = (tmp_path / "timer.pid").read_text().strip()
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert b"geheim" not in file.read()
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            _state, parent, _group, session = file.read().rpartition(")")[2].split()[:4]
        assert parent != str(os.getpid()) and session != str(os.getsid(0))
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)} == {"/dev/null"}
    finally:
        back.disarm()


def test_what_cannot_be_put_back_stays_armed_and_says_how_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "_TRIES", 1)
    back = PutBack(str(tmp_path), run)
    back.arm(["echo 'no such unit' >&2; false"], 600)
    with pytest.raises(EtcdError, match=r"could not be put back \(no such unit\)") as failed:
        back.now()
    assert back.is_armed and f"sh {tmp_path}/put_back.sh" in failed.value.next_step
    back.disarm()


def test_where_no_timer_lives_nothing_is_armed(tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "_detach", lambda argv: None)
    monkeypatch.setattr(subject, "_UP", 0.05)
    back = PutBack(str(tmp_path), run)
    with pytest.raises(EtcdError, match="no timer can be armed on this host"):
        back.arm(lines(tmp_path), 600)
    assert not back.is_armed


def both(folder):
    name = f"quorum-etcd-drill-boot-{folder.name}.service"
    return [f"multi-user.target.wants/{name}", name]


def test_systemd_has_a_timer_of_its_own_and_before_it_a_unit_that_the_next_boot_starts(tmp_path, systemd, units):
    back = PutBack(str(tmp_path), systemd.run)
    back.arm(lines(tmp_path), 35)
    unit = f"quorum-etcd-drill-{tmp_path.name}"
    assert systemd.calls == [
        ["systemctl", "is-enabled", f"quorum-etcd-drill-boot-{tmp_path.name}.service"],
        [
            *("systemd-run", f"--unit={unit}", "--on-active=35s", "--timer-property=AccuracySec=100ms"),
            *("--property=KillMode=process", "sh", str(tmp_path / "put_back.sh"), "timer"),
        ],
        ["systemctl", "is-active", f"{unit}.timer"],
    ]
    assert systemd.seen == [both(tmp_path)] * 3 and back.left() == [
        *(str(tmp_path / "armed"), *(str(units / name) for name in both(tmp_path)))
    ]
    assert (units / both(tmp_path)[1]).stat().st_mode & 0o777 == 0o644
    back.disarm()
    assert systemd.calls[3:] == [["systemctl", "stop", f"{unit}.timer"]]
    assert back.left() == [] == files(units) and not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (
            {"is-active": "inactive"},
            "no timer can be armed on this host that would put its member back: it is inactive",
        ),
        ({"is-enabled": "disabled"}, "no unit for its boot can be armed .* is disabled"),
    ],
)
def test_where_the_timer_or_the_boot_is_not_sure_nothing_is_armed(tmp_path, systemd, units, answers, why):
    systemd.answers = answers
    back = PutBack(str(tmp_path), systemd.run)
    with pytest.raises(EtcdError, match=why) as refused:
        back.arm(lines(tmp_path), 35)
    assert back.left() == [] == files(units) and "nothing was taken away" in refused.value.next_step


def test_where_no_unit_can_be_written_nothing_is_armed(tmp_path, systemd, units):
    units.rmdir()
    units.touch()
    back = PutBack(str(tmp_path), systemd.run)
    with pytest.raises(EtcdError, match="no unit for its boot can be armed"):
        back.arm(lines(tmp_path), 35)
    assert back.left() == [] == systemd.calls


@pytest.mark.parametrize("who", ["run", "timer", "boot", "hand"])
def test_whoever_puts_it_back_the_unit_of_the_boot_is_gone(tmp_path, systemd, units, who):
    back = PutBack(str(tmp_path), systemd.run)
    back.arm(lines(tmp_path), 600)
    if who == "boot":
        systemd.boot()
    else:
        run(["sh", str(tmp_path / "put_back.sh"), *([] if who == "hand" else [who])], {})
    assert back.left() == [] == files(units) and (tmp_path / "back").read_text() == "x\n"
    assert (tmp_path / "put_back_by").read_text() == f"{who}\n"
    systemd.boot()
    assert back.now() == who and (tmp_path / "back").read_text() == "x\n"


def test_a_boot_that_cannot_put_it_back_tries_again_at_the_next_one(tmp_path, systemd, monkeypatch):
    monkeypatch.setattr(subject, "_TRIES", 1)
    back = PutBack(str(tmp_path), systemd.run)
    back.arm([f"[ -e '{tmp_path}/up' ]"], 600)
    systemd.boot()
    assert len(back.left()) == 3
    (tmp_path / "up").touch()
    systemd.boot()
    assert back.left() == []


# What is there when it is killed, step by step; and whether the boot that follows then puts back.
KILLED = {
    "nothing was written but the script": ((), False),
    "armed, and no unit": (("armed",), False),
    "the unit is written and not enabled": (("armed", "unit"), False),
    "enabled, and no timer; or taken away": (("armed", "unit", "link"), True),
    "put back, and the unit is not removed": (("unit", "link"), False),
    "put back, and half of it is removed": (("unit",), False),
}


@pytest.mark.parametrize(("left", "puts_back"), KILLED.values(), ids=KILLED)
def test_killed_at_any_step_the_boot_is_right_and_the_next_run_clears_it(tmp_path, systemd, units, left, puts_back):
    back = PutBack(str(tmp_path), systemd.run)
    back.arm(lines(tmp_path), 600)
    link, unit = both(tmp_path)
    for name, path in (("armed", tmp_path / "armed"), ("unit", units / unit), ("link", units / link)):
        if name not in left:
            path.unlink()
    systemd.boot()
    assert (tmp_path / "back").exists() == puts_back
    back.disarm()
    assert back.left() == [] == files(units)


def test_an_enabled_unit_whose_file_is_gone_does_not_hinder(tmp_path, systemd, units):
    back = PutBack(str(tmp_path), systemd.run)
    back.arm(lines(tmp_path), 600)
    (units / both(tmp_path)[1]).unlink()
    systemd.boot()
    back.arm(lines(tmp_path), 600)
    systemd.boot()
    assert back.left() == [] and (tmp_path / "back").exists()


def test_the_unit_of_the_boot():
    folder = "/var/lib/quorum-etcd/restores/20261124T031500Z-ab"
    assert subject.boot_unit_text(folder).splitlines()[1:] == [
        *("[Unit]", "Description=Put back what a failover drill has taken away from this host"),
        *("Documentation=https://github.com/quorum-etcd/quorum.etcd", f"ConditionPathExists={folder}/armed"),
        *("After=multi-user.target", "", "[Service]", "Type=oneshot", f"WorkingDirectory={folder}"),
        *("ExecStart=/bin/sh put_back.sh boot", "TimeoutStartSec=300", "# What a start command leaves running stays."),
        *("KillMode=process", "", "[Install]", "WantedBy=multi-user.target"),
    ]
    assert "WorkingDirectory=/s 100%%/x\n" in subject.boot_unit_text("/s 100%/x")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this host has no systemd to ask")
def test_systemd_understands_it_and_takes_it_for_enabled(tmp_path):
    wants, name = tmp_path / "etc/systemd/system/multi-user.target.wants", "quorum-etcd-drill-boot-x.service"
    wants.mkdir(parents=True)
    unit = wants.parent / name
    unit.write_text(subject.boot_unit_text("/var/lib/100% of it/restores/x"))
    said = run(["systemd-analyze", "verify", "--man=no", str(unit)], {})
    assert name not in said.err + said.out
    asked = ["systemctl", f"--root={tmp_path}", "is-enabled", name]
    assert run(asked, {}).out == "disabled\n"
    (wants / name).symlink_to(f"/etc/systemd/system/{name}")
    assert run(asked, {}).out == "enabled\n"


# ---- what the script does --------------------------------------------------------------------------------------------


def of(**changes):
    return from_plain(Service, service(**changes))


def test_a_unit_is_started_and_systemd_may_start_it_again():
    stopped = lines_back(STOP, of(name="etcd.service"), "/state", "")
    assert stopped == ["systemctl reset-failed etcd.service 2>/dev/null", "systemctl start --no-block etcd.service"]
    killed = lines_back(KILL, of(name="etcd"), "/state", "")
    assert killed[0] == "rm -f /run/systemd/system/etcd.service.d/zzz-quorum-etcd-drill.conf"
    assert killed[2:] == [
        "systemctl daemon-reload",
        "systemctl reset-failed etcd 2>/dev/null",
        "systemctl start --no-block etcd",
    ]


def test_a_member_that_runs_again_is_not_started_twice(tmp_path):
    runs, started = tmp_path / "runs", tmp_path / "started"
    own = of(manager="command", start_command=f"touch {started}", status_command=f"test -e {runs}")
    text = "\n".join(lines_back(STOP, own, "/state", ""))
    assert run(["sh", "-c", text], {}).rc == 0 and started.exists()
    started.unlink()
    runs.touch()
    assert run(["sh", "-c", text], {}).rc == 0 and not started.exists()


def test_a_manifest_comes_back_as_it_was(tmp_path):
    manifests, state = tmp_path / "man ifests", tmp_path / "state"
    own = replace(of(manager="static_pod"), manifest=str(manifests / "etcd.yaml"))
    parked = parked_manifest(own.manifest, str(state))
    os.makedirs(os.path.dirname(parked))
    manifests.mkdir()
    with open(parked, "w", encoding="ascii") as file:
        file.write("kind: Pod\n")
    text = "\n".join(lines_back(KILL, own, str(state), ""))
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sync").write_text(f"#!/bin/sh\nls '{parked}' && echo \"$1\" >>'{tmp_path}/synced'\n")
    (tmp_path / "bin/sync").chmod(0o755)
    for _twice in range(2):
        assert run(["sh", "-c", text], env).rc == 0
        assert os.listdir(manifests) == ["etcd.yaml"] and (manifests / "etcd.yaml").read_text() == "kind: Pod\n"
    assert not os.path.exists(parked)
    synced = (tmp_path / "synced").read_text().splitlines()
    assert synced == [str(manifests / ".etcd.yaml.moving.tmp"), str(manifests)], "while the other one was there"


# ---- the cut ---------------------------------------------------------------------------------------------------------


def test_the_cut_is_of_this_members_ports_and_leaves_the_loopback():
    assert (
        nft_rules(CUT_OF)
        == """\
table inet quorum_etcd_drill {
 chain input {
  type filter hook input priority -300; policy accept;
  iifname lo accept
  tcp dport 2379 drop
  tcp dport 2380 drop
  ip saddr 10.0.0.2 tcp sport 2380 drop
  ip6 saddr fd00::3 tcp sport 2380 drop
 }
 chain output {
  type filter hook output priority -300; policy accept;
  oifname lo accept
  tcp sport 2379 drop
  tcp sport 2380 drop
  ip daddr 10.0.0.2 tcp dport 2380 drop
  ip6 daddr fd00::3 tcp dport 2380 drop
 }
}
"""
    )


def test_iptables_has_the_same_in_chains_of_our_own_that_are_jumped_to_last():
    rules = [" ".join(argv) for argv in iptables_rules(CUT_OF)]
    assert rules[:5] == [
        "iptables -w -N QUORUM_ETCD_DRILL_INPUT",
        "iptables -w -A QUORUM_ETCD_DRILL_INPUT -p tcp --dport 2379 -j DROP",
        "iptables -w -A QUORUM_ETCD_DRILL_INPUT -p tcp --dport 2380 -j DROP",
        "iptables -w -A QUORUM_ETCD_DRILL_INPUT -p tcp -s 10.0.0.2 --sport 2380 -j DROP",
        "iptables -w -I INPUT ! -i lo -j QUORUM_ETCD_DRILL_INPUT",
    ]
    assert "iptables -w -I OUTPUT ! -o lo -j QUORUM_ETCD_DRILL_OUTPUT" in rules
    assert "ip6tables -w -A QUORUM_ETCD_DRILL_OUTPUT -p tcp -d fd00::3 --dport 2380 -j DROP" in rules
    assert not any("2379" in rule and "OUTPUT" in rule and "dport" in rule for rule in rules), "others' clients stay"
    assert not any(argv[0] == "ip6tables" for argv in iptables_rules(Cut((2379,), (("10.0.0.2", 2380),))))


@pytest.mark.parametrize("tool", ["nft", "iptables"])
def test_rules_that_are_not_there_are_gone(tool, tmp_path):
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("nft", "iptables", "ip6tables"):
        (fake / name).write_text(
            '#!/bin/sh\necho "$0 $*" >>"$LOG"\n[ -e "$RULES" ] || exit 1\ncase "$*" in *delete*|*-X*) rm "$RULES";; esac\n'
        )
        (fake / name).chmod(0o755)
    env = {"PATH": f"{fake}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "RULES": str(tmp_path / "rules")}
    text = "\n".join(uncut_lines(tool))
    assert run(["sh", "-c", text], env).rc == 0
    (tmp_path / "rules").touch()
    assert run(["sh", "-c", text], env).rc == 0 and not (tmp_path / "rules").exists()
    assert lines_back(CUT, of(), "/state", tool) == uncut_lines(tool)


def test_names_are_looked_up_and_a_name_that_leads_nowhere_is_said():
    cut = cut_of(["https://0.0.0.0:2379", "https://10.0.0.1:2380", "https://10.0.0.1:2379"], ["https://10.0.0.2:2380"])
    assert cut == Cut([2379, 2380], [("10.0.0.2", 2380)])
    with pytest.raises(EtcdError, match="cannot be looked up here"):
        cut_of([], ["https://no-such-host.invalid:2380"])
    assert [
        is_local(url) for url in ("http://127.0.0.9:1", "http://[::1]:1", "http://localhost:1", "http://10.0.0.1:1")
    ] == [*(True, True, True, False)]


def test_a_container_with_a_network_of_its_own_is_told_from_the_hosts(tmp_path):
    heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: 0100007F:094B 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100 0 0 10 0\n"
    for pid, state, inode in (("self", "0A", 7001), ("11", "0A", 7001), ("12", "0A", 7002), ("13", "01", 7001)):
        (tmp_path / f"proc/{pid}/net").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/net/tcp").write_text(heading + row.format(state, inode))
    host = Host(str(tmp_path))
    assert [shares_network(host, pid) for pid in (11, 12, 13, 14)] == [True, False, False, False]


def test_which_tool_a_host_has(tmp_path):
    host = Host(str(tmp_path))
    assert packet_filter(host) == ""
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/iptables").touch()
    assert packet_filter(host) == "iptables"
    (tmp_path / "usr/sbin/nft").touch()
    assert packet_filter(host) == "nft"
