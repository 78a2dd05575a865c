# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that takes its time on real hosts shows how far each host is: on the terminal, and in what AWX's engine keeps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Iterable, NamedTuple

import pytest
from conftest import CHECKOUT, LOGS, play, user_environment
from hosts import Hosts
from images import docker

BACKUP, RESTORE = CHECKOUT / "playbooks" / "backup.yml", CHECKOUT / "playbooks" / "restore.yml"
MEGABYTES, RATE = 40, "14mbit"  # some twenty seconds on the way to a host
PASSWORD = "a word for su"
LINE = re.compile(r"(?P<host>m\d): (?P<text>.*), \d+ s so far")

# Restores as etcdutl does, and lets the database that it has made arrive slowly, as on a bad disk.
SLOW = """\
#!/usr/bin/python3
import os, subprocess, sys, time
real, given = "/usr/local/bin/etcdutl.real", sys.argv[1:]
option = next((word for word in given if word.startswith("--data-dir=")), "")
if given[:2] != ["snapshot", "restore"] or not option:
    os.execv(real, [real, *given])
folder = option.partition("=")[2]
done = subprocess.run([real, *(word + ".slow" if word is option else word for word in given)])
if done.returncode:
    sys.exit(done.returncode)
os.makedirs(folder + "/member/snap", mode=0o700)
with open(folder + ".slow/member/snap/db", "rb") as source, open(folder + "/member/snap/db", "wb") as target:
    while chunk := source.read(1 << 20):
        target.write(chunk)
        target.flush()
        time.sleep(0.5)
os.rename(folder + ".slow/member/snap/db", folder + "/member/snap/db")
for name in os.listdir(folder + ".slow/member/snap"):
    os.rename(folder + ".slow/member/snap/" + name, folder + "/member/snap/" + name)
os.rename(folder + ".slow/member/wal", folder + "/member/wal")
subprocess.run(["rm", "-r", folder + ".slow"])
"""

# What comes in over SSH is slowed, and not what the members tell each other.
SLOW_SSH = f"""\
tc qdisc add dev eth0 handle ffff: ingress
tc filter add dev eth0 parent ffff: protocol ip u32 match ip dport 22 0xffff police rate {RATE} burst 256k drop flowid :1
"""


class Said(NamedTuple):
    """A line about a host, and when it came, in seconds."""

    at: float
    host: str
    text: str


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory):
    """A cluster of some size on three hosts that are reached slowly and have a slow tool; its snapshot is on the controller."""
    with Hosts(tmp_path_factory.mktemp("progress") / "progress", line="3.6") as made:
        client = made.client(made.members[0])
        for number in range(MEGABYTES * 2):
            client.put(b"bulk/%d" % number, os.urandom(1 << 19))
        done = play(BACKUP, "-i", made.inventory)
        assert done.rc == 0, done.output
        fetch_backup(made)
        for member in made.members:
            (made.dir / "slow.py").write_text(SLOW)
            made.run(member, ["mv", "/usr/local/bin/etcdutl", "/usr/local/bin/etcdutl.real"])
            docker("cp", str(made.dir / "slow.py"), f"{member.container}:/usr/local/bin/etcdutl")
            made.run(member, ["chmod", "755", "/usr/local/bin/etcdutl"])
            made.run(member, ["sh", "-ec", SLOW_SSH])
            made.run(member, ["sh", "-c", f"echo 'root:{PASSWORD}' | chpasswd"])
        yield made


def fetch_backup(hosts: Hosts) -> None:
    """The snapshot and its manifest, from the host where they are to the controller."""
    for member in hosts.members:
        found = hosts.run(member, ["find", "/var/backups/etcd", "-name", "*.db"]).split()
        for path in found:
            (hosts.dir / "backups").mkdir(exist_ok=True)
            for name in (path, f"{path}.json"):
                docker("cp", f"{member.container}:{name}", str(hosts.dir / "backups"))
        hosts.run(member, ["rm", "-rf", "/var/backups/etcd"])
    assert list((hosts.dir / "backups").glob("*.db")), "no backup was found on the hosts"


def arguments(hosts: Hosts) -> list[str]:
    given = {
        "etcd_restore_confirm": "etcd",
        "etcd_backup_dir": hosts.dir / "backups",
        "etcd_report_dir": hosts.dir / "reports",
    }
    return [word for name, value in given.items() for word in ("-e", f"{name}={value}")]


def about_each_host(said: Iterable[Said], words: str) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for line in said:
        if words in line.text:
            found.setdefault(line.host, []).append(line)
    return found


def assert_regular(said: list[Said], words: str, hosts: Hosts) -> None:
    """Each host is spoken of about every five seconds: not less, and not more."""
    lines = about_each_host(said, words)
    assert sorted(lines) == [member.host for member in hosts.members], (words, said)
    for own in lines.values():
        assert len(own) >= 3, (words, own)
        assert all(4 < later.at - earlier.at < 7 for earlier, later in pairwise(own)), (words, own)


def percents(said: list[Said]) -> list[int]:
    return [int(found.group(1)) for line in said for found in [re.search(r"(\d+) % of", line.text)] if found]


def test_on_the_terminal(hosts: Hosts) -> None:
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), str(RESTORE), "-i", str(hosts.inventory)]
    run = subprocess.Popen(
        [*argv, *arguments(hosts)],
        cwd=CHECKOUT,
        env=user_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, said = "", []
    for line in run.stdout:
        output += line
        if found := LINE.fullmatch(line.strip()):
            said.append(Said(time.monotonic(), found["host"], found["text"]))
    assert run.wait() == 0, output
    for words in ("snapshot to the host: ", "restoring: "):
        assert_regular(said, words, hosts)
        for own in about_each_host(said, words).values():
            shares = percents(own)
            assert shares == sorted(shares) and len(set(shares)) >= 3 and max(shares) <= 100, own


def test_in_awx_with_another_way_to_become_root(hosts: Hosts) -> None:
    """ansible-runner is the engine under AWX; su has no quick way, so the snapshot goes by Ansible's own copy."""
    folder = hosts.dir / "runner"
    (folder / "env").mkdir(parents=True)
    secret = {"ansible_become_method": "su", "ansible_become_password": PASSWORD, "etcd_restore_again": True}
    (folder / "env" / "extravars").write_text(json.dumps(secret))
    argv = [str(Path(sys.executable).parent / "ansible-runner"), "run", str(folder), "--ident", "restore", "-vvv"]
    argv += [
        "--project-dir",
        str(CHECKOUT / "playbooks"),
        "--playbook",
        RESTORE.name,
        "--inventory",
        str(hosts.inventory),
    ]
    done = subprocess.run(
        [*argv, "--cmdline", " ".join(arguments(hosts))],
        cwd=CHECKOUT,
        env={**user_environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    (LOGS / "runner.log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    kept = folder / "artifacts" / "restore"
    said, text = [], (kept / "stdout").read_text()
    for event in sorted(map(read_event, (kept / "job_events").glob("*.json")), key=lambda event: event["counter"]):
        for line in event["stdout"].splitlines():
            if found := LINE.fullmatch(re.sub(r"\x1b\[[0-9;]*m", "", line).strip()):
                assert line in text
                said.append(Said(created(event), found["host"], found["text"]))
    assert_regular(said, "snapshot to the host, ", hosts)
    assert_regular(said, "restoring: ", hosts)
    assert PASSWORD not in text and not any(PASSWORD in path.read_text() for path in (kept / "job_events").iterdir())


def read_event(path: Path) -> dict:
    return json.loads(path.read_text())


def created(event: dict) -> float:
    return datetime.fromisoformat(event["created"]).timestamp()
