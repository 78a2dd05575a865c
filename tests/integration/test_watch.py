# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that watches lives through restores: it is told of a compaction, and never sees a revision go back."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from client import Client, GatewayError
from conftest import CONFIRM, RESTORE, play, seeded
from lab import Lab

KEY = b"watched"
SECONDS = 20


class Watcher:
    """etcdctl's watch of one key, taken up again after the last revision seen wherever it ends, as clients do.

    When it is told of a compaction it reads the key and the revision anew and watches from there. A context manager.
    """

    def __init__(self, lab: Lab) -> None:
        self._argv = [str(lab.bin_dir / "etcdctl"), f"--endpoints={','.join(lab.endpoints)}", "watch", KEY.decode()]
        self._clients = [Client(url, timeout=2) for url in lab.endpoints]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._process: subprocess.Popen[str] | None = None
        self._next = 0
        self.seen: list[int] = []  # every revision in the order in which it came, of answers and of events
        self.compactions: list[int] = []
        self.values: list[str] = []

    def __enter__(self) -> Watcher:
        self._read_anew()
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        if self._process:
            self._process.kill()
        self._thread.join()

    def _live(self) -> None:
        while not self._over.wait(0.2):
            argv = [*self._argv, f"--rev={self._next}", "-w", "json"]
            self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for line in self._process.stdout or ():
                if line.startswith("{"):
                    self._take(json.loads(line))

    def _take(self, answer: dict) -> None:
        events = answer.get("Events") or []
        revisions = [int(event["kv"]["mod_revision"]) for event in events]
        self.seen += [*revisions, *filter(None, [int(answer["Header"].get("revision", 0))])]
        self.values += [event["kv"].get("value", "") for event in events]
        if revisions:
            self._next = revisions[-1] + 1
        if int(answer.get("CompactRevision", 0)):
            self.compactions.append(int(answer["CompactRevision"]))
            self._read_anew()

    def _read_anew(self) -> None:
        while not self._over.is_set():
            for client in self._clients:
                with suppress(GatewayError):
                    client.get(KEY)  # linearizable: the member is part of a cluster with a quorum
                    revision = client.status().revision
                    self.seen.append(revision)
                    self._next = revision + 1
                    return

    def wait_for(self, what: str, condition) -> None:
        until = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < until, f"{what} did not come; seen {self.seen}, compactions {self.compactions}"
            time.sleep(0.05)

    def sees(self, lab: Lab, value: bytes) -> None:
        """A write is made now, and the watch brings it."""
        count = len(self.values)
        lab.members[0].client.put(KEY, value)
        self.wait_for(f"the event of {value!r}", lambda: len(self.values) > count)


@pytest.mark.parametrize(
    "lab", [{"line": "3.5"}, {"line": "3.6"}, {"line": "3.7"}], ids=lambda x: x["line"], indirect=True
)
def test_a_watch_lives_through_two_restores_of_one_snapshot(lab: Lab) -> None:
    seeded(lab, 100)
    with Watcher(lab) as watcher:
        for number in (1, 2):
            watcher.sees(lab, b"before restore %d" % number)
            done = play(RESTORE, "-i", lab.inventory, *CONFIRM, "-e", "etcd_restore_again=true")
            assert done.rc == 0, done.output
            watcher.wait_for(
                f"the compaction of restore {number}", lambda wanted=number: len(watcher.compactions) >= wanted
            )
            watcher.sees(lab, b"after restore %d" % number)
        assert watcher.seen == sorted(watcher.seen), "a revision went back"
        assert len(watcher.compactions) == 2 and watcher.compactions[1] - watcher.compactions[0] > 1_000_000_000
