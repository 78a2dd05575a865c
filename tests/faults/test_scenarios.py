# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on real hosts in the middle of a restore: the run says why; what is proven stays, else the old data is back."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from client import Writer
from ground import Ground, assert_is_over, says_gone
from killing import run, start

pytestmark = pytest.mark.xdist_group("scenarios")
MIB = 1 << 20
HICCUP = 2.0  # seconds: what a writer may wait on a busy machine, and less than any election takes after a stop


@contextmanager
def small_disk(ground: Ground, member: Any, size: int) -> Iterator[None]:
    """The member's data on a file system of its own with so many MiB; it is a mount point then."""
    hosts, data = ground.bed.of, member.data_dir
    mount = (
        f"mv {data} {data}-old; mkdir {data}; mount -t tmpfs -o size={size}m tmpfs {data}; cp -a {data}-old/. {data}; "
    )
    back = (
        f"cp -a {data}/. /root/data; umount {data}; rm -rf {data}-old; cp -a /root/data/. {data}; rm -rf /root/data; "
    )
    for script in (mount, back):
        hosts.stop(member)
        hosts.run(member, ["sh", "-ec", f"{script} chown -R {member.owner}: {data}; chmod 700 {data}"])
        hosts.start(member)
        hosts.wait_ready()
        if script == mount:
            yield


def fill(folder: Path, leave: int) -> Path:
    """Something else takes the file system's room, but for so many bytes."""
    filler = folder / "filler"
    with filler.open("wb") as stream:
        disk = os.statvfs(folder)
        os.posix_fallocate(stream.fileno(), 0, disk.f_bavail * disk.f_frsize - leave)
    return filler


def arrived(ground: Ground, member: Any) -> bool:
    """Whether this round's snapshot is on the host: the plan is made by then, and nothing is staged yet."""
    digest = hashlib.sha256(ground.snapshot.read_bytes()).hexdigest()
    return any(digest.startswith(path.stem) for path in ground.journals(member).parent.glob("snapshots/*.db"))


def test_a_disk_that_fills_up_while_staging(real: Ground) -> None:
    """After the plan has found room enough. Nothing is stopped, and who writes does not notice."""
    member = real.bed.members[2]
    with small_disk(real, member, 400):
        real.begin()
        with Writer([real.bed.client(one) for one in real.bed.members]) as writer:
            writer.wait_for_write()
            with start(real) as running:
                running.until(lambda: arrived(real, member), "the snapshot on the host")
                running.hold()
                filler = fill(real.bed.data(member), leave=24 * MIB)
                running.go_on()
                done = running.end()
            gap = writer.longest_gap()
        assert done.rc != 0, done.output
        assert f"{member.host}: " in done.text and "no space left on device" in done.text, done.output
        assert "Nothing had been stopped or changed on this host" in done.text, done.output
        assert not real.touched() and gap.seconds < HICCUP, f"{gap}\n{real.story()}"
        real.assert_untouched()
        assert not list(real.bed.data(member).glob(".restore-*")), (
            "what was half staged takes the room of the old cluster"
        )
        filler.unlink()
        assert_is_over(real)


def test_a_host_that_vanishes_between_staging_and_cutover(real: Ground) -> None:
    """With the patience of the collection itself: the others have started when it is missed, and clients may go on."""
    lost, others = real.bed.members[2], real.bed.members[:2]
    with start(real) as running:
        running.until(lambda: all("staged" in real.steps(one) for one in real.bed.members), "staged on all")
        running.hold()
        running.settle()  # that it has staged is known
        real.bed.of.power_off(lost)
        running.go_on()
        began = time.monotonic()
        done = running.end()
    assert time.monotonic() - began < 120, "the wait for a host that is gone must be bounded"
    assert done.rc != 0 and says_gone(real, done, lost), done.output
    assert "STAYS" in done.text and f"What is missing: {lost.host}" in done.text, done.output
    real.assert_new(others)
    real.bed.client(others[0]).put(b"round/new/served", b"by two of three")
    real.bed.of.power_on(lost)
    real.bed.of.wait_reachable(lost)
    done = run(real)
    assert done.rc == 0, done.output + real.story()
    assert real.bed.client(lost).get(b"round/new/served") is not None, "what was written since is not lost"
    real.bed.client(others[0]).delete(b"round/new/served")
    real.assert_new()


def test_a_member_that_does_not_come_up(real: Ground) -> None:
    """A quorum is proven without it and stays; the next run completes it."""
    member, others = real.bed.members[1], [real.bed.members[0], real.bed.members[2]]
    with real.bed.refuses(member):
        done = run(real, "-e", "etcd_restore_prove_timeout=10")
        assert done.rc != 0 and "the restored cluster did not prove itself in full" in done.text, done.output
        said = done.text.replace("'", "")
        assert "healthy members: expected [m1, m2, m3], found [m1, m3]" in said, done.output
        assert f"What is missing: {member.host}" in done.text, done.output
        assert {real.steps(one)[-1] for one in others} == {"finished"}, real.story()
        real.assert_new(others)
    assert_is_over(real)


def later(ground: Ground) -> Path:
    """A snapshot of the old cluster as it is now."""
    return ground.save("later")


def forged(ground: Ground) -> Path:
    """The same snapshot but for a few values: revision, number of keys and size are the same."""
    body = ground.snapshot.read_bytes()[:-32]
    assert b"snapshot" in body
    body = body.replace(b"snapshot", b"tampered")
    path = ground.snapshot.with_name("forged.db")
    path.write_bytes(body + hashlib.sha256(body).digest())
    return path


@pytest.mark.parametrize("make, found", [(forged, "False"), (later, "no revision at which all can be compared")])
def test_a_host_with_another_snapshot_is_caught_by_the_proof(
    real: Ground, make: Callable[[Ground], Path], found: str
) -> None:
    """What one host has staged is replaced by another snapshot's data, with the same names, token and IDs."""
    member = real.bed.members[2]
    other = make(real)
    with start(real) as running:
        running.until(lambda: all("staged" in real.steps(one) for one in real.bed.members), "staged on all")
        running.hold()
        replace_staged(real, member, other)
        running.go_on()
        done = running.end()
    assert done.rc != 0 and "finished" not in real.story(), done.output
    assert f"equal hash of all members at one revision: expected True, found {found}" in done.text, done.output
    assert "CLIENTS MAY HAVE SEEN AND WRITTEN THE WRONG DATA" in done.text, done.output
    real.assert_old()
    assert_is_over(real)


def replace_staged(ground: Ground, member: Any, snapshot: Path) -> None:
    """As the plan would have staged it, but from another snapshot."""
    folder = max(path for path in ground.journals(member).iterdir() if path.is_dir())
    plan = json.loads((folder / "plan.json").read_text())
    there, staged = "/root/other.db", plan["swaps"][0]["staged"]
    (ground.bed.root(member) / there[1:]).write_bytes(snapshot.read_bytes())
    argv = [there if word == plan["snapshot"]["path"] else word for word in plan["restore"]["argv"]]
    assert argv != plan["restore"]["argv"]
    ground.bed.of.run(member, ["rm", "-r", staged])
    ground.bed.of.run(member, argv)
    ground.bed.of.run(member, ["chown", "-R", f"{member.owner}:", staged])
