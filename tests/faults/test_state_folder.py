# SPDX-License-Identifier: GPL-3.0-or-later
"""The state folder of a host is full, read-only or away from some line of the journal on: it is said, and no data is lost."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest
from ground import Ground, assert_is_over
from killing import start

pytestmark = [
    pytest.mark.xdist_group("lab-0"),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts are for root"),
]
ROOM, PAGE = "32m", 4096
QUIET = 1.0  # seconds


def mount(*words: str | Path) -> None:
    subprocess.run([*map(str, words)], check=True, capture_output=True, text=True)


class Disk:
    """A small file system of its own, kept elsewhere too, so that what is on it outlasts its absence."""

    def __init__(self, place: Path) -> None:
        self.place, self.home = place, place.with_name("state-disk")

    def full(self) -> None:
        """To the last byte: the last page of a journal has room for more lines, which are empty ones now.

        A phase that has written its last line still ends, and what it gives free then would be room for many lines: so the disk
        counts as full when nothing was given free for a while.
        """
        quiet = time.monotonic() + QUIET
        while time.monotonic() < quiet:
            for journal in self.home.glob("restores/*/journal.jsonl"):
                if journal.stat().st_size % PAGE:
                    with journal.open("ab") as stream:
                        stream.write(b"\n" * (-journal.stat().st_size % PAGE))
            disk = os.statvfs(self.home)
            if disk.f_bavail:
                with (self.home / "filler").open("ab") as stream:
                    os.posix_fallocate(stream.fileno(), stream.tell(), disk.f_bavail * disk.f_frsize)
                quiet = time.monotonic() + QUIET
            time.sleep(0.05)

    def read_only(self) -> None:
        mount("mount", "-o", "remount,ro", self.home)

    def away(self) -> None:
        mount("umount", "--lazy", self.place)

    def mend(self) -> None:
        mount("mount", "-o", "remount,rw", self.home)
        (self.home / "filler").unlink(missing_ok=True)
        if not os.path.ismount(self.place):
            mount("mount", "--bind", self.home, self.place)


@contextmanager
def disk_of(place: Path) -> Iterator[Disk]:
    """``place`` on a disk of its own for as long as the block runs."""
    disk = Disk(place)
    disk.home.mkdir()
    mount("mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=700", "tmpfs", disk.home)
    try:
        if place.exists():
            mount("cp", "-a", f"{place}/.", disk.home)
        place.mkdir(exist_ok=True)
        mount("mount", "--bind", disk.home, place)
        yield disk
    finally:
        disk.mend()
        mount("umount", "--lazy", place)
        mount("cp", "-a", f"{disk.home}/.", place)
        mount("umount", "--lazy", disk.home)
        disk.home.rmdir()


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("full", "staged"),
        ("read_only", "swapped"),
        pytest.param("away", "stopped", marks=pytest.mark.long),
        pytest.param("full", "started", marks=pytest.mark.long),
        pytest.param("read_only", "stopped", marks=pytest.mark.long),
    ],
)
def test_no_line_can_be_written_any_more(ground: Ground, fault: str, step: str) -> None:
    member = ground.bed.members[1]
    with disk_of(ground.bed.state(member)) as disk:
        with start(ground) as running:
            running.until_step(member, step)
            running.hold()
            getattr(disk, fault)()
            running.go_on()
            done = running.end()
        assert done.rc != 0, done.output
        said = [line for line in done.output.splitlines() if member.host in line]
        assert "[Errno" not in done.output, done.output
        assert any(str(disk.place) in line for line in said) and "Next: " in done.text, done.output
        ground.assert_nothing_is_lost()
        disk.mend()
        assert_is_over(ground)
        if ground.must_go_back() or "rolled_back" in ground.steps(member)[-1:]:
            assert_is_over(ground)
