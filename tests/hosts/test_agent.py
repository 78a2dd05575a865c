# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent on real hosts: set up by backup.yml, run by systemd, with mutual TLS and a password, and taken away again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from client import seed
from conftest import BACKUP, Play, play
from hosts import Hosts, HostsError, Member
from test_matrix import secrets_of
from waiting import until

SCHEDULE = "etcd_backup_schedule=*:0/30"
FILES = (
    "/usr/local/bin/quorum-etcd",
    "/etc/quorum-etcd/agent.json",
    "/etc/quorum-etcd/agent.password",
    "/etc/systemd/system/quorum-etcd-backup.service",
    "/etc/systemd/system/quorum-etcd-backup.timer",
    "/etc/systemd/system/quorum-etcd-drill.service",
    "/etc/systemd/system/quorum-etcd-drill.timer",
    "/etc/quorum-etcd/members.json",
)
SERVICE = "quorum-etcd-backup.service"
CRON = "/etc/cron.d/quorum-etcd-backup"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory):
    with Hosts(tmp_path_factory.mktemp("agent") / "agent", line="3.6", tls=True, auth=True) as made:
        seed(made.client(made.members[0]), 200)
        yield made


def backup(hosts: Hosts, *arguments: str) -> Play:
    done = play(BACKUP, "-i", hosts.inventory, *arguments)
    assert [word for word in secrets_of(hosts) if word in done.output] == []
    return done


def said(hosts: Hosts, member: Member, *words: str) -> dict[str, Any]:
    """What the agent of a host says, which must be content."""
    return json.loads(hosts.run(member, ["quorum-etcd", *words, "--json"]))


def present(hosts: Hosts, member: Member) -> list[str]:
    return [
        path for path in FILES if hosts.run(member, ["sh", "-c", f"test -e {path} && echo yes || echo no"]) == "yes"
    ]


def snapshots(hosts: Hosts, member: Member) -> list[str]:
    return sorted(
        hosts.run(member, ["sh", "-c", "cd /var/backups/etcd 2>/dev/null && ls *.db.gz 2>/dev/null || :"]).split()
    )


def configure(hosts: Hosts, member: Member, line: str) -> None:
    """Add lines that mean nothing to etcd to the member's configuration, with a password in one of them."""
    lines = f"# {line}\n# ETCDCTL_PASSWORD={hosts.password}"
    hosts.run(member, ["sh", "-c", 'printf "%s\\n" "$1" >> "$2"', "sh", lines, member.config_file])


def written(hosts: Hosts, member: Member) -> str:
    return hosts.run(member, ["cat", member.config_file]).replace(hosts.password, "(masked)")


def kit_of(hosts: Hosts, owner: Member) -> dict[str, Any]:
    """What the newest kit on a host tells; it is unpacked into /srv/kit."""
    newest = "rm -rf /srv/kit && cd /srv && tar -xzf $(ls -t /var/backups/etcd/*.kit.tar.gz | head -n 1)"
    return json.loads(hosts.run(owner, ["sh", "-c", f"{newest} && cat kit/members.json"]))


def test_it_is_set_up_runs_by_itself_and_goes_away_again(hosts: Hosts) -> None:
    for member in hosts.members:
        configure(hosts, member, f"of {member.host}: {{{{ lookup('pipe', 'id') }}}}")
    shown = backup(hosts, "-e", SCHEDULE, "--check", "--diff")
    assert shown.rc == 0 and "OnCalendar=*:0/30" in shown.text and '"password_file"' in shown.text, shown.output
    assert [present(hosts, member) for member in hosts.members] == [[], [], []]
    refused = backup(hosts, "-e", "etcd_backup_schedule='each full moon'")
    assert refused.rc != 0 and "systemd does not understand the schedule 'each full moon'" in refused.text
    assert [present(hosts, member) for member in hosts.members] == [[], [], []]

    done = backup(hosts, "-e", SCHEDULE, "--diff")
    assert done.rc == 0, done.output
    for member in hosts.members:
        assert present(hosts, member) == list(FILES)
        for timer in ("quorum-etcd-backup.timer", "quorum-etcd-drill.timer"):
            assert hosts.run(member, ["systemctl", "is-active", timer]) == "active"
            assert hosts.run(member, ["systemctl", "is-enabled", timer]) == "enabled"
        modes = hosts.run(member, ["stat", "-c", "%a %U", *FILES]).splitlines()
        assert modes == ["755 root", "600 root", "600 root", *["644 root"] * 4, "600 root"]
        assert hosts.password not in hosts.run(member, ["cat", FILES[1]])
        assert said(hosts, member, "status")["state"] == "ok"
    (owner,) = [member for member in hosts.members if snapshots(hosts, member)]
    assert f"{owner.host}: saved /var/backups/etcd/" in done.text and "nothing to do: it is the turn of" in done.text
    (first,) = said(hosts, owner, "list", "--verify")["snapshots"]
    assert first["ok"] and first["verified"] and first["manifest"]["user_keys"] > 100
    # The recovery kit, made within the bounds of the unit.
    told = kit_of(hosts, owner)
    assert told["host"] == owner.host and all("there is no openssl" in note for note in told["notes"]), told
    assert {one["host"] for one in told["members"] if not one["seen_at"]} == {owner.host}, told
    for one in told["members"]:
        assert hosts.member(one["name"]).config_file in one["files"] and all("etcd" in path for path in one["files"]), (
            told
        )
        assert one["tls_files"]["key-file"] and one["data_dir"] and one["version"], told
    for member in hosts.members:
        folder = "files" if member == owner else f"others/{member.host}"
        assert hosts.run(owner, ["cat", f"/srv/kit/{folder}{member.config_file}"]) == written(hosts, member)
        certificates = [one["sha256"] for one in told["certificates"] if one["host"] == member.host]
        assert certificates and all(certificates), told
    seen_at = {one["host"]: one["seen_at"] for one in told["members"]}
    everything = hosts.run(owner, ["sh", "-c", "cat $(find /srv/kit -type f)"])
    assert [word for word in secrets_of(hosts) if word in everything] == [] and "PRIVATE KEY" not in everything

    again = backup(hosts, "-e", SCHEDULE)
    assert again.rc == 0, again.output
    assert all(again.recap(member.host)["changed"] == 0 for member in hosts.members), again.output

    # What changes on one host the others' kits have from then on, and since when; an agent knows its own host by itself.
    changed = next(member for member in hosts.members if member != owner)
    configure(hosts, changed, "another line")
    renewed = backup(hosts, "-e", SCHEDULE, "--diff")
    assert renewed.rc == 0 and renewed.recap(changed.host)["changed"] == 0, renewed.output
    assert renewed.recap(owner.host)["changed"] == 1 and "bytes, not shown" in renewed.text, renewed.output
    hosts.client(owner).put(b"app/kit", b"1")
    hosts.run(owner, ["quorum-etcd", "backup", "--wait", "60"])
    again_at = {one["host"]: one["seen_at"] for one in kit_of(hosts, owner)["members"]}
    assert {host for host in seen_at if again_at[host] != seen_at[host]} == {changed.host}
    assert hosts.run(owner, ["cat", f"/srv/kit/others/{changed.host}{changed.config_file}"]) == written(hosts, changed)

    # By systemd, and by hand at once: two runs never overlap, and what comes out is whole.
    hosts.client(owner).put(b"app/more", b"1")
    with ThreadPoolExecutor(3) as pool:
        begun = [pool.submit(hosts.run, owner, ["systemctl", "start", SERVICE]) for _one in range(2)]
        begun.append(pool.submit(hosts.run, owner, ["quorum-etcd", "backup", "--wait", "60"]))
        assert [one.result() for one in begun[:2]] == ["", ""]
        assert "saved" in begun[2].result() or "nothing to save" in begun[2].result()
    found = said(hosts, owner, "list", "--verify")["snapshots"]
    assert len(found) == 3 and all(one["ok"] and one["verified"] for one in found), found
    assert said(hosts, owner, "status")["newest"]["revision"] == max(one["revision"] for one in found)
    for member in hosts.members:
        hosts.run(member, ["systemctl", "start", SERVICE])
        journal = hosts.run(member, ["journalctl", "--no-pager"])
        assert "quorum-etcd" in journal and [word for word in secrets_of(hosts) if word in journal] == []

    # Drilled by systemd, within its bounds: all capabilities but three, and most of the file system, are not there then.
    hosts.run(owner, ["systemctl", "start", "quorum-etcd-drill.service"])
    proofs = hosts.run(owner, ["quorum-etcd", "drill", "--export"]).splitlines()
    found = [json.loads(line) for line in proofs]
    assert [one["result"] for one in found] == ["proven", "proven"], found
    assert found[0]["keys"] >= 200 and any(one.startswith("hash ") for one in found[0]["compared"]), found
    assert said(hosts, owner, "status")["proven"]["path"] == found[0]["path"]
    other = next(member for member in hosts.members if member.host != owner.host)
    assert said(hosts, other, "drill")["result"] == "nothing", "it is another member that makes the backups"
    assert hosts.run(owner, ["sh", "-c", "ls -A /var/lib/quorum-etcd/drill"]) == ".quorum-etcd-backup.lock"
    assert "throwaway" not in hosts.run(owner, ["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"])

    # A password that is no longer right is told by the service, by the status and by the play.
    hosts.run(owner, ["sh", "-c", f"echo wrong > {FILES[2]}"])
    with pytest.raises(HostsError):
        hosts.run(owner, ["systemctl", "start", SERVICE])
    assert hosts.run(owner, ["sh", "-c", "quorum-etcd status >/dev/null; echo $?"]) == "1"
    mended = backup(hosts, "-e", SCHEDULE)
    assert mended.rc == 0 and mended.recap(owner.host)["changed"] == 1, mended.output
    assert said(hosts, owner, "status")["state"] == "ok"

    kept = snapshots(hosts, owner)
    gone = backup(hosts, "-e", "etcd_backup_schedule=absent")
    assert gone.rc == 0, gone.output
    assert [present(hosts, member) for member in hosts.members] == [[], [], []]
    assert snapshots(hosts, owner) == kept and kept
    assert "quorum-etcd" not in hosts.run(owner, ["systemctl", "list-timers", "--all", "--no-pager"])
    again = backup(hosts, "-e", "etcd_backup_schedule=absent")
    assert again.rc == 0 and all(again.recap(member.host)["changed"] == 0 for member in hosts.members), again.output


def test_cron_runs_it_where_there_is_no_systemd(tmp_path: Path) -> None:
    """A systemd that nobody finds any more is none to whoever asks, as on a host of another init; its cron goes on."""
    with Hosts(tmp_path / "cron", line="3.5", distribution="filtering", members=1, tls=True, auth=True) as hosts:
        (member,) = hosts.members
        seed(hosts.client(member), 50)
        hosts.run(member, ["mount", "-t", "tmpfs", "tmpfs", "/run/systemd"])
        refused = backup(hosts, "-e", "etcd_backup_schedule=02:30")
        assert refused.rc != 0 and "'02:30' is no schedule of cron, and this host has no systemd" in refused.text
        done, again = (backup(hosts, "-e", "etcd_backup_schedule='* * * * *'") for _run in range(2))
        assert done.rc == 0, done.output
        assert again.rc == 0 and again.recap(member.host)["changed"] == 0, again.output
        assert "quorum-etcd drill" in hosts.run(member, ["cat", CRON])
        assert present(hosts, member) == list(FILES[:3]) and len(snapshots(hosts, member)) == 1

        hosts.run(member, ["sed", "-i", "s/ --delay [0-9]*//", CRON])
        hosts.client(member).put(b"app/more", b"1")
        until(lambda: len(snapshots(hosts, member)) == 2, "cron runs it")
        newest = said(hosts, member, "list", "--verify")["snapshots"]
        assert all(one["ok"] and one["verified"] for one in newest), newest
        gone = backup(hosts, "-e", "etcd_backup_schedule=absent")
        assert gone.rc == 0 and present(hosts, member) == [], gone.output
        assert hosts.run(member, ["sh", "-c", f"test -e {CRON} || echo gone"]) == "gone"
