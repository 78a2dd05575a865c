# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run that loses a host in the middle; TLS and passwords are in use, and none of their secrets is in it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from client import seed
from conftest import BACKUP, RESTORE, play
from hosts import Hosts, HostsError
from test_matrix import secrets_of


def power_off_at(hosts: Hosts, name: str, step: str) -> threading.Thread:
    """As soon as the host's journal has the step, the host is gone."""
    member = hosts.member(name)
    journals = ["sh", "-c", "cat /var/lib/quorum-etcd/restores/*/journal.jsonl 2>/dev/null || :"]

    def watch() -> None:
        until = time.monotonic() + 120
        while f'"step": "{step}"' not in hosts.run(member, journals) and time.monotonic() < until:
            time.sleep(0.05)
        hosts.power_off(member)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def newest(folder: Path) -> tuple[dict[str, Any], str]:
    path = max(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(path.read_text()), path.read_text() + path.with_suffix(".html").read_text()


def test_a_host_that_is_lost_in_the_middle(tmp_path: Path) -> None:
    with Hosts(tmp_path / "report", line="3.6", tls=True, auth=True) as hosts:
        seed(hosts.client(hosts.members[0]), 200)
        assert play(BACKUP, "-i", hosts.inventory).rc == 0
        again = [
            RESTORE,
            "-i",
            hosts.inventory,
            "-e",
            "etcd_restore_confirm=etcd",
            "-e",
            f"etcd_report_dir={tmp_path}/r",
        ]
        words = secrets_of(hosts)

        gone = power_off_at(hosts, "m3", "stopping")
        failed = play(*again, "-e", "etcd_restore_prove_timeout=20")
        gone.join()
        assert failed.rc != 0
        report, text = newest(tmp_path / "r")
        assert report["outcome"] == "failed" and "m3" in report["unfinished"], failed.output
        assert report["hosts"]["m3"]["last_step"] is None, "nothing is known of it"
        assert "m3" in {item["host"] for item in report["reasons"]}, report["reasons"]
        assert any("Make m3 reachable" in step["what"] for step in report["next_steps"])
        assert [word for word in words if word in text] == []

        hosts.power_on(hosts.member("m3"))
        wait_for_boot(hosts, "m3")
        play(*again)
        report, text = newest(tmp_path / "r")
        assert report["outcome"] in ("restored", "rolled-back") and report["unfinished"] == [], report["headline"]
        assert [word for word in words if word in text] == []


def wait_for_boot(hosts: Hosts, name: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if "sshd" in hosts.run(hosts.member(name), ["sh", "-c", "ss -ltnp 2>/dev/null"]):
                return
        except HostsError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"{name} does not come up")
