# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes long says how far it is: the staging, and the way that restores while the cluster is down."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Iterator

import pytest
from conftest import BACKUP, CONFIRM, RESTORE, play
from lab import Lab
from slow import SILENCE, assert_growing, assert_regular, slow_tool, watched

MEMBERS = ["m1", "m2", "m3"]


@pytest.fixture
def slow(lab: Lab) -> Lab:
    """A lab with twelve megabytes of data and a backup of them, whose tool needs as many seconds for a restore."""
    for number in range(24):
        lab.members[0].client.put(b"bulk/%d" % number, os.urandom(1 << 19))
    done = play(BACKUP, "-i", lab.inventory)
    assert done.rc == 0, done.output
    tools = lab.dir / "tools"
    tools.mkdir()
    for tool in lab.bin_dir.iterdir():
        (tools / tool.name).symlink_to(tool.resolve())
    (tools / "etcdutl").unlink()
    (tools / "etcdutl").write_text(slow_tool((lab.bin_dir / "etcdutl").resolve(), seconds=1))
    (tools / "etcdutl").chmod(0o755)
    return lab


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system than the lab's."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="quorum-etcd-"))
    yield folder
    shutil.rmtree(folder)


def test_a_slow_staging_says_how_far_it_is(slow: Lab) -> None:
    rc, output, said = watched(RESTORE, "-i", slow.inventory, *CONFIRM, "-e", f"etcd_bin_dir={slow.dir}/tools")
    assert rc == 0, output
    assert_regular(said, "restoring: ", MEMBERS, least=2)
    assert_growing(said, "restoring: ")


def test_the_way_without_room_says_how_far_it_is(slow: Lab, elsewhere: Path) -> None:
    """There the restore itself is done while the cluster is down."""
    aside = f"etcd_restore_aside={elsewhere}/{{{{ inventory_hostname }}}}"
    rc, output, said = watched(
        RESTORE, "-i", slow.inventory, *CONFIRM, "-e", f"etcd_bin_dir={slow.dir}/tools", "-e", aside
    )
    assert rc == 0, output
    assert_regular(said, "restoring: ", MEMBERS, least=2)
    assert_growing(said, "restoring: ")


MANY = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Bring a slow file to the host
      quorum.etcd.transfer:
        direction: to_host
        src: "{{ folder }}/source"
        dest: "{{ folder }}/arrived/{{ inventory_hostname }}"
        size: "{{ size }}"
"""


# A megabyte a second.
SLOW_CAT = f"""\
#!{sys.executable}
import sys, time
while chunk := sys.stdin.buffer.read(10**6):
    sys.stdout.buffer.write(chunk)
    time.sleep(1)
"""


def test_fifteen_hosts_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once they are spoken of once a second, and not fifteen times every five seconds."""
    hosts = [f"h{number}" for number in range(1, 16)]
    (tmp_path / "many.yml").write_text(MANY)
    (tmp_path / "source").write_bytes(bytes(22 * 10**6))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cat").write_text(SLOW_CAT)
    (tmp_path / "bin" / "cat").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    local = f"ansible_connection=local ansible_python_interpreter={sys.executable} folder={tmp_path} size={22 * 10**6}"
    rc, output, said = watched(tmp_path / "many.yml", "-i", ",".join(hosts), "-e", local)
    assert rc == 0, output
    assert {line.host for line in said} == set(hosts), output
    assert len(said) <= 5 + 1.5 * (said[-1].at - said[0].at), "far more than a line a second"
    assert all(later.at - earlier.at < SILENCE for earlier, later in pairwise(said)), "silent for too long"
