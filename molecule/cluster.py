# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario does to the cluster behind Ansible's back, and what it then finds there.

seed      write keys, and keep what every member has to hold in the end
destroy   delete all keys, then lose the data of all members but the first
lose      lose the disk of the last member
compare   key by key on every member; prints the IDs that the members really have, as JSON
reboot    all hosts at once
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / "tests" / "hosts"), str(CHECKOUT / "lab")]
from client import KeyValue, differences, dump
from client import seed as write_keys
from mirror_hosts import MirrorHosts as Hosts

FOLDER = CHECKOUT / ".cache" / "molecule"
EXPECTED = FOLDER / "expected.json"
KEYS = 1000


def seed(hosts: Hosts) -> None:
    client = hosts.client(hosts.members[0])
    write_keys(client, KEYS)
    kept = [(entry.key.hex(), entry.value.hex(), *entry[2:]) for entry in dump(client, serializable=False).values()]
    EXPECTED.write_text(json.dumps(kept))


def destroy(hosts: Hosts) -> None:
    hosts.client(hosts.members[0]).delete_range()
    for member in hosts.members[1:]:
        hosts.lose_data(member)


def lose(hosts: Hosts) -> None:
    hosts.lose_data(hosts.members[-1])


def compare(hosts: Hosts) -> None:
    hosts.wait_ready()
    entries = [KeyValue(bytes.fromhex(key), bytes.fromhex(value), *rest) for key, value, *rest in _kept()]
    expected = {entry.key: entry for entry in entries}
    for member in hosts.members:
        client = hosts.client(member)
        client.get(b"back")  # linearizable: from here on the member has caught up
        if found := differences(expected, dump(client)):
            sys.exit(f"{member.host} differs in {len(found)} of {len(expected)} keys:\n" + "\n".join(found[:20]))
    views = {name: status for name, status in hosts.status().items() if status}
    print(
        json.dumps({name: {"cluster": f"{v.cluster_id:x}", "member": f"{v.member_id:x}"} for name, v in views.items()})
    )


def _kept() -> list:
    return json.loads(EXPECTED.read_text())


def reboot(hosts: Hosts) -> None:
    hosts.on_each(hosts.reboot)


if __name__ == "__main__":
    {action.__name__: action for action in (seed, destroy, lose, compare, reboot)}[sys.argv[1]](Hosts(FOLDER))
