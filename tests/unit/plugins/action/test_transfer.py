# SPDX-License-Identifier: GPL-3.0-or-later
"""What arrives is written into a new file, whatever somebody else has put where it will lie."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from shlex import quote
from unittest.mock import MagicMock

import pytest
from ansible_collections.quorum.etcd.plugins.action.transfer import READERS, RECEIVE, SEND, ActionModule

BYTES = b"every secret of the cluster"


class Wire:
    """A host that sends BYTES."""

    @contextmanager
    def open(self, _command):
        yield self

    def begin(self):
        return ""

    def receive(self, file, _moved):
        return file.write(BYTES)

    def end(self):
        return b""


def to_host(dest):
    words = {"folder": quote(str(dest.parent)), "part": quote(f"{dest}.part"), "dest": quote(str(dest))}
    script = RECEIVE.format(mark="mark ", size=len(BYTES), **words)
    given = b"mark bytes\n" + BYTES
    subprocess.run(["/bin/sh", "-c", script], input=given, check=True, stdout=subprocess.PIPE)


def from_host(dest):
    action = ActionModule(*(MagicMock() for _argument in range(6)))
    given = {"src": "/there", "dest": str(dest), "size": len(BYTES), "unpack": ""}
    assert action._from_host(Wire(), given, MagicMock())


def link(part, precious):
    part.symlink_to(precious)


def hard_link(part, precious):
    os.link(precious, part)


def left_behind(part, _precious):
    part.write_bytes(b"half of an earlier run, and longer than what comes now")
    part.chmod(0o666)


@pytest.mark.parametrize("way", [to_host, from_host])
@pytest.mark.parametrize("put", [link, hard_link, left_behind])
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_where_the_bytes_go_is_not_followed(tmp_path, way, put, exists):
    precious, dest = tmp_path / "precious", tmp_path / "spool" / "s.db"
    dest.parent.mkdir()
    if exists or put is hard_link:
        precious.write_bytes(b"root's own")
    put(dest.with_name("s.db.part"), precious)
    way(dest)
    assert dest.read_bytes() == BYTES and not dest.is_symlink()
    assert dest.stat().st_mode & 0o777 == 0o600 and dest.stat().st_nlink == 1
    assert os.listdir(dest.parent) == ["s.db"]
    assert (precious.read_bytes() == b"root's own") if precious.exists() else not exists


@pytest.mark.parametrize("how", READERS)
def test_what_the_controller_cannot_unpack_comes_plain(tmp_path, how):
    source = tmp_path / "it's here.db"
    source.write_bytes(BYTES)
    if how:
        subprocess.run([how, "-q", "-f", str(source)], check=True)
        source = next(tmp_path.iterdir())
    script = SEND.format(mark="mark ", command=READERS[how], src=quote(str(source)))
    done = subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True)
    assert done.stdout == b"mark bytes\n" + BYTES
