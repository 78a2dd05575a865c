# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody has put into the folder of snapshots gets no signature of ours on its way off-site."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import held_manifest, signed_by
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.signature import Signing, believed, sign
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.test_shipping import Agent, Shelf
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot import keys


@pytest.mark.parametrize("named", [True, False], ids=["with signers", "with a key alone"])
def test_only_what_was_signed_is_signed_again(tmp_path, named):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    key, other = keys.make(tmp_path / "key"), keys.make(tmp_path / "other")
    signers = key.signer("ops@prod")
    agent.job = replace(agent.job, signing=Signing(key.path, signers if named else ""))
    agent.saved()
    genuine = next(iter(agent.member.bytes_of))
    sign(run, key.path, str(agent.member.folder / f"{genuine}.json"))
    agent.saved()  # newer, and not signed
    agent.saved()  # and one that somebody else has signed
    unsigned, others = sorted(set(agent.member.bytes_of) - {genuine})
    sign(run, other.path, str(agent.member.folder / f"{others}.json"))
    agent.ship()
    assert [name for name in store.names() if name.endswith(".db.json")] == [f"{genuine}.json"]
    copy = str(store.folder / genuine)
    assert signed_by(copy, held_manifest(copy), signers, run) == "ops@prod"
    # What lies off-site can be exchanged as little.
    Path(f"{copy}.json").write_text(json.dumps({**json.loads(Path(f"{copy}.json").read_text()), "revision": 1}))
    with pytest.raises(EtcdError, match="was altered after it was signed"):
        signed_by(copy, held_manifest(copy), signers, run)


def test_a_key_that_cannot_be_read_is_said(tmp_path):
    locked = keys.make(tmp_path / "locked", passphrase="a long one")
    with pytest.raises(EtcdError, match="the public part of the signing key .* cannot be told: .*incorrect passphrase"):
        believed(run, Signing(locked.path))
    assert (
        believed(run, Signing()) == ""
        and believed(run, Signing("/nowhere", "ops ssh-ed25519 A")) == "ops ssh-ed25519 A"
    )
