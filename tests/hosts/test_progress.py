# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that takes its time on real hosts shows how far each host is: on the terminal, and in what AWX's engine keeps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from conftest import BACKUP, CHECKOUT, LOGS, RESTORE, play, user_environment
from hosts import Hosts
from images import docker
from slow import LINE, Said, assert_growing, assert_regular, slow_tool, watched

MEGABYTES = 40
PASSWORD = "a word for su"
# ssh reaches a host through this, which lets so many bytes a second go there.
SLOW_WAY = """\
import os, socket, sys, threading, time
host = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := host.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 16384):
    host.sendall(data)
    time.sleep(len(data) / 2_500_000)
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory):
    """A cluster of some size on three hosts that are reached slowly and have a slow tool; its snapshot is on the controller."""
    with Hosts(tmp_path_factory.mktemp("progress") / "progress", line="3.6") as made:
        client = made.client(made.members[0])
        for number in range(MEGABYTES * 2):
            client.put(b"bulk/%d" % number, os.urandom(1 << 19))
        done = play(BACKUP, "-i", made.inventory, "-e", "etcd_backup_compress=none")
        assert done.rc == 0, done.output
        fetch_backup(made)
        for member in made.members:
            (made.dir / "slow.py").write_text(slow_tool("/usr/local/bin/etcdutl.real", seconds=0.5))
            made.run(member, ["mv", "/usr/local/bin/etcdutl", "/usr/local/bin/etcdutl.real"])
            docker("cp", str(made.dir / "slow.py"), f"{member.container}:/usr/local/bin/etcdutl")
            made.run(member, ["chmod", "755", "/usr/local/bin/etcdutl"])
            made.run(member, ["sh", "-c", f"echo 'root:{PASSWORD}' | chpasswd"])
        (made.dir / "slow_way.py").write_text(SLOW_WAY)
        proxy = f"-o IdentitiesOnly=yes -o ProxyCommand='{sys.executable} {made.dir}/slow_way.py %h %p'"
        slowly = made.inventory.read_text().replace("-o IdentitiesOnly=yes", proxy)
        # The connections that the backup has left open go by the quick way.
        made.inventory.write_text(slowly.replace("-%%h", "-slow-%%h"))
        yield made


def fetch_backup(hosts: Hosts) -> None:
    """The snapshot and its manifest, from the host where they are to the controller."""
    for member in hosts.members:
        found = hosts.run(member, ["find", "/var/backups", "-name", "etcd-*.db"]).split()
        for path in found:
            (hosts.dir / "backups").mkdir(exist_ok=True)
            for name in (path, f"{path}.json"):
                docker("cp", f"{member.container}:{name}", str(hosts.dir / "backups"))
        hosts.run(member, ["rm", "-rf", "/var/backups/etcd"])
    assert list((hosts.dir / "backups").glob("*.db")), "no backup was found on the hosts"


def names(hosts: Hosts) -> list[str]:
    return [member.host for member in hosts.members]


def arguments(hosts: Hosts) -> list[str]:
    given = {
        "etcd_restore_confirm": "etcd",
        "etcd_backup_dir": hosts.dir / "backups",
        "etcd_report_dir": hosts.dir / "reports",
        "etcd_bin_dir": "/usr/local/bin",  # a script in the place of a tool is run only where it is named
    }
    return [word for name, value in given.items() for word in ("-e", f"{name}={value}")]


def test_on_the_terminal(hosts: Hosts) -> None:
    rc, output, said = watched(RESTORE, "-i", hosts.inventory, *arguments(hosts))
    assert rc == 0, output
    for words in ("snapshot to the host: ", "restoring: "):
        assert_regular(said, words, names(hosts), least=2)
        assert_growing(said, words)


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
    assert_regular(said, "snapshot to the host, ", names(hosts), least=1)
    assert_regular(said, "restoring: ", names(hosts), least=2)
    assert_growing(said, "restoring: ")
    assert PASSWORD not in text and not any(PASSWORD in path.read_text() for path in (kept / "job_events").iterdir())


def read_event(path: Path) -> dict:
    return json.loads(path.read_text())


def created(event: dict) -> float:
    return datetime.fromisoformat(event["created"]).timestamp()
