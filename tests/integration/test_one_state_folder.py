# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clusters whose members lie on the same hosts, as etcd and etcd-events do: they have one state folder a host, and the
restore of the one is none of the other's."""

from __future__ import annotations

import re
from pathlib import Path

from client import dump
from conftest import CONFIRM, RESTORE, holds, play, seeded
from lab import Lab


def sharing(lab: Lab, other: Lab) -> Path:
    """The inventory of ``lab``, with the state folders of the hosts of ``other``."""
    text, found = re.subn(
        r"etcd_state_dir: .*", f'etcd_state_dir: "{other.dir}/{{{{ etcd_name }}}}/state"', lab.inventory.read_text()
    )
    assert found == 1
    inventory = lab.dir / "sharing.yml"
    inventory.write_text(text)
    return inventory


def changed(lab: Lab) -> dict:
    """What it holds after its snapshot, and before a restore."""
    lab.members[0].client.put(b"since", lab.dir.name.encode())
    return dump(lab.members[0].client)


def test_the_one_goes_back_and_the_other_stays_restored(lab: Lab, tmp_path: Path) -> None:
    with Lab(tmp_path / "events") as events:
        events.wait_ready()
        inventories = {lab: lab.inventory, events: sharing(events, lab)}
        snapshots = {each: seeded(each, keys=40 + number) for number, each in enumerate(inventories)}
        before = {each: changed(each) for each in inventories}
        for each, inventory in inventories.items():
            done = play(RESTORE, "-i", inventory, *CONFIRM)
            assert done.rc == 0, done.output
            assert holds(each, snapshots[each])
        for member in lab.members:
            assert len(list((member.dir / "state/restores").glob("*/plan.json"))) == 2, "both are in the one folder"

        back = play(RESTORE, "-i", lab.inventory, *CONFIRM, "-e", "etcd_restore_rollback=true")
        assert back.rc == 0, back.output
        assert holds(lab, before[lab]) and holds(events, snapshots[events]), back.output

        # The newest journal of each host is the other cluster's now, and is not taken for its own.
        again = play(RESTORE, "-i", inventories[events], *CONFIRM, "-e", "etcd_restore_rollback=true")
        assert again.rc == 0, again.output
        assert holds(lab, before[lab]) and holds(events, before[events]), again.output
