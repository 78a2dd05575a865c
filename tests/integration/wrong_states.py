# SPDX-License-Identifier: GPL-3.0-or-later
"""A member that was started with the wrong flag, name, URL or data: each way there, by hand, as an operator would get to it.

Every function of ``STATES`` takes a lab of three members that is up, and the one of them that is to be left broken. The two
others serve on. It returns what etcd did with it, seen until it had ended or would have gone on for ever.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable, NamedTuple

from lab import Lab, Member
from membership import add, remove

PATIENCE = 60  # seconds, for a busy machine


class Broken(NamedTuple):
    """How the start ended: ``exit_code`` None where it runs on. ``said``: its log since then."""

    exit_code: int | None
    said: str


def _other(lab: Lab, member: Member) -> Member:
    """One that stays as it is, to ask for the change."""
    return next(one for one in lab.members if one != member)


def _set(member: Member, **settings: str) -> None:
    text = member.config_file.read_text()
    for name, value in settings.items():
        key = name.replace("_", "-")
        before = re.findall(rf"^{key}: .*$", text, flags=re.MULTILINE)
        assert len(before) == 1, before
        text = text.replace(before[0], f"{key}: {json.dumps(value)}")
    member.config_file.write_text(text)


def _lose_the_disk(lab: Lab, member: Member) -> None:
    lab.kill(member)
    shutil.rmtree(member.data_dir)


def _start(member: Member, runs_when_it_says: str = "") -> Broken:
    """As the lab's init script does, but as a child, so that its exit code is seen."""
    at = member.log_file.stat().st_size
    # Its pid file makes it the member that the script knows.
    script = 'echo "$$" >etcd.pid; exec "$0" --config-file etcd.conf.yml'
    with member.log_file.open("ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", script, str(member.bin_dir / "etcd")],
            cwd=member.dir,
            env={"PATH": "/usr/bin:/bin", "ETCD_UNSUPPORTED_ARCH": "arm64"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + PATIENCE
    while process.poll() is None:
        said = _said(member.log_file, at)
        if runs_when_it_says and said.count(runs_when_it_says) > 5:
            return Broken(None, said)
        assert time.monotonic() < until, said[-3000:]
        time.sleep(0.1)
    return Broken(process.returncode, _said(member.log_file, at))


def _said(log: Path, at: int) -> str:
    with log.open("rb") as stream:
        stream.seek(at)
        return stream.read().decode(errors="replace")


# ---- the rows of the table -------------------------------------------------------------------------------------------


def new_with_the_same_token(lab: Lab, member: Member) -> Broken:
    """The disk is lost, the member removed and added, and the configuration still says ``new``."""
    _lose_the_disk(lab, member)
    remove(lab, _other(lab, member), member.name)
    add(lab, _other(lab, member), member.name, member.peer_url)
    _set(member, initial_cluster_state="new")
    return _start(member)


def new_with_another_token(lab: Lab, member: Member) -> Broken:
    """The same, and the configuration has the token of another installation."""
    _lose_the_disk(lab, member)
    remove(lab, _other(lab, member), member.name)
    add(lab, _other(lab, member), member.name, member.peer_url)
    _set(member, initial_cluster_state="new", initial_cluster_token="another")
    return _start(member, "cluster ID mismatch")


def existing_and_not_in_the_list(lab: Lab, member: Member) -> Broken:
    """The disk is lost and the member removed; it was never added."""
    _lose_the_disk(lab, member)
    remove(lab, _other(lab, member), member.name)
    _set(member, initial_cluster_state="existing")
    return _start(member)


def existing_with_a_wrong_peer_url(lab: Lab, member: Member) -> Broken:
    """The disk is lost and the member removed; it was added with the peer URL of another port."""
    _lose_the_disk(lab, member)
    remove(lab, _other(lab, member), member.name)
    add(lab, _other(lab, member), member.name, wrong_port(member.peer_url))
    _set(member, initial_cluster_state="existing")
    return _start(member)


def wrong_port(url: str) -> str:
    head, _colon, port = url.rpartition(":")
    return f"{head}:{int(port) + 5}"


def removed_with_its_old_data(lab: Lab, member: Member) -> Broken:
    """It was removed while it was down, and its data is still there."""
    lab.kill(member)
    remove(lab, _other(lab, member), member.name)
    _set(member, initial_cluster_state="existing")
    return _start(member)


STATES: dict[str, Callable[[Lab, Member], Broken]] = {
    made.__name__: made
    for made in (
        new_with_the_same_token,
        new_with_another_token,
        existing_and_not_in_the_list,
        existing_with_a_wrong_peer_url,
        removed_with_its_old_data,
    )
}
