# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror of a whole cluster begins with a snapshot of it, restored on the mirror's members by the restore's own machinery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterator

import pytest
import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import Seed
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import HANDED, State
from client import differences, dump, seed
from conftest import BACKUP, HOME, play
from lab import Lab
from mirrored import Mirror

KEYS = 3_000
STATE = b"quorum.etcd/mirror/dr"
LINES = ("3.7",)
STOPS = "Stop the engine of the mirror"


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(tmp_path / "source", members=1, line=request.param) as lab:
        yield lab


@pytest.fixture
def mirror(tmp_path: Path, source: Lab) -> Iterator[Lab]:
    """One member in a group of its own."""
    with Lab(tmp_path / "mirror", members=1, line=source.line, host_names=["n1"]) as lab:
        lab.inventory.write_text(lab.inventory.read_text().replace("\netcd:\n", "\netcd_mirror:\n"))
        yield lab


# What the last play would tell the engine.
TELLS = {
    "hosts": "etcd_mirror",
    "gather_facts": False,
    "tasks": [
        {"ansible.builtin.include_vars": str(BACKUP.parent.parent / "roles" / "mirror" / "vars" / "main.yml")},
        {"ansible.builtin.copy": {"dest": "{{ told }}", "content": "{{ mirror_seeded | to_json }}", "mode": "0600"}},
    ],
}


def seeding(folder: Path) -> Path:
    """mirror_seed.yml without its last play, which wants systemd: tests/hosts has it."""
    plays = yaml.safe_load((BACKUP.parent / "mirror_seed.yml").read_text())
    *first, last = plays
    assert last["ansible.builtin.import_playbook"] == "mirror.yml"
    for one in first:
        if "ansible.builtin.import_playbook" in one:
            one["ansible.builtin.import_playbook"] = str(BACKUP.parent / one["ansible.builtin.import_playbook"])
    first.append(TELLS)
    (folder / "seed.yml").write_text(yaml.safe_dump(first, sort_keys=False))
    return folder / "seed.yml"


def be_another_mirror(source: Lab) -> None:
    """It was handed over by a mirror of the same name, and has the state of that, which the snapshot brings along."""
    was = State(1, "0" * 16, "abc", HANDED, 17, destination=f"{source.members[0].client.status().cluster_id:x}")
    source.members[0].client.put(STATE, was.encode())


@pytest.mark.parametrize("source", LINES, indirect=True)
def test_the_mirrors_members_begin_with_a_snapshot_of_the_source(source: Lab, mirror: Lab, tmp_path: Path) -> None:
    seed(source.members[0].client, KEYS)
    be_another_mirror(source)
    before = dump(source.members[0].client)
    ids = {lab.members[0].client.status().cluster_id for lab in (source, mirror)}
    both = ("-i", source.inventory, "-i", mirror.inventory)

    refused = play(seeding(tmp_path), *both)
    assert refused.rc != 0 and "etcd_restore_confirm=etcd_mirror" in refused.text, refused.output
    assert dump(mirror.members[0].client) == {}, "it was only shown"
    assert STOPS not in refused.output

    told = tmp_path / "told.json"
    done = play(seeding(tmp_path), *both, "-e", "etcd_restore_confirm=etcd_mirror", "-e", f"told={told}")
    assert done.rc == 0, done.output
    at = [done.output.index(task) for task in ("Ask for the confirmation", STOPS, "Stage the restored data")]
    assert at == sorted(at), "an engine would take over what is restored there"
    assert differences(before, dump(mirror.members[0].client)) == []
    assert mirror.members[0].client.range(STATE, b""), "it came with the snapshot"
    assert mirror.members[0].client.status().cluster_id not in ids, "a cluster of its own"
    assert differences(before, dump(source.members[0].client)) == []
    known = from_plain(Seed, json.loads(told.read_text()))
    assert int(known.source, 16) == source.members[0].client.status().cluster_id
    assert known.revision == known.restored_to == source.members[0].client.status().revision, "its history can be read"
    assert known.term and known.raft_index
    with Mirror(tmp_path / "state", source.endpoints, mirror.endpoints, overwrite=True, seed=known) as engine:
        engine.once()
        assert engine.assert_equal() == len(before) - 1, "all but the state"
        what = "what had a lease, and what the restore has proven itself with"
        assert any("Of 2 keys the snapshot was mended" in line for line in engine.said), (what, engine.said)
        assert not [line for line in engine.said if line.startswith("Compared")], engine.said
    assert list((HOME / ".cache" / "quorum-etcd").glob("seed-*")) == [], "nothing stays on the controller"
