# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a lab's membership, made by hand as an operator would, with etcdctl."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import Callable

from client import GatewayError, MemberEntry
from lab import Lab, Member

PATIENCE = 60  # seconds, for a busy machine; etcd refuses a change until its members have been connected for five
# After the last two the change may have been made all the same.
_TO_BE_REPEATED = ("unhealthy cluster", "request timed out", "deadline exceeded")


def remove(lab: Lab, through: Member, name: str) -> None:
    (found,) = [entry.id for entry in listed(through) if entry.name == name]
    _change(lab, through, lambda: found not in [entry.id for entry in listed(through)], "remove", f"{found:x}")


def add(lab: Lab, through: Member, name: str, peer_url: str, *words: str) -> None:
    def is_there() -> bool:
        return peer_url in [url for entry in listed(through) for url in entry.peer_urls]

    _change(lab, through, is_there, "add", name, f"--peer-urls={peer_url}", *words)


def listed(through: Member) -> list[MemberEntry]:
    """The member list, as soon as there is a leader to ask."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(GatewayError):
            return through.client.member_list()
        time.sleep(0.2)
    return through.client.member_list()


def _change(lab: Lab, through: Member, is_done: Callable[[], bool], *words: str) -> None:
    """``etcdctl member WORDS``, asked of one member, until it is done."""
    argv = [str(lab.bin_dir / "etcdctl"), f"--endpoints={through.client_url}", "member", *words]
    until = time.monotonic() + PATIENCE
    while not is_done():
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"ETCDCTL_API": "3"})
        may_be_repeated = any(words in done.stderr for words in _TO_BE_REPEATED) and time.monotonic() < until
        assert not done.returncode or may_be_repeated, done.stderr
        time.sleep(0.2)
