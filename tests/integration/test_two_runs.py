# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators restore one cluster at the same time, each from another snapshot: one of them does, and the other is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from conftest import CONFIRM, RESTORE, Play, holds, play, seeded
from lab import Lab

SAID = "another run is at work on this cluster: restore "


def restore(lab: Lab, snapshot: str) -> Play:
    return play(RESTORE, "-i", lab.inventory, *CONFIRM, "-e", f"etcd_restore_snapshot={snapshot}")


def test_one_of_two_goes_on_and_the_other_one_works_when_it_is_run_again(lab: Lab) -> None:
    first = seeded(lab, keys=50)
    (one,) = lab.backup_dir.glob("*.db")
    lab.members[0].client.put(b"only in the second", b"1")
    second = seeded(lab, keys=50)
    (two,) = set(lab.backup_dir.glob("*.db")) - {one}
    of = {str(one): first, str(two): second}

    with ThreadPoolExecutor(2) as pool:
        done = dict(zip(of, pool.map(lambda snapshot: restore(lab, snapshot), of)))
    output = "\n".join(each.output for each in done.values())
    won, lost = sorted(of, key=lambda snapshot: done[snapshot].rc)
    assert done[won].rc == 0 and done[lost].rc != 0, output
    assert SAID in done[lost].text and "last seen at" in done[lost].text, output
    assert holds(lab, of[won]) and not holds(lab, of[lost]), output
    for member in lab.members:
        assert "existing" in member.config_file.read_text()
        assert len(list(member.dir.glob("data.before-*"))) == 1, "only one of them has stopped anything"
        assert not list(member.dir.glob("data.restore-*")), "nothing staged is left"

    again = restore(lab, lost)
    assert again.rc == 0, again.output
    assert holds(lab, of[lost])
